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
}

pub(super) async fn secrets_and_forms(script: &mut Script) {
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
}

pub(super) async fn patch(script: &mut Script) {
    let path = script.core("configmaps/a");
    let stale = script.quietly("GET", &path, None).await.1;
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
}

pub(super) async fn more_patches(script: &mut Script) {
    let path = script.core("configmaps/a");
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
