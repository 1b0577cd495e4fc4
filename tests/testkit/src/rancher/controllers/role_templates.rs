//! What a role template's end does to those who hold it, and its return to what is stuck.
use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use crate::apiserver::{ApiServer, EventType};

use super::{
    super::{
        core::{Core, management, meta, rbac, text},
        names, roles,
    },
    bindings::resync,
    follow, with,
};

pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    let gvr = management("roletemplates");
    let mut content = BTreeMap::new();
    follow(&core, "local", &gvr, move |tasks, event| {
        let name = meta(&event.object, "name").to_owned();
        let now = json!([event.object["rules"], event.object["roleTemplateNames"]]);
        match event.kind {
            EventType::Added => {
                content.insert(name, now);
                shared.repaired();
            }
            EventType::Deleted => {
                content.remove(&name);
                with(tasks, &shared, |core| end(core, name));
            }
            EventType::Modified => {
                if content.insert(name.clone(), now.clone()) != Some(now) {
                    with(tasks, &shared, |core| change(core, name));
                }
            }
        }
    })
}

/// Who holds it, by whatever role it is reached, has what it says now.
async fn change(core: Arc<Core>, name: String) {
    core.pause(500).await;
    resync(core.clone(), |_, binding| {
        let reached = roles::reached(&core, text(binding, "roleTemplateName"));
        reached.iter().any(|role| meta(role, "name") == name)
    })
    .await;
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
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role})
}
