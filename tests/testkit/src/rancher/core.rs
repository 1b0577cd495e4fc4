//! What the whole simulator shares: the servers, the switches, the seed.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::{Timestamp, tz::TimeZone};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::{sync::watch, time::Instant};

use crate::apiserver::{ApiServer, Gvr};

use super::{Model, Version, faults::FaultRule, routes::Requested};

/// Locks; a test that panicked while it held the lock does not poison the others' answers.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A resource of Rancher's management group.
pub(super) fn management(resource: &str) -> Gvr {
    Gvr::new("management.cattle.io", "v3", resource)
}

/// A resource of Kubernetes' RBAC group.
pub(super) fn rbac(resource: &str) -> Gvr {
    Gvr::new("rbac.authorization.k8s.io", "v1", resource)
}

/// `metadata.<field>` as text; empty when it is not there.
pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// A top-level field as text; empty when it is not there.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

pub(super) fn is_terminating(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub(super) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A time as Kubernetes writes it.
pub(super) fn stamp(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// One downstream cluster.
pub(super) struct Downstream {
    pub server: ApiServer,
    pub away: bool,
}

pub(super) struct Core {
    pub now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub latency: Duration,
    pace: f64,
    version: Mutex<Version>,
    pub local: ApiServer,
    pub downstreams: Mutex<BTreeMap<String, Downstream>>,
    pub webhook_down: Mutex<bool>,
    /// Down since a restart; connections are refused until it ends.
    pub restarting: watch::Sender<bool>,
    /// Ticks when something that a stuck controller may wait for changed.
    pub repaired: watch::Sender<u64>,
    pub requests: Mutex<Vec<Requested>>,
    pub faults: Mutex<Vec<FaultRule>>,
    /// Secret parts of ext tokens by name: the objects hold none.
    pub ext_secrets: Mutex<BTreeMap<String, String>>,
    /// How long after its creation an ext token is not known yet, and until when which are not.
    pub ext_lag: Mutex<(Duration, BTreeMap<String, Instant>)>,
    pub admin_bearer: Mutex<String>,
    /// Whether users made for principals get the global roles that new users have.
    pub default_roles: Mutex<bool>,
    /// Group principals by user id, as the identity provider told at the last login.
    pub groups: Mutex<BTreeMap<String, Vec<String>>>,
    seed: u64,
    drawn: Mutex<u64>,
}

impl Core {
    pub fn new(
        now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
        seed: u64,
        latency: Duration,
        pace: f64,
        version: Version,
        local: ApiServer,
    ) -> Arc<Self> {
        Arc::new(Self {
            now,
            latency,
            pace,
            version: Mutex::new(version),
            local,
            downstreams: Mutex::default(),
            webhook_down: Mutex::default(),
            restarting: watch::Sender::new(false),
            repaired: watch::Sender::new(0),
            requests: Mutex::default(),
            faults: Mutex::default(),
            ext_secrets: Mutex::default(),
            ext_lag: Mutex::default(),
            admin_bearer: Mutex::default(),
            default_roles: Mutex::default(),
            groups: Mutex::default(),
            seed,
            drawn: Mutex::default(),
        })
    }

    /// A cluster's API server, reachable or not.
    pub fn server(&self, cluster: &str) -> Option<ApiServer> {
        if cluster == "local" {
            return Some(self.local.clone());
        }
        lock(&self.downstreams).get(cluster).map(|downstream| downstream.server.clone())
    }

    /// Whether Rancher reaches a cluster; false for one it does not know.
    pub fn reaches(&self, cluster: &str) -> bool {
        cluster == "local" || lock(&self.downstreams).get(cluster).is_some_and(|downstream| !downstream.away)
    }

    /// Every server Rancher reaches, with its cluster's id.
    pub fn reachable(&self) -> Vec<(String, ApiServer)> {
        let mut servers = vec![("local".to_owned(), self.local.clone())];
        servers.extend(
            lock(&self.downstreams)
                .iter()
                .filter(|(_, downstream)| !downstream.away)
                .map(|(id, downstream)| (id.clone(), downstream.server.clone())),
        );
        servers
    }

    /// Which release it is.
    pub fn version(&self) -> Version {
        *lock(&self.version)
    }

    /// Makes it another release.
    pub fn set_version(&self, version: Version) {
        *lock(&self.version) = version;
    }

    /// The model in force, as the feature says.
    pub fn model(&self) -> Model {
        if self.feature("aggregated-roletemplates") { Model::Aggregated } else { Model::Legacy }
    }

    /// Whether a feature is on: what was fixed at the installation, else what is set, else the default.
    pub fn feature(&self, name: &str) -> bool {
        let feature = self.local.peek(&management("features"), "", name).unwrap_or_default();
        let values = [&feature["status"]["lockedValue"], &feature["spec"]["value"], &feature["status"]["default"]];
        values.into_iter().find_map(Value::as_bool).unwrap_or_default()
    }

    /// Whether `tokens.ext.cattle.io` is served.
    pub fn serves_ext_tokens(&self) -> bool {
        let version = self.version();
        version.has_ext_tokens() && (version.ext_tokens_are_whole() || self.feature(super::seed::EXT_TOKENS))
    }

    /// `length` characters from Rancher's alphabet of generated names; the same seed gives the same sequence.
    pub fn random(&self, length: usize) -> String {
        let alphabet = b"bcdfghjklmnpqrstvwxz2456789";
        let mut drawn = lock(&self.drawn);
        let mut bytes = Vec::new();
        while bytes.len() < length {
            *drawn += 1;
            let mut hash = Sha256::new();
            hash.update(b"rancher");
            hash.update(self.seed.to_be_bytes());
            hash.update(drawn.to_be_bytes());
            bytes.extend(hash.finalize());
        }
        bytes.iter().take(length).map(|byte| char::from(alphabet[usize::from(*byte) % alphabet.len()])).collect()
    }

    /// Sleeps as long as an idle Rancher needs, stretched by the pace.
    pub async fn pause(&self, millis: u64) {
        tokio::time::sleep(Duration::from_millis(millis).mul_f64(self.pace)).await;
    }

    /// Tells stuck controllers to look again.
    pub fn repaired(&self) {
        self.repaired.send_modify(|tick| *tick += 1);
    }
}
