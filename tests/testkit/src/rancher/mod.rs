//! A Rancher in memory: answers as Rancher 2.15.0 with webhook 0.11.0 was recorded to, and as the source of the releases back
//! to 2.11.0 says that they do ([`Version`]), without sockets unless asked.
//!
//! Everything that Rancher keeps lives as objects in an [`ApiServer`] (its own cluster) and one more per downstream cluster.
//! Controllers run as tasks on tokio's time, so paused time works, and do what Rancher's were seen to do, when they were seen to:
//! finalizers, subjects, RBAC objects with their owner labels, and what they leave behind.
//!
//! What is not modelled: Steve (`/v1`), Norman's bindings under `/v3`, Tables, the kubeconfig endpoints, replicas, what global
//! roles give in Fleet's workspaces.
use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::task::AbortHandle;

pub use crate::https::Served;
use crate::{
    apiserver::{ApiServer, Service},
    https,
};

mod access;
mod auth;
mod binding;
mod controllers;
mod core;
mod delivery;
mod downstream;
mod ext;
mod faults;
mod global;
mod grants;
mod login;
mod names;
mod plain;
mod proxy;
mod rights;
mod roles;
mod routes;
mod seed;
mod stories;
mod subject;
mod tokens;
mod version;
mod webhook;
mod world;

#[cfg(test)]
mod tests;

pub use access::Access;
pub use faults::{FaultAction, FaultRule};
pub use routes::Requested;
pub use stories::Backup;
pub use tokens::TokenSpec;
pub use version::Version;

use self::core::{Core, lock};

/// How Rancher turns bindings into RBAC objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Model {
    /// The default up to 2.15: one object per role reached, shared between bindings of one subject.
    #[default]
    Legacy,
    /// The feature `aggregated-roletemplates`.
    Aggregated,
}

/// A handle to the simulated Rancher; clones and services share it, and its controllers stop with the last of them.
#[derive(Clone)]
pub struct Rancher(Arc<Handle>);

struct Handle {
    core: Arc<Core>,
    controllers: std::sync::Mutex<Vec<AbortHandle>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        for task in lock(&self.controllers).drain(..) {
            task.abort();
        }
    }
}

impl std::fmt::Debug for Rancher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rancher").finish_non_exhaustive()
    }
}

/// Builds a [`Rancher`].
pub struct Builder {
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    seed: u64,
    latency: Duration,
    pace: f64,
    model: Model,
    version: Version,
    install_uuid: String,
}

impl Builder {
    /// The wall clock, for stamps and the expiry of tokens. Default: the machine's.
    #[must_use]
    pub fn now(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// The seed of names, secrets and UIDs. Default: 0.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// How long every request takes before it is looked at. Default: nothing.
    #[must_use]
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// Stretches the controllers' times; 1 is an idle server with two cores, 2 to 3 what 24 bindings at once make of it.
    #[must_use]
    pub fn pace(mut self, factor: f64) -> Self {
        self.pace = factor;
        self
    }

    /// The RBAC model to begin with; the feature `aggregated-roletemplates` switches it later.
    #[must_use]
    pub fn model(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// Which release it is. Default: 2.15.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// The setting `install-uuid`.
    #[must_use]
    pub fn install_uuid(mut self, uuid: &str) -> Self {
        uuid.clone_into(&mut self.install_uuid);
        self
    }

    /// The server, with its controllers running on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Rancher {
        let clock = Arc::clone(&self.now);
        let local = ApiServer::builder().seed(self.seed).now(move || clock()).build();
        let core = Core::new(self.now, self.seed, self.latency, self.pace, self.version, local);
        seed::plant(&core, self.model, &self.install_uuid);
        webhook::install(&core);
        rights::install(&core, &core.local, "local");
        // Nobody may watch from before the start: resourceVersion 5 is long compacted on a real server.
        core.local.expire_watches();
        let rancher = Rancher(Arc::new(Handle { core, controllers: std::sync::Mutex::default() }));
        rancher.start_controllers();
        rancher
    }
}

#[allow(clippy::disallowed_methods)] // the default clock of a test server whose author gave none
fn wall_clock() -> Timestamp {
    Timestamp::now()
}

impl Rancher {
    /// Starts to describe a server.
    pub fn builder() -> Builder {
        Builder {
            now: Arc::new(wall_clock),
            seed: 0,
            latency: Duration::ZERO,
            pace: 1.0,
            model: Model::Legacy,
            version: Version::V2_15,
            install_uuid: "5b1c6f0e-3a52-4d0e-9b8f-000000000000".to_owned(),
        }
    }

    fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    fn start_controllers(&self) {
        let mut running = lock(&self.0.controllers);
        for task in running.drain(..) {
            task.abort();
        }
        *running = controllers::start(self.core());
    }

    /// The HTTP face: any host, the path decides; it authenticates as Rancher does.
    pub fn service(&self) -> Service {
        routes::service(self.clone())
    }

    /// The same over HTTPS on a free port of 127.0.0.1, until the answer is dropped.
    ///
    /// # Panics
    /// Where the machine gives no port.
    pub async fn serve(&self) -> Served {
        let service = self.service();
        https::serve(move || https::of_service(service.clone())).await
    }

    /// Rancher's own cluster, past all authentication.
    pub fn local(&self) -> ApiServer {
        self.core().local.clone()
    }

    /// A cluster by id, past all authentication; `local` is [`Rancher::local`].
    pub fn downstream(&self, cluster: &str) -> Option<ApiServer> {
        self.core().server(cluster)
    }

    /// Every request that arrived, in order.
    pub fn requests(&self) -> Vec<Requested> {
        lock(&self.core().requests).clone()
    }

    /// Forgets the recorded requests.
    pub fn clear_requests(&self) {
        lock(&self.core().requests).clear();
    }

    /// Adds a fault; rules are asked in the order they were added, the first that matches acts.
    pub fn fault(&self, rule: FaultRule) {
        lock(&self.core().faults).push(rule);
    }

    /// Forgets all faults.
    pub fn clear_faults(&self) {
        lock(&self.core().faults).clear();
    }
}
