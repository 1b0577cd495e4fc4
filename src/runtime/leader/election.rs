//! The election itself: look, renew, take over, give back.

use std::{sync::Arc, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, api::PostParams};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    LeaderError, LeaderHandle, LeaseConfig, LeaseConfigError, Seat, Tenure,
    record::{self, Watched},
};
use crate::runtime::Clock;

/// How often giving the lease back is tried before it is left to run out.
const RELEASE_ATTEMPTS: usize = 2;

/// How long one such attempt may take: together less than the supervisor's last stage.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Takes part in the election of one leader. [`Leader::run`] does the work; its [`LeaderHandle`] tells the outcome.
pub struct Leader {
    api: Api<Lease>,
    config: LeaseConfig,
    clock: Clock,
    seat: Arc<Seat>,
    /// The record as this process last wrote it.
    mine: Option<Lease>,
    /// The term that was last confirmed to be ours.
    term: Option<(Option<String>, i32)>,
    watched: Watched,
    /// Whether a write was ever sent: only then can there be something to give back.
    wrote: bool,
    failing: bool,
}

/// How one attempt went.
enum Turn {
    /// The lease is ours; renew it in time after this moment, at which the write was sent.
    Held(Instant),
    /// It is somebody else's, or nobody's yet; it can be taken from this moment on.
    Waiting(Instant),
    /// Somebody else took it after we had led.
    Deposed(String),
}

#[derive(Debug, Error)]
enum AttemptError {
    #[error(transparent)]
    Api(#[from] kube::Error),
    #[error("the API server gave the Lease no resourceVersion, so it cannot be replaced safely")]
    Unversioned,
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

impl AttemptError {
    /// Somebody else wrote first, or the record is gone: look again.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Api(kube::Error::Api(status)) if status.code == 409 || status.code == 404)
    }
}

impl Leader {
    /// A contender and the handle that tells how it fares. Nothing happens until [`Leader::run`].
    ///
    /// # Errors
    /// The configuration's durations do not keep two leaders apart.
    pub fn new(client: Client, config: LeaseConfig, clock: Clock) -> Result<(Self, LeaderHandle), LeaseConfigError> {
        config.validate()?;
        let seat = Arc::new(Seat::new());
        let leader = Self {
            api: Api::namespaced(client, &config.namespace),
            config,
            clock,
            seat: Arc::clone(&seat),
            mine: None,
            term: None,
            watched: Watched::default(),
            wrote: false,
            failing: false,
        };
        Ok((leader, LeaderHandle(seat)))
    }

    /// Contends until `shutdown`, then gives the lease back. Cancel `shutdown` only after everything that creates has
    /// stopped: the next leader starts at once.
    ///
    /// # Errors
    /// [`LeaderError::Deposed`] when another leader is seen after this process had led: the process must exit.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), LeaderError> {
        let seat = Arc::clone(&self.seat);
        let ended = tokio::select! {
            biased;
            () = shutdown.cancelled() => Ok(()),
            deposed = self.contend() => Err(deposed),
            never = seat.publish_lapses() => match never {},
        };
        seat.hold(None);
        match &ended {
            Ok(()) if self.wrote => self.release().await,
            Ok(()) => {}
            Err(deposed) => warn!(error = %deposed, "Lost the lease"),
        }
        ended
    }

    /// Ends only when deposed.
    async fn contend(&mut self) -> LeaderError {
        loop {
            let started = Instant::now();
            let limit = self.config.attempt();
            let turn = match timeout(limit, self.attempt()).await {
                Ok(turn) => turn,
                Err(_) => Err(AttemptError::Timeout(limit)),
            };
            let next = match turn {
                Ok(Turn::Deposed(by)) => {
                    let lease = self.lease_name();
                    return LeaderError::Deposed { lease, by };
                }
                Ok(Turn::Held(sent)) => sent + self.config.renew,
                Ok(Turn::Waiting(until)) => until.min(started + self.config.retry),
                Err(_) => started + self.config.retry,
            };
            self.report(turn.err());
            sleep_until(next).await;
        }
    }

    /// Renews what is ours, or looks whether something can be taken.
    async fn attempt(&mut self) -> Result<Turn, AttemptError> {
        if let Some(mine) = self.mine.take() {
            let renewal = record::renewed(mine.clone(), &self.config, self.clock.now());
            self.mine = Some(mine); // kept for the next attempt, should this one go unanswered
            match self.replace(renewal).await {
                Err(error) if error.is_stale() => self.mine = None,
                other => return other,
            }
        }
        let seen = self.api.get_opt(&self.config.name).await?;
        self.judge(seen).await
    }

