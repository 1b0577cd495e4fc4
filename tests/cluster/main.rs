//! The operator's own binary, with its ServiceAccount's rights alone, on a real control plane and the Rancher simulator.
//!
//! Tests share one world where they can (apart by namespace and by user), and start their own where they stop servers,
//! take policies away, or count requests. Nothing survives the test process, not even one that is killed.

mod admission;
mod approvals;
mod ends;
mod failover;
mod gitops;
mod kinds;
mod lives;
mod operator;
mod outage;
mod process;
mod rbac;
mod refusals;
mod shared;
mod world;

use std::{sync::LazyLock, time::Duration};

use tokio::{runtime::Runtime, time::Instant};

/// One runtime for all tests: what they share lives longer than one of them.
fn run<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    RUNTIME.block_on(test)
}

/// Asks until there is an answer, and says how long that took.
async fn until<T>(what: &str, seconds: u64, mut ask: impl AsyncFnMut() -> Option<T>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return (answer, begun.elapsed());
        }
        assert!(begun.elapsed() < Duration::from_secs(seconds), "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
