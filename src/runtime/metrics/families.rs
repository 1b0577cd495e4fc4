//! The metrics themselves: names, labels, units, buckets.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{TypedMetric, counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry, Unit},
};

/// Seconds from a recorded end to the proof that the access is gone.
const LAG_BUCKETS: [f64; 14] = [0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];
/// Seconds of one call or one reconcile: from a cache's answer to past every deadline.
const CALL_BUCKETS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Phase {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Integration {
    pub(super) integration: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Operation {
    pub(super) integration: String,
    pub(super) operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Call {
    pub(super) integration: String,
    pub(super) operation: &'static str,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Controller {
    pub(super) controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Failure {
    pub(super) controller: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Kind {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Reason {
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Discovered {
    pub(super) integration: String,
    pub(super) kind: &'static str,
}

pub(super) type Seconds = Gauge<f64, AtomicU64>;
pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every metric of the operator.
pub(super) struct Families {
    pub(super) grants: Family<Phase, Gauge>,
    pub(super) revocation_lag: Histogram,
    pub(super) overdue: Gauge,
    pub(super) overdue_age: Seconds,
    pub(super) residual: Family<Integration, Gauge>,
    pub(super) calls: Family<Call, Counter>,
    pub(super) call_seconds: Histograms<Operation>,
    pub(super) up: Family<Integration, Gauge>,
    pub(super) key_expiry: Family<Integration, Gauge>,
    pub(super) key_at_risk: Family<Integration, Gauge>,
    pub(super) leftover_tokens: Family<Integration, Gauge>,
    pub(super) discovered: Family<Discovered, Gauge>,
    pub(super) reconcile_errors: Family<Failure, Counter>,
    pub(super) reconcile_panics: Family<Controller, Counter>,
    pub(super) reconcile_seconds: Histograms<Controller>,
    pub(super) undecodable: Family<Kind, Counter>,
    pub(super) leader: Gauge,
    pub(super) events: Counter,
    pub(super) events_lost: Family<Reason, Counter>,
}

/// All families, registered under `rancher_access_`.
pub(super) fn register() -> (Registry, Families) {
    let mut registry = Registry::with_prefix("rancher_access");
    let mut add = Adder(&mut registry);
    let families = Families {
        grants: add.plain("grants", "Grants by phase", Family::default()),
        revocation_lag: add.seconds(
            "revocation_lag",
            "From a grant's recorded end to the proof that its access is gone",
            Histogram::new(LAG_BUCKETS),
        ),
        overdue: add.plain(
            "revocations_overdue",
            "Grants past their end whose access is not proven gone",
            Gauge::default(),
        ),
        overdue_age: add.seconds(
            "oldest_overdue_revocation_age",
            "How far the oldest overdue end lies back, at the time of the scrape; 0 when nothing is overdue",
            Seconds::default(),
        ),
        residual: add.plain(
            "residual_access",
            "Ended grants whose access somebody else has given too",
            Family::default(),
        ),
        calls: add.plain("rancher_calls", "Calls to Rancher", Family::default()),
        call_seconds: add.seconds("rancher_call_duration", "Duration of calls to Rancher", calls()),
        up: add.plain(
            "integration_up",
            "Whether Rancher answered the last look and took the key: 1 or 0",
            Family::default(),
        ),
        key_expiry: add.seconds(
            "key_expiry_timestamp",
            "When the operator's key for Rancher expires, in Unix time",
            Family::default(),
        ),
        key_at_risk: add.plain(
            "key_at_risk",
            "Whether something will stop the operator's key for Rancher from working: 1 or 0",
            Family::default(),
        ),
        leftover_tokens: add.plain(
            "leftover_tokens",
            "Tokens that were made while a grant gave access, and whose user has none left",
            Family::default(),
        ),
        discovered: add.plain(
            "discovered_resources",
            "What there is in Rancher, as far as it is mirrored, by kind",
            Family::default(),
        ),
        reconcile_errors: add.plain("reconcile_errors", "Reconciles that failed", Family::default()),
        reconcile_panics: add.plain("reconcile_panics", "Reconciles that panicked", Family::default()),
        reconcile_seconds: add.seconds("reconcile_duration", "Duration of reconciles", calls()),
        undecodable: add.plain("undecodable_objects", "Objects read that could not be decoded", Family::default()),
        leader: add.plain("leader", "Whether this process holds the lease: 1 or 0", Gauge::default()),
        events: add.plain("events", "Kubernetes Events published", Counter::default()),
        events_lost: add.plain("events_lost", "Kubernetes Events not published", Family::default()),
    };
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "The operator's build", build);
    (registry, families)
}

fn calls<L: Clone + std::hash::Hash + Eq>() -> Histograms<L> {
    Family::new_with_constructor(|| Histogram::new(CALL_BUCKETS))
}

struct Adder<'r>(&'r mut Registry);

impl Adder<'_> {
    fn plain<M: Metric + TypedMetric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    /// The registry appends the unit to the name.
    fn seconds<M: Metric + TypedMetric + Clone>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register_with_unit(name, help, Unit::Seconds, metric.clone());
        metric
    }
}
