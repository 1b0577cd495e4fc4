//! What to do about one user. Pure.

use jiff::{SignedDuration, Timestamp};

/// What is known of him.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// Whether he is a local user of ours; else Rancher made him for a principal.
    pub local: bool,
    /// Whether a grant that is under way calls for him.
    pub called: bool,
    /// Whether a grant still has something of his to take away.
    pub unsettled: bool,
    /// Whether he may log in.
    pub enabled: bool,
    /// Since when no grant has called for him, as it stands on him.
    pub unused_since: Option<Timestamp>,
    /// How far his password is.
    pub password: Password,
}

/// How far a password is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Password {
    /// There is none that the requester could read, or Rancher does not have it yet.
    Missing,
    /// Rancher has had it since then.
    Set(Timestamp),
}

/// What the integration says.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// `userCleanupDays`.
    pub cleanup_days: Option<i32>,
    /// `credentialRotationDays`.
    pub rotation_days: Option<i32>,
}

/// The next thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// Nothing, until then where anything is due by itself.
    Rest(Option<Timestamp>),
    /// Have him ready: let him log in, with a password that the requester has.
    Use,
    /// A new password.
    Renew,
    /// Say on him that a grant calls for him again.
    Needed,
    /// Nobody calls for him: say so on him, and disable him where he is ours.
    Retire,
    /// His time has come: delete him, if nobody else gave him anything.
    Delete,
    /// Somebody else disabled him while a grant calls for him.
    DisabledByOthers,
}

/// Decides.
pub(super) fn next(now: Timestamp, known: &Known, rules: &Rules) -> Move {
    if known.called {
        return match (known.local, known.enabled, known.unused_since) {
            // Whoever enabled him meanwhile: the password is an old one.
            (true, _, Some(_)) => Move::Use,
            (true, false, None) => Move::DisabledByOthers,
            (false, _, Some(_)) => Move::Needed,
            (true, true, None) => match known.password {
                Password::Missing => Move::Use,
                Password::Set(set) => match after(set, rules.rotation_days) {
                    Some(due) if due <= now => Move::Renew,
                    due => Move::Rest(due),
                },
            },
            (false, _, None) => Move::Rest(None),
        };
    }
    let Some(since) = known.unused_since else { return Move::Retire };
    if known.local && known.enabled {
        // Somebody enabled him, or a request of ours landed late.
        return Move::Retire;
    }
    match after(since, rules.cleanup_days) {
        Some(due) if due <= now && !known.unsettled => Move::Delete,
        // What is not settled is looked at again in the next quiet look.
        Some(due) if due <= now => Move::Rest(None),
        due => Move::Rest(due),
    }
}

fn after(since: Timestamp, days: Option<i32>) -> Option<Timestamp> {
    since.checked_add(SignedDuration::from_hours(i64::from(days?) * 24)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    const DAY: i64 = 86_400;

    fn local() -> Known {
        Known {
            local: true,
            called: false,
            unsettled: false,
            enabled: false,
            unused_since: Some(at(0)),
            password: Password::Missing,
        }
    }

    fn rules() -> Rules {
        Rules { cleanup_days: Some(3), rotation_days: Some(7) }
    }

    #[test]
    fn who_is_not_called_for_is_disabled_and_deleted_when_his_time_has_come() {
        let enabled = Known { enabled: true, unused_since: None, ..local() };
        assert_eq!(next(at(0), &enabled, &rules()), Move::Retire);
        assert_eq!(next(at(0), &local(), &rules()), Move::Rest(Some(at(3 * DAY))));
        assert_eq!(next(at(3 * DAY - 1), &local(), &rules()), Move::Rest(Some(at(3 * DAY))));
        assert_eq!(next(at(3 * DAY), &local(), &rules()), Move::Delete);
        assert_eq!(next(at(3 * DAY), &Known { unsettled: true, ..local() }, &rules()), Move::Rest(None));
        assert_eq!(next(at(900 * DAY), &local(), &Rules::default()), Move::Rest(None), "nobody asked for it");
    }

    #[test]
    fn who_is_called_for_again_gets_a_new_password_unless_somebody_else_disabled_him() {
        let called = Known { called: true, ..local() };
        assert_eq!(next(at(3 * DAY), &called, &rules()), Move::Use);
        assert_eq!(next(at(3 * DAY), &Known { enabled: true, ..called }, &rules()), Move::Use);
        let theirs = Known { unused_since: None, ..called };
        assert_eq!(next(at(0), &theirs, &rules()), Move::DisabledByOthers);
        let in_use = Known { enabled: true, unused_since: None, password: Password::Set(at(0)), ..called };
        assert_eq!(next(at(0), &in_use, &rules()), Move::Rest(Some(at(7 * DAY))));
        assert_eq!(next(at(7 * DAY), &in_use, &rules()), Move::Renew);
        assert_eq!(next(at(70 * DAY), &in_use, &Rules::default()), Move::Rest(None));
        let begun = Known { password: Password::Missing, ..in_use };
        assert_eq!(next(at(0), &begun, &Rules::default()), Move::Use, "what a crash cut off is ended");
    }

    #[test]
    fn a_person_is_never_disabled_and_loses_nothing_but_the_note() {
        let unseen = Known { local: false, enabled: true, ..local() };
        assert_eq!(next(at(0), &unseen, &rules()), Move::Rest(Some(at(3 * DAY))));
        assert_eq!(next(at(3 * DAY), &unseen, &rules()), Move::Delete);
        assert_eq!(next(at(9 * DAY), &Known { called: true, ..unseen }, &rules()), Move::Needed);
    }

    proptest! {
        #[test]
        fn nobody_is_deleted_who_is_needed_or_before_his_time(
            local: bool, called: bool, unsettled: bool, enabled: bool,
            since in proptest::option::of(0..10 * DAY), now in 0..10 * DAY, days in proptest::option::of(1..9_i32),
        ) {
            let known =
                Known { local, called, unsettled, enabled, unused_since: since.map(at), password: Password::Missing };
            let rules = Rules { cleanup_days: days, rotation_days: None };
            if next(at(now), &known, &rules) == Move::Delete {
                prop_assert!(!called && !unsettled && (!local || !enabled));
                prop_assert!(now >= since.unwrap() + i64::from(days.unwrap()) * DAY);
            }
            // Whoever is ours and not called for is disabled, or about to be.
            if local && !called && enabled {
                prop_assert_eq!(next(at(now), &known, &rules), Move::Retire);
            }
        }
    }
}
