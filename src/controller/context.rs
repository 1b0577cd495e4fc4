//! What every part of the glue needs.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::sync::watch;

use super::{
    connection::Registry, decisions::Decisions, grants::Grants, installation::Installation, memory::Memory,
    pools::Pools, proof::Proof, queue::Queue, seats::Seats, shared::Shared,
};
use crate::{
    api::{AccessPolicy, RancherIntegration},
    grant::Limits,
    rancher::{Transport, TransportConfig, TransportError},
    runtime::{Clock, EventSink, KeyedLocks, LeaderHandle, Metrics},
};

/// How far a clock may be set back without any harm.
const CLOCK_MAY_GO_BACK: SignedDuration = SignedDuration::from_secs(2);

/// Makes the transport to one Rancher. Tests put a simulator in its place.
pub type Transports = Arc<dyn Fn(&TransportConfig) -> Result<Transport, TransportError> + Send + Sync>;

/// What the operator was told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: its Lease, its installation Secret, and all keys and certificates.
    pub namespace: String,
    /// Which integrations it serves: those with this `connector`.
    pub connector: String,
    /// What bounds the waiting of grants.
    pub limits: Limits,
}

/// What every part of the glue needs. Shared by all.
pub struct Context {
    /// The operator's own API server.
    pub client: Client,
    /// The one clock; see [`Context::now`].
    pub clock: Clock,
    /// What it was told at its start.
    pub settings: Settings,
    /// Who we are, to Rancher.
    pub installation: Installation,
    /// UID of this cluster's `kube-system` namespace: which cluster the operator runs in.
    pub cluster_uid: String,
    /// Whether this process leads.
    pub leader: LeaderHandle,
    /// Figures.
    pub metrics: Metrics,
    /// Events.
    pub events: EventSink,
    /// Every grant.
    pub grants: Grants,
    /// Decisions about grants that were not answered yet.
    pub decisions: Decisions,
    /// Every policy.
    pub policies: Shared<AccessPolicy>,
    /// Every integration.
    pub integrations: Shared<RancherIntegration>,
    /// Grants to be looked at.
    pub queue: Queue,
    /// How many at once.
    pub pools: Pools,
    /// How many grants are under way under each policy with limits.
    pub seats: Seats,
    /// The Ranchers.
    pub registry: Registry,
    /// One lock a binding.
    pub locks: KeyedLocks<String>,
    /// What this process remembers of its own doing.
    pub memory: Memory,
    /// Whether identities are proven by admission at present, and since when.
    pub proof: watch::Receiver<Proof>,
    /// How a Rancher is reached.
    pub transports: Transports,
    /// The latest time that was ever told.
    pub(super) latest: Mutex<Timestamp>,
}

impl Context {
    /// The time. It never goes back: what has ended in the eyes of this process stays ended, whatever the clock does.
    pub fn now(&self) -> Timestamp {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        *latest = (*latest).max(self.clock.now());
        *latest
    }

    /// Whether the clock has gone back: then what it says now is no time to count a duration from.
    pub fn clock_is_behind(&self) -> bool {
        self.now().duration_since(self.clock.now()) > CLOCK_MAY_GO_BACK
    }
}
