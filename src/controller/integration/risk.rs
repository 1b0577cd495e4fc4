//! What will stop the key from working, before it does. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::{
    grant::{Because, GrantKey, record::whole_seconds},
    rancher::identity::Expiry,
};

/// How long before its end a key that nobody replaces is warned about, and one that should have been replaced by then.
const SOON: (SignedDuration, SignedDuration) = (SignedDuration::from_hours(7 * 24), SignedDuration::from_hours(24));

/// What is known of the key.
pub(super) struct Life<'a> {
    pub now: Timestamp,
    pub expiry: Expiry,
    /// Whether the operator replaces the key in time.
    pub rotates: bool,
    /// The grant in force that ends last, and when.
    pub last: Option<&'a (GrantKey, Timestamp)>,
    /// The id of its user, if Rancher's user retention may disable or delete him.
    pub retained: Option<&'a str>,
}

/// The first thing that will stop it.
pub(super) fn of(life: &Life<'_>) -> Option<Because> {
    if let Some(user) = life.retained {
        return Some(Because::new(
            "UserMayBeDisabled",
            format!(
                "Rancher's user retention may disable or delete {user}, whose key this is: using a key is no login. Set disableAfter and deleteAfter to 0s in his UserAttribute (kubectl edit userattributes.management.cattle.io {user}, on Rancher's own cluster), or nothing can be taken away from then on."
            ),
        ));
    }
    let Expiry::At(end) = life.expiry else { return None };
    let (left, shown) = (end.duration_since(life.now), whole_seconds(end));
    let remedy = if life.rotates {
        "The operator should have replaced it by now: see the condition KeyRotation."
    } else {
        "Make a new one in Rancher (No Scope) and write it into the Secret, or set spec.apiKeyRotationDays."
    };
    match life.last {
        Some((grant, last)) if *last > end && !life.rotates => Some(Because::new(
            "KeyExpiresFirst",
            format!(
                "The key expires at {shown}, before grant {grant} ends ({last}): its access could not be taken away on time. {remedy}"
            ),
        )),
        _ if left < if life.rotates { SOON.1 } else { SOON.0 } => Some(Because::new(
            "KeyExpiresSoon",
            format!("The key expires at {shown}; from then on nothing can be taken away. {remedy}"),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        format!("2026-06-{time}:00Z").parse().unwrap()
    }

    fn reason(life: &Life<'_>) -> Option<String> {
        of(life).map(|because| because.reason)
    }

    #[test]
    fn a_key_is_at_risk_before_it_fails() {
        let grant = (GrantKey { namespace: "web".to_owned(), name: "g".to_owned() }, at("20T08:00"));
        let life = |now: &str, rotates, last| Life {
            now: at(now),
            expiry: Expiry::At(at("19T08:00")),
            rotates,
            last,
            retained: None,
        };
        assert_eq!(reason(&life("01T08:00", false, None)), None);
        assert_eq!(reason(&life("01T08:00", false, Some(&grant))).as_deref(), Some("KeyExpiresFirst"));
        assert_eq!(reason(&life("12T09:00", false, None)).as_deref(), Some("KeyExpiresSoon"));
        assert_eq!(reason(&life("12T09:00", true, Some(&grant))), None, "it is replaced before");
        assert_eq!(reason(&life("18T09:00", true, None)).as_deref(), Some("KeyExpiresSoon"), "it was not replaced");
        let never = Life { expiry: Expiry::Never, ..life("12T09:00", false, Some(&grant)) };
        assert_eq!(reason(&never), None);
        let retained = Life { retained: Some("u-robot"), ..never };
        assert!(
            of(&retained)
                .is_some_and(|because| because.message.contains("userattributes.management.cattle.io u-robot"))
        );
    }
}
