//! Whether identities are proven, and of what: whether the API server enforces our admission policies, and since when.
//!
//! `spec.requestedBy` and `spec.decidedBy` are believed only because admission lets nobody write another's name. So the
//! operator looks, at its start and while it runs, that the policies and their bindings stand as they should
//! ([`shipped`]), and tries forgeries itself ([`forgery`]). Since when they have stood so is recorded ([`record`]): what
//! was made before that may be anybody's. Without proof nothing is granted; revoking goes on.

mod forgery;
pub mod record;
mod shipped;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{grant::Because, runtime::Clock};

/// How often it is looked at while it stands, and while it does not. With the time that a look takes, whoever takes the
/// policies away has ten seconds before granting stops.
const AGAIN: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(5));

/// How long a look may take. What hangs longer tells nothing.
const WITHIN: Duration = Duration::from_secs(4);

/// How long after policies are written some API server may still not know them.
const IN_FORCE: SignedDuration = SignedDuration::from_secs(12);

/// Whether identities are proven at present, and of what: of objects that were created at that time or later.
pub type Proof = Result<Timestamp, Because>;

/// What is told before the first look is done.
pub fn unknown() -> Proof {
    Err(because("Whether the API server checks who asks has not been looked at yet; it is in a moment."))
}

/// Why a look proved nothing.
#[derive(Clone, Debug, PartialEq)]
enum Failure {
    /// Nobody checks: a forgery was let through. What is made meanwhile stays unproven afterwards, also where nothing else
    /// will show that later.
    Gap(Because),
    /// It cannot be told, or something does not stand as this operator knows it. That leaves a trace of its own: what is
    /// changed has another generation afterwards, and what is made anew another UID. What is stored goes on standing,
    /// whether the API server answers or not.
    Unknown(Because),
}

impl Failure {
    fn gap(message: impl Into<String>) -> Self {
        Self::Gap(because(message))
    }

    fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown(because(message))
    }

    fn into_because(self) -> Because {
        match self {
            Self::Gap(because) | Self::Unknown(because) => because,
        }
    }
}

fn because(message: impl Into<String>) -> Because {
    Because::new("IdentityUnproven", message)
}

/// All of what was found; else the first gap, else the first that cannot be told.
fn all<T>(found: Vec<Result<T, Failure>>) -> Result<Vec<T>, Failure> {
    let (mut good, mut failed) = (Vec::new(), None);
    for one in found {
        match one {
            Ok(one) => good.push(one),
            Err(gap @ Failure::Gap(_)) => return Err(gap),
            Err(unknown) => failed = failed.or(Some(unknown)),
        }
    }
    failed.map_or(Ok(good), Err)
}

/// Looks, again and again.
pub struct Prover {
    /// The operator's own API server.
    pub client: Client,
    /// The operator's namespace.
    pub namespace: String,
    /// The operator's user name.
    pub operator: String,
    /// The one clock.
    pub clock: Clock,
}

impl Prover {
    /// Looks until `shutdown`, and tells each change.
    ///
    /// # Errors
    /// Never.
    pub async fn run(
        self,
        told: watch::Sender<Proof>,
        shutdown: CancellationToken,
    ) -> Result<(), std::convert::Infallible> {
        let expected = shipped::expected(shipped::ACCEPTED, &self.operator);
        // When this process last saw that nobody checks: kept, for the record may get lost.
        let mut lapsed = None;
        loop {
            let found = match timeout(WITHIN, self.look(&expected, lapsed)).await {
                Ok(found) => found,
                Err(_) => Err(Failure::unknown(
                    "The API server did not answer in time when it was asked for the admission policies.",
                )),
            };
            if let Err(Failure::Gap(_)) = &found {
                lapsed = Some(self.clock.now());
                self.record_gap().await;
            }
            let again = if found.is_ok() { AGAIN.0 } else { AGAIN.1 };
            tell(&told, found.map_err(Failure::into_because));
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = sleep(again) => {}
            }
        }
    }

    /// From which time on objects are proven, if all stands now.
    async fn look(&self, expected: &Result<Vec<shipped::Expected>, Failure>, lapsed: Option<Timestamp>) -> Proven {
        let expected = expected.as_ref().map_err(Failure::clone)?;
        let (standing, forged) = tokio::join!(
            futures::future::join_all(expected.iter().map(|one| shipped::stands(&self.client, one))),
            forgery::are_refused(&self.client, &self.namespace),
        );
        let standing = match (all(standing), forged) {
            (Ok(standing), Ok(())) => standing,
            // What is missing says more than what was let through for it.
            (Err(failure), Err(Failure::Gap(_))) => return Err(Failure::Gap(failure.into_because())),
            (Err(failure), _) | (Ok(_), Err(failure)) => return Err(failure),
        };
        self.record(&standing, lapsed).await.map(|since| since.saturating_add(IN_FORCE).unwrap_or(Timestamp::MAX))
    }

    /// Records since when all stands, where that is not recorded yet, and says it.
    async fn record(&self, standing: &[shipped::Standing], lapsed: Option<Timestamp>) -> Proven {
        loop {
            let stored = record::read(&self.client, &self.namespace).await?;
            let record = stored.record.standing(standing, lapsed, self.clock.now());
            // On a conflict the other replica was faster: what it wrote counts, and may be enough.
            if record == stored.record || record::write(&self.client, &self.namespace, &stored, &record).await? {
                return Ok(record.since());
            }
        }
    }

    /// Notes that nobody checks, so that a restart does not forget it. Where that fails, the next look tries again, and this
    /// process remembers.
    async fn record_gap(&self) {
        let noted = async {
            let stored = record::read(&self.client, &self.namespace).await?;
            let record = stored.record.in_gap();
            if record != stored.record {
                record::write(&self.client, &self.namespace, &stored, &record).await?;
            }
            Ok::<(), Failure>(())
        };
        if let Ok(Err(failure)) = timeout(WITHIN, noted).await {
            warn!(message = failure.into_because().message, "A gap in the proof of identities is not recorded yet");
        }
    }
}

type Proven = Result<Timestamp, Failure>;

fn tell(told: &watch::Sender<Proof>, found: Proof) {
    let changed = told.send_if_modified(|stood| {
        let changed = *stood != found;
        stood.clone_from(&found);
        changed
    });
    if !changed {
        return;
    }
    match &found {
        Ok(since) => info!(%since, "Identities are proven: the admission policies stand and refuse forgeries"),
        Err(because) => {
            warn!(reason = because.reason, message = because.message, "Identities are not proven: nothing is granted");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_outweighs_what_cannot_be_told() {
        let (gap, unknown) = (Failure::gap("g"), Failure::unknown("u"));
        assert_eq!(all(vec![Ok(1), Ok(2)]), Ok(vec![1, 2]));
        assert_eq!(all(vec![Ok(1), Err(unknown.clone()), Err(gap.clone())]), Err(gap));
        assert_eq!(all(vec![Err(unknown.clone()), Ok(1)]), Err(unknown));
    }
}
