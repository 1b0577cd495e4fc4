//! What people can ask for, as objects: a `RancherResource` for each cluster, project and role of a Rancher whose integration
//! sets `spec.discovery`, and for each namespace where that is asked for.
//!
//! - [`source`]: the watches, on Rancher and on our own objects. [`read`], [`record`]: as much as is kept of each object.
//! - [`inventory`]: what there is, what stands, and what is to be written for the two to agree. [`name`]: what objects are called.
//! - [`write`]: writes that, a few at a time, and nothing that stands already.
//! - [`keeper`]: begins and ends all that with `spec.discovery`, and tells the integration's status.
//!
//! An object belongs to its integration by an owner reference: when that goes, Kubernetes' own garbage collector takes all of
//! them, though no operator runs any more. Where `spec.discovery` alone goes, the operator deletes them. That something was
//! ever written stands in the integration's status before the first of it is.
//!
//! Nothing else depends on any of this: who asks for access has Rancher itself asked.

mod inventory;
pub mod keeper;
mod name;
mod read;
mod record;
mod source;
mod used;
mod write;

pub(super) use name::label;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::{inventory::Inventory, keeper::Told};
use super::{Context, connection::Connection};
use crate::{
    api::{GROUP, RancherIntegration},
    policy::parse_duration,
};

/// The least time between two lists, and what stands in for an interval that cannot be read.
const INTERVAL: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// What an integration asks for.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    integration: String,
    /// UID of the integration, which owns all objects.
    uid: String,
    /// `spec.discovery.interval`, as it was written, and what it means.
    interval: String,
    again: Duration,
    namespaces: bool,
    /// Key of the label or annotation that says whose something is.
    owner: Option<String>,
}

impl Plan {
    /// `None` where nothing is to be mirrored.
    fn of(integration: &RancherIntegration) -> Option<Self> {
        let asked = integration.spec.discovery.as_ref()?;
        let again = parse_duration(&asked.interval).and_then(|again| Duration::try_from(again).ok());
        Some(Self {
            integration: integration.metadata.name.clone()?,
            uid: integration.metadata.uid.clone()?,
            interval: asked.interval.clone(),
            again: again.unwrap_or(INTERVAL.1).max(INTERVAL.0),
            namespaces: asked.namespaces,
            owner: integration.spec.resource_owner.as_ref().map(|owner| owner.key.clone()),
        })
    }

    fn owner_reference(&self) -> OwnerReference {
        OwnerReference {
            api_version: format!("{GROUP}/{}", RancherIntegration::version(&())),
            kind: RancherIntegration::kind(&()).into_owned(),
            name: self.integration.clone(),
            uid: self.uid.clone(),
            ..OwnerReference::default()
        }
    }
}

/// Mirrors one Rancher.
struct Mirror {
    ctx: Arc<Context>,
    plan: Plan,
    connection: Arc<Connection>,
    inventory: Mutex<Inventory>,
    /// There may be something to write.
    changed: Notify,
    told: Arc<Told>,
}

impl Mirror {
    fn new(ctx: Arc<Context>, plan: Plan, connection: Arc<Connection>, told: Arc<Told>) -> Self {
        let inventory = Mutex::new(Inventory::new(&plan.integration, plan.namespaces));
        Self { ctx, plan, connection, inventory, changed: Notify::new(), told }
    }

    /// Mirrors until `shutdown`.
    async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = self.is_recorded() => {}
        }
        tokio::join!(
            self.follow_own(&shutdown),
            self.follow_rancher(&shutdown),
            self.follow_namespaces(&shutdown),
            self.keep_writing(&shutdown),
        );
    }

    /// Waits until the integration's status says that something may have been written.
    async fn is_recorded(&self) {
        let mut changes = self.ctx.integrations.changes();
        loop {
            changes.mark_unchanged();
            let integration = self.ctx.integrations.get(&self.plan.integration);
            if integration.is_some_and(|found| found.status.as_ref().is_some_and(|s| s.discovery.is_some())) {
                return;
            }
            // An error would mean that the process ends.
            let _ = changes.changed().await;
        }
    }

    /// Whether this process leads, and it is the Rancher that was registered.
    fn may_write(&self) -> bool {
        may_write(&self.ctx, &self.plan.integration)
    }

    fn inventory(&self) -> MutexGuard<'_, Inventory> {
        self.inventory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn may_write(ctx: &Context, integration: &str) -> bool {
    ctx.leader.may_create() && ctx.registry.get(integration).is_some_and(|link| link.may_sweep)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_interval_is_no_less_than_a_minute_and_absent_is_off() {
        let plan = |spec: serde_json::Value| {
            let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration",
                "metadata": {"name": "prod", "uid": "u"}, "spec": spec});
            Plan::of(&serde_json::from_value(object).unwrap())
        };
        let again =
            |interval: &str| plan(json!({"discovery": {"interval": interval}})).map(|plan| plan.again.as_secs());
        assert_eq!(plan(json!({})), None);
        assert_eq!(
            (again("10m"), again("1s"), again("1h30m"), again("x")),
            (Some(600), Some(60), Some(5400), Some(600))
        );
        let bare = plan(json!({"discovery": {}})).unwrap();
        assert_eq!((bare.interval.as_str(), bare.again.as_secs(), bare.namespaces), ("10m", 600, false));
    }
}
