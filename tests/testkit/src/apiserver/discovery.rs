//! The documents that say what is served, and the health endpoints.
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{kind::Kind, state::State};

/// The document at a path that no resource lives at; `None` for resources and for what is unknown.
pub(super) fn document(state: &State, request: &Request<Bytes>) -> Option<Value> {
    if request.method() != Method::GET {
        return None;
    }
    let parts: Vec<&str> = request.uri().path().split('/').filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        ["healthz" | "livez" | "readyz"] => Some(json!("ok")),
        ["version"] => Some(json!({
            "major": "1", "minor": "37", "gitVersion": "v1.37.0-testkit", "gitCommit": "", "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "memory",
        })),
        ["api"] => Some(json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})),
        ["apis"] => Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups(state)})),
        ["apis", group] => groups(state).into_iter().find(|one| one["name"] == *group),
        ["api", version] => resources(state, "", version),
        ["apis", group, version] => resources(state, group, version),
        _ => None,
    }
}

fn groups(state: &State) -> Vec<Value> {
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for gvr in state.kinds.keys().filter(|gvr| !gvr.group.is_empty()) {
        versions.entry(&gvr.group).or_default().insert(&gvr.version);
    }
    versions
        .into_iter()
        .map(|(group, versions)| {
            let list: Vec<Value> =
                versions.iter().map(|one| json!({"groupVersion": format!("{group}/{one}"), "version": one})).collect();
            json!({"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": list, "preferredVersion": list.first()})
        })
        .collect()
}

fn resources(state: &State, group: &str, version: &str) -> Option<Value> {
    let kinds = state.kinds.values().filter(|kind| kind.gvr.group == group && kind.gvr.version == version);
    let list: Vec<Value> = kinds.flat_map(|kind| entries(kind)).collect();
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    (!list.is_empty()).then(
        || json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list}),
    )
}

fn entries(kind: &Kind) -> Vec<Value> {
    let verbs = if kind.is_virtual {
        json!(["create"])
    } else {
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    };
    let name = &kind.gvr.resource;
    let mut list = vec![json!({
        "name": name, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs,
        "shortNames": kind.short_names, "categories": kind.categories,
    })];
    if kind.status {
        list.push(json!({
            "name": format!("{name}/status"), "singularName": "", "namespaced": kind.namespaced, "kind": kind.kind,
            "verbs": ["get", "patch", "update"],
        }));
    }
    list
}
