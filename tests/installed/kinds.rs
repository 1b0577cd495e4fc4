//! The objects that tests write and read.

use std::time::Duration;

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use rancher_access_operator::{
    api::{AccessGrant, AccessGrantStatus, Condition, condition, status::Phase},
    runtime::Clock,
};
use serde_json::{Value, json};

use super::{
    until,
    world::{CLUSTER, GROUP},
};

/// What [`GROUP`] may have on the cluster and its project from the namespace of the policy's own name.
pub(crate) fn policy(name: &str, project: &str) -> Value {
    json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy", "metadata": {"name": name}, "spec": {
        "effect": "Allow", "integrationRef": {"name": "prod"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        "requesters": [{"kind": "Group", "name": GROUP}],
        "subjects": {"self": true},
        "access": [
            {"cluster": {"names": [CLUSTER], "roles": ["cluster-member", "nodes-view"]}},
            {"project": {"clusters": [CLUSTER], "names": [project], "roles": ["read-only"]}},
        ],
        "duration": {"default": "1h", "max": "8h"},
    }})
}

/// A role on the cluster, for the requester himself.
pub(crate) fn on_cluster(duration: &str) -> Value {
    json!({"integrationRef": {"name": "prod"}, "duration": duration,
        "access": [{"cluster": {"name": CLUSTER, "role": "cluster-member"}}]})
}

/// The resource of grants, for objects that need not be complete.
pub(crate) fn grants(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("rancheraccess.io", "v1alpha1", "AccessGrant");
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, "accessgrants"))
}

/// Creates a grant as whoever the client is.
pub(crate) async fn create(
    client: &Client,
    namespace: &str,
    name: &str,
    spec: Value,
) -> Result<DynamicObject, kube::Error> {
    grants(client, namespace).create(&PostParams::default(), &object(namespace, name, spec)).await
}

/// Whether a grant that does not say who asks would be taken: a new API server needs a moment to know how to fill it in.
pub(crate) async fn would_be_taken(client: &Client) -> bool {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let probe = object("default", "probe", on_cluster("1h"));
    grants(client, "default").create(&dry, &probe).await.is_ok()
}

fn object(namespace: &str, name: &str, spec: Value) -> DynamicObject {
    let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}

/// A time from now, in whole seconds.
pub(crate) fn in_seconds(seconds: i64) -> String {
    Timestamp::from_second(now().as_second() + seconds).unwrap().to_string()
}

/// How long ago a time was, zero if it lies ahead.
pub(crate) fn since(time: Timestamp) -> Duration {
    Duration::try_from(now().duration_since(time)).unwrap_or_default()
}

/// One grant, as the admin reads it.
#[derive(Clone)]
pub(crate) struct Grant {
    api: Api<AccessGrant>,
    pub(crate) name: String,
}

impl Grant {
    pub(crate) fn new(client: Client, namespace: &str, name: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), name: name.to_owned() }
    }

    pub(crate) async fn get(&self) -> AccessGrant {
        self.api.get(&self.name).await.unwrap()
    }

    pub(crate) async fn status(&self) -> AccessGrantStatus {
        self.get().await.status.unwrap_or_default()
    }

    /// Waits for a phase; the status as it was then seen.
    pub(crate) async fn until(&self, phase: Phase, seconds: u64) -> AccessGrantStatus {
        let mut last = AccessGrantStatus::default();
        let what = format!("{} is {phase:?}", self.name);
        let reached = until(&what, seconds, async || {
            // An API server that is away is no answer.
            last = self.api.get(&self.name).await.ok()?.status.unwrap_or_default();
            (last.phase == Some(phase)).then(|| last.clone())
        });
        reached.await.0
    }

    /// Waits until the object itself is gone.
    pub(crate) async fn until_gone(&self, seconds: u64) {
        let what = format!("{} is gone", self.name);
        let gone = async || self.api.get_opt(&self.name).await.ok()?.is_none().then_some(());
        until(&what, seconds, gone).await;
    }

    pub(crate) async fn delete(&self) {
        self.api.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }

    /// Deletes it, as often as it takes while the API server comes back.
    pub(crate) async fn try_delete(&self, seconds: u64) {
        let gone = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
        let delete = async || {
            let asked = self.api.delete(&self.name, &DeleteParams::default()).await;
            (asked.is_ok() || asked.is_err_and(|error| gone(&error))).then_some(())
        };
        until(&format!("{} can be deleted", self.name), seconds, delete).await;
    }

    pub(crate) async fn patch(&self, patch: Value) {
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// What a condition says, which must be there.
#[track_caller]
pub(crate) fn says<'a>(status: &'a AccessGrantStatus, type_: &str) -> &'a Condition {
    condition::find(&status.conditions, type_).unwrap_or_else(|| panic!("no {type_} in {:?}", status.conditions))
}

/// When the access ends, as recorded.
pub(crate) fn end(status: &AccessGrantStatus) -> Timestamp {
    status.expires_time.as_ref().expect("an end is recorded").0
}
