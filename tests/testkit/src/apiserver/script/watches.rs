//! What watches say.
use serde_json::{Value, json};

use super::{JSON, Script, objects::map};

/// Reads a watch that ends by its timeout.
async fn read(script: &mut Script, what: &str, path: &str) {
    let (code, text) = script.send("GET", path, JSON, JSON, None).await;
    let events: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    for event in events.iter().filter(|event| event["type"] != "BOOKMARK") {
        script.note(what, code, event);
    }
    let bookmarks: Vec<&Value> = events.iter().filter(|event| event["type"] == "BOOKMARK").collect();
    let last = bookmarks.last().map_or(&Value::Null, |event| &event["object"]["metadata"]["annotations"]);
    script.lines.push(format!("{what}: annotations of the last bookmark: {last}"));
}

async fn read_all(script: &mut Script, maps: &str, start: &str) {
    let watch = format!("{maps}?watch=true&timeoutSeconds=1&labelSelector=script%3Dwatched");
    read(script, "watch", &format!("{watch}&resourceVersion={start}")).await;
    let all = format!("{maps}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Dw1");
    read(script, "watch by name", &format!("{all}&resourceVersion={start}")).await;
    read(script, "watch from now", &all).await;
    let streaming = format!("{all}&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    read(script, "streaming list", &streaming).await;
    read_partial(script, &format!("{all}&resourceVersion={start}"), "watch of metadata").await;
    read_partial(script, &script.core("configmaps?fieldSelector=metadata.name%3Dw1"), "list of metadata").await;
}

pub(super) async fn sequences(script: &mut Script) {
    let maps = script.core("configmaps");
    let start = script.quietly("GET", &maps, None).await.1["metadata"]["resourceVersion"].clone();
    let start = start.as_str().unwrap_or_default().to_owned();
    script.quietly("POST", &maps, Some(&map("w1", "watched", "1"))).await;
    script.quietly("POST", &maps, Some(&map("w2", "unwatched", "1"))).await;
    let one = script.core("configmaps/w1");
    let two = script.core("configmaps/w2");
    let relabel = |label: &str| json!({"metadata": {"labels": {"script": label}}});
    script.send("PATCH", &one, super::MERGE, JSON, Some(&json!({"data": {"k": "2"}}))).await;
    script.send("PATCH", &two, super::MERGE, JSON, Some(&relabel("watched"))).await;
    script.send("PATCH", &one, super::MERGE, JSON, Some(&relabel("unwatched"))).await;
    script.quietly("DELETE", &two, None).await;
    read_all(script, &maps, &start).await;
    script.quietly("DELETE", &one, None).await;
}

async fn read_partial(script: &mut Script, path: &str, what: &str) {
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let accept = if path.contains("watch=") { accept.to_owned() } else { accept.replace("Metadata;", "MetadataList;") };
    let (code, text) = script.send("GET", path, JSON, &accept, None).await;
    for line in text.lines() {
        script.note(what, code, &serde_json::from_str(line).unwrap_or_default());
    }
}
