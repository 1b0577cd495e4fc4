//! Which policies are asked, and which of them allows.

use serde_json::{Value, json};

use super::{RefusalReason as R, *};

#[test]
fn a_policy_that_covers_everything_allows() {
    let policies = [policy("web", json!({"approval": {"required": 2, "timeout": "2h"}}))];
    let allowed = both(&grant(json!({})), &policies, &facts()).unwrap();
    assert_eq!(allowed.policy, policies[0].record());
    assert_eq!(allowed.required_approvals(), 2);
    assert_eq!(allowed.approval_timeout.as_secs(), 7200);
    assert_eq!(allowed.duration.as_secs(), 3600);
}

#[test]
fn without_a_policy_for_the_integration_nothing_is_allowed() {
    refused(first(&grant(json!({})), &[]), R::NoPolicy, &["spec.integrationRef"]);
    let other = [policy("web", json!({"integrationRef": {"name": "test"}}))];
    refused(first(&grant(json!({})), &other), R::NoPolicy, &[]);
    let suspended = [policy("web", json!({"suspend": true}))];
    refused(first(&grant(json!({})), &suspended), R::NoPolicy, &[]);
    refused(both(&grant(json!({})), &[], &facts()), R::NoPolicy, &["platform team"]);
}

#[test]
fn policy_ref_picks_one() {
    let policies = [
        policy("a", json!({"approval": {"required": 1}})),
        policy("b", json!({})),
        policy("c", json!({"integrationRef": {"name": "test"}})),
    ];
    let by = |name: &str| grant(json!({"policyRef": {"name": name}}));
    assert_eq!(both(&by("a"), &policies, &facts()).unwrap().policy.name, "a");
    refused(first(&by("c"), &policies), R::NoPolicy, &["spec.policyRef"]);
    refused(first(&by("d"), &policies), R::NoPolicy, &[]);
}

#[test]
fn the_fewest_approvals_win_then_the_name() {
    let policies = [
        policy("d", json!({})),
        policy("c", json!({})),
        policy("b", json!({"approval": {"required": 1}})),
        policy("a", json!({"approval": {"required": 2}})),
    ];
    assert_eq!(first(&grant(json!({})), &policies).unwrap(), ["c", "d", "b", "a"]);
    assert_eq!(both(&grant(json!({})), &policies, &facts()).unwrap().policy.name, "c");
    let dear = &policies[2..];
    assert_eq!(both(&grant(json!({})), dear, &facts()).unwrap().policy.name, "b");
}

#[test]
fn namespaces_are_selected_by_label_and_an_empty_selector_selects_none() {
    let selector = |s: Value| json!({"namespaceSelector": s});
    let other = selector(json!({"matchLabels": {"team": "db"}}));
    not_by(other, json!({}), R::NoPolicy, &["the namespace"]);
    let empty = selector(json!({"matchLabels": null}));
    not_by(empty, json!({}), R::NoPolicy, &[]);
    let named = selector(json!({"matchLabels": {"team": null, "kubernetes.io/metadata.name": "web-prod"}}));
    assert!(both(&grant(json!({})), &[policy("web", named)], &facts()).is_ok());
}

#[test]
fn a_namespace_cannot_pass_for_another_by_a_label() {
    let named = json!({"namespaceSelector": {"matchLabels": {"team": null, "kubernetes.io/metadata.name": "admin"}}});
    let policies = [policy("web", named)];
    let (spec, mapping) = (grant(json!({})), mapping());
    let forged = labels(&[("kubernetes.io/metadata.name", "admin")]);
    let request = Request {
        namespace: "web-prod",
        namespace_labels: &forged,
        spec: &spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &Unfinished::default(),
    };
    refused(candidates(&request, &policies, now()), R::NoPolicy, &[]);
}

#[test]
fn the_second_stage_does_not_trust_the_first() {
    let (spec, none, mapping) = (grant(json!({})), BTreeMap::new(), mapping());
    let request = Request {
        namespace: "x",
        namespace_labels: &none,
        spec: &spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &Unfinished::default(),
    };
    let web = policy("web", json!({}));
    refused(judge(&request, &[&web], &[], &facts(), now()), R::NoPolicy, &[]);
    refused(judge(&request, &[], &[], &facts(), now()), R::NoPolicy, &[]);
}

#[test]
fn messages_stay_short_and_on_one_line_whatever_the_names() {
    // As long as a name may be and still be mapped.
    let long = "x\n\u{202e}".repeat(98);
    let by = json!([{"kind": "User", "name": long}]);
    let policies: Vec<_> =
        (0..50).map(|i| policy(&format!("{long}{i}"), json!({"requesters": by, "access": []}))).collect();
    let spec = grant(json!({"requestedBy": {"username": long}}));
    let refusal = first(&spec, &policies).unwrap_err();
    assert!(refusal.message.len() <= MESSAGE_MAX && refusal.message.contains("add this target"));
    assert!(!refusal.message.contains(['\n', '\u{202e}']));
}

/// Whoever may ask for nothing learns nothing: whatever he tries, the answer is the same.
#[test]
fn whom_no_policy_knows_is_told_one_and_the_same() {
    let policies = [
        policy("web", json!({})),
        policy("other", json!({"integrationRef": {"name": "test"}, "requesters": [{"kind": "User", "name": "eve"}]})),
        policy(
            "db",
            json!({"namespaceSelector": {"matchLabels": {"team": "db"}}, "requesters": [{"kind": "User", "name": "mallory"}]}),
        ),
    ];
    let mallory = |patch: Value| grant(merged(json!({"requestedBy": {"username": "mallory", "groups": null}}), &patch));
    let refusal = |patch: Value| first(&mallory(patch), &policies).unwrap_err();
    let one = refusal(json!({}));
    for patch in [
        json!({"integrationRef": {"name": "test"}}),
        json!({"integrationRef": {"name": "nowhere"}}),
        json!({"policyRef": {"name": "web"}}),
        json!({"policyRef": {"name": "nope"}}),
        json!({"access": [{"cluster": {"name": "c-1", "role": "cluster-owner"}}]}),
        json!({"subject": {"user": "u-nobody"}}),
        json!({"endTime": "2020-01-01T00:00:00Z"}),
    ] {
        assert_eq!(refusal(patch), one);
    }
}
