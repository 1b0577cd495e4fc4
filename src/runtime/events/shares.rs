//! How much of the telling one object and one namespace may have.
//!
//! An object that goes to and fro is told about so many times, then seldom: what its tenant does in a loop costs the API
//! server a bounded number of writes. And one namespace fills half of the queue at most, so that another one's few Events
//! find room in it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::ObjectReference;
use tokio::time::Instant;

/// How many Events about one object are told at once. The longest life of a grant has some dozen, and one for each vote.
pub(super) const BURST: u32 = 32;

/// How long after that each further one is told.
pub(super) const PACE: Duration = Duration::from_secs(30);

/// How many objects are remembered before those that were quiet for long are forgotten.
const REMEMBERED: usize = 1024;

/// Who had how much. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub(super) struct Shares(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    /// Until when each object has used up what it may have: one [`PACE`] for each Event.
    used: HashMap<Object, Instant>,
    /// How many objects are remembered before it is looked which can be forgotten.
    forget_at: usize,
    /// How many Events of each namespace wait.
    waiting: HashMap<String, usize>,
}

/// Kind, namespace and name: one that is made anew under its name shares with the one before.
type Object = (Option<String>, Option<String>, Option<String>);

impl Shares {
    /// Whether one more Event about that object may wait, where a namespace may have `most` waiting. It counts from now on.
    pub(super) fn take(&self, about: &ObjectReference, most: usize) -> bool {
        let mut inner = self.inner();
        let namespace = about.namespace.clone().unwrap_or_default();
        if inner.waiting.get(&namespace).is_some_and(|waiting| *waiting >= most) || !inner.has_left(about) {
            return false;
        }
        *inner.waiting.entry(namespace).or_default() += 1;
        true
    }

    /// One does not wait any more.
    pub(super) fn done(&self, about: &ObjectReference) {
        let mut inner = self.inner();
        let namespace = about.namespace.clone().unwrap_or_default();
        let left = inner.waiting.remove(&namespace).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            inner.waiting.insert(namespace, left);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Whether the object may have one more, which then counts.
    fn has_left(&mut self, about: &ObjectReference) -> bool {
        let now = Instant::now();
        self.forget(now);
        let object = (about.kind.clone(), about.namespace.clone(), about.name.clone());
        let until = self.used.entry(object).or_insert(now);
        let next = (*until).max(now) + PACE;
        let left = next <= now + PACE * BURST;
        if left {
            *until = next;
        }
        left
    }

    /// Forgets the objects that have not used anything up.
    fn forget(&mut self, now: Instant) {
        if self.used.len() >= self.forget_at.max(REMEMBERED) {
            self.used.retain(|_, until| *until > now);
            self.forget_at = self.used.len().saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(namespace: &str, name: &str) -> ObjectReference {
        let (namespace, name) = (Some(namespace.to_owned()), Some(name.to_owned()));
        ObjectReference { namespace, name, ..ObjectReference::default() }
    }

    fn took(shares: &Shares, about: &ObjectReference, times: usize, most: usize) -> usize {
        (0..times).filter(|_| shares.take(about, most)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_object_is_told_about_in_bursts_and_then_seldom() {
        let (shares, one) = (Shares::default(), about("web", "a"));
        let burst = BURST as usize;
        assert_eq!(took(&shares, &one, 10_000, usize::MAX), burst);
        assert_eq!(took(&shares, &about("web", "b"), 1, usize::MAX), 1, "another has its own");
        tokio::time::advance(PACE * 10).await;
        assert_eq!(took(&shares, &one, 10_000, usize::MAX), 10);
        tokio::time::advance(PACE * BURST * 3).await;
        assert_eq!(took(&shares, &one, 10_000, usize::MAX), burst, "no more is saved up than that");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_has_so_many_waiting() {
        let shares = Shares::default();
        let all = |namespace: &str| (0..9).filter(|n| shares.take(&about(namespace, &format!("g-{n}")), 4)).count();
        assert_eq!(all("a"), 4);
        assert_eq!(all("b"), 4);
        shares.done(&about("a", "g-0"));
        assert_eq!(all("a"), 1);
        for _ in 0..4 {
            shares.done(&about("b", "g-0"));
        }
        assert!(!shares.inner().waiting.contains_key("b"), "nothing is kept of who has none");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_were_quiet_are_forgotten() {
        let shares = Shares::default();
        for n in 0..100 * REMEMBERED {
            assert!(shares.take(&about("web", &format!("g-{n}")), usize::MAX));
            tokio::time::advance(PACE / 100).await;
        }
        assert!(shares.inner().used.len() <= 2 * REMEMBERED, "{}", shares.inner().used.len());
    }
}
