//! All objects of one cluster-scoped kind, as the watch last told.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
};

use kube::{Resource, ResourceExt};

use tokio::sync::watch;

use super::watch::Change;

/// All objects of a kind, by name. Cheap to clone; clones share.
#[derive(Debug)]
pub struct Shared<K>(Arc<RwLock<BTreeMap<String, Arc<K>>>>, Arc<AtomicBool>, watch::Sender<()>);

impl<K> Clone for Shared<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1.clone(), self.2.clone())
    }
}

impl<K> Default for Shared<K> {
    fn default() -> Self {
        Self(Arc::default(), Arc::default(), watch::Sender::new(()))
    }
}

impl<K: Resource> Shared<K> {
    /// Takes in what the watch said, and tells the names that it is about.
    pub fn take(&self, change: Change<K>) -> Vec<String> {
        let changed = self.keep(change);
        if !changed.is_empty() {
            self.2.send_replace(());
        }
        changed
    }

    /// Tells from now on that something changed.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.2.subscribe()
    }

    fn keep(&self, change: Change<K>) -> Vec<String> {
        let mut objects = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match change {
            Change::InList { news: false, .. } => Vec::new(),
            Change::Seen(object) | Change::InList { object, .. } => {
                let name = object.name_any();
                objects.insert(name.clone(), Arc::from(object));
                vec![name]
            }
            Change::Gone { name, .. } => {
                objects.remove(&name);
                vec![name]
            }
            Change::Listed(there) => {
                self.1.store(true, Ordering::Relaxed);
                let gone: Vec<_> =
                    objects.keys().filter(|name| !there.iter().any(|(_, there)| there == *name)).cloned().collect();
                for name in &gone {
                    objects.remove(name);
                }
                gone
            }
        }
    }

    /// Whether all of them have been told once: until then what is missing may only be unknown.
    pub fn is_listed(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }

    /// The object of that name.
    pub fn get(&self, name: &str) -> Option<Arc<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All objects, by name.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
