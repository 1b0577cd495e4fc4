//! What to do about the key, given what stands in the Secret and what Rancher says of it. Pure.

use jiff::{SignedDuration, Timestamp};

use super::record::Record;
use crate::rancher::identity::Expiry;

/// How long the old key stays after the new one stands in the Secret: what is under way with it comes to its end.
pub(super) const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long before its end a key is replaced at the latest, and which part of its life that is at most.
const BEFORE_ITS_END: (SignedDuration, i32) = (SignedDuration::from_hours(7 * 24), 3);

/// What is known.
pub(super) struct Seen<'a> {
    pub now: Timestamp,
    /// `spec.apiKeyRotationDays`.
    pub days: Option<i32>,
    /// `spec.rotateNow`.
    pub request: Option<&'a str>,
    /// The value of it that status says was served.
    pub served: Option<&'a str>,
    pub created: Option<Timestamp>,
    pub expiry: Expiry,
    pub record: Option<&'a Record>,
    /// How long this process has seen that key stand in the Secret, whatever the clock says.
    pub stood: SignedDuration,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing, until then; `None`: until somebody asks.
    Wait(Option<Timestamp>),
    /// Nothing more than wait until the old key may go.
    Settle(Timestamp),
    /// Make a new key.
    Begin,
    /// What the last rotation made and left is deleted: the key that it replaced, if that is not the one in use, and what
    /// carries our mark.
    Retire,
}

/// What to do next.
pub(super) fn plan(seen: &Seen<'_>) -> Step {
    let unfinished = seen.record.filter(|record| record.done.is_none());
    if let Some(to) = unfinished.and_then(|record| record.to.as_ref()) {
        let since = to.at.checked_add(GRACE).unwrap_or(Timestamp::MAX);
        // Who was set back before the switch waits no longer than he must.
        let settled = seen.now >= since || seen.now < to.at || seen.stood >= GRACE;
        return if settled { Step::Retire } else { Step::Settle(since) };
    }
    match due(seen) {
        Some(due) if due <= seen.now => Step::Begin,
        // It began and came to nothing, and the key was replaced by hand meanwhile, or nobody asks any more.
        _ if unfinished.is_some() => Step::Retire,
        due => Step::Wait(due),
    }
}

/// When the key is to be replaced.
fn due(seen: &Seen<'_>) -> Option<Timestamp> {
    let served = [seen.served, seen.record.filter(|r| r.to.is_some()).and_then(|r| r.request.as_deref())];
    if seen.request.is_some() && !served.contains(&seen.request) {
        return Some(seen.now);
    }
    let (days, created) = (seen.days?, seen.created?);
    let days = SignedDuration::from_hours(i64::from(days).saturating_mul(24));
    let by_age = created.checked_add(days).ok()?;
    let Expiry::At(end) = seen.expiry else { return Some(by_age) };
    let life = end.duration_since(created).max(SignedDuration::ZERO);
    let before = BEFORE_ITS_END.0.min(life / BEFORE_ITS_END.1);
    Some(by_age.min(end.checked_sub(before).unwrap_or(end)))
}

#[cfg(test)]
mod tests {
    use super::{super::record::Switch, *};

    fn at(time: &str) -> Timestamp {
        format!("2026-06-{time}:00Z").parse().unwrap()
    }

    fn seen<'a>(now: &str, days: Option<i32>, record: Option<&'a Record>) -> Seen<'a> {
        Seen {
            now: at(now),
            days,
            request: None,
            served: None,
            created: Some(at("01T08:00")),
            expiry: Expiry::Never,
            record,
            stood: SignedDuration::ZERO,
        }
    }

    fn record(to: Option<&str>, done: bool) -> Record {
        Record {
            by: "prod".to_owned(),
            from: "token-a".to_owned(),
            began: at("08T08:00"),
            request: Some("1".to_owned()),
            to: to.map(|time| Switch { key: "ext/token-b".to_owned(), at: at(time) }),
            done: done.then(|| at("08T09:00")),
        }
    }

    #[test]
    fn a_key_is_replaced_after_its_days() {
        assert_eq!(plan(&seen("05T08:00", Some(7), None)), Step::Wait(Some(at("08T08:00"))));
        assert_eq!(plan(&seen("08T08:00", Some(7), None)), Step::Begin);
        assert_eq!(plan(&seen("28T08:00", None, None)), Step::Wait(None));
    }

    #[test]
    fn a_key_is_replaced_well_before_it_expires() {
        let expiring = |now, end| Seen { expiry: Expiry::At(at(end)), ..seen(now, Some(365), None) };
        assert_eq!(plan(&expiring("02T08:00", "30T08:00")), Step::Wait(Some(at("23T08:00"))), "a week before");
        assert_eq!(
            plan(&expiring("02T08:00", "04T08:00")),
            Step::Wait(Some(at("03T08:00"))),
            "a third of its life before"
        );
        assert_eq!(plan(&expiring("24T08:00", "30T08:00")), Step::Begin);
    }

    #[test]
    fn each_value_of_rotate_now_is_served_once() {
        let asks = |request, served, record| Seen { request, served, ..seen("05T08:00", None, record) };
        assert_eq!(plan(&asks(Some("1"), None, None)), Step::Begin);
        assert_eq!(plan(&asks(Some("1"), Some("1"), None)), Step::Wait(None), "by the status");
        let done = record(Some("08T08:00"), true);
        assert_eq!(plan(&asks(Some("1"), None, Some(&done))), Step::Wait(None), "by the Secret");
        assert_eq!(plan(&asks(Some("2"), Some("1"), Some(&done))), Step::Begin);
        assert_eq!(plan(&asks(None, Some("1"), Some(&done))), Step::Wait(None));
    }

    #[test]
    fn what_was_begun_is_ended() {
        let begun = record(None, false);
        assert_eq!(plan(&seen("08T09:00", Some(7), Some(&begun))), Step::Begin, "a crash before the switch: anew");
        assert_eq!(
            plan(&seen("05T08:00", Some(7), Some(&begun))),
            Step::Retire,
            "no longer due: only what it left goes"
        );
        let asked = Seen { request: Some("1"), ..seen("05T08:00", None, Some(&begun)) };
        assert_eq!(plan(&asked), Step::Begin, "what was asked for was not served yet");
        let switched = record(Some("08T08:00"), false);
        assert_eq!(plan(&seen("08T08:00", Some(7), Some(&switched))), Step::Settle(at("08T08:01")));
        assert_eq!(plan(&seen("08T08:01", Some(7), Some(&switched))), Step::Retire);
        assert_eq!(plan(&seen("08T07:00", Some(7), Some(&switched))), Step::Retire, "the clock was set back");
        let stuck = Seen { stood: GRACE, ..seen("08T08:00", Some(7), Some(&switched)) };
        assert_eq!(plan(&stuck), Step::Retire, "the clock stands still");
    }
}
