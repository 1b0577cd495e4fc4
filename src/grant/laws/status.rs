//! What a status may say, and that it does not change without a reason.

use jiff::Timestamp;
use proptest::{collection::vec, prelude::*, string::string_regex};

use super::arbitrary::{case, limits, recorded_case, text, time};
use crate::{
    api::{
        AccessGrantStatus, ConditionStatus,
        condition::{find, one_line},
        schema,
    },
    grant::{Decision, GrantView, OVERDUE_AFTER, Wake, decide},
};

/// What [`schema::TEXT`] demands.
fn is_text(text: &str) -> bool {
    assert_eq!(schema::TEXT, r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*$", "the schema asks for something else: check for that");
    text.chars().all(|c| !is_refused(c))
}

/// Unicode's classes Cc, Cf, Zl and Zp, as Unicode 16 lists them; [`every_character_of_the_classes_is_known`] holds this
/// against proptest's own tables.
fn is_refused(c: char) -> bool {
    const RANGES: [(u32, u32); 22] = [
        (0x00, 0x1f),
        (0x7f, 0x9f),
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x2028, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0001, 0xe007f),
    ];
    RANGES.iter().any(|(from, to)| (*from..=*to).contains(&u32::from(c)))
}

/// A word for programs: `^[A-Z][A-Za-z0-9]*$`, at most 64 characters.
fn is_word(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.len() <= 64
        && word.chars().all(|c| c.is_ascii_alphanumeric())
}

fn fits(text: &str, max: usize) -> bool {
    is_text(text) && text.chars().count() <= max
}

/// Whether the API server would take that status, as far as what is written by the core goes.
fn check(status: &AccessGrantStatus) -> Result<(), TestCaseError> {
    prop_assert!(status.conditions.len() <= 16 && status.bindings.len() <= 32);
    for (index, condition) in status.conditions.iter().enumerate() {
        prop_assert!(is_word(&condition.type_) && is_word(&condition.reason), "{condition:?}");
        prop_assert!(fits(&condition.message, 2048), "{condition:?}");
        prop_assert_eq!(condition.last_transition_time.0.subsec_nanosecond(), 0, "a part of a second");
        let same = status.conditions.iter().skip(index + 1).any(|other| other.type_ == condition.type_);
        prop_assert!(!same, "{} is there twice", condition.type_);
    }
    for summary in [&status.subject, &status.target, &status.role].into_iter().flatten() {
        prop_assert!(fits(summary, 600), "{summary:?}");
    }
    if let Some(display) = &status.display {
        prop_assert!(fits(&display.state, 64) && fits(&display.message, 2048), "{display:?}");
    }
    let times = [&status.granted_time, &status.expires_time, &status.revoked_time];
    let ends = status.end.as_ref().map(|end| &end.time);
    for time in times.into_iter().flatten().chain(ends).chain(status.bindings.iter().map(|b| &b.since)) {
        prop_assert_eq!(time.0.subsec_nanosecond(), 0, "a part of a second: {:?}", time);
    }
    Ok(())
}

fn after(grant: &GrantView, decision: &Decision) -> GrantView {
    GrantView { status: decision.status.clone(), ..grant.clone() }
}

fn overdue(status: &AccessGrantStatus) -> bool {
    find(&status.conditions, "RevocationOverdue").is_some_and(|c| c.status == ConditionStatus::True)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    #[test]
    fn every_character_of_the_classes_is_known(chars in string_regex(r"[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]{16}").unwrap()) {
        prop_assert!(chars.chars().all(is_refused), "{chars:?}");
        prop_assert!(is_text(&one_line(&chars, 100)));
    }

    #[test]
    fn any_text_is_made_fit(text in text(), max in 3..3000_usize) {
        prop_assert!(fits(&one_line(&text, max), max));
    }

    #[test]
    fn the_api_server_takes_every_status((grant, world) in case(), now in time(), limits in limits()) {
        let status = decide(now, &grant, &world, &limits).status;
        check(&status)?;
        let stored: AccessGrantStatus = serde_json::from_value(serde_json::to_value(&status).unwrap()).unwrap();
        prop_assert_eq!(stored, status, "it comes back as it was written");
    }

    #[test]
    fn a_terminal_phase_is_never_left((grant, world) in case(), times in vec(time(), 1..6), limits in limits()) {
        let mut grant = grant;
        for now in times {
            let decision = decide(now, &grant, &world, &limits);
            if grant.is_finished() {
                prop_assert_eq!(&decision.status, &grant.status);
                let open = world.ballots.iter().any(|ballot| ballot.proven.is_none());
                prop_assert!(open || decision.wake == Wake::OnChange);
            }
            let was = grant.is_finished();
            grant = after(&grant, &decision);
            prop_assert!(grant.is_finished() || !was);
        }
    }

    /// Decided again before its time has come, the status is what it was: nothing is written.
    #[test]
    fn the_same_world_gives_the_same_status(
        (grant, world) in case(), now in time(), limits in limits(), part in 0.0..1.0_f64,
    ) {
        let first = decide(now, &grant, &world, &limits);
        prop_assume!(first.steps.is_empty());
        let grant = after(&grant, &first);
        let later = match first.wake {
            Wake::At(wake) if wake > now => {
                let ahead = wake.duration_since(now).mul_f64(part);
                now.checked_add(ahead).unwrap().min(wake)
            }
            _ => now,
        };
        // That it is overdue by now is a reason.
        prop_assume!(later == now || first.wake != Wake::At(later));
        prop_assume!(grant.overdue(now).is_some() == grant.overdue(later).is_some());
        // What is told to those who decided is told once it was written.
        let Decision { wake, answers, .. } = decide(later, &grant, &world, &limits);
        prop_assert_eq!(decide(later, &grant, &world, &limits), Decision { wake, answers, ..first });
    }

    #[test]
    fn overdue_is_what_was_seen_and_is_not_gone_after_thirty_seconds(
        (grant, world) in recorded_case(), now in time(), limits in limits(),
    ) {
        prop_assume!(!grant.is_finished());
        let decision = decide(now, &grant, &world, &limits);
        let late = grant.ended(now).is_some_and(|(_, end)| now.duration_since(end) > OVERDUE_AFTER);
        let seen = grant.status.bindings.iter().any(|b| !b.is_settled() && b.uid.is_some());
        if grant.ended(now).is_some() {
            prop_assert_eq!(overdue(&decision.status), late && seen);
        }
        if overdue(&decision.status) && decision.status != grant.status {
            prop_assert!(late && seen, "overdue too early");
        }
    }

    #[test]
    fn overdue_is_said_once((grant, world) in recorded_case(), now in time(), waits in vec(0..100_i64, 1..5)) {
        let limits = crate::grant::Limits::default();
        prop_assume!(!grant.is_finished() && now < Timestamp::MAX);
        let mut grant = after(&grant, &decide(now, &grant, &world, &limits));
        let Some(said) = find(&grant.status.conditions, "RevocationOverdue").cloned() else { return Ok(()) };
        prop_assume!(grant.ended(now).is_some());
        let mut now = now;
        for wait in waits {
            now = now.checked_add(jiff::SignedDuration::from_secs(wait)).unwrap_or(now);
            grant = after(&grant, &decide(now, &grant, &world, &limits));
            let still = find(&grant.status.conditions, "RevocationOverdue").cloned();
            prop_assert_eq!(still.map(|c| c.last_transition_time), Some(said.last_transition_time.clone()));
        }
    }
}
