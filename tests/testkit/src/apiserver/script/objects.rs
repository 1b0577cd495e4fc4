//! Requests about a built-in kind.
use serde_json::{Value, json};

use super::{JSON, JSON_PATCH, Script};

pub(super) fn map(name: &str, label: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"script": label}}, "data": {"k": value}})
}

pub(super) async fn create_and_read(script: &mut Script) {
    let maps = script.core("configmaps");
    script.post("create", &maps, &map("a", "one", "1")).await;
    script.post("create again", &maps, &map("a", "one", "1")).await;
    script.get("get", &script.core("configmaps/a")).await;
    script.get("get what is not there", &script.core("configmaps/none")).await;
    let generated = json!({"metadata": {"generateName": "gen-", "labels": {"script": "generated"}}});
    script.post("create with generateName", &maps, &generated).await;
    let mut odd = map("b", "two", "1");
    odd["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111".into();
    odd["metadata"]["deletionTimestamp"] = "2020-01-01T00:00:00Z".into();
    odd["metadata"]["generation"] = 7.into();
    script.post("create with system fields", &maps, &odd).await;
    odd["metadata"]["resourceVersion"] = "1".into();
    odd["metadata"]["name"] = "c".into();
    script.post("create with a resourceVersion", &maps, &odd).await;
    script.post("create as a dry run", &format!("{maps}?dryRun=All"), &map("dry", "one", "1")).await;
    script.get("get after the dry run", &script.core("configmaps/dry")).await;
    let secret =
        json!({"metadata": {"name": "s", "labels": {"script": "one"}}, "stringData": {"k": "v"}, "unknown": 1});
    script.post("create a secret", &script.core("secrets"), &secret).await;
    script.ask("get metadata only", "GET", &script.core("configmaps/a"), JSON, None).await;
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let (code, text) = script.send("GET", &script.core("configmaps/a"), JSON, accept, None).await;
    script.note("get as PartialObjectMetadata", code, &serde_json::from_str(&text).unwrap_or_default());
}

pub(super) async fn update_and_patch(script: &mut Script) {
    let path = script.core("configmaps/a");
    let stale = script.quietly("GET", &path, None).await.1;
    let mut next = stale.clone();
    next["data"]["k"] = "2".into();
    script.put("update", &path, &next).await;
    script.put("update with a stale version", &path, &next).await;
    script.put("update without a version", &path, &map("a", "one", "3")).await;
    script.put("update what is not there", &script.core("configmaps/none"), &map("none", "one", "3")).await;
    script.put("update under another name", &path, &map("z", "one", "3")).await;
    let mut foreign = map("a", "one", "3");
    foreign["metadata"]["uid"] = "11111111-1111-1111-1111-111111111111".into();
    script.put("update with another uid", &path, &foreign).await;
    script.merge("merge patch", &path, &json!({"data": {"k": null, "l": "4"}})).await;
    let rv = &stale["metadata"]["resourceVersion"];
    script
        .merge(
            "merge patch with a stale version",
            &path,
            &json!({"metadata": {"resourceVersion": rv}, "data": {"l": "5"}}),
        )
        .await;
    script
        .merge(
            "merge patch with another uid",
            &path,
            &json!({"metadata": {"uid": "11111111-1111-1111-1111-111111111111"}}),
        )
        .await;
    script.merge("merge patch what is not there", &script.core("configmaps/none"), &json!({"data": {"l": "5"}})).await;
    let before = script.quietly("GET", &path, None).await.1;
    let after = script.merge("merge patch that changes nothing", &path, &json!({"data": {"l": "4"}})).await;
    let same = before["metadata"]["resourceVersion"] == after["metadata"]["resourceVersion"];
    script.lines.push(format!("a write without a change keeps the version: {same}"));
    let add = json!([{"op": "test", "path": "/data/l", "value": "4"}, {"op": "add", "path": "/data/m", "value": "6"}]);
    script.ask("json patch", "PATCH", &path, JSON_PATCH, Some(&add)).await;
    let failing = json!([{"op": "test", "path": "/data/l", "value": "other"}]);
    script.ask("json patch whose test fails", "PATCH", &path, JSON_PATCH, Some(&failing)).await;
    let missing = json!([{"op": "remove", "path": "/data/none"}]);
    script.ask("json patch of a missing path", "PATCH", &path, JSON_PATCH, Some(&missing)).await;
}

pub(super) async fn delete(script: &mut Script) {
    let path = script.core("configmaps/a");
    let wrong = json!({"preconditions": {"uid": "11111111-1111-1111-1111-111111111111"}});
    script.delete("delete with another uid", &path, Some(&wrong)).await;
    let stale = json!({"preconditions": {"resourceVersion": "1"}});
    let answer = script.delete("delete with a stale version", &path, Some(&stale)).await;
    script.lines.push(format!("delete with a stale version is a conflict: {}", answer["code"] == 409));
    script.delete("delete as a dry run", &format!("{path}?dryRun=All"), None).await;
    script.delete("delete", &path, None).await;
    script.delete("delete again", &path, None).await;
    script.delete("delete the secret", &script.core("secrets/s"), None).await;
    let collection = script.core("configmaps?labelSelector=script%3Dgenerated");
    script.delete("delete a collection", &collection, None).await;
    script.get("list after it", &collection).await;
}

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
    let binding = json!({"metadata": {"name": "rb"}, "subjects": [{"kind": "User", "name": "u"}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}});
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", script.namespace);
    script.post("create a role binding", &rbac, &binding).await;
    script.merge("change its role", &format!("{rbac}/rb"), &json!({"roleRef": {"name": "edit"}})).await;
    script.delete("delete the role binding", &format!("{rbac}/rb"), None).await;
}

