//! Every rule of `AccessDecision`.

use serde_json::{Value, json};

use crate::server::{Kind, OK, Row, long};

fn base() -> Value {
    json!({"grantRef": {"name": "web-x7k2m"}, "decision": "Approve", "decidedBy": {"username": "bob"}})
}

async fn kind() -> Kind {
    Kind::new("AccessDecision", "accessdecisions", Some("default")).await
}

fn one(pointer: &'static str, value: Value, expected: &'static str) -> Row {
    (vec![(pointer, value)], expected)
}

#[tokio::test]
async fn what_somebody_decides() {
    let rows = vec![
        (vec![], OK),
        one("/decision", json!("Deny"), OK),
        one("/decision", json!("Revoke"), OK),
        one("/decision", json!("Maybe"), "Unsupported value"),
        one("/decision", Value::Null, "spec.decision: Required"),
        one("/grantRef", Value::Null, "spec.grantRef: Required"),
        one("/grantRef/name", json!("a/b"), "spec.grantRef.name in body should match"),
        one("/grantRef/uid", json!("8d0bd3c2-8d7f-4d8a-9b0e-1f2a3b4c5d6e"), OK),
        one("/grantRef/uid", json!("'; drop"), "spec.grantRef.uid in body should match"),
        one("/decidedBy", Value::Null, "spec.decidedBy: Required"),
        one("/decidedBy/username", json!("a\u{202e}b"), "username in body should match"),
        one("/digest", json!("0123456789abcdef"), OK),
        one("/digest", json!("A B"), "spec.digest in body should match"),
        one("/reason", json!("Looked at INC-4711"), OK),
        one("/reason", json!("a\u{1b}[31m"), "spec.reason in body should match"),
        one("/reason", long(2049, "a"), "spec.reason: Too long"),
    ];
    kind().await.creates(&base(), rows).await;
}

#[tokio::test]
async fn none_of_it_may_change() {
    let immutable = "a decision is immutable";
    let rows = vec![
        (vec![], OK),
        one("/decision", json!("Deny"), immutable),
        one("/decidedBy/username", json!("carol"), immutable),
        one("/decidedBy/groups", json!(["sre"]), immutable),
        one("/grantRef/name", json!("other"), immutable),
        one("/grantRef/uid", json!("8d0bd3c2"), immutable),
        one("/digest", json!("0123"), immutable),
        one("/reason", json!("on second thought"), immutable),
    ];
    kind().await.updates("steady", &base(), rows).await;
}
