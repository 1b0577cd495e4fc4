//! What may change in an `AccessGrant` once it is there, and what its status may hold.

use serde_json::{Value, json};

use crate::{
    grant::{EIGHT, NOON, SIX, base, kind, one},
    server::{OK, long, many},
};

/// A grant with every field that may stand beside a duration.
fn full() -> Value {
    let mut spec = base();
    spec["requestedBy"]["groups"] = json!(["web-devs"]);
    spec["policyRef"] = json!({"name": "web"});
    spec["subject"] = json!({"principal": "okta_user://alice"});
    spec["duration"] = json!("2h");
    spec["startTime"] = json!(EIGHT);
    spec["reason"] = json!("INC-4711");
    spec
}

#[tokio::test]
async fn nothing_may_be_changed_or_taken_away() {
    let trio = "integrationRef, requestedBy and access are immutable";
    let rows = vec![
        (vec![], OK),
        one("/integrationRef/name", json!("other"), trio),
        one("/requestedBy/username", json!("bob"), trio),
        one("/requestedBy/groups", json!(["web-devs", "sre"]), trio),
        one("/requestedBy/groups", Value::Null, trio),
        one("/access/0/cluster/role", json!("cluster-owner"), trio),
        one("/access/0/cluster/name", json!("local"), trio),
        one("/access", many(2, base()["access"][0].clone()), trio),
        one("/policyRef/name", json!("other"), "policyRef is immutable"),
        one("/policyRef", Value::Null, "policyRef is immutable"),
        one("/subject/principal", json!("okta_user://bob"), "subject is immutable"),
        one("/subject", json!({"group": "okta_group://all"}), "subject is immutable"),
        one("/subject", Value::Null, "subject is immutable"),
        one("/duration", json!("3h"), "duration is immutable"),
        one("/duration", json!("1h"), "duration is immutable"),
        one("/duration", Value::Null, "duration is immutable"),
        one("/startTime", json!(NOON), "startTime is immutable"),
        one("/startTime", Value::Null, "startTime is immutable"),
        one("/dryRun", json!(true), "dryRun is immutable"),
        one("/reason", json!("other"), "reason is immutable"),
        one("/reason", Value::Null, "reason is immutable"),
        (vec![("/duration", Value::Null), ("/endTime", json!(NOON))], "duration is immutable"),
    ];
    kind().await.updates("full", &full(), rows).await;
}

#[tokio::test]
async fn nothing_may_be_added() {
    let rows = vec![
        (vec![], OK),
        one("/requestedBy/groups", json!(["sre"]), "requestedBy and access are immutable"),
        one("/policyRef/name", json!("web"), "policyRef is immutable"),
        one("/subject/user", json!("u-a"), "subject is immutable"),
        one("/duration", json!("1h"), "duration is immutable"),
        one("/startTime", json!(EIGHT), "startTime is immutable"),
        one("/endTime", json!(SIX), "endTime may only move earlier"),
        one("/reason", json!("a"), "reason is immutable"),
        one("/extends/name", json!("a"), "extends is immutable"),
    ];
    kind().await.updates("bare", &base(), rows).await;
}

#[tokio::test]
async fn an_extension_stays_one_of_the_same_grant() {
    let mut extension = base();
    extension["extends"] = json!({"name": "web-x7k"});
    extension["endTime"] = json!(SIX);
    let immutable = "extends is immutable: create another grant";
    let rows = vec![
        (vec![], OK),
        one("/endTime", json!(NOON), OK),
        one("/extends/name", json!("other"), immutable),
        one("/extends", Value::Null, immutable),
        (vec![("/extends", Value::Null), ("/startTime", json!(EIGHT))], immutable),
    ];
    kind().await.updates("extension", &extension, rows).await;
}

#[tokio::test]
async fn an_end_moves_earlier_only() {
    let earlier = "endTime may only move earlier: create another grant to have access for longer";
    let mut window = base();
    window["startTime"] = json!(EIGHT);
    window["endTime"] = json!(SIX);
    let rows = vec![
        (vec![], OK),
        one("/endTime", json!(NOON), OK),
        one("/endTime", json!("2026-12-01T19:00:00+01:00"), OK),
        one("/endTime", json!("2026-12-01T18:00:00.000001Z"), earlier),
        one("/endTime", json!("2026-12-01T19:00:00Z"), earlier),
        one("/endTime", Value::Null, earlier),
        one("/endTime", json!(EIGHT), "startTime must be before endTime"),
        (vec![("/endTime", Value::Null), ("/duration", json!("1h"))], earlier),
    ];
    kind().await.updates("window", &window, rows).await;
}

#[tokio::test]
async fn a_status_is_checked_too() {
    let condition = |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": EIGHT});
    let binding = json!({
        "kind": "ClusterRoleTemplateBinding", "cluster": "c", "namespace": "c", "name": "rao-a", "subject": "user:u-a",
        "role": "r", "state": "Intended", "since": EIGHT,
    });
    let with = |key: &str, value: Value| {
        let mut changed = binding.clone();
        changed[key] = value;
        json!({"bindings": [changed]})
    };
    let rows = vec![
        (json!({}), OK),
        (json!({"phase": "Active", "observedGeneration": 1, "expiresTime": SIX}), OK),
        (json!({"extends": {"name": "a", "uid": "b", "endTime": SIX}}), OK),
        (json!({"extends": {"name": "a", "endTime": SIX}}), "status.extends.uid: Required"),
        (json!({"end": {"reason": "ExtendedGrantEnded", "time": SIX}}), OK),
        (json!({"phase": "Done"}), "status.phase: Unsupported value"),
        (json!({"expiresTime": "never"}), "status.expiresTime"),
        (json!({"conditions": [condition("Ready", "Waiting"), condition("Granted", "Waiting")]}), OK),
        (json!({"conditions": [condition("Ready", "A"), condition("Ready", "B")]}), "Duplicate value"),
        (json!({"conditions": [condition("Ready", "two words")]}), "reason in body should match"),
        (json!({"conditions": [condition("ready", "A")]}), "type in body should match"),
        (json!({"conditions": [{"type": "Ready"}]}), "Required"),
        (json!({ "bindings": many(32, binding.clone()) }), OK),
        (json!({ "bindings": many(65, binding.clone()) }), "must have at most 64 items"),
        (with("state", json!("Gone")), "state: Unsupported value"),
        (with("kind", json!("Role")), "kind: Unsupported value"),
        (with("name", json!("a\nb")), "name in body should match"),
        (with("uid", long(65, "a")), "uid: Too long"),
    ];
    kind().await.statuses("status", &base(), rows).await;
}
