//! How long, and what else a policy wants.

use serde_json::json;

use super::{RefusalReason as R, *};
use crate::policy::Continuous;

#[test]
fn durations_are_limited() {
    not_by(json!({}), json!({"duration": "8h1s"}), R::DurationTooLong, &["8h1s", "max is 8h", "shorter"]);
    not_by(json!({}), json!({"duration": "0s"}), R::TimeInvalid, &["spec.duration"]);
    not_by(json!({}), json!({"duration": "9999999999999999999h"}), R::TimeInvalid, &["spec.duration"]);
    let policies = [policy("web", json!({}))];
    let allowed = both(&grant(json!({"duration": "8h"})), &policies, &facts()).unwrap();
    assert_eq!(allowed.duration.as_secs(), 8 * 3600);
}

#[test]
fn ends_count_from_the_start() {
    let end = |end: &str| json!({"endTime": end});
    not_by(json!({}), end("2026-06-01T12:00:00Z"), R::EndPassed, &["has passed"]);
    not_by(json!({}), end("2026-06-01T20:00:01Z"), R::DurationTooLong, &["8h1s", "endTime"]);
    not_by(json!({}), json!({"endTime": "2026-06-01T13:00:00Z", "duration": "1h"}), R::TimeInvalid, &["both"]);
    let span = |start: &str| json!({"startTime": start, "endTime": "2026-06-02T12:00:00Z"});
    not_by(json!({}), span("2026-06-02T12:00:00Z"), R::TimeInvalid, &["startTime"]);
    not_by(json!({}), span("2026-06-02T03:59:59Z"), R::DurationTooLong, &[]);
    // A start in the past does not count.
    let past = json!({"startTime": "2026-05-01T00:00:00Z", "endTime": "2026-06-01T14:00:00Z"});
    let policies = [policy("web", json!({}))];
    for (patch, seconds) in
        [(past, 7200), (span("2026-06-02T04:00:00Z"), 8 * 3600), (end("2026-06-01T20:00:00Z"), 8 * 3600)]
    {
        assert_eq!(both(&grant(patch), &policies, &facts()).unwrap().duration.as_secs(), seconds);
    }
}

#[test]
fn a_reason_may_be_required() {
    let wants = json!({"requireReason": true});
    not_by(wants.clone(), json!({}), R::ReasonRequired, &["requireReason", "spec.reason"]);
    not_by(wants.clone(), json!({"reason": "  "}), R::ReasonRequired, &[]);
    assert!(both(&grant(json!({"reason": "INC-1"})), &[policy("web", wants)], &facts()).is_ok());
}

#[test]
fn a_policy_that_makes_no_sense_allows_nothing() {
    for (patch, says) in [
        (json!({"duration": {"default": "1d", "max": "8h"}}), "spec.duration.default"),
        (json!({"duration": {"default": "1h", "max": "0s"}}), "spec.duration.max"),
        (json!({"duration": {"default": "9h", "max": "8h"}}), "longer than"),
        (json!({"approval": {"required": -1}}), "negative"),
        (json!({"approval": {"timeout": ""}}), "spec.approval.timeout"),
    ] {
        not_by(patch, json!({}), R::PolicyInvalid, &[says, "platform team"]);
    }
}

#[test]
fn a_start_may_lie_only_so_far_ahead() {
    let at = |start: &str| json!({"startTime": start, "duration": "1h"});
    not_by(json!({}), at("2026-06-08T12:00:01Z"), R::StartTooFar, &["168h1s", "maxAhead is 168h"]);
    not_by(json!({"maxAhead": "1h"}), at("2026-06-01T13:00:01Z"), R::StartTooFar, &["maxAhead is 1h"]);
    let policies = [policy("web", json!({"maxAhead": "1h"}))];
    assert!(both(&grant(at("2026-06-01T13:00:00Z")), &policies, &facts()).is_ok());
}

#[test]
fn grants_that_follow_each_other_may_last_only_so_long_together() {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let policies = [policy("web", json!({"duration": {"default": "1h", "max": "8h", "maxContinuous": "24h"}}))];
    let spec = grant(json!({"duration": "8h"}));
    let after = |windows: &[(&str, &str)]| {
        let windows = windows.iter().map(|(since, until)| (time(since), time(until)));
        both(&spec, &policies, &Facts { continuous: Some(Continuous::of(now(), windows)), ..facts() })
    };
    assert!(after(&[]).is_ok());
    assert!(after(&[("2026-05-31T20:00:00Z", "2026-06-01T12:00:00Z")]).is_ok(), "24 h together");
    let too_long = [("2026-05-31T19:59:59Z", "2026-06-01T12:00:00Z")];
    refused(after(&too_long), R::ContinuousTooLong, &["24h1s", "maxContinuous is 24h", "15m after"]);
    // A pause that is too short is none; a long one is.
    refused(after(&[("2026-05-31T10:00:00Z", "2026-06-01T11:46:00Z")]), R::ContinuousTooLong, &[]);
    assert!(after(&[("2026-05-31T10:00:00Z", "2026-06-01T11:45:00Z")]).is_ok());
    // What overlaps counts from where it began.
    refused(after(&[("2026-05-31T10:00:00Z", "2026-06-01T15:00:00Z")]), R::ContinuousTooLong, &[]);
}
