//! The life of global role bindings.
use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    super::{
        core::{Core, management, meta, rbac, text},
        delivery::Reference,
        names, seed, subject,
    },
    Meaning, Memory, follow, with,
};

/// The finalizer of global role bindings.
pub(in super::super) const FINALIZER: &str = "controller.cattle.io/mgmt-auth-grb-controller";

pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let mut memory = Memory::default();
    let shared = Arc::clone(&core);
    let gvr = management("globalrolebindings");
    follow(&core, "local", &gvr, move |tasks, event| {
        let meaning = memory.judge(&event);
        let object = event.object;
        match meaning {
            Meaning::New | Meaning::Touched => with(tasks, &shared, |core| live(core, object)),
            Meaning::Going => with(tasks, &shared, |core| end(core, object)),
            Meaning::Stripped | Meaning::Nothing => {}
        }
    })
}

async fn live(core: Arc<Core>, binding: Value) {
    core.pause(60).await;
    let gvr = management("globalrolebindings");
    let it = Reference::of(&gvr, &binding);
    if it.alive(&core).is_none() {
        return;
    }
    let fields = subject::fill(&core, &binding).await;
    let fills = fields.as_object().is_some_and(|fields| !fields.is_empty());
    it.write(&core, "", |_| fills.then(|| fields.clone())).await;
    let Some(binding) = it.alive(&core) else {
        return;
    };
    if let Some(subject) = names::rbac_subject(&binding) {
        realise(&core, &binding, &subject).await;
    }
    it.write(&core, "status", |object| {
        let done = object["status"]["summary"] == "Completed";
        let status = json!({"summary": "Completed", "summaryLocal": "Completed", "summaryRemote": "Completed"});
        (!done).then(|| json!({"status": status}))
    })
    .await;
}

async fn realise(core: &Core, binding: &Value, subject: &(&'static str, String)) {
    let role = text(binding, "globalRoleName");
    let (kind, name) = subject;
    let own = json!({
        "metadata": {"name": format!("cattle-globalrolebinding-{}", meta(binding, "name"))},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": seed::global_cluster_role(role)},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}],
    });
    // Objects that are there already are left as they are.
    let _ = core.local.create(&rbac("clusterrolebindings"), &own).await;
    if role == "admin" {
        for (_, server) in core.reachable() {
            let _ = server.create(&rbac("clusterrolebindings"), &seed::global_admin(subject)).await;
        }
    }
}

/// 404 after 0.02 s; the rights follow within seconds, on the clusters that can be reached.
async fn end(core: Arc<Core>, binding: Value) {
    core.pause(20).await;
    let it = Reference::of(&management("globalrolebindings"), &binding);
    it.drop_finalizer(&core, FINALIZER).await;
    core.pause(1000).await;
    let gvr = rbac("clusterrolebindings");
    let own = format!("cattle-globalrolebinding-{}", meta(&binding, "name"));
    let _ = core.local.delete(&gvr, "", &own, None).await;
    if text(&binding, "globalRoleName") == "admin"
        && let Some(subject) = names::rbac_subject(&binding)
    {
        let admin = seed::global_admin(&subject);
        for (_, server) in core.reachable() {
            let _ = server.delete(&gvr, "", meta(&admin, "name"), None).await;
        }
    }
}
