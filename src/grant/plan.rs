//! What a decision consists of.

use jiff::{SignedDuration, Timestamp};

use super::{binding::Goal, votes::Answer};
use crate::api::AccessGrantStatus;

/// What to do next for a grant: the steps in their order, the status as it should then be, and when to look again.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// What to do, in this order; after that, decide again. Empty: nothing, but to record the status where it changed.
    pub steps: Vec<Step>,
    /// The status as it should be.
    pub status: AccessGrantStatus,
    /// When to look again.
    pub wake: Wake,
    /// What is told to those who decided, once the status is written.
    pub answers: Vec<Answer>,
}

impl Decision {
    /// Without answers.
    pub fn new(steps: Vec<Step>, status: AccessGrantStatus, wake: Wake) -> Self {
        Self { steps, status, wake, answers: Vec::new() }
    }
}

/// One thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Hold the request against policies and Rancher. Reads only.
    Judge,
    /// Put our finalizer on the grant.
    AddFinalizer,
    /// Write the status under the resourceVersion it was read at. What follows happens only if that succeeds.
    Record,
    /// Bring each binding to where it should be.
    Settle(Goal),
    /// Touch the bindings that share objects with one that was removed.
    Touch,
    /// Take our finalizer off the grant: nothing is left to do.
    RemoveFinalizer,
}

/// When to look at a grant again, besides when it, its policies or its integration change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// At that time at the latest.
    At(Timestamp),
    /// Only when something changes: the grant is finished.
    OnChange,
}

impl Wake {
    /// In that time from now. A time that cannot be counted is now.
    pub fn after(now: Timestamp, wait: SignedDuration) -> Self {
        Self::At(now.checked_add(wait).unwrap_or(now))
    }

    /// The earlier of two.
    pub fn or_at(self, other: Option<Timestamp>) -> Self {
        match (self, other) {
            (Self::At(a), Some(b)) => Self::At(a.min(b)),
            (Self::OnChange, Some(b)) => Self::At(b),
            (wake, None) => wake,
        }
    }
}

/// What bounds a grant's waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long after its creation a grant that no policy allows is given up.
    pub pending: SignedDuration,
    /// How often a grant that is not allowed is judged anew, besides when a policy changes.
    pub judge_again: SignedDuration,
    /// How often a grant that could not be judged is tried again.
    pub unknown_again: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: SignedDuration::from_hours(24),
            judge_again: SignedDuration::from_mins(5),
            unknown_again: SignedDuration::from_secs(10),
        }
    }
}
