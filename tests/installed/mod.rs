//! The operator installed as it ships: its own binary, with its ServiceAccount's rights alone, on a real control plane and the
//! Rancher simulator.
//!
//! Shared by the tests of the cluster and of the whole stack under faults.

// Each test binary uses a part of it.
#![allow(dead_code)]

pub(crate) mod kinds;
pub(crate) mod operator;
pub(crate) mod world;

use std::time::Duration;

use tokio::time::Instant;

/// Asks until there is an answer, and says how long that took.
pub(crate) async fn until<T>(what: &str, seconds: u64, mut ask: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return (answer, begun.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
