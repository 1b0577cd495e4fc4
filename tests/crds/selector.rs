//! Every rule of the label selectors in an `AccessPolicy`.

use serde_json::{Value, json};

use crate::{
    policy::{base, kind},
    server::{OK, Row, many},
};

/// The rules of a label selector, wherever one stands.
fn selectors(at: &'static str) -> Vec<Row> {
    let labels = |count: usize| -> Value {
        (0..count).map(|number| (format!("label-{number}"), json!("a"))).collect::<serde_json::Map<_, _>>().into()
    };
    let expressions = |list: Value| vec![(at, json!({ "matchExpressions": list }))];
    let values = "values must be given for In and NotIn";
    vec![
        (vec![(at, json!({}))], OK),
        (vec![(at, json!({"matchLabels": labels(16)}))], OK),
        (vec![(at, json!({"matchLabels": labels(17)}))], "must have at most 16 items"),
        (vec![(at, json!({"matchLabels": {"a": "b".repeat(64)}}))], "Too long"),
        (expressions(json!([{"key": "a", "operator": "In", "values": ["b"]}])), OK),
        (expressions(json!([{"key": "a", "operator": "Exists"}])), OK),
        (expressions(json!([{"key": "a", "operator": "DoesNotExist", "values": []}])), OK),
        (expressions(json!([{"key": "a", "operator": "In"}])), values),
        (expressions(json!([{"key": "a", "operator": "NotIn", "values": []}])), values),
        (expressions(json!([{"key": "a", "operator": "Exists", "values": ["b"]}])), values),
        (expressions(json!([{"key": "a", "operator": "DoesNotExist", "values": ["b"]}])), values),
        (expressions(json!([{"key": "a", "operator": "Equals", "values": ["b"]}])), "Unsupported value"),
        (expressions(json!([{"key": "", "operator": "Exists"}])), "key"),
        (expressions(json!([{"operator": "Exists"}])), "key: Required"),
        (expressions(json!([{"key": "a"}])), "operator: Required"),
        (expressions(many(16, json!({"key": "a", "operator": "Exists"}))), OK),
        (expressions(many(17, json!({"key": "a", "operator": "Exists"}))), "must have at most 16 items"),
        (
            expressions(json!([{"key": "a", "operator": "In", "values": many(33, json!("b"))}])),
            "must have at most 32 items",
        ),
        (expressions(json!([{"key": "a", "operator": "In", "values": ["b".repeat(64)]}])), "Too long"),
    ]
}

#[tokio::test]
async fn selectors_wherever_they_stand() {
    let mut full = base();
    full["access"] = json!([
        {"cluster": {"roles": ["cluster-member"]}},
        {"project": {"roles": ["project-member"]}},
    ]);
    for at in [
        "/namespaceSelector",
        "/access/0/cluster/selector",
        "/access/1/project/selector",
        "/access/1/project/clusterSelector",
    ] {
        kind().await.creates(&full, selectors(at)).await;
    }
}
