//! Backups of what the server stores, as of etcd: taken at one moment, put back at a later one.
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch as signal;

use super::{
    ApiServer, Inner,
    kind::{Gvr, Kind, StorageKey},
    object::Key,
    state::State,
};

/// Everything a server stored at one moment, with the kinds it served.
#[derive(Clone)]
pub struct Backup {
    revision: u64,
    kinds: BTreeMap<Gvr, Arc<Kind>>,
    objects: BTreeMap<(StorageKey, Key), Arc<Value>>,
}

impl std::fmt::Debug for Backup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Backup").field("objects", &self.objects.len()).finish_non_exhaustive()
    }
}

fn everything(state: &State) -> BTreeMap<(StorageKey, Key), Arc<Value>> {
    let all = state.everything();
    all.map(|(storage, key, object)| ((storage.clone(), key.clone()), Arc::clone(object))).collect()
}

impl ApiServer {
    /// Takes a backup.
    pub fn backup(&self) -> Backup {
        let state = self.0.state();
        Backup { revision: state.revision, kinds: state.kinds.clone(), objects: everything(&state) }
    }

    /// Another server, which stores what this one stores now and goes on by itself. Nobody watches it, nobody observes it, and
    /// it asks no webhook.
    #[must_use]
    pub fn fork(&self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        let mut state = self.0.state().clone();
        state.observers.clear();
        Self(Arc::new(Inner {
            state: Mutex::new(state),
            wake: signal::Sender::new(0),
            now: Box::new(now),
            hooks: Mutex::default(),
            authorizer: Mutex::default(),
            recorded: Mutex::default(),
            texts: Arc::clone(&self.0.texts),
            expressions: Arc::clone(&self.0.expressions),
            verdicts: Arc::clone(&self.0.verdicts),
            available: AtomicBool::new(true),
            cuts: AtomicU64::new(0),
        }))
    }

    /// Puts a backup back: objects made since are gone, deleted and changed ones are as they were, with their UIDs and
    /// resourceVersions, which go on from the backup's. No admission is asked, nothing is collected, and all connections are
    /// cut, as by the restart that a restored etcd takes.
    pub fn restore(&self, backup: &Backup) {
        let mut state = self.0.state();
        for ((storage, key), now) in everything(&state) {
            let Some(kind) = state.kind_of_storage(&storage) else {
                continue;
            };
            let before = backup.objects.get(&(storage, key.clone()));
            if before != Some(&now) {
                state.commit(&kind.gvr, &key, before.map(|object| object.as_ref().clone()));
            }
        }
        state.kinds.clone_from(&backup.kinds);
        for ((storage, key), object) in &backup.objects {
            if let Some(kind) = state.kind_of_storage(storage).filter(|kind| state.get(&kind.gvr, key).is_none()) {
                state.commit(&kind.gvr, key, Some(object.as_ref().clone()));
            }
        }
        state.garbage = false;
        let objects = backup.objects.iter().map(|(place, object)| (place.clone(), Arc::clone(object)));
        state.rewind(backup.revision, objects);
        drop(state);
        self.0.cuts.fetch_add(1, Ordering::SeqCst);
        self.0.wake();
    }
}
