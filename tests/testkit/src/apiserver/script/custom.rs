//! Requests about a kind of the script's own.
use serde_json::{Value, json};

use super::{
    GROUP, Script,
    schema::{self, definition_of},
};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub(super) fn probe(name: &str, spec: Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Probe", "metadata": {"name": name}, "spec": spec})
}

pub(super) async fn definition(script: &mut Script) {
    let (code, _) = script.quietly("POST", DEFINITIONS, Some(&definition_of(GROUP))).await;
    script.lines.push(format!("define a kind: {code}"));
    script.until("GET", &script.custom("probes"), None, 200).await;
    let path = format!("{DEFINITIONS}/probes.{GROUP}");
    for _ in 0..100 {
        let defined = script.quietly("GET", &path, None).await.1;
        let conditions = defined["status"]["conditions"].as_array().cloned().unwrap_or_default();
        if conditions.iter().any(|one| one["type"] == "Established" && one["status"] == "True") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    script
        .until("POST", &format!("{}?dryRun=All", script.custom("probes")), Some(&probe("dry", json!({"size": 1}))), 201)
        .await;
    script.get("its discovery", &format!("/apis/{GROUP}/v1/namespaces/{}/probes/none", script.namespace)).await;
}

pub(super) async fn validation(script: &mut Script) {
    let probes = script.custom("probes");
    let good = json!({"size": 2, "color": "red", "unknown": 1, "items": [{"name": "a"}, {"name": "b", "on": false, "more": 1}]});
    script.post("defaults and pruning", &probes, &probe("p", good)).await;
    for (what, spec) in schema::cases() {
        script.post(what, &probes, &probe("bad", spec)).await;
    }
    script
        .post(
            "no spec",
            &probes,
            &json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Probe", "metadata": {"name": "n"}}),
        )
        .await;
    script.post("no kind", &probes, &json!({"metadata": {"name": "n"}, "spec": {"size": 1}})).await;
    script
        .post(
            "another kind",
            &probes,
            &json!({"apiVersion": format!("{GROUP}/v1"), "kind": "Other", "metadata": {"name": "n"}}),
        )
        .await;
    script.get("by a selectable field", &format!("{probes}?fieldSelector=spec.color%3Dred")).await;
    script.get("by another field", &format!("{probes}?fieldSelector=spec.size%3D2")).await;
}

pub(super) async fn status_and_generation(script: &mut Script) {
    let path = script.custom("probes/p");
    script.merge("a transition rule", &path, &json!({"spec": {"fixed": "g"}})).await;
    script.merge("a new spec", &path, &json!({"spec": {"size": 3}, "status": {"phase": "ignored"}})).await;
    script.merge("a new label", &path, &json!({"metadata": {"labels": {"a": "b"}}})).await;
    let status = format!("{path}/status");
    let body = json!({"status": {"phase": "x", "more": 1}, "spec": {"size": 4}, "metadata": {"labels": {"a": "c"}}});
    let known = script.merge("a status patch", &status, &body).await;
    script.merge("a status of the wrong type", &status, &json!({"status": {"seen": "x"}})).await;
    let mut next = known.clone();
    next["status"]["seen"] = 1.into();
    next["spec"]["size"] = 9.into();
    script.put("a status update", &status, &next).await;
    script.put("a stale status update", &status, &next).await;
    script
        .merge(
            "a stale status patch",
            &status,
            &json!({"metadata": {"resourceVersion": known["metadata"]["resourceVersion"]}, "status": {"seen": 5}}),
        )
        .await;
    script.put("an update without a version", &path, &probe("p", json!({"size": 1}))).await;
}

pub(super) async fn fixed_fields(script: &mut Script) {
    let path = script.custom("probes/p");
    let status = format!("{path}/status");
    script.get("the status subresource", &status).await;
    script.merge("another uid", &path, &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}})).await;
    script.merge("a new name", &path, &json!({"metadata": {"name": "q"}})).await;
    script
        .merge("another time of creation", &path, &json!({"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}}))
        .await;
    script
        .merge("a time of deletion", &path, &json!({"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}))
        .await;
    script.merge("another generation", &path, &json!({"metadata": {"generation": 77}})).await;
    script.merge("the spec taken away", &path, &json!({"spec": null})).await;
}

pub(super) async fn finalizers(script: &mut Script) {
    let path = script.custom("probes/p");
    script.merge("a finalizer", &path, &json!({"metadata": {"finalizers": ["script.example/hold"]}})).await;
    script.delete("a delete that is held", &path, None).await;
    script.delete("a second delete", &path, None).await;
    script
        .merge(
            "one more finalizer",
            &path,
            &json!({"metadata": {"finalizers": ["script.example/hold", "script.example/more"]}}),
        )
        .await;
    script.merge("a write while terminating", &path, &json!({"spec": {"size": 8}})).await;
    script.merge("no deletion after all", &path, &json!({"metadata": {"deletionTimestamp": null}})).await;
    script.merge("the last finalizer goes", &path, &json!({"metadata": {"finalizers": null}})).await;
    script.get("and so does the object", &path).await;
    script.delete("a delete of what is gone", &path, None).await;
}

pub(super) async fn unheld(script: &mut Script) {
    script.quietly("POST", &script.custom("probes"), Some(&probe("p2", json!({"size": 1})))).await;
    script.delete("a delete that nothing holds", &script.custom("probes/p2"), None).await;
}

pub(super) async fn clean_up(script: &mut Script) {
    let path = format!("{DEFINITIONS}/probes.{GROUP}");
    script.quietly("DELETE", &path, None).await;
    script.until("GET", &path, None, 404).await;
    script.until("GET", &script.custom("probes"), None, 404).await;
    let mut odd = definition_of(GROUP);
    odd["metadata"]["name"] = "wrong.example.com".into();
    odd["spec"]["versions"][0] = json!({"name": "v1", "served": true, "storage": true});
    script.post("a definition without a schema", DEFINITIONS, &odd).await;
}
