//! Who asks.

use serde_json::{Value, json};

use super::{RefusalReason as R, *};
use crate::{api::AccessPolicy, policy::PolicyError};

const END: &str = "2026-06-01T13:00:00Z";

#[track_caller]
fn asks(requesters: Value, by: Value, allowed: bool) {
    let policies = [policy("web", json!({"requesters": requesters, "subjects": {"self": true, "users": ["u-alice"]}}))];
    let spec = grant(json!({"requestedBy": by, "subject": {"user": "u-alice"}, "endTime": END}));
    let result = both(&spec, &policies, &facts());
    if allowed {
        assert!(result.is_ok(), "{result:?}");
    } else {
        refused(result, R::RequesterNotAllowed, &["spec.requesters"]);
    }
}

#[test]
fn requesters_match_by_their_own_kind_alone_and_exactly() {
    let user = json!([{"kind": "User", "name": "alice"}]);
    let group = json!([{"kind": "Group", "name": "web"}]);
    let account = json!([{"kind": "ServiceAccount", "namespace": "argocd", "name": "sync"}]);
    let by = |name: &str, groups: &[&str]| json!({"username": name, "groups": groups});
    asks(user.clone(), by("alice", &[]), true);
    asks(user.clone(), by("Alice", &[]), false);
    asks(user.clone(), by("bob", &["alice"]), false);
    asks(user, by("alice2", &["web"]), false);
    asks(group.clone(), by("bob", &["x", "web"]), true);
    asks(group.clone(), by("web", &["web-devs", "WEB"]), false);
    asks(group, by("web", &[]), false);
    asks(account.clone(), by("system:serviceaccount:argocd:sync", &[]), true);
    asks(account.clone(), by("system:serviceaccount:other:sync", &[]), false);
    asks(account.clone(), by("sync", &["sync"]), false);
    asks(account, by("x", &["system:serviceaccount:argocd:sync"]), false);
    asks(json!([{"kind": "ServiceAccount", "name": "sync"}]), by("system:serviceaccount::sync", &[]), false);
    asks(json!([{"kind": "User", "name": "*"}, {"kind": "Group", "name": "*"}]), by("bob", &["web"]), false);
    asks(json!([]), by("alice", &["web"]), false);
}

#[test]
fn a_service_account_without_approval_must_name_an_end() {
    let open = policy(
        "web",
        json!({"requesters": [{"kind": "ServiceAccount", "namespace": "argocd", "name": "sync"}], "subjects": {"users": ["u-alice"]}}),
    );
    let mut approved = open.clone();
    approved.spec.approval.required = 1;
    let by = json!({"username": "system:serviceaccount:argocd:sync", "groups": null});
    let spec = |extra: Value| grant(merged(json!({"requestedBy": by, "subject": {"user": "u-alice"}}), &extra));
    let once = |policy: &Policy, extra| both(&spec(extra), std::slice::from_ref(policy), &facts());
    refused(once(&open, json!({})), R::EndTimeRequired, &["spec.endTime"]);
    refused(once(&open, json!({"duration": "1h"})), R::EndTimeRequired, &[]);
    assert!(once(&open, json!({"endTime": END})).is_ok());
    assert!(once(&approved, json!({"duration": "1h"})).is_ok());
}

#[test]
fn a_policy_is_read_from_its_object() {
    let mut object = AccessPolicy::new("web", policy("web", json!({})).spec);
    let unborn = |object: &AccessPolicy| matches!(Policy::try_from(object), Err(PolicyError::Unborn { .. }));
    assert!(unborn(&object));
    object.metadata.uid = Some("uid-web".to_owned());
    assert!(unborn(&object));
    object.metadata.generation = Some(3);
    assert_eq!(Policy::try_from(&object).unwrap(), policy("web", json!({})));
    object.spec.duration.as_mut().unwrap().max = "1d".to_owned();
    let error = Policy::try_from(&object).unwrap_err();
    assert!(error.to_string().contains("AccessPolicy web: spec.duration.max"), "{error}");
}
