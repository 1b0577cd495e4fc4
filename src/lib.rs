//! Rancher Access Operator: access to Rancher for a while.
//!
//! # The map
//!
//! - [`api`]: the kinds as the API server stores them. Types only.
//! - [`policy`]: pure. Whether a request is allowed, by which policy, and what `allowPrivileged` guards.
//! - [`grant`]: pure. What to do next for one grant, given what was observed.
//! - [`rancher`]: how to talk to a Rancher server. Knows nothing of our kinds.
//! - [`controller`]: the glue: observe, decide, act, record.
//! - [`runtime`]: what every long-running process needs: clock, lease, health, metrics, supervision.
//! - [`cli`]: the command line.
//!
//! # The layering rule
//!
//! `api`, `policy` and `grant` mention no client, no runtime and no clock: time, and what was seen, come in as values.
//! `rancher` and `runtime` do not know each other's callers. `tests/layering.rs` holds this.
#![forbid(unsafe_code)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::dbg_macro,
    clippy::unwrap_in_result,
    missing_docs,
    rust_2018_idioms
)]

pub mod api;
pub mod cli;
pub mod controller;
pub mod grant;
pub mod policy;
pub mod rancher;
pub mod runtime;
