//! The life of users: what belongs to one goes with it.
use std::sync::Arc;

use serde_json::{Value, json};

use crate::apiserver::{EventType, Gvr};

use super::{
    super::{
        core::{Core, finalizers, is_terminating, lock, management, meta},
        delivery::Reference,
        tokens,
    },
    Meaning, Memory, delete_where, follow, with,
};

const FINALIZER: &str = "controller.cattle.io/mgmt-auth-users-controller";
/// Says that Rancher has seen the user.
const SEEN: &str = "lifecycle.cattle.io/create.mgmt-auth-users-controller";

pub(super) fn run(core: Arc<Core>) -> impl Future<Output = ()> + Send {
    let mut memory = Memory::default();
    let shared = Arc::clone(&core);
    follow(&core, "local", &management("users"), move |tasks, event| {
        let meaning = memory.judge(&event);
        let gone = event.kind == EventType::Deleted;
        let object = event.object;
        if object["enabled"] == false && !gone && !is_terminating(&object) {
            let object = object.clone();
            with(tasks, &shared, |core| shut_out(core, object));
        }
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
    if it.alive(&core).is_none() {
        return;
    }
    it.write(&core, "", |user| {
        let mut held = finalizers(user);
        let mut principals = user["principalIds"].as_array().cloned().unwrap_or_default();
        let is_local = |one: &Value| one.as_str().is_some_and(|one| one.starts_with("local://"));
        let (has_own, is_held) = (principals.iter().any(is_local), held.iter().any(|one| one == FINALIZER));
        if !has_own {
            principals.push(format!("local://{}", meta(user, "name")).into());
        }
        if !is_held {
            held.push(FINALIZER.to_owned());
        }
        let metadata = json!({"finalizers": held, "annotations": {SEEN: "true"}});
        (!has_own || !is_held).then(|| json!({"metadata": metadata, "principalIds": principals}))
    })
    .await;
}

/// Who may not log in loses his ext tokens: API keys are disabled and stay so, sessions are deleted. His v3 tokens are left,
/// and are good again when he is (2.12 to 2.15).
async fn shut_out(core: Arc<Core>, user: Value) {
    core.pause(30).await;
    let it = Reference::of(&management("users"), &user);
    if it.alive(&core).is_none_or(|user| user["enabled"] != false) {
        return;
    }
    for mut token in ext_tokens(&core, &it.name) {
        if token["spec"]["kind"] == "session" {
            drop_ext(&core, &token).await;
        } else if token["spec"]["enabled"] != false {
            token["spec"]["enabled"] = false.into();
            // Gone meanwhile is as good.
            let _ = core.local.update_unchecked(&tokens::ext(), token);
        }
    }
}

fn ext_tokens(core: &Core, user: &str) -> Vec<Value> {
    let all = core.local.list(&tokens::ext(), None);
    all.into_iter().filter(|token| token["spec"]["userID"] == user).collect()
}

async fn drop_ext(core: &Core, token: &Value) {
    let name = meta(token, "name");
    lock(&core.ext_secrets).remove(name);
    let _ = core.local.delete(&tokens::ext(), "", name, None).await;
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
    for token in ext_tokens(&core, &id) {
        drop_ext(&core, &token).await;
    }
    let secrets = Gvr::core("secrets");
    let _ = core.local.delete(&secrets, super::super::seed::PASSWORDS, &id, None).await;
    let _ = core.local.delete(&management("userattributes"), "", &id, None).await;
    Reference::of(&management("users"), &user).drop_finalizer(&core, FINALIZER).await;
}
