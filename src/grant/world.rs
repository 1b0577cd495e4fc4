//! What was observed about one grant. What was not asked, and what could not be known, are values.

use jiff::SignedDuration;

use super::extension::Extended;
use crate::api::{
    integration::RancherStatus,
    status::{AccessDetails, BindingRecord, PolicyRecord},
};

/// What was observed so far in this pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Observed {
    /// Whether this process may create in Rancher: it leads.
    pub may_create: bool,
    /// What became of the request. Asked only while no intent is recorded.
    pub request: Judged,
    /// The grant that it extends, if it extends one.
    pub extended: Extended,
    /// How far each recorded binding got in this pass; empty while none was tried.
    pub progress: Vec<Progress>,
}

impl Observed {
    /// Nothing asked yet.
    pub fn nothing(may_create: bool) -> Self {
        Self { may_create, request: Judged::NotAsked, extended: Extended::NotLooked, progress: Vec::new() }
    }
}

/// A reason for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Because {
    /// One word in PascalCase.
    pub reason: String,
    /// What happened, what it means, what to do.
    pub message: String,
}

impl Because {
    /// From its parts.
    pub fn new(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self { reason: reason.into(), message: message.into() }
    }
}

/// What became of a request when it was held against policies and Rancher.
#[derive(Clone, Debug, PartialEq)]
pub enum Judged {
    /// It was not judged yet.
    NotAsked,
    /// It cannot be judged at present.
    Unknown(Because),
    /// It is not allowed as things stand.
    Refused(Because),
    /// A policy allows it.
    Allowed(Box<Terms>),
}

/// The terms on which a policy allows a request, with everything resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// The policy.
    pub policy: PolicyRecord,
    /// How many people must approve.
    pub required_approvals: i32,
    /// How long after its creation the grant waits for them.
    pub approval_timeout: SignedDuration,
    /// How long the access lasts, where the grant names no end.
    pub duration: SignedDuration,
    /// The Rancher that it is on.
    pub rancher: RancherStatus,
    /// The bindings to make, as `Intended`; `since` is set when they are recorded.
    pub bindings: Vec<BindingRecord>,
    /// What to tell the user about using it.
    pub details: AccessDetails,
}

/// How far one binding got in this pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is where it should be, or settled.
    Done,
    /// Not yet: why, and when to try again.
    Waiting {
        /// Why.
        because: Because,
        /// In how long to try again.
        retry: SignedDuration,
    },
    /// Somebody removed it in Rancher.
    RemovedInRancher(String),
    /// Rancher refused it.
    Refused(String),
}
