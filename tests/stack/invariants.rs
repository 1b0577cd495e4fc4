//! What must hold in every run, whatever the fault.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use kube::{
    Api, Client,
    api::{DynamicObject, ListParams},
    core::{ApiResource, GroupVersionKind},
};
use rancher_access_operator::api::{AccessGrantStatus, FINALIZER, condition::ConditionStatus, status::BindingState};
use serde_json::{Value, json};
use testkit::{proxy::Asked, rancher::Rancher};

use crate::{
    kinds::says,
    scenarios, until,
    witness::{Witness, name, ours},
    worker::{Worker, bindings_path},
    world::{CLUSTER, World},
};

/// Which bindings hold which grants, and whether one was let go before its binding was gone.
#[derive(Clone, Default)]
pub(crate) struct Finalizers(Arc<Mutex<Holds>>);

#[derive(Default)]
struct Holds {
    bindings: BTreeMap<String, String>,
    broke: Vec<String>,
}

impl Finalizers {
    pub(crate) fn held(&self, grant: &str, binding: &str) {
        self.holds(|holds| holds.bindings.insert(grant.to_owned(), binding.to_owned()));
    }

    pub(crate) fn forget(&self) {
        self.holds(|holds| *holds = Holds::default());
    }

    /// Sees every request to the API server before that does.
    pub(crate) fn look(&self, asked: &Asked, rancher: &Rancher) {
        let path = asked.path.split('?').next().unwrap_or_default();
        let Some((_, grant)) = path.split_once("/accessgrants/") else { return };
        let patch: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let Some(finalizers) = patch["metadata"]["finalizers"].as_array() else { return };
        if finalizers.iter().any(|one| one == FINALIZER) {
            return;
        }
        self.holds(|holds| {
            let left = holds.bindings.get(grant).is_some_and(|held| ours(rancher).iter().any(|one| name(one) == *held));
            if left {
                holds.broke.push(format!("{grant} lost its finalizer while its binding was there"));
            }
        });
    }

    fn holds<T>(&self, act: impl FnOnce(&mut Holds) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Once all grants of the run are gone; `who` has somebody else's binding, and so many were to be made.
pub(crate) async fn hold(worker: &Worker, witness: &Witness, foreign: &[Value], who: &str, creates: usize) {
    let world = &worker.world;
    assert_eq!(ours(&world.rancher), [] as [Value; 0], "no binding of ours without a grant");
    scenarios::without(worker, who).await;
    assert_eq!(witness.broke(), [] as [String; 0]);
    worker.finalizers.holds(|holds| assert_eq!(holds.broke, [] as [String; 0]));
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    untouched(&foreign[0], &world.bindings_of(who));
    let made = world.rancher.requests();
    let made = made.iter().filter(|one| {
        one.method == "POST" && one.path.split('?').next().unwrap_or_default().ends_with(&bindings_path())
    });
    assert_eq!(made.count(), creates, "nothing is made twice");
    silent(world, &worker.operator.log());
    // Events and managed fields come with the objects.
    for (group, version, kind, plural) in [
        ("events.k8s.io", "v1", "Event", "events"),
        ("rancheraccess.io", "v1alpha1", "AccessGrant", "accessgrants"),
        ("rancheraccess.io", "v1alpha1", "RancherIntegration", "rancherintegrations"),
    ] {
        let kind = GroupVersionKind::gvk(group, version, kind);
        silent(world, &all(&world.admin, &ApiResource::from_gvk_with_plural(&kind, plural)).await);
    }
}

async fn all(client: &Client, kind: &ApiResource) -> String {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let list = async || api.list(&ListParams::default()).await.ok();
    let (list, _) = until("the API server lists what there is", 20, list).await;
    serde_json::to_string(&list).expect("JSON")
}

/// The key's secret part is nowhere, in no form.
pub(crate) fn silent(world: &World, text: &str) {
    let (_, secret) = world.token.split_once(':').expect("a name and a secret");
    for canary in [secret.to_owned(), STANDARD.encode(secret), STANDARD.encode(&world.token)] {
        let line = text.lines().find(|line| line.contains(canary.trim_end_matches('=')));
        assert!(line.is_none(), "the key is in: {}", line.unwrap_or_default().replace(&canary, "…"));
    }
}

/// Somebody else's binding for a person: the same cluster, another role.
pub(crate) async fn foreign(world: &World, who: &str) {
    let id = world.person(who);
    let made = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": format!("crtb-{who}"), "namespace": CLUSTER},
        "clusterName": CLUSTER, "roleTemplateName": "nodes-view", "userName": id});
    world.rancher.local().create(&scenarios::bindings(), &made).await.expect("a binding by hand");
}

/// The same object to the byte, or with the one annotation that a revocation may write.
fn untouched(before: &Value, after: &[Value]) {
    let after = after.first().unwrap_or_else(|| panic!("somebody else's binding is gone: {before:#}"));
    let touched = &after["metadata"]["annotations"]["rancheraccess.io/touched"];
    if touched.is_null() {
        assert_eq!(before, after, "somebody else's binding changed");
        return;
    }
    let bare = |object: &Value| {
        let mut object = object.clone();
        let meta = object["metadata"].as_object_mut().expect("metadata");
        for key in ["resourceVersion", "managedFields", "generation"] {
            meta.remove(key);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove("rancheraccess.io/touched");
        }
        object
    };
    assert_eq!(bare(before), bare(after), "somebody else's binding changed by more than the annotation");
}

/// A status says that access is in force, and Rancher has that binding.
pub(crate) fn in_force(world: &World, status: &AccessGrantStatus) {
    let recorded = &status.bindings[0];
    assert!(recorded.state == BindingState::Present && granted(status), "{status:?}");
    let found = ours(&world.rancher).into_iter().find(|one| name(one) == recorded.name);
    let uid = found.as_ref().and_then(|one| one["metadata"]["uid"].as_str());
    assert!(uid.is_some() && uid == recorded.uid.as_deref(), "recorded {recorded:?}, found {found:?}");
}

pub(crate) fn granted(status: &AccessGrantStatus) -> bool {
    says(status, "Granted").status == ConditionStatus::True
}

pub(crate) fn revoked(status: &AccessGrantStatus) -> bool {
    says(status, "Revoked").status == ConditionStatus::True && says(status, "Ready").status == ConditionStatus::True
}
