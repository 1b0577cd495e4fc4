//! The glue between the API server and Rancher: observe, decide, act, record.
//!
//! - [`watch`], [`shared`], [`grants`]: what the API server said, kept in memory.
//! - [`queue`], [`due`], [`pools`], [`workers`]: which grants are looked at, when, and how many at once.
//! - [`grant`]: one grant's way.
//! - [`integration`]: one Rancher's way; [`connection`] is what it hands to the grants.
//! - [`drift`]: what happens to our bindings behind our back. [`sweep`]: what nobody remembers.
//! - [`proof`]: whether identities are proven. [`installation`]: who we are.
//! - [`operator`]: how all of it is put together.

pub mod connection;
pub mod context;
pub mod drift;
pub mod due;
pub mod grant;
pub mod grants;
pub mod installation;
pub mod integration;
pub mod memory;
pub mod operator;
pub mod pools;
pub mod proof;
pub mod queue;
pub mod shared;
pub mod sweep;
pub mod watch;
pub mod words;
pub mod workers;

pub use context::{Context, Settings, Transports};
pub use operator::{Operator, OperatorError};

/// What the API server said, without the whole answer that kube's own words carry.
fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({} {})", status.message, status.code, status.reason),
        error => error.to_string(),
    }
}