pub(super) async fn other_kinds(script: &mut Script) {
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", script.namespace);
    let lease = json!({"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15,
        "renewTime": "2026-01-01T00:00:00.000000Z"}});
    script.post("create a lease", &leases, &lease).await;
    script.put("update a lease without a version", &format!("{leases}/l"), &lease).await;
    script.delete("delete the lease", &format!("{leases}/l"), None).await;
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
    let account = json!({"metadata": {"name": "sa"}});
    script.post("create a service account", &script.core("serviceaccounts"), &account).await;
    script.delete("delete the service account", &script.core("serviceaccounts/sa"), None).await;
    let fixed = json!({"metadata": {"name": "fixed"}, "data": {"a": "1"}, "immutable": true});
    script.post("create an immutable map", &script.core("configmaps"), &fixed).await;
    script.merge("change the immutable map", &script.core("configmaps/fixed"), &json!({"data": {"a": "2"}})).await;
    script.delete("delete the immutable map", &script.core("configmaps/fixed"), None).await;
    let access = json!({"spec": {"resourceAttributes": {"verb": "get", "resource": "secrets"}}});
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let allowed = script.quietly("POST", review, Some(&access)).await.1["status"]["allowed"].clone();
    script.lines.push(format!("a self subject access review: {allowed}"));
    script.post("a bad namespace", "/api/v1/namespaces", &json!({"metadata": {"name": "Not.A.Label"}})).await;
}

pub(super) async fn selectors(script: &mut Script) {
    let maps = script.core("configmaps");
    for (name, label) in [("l1", "x"), ("l2", "y"), ("l3", "z")] {
        script.quietly("POST", &maps, Some(&map(name, label, "1"))).await;
    }
    for selector in
        ["script%3Dx", "script+in+(x,y)", "script+notin+(x,two),script", "script!%3Dx,script", "!script,nothing"]
    {
        let answer = script.quietly("GET", &format!("{maps}?labelSelector={selector}"), None).await.1;
        let names: Vec<&Value> =
            answer["items"].as_array().into_iter().flatten().map(|item| &item["metadata"]["name"]).collect();
        script.lines.push(format!("selector {selector}: {}", json!(names)));
    }
    script.get("by name", &format!("{maps}?fieldSelector=metadata.name%3Dl1")).await;
    let chosen = format!("{maps}?labelSelector=script+in+(x,y,z)");
    let first = script.get("first page", &format!("{chosen}&limit=2")).await;
    let token = first["metadata"]["continue"].as_str().unwrap_or_default();
    let token: String = token.replace('=', "%3D").replace('+', "%2B").replace('/', "%2F");
    script.get("second page", &format!("{chosen}&limit=2&continue={token}")).await;
    script.delete("remove them", &chosen, None).await;
}
