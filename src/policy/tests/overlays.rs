//! What lies over what others allow: policies that demand more, and policies that refuse.

use serde_json::{Value, json};

use super::{RefusalReason as R, *};

/// A `Require` or `Deny` policy that matches everything, changed by a merge patch.
fn overlay(name: &str, effect: &str, patch: Value) -> Policy {
    let open = json!({
        "effect": effect, "namespaceSelector": {"matchLabels": null}, "requesters": [], "access": [],
    });
    policy(name, merged(open, &patch))
}

fn judged(overlays: &[Policy], patch: Value) -> Result<Allowed, Refusal> {
    let mut policies = vec![policy("web", json!({"approval": {"contact": "#web"}}))];
    policies.extend(overlays.iter().cloned());
    both(&grant(patch), &policies, &facts())
}

#[test]
fn what_is_left_out_denies_everything_and_what_is_named_narrows() {
    let denies = |patch: Value| match judged(&[overlay("no", "Deny", patch)], json!({})) {
        Ok(_) => false,
        Err(refusal) => {
            assert_eq!(refusal.reason, R::PolicyDenies);
            assert!(refusal.message.contains("AccessPolicy no (effect Deny)"), "{refusal}");
            true
        }
    };
    let user = |name: &str| json!({"requesters": [{"kind": "User", "name": name}]});
    let cluster = |rule: Value| json!({"access": [{"cluster": rule}]});
    for (patch, expected) in [
        (json!({}), true),
        (json!({"namespaceSelector": {"matchLabels": {"team": "web"}}}), true),
        (json!({"namespaceSelector": {"matchLabels": {"team": "db"}}}), false),
        (user("alice"), true),
        (user("ALICE"), true),
        (user("bob"), false),
        // Whoever asks chooses which of his groups he names.
        (json!({"requesters": [{"kind": "Group", "name": "nobody"}]}), true),
        (json!({"subjects": {"users": ["okta_user://al*"]}}), true),
        (json!({"subjects": {"users": ["OKTA_USER://ALICE"]}}), true),
        (json!({"subjects": {"users": ["okta_user://bob"]}}), false),
        (json!({"subjects": {"groups": ["*"]}}), false),
        (cluster(json!({"roles": ["*"]})), true),
        (cluster(json!({"names": ["c-1"], "roles": ["cluster-*"]})), true),
        (cluster(json!({"names": ["c-2"], "roles": ["*"]})), false),
        (cluster(json!({"selector": {"matchLabels": {"env": "prod"}}, "roles": ["cluster-member"]})), true),
        (cluster(json!({"selector": {"matchLabels": {"env": "dev"}}, "roles": ["*"]})), false),
        (cluster(json!({"roles": ["cluster-owner"]})), false),
        (json!({"access": [{"project": {"names": ["p-1"], "roles": ["*"]}}]}), true),
        (json!({"access": [{"project": {"clusters": ["c-9"], "roles": ["*"]}}]}), false),
        (json!({"access": [{"global": {"roles": ["*"]}}]}), false),
        (json!({"suspend": true}), false),
        (json!({"integrationRef": {"name": "test"}}), false),
    ] {
        assert_eq!(denies(patch.clone()), expected, "{patch}");
    }
}

#[test]
fn a_deny_wins_over_whatever_allows_or_requires() {
    let overlays = [
        overlay("a", "Require", json!({"approval": {"required": 1, "approvers": [{"kind": "Group", "name": "sre"}]}})),
        overlay("z", "Deny", json!({})),
    ];
    refused(judged(&overlays, json!({})), R::PolicyDenies, &["z"]);
}

#[test]
fn what_is_required_is_added() {
    let sre = json!([{"kind": "Group", "name": "sre"}]);
    let two = overlay(
        "two",
        "Require",
        json!({"approval": {"required": 2, "approvers": sre, "timeout": "2h", "selfApproval": true, "contact": "#sre"},
            "duration": {"default": "1m", "max": "30m"}}),
    );
    let allowed = judged(std::slice::from_ref(&two), json!({})).unwrap();
    assert_eq!(allowed.required_by, [two.record()]);
    assert_eq!(allowed.required_approvals(), 2);
    assert_eq!(allowed.approval_timeout.as_secs(), 7200, "the shorter one");
    assert_eq!(allowed.duration.as_secs(), 1800, "a default is cut to what is required");
    assert!(!allowed.self_approval, "all must allow it");
    assert_eq!(allowed.contacts, ["#web", "#sre"]);
    refused(judged(&[two], json!({"duration": "31m"})), R::DurationTooLong, &["two (effect Require)", "max is 30m"]);
    let reason = overlay("why", "Require", json!({"requireReason": true}));
    refused(judged(std::slice::from_ref(&reason), json!({})), R::ReasonRequired, &["why (effect Require)"]);
    assert!(judged(&[reason], json!({"reason": "INC-1"})).is_ok());
    let near = overlay("near", "Require", json!({"maxAhead": "1h"}));
    let ahead = json!({"startTime": "2026-06-01T14:00:00Z"});
    refused(judged(&[near], ahead), R::StartTooFar, &["near"]);
    // What it does not say, it does not limit.
    let silent = overlay("silent", "Require", json!({}));
    assert!(judged(&[silent], json!({"duration": "8h"})).is_ok());
}

#[test]
fn a_require_policy_allows_nothing_by_itself() {
    let overlays = [overlay("more", "Require", json!({}))];
    refused(both(&grant(json!({})), &overlays, &facts()), R::NoPolicy, &[]);
}

#[test]
fn a_local_user_is_denied_by_his_own_name_and_by_those_in_rancher() {
    let policies = |subjects: Value| {
        let web = policy("web", json!({"subjects": {"localUsers": ["*"]}}));
        [web, overlay("no", "Deny", json!({"subjects": subjects}))]
    };
    let subject =
        SubjectFacts { user_id: Some("rao-x".to_owned()), principals: vec!["local://rao-x".to_owned()], group: None };
    let facts = Facts { subject, ..facts() };
    let spec = grant(json!({"subject": {"localUser": {"username": "deploy"}}}));
    for (subjects, denied) in [
        (json!({"localUsers": ["dep*"]}), true),
        (json!({"localUsers": ["admin"]}), false),
        (json!({"users": ["*"]}), true),
        (json!({"users": ["local://*"]}), true),
        (json!({"users": ["deploy"]}), false),
        (json!({"groups": ["*"]}), false),
        (json!({}), true),
    ] {
        assert_eq!(both(&spec, &policies(subjects.clone()), &facts).is_err(), denied, "{subjects}");
    }
}
