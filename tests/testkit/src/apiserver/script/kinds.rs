//! Requests about other built-in kinds, and requests that every kind refuses.
use serde_json::json;

use super::{Script, objects::map};

pub(super) async fn refusals(script: &mut Script) {
    let maps = script.core("configmaps");
    script.post("a bad name", &maps, &map("Not_A_Name", "one", "1")).await;
    script.post("a bad label", &maps, &map("n", "not a label!", "1")).await;
    script.post("no name", &maps, &json!({"metadata": {}})).await;
    script.post("another namespace", &maps, &json!({"metadata": {"name": "n", "namespace": "elsewhere"}})).await;
    let there = "/api/v1/namespaces/script-none/configmaps";
    script.post("a namespace that is not there", there, &map("n", "one", "1")).await;
    let wrong_version = json!({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "n"}});
    script.post("another version", &maps, &wrong_version).await;
    script.get("a bad selector", &script.core("configmaps?fieldSelector=data.k%3D1")).await;
    script.get("a version that is not a number", &script.core("configmaps?resourceVersion=x")).await;
}

pub(super) async fn role_bindings(script: &mut Script) {
    let binding = json!({"metadata": {"name": "rb"}, "subjects": [{"kind": "User", "name": "u"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", script.namespace);
    script.post("create a role binding", &rbac, &binding).await;
    script.merge("change its role", &format!("{rbac}/rb"), &json!({"roleRef": {"name": "edit"}})).await;
    script.delete("delete the role binding", &format!("{rbac}/rb"), None).await;
}

pub(super) async fn leases(script: &mut Script) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", script.namespace);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15,
        "renewTime": "2026-01-01T00:00:00.000000Z"}});
    script.post("create a lease", &leases, &lease).await;
    script.put("update a lease without a version", &format!("{leases}/l"), &lease).await;
    script.delete("delete the lease", &format!("{leases}/l"), None).await;
}

pub(super) async fn events(script: &mut Script) {
    let events = format!("/apis/events.k8s.io/v1/namespaces/{}/events", script.namespace);
    let regarding = json!({"kind": "ConfigMap", "name": "a", "namespace": script.namespace, "apiVersion": "v1"});
    let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "script.example/c",
        "reportingInstance": "i", "action": "Try", "reason": "Tried", "regarding": regarding, "note": "a note", "type": "Normal"});
    script.post("create an event", &events, &event).await;
    script.get("get it as a core event", &script.core("events/e")).await;
    script
        .merge(
            "count it",
            &format!("{events}/e"),
            &json!({"series": {"count": 2, "lastObservedTime": "2026-01-01T00:00:01.000000Z"}}),
        )
        .await;
    script.delete("delete the event", &script.core("events/e"), None).await;
}

pub(super) async fn accounts_and_maps(script: &mut Script) {
    let account = json!({"metadata": {"name": "sa"}});
    script.post("create a service account", &script.core("serviceaccounts"), &account).await;
    script.delete("delete the service account", &script.core("serviceaccounts/sa"), None).await;
    let fixed = json!({"metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": true});
    script.post("create an immutable map", &script.core("configmaps"), &fixed).await;
    script.merge("change the immutable map", &script.core("configmaps/fixed"), &json!({"data": {"a": "2"}})).await;
    script.delete("delete the immutable map", &script.core("configmaps/fixed"), None).await;
}

pub(super) async fn reviews(script: &mut Script) {
    let access = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets"}}});
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let allowed = script.quietly("POST", review, Some(&access)).await.1["status"]["allowed"].clone();
    script.lines.push(format!("a self subject access review: {allowed}"));
    script.post("a bad namespace", "/api/v1/namespaces", &json!({"metadata": {"name": "Not.A.Label"}})).await;
}
