//! The operator's own binary, with its ServiceAccount's rights alone, on a real control plane and the Rancher simulator.
//!
//! Tests share one world where they can (apart by namespace and by user), and start their own where they stop servers,
//! take policies away, or count requests. Nothing survives the test process, not even one that is killed.

mod admission;
mod approvals;
mod discovery;
mod ends;
mod failover;
mod gitops;
#[path = "../installed/mod.rs"]
mod installed;
mod lives;
mod local_users;
mod outage;
mod process;
mod rbac;
mod refusals;
mod shared;

use std::sync::LazyLock;

use installed::{kinds, operator, until, world};
use tokio::runtime::Runtime;

/// One runtime for all tests: what they share lives longer than one of them.
fn run<T>(test: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    RUNTIME.block_on(test)
}
