//! How many grants of one integration are worked on at once: one pool for what takes access away, one for the rest.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::grant::Lane;

/// Revocations of one integration at once. Rancher deletes some 40 bindings a second (measured on 2.15.0 with two
/// cores); each takes about a quarter of a second here, so this keeps up without crowding the server.
const REVOKING: usize = 16;

/// Other work of one integration at once.
const GRANTING: usize = 8;

/// The pools of all integrations. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Pools(Arc<Mutex<HashMap<String, Pool>>>);

#[derive(Clone, Debug)]
struct Pool {
    revoking: Arc<Semaphore>,
    granting: Arc<Semaphore>,
}

impl Default for Pool {
    fn default() -> Self {
        Self { revoking: Arc::new(Semaphore::new(REVOKING)), granting: Arc::new(Semaphore::new(GRANTING)) }
    }
}

impl Pools {
    /// A place in the pool of that integration and lane, as soon as one is free; first come, first served.
    pub async fn place(&self, integration: &str, lane: Lane) -> Option<OwnedSemaphorePermit> {
        let pool = {
            let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pools.entry(integration.to_owned()).or_default().clone()
        };
        let semaphore = match lane {
            Lane::Revoke => pool.revoking,
            Lane::Grant => pool.granting,
        };
        // The semaphores are never closed.
        semaphore.acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_pool_holds_up_neither_the_other_lane_nor_another_integration() {
        let pools = Pools::default();
        let mut held = Vec::new();
        for _ in 0..GRANTING {
            held.push(pools.place("a", Lane::Grant).await);
        }
        let waits = tokio::time::timeout(std::time::Duration::from_secs(1), pools.place("a", Lane::Grant)).await;
        assert!(waits.is_err());
        assert!(pools.place("a", Lane::Revoke).await.is_some());
        assert!(pools.place("b", Lane::Grant).await.is_some());
    }
}
