//! What a role template's end does to those who hold it, and its return to what is stuck.
use std::sync::Arc;

use serde_json::Value;

use crate::apiserver::{ApiServer, EventType};

use super::{
    super::{
        core::{Core, management, meta, rbac},
        names, roles,
    },
    follow, with,
};

pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    let gvr = management("roletemplates");
    follow(&core, "local", &gvr, move |tasks, event| {
        let name = meta(&event.object, "name").to_owned();
        match event.kind {
            EventType::Added => shared.repaired(),
            EventType::Deleted => with(tasks, &shared, |core| end(core, name)),
            EventType::Modified => {}
        }
    })
}

/// Access through it is gone within 3 s, downstream; what Rancher's own cluster holds in name of a binding stays.
async fn end(core: Arc<Core>, name: String) {
    core.pause(2000).await;
    if roles::template(&core, &name).is_some() {
        return;
    }
    for (_, server) in core.reachable() {
        clean(&server, &name).await;
    }
}

async fn clean(server: &ApiServer, name: &str) {
    let aggregate = format!("{name}-aggregator");
    for resource in ["rolebindings", "clusterrolebindings"] {
        let gvr = rbac(resource);
        for object in server.list(&gvr, None) {
            let role = &object["roleRef"];
            let labels = &object["metadata"]["labels"];
            let rights = !labels[names::LEGACY_OWNER].is_null() || labels[names::AGGREGATION] == "true";
            let through = *role == name_of(name) || *role == name_of(&aggregate);
            if through && rights {
                let (namespace, name) = (meta(&object, "namespace"), meta(&object, "name"));
                let _ = server.delete(&gvr, namespace, name, None).await;
            }
        }
    }
    for role in [name, aggregate.as_str()] {
        let _ = server.delete(&rbac("clusterroles"), "", role, None).await;
    }
}

fn name_of(role: &str) -> Value {
    serde_json::json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role})
}
