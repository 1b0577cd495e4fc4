//! How many grants of one integration are worked on at once: one pool for taking access away, one for looking downstream
//! for what was left behind, one for the rest. Each is shared fairly by tenants (namespaces) and downstream clusters.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    api::AccessGrant,
    grant::Lane,
    runtime::{FairPool, Place},
};

use super::{grants::key_of, memory::Memory};

/// Revocations at once, in all and on one cluster. Rancher deletes some 40 bindings a second (measured on 2.15.0 with two
/// cores); each takes about a tenth of a second here, since nobody keeps a place while Rancher works.
const REVOKING: (usize, usize) = (32, 8);

/// Looks for left-overs at once, in all and on one cluster: a cluster that hangs keeps so many of them until its circuit
/// opens, and no place for revoking.
const CLEARING: (usize, usize) = (16, 6);

/// Other work at once, in all and on one cluster.
const GRANTING: (usize, usize) = (8, 4);

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Taking access away.
    Revoke,
    /// Looking downstream for what a binding that is gone left behind; it may take away as well.
    Clear,
    /// Everything else.
    Grant,
}

impl Work {
    /// What is to be done next for a grant of that lane, and on which cluster: that of the binding to clear up after, else of
    /// the first unsettled one, else the first that the request names.
    pub fn next(grant: &AccessGrant, lane: Lane, memory: &Memory) -> (Self, Option<String>) {
        let mut open = grant.status.iter().flat_map(|s| &s.bindings).filter(|b| !b.is_settled());
        let first = open.clone().map(|b| b.cluster.clone()).find(|cluster| !cluster.is_empty());
        match lane {
            Lane::Revoke => match open.find(|b| memory.is_to_clear(&b.name)) {
                Some(binding) => (Self::Clear, Some(binding.cluster.clone())),
                None => (Self::Revoke, first),
            },
            Lane::Grant => {
                let asked = grant.spec.access.first().and_then(|access| access.cluster_id()).map(str::to_owned);
                (Self::Grant, first.or(asked))
            }
        }
    }
}

/// The pools of all integrations. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<HashMap<String, Pool>>>);

#[derive(Clone, Debug)]
struct Pool {
    revoking: FairPool,
    clearing: FairPool,
    granting: FairPool,
}

impl Default for Pool {
    fn default() -> Self {
        let [revoking, clearing, granting] =
            [REVOKING, CLEARING, GRANTING].map(|(total, each)| FairPool::new(total, each));
        Self { revoking, clearing, granting }
    }
}

impl Pools {
    /// A place for a grant in the pool of that integration and work, when it is its tenant's turn.
    pub async fn place(&self, integration: &str, grant: &AccessGrant, work: Work, cluster: Option<String>) -> Place {
        let pool = {
            let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pools.entry(integration.to_owned()).or_default().clone()
        };
        let pool = match work {
            Work::Revoke => pool.revoking,
            Work::Clear => pool.clearing,
            Work::Grant => pool.granting,
        };
        pool.place(&key_of(grant).namespace, cluster).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grant(cluster: &str) -> AccessGrant {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"namespace": "web", "name": "a", "uid": "1"},
            "spec": {"integrationRef": {"name": "a"}, "requestedBy": {"username": "a"}, "access": []},
            "status": {"bindings": [{"kind": "ClusterRoleTemplateBinding", "cluster": cluster, "namespace": cluster,
                "name": "rao-1", "subject": "user:u-1", "role": "r", "state": "Present", "since": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_pool_holds_up_neither_other_work_nor_another_cluster_or_integration() {
        let (pools, grant) = (Pools::default(), grant("c"));
        let on = |cluster: &str| Some(cluster.to_owned());
        let mut held = Vec::new();
        for _ in 0..GRANTING.1 {
            held.push(pools.place("a", &grant, Work::Grant, on("c")).await);
        }
        let waits = tokio::time::timeout(Duration::from_secs(1), pools.place("a", &grant, Work::Grant, on("c"))).await;
        assert!(waits.is_err());
        let _others = [
            pools.place("a", &grant, Work::Revoke, on("c")).await,
            pools.place("a", &grant, Work::Clear, on("c")).await,
            pools.place("a", &grant, Work::Grant, on("d")).await,
            pools.place("b", &grant, Work::Grant, on("c")).await,
        ];
    }

    #[test]
    fn what_is_to_be_cleared_up_after_has_a_place_of_its_own() {
        let (memory, grant) = (Memory::default(), grant("c"));
        let on_c = |work| (work, Some("c".to_owned()));
        assert_eq!(Work::next(&grant, Lane::Revoke, &memory), on_c(Work::Revoke));
        memory.to_clear("rao-1");
        assert_eq!(Work::next(&grant, Lane::Revoke, &memory), on_c(Work::Clear));
        assert_eq!(Work::next(&grant, Lane::Grant, &memory), on_c(Work::Grant));
    }
}
