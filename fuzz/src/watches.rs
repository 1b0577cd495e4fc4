//! Watches: objects and events as an API server may deliver them, and what Rancher may send instead.
//!
//! Input: how many of its lines are objects of the list, on the first line; then these; then the events of the watch.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::TryStreamExt as _;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api,
    api::{ApiResource, GroupVersionKind, PartialObjectMeta, WatchParams},
    core::DynamicObject,
};
use rancher_access_operator::{
    api::AccessGrant,
    controller::watch::{Change, Signs, watch},
    runtime::{Clock, Health, Metrics},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    said,
    server::{self, Answer},
};

/// Long enough for any pause that the watch makes after a failure.
const LOOK: Duration = Duration::from_secs(600);

/// The most events: after each line that is none the watch pauses, for longer and longer.
const EVENTS: usize = 10;

pub fn check(input: &[u8]) {
    let mut lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let count = std::str::from_utf8(lines.remove(0)).ok().and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let mut events = lines.split_off(lines.len().min(count));
    events.truncate(EVENTS);
    ours(&lines, &events);
    ranchers(&events);
}

/// The operator's own watch: whatever comes, what is whole gets through.
fn ours(listed: &[&[u8]], events: &[&[u8]]) {
    let whole = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
        "metadata": {"name": "whole", "namespace": "web", "uid": "uid-whole", "resourceVersion": "9999"},
        "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice"}, "access": []}});
    // An API server decodes metadata before it stores anything, and keeps nothing that the schema does not know: what is
    // nested is nested as deep as that.
    let stored = |line: &&[u8]| {
        let object: Value = serde_json::from_slice(line).ok()?;
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        serde_json::from_value::<ObjectMeta>(metadata).ok().filter(|_| object.is_object() && depth(&object) < 64)?;
        Some(object)
    };
    let items: Vec<_> = listed.iter().filter_map(stored).collect();
    let last = json!({"type": "ADDED", "object": whole});
    let last = format!("\n{last}\n").into_bytes();
    let stream = [&events.join(&b'\n'), last.as_slice()].concat();
    let first = Arc::new(Mutex::new(Some((items, stream))));
    let client = server::api_server(move |request| {
        let mut first = first.lock().unwrap();
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        match (watches, first.take()) {
            (true, Some((_, stream))) => (200, stream),
            (true, None) => (200, last.clone()),
            (false, kept) => {
                let items = kept.as_ref().map_or_else(|| vec![whole.clone()], |(items, _)| items.clone());
                *first = kept;
                (200, json!({"metadata": {"resourceVersion": "1"}, "items": items}).to_string().into_bytes())
            }
        }
    });
    let seen = Arc::new(Mutex::new(false));
    let (told, stop, health) = (seen.clone(), CancellationToken::new(), Health::new());
    let stopped = stop.clone();
    server::run(async move {
        let signs = Signs {
            heartbeat: health.heartbeat("accessgrants", LOOK),
            gate: health.gate("accessgrants", "not listed"),
            metrics: Metrics::new(Clock::new(|| Timestamp::UNIX_EPOCH)),
        };
        let tell = move |change: Change<AccessGrant>| {
            if matches!(change, Change::Seen(grant) if grant.metadata.name.as_deref() == Some("whole")) {
                *told.lock().unwrap() = true;
                stop.cancel();
            }
        };
        let watching = watch(Api::all(client), "accessgrants", signs, stopped, tell);
        // It ends where the whole one is seen, and nowhere else.
        drop(tokio::time::timeout(LOOK, watching).await);
    });
    assert!(*seen.lock().unwrap(), "the whole object did not get through");
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// A watch on Rancher: it ends, with errors that can be told.
fn ranchers(events: &[&[u8]]) {
    let body = events.join(&b'\n').into();
    let rancher = server::rancher(&[Answer { code: 200, authenticated: Some(true), body }], false);
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("management.cattle.io", "v3", "Thing"));
    server::run(async {
        let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(rancher.kube_client(), &resource);
        let Ok(events) = api.watch(&WatchParams::default(), "0").await else { return };
        let mut events = std::pin::pin!(events);
        loop {
            match events.try_next().await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    said::fit(&rancher.told(&error));
                    break;
                }
            }
        }
    });
}
