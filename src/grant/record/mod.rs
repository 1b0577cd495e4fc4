//! What a decision makes of the status: the phase, the conditions, and the sentences that people read.
//!
//! - `waiting`: before anything is given. `giving`: while access is given and in force. `ending`: while it is taken away.
//! - `picture`: what all conditions say together.

mod ending;
mod giving;
mod picture;
mod waiting;

use jiff::{Timestamp, Unit};

pub(super) use ending::*;
pub(super) use giving::*;
pub(super) use waiting::*;

use super::{view::GrantView, world::Terms};
use crate::api::AccessGrantStatus;

fn with_terms(grant: &GrantView, terms: &Terms) -> AccessGrantStatus {
    AccessGrantStatus {
        policy: Some(terms.policy.clone()),
        required_by: terms.required_by.clone(),
        rancher: Some(terms.rancher.clone()),
        access_details: Some(terms.details.clone()),
        ..grant.status.clone()
    }
}

/// Status keeps whole seconds, rounded down: access never ends later than was asked.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    time.round((Unit::Second, 1))
        .ok()
        .filter(|t| *t <= time)
        .or_else(|| Timestamp::from_second(time.as_second()).ok())
        .unwrap_or(time)
}
