//! Every rule of `AccessGrant` about one object; those about its changes are in `grant_update`.

use serde_json::{Value, json};

use crate::server::{Kind, OK, Row, long, many};

pub(crate) const EIGHT: &str = "2026-12-01T08:00:00Z";
pub(crate) const NOON: &str = "2026-12-01T12:00:00Z";
pub(crate) const SIX: &str = "2026-12-01T18:00:00Z";

pub(crate) fn base() -> Value {
    json!({
        "integrationRef": {"name": "prod"},
        "requestedBy": {"username": "alice"},
        "access": [{"cluster": {"name": "c-m-abc12def", "role": "cluster-member"}}],
    })
}

pub(crate) async fn kind() -> Kind {
    Kind::new("AccessGrant", "accessgrants", Some("default")).await
}

pub(crate) fn one(pointer: &'static str, value: Value, expected: &'static str) -> Row {
    (vec![(pointer, value)], expected)
}

#[tokio::test]
async fn who_asks_for_whom() {
    let exactly = "must set exactly one of user, principal, group and localUser";
    let rows = vec![
        (vec![], OK),
        one("/integrationRef", Value::Null, "spec.integrationRef: Required"),
        one("/integrationRef/name", json!("a/b"), "spec.integrationRef.name in body should match"),
        one("/integrationRef/name", long(254, "a"), "spec.integrationRef.name: Too long"),
        one("/policyRef/name", json!("web"), OK),
        one("/policyRef", json!({}), "spec.policyRef.name: Required"),
        one("/policyRef/name", json!("Web"), "spec.policyRef.name in body should match"),
        one("/requestedBy", Value::Null, "spec.requestedBy: Required"),
        one("/requestedBy/username", Value::Null, "spec.requestedBy.username: Required"),
        one("/requestedBy/username", json!(""), "spec.requestedBy.username"),
        one("/requestedBy/username", json!("a\nb"), "spec.requestedBy.username in body should match"),
        one("/requestedBy/username", json!("a\u{202e}b"), "spec.requestedBy.username in body should match"),
        one("/requestedBy/username", long(513, "a"), "spec.requestedBy.username: Too long"),
        one("/requestedBy/groups", many(256, json!("a")), OK),
        one("/requestedBy/groups", many(257, json!("a")), "must have at most 256 items"),
        one("/requestedBy/groups", json!([""]), "spec.requestedBy.groups[0]"),
        one("/requestedBy/groups", json!(["a\u{7}"]), "spec.requestedBy.groups[0] in body should match"),
        one("/subject", json!({}), exactly),
        one("/subject/user", json!("u-x7k2m9qabc"), OK),
        one("/subject/principal", json!("openldap_user://uid=alice,ou=people"), OK),
        one("/subject/group", json!("okta_group://web-devs"), OK),
        one("/subject", json!({"user": "u-a", "group": "a://b"}), exactly),
        one("/subject", json!({"user": "u-a", "principal": "a://b"}), exactly),
        one("/subject", json!({"user": "u-a", "principal": "a://b", "group": "a://b"}), exactly),
        one("/subject", json!({"user": "u-a", "localUser": {"username": "a"}}), exactly),
        one("/subject/localUser", json!({"username": "deploy", "displayName": "Ü of web"}), OK),
        one("/subject/localUser", json!({"displayName": "nobody"}), "spec.subject.localUser.username: Required"),
        one(
            "/subject/localUser",
            json!({"username": "Deploy"}),
            "spec.subject.localUser.username in body should match",
        ),
        one("/subject/localUser", json!({"username": "a.b"}), "spec.subject.localUser.username in body should match"),
        one("/subject/localUser/username", long(41, "a"), "spec.subject.localUser.username: Too long"),
        one(
            "/subject/localUser",
            json!({"username": "a", "displayName": "a\nb"}),
            "spec.subject.localUser.displayName in body should match",
        ),
        one("/subject/user", json!("U-a"), "spec.subject.user in body should match"),
        one("/subject/user", json!("okta_user://a"), "spec.subject.user in body should match"),
        one("/subject/principal", json!("alice"), "spec.subject.principal in body should match"),
        one("/subject/principal", json!("a://"), "spec.subject.principal in body should match"),
        one("/subject/group", json!("a://b\nc"), "spec.subject.group in body should match"),
        one("/subject/group", long(130, "a://"), "spec.subject.group: Too long"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn what_is_asked_for() {
    let exactly = "must set exactly one of cluster, project, namespace and global";
    let cluster = |name: &str, role: &str| json!({"cluster": {"name": name, "role": role}});
    let project = |cluster: &str, name: &str| json!({"project": {"cluster": cluster, "name": name, "role": "r"}});
    let namespace = |cluster: &str, name: &str| json!({"namespace": {"cluster": cluster, "name": name, "role": "r"}});
    let access = |value: Value, expected| one("/access", json!([value]), expected);
    let rows = vec![
        one("/access", Value::Null, "spec.access: Required"),
        one("/access", json!([]), "should have at least 1 items"),
        one("/access", many(32, cluster("a", "r")), OK),
        one("/access", many(33, cluster("a", "r")), "must have at most 32 items"),
        access(project("local", "p-x7k2m"), OK),
        access(json!({}), exactly),
        access(json!({"cluster": cluster("a", "r")["cluster"], "project": project("a", "b")["project"]}), exactly),
        access(namespace("local", "api"), OK),
        access(json!({"global": {"role": "user-base"}}), OK),
        access(json!({"global": {"role": "r"}, "namespace": namespace("a", "b")["namespace"]}), exactly),
        access(json!({"cluster": cluster("a", "r")["cluster"], "global": {"role": "r"}}), exactly),
        access(namespace("a", "kube.system"), "namespace.name in body should match"),
        access(namespace("a", "web-*"), "namespace.name in body should match"),
        access(namespace("a", ""), "namespace.name"),
        access(json!({"namespace": {"name": "a", "role": "r"}}), "namespace.cluster: Required"),
        access(json!({"namespace": {"cluster": "a", "name": "b"}}), "namespace.role: Required"),
        access(json!({"global": {}}), "global.role: Required"),
        access(json!({"global": {"role": "Admin"}}), "global.role in body should match"),
        access(json!({"cluster": {"role": "r"}}), "cluster.name: Required"),
        access(json!({"cluster": {"name": "a"}}), "cluster.role: Required"),
        access(json!({"project": {"name": "a", "role": "r"}}), "project.cluster: Required"),
        access(json!({"project": {"cluster": "a", "role": "r"}}), "project.name: Required"),
        access(json!({"project": {"cluster": "a", "name": "b"}}), "project.role: Required"),
        access(cluster("*", "r"), "cluster.name in body should match"),
        access(cluster("", "r"), "cluster.name"),
        access(cluster("a", "Role"), "cluster.role in body should match"),
        access(cluster("Produktion (EU) 東京", "r"), OK),
        access(cluster(&"ü".repeat(253), "r"), OK),
        access(cluster("a\u{202e}b", "r"), "cluster.name in body should match"),
        access(cluster(&"a".repeat(254), "r"), "cluster.name: Too long"),
        access(cluster("a", &"r".repeat(254)), "cluster.role: Too long"),
        access(project("a", "c-1:p-1"), "project.name in body should match"),
        access(project("a/b", "p"), "project.cluster in body should match"),
        one("/reason", json!("INC-4711: Größe prüfen"), OK),
        one("/reason", long(2048, "a"), OK),
        one("/reason", long(2049, "a"), "spec.reason: Too long"),
        one("/reason", json!(""), "spec.reason"),
        one("/reason", json!("a\r\nb"), "spec.reason in body should match"),
        one("/reason", json!("a\u{2066}b"), "spec.reason in body should match"),
        one("/reason", json!("a\u{2028}b"), "spec.reason in body should match"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn when_and_how_long() {
    let both = "may not set both duration and endTime: use duration for people, endTime for Git";
    let order = "startTime must be before endTime";
    let extends = "may not set both extends and startTime: an extension begins where the grant that it extends ends";
    let window = |start: &str, end: &str| vec![("/startTime", json!(start)), ("/endTime", json!(end))];
    let rows = vec![
        one("/duration", json!("2h"), OK),
        one("/duration", json!("1h30m5s"), OK),
        one("/duration", json!("1s"), OK),
        one("/duration", json!("0s"), "must be at least 1s"),
        one("/duration", json!("0h0m0s"), "must be at least 1s"),
        one("/duration", json!(""), "spec.duration"),
        one("/duration", json!("2"), "spec.duration"),
        one("/duration", json!("120"), "spec.duration in body should match"),
        one("/duration", json!("1d"), "spec.duration in body should match"),
        one("/duration", json!("-1h"), "spec.duration in body should match"),
        one("/duration", json!("1.5h"), "spec.duration in body should match"),
        one("/duration", json!("30m1h"), "spec.duration in body should match"),
        one("/duration", json!("500ms"), "spec.duration in body should match"),
        one("/duration", json!("9999999h"), "spec.duration in body should match"),
        one("/duration", long(25, "1"), "spec.duration: Too long"),
        one("/endTime", json!(SIX), OK),
        one("/endTime", json!("2026-12-01T18:00:00.5+02:00"), OK),
        one("/endTime", json!("tomorrow"), "spec.endTime"),
        one("/endTime", json!("2026-12-01"), "spec.endTime"),
        one("/startTime", json!("2026-12-01T08:00"), "spec.startTime"),
        (vec![("/duration", json!("2h")), ("/endTime", json!(SIX))], both),
        (vec![("/duration", json!("2h")), ("/startTime", json!(EIGHT))], OK),
        one("/extends/name", json!("web-x7k"), OK),
        one("/extends", json!({}), "spec.extends.name: Required"),
        one("/extends/name", json!("web/x7k"), "spec.extends.name in body should match"),
        (vec![("/extends/name", json!("a")), ("/duration", json!("2h"))], OK),
        (vec![("/extends/name", json!("a")), ("/endTime", json!(SIX))], OK),
        (vec![("/extends/name", json!("a")), ("/startTime", json!(EIGHT))], extends),
        (window(EIGHT, SIX), OK),
        (window(SIX, EIGHT), order),
        (window(EIGHT, EIGHT), order),
        // The same moment, in another zone.
        (window(EIGHT, "2026-12-01T10:00:00+02:00"), order),
        (window(EIGHT, "2026-12-01T09:00:00+00:30"), OK),
    ];
    kind().await.creates(&base(), rows).await;
}
