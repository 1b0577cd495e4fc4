//! One lock for each key: at most one piece of work per name at a time.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OwnedMutexGuard;

/// Locks by key. Waiters of one key go in the order in which they came; a key nobody uses costs nothing. Cheap to clone.
///
/// Not re-entrant: who holds a key and locks it again waits for ever.
pub struct KeyedLocks<K: Eq + Hash + Clone>(Arc<Mutex<HashMap<K, Entry>>>);

struct Entry {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Holders and waiters together.
    users: usize,
}

/// Holds one key until dropped.
#[must_use = "the key is free again once the guard is dropped"]
pub struct KeyGuard<K: Eq + Hash + Clone> {
    // Order matters: the lock is handed on before the ticket may remove its entry.
    _held: OwnedMutexGuard<()>,
    _ticket: Ticket<K>,
}

/// Counts one holder or waiter; dropped also when a waiter gives up.
struct Ticket<K: Eq + Hash + Clone> {
    locks: KeyedLocks<K>,
    key: K,
}

impl<K: Eq + Hash + Clone> KeyedLocks<K> {
    /// No key is locked.
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for its turn on `key`. Dropping the future leaves the queue.
    pub async fn lock(&self, key: K) -> KeyGuard<K> {
        let (ticket, lock) = self.queue(key);
        KeyGuard { _held: lock.lock_owned().await, _ticket: ticket }
    }

    /// How many keys are held or waited for.
    pub fn in_use(&self) -> usize {
        self.entries().len()
    }

    fn queue(&self, key: K) -> (Ticket<K>, Arc<tokio::sync::Mutex<()>>) {
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_insert_with(|| Entry { lock: Arc::default(), users: 0 });
        entry.users += 1;
        let lock = Arc::clone(&entry.lock);
        drop(entries);
        (Ticket { locks: self.clone(), key }, lock)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<K, Entry>> {
        // The map is whole after each of the short sections above and below, even if a key's Hash panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone> Drop for Ticket<K> {
    fn drop(&mut self) {
        let mut entries = self.locks.entries();
        if let Some(entry) = entries.get_mut(&self.key) {
            entry.users -= 1;
            if entry.users == 0 {
                entries.remove(&self.key);
            }
        }
    }
}

impl<K: Eq + Hash + Clone> Default for KeyedLocks<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Eq + Hash + Clone> Clone for KeyedLocks<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::{sleep, timeout};

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_per_key_in_order_of_arrival() {
        let locks = KeyedLocks::new();
        let log = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..5u64)
            .map(|n| {
                let (locks, log) = (locks.clone(), Arc::clone(&log));
                tokio::spawn(async move {
                    sleep(Duration::from_millis(n)).await;
                    let _guard = locks.lock("a").await;
                    log.lock().unwrap().push((n, "in"));
                    sleep(Duration::from_millis(100)).await;
                    log.lock().unwrap().push((n, "out"));
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<_> = (0..5).flat_map(|n| [(n, "in"), (n, "out")]).collect();
        assert_eq!(*log.lock().unwrap(), expected);
        assert_eq!(locks.in_use(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn other_keys_do_not_wait() {
        let locks = KeyedLocks::new();
        let _a = locks.lock(1).await;
        let _b = timeout(Duration::from_millis(1), locks.lock(2)).await.unwrap();
        assert_eq!(locks.in_use(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_gives_up_leaves_nothing_behind() {
        let locks = KeyedLocks::new();
        let held = locks.lock("a").await;
        assert!(timeout(Duration::from_secs(1), locks.lock("a")).await.is_err());
        drop(held);
        assert_eq!(locks.in_use(), 0);
        drop(timeout(Duration::from_millis(1), locks.lock("a")).await.unwrap());
    }

    #[tokio::test]
    async fn a_panicking_holder_frees_its_key() {
        let locks = KeyedLocks::new();
        let task = tokio::spawn({
            let locks = locks.clone();
            async move {
                let _guard = locks.lock("a").await;
                panic!("the holder fails");
            }
        });
        assert!(task.await.unwrap_err().is_panic());
        let _guard = locks.lock("a").await;
    }
}
