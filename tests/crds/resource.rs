//! Every rule of `RancherResource`.

use serde_json::{Value, json};

use crate::server::{Kind, OK, Row, long};

fn base() -> Value {
    json!({"integrationRef": {"name": "prod"}, "kind": "Project", "id": "p-x7k2m", "displayName": "Web",
        "cluster": {"id": "c-m-abc12def", "displayName": "Production"}, "state": "Available", "offered": true})
}

async fn kind() -> Kind {
    Kind::new("RancherResource", "rancherresources", None).await
}

fn one(pointer: &'static str, value: Value, expected: &'static str) -> Row {
    (vec![(pointer, value)], expected)
}

#[tokio::test]
async fn what_there_is() {
    let cluster = "cluster must be set for a Project or a Namespace, and may not be specified for anything else";
    let project = "project may be specified for a Namespace alone";
    let parent = || json!({"id": "p-x7k2m", "displayName": "Web"});
    let mut rows = vec![
        (vec![], OK),
        one("/cluster", Value::Null, cluster),
        one("/kind", json!("Namespace"), OK),
        (vec![("/kind", json!("Namespace")), ("/cluster", Value::Null)], cluster),
        (vec![("/kind", json!("Namespace")), ("/project", parent())], OK),
        one("/project", parent(), project),
        one("/kind", json!("Node"), "Unsupported value"),
        one("/kind", Value::Null, "spec.kind: Required"),
        one("/integrationRef/name", json!("A"), "spec.integrationRef.name in body should match"),
        one("/id", json!("c-1:p-1"), "spec.id in body should match"),
        one("/id", long(254, "a"), "spec.id: Too long"),
        one("/displayName", json!("команда 東京 🚀"), OK),
        one("/displayName", long(253, "ü"), OK),
        one("/displayName", json!(""), "spec.displayName"),
        one("/displayName", json!("a\u{202e}b"), "spec.displayName in body should match"),
        one("/displayName", long(254, "a"), "spec.displayName: Too long"),
        one("/cluster/displayName", json!("a\nb"), "spec.cluster.displayName in body should match"),
        one("/cluster/id", json!("../a"), "spec.cluster.id in body should match"),
        one("/owner", json!("web-leads"), OK),
        one("/owner", json!(""), "spec.owner"),
        one("/owner", json!("a\u{1b}[31m"), "spec.owner in body should match"),
        one("/state", json!("Broken"), "Unsupported value"),
        one("/offered", Value::Null, "spec.offered: Required"),
    ];
    for state in ["Unavailable", "Removing", "Removed"] {
        rows.push(one("/state", json!(state), OK));
    }
    for kind in ["Cluster", "ClusterRole", "ProjectRole", "GlobalRole"] {
        rows.push((vec![("/kind", json!(kind)), ("/cluster", Value::Null)], OK));
        rows.push(one("/kind", json!(kind), cluster));
    }
    kind().await.creates(&base(), rows).await;
}
