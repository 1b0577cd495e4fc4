//! Leader election by one `coordination.k8s.io` Lease.
//!
//! How two leaders are ruled out without comparing clocks of two machines:
//! - The holder believes in its lease until [`LeaseConfig::deadline`] after the moment it *sent* its last successful
//!   renewal, on its own monotonic clock, and no longer, whatever the API server does meanwhile.
//! - Everybody else believes in it until they themselves have watched an unchanged record for
//!   [`LeaseConfig::duration`], which is longer. `renewTime` is for people to read.
//! - Every write names the `resourceVersion` it replaces, so a write that lands late changes nothing.
//!
//! What stays possible: Rancher has no fencing token, so a create sent just before the deadline may land after it. The
//! difference between the two durations is the time such a call has; names that recompute make it harmless.
//! The monotonic clock of a virtual machine stands still while the machine is suspended: that is not covered.

mod election;
mod record;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use thiserror::Error;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

pub use election::Leader;

/// Which Lease, as whom, and how fast.
#[derive(Clone, Debug)]
pub struct LeaseConfig {
    /// Namespace of the Lease: the operator's own.
    pub namespace: String,
    /// Name of the Lease: one for each installation and connector.
    pub name: String,
    /// Who holds it. Unique for each *process*, not each pod: see [`identity`].
    pub identity: String,
    /// How long others must have watched an unchanged record before they take over. Default 15 s.
    pub duration: Duration,
    /// How often the holder renews. Default 5 s.
    pub renew: Duration,
    /// How long after sending a successful renewal the holder may still act. Default 10 s.
    pub deadline: Duration,
    /// How often a standby looks, and how soon a failed attempt is repeated. Default 2 s.
    pub retry: Duration,
}

impl LeaseConfig {
    /// The default durations.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }

    /// Whether the durations keep two leaders apart and leave time to renew.
    ///
    /// # Errors
    /// Says which setting must be changed.
    pub fn validate(&self) -> Result<(), LeaseConfigError> {
        if self.retry.is_zero() {
            return Err(LeaseConfigError::Zero);
        }
        if self.renew >= self.deadline {
            return Err(LeaseConfigError::RenewTooSlow { renew: self.renew, deadline: self.deadline });
        }
        if self.deadline >= self.duration {
            return Err(LeaseConfigError::DeadlineTooLate { deadline: self.deadline, duration: self.duration });
        }
        Ok(())
    }

    /// How long one attempt may take: an unanswered renewal is given up when the deadline is reached.
    fn attempt(&self) -> Duration {
        self.deadline.saturating_sub(self.renew)
    }
}

/// The durations do not fit together.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum LeaseConfigError {
    /// A standby would ask without a pause.
    #[error("the lease's retry period must be more than zero")]
    Zero,
    /// The lease would run out between two renewals.
    #[error("the lease must be renewed more often (every {renew:?}) than its deadline ({deadline:?}) comes")]
    RenewTooSlow {
        /// The renewal period asked for.
        renew: Duration,
        /// The deadline asked for.
        deadline: Duration,
    },
    /// Another process could take over while the holder still acts.
    #[error("the lease's deadline ({deadline:?}) must be shorter than its duration ({duration:?})")]
    DeadlineTooLate {
        /// The deadline asked for.
        deadline: Duration,
        /// The duration asked for.
        duration: Duration,
    },
}

/// A holder's name for this process: the pod's name and 8 random hexadecimal digits, so that a container restarted in
/// the same pod does not take its predecessor's lease for its own.
///
/// # Errors
/// The machine has no source of randomness.
pub fn identity(pod: &str) -> Result<String, getrandom::Error> {
    Ok(format!("{pod}_{:08x}", getrandom::u32()?))
}

/// Where this process stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It holds nothing: it never did, gave it back, or has seen another leader.
    Standby,
    /// It holds the lease and may create.
    Leading,
    /// It held the lease, could not renew it in time, and has seen no other leader. It creates nothing, but what its
    /// memory says is due is still revoked.
    Lapsed,
}

/// Why the election ended.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LeaderError {
    /// Another process leads. What this one remembers is out of date: it must exit.
    #[error("the lease {lease} was lost to {by}; this process must restart")]
    Deposed {
        /// `namespace/name` of the Lease.
        lease: String,
        /// The new holder's identity.
        by: String,
    },
}

/// A lease that was won: since when, and until when it may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tenure {
    since: Instant,
    deadline: Instant,
}

/// What the election tells its handles.
struct Seat {
    tenure: watch::Sender<Option<Tenure>>,
    standing: watch::Sender<Standing>,
}

impl Seat {
    fn new() -> Self {
        Self { tenure: watch::Sender::new(None), standing: watch::Sender::new(Standing::Standby) }
    }

    fn hold(&self, tenure: Option<Tenure>) {
        self.tenure.send_replace(tenure);
        self.publish();
    }

    fn standing(&self) -> Standing {
        match *self.tenure.borrow() {
            None => Standing::Standby,
            Some(tenure) if Instant::now() < tenure.deadline => Standing::Leading,
            Some(_) => Standing::Lapsed,
        }
    }

    fn publish(&self) {
        let now = self.standing();
        self.standing.send_if_modified(|was| std::mem::replace(was, now) != now);
    }

    /// Publishes the lapse at the moment it happens, though the election may be waiting for an answer then.
    async fn publish_lapses(&self) -> std::convert::Infallible {
        let mut tenures = self.tenure.subscribe();
        loop {
            let deadline = tenures.borrow_and_update().map(|tenure| tenure.deadline);
            match deadline {
                Some(deadline) if Instant::now() < deadline => {
                    tokio::select! {
                        _ = tenures.changed() => {}
                        () = sleep_until(deadline) => {}
                    }
                }
                _ => {
                    self.publish();
                    // The sender is borrowed from `self`: it cannot close.
                    let _ = tenures.changed().await;
                }
            }
        }
    }
}

/// Asks the election where this process stands. Cheap to clone.
#[derive(Clone)]
pub struct LeaderHandle(Arc<Seat>);

impl LeaderHandle {
    /// Whether something may be created now. Ask right before each create: the answer is good for this moment.
    pub fn may_create(&self) -> bool {
        self.standing() == Standing::Leading
    }

    /// Where this process stands now.
    pub fn standing(&self) -> Standing {
        self.0.standing()
    }

    /// Tells each change of [`Standing`], for as long as the election runs.
    pub fn watch(&self) -> watch::Receiver<Standing> {
        self.0.standing.subscribe()
    }

    /// When this process took the lease that it holds, or held until it lapsed. A lapse nobody used does not change it.
    pub fn since(&self) -> Option<Instant> {
        self.0.tenure.borrow().map(|tenure| tenure.since)
    }
}

impl fmt::Debug for LeaderHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LeaderHandle").field(&self.standing()).finish()
    }
}
