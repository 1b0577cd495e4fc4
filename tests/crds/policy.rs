//! Every rule of `AccessPolicy` but those of its selectors.

use serde_json::{Value, json};

use crate::server::{Kind, OK, Row, long, many};

pub(crate) fn base() -> Value {
    json!({"integrationRef": {"name": "prod"}, "namespaceSelector": {"matchLabels": {"team": "web"}}})
}

pub(crate) async fn kind() -> Kind {
    Kind::new("AccessPolicy", "accesspolicies", None).await
}

pub(crate) fn one(pointer: &'static str, value: Value, expected: &'static str) -> Row {
    (vec![(pointer, value)], expected)
}

#[tokio::test]
async fn what_is_left_out_is_filled_in() {
    let mut expected = base();
    expected["effect"] = json!("Allow");
    expected["requesters"] = json!([]);
    expected["subjects"] = json!({"self": true});
    expected["access"] = json!([]);
    expected["allowPrivileged"] = json!(false);
    expected["approval"] = json!({"required": 0, "timeout": "24h", "selfApproval": false});
    expected["requireReason"] = json!(false);
    expected["onPolicyChange"] = json!("Keep");
    expected["suspend"] = json!(false);
    assert_eq!(kind().await.stored(&base()).await, expected);
    let mut partial = base();
    partial["duration"] = json!({"max": "2h"});
    let sre = json!([{"kind": "Group", "name": "sre"}]);
    partial["approval"] = json!({"required": 2, "approvers": sre});
    let stored = kind().await.stored(&partial).await;
    assert_eq!(stored["duration"], json!({"default": "1h", "max": "2h"}));
    assert_eq!(stored["approval"], json!({"required": 2, "timeout": "24h", "selfApproval": false, "approvers": sre}));
}

