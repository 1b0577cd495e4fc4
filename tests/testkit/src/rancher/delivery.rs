//! How Rancher's controllers write: again and again until it is done, through the webhook like everybody else.
use std::time::Duration;

use serde_json::{Value, json};

use crate::apiserver::Gvr;

use super::{
    core::{Core, finalizers, lock, meta, text},
    roles,
};

/// From the webhook's return until a stuck write is tried again (seen: 3 s).
const AFTER_WEBHOOK: Duration = Duration::from_secs(3);
/// From a role template's return until a stuck write is tried again (seen: 18 to 20 s, a retry backoff).
const AFTER_ROLE: Duration = Duration::from_secs(19);

/// An object of a kind, told apart from later ones of its name.
#[derive(Clone)]
pub(super) struct Reference {
    pub gvr: Gvr,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl Reference {
    pub fn of(gvr: &Gvr, object: &Value) -> Self {
        Self {
            gvr: gvr.clone(),
            namespace: meta(object, "namespace").to_owned(),
            name: meta(object, "name").to_owned(),
            uid: meta(object, "uid").to_owned(),
        }
    }

    /// As it is stored now; `None` once it is gone.
    pub fn read(&self, core: &Core) -> Option<Value> {
        let object = core.local.get(&self.gvr, &self.namespace, &self.name);
        object.filter(|object| meta(object, "uid") == self.uid)
    }

    /// As it is stored now, unless it is gone or going.
    pub fn alive(&self, core: &Core) -> Option<Value> {
        self.read(core).filter(|object| !super::core::is_terminating(object))
    }

    /// Writes what `make` wants (`None`: it is as it should be). False once the object is gone or refuses the change.
    pub async fn write(&self, core: &Core, subresource: &str, make: impl Fn(&Value) -> Option<Value>) -> bool {
        loop {
            let Some(current) = self.read(core) else {
                return false;
            };
            let Some(mut patch) = make(&current) else {
                return true;
            };
            patch["metadata"]["resourceVersion"] = meta(&current, "resourceVersion").into();
            let written = core.local.patch(&self.gvr, &self.namespace, &self.name, subresource, &patch).await;
            match written {
                Ok(_) => return true,
                Err(error) if error.code == 409 => tokio::task::yield_now().await,
                Err(error) if error.code >= 500 => wait_for_repair(core, &current).await,
                Err(_) => return false,
            }
        }
    }

    pub async fn add_finalizer(&self, core: &Core, finalizer: &str) -> bool {
        self.write(core, "", |object| {
            let mut list = finalizers(object);
            let missing = !list.iter().any(|one| one == finalizer);
            list.push(finalizer.to_owned());
            missing.then(|| json!({"metadata": {"finalizers": list}}))
        })
        .await
    }

    pub async fn drop_finalizer(&self, core: &Core, finalizer: &str) {
        self.write(core, "", |object| {
            let mut list = finalizers(object);
            let before = list.len();
            list.retain(|one| one != finalizer);
            (list.len() != before).then(|| json!({"metadata": {"finalizers": list}}))
        })
        .await;
    }
}

/// Whether a binding's role template is gone, so that the webhook fails for every update of it.
pub(super) fn role_is_gone(core: &Core, binding: &Value) -> bool {
    let role = text(binding, "roleTemplateName");
    !role.is_empty() && roles::template(core, role).is_none()
}

/// Waits until the webhook answers for this object again, and then as long as Rancher's backoff lasts.
pub(super) async fn wait_for_repair(core: &Core, object: &Value) {
    let mut ticks = core.repaired.subscribe();
    loop {
        let down = *lock(&core.webhook_down);
        let gone = role_is_gone(core, object);
        if !down && !gone {
            return tokio::time::sleep(AFTER_WEBHOOK).await;
        }
        if ticks.changed().await.is_err() {
            return;
        }
        if gone && !role_is_gone(core, object) {
            tokio::time::sleep(AFTER_ROLE).await;
            if !*lock(&core.webhook_down) {
                return;
            }
        }
    }
}
