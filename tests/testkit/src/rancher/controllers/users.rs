//! The life of users: what belongs to one goes with it.
use std::sync::Arc;

use serde_json::Value;

use crate::apiserver::Gvr;

use super::{
    super::{
        core::{Core, lock, management, meta},
        delivery::Reference,
    },
    Meaning, Memory, delete_where, follow, with,
};

const FINALIZER: &str = "controller.cattle.io/mgmt-auth-users-controller";

pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let mut memory = Memory::default();
    let shared = Arc::clone(&core);
    follow(&core, "local", &management("users"), move |tasks, event| {
        let meaning = memory.judge(&event);
        let object = event.object;
        match meaning {
            Meaning::New | Meaning::Stripped => with(tasks, &shared, |core| live(core, object)),
            Meaning::Going => with(tasks, &shared, |core| end(core, object)),
            Meaning::Touched | Meaning::Nothing => {}
        }
    })
}

async fn live(core: Arc<Core>, user: Value) {
    core.pause(30).await;
    let it = Reference::of(&management("users"), &user);
    if it.alive(&core).is_some() {
        it.add_finalizer(&core, FINALIZER).await;
    }
}

/// 0.14 s: bindings, tokens and the password first, then the user.
async fn end(core: Arc<Core>, user: Value) {
    core.pause(120).await;
    let id = meta(&user, "name").to_owned();
    let bindings = ["clusterroletemplatebindings", "projectroletemplatebindings", "globalrolebindings"];
    for resource in bindings {
        delete_where(&core, resource, |binding| binding["userName"] == id.as_str()).await;
    }
    delete_where(&core, "tokens", |token| token["userId"] == id.as_str()).await;
    let ext = Gvr::new("ext.cattle.io", "v1", "tokens");
    for token in core.local.list(&ext, None) {
        if token["spec"]["userID"] == id.as_str() {
            let name = meta(&token, "name");
            lock(&core.ext_secrets).remove(name);
            let _ = core.local.delete(&ext, "", name, None).await;
        }
    }
    let secrets = Gvr::core("secrets");
    let _ = core.local.delete(&secrets, super::super::seed::PASSWORDS, &id, None).await;
    let _ = core.local.delete(&management("userattributes"), "", &id, None).await;
    Reference::of(&management("users"), &user).drop_finalizer(&core, FINALIZER).await;
}
