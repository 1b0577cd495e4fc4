//! The pure core: what to do next for one grant, given what was observed. No IO, no waiting, no clock.
//!
//! - [`view`]: a grant as the core sees it.
//! - [`world`]: what was observed, with "unknown" as a value.
//! - [`decide`]: the decision for a grant, with its table.
//! - [`extension`]: what the grant that another one extends means for that other, with its table.
//! - [`votes`]: which decisions of people count, with their table.
//! - [`binding`]: the decision for one binding, with its table.
//! - [`plan`]: what a decision consists of.
//! - [`record`]: what a decision makes of the status.
//! - [`name`]: names of bindings, which prove whose they are.

pub mod binding;
pub mod decide;
pub mod extension;
pub mod name;
pub mod plan;
pub mod record;
pub mod view;
pub mod votes;
pub mod world;

#[cfg(test)]
mod laws;

pub use decide::decide;
pub use extension::{Extended, Seen};
pub use plan::{Decision, Limits, Step, Wake};
pub use view::{GrantKey, GrantView, Lane};
pub use votes::{Answer, Ballot};
pub use world::{Approval, Because, Judged, Observed, Progress, Standing, Terms, Tried};

use jiff::SignedDuration;

/// How long after its end access may be given up by an administrator, where there is no way to its Rancher: no blip of a
/// network is taken for a Rancher that is gone.
pub const ABANDON_AFTER: SignedDuration = SignedDuration::from_mins(10);

/// How long after its end access is overdue.
pub const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(30);
