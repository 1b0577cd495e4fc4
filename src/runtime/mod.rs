//! What every long-running process needs: clock, lease, health, metrics, supervision.
//!
//! Knows nothing of our kinds or of Rancher. Wall time comes from [`Clock`] alone; monotonic time is
//! [`tokio::time::Instant`].
pub mod backoff;
pub mod circuit;
pub mod clock;
pub mod events;
pub mod fair;
pub mod health;
pub mod kube_client;
pub mod leader;
pub mod locks;
pub mod metrics;
pub mod supervise;
pub mod telemetry;

pub use backoff::Backoff;
pub use circuit::{Breaker, Circuit, CircuitConfig, CircuitState};
pub use clock::Clock;
pub use events::{EventSink, Publisher};
pub use fair::{FairPool, Place};
pub use health::{Gate, Health, Heartbeat};
pub use leader::{Leader, LeaderHandle, LeaseConfig, Standing};
pub use locks::{KeyGuard, KeyedLocks};
pub use metrics::Metrics;
pub use supervise::Supervisor;
