//! The life of global role bindings.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::apiserver::EventType;

use super::{
    super::{
        core::{Core, is_terminating, management, meta, rbac, text},
        delivery::Reference,
        global, names, subject,
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
            Meaning::New | Meaning::Touched | Meaning::Stripped => with(tasks, &shared, |core| live(core, object)),
            Meaning::Going => with(tasks, &shared, |core| end(core, object)),
            Meaning::Nothing => {}
        }
    })
}

/// Follows the global roles: their ClusterRoles have their rules. Who holds one that goes loses it by its owner reference.
pub(super) fn roles(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let shared = Arc::clone(&core);
    follow(&core, "local", &management("globalroles"), move |tasks, event| {
        let role = event.object;
        if event.kind != EventType::Deleted {
            with(tasks, &shared, |core| async move {
                core.pause(50).await;
                global::ensure_role(&core, &role).await;
            });
        }
    })
}

/// Gives what every binding is to have on the clusters that are reached now: after one came, or came back.
pub(in super::super) async fn resync(core: Arc<Core>) {
    core.pause(1000).await;
    for binding in core.local.list(&management("globalrolebindings"), None) {
        if !is_terminating(&binding) {
            live(Arc::clone(&core), binding).await;
        }
    }
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
    let role = core.local.get(&management("globalroles"), "", text(&binding, "globalRoleName"));
    let (Some(subject), Some(role)) = (names::rbac_subject(&binding), role) else {
        return;
    };
    let done = global::realise(&core, &binding, &role, &subject).await;
    let summary = if done { "Completed" } else { "Error" };
    it.write(&core, "status", |object| {
        let same = object["status"]["summary"] == summary;
        let status = json!({"summary": summary, "summaryLocal": summary, "summaryRemote": "Completed"});
        (!same).then(|| json!({"status": status}))
    })
    .await;
}

/// 404 after 0.02 s. An administrator's rights are taken from the clusters that are reached; those that are away keep theirs,
/// and nobody comes back for them. What the binding owns goes with it.
async fn end(core: Arc<Core>, binding: Value) {
    core.pause(20).await;
    if global::ends_as_admin(&core, text(&binding, "globalRoleName"))
        && let Some(subject) = names::rbac_subject(&binding)
    {
        let admin = global::admin(&core, &subject, &binding);
        for (_, server) in core.reachable() {
            let _ = server.delete(&rbac("clusterrolebindings"), "", meta(&admin, "name"), None).await;
        }
    }
    global::forget_namespaces(&core, &binding).await;
    let it = Reference::of(&management("globalrolebindings"), &binding);
    it.drop_finalizer(&core, FINALIZER).await;
}