    /// What the record, as read just now, allows.
    async fn judge(&mut self, seen: Option<Lease>) -> Result<Turn, AttemptError> {
        let (now, clock) = (Instant::now(), self.clock.now());
        let known = self.watched.any() || seen.is_some();
        let expires = known.then(|| self.watched.expires(seen.as_ref(), self.config.duration, now));
        let Some(lease) = seen else {
            // Deleted under a holder's feet: it makes it anew at once, others give it the time to do so.
            return match expires {
                Some(expires) if now < expires && self.term.is_none() => Ok(Turn::Waiting(expires)),
                _ => self.create(record::first(&self.config, clock)).await,
            };
        };
        let holder = record::holder(&lease).map(str::to_owned);
        let same_term = self.term.as_ref() == Some(&record::term(&lease));
        match (holder, expires) {
            (Some(holder), _) if holder == self.config.identity => {
                self.replace(record::renewed(lease, &self.config, clock)).await
            }
            (Some(holder), _) if self.term.is_some() => Ok(Turn::Deposed(holder)),
            (None, _) if self.term.is_some() && !same_term => {
                Ok(Turn::Deposed("another process, which has released it since".to_owned()))
            }
            (Some(_), Some(expires)) if now < expires => Ok(Turn::Waiting(expires)),
            _ => self.replace(record::taken(lease, &self.config, clock)).await,
        }
    }

    async fn create(&mut self, lease: Lease) -> Result<Turn, AttemptError> {
        let sent = self.sending();
        let written = self.api.create(&PostParams::default(), &lease).await?;
        Ok(self.won(written, sent))
    }

    async fn replace(&mut self, lease: Lease) -> Result<Turn, AttemptError> {
        if lease.metadata.resource_version.is_none() {
            return Err(AttemptError::Unversioned);
        }
        let sent = self.sending();
        let written = self.api.replace(&self.config.name, &PostParams::default(), &lease).await?;
        Ok(self.won(written, sent))
    }

    fn sending(&mut self) -> Instant {
        self.wrote = true;
        Instant::now()
    }

    /// The API server has confirmed a write that was sent at `sent`.
    fn won(&mut self, written: Lease, sent: Instant) -> Turn {
        let term = record::term(&written);
        let held = (*self.seat.tenure.borrow()).filter(|_| self.term.as_ref() == Some(&term));
        let tenure = Tenure {
            since: held.map_or_else(Instant::now, |tenure| tenure.since),
            deadline: sent + self.config.deadline,
        };
        if held.is_none() {
            info!(lease = self.lease_name(), identity = self.config.identity, "Took the lease");
        }
        self.term = Some(term);
        self.mine = Some(written);
        self.seat.hold(Some(tenure));
        Turn::Held(sent)
    }

    /// Empties the holder, so that the next one need not wait. What fails here runs out by itself.
    async fn release(&mut self) {
        for _ in 0..RELEASE_ATTEMPTS {
            match timeout(RELEASE_TIMEOUT, self.try_release()).await {
                Ok(Ok(true)) => {
                    info!(lease = self.lease_name(), "Released the lease");
                    return;
                }
                Ok(Ok(false)) => return,
                Ok(Err(error)) if error.is_stale() => {} // a late renewal of our own: look again
                Ok(Err(error)) => debug!(%error, "Could not release the lease"),
                Err(_) => debug!("Could not release the lease in time"),
            }
        }
        warn!(lease = self.lease_name(), "Left the lease to run out, for the API server did not take it back");
    }

    /// Whether the lease was ours and is now free. Reads first: a write of ours may have landed unanswered.
    async fn try_release(&self) -> Result<bool, AttemptError> {
        let Some(lease) = self.api.get_opt(&self.config.name).await? else {
            return Ok(false);
        };
        if record::holder(&lease) != Some(self.config.identity.as_str()) {
            return Ok(false);
        }
        if lease.metadata.resource_version.is_none() {
            return Err(AttemptError::Unversioned);
        }
        let free = record::released(lease, self.clock.now());
        self.api.replace(&self.config.name, &PostParams::default(), &free).await?;
        Ok(true)
    }

    /// Says a failure once, and its end once.
    fn report(&mut self, error: Option<AttemptError>) {
        match error {
            // Two standbys reached for it, and the other was first.
            Some(error) if error.is_stale() => {
                debug!(%error, "The lease was written by another process")
            }
            Some(error) if !self.failing => {
                self.failing = true;
                warn!(lease = self.lease_name(), %error, "Cannot reach the lease; trying on");
            }
            None if self.failing => {
                self.failing = false;
                info!(lease = self.lease_name(), "The lease can be reached again");
            }
            Some(_) | None => {}
        }
    }

    fn lease_name(&self) -> String {
        format!("{}/{}", self.config.namespace, self.config.name)
    }
}
