//! Which grants are to be looked at, each by one worker at a time.
//!
//! The queue only says *what*; how many run at once, and that revocations do not wait behind creations, is up to the
//! pools of each integration ([`super::pools`]). So one server that hangs holds up nobody else's grants.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};

use crate::grant::GrantKey;

/// Grants to be looked at, now or at a time. Cheap to clone; clones share.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    ready: mpsc::UnboundedSender<GrantKey>,
    /// Something is due sooner than all else.
    sooner: Notify,
}

#[derive(Default)]
struct State {
    /// Those that are queued or being worked on.
    taken: HashMap<GrantKey, Taken>,
    /// When each is to be looked at next, by wall clock, and the same the other way round.
    due: BTreeMap<(Timestamp, GrantKey), ()>,
    due_of: HashMap<GrantKey, Timestamp>,
}

struct Taken {
    /// Whether it was pushed again since it was taken.
    again: bool,
}

/// The reading end of the queue.
pub struct Ready(mpsc::UnboundedReceiver<GrantKey>, Queue);

/// The right to work on one grant. When it is dropped, the grant may be taken again.
pub struct Ticket {
    key: GrantKey,
    queue: Queue,
}

impl Queue {
    /// A queue and its reading end.
    pub fn new() -> (Self, Ready) {
        let (ready, receiver) = mpsc::unbounded_channel();
        let queue = Self(Arc::new(Inner { state: Mutex::default(), ready, sooner: Notify::new() }));
        (queue.clone(), Ready(receiver, queue))
    }

    /// To be looked at now; again, if it is being looked at.
    pub fn push(&self, key: GrantKey) {
        let mut state = self.state();
        state.forget_due(&key);
        if let Some(taken) = state.taken.get_mut(&key) {
            taken.again = true;
            return;
        }
        state.taken.insert(key.clone(), Taken { again: false });
        // The reading end goes only when the process does.
        let _ = self.0.ready.send(key);
    }

    /// To be looked at by then; the earliest of several counts.
    pub fn push_at(&self, key: GrantKey, at: Timestamp) {
        let mut state = self.state();
        if state.due_of.get(&key).is_some_and(|known| *known <= at) {
            return;
        }
        state.forget_due(&key);
        state.due_of.insert(key.clone(), at);
        state.due.insert((at, key.clone()), ());
        if state.due.first_key_value().is_some_and(|((_, first), ())| *first == key) {
            self.0.sooner.notify_one();
        }
    }

    /// Waits until something is due sooner than what [`Queue::push_due`] said was next.
    pub async fn sooner(&self) {
        self.0.sooner.notified().await;
    }

    /// Pushes everything that is due by now; says when the next is.
    pub fn push_due(&self, now: Timestamp) -> Option<Timestamp> {
        loop {
            let next = self.state().due.keys().next().cloned();
            match next {
                Some((at, key)) if at <= now => self.push(key),
                other => return other.map(|(at, _)| at),
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget_due(&mut self, key: &GrantKey) {
        if let Some(at) = self.due_of.remove(key) {
            self.due.remove(&(at, key.clone()));
        }
    }
}

impl Ready {
    /// The next grant to work on; `None` when the queue is gone.
    pub async fn next(&mut self) -> Option<Ticket> {
        let key = self.0.recv().await?;
        Some(Ticket { key, queue: self.1.clone() })
    }
}

impl Ticket {
    /// Which grant.
    pub fn key(&self) -> &GrantKey {
        &self.key
    }

    /// From here on a push means another look after this one.
    pub fn begin(&self) {
        if let Some(taken) = self.queue.state().taken.get_mut(&self.key) {
            taken.again = false;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let again = self.queue.state().taken.remove(&self.key).is_some_and(|t| t.again);
        if again {
            self.queue.push(self.key.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> GrantKey {
        GrantKey { namespace: "web".into(), name: name.into() }
    }

    #[tokio::test]
    async fn one_worker_at_a_time_and_no_push_is_lost() {
        let (queue, mut ready) = Queue::new();
        queue.push(key("a"));
        queue.push(key("a"));
        let ticket = ready.next().await.unwrap();
        ticket.begin();
        assert!(ready.0.try_recv().is_err(), "pushed twice, taken once");
        queue.push(key("a"));
        assert!(ready.0.try_recv().is_err(), "not while it is worked on");
        drop(ticket);
        let ticket = ready.next().await.unwrap();
        assert_eq!(ticket.key(), &key("a"));
        drop(ticket);
        assert!(ready.0.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_earliest_time_counts_and_a_clock_that_jumps_makes_all_due() {
        let (queue, mut ready) = Queue::new();
        let at = |s: &str| s.parse::<Timestamp>().unwrap();
        queue.push_at(key("a"), at("2026-01-01T00:00:10Z"));
        queue.push_at(key("a"), at("2026-01-01T00:00:20Z"));
        queue.push_at(key("b"), at("2026-01-01T00:00:15Z"));
        assert_eq!(queue.push_due(at("2026-01-01T00:00:09Z")), Some(at("2026-01-01T00:00:10Z")));
        assert!(ready.0.try_recv().is_err());
        assert_eq!(queue.push_due(at("2026-01-01T01:00:00Z")), None);
        assert_eq!(ready.next().await.unwrap().key(), &key("a"));
        assert_eq!(ready.next().await.unwrap().key(), &key("b"));
    }
}
