//! The operator's metrics, all named `rancher_access_*`.
//!
//! Labels are bounded by type: whatever is not the name of an integration (there are few, made by the platform team) is
//! a `&'static str`. No grant's or person's name, and no secret, is ever a label.

mod families;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{encoding::text, registry::Registry};

use super::Clock;
use families::{Call, Controller, Discovered, Failure, Families, Integration, Kind, Operation, Phase, Reason};

/// Why an Event was not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventLoss {
    /// Too many waited.
    QueueFull,
    /// Too many about one object, or of one namespace.
    TooMany,
    /// The API server could not be reached.
    Unreachable,
    /// The API server refused it.
    Refused,
}

impl EventLoss {
    fn label(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::TooMany => "too_many",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }
}

/// All metrics. Cheap to clone; all clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    families: Families,
    clock: Clock,
    /// The recorded end that lies farthest back among what is overdue.
    oldest_overdue: Mutex<Option<Timestamp>>,
}

impl Metrics {
    /// All at zero. `clock` tells how old what is overdue is at the time of a scrape.
    pub fn new(clock: Clock) -> Self {
        let (registry, families) = families::register();
        Self(Arc::new(Inner { registry, families, clock, oldest_overdue: Mutex::new(None) }))
    }

    /// How many grants are in a phase. Give every phase each time, also those with none.
    pub fn grants(&self, phase: &'static str, count: usize) {
        self.families().grants.get_or_create(&Phase { phase }).set(number(count));
    }

    /// One revocation was proven, `lag` after the grant's recorded end.
    pub fn revoked(&self, lag: Duration) {
        self.families().revocation_lag.observe(lag.as_secs_f64());
    }

    /// How many grants are past their end and not proven revoked, and the end that lies farthest back. The age is worked
    /// out at each scrape, so that it grows though whoever counts has stopped.
    pub fn overdue(&self, count: usize, oldest: Option<Timestamp>) {
        self.families().overdue.set(number(count));
        *self.0.oldest_overdue.lock().unwrap_or_else(PoisonError::into_inner) = oldest;
    }

    /// How many ended grants of an integration have residual access.
    pub fn residual_access(&self, integration: &str, count: usize) {
        self.families().residual.get_or_create(&of(integration)).set(number(count));
    }

    /// One call to Rancher ended: `operation` is its verb and kind (`create_crtb`), `outcome` a class (`ok`,
    /// `not_found`, `timeout`).
    pub fn observe_call(&self, integration: &str, operation: &'static str, outcome: &'static str, took: Duration) {
        let call = Call { integration: integration.to_owned(), operation, outcome };
        self.families().calls.get_or_create(&call).inc();
        let operation = Operation { integration: integration.to_owned(), operation };
        self.families().call_seconds.get_or_create(&operation).observe(took.as_secs_f64());
    }

    /// Whether an integration's Rancher can be reached.
    pub fn integration_up(&self, integration: &str, up: bool) {
        self.families().up.get_or_create(&of(integration)).set(i64::from(up));
    }

    /// When the operator's key for an integration expires; `None` for never or unknown, which takes the series away.
    pub fn key_expiry(&self, integration: &str, expires: Option<Timestamp>) {
        let (family, label) = (&self.families().key_expiry, of(integration));
        match expires {
            Some(expires) => {
                family.get_or_create(&label).set(expires.as_second());
            }
            None => {
                family.remove(&label);
            }
        }
    }

    /// Whether something will stop the operator's key for an integration from working.
    pub fn key_at_risk(&self, integration: &str, at_risk: bool) {
        self.families().key_at_risk.get_or_create(&of(integration)).set(i64::from(at_risk));
    }

    /// How many tokens of an integration's Rancher were left over by grants, and are not deleted.
    pub fn leftover_tokens(&self, integration: &str, count: usize) {
        self.families().leftover_tokens.get_or_create(&of(integration)).set(number(count));
    }

    /// How many things of a kind discovery has found in an integration's Rancher.
    pub fn discovered(&self, integration: &str, kind: &'static str, count: usize) {
        let label = Discovered { integration: integration.to_owned(), kind };
        self.families().discovered.get_or_create(&label).set(number(count));
    }

    /// Nothing of an integration's Rancher is mirrored any more.
    pub fn forget_discovered(&self, integration: &str, kinds: impl IntoIterator<Item = &'static str>) {
        for kind in kinds {
            self.families().discovered.remove(&Discovered { integration: integration.to_owned(), kind });
        }
    }

    /// An integration is gone: its gauges go too, or they would alert for ever. Its counters stay until a restart.
    pub fn forget_integration(&self, integration: &str) {
        let label = of(integration);
        self.families().residual.remove(&label);
        self.families().up.remove(&label);
        self.families().key_expiry.remove(&label);
        self.families().key_at_risk.remove(&label);
        self.families().leftover_tokens.remove(&label);
    }

    /// One reconcile ended after `took`; `failed` is the reason where it failed.
    pub fn observe_reconcile(&self, controller: &'static str, failed: Option<&'static str>, took: Duration) {
        let label = Controller { controller };
        self.families().reconcile_seconds.get_or_create(&label).observe(took.as_secs_f64());
        if let Some(reason) = failed {
            self.families().reconcile_errors.get_or_create(&Failure { controller, reason }).inc();
        }
    }

    /// One reconcile panicked.
    pub fn reconcile_panicked(&self, controller: &'static str) {
        self.families().reconcile_panics.get_or_create(&Controller { controller }).inc();
    }

    /// An object of `kind` could not be decoded.
    pub fn undecodable(&self, kind: &'static str) {
        self.families().undecodable.get_or_create(&Kind { kind }).inc();
    }

    /// Whether this process may create.
    pub fn leading(&self, leading: bool) {
        self.families().leader.set(i64::from(leading));
    }

    pub(super) fn event_sent(&self) {
        self.families().events.inc();
    }

    pub(super) fn event_lost(&self, why: EventLoss) {
        self.families().events_lost.get_or_create(&Reason { reason: why.label() }).inc();
    }

    /// The OpenMetrics text.
    ///
    /// # Errors
    /// A metric cannot be written as text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let oldest = *self.0.oldest_overdue.lock().unwrap_or_else(PoisonError::into_inner);
        let age = oldest.map_or(0.0, |end| self.0.clock.now().duration_since(end).as_secs_f64());
        self.families().overdue_age.set(age.max(0.0));
        let mut out = String::new();
        text::encode(&mut out, &self.0.registry)?;
        Ok(out)
    }

    fn families(&self) -> &Families {
        &self.0.families
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn of(integration: &str) -> Integration {
    Integration { integration: integration.to_owned() }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