#[tokio::test]
async fn what_it_is_about() {
    let rows = vec![
        one("/effect", json!("Allow"), OK),
        one("/effect", json!("Deny"), OK),
        one("/effect", json!("allow"), "spec.effect: Unsupported value"),
        one("/integrationRef", Value::Null, "spec.integrationRef: Required"),
        one("/integrationRef", json!({}), "spec.integrationRef.name: Required"),
        one("/integrationRef/name", json!("Prod"), "spec.integrationRef.name in body should match"),
        one("/namespaceSelector", Value::Null, "spec.namespaceSelector: Required"),
        one("/allowPrivileged", json!("yes"), "spec.allowPrivileged"),
        one("/requireReason", json!(true), OK),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn who_may_ask_and_for_whom() {
    let namespace = "namespace is required for a ServiceAccount and may not be specified for a User or Group";
    let requester = |value: Value, expected| one("/requesters", json!([value]), expected);
    let rows = vec![
        requester(json!({"kind": "User", "name": "alice"}), OK),
        requester(json!({"kind": "Group", "name": "system:authenticated"}), OK),
        requester(json!({"kind": "ServiceAccount", "namespace": "argocd", "name": "sync"}), "metadata.name alone"),
        requester(json!({"kind": "ServiceAccount", "name": "sync"}), namespace),
        requester(json!({"kind": "User", "namespace": "a", "name": "alice"}), namespace),
        requester(json!({"kind": "Group", "namespace": "a", "name": "devs"}), namespace),
        requester(json!({"kind": "Robot", "name": "r2"}), "Unsupported value"),
        requester(json!({"kind": "User"}), "name: Required"),
        requester(json!({"name": "alice"}), "kind: Required"),
        requester(json!({"kind": "User", "name": ""}), "name"),
        requester(json!({"kind": "User", "name": "a\nb"}), "name in body should match"),
        requester(json!({"kind": "User", "name": "a\u{200f}b"}), "name in body should match"),
        requester(json!({"kind": "User", "name": "a".repeat(254)}), "Too long"),
        requester(json!({"kind": "ServiceAccount", "namespace": "A", "name": "a"}), "namespace in body should match"),
        one("/requesters", many(64, json!({"kind": "User", "name": "alice"})), OK),
        one("/requesters", many(65, json!({"kind": "User", "name": "alice"})), "must have at most 64 items"),
        one("/subjects", json!({"self": false, "users": ["okta_user://ext-*", "u-x7k2m"], "groups": ["*"]}), OK),
        one("/subjects/localUsers", json!(["deploy", "ci-*", "*"]), OK),
        one("/subjects/localUsers", json!(["Deploy"]), "spec.subjects.localUsers[0] in body should match"),
        one("/subjects/localUsers", many(65, json!("a")), "must have at most 64 items"),
        one("/subjects/users", json!([""]), "spec.subjects.users[0]"),
        one("/subjects/users", json!(["a\u{202e}"]), "spec.subjects.users[0] in body should match"),
        one("/subjects/users", many(65, json!("a")), "must have at most 64 items"),
        one("/subjects/groups", many(65, json!("a")), "must have at most 64 items"),
        one("/subjects/groups", json!(["a".repeat(513)]), "Too long"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn what_may_be_asked_for() {
    let exactly = "must set exactly one of cluster, project, namespace and global";
    let access = |value: Value, expected| one("/access", json!([value]), expected);
    let cluster = |key: &str, value: Value| json!({"cluster": {"roles": ["cluster-member"], key: value}});
    let project = |key: &str, value: Value| json!({"project": {"roles": ["project-member"], key: value}});
    let namespace = |change: Value| {
        let mut rule = json!({"clusters": ["c-m-*"], "names": ["web-*"], "roles": ["edit"]});
        rule.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"namespace": rule})
    };
    let rows = vec![
        access(cluster("names", json!(["c-m-*", "*", "local"])), OK),
        access(project("names", json!(["p-*"])), OK),
        access(project("clusters", json!(["c-m-abc12def"])), OK),
        access(json!({}), exactly),
        access(json!({"cluster": {"roles": ["a"]}, "project": {"roles": ["a"]}}), exactly),
        access(namespace(json!({})), OK),
        access(namespace(json!({"names": []})), "names in body should have at least 1 items"),
        access(namespace(json!({"clusters": []})), "clusters in body should have at least 1 items"),
        access(namespace(json!({"roles": ["e*"]})), "roles of an Allow policy are compared exactly"),
        access(namespace(json!({"names": ["a.b"]})), "in body should match"),
        access(json!({"global": {"roles": ["user-base"]}}), OK),
        access(json!({"global": {"roles": []}}), "should have at least 1 items"),
        access(json!({"global": {"roles": ["*"]}}), "roles of an Allow policy are compared exactly"),
        access(json!({"global": {"roles": ["a"]}, "namespace": namespace(json!({}))["namespace"]}), exactly),
        access(json!({"cluster": {}}), "roles: Required"),
        access(json!({"project": {}}), "roles: Required"),
        access(cluster("roles", json!([])), "should have at least 1 items"),
        access(project("roles", json!([])), "should have at least 1 items"),
        access(cluster("roles", json!(["*"])), "roles of an Allow policy are compared exactly"),
        access(project("roles", json!(["project-*"])), "roles of an Allow policy are compared exactly"),
        access(cluster("roles", json!(["A"])), "in body should match"),
        access(cluster("roles", many(65, json!("a"))), "must have at most 64 items"),
        access(project("roles", many(65, json!("a"))), "must have at most 64 items"),
        access(cluster("names", many(65, json!("a"))), "must have at most 64 items"),
        access(project("names", many(65, json!("a"))), "must have at most 64 items"),
        access(project("clusters", many(65, json!("a"))), "must have at most 64 items"),
        access(cluster("names", json!(["A"])), "in body should match"),
        access(project("names", json!(["c-1:p-1"])), "in body should match"),
        access(project("clusters", json!([""])), "clusters[0]"),
        access(cluster("names", json!(["a".repeat(254)])), "Too long"),
        one("/access", many(64, cluster("names", json!([]))), OK),
        one("/access", many(65, cluster("names", json!([]))), "must have at most 64 items"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn how_long_and_who_approves() {
    let rows = vec![
        one("/duration", json!({"default": "8h", "max": "8h"}), OK),
        one("/duration", json!({"default": "1h30m", "max": "5400s"}), OK),
        one("/duration", json!({"default": "9h"}), "default may not be longer than max"),
        one("/duration", json!({"max": "59m"}), "default may not be longer than max"),
        one("/duration", json!({"default": "0s"}), "default and max must be longer than 0s"),
        one("/duration", json!({"default": "0s", "max": "0h"}), "default and max must be longer than 0s"),
        one("/duration/default", json!("60"), "spec.duration.default in body should match"),
        one("/duration/default", json!("-1h"), "spec.duration.default in body should match"),
        one("/duration/default", json!("1d"), "spec.duration.default in body should match"),
        one("/duration/max", json!("1.5h"), "spec.duration.max in body should match"),
        one("/duration/max", json!("999999h9999999m999999s"), OK),
        one("/duration/max", long(25, "1"), "spec.duration.max: Too long"),
        one("/limits", json!({}), OK),
        one("/limits/perNamespace", json!(1), OK),
        one("/limits", json!({"perNamespace": 10000, "perRequester": 10000}), OK),
        one("/limits/perNamespace", json!(0), "spec.limits.perNamespace"),
        one("/limits/perNamespace", json!(10001), "spec.limits.perNamespace"),
        one("/limits/perRequester", json!(0), "spec.limits.perRequester"),
        one("/limits/perRequester", json!("3"), "spec.limits.perRequester"),
        one("/duration", json!({"max": "2h", "maxContinuous": "2h"}), OK),
        one("/duration", json!({"max": "2h", "maxContinuous": "1h"}), "maxContinuous may not be shorter than max"),
        one("/maxAhead", json!("24h"), OK),
        one("/maxAhead", json!("1w"), "spec.maxAhead in body should match"),
        one("/approval", json!({"required": 16, "approvers": [{"kind": "Group", "name": "sre"}]}), OK),
        one("/approval/required", json!(1), "approvers must name who may approve"),
        one("/approval/required", json!(17), "spec.approval.required"),
        one("/approval/required", json!(-1), "spec.approval.required"),
        one("/approval/timeout", json!("1s"), OK),
        one("/approval/timeout", json!("0m"), "timeout must be longer than 0s"),
        one("/approval/timeout", json!("soon"), "spec.approval.timeout in body should match"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn all_of_it_may_change() {
    let rows = vec![
        (vec![], OK),
        one("/integrationRef/name", json!("other"), OK),
        one("/namespaceSelector", json!({}), OK),
        one("/requesters", json!([{"kind": "User", "name": "alice"}]), OK),
        one("/duration", json!({"default": "2h", "max": "4h"}), OK),
    ];
    kind().await.updates("changing", &base(), rows).await;
}

#[tokio::test]
async fn who_may_approve() {
    let name = "name is required for a User, Group or ServiceAccount and may not be specified for ResourceOwner";
    let namespace = "namespace is required for a ServiceAccount and may not be specified for others";
    let approver = |value: Value, expected| one("/approval", json!({"approvers": [value]}), expected);
    let of = |required: i32, approvers: Value, expected| {
        one("/approval", json!({"required": required, "approvers": approvers}), expected)
    };
    let users = json!([{"kind": "User", "name": "a"}, {"kind": "User", "name": "b"}]);
    let rows = vec![
        approver(json!({"kind": "ResourceOwner"}), OK),
        approver(json!({"kind": "User", "name": "u-x7k2m"}), OK),
        approver(json!({"kind": "ServiceAccount", "namespace": "ci", "name": "bot"}), OK),
        approver(json!({"kind": "ResourceOwner", "name": "a"}), name),
        approver(json!({"kind": "Group"}), name),
        approver(json!({"kind": "ServiceAccount", "name": "bot"}), namespace),
        approver(json!({"kind": "User", "name": "a", "namespace": "b"}), namespace),
        approver(json!({"kind": "Owner"}), "Unsupported value"),
        approver(json!({"kind": "User", "name": "a\u{202e}"}), "name in body should match"),
        of(2, users.clone(), OK),
        of(3, users, "required may not be above the number of approvers"),
        of(3, json!([{"kind": "Group", "name": "sre"}]), OK),
        of(0, many(33, json!({"kind": "User", "name": "a"})), "must have at most 32 items"),
        one("/approval/contact", json!("#sre-oncall"), OK),
        one("/approval/contact", json!("a\nb"), "contact in body should match"),
        one("/approval/selfApproval", json!(true), OK),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn what_lies_over_others_matches_everything_that_it_does_not_name() {
    let groups = "requesters of a Require or Deny policy may not be groups";
    let with = |effect: &str, field: &'static str, value: Value, expected| {
        (vec![("/effect", json!(effect)), (field, value)], expected)
    };
    let star = json!([{"cluster": {"roles": ["*"]}}, {"global": {"roles": ["admin-*"]}}]);
    let approval = json!({"required": 1, "approvers": [{"kind": "ResourceOwner"}]});
    let rows = vec![
        one("/effect", json!("Forbid"), "Unsupported value"),
        with("Deny", "/namespaceSelector", json!({}), OK),
        with("Deny", "/access", star.clone(), OK),
        with("Require", "/access", star, OK),
        with("Require", "/requesters", json!([{"kind": "Group", "name": "sre"}]), groups),
        with("Deny", "/requesters", json!([{"kind": "Group", "name": "sre"}]), groups),
        with("Deny", "/requesters", json!([{"kind": "User", "name": "alice"}]), OK),
        with("Deny", "/requesters", json!([{"kind": "ServiceAccount", "namespace": "a", "name": "b"}]), OK),
        with("Require", "/approval", approval.clone(), OK),
        with("Deny", "/approval", approval, "a Deny policy asks for no approvals"),
        one("/onPolicyChange", json!("Revoke"), OK),
        one("/onPolicyChange", json!("Forget"), "Unsupported value"),
        one("/suspend", json!(true), OK),
    ];
    kind().await.creates(&base(), rows).await;
}

/// Labels of a namespace are whoever's may write them; its name is nobody's.
#[tokio::test]
async fn where_a_service_account_may_ask_namespaces_are_named() {
    let only = "by kubernetes.io/metadata.name alone";
    let account = json!([{"kind": "ServiceAccount", "namespace": "argocd", "name": "sync"}]);
    let with = |selector: Value, expected| {
        (vec![("/requesters", account.clone()), ("/namespaceSelector", selector)], expected)
    };
    let name = "kubernetes.io/metadata.name";
    let expression = |operator: &str| {
        let values = if operator == "In" { json!(["web"]) } else { Value::Null };
        let mut expression = json!({"key": name, "operator": operator});
        if !values.is_null() {
            expression["values"] = values;
        }
        json!({"matchExpressions": [expression]})
    };
    let rows = vec![
        with(json!({"matchLabels": {name: "web"}}), OK),
        with(json!({"matchLabels": {name: "web", "team": "web"}}), only),
        with(json!({"matchLabels": {"team": "web"}}), only),
        with(expression("In"), OK),
        with(expression("Exists"), only),
        one("/requesters", json!([{"kind": "User", "name": "system:serviceaccount:argocd:sync"}]), only),
        one("/requesters", json!([{"kind": "Group", "name": "system:serviceaccounts:argocd"}]), only),
    ];
    kind().await.creates(&base(), rows).await;
}
