//! Which downstream clusters of one Rancher answer.
//!
//! Who finds that one does not opens its circuit; from then on nobody asks it but [`run`], which probes it for all and pushes
//! what waits for it as soon as it is back.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::{sync::Notify, time::sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Context, connection::Connection, grants};
use crate::{
    api::{
        AccessGrant,
        status::{BindingKind, BindingRecord},
    },
    grant::GrantView,
    rancher::Sighting,
    runtime::{Backoff, Breaker, CircuitConfig, CircuitState},
};

/// A cluster that did not answer once is left alone. What waits for it goes on this long after it is back, at most.
const CIRCUIT: CircuitConfig = CircuitConfig {
    threshold: 1,
    backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(5), 0),
    probe_timeout: Duration::from_secs(30),
};

/// Rancher's own cluster: it answers as long as Rancher does.
const LOCAL: &str = "local";

/// The circuits of all downstream clusters of one Rancher.
#[derive(Debug, Default)]
pub struct Clusters {
    circuits: Mutex<HashMap<String, Breaker>>,
    /// A circuit opened.
    opened: Notify,
}

impl Clusters {
    /// Whether the cluster may be asked.
    pub fn answers(&self, id: &str) -> bool {
        self.circuits().get(id).is_none_or(|circuit| circuit.state() == CircuitState::Closed)
    }

    /// It did not answer: from now on it is left alone.
    pub fn failed(&self, id: &str) {
        if id == LOCAL {
            return;
        }
        self.circuits().entry(id.to_owned()).or_insert_with(|| Breaker::new(CIRCUIT)).failed();
        self.opened.notify_one();
    }

    fn circuit(&self, id: &str) -> Option<Breaker> {
        self.circuits().get(id).cloned()
    }

    /// It answers, or is gone from Rancher: nothing is held against it.
    fn forget(&self, id: &str) {
        self.circuits().remove(id);
    }

    fn away(&self) -> Vec<String> {
        self.circuits().keys().cloned().collect()
    }

    fn circuits(&self) -> MutexGuard<'_, HashMap<String, Breaker>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Probes the clusters that do not answer, each by itself, until `shutdown`.
pub async fn run(ctx: Arc<Context>, integration: String, connection: Arc<Connection>, shutdown: CancellationToken) {
    let clusters = &connection.clusters;
    let (mut probed, mut probes) = (BTreeSet::new(), FuturesUnordered::new());
    loop {
        for id in clusters.away() {
            if probed.insert(id.clone()) {
                warn!(integration, cluster = id, "This cluster does not answer through Rancher; it is probed");
                probes.push(until_back(&connection, id));
            }
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            Some(id) = probes.next(), if !probes.is_empty() => {
                probed.remove(&id);
                recovered(&ctx, &integration, &id);
            }
            () = clusters.opened.notified() => {}
        }
    }
}

/// Waits until a cluster answers again, or is gone from Rancher.
async fn until_back(connection: &Connection, id: String) -> String {
    while let Some(circuit) = connection.clusters.circuit(&id) {
        if let Some(due) = circuit.next_probe() {
            sleep_until(due).await;
        }
        circuit.may_try();
        // As long as any call may take: what is slow is not away.
        let answer = connection.rancher.kube_system_uid(&id).await;
        let answers = answer.as_ref().err().is_none_or(|error| !error.is_silence());
        if answers || matches!(connection.rancher.cluster(&id).await, Ok(Sighting::Gone(_))) {
            connection.clusters.forget(&id);
        } else {
            circuit.failed();
        }
    }
    id
}

/// Everything that waits for that cluster is looked at at once.
fn recovered(ctx: &Context, integration: &str, cluster: &str) {
    let mut waiting = 0;
    for grant in ctx.grants.of_integration(integration) {
        if concerns(&grant, cluster) && !GrantView::from(grant.as_ref()).is_finished() {
            waiting += 1;
            ctx.queue.push(grants::key_of(&grant));
        }
    }
    info!(integration, cluster, waiting, "This cluster answers again, or is gone");
}

/// Whether a grant has to do with that cluster, by its record or its request. A global role may have to do with any.
fn concerns(grant: &AccessGrant, cluster: &str) -> bool {
    let anywhere = |b: &BindingRecord| b.kind == BindingKind::GlobalRoleBinding;
    let mut open = grant.status.iter().flat_map(|s| &s.bindings).filter(|b| !b.is_settled());
    open.any(|b| b.cluster == cluster || anywhere(b))
        || grant.spec.access.iter().any(|access| access.cluster_id() == Some(cluster))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_failure_opens_a_clusters_circuit_and_no_other() {
        let clusters = Clusters::default();
        clusters.failed("a");
        clusters.failed(LOCAL);
        assert!(!clusters.answers("a"));
        assert!(clusters.answers("b") && clusters.answers(LOCAL));
        let longest = (0..20).map(|_| {
            let circuit = clusters.circuit("a").unwrap();
            let due = circuit.next_probe().unwrap();
            let wait = due.saturating_duration_since(tokio::time::Instant::now());
            assert!(!clusters.answers("a"));
            wait
        });
        assert!(longest.max() <= Some(Duration::from_secs(5)));
        clusters.forget("a");
        assert!(clusters.answers("a"));
    }
}
