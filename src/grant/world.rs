//! What was observed about one grant. What was not asked, and what could not be known, are values.

use jiff::{SignedDuration, Timestamp};

use super::{binding::Goal, extension::Extended, votes::Ballot};
use crate::api::{
    approval::ApproverSet,
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
    /// What was last tried with the recorded bindings in this pass.
    pub tried: Option<Tried>,
    /// Decisions about it that were not answered yet.
    pub ballots: Vec<Ballot>,
    /// Whether the policy that allowed it still does. Asked only while access is in force.
    pub policy: Standing,
    /// Whether there is no way to the Rancher that its access is on.
    pub out_of_reach: bool,
}

/// Whether the policy that allowed a grant still does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does, as far as is known.
    Stands,
    /// It changed or went, and the access stays until its end: in words.
    Kept(String),
    /// It does not, and the access ends: in words.
    Ends(String),
}

impl Observed {
    /// Nothing asked yet.
    pub fn nothing(may_create: bool) -> Self {
        Self {
            may_create,
            request: Judged::NotAsked,
            extended: Extended::NotLooked,
            tried: None,
            ballots: Vec::new(),
            policy: Standing::Stands,
            out_of_reach: false,
        }
    }

    /// How far each recorded binding got towards that goal, if it was tried. What was tried towards the other one says
    /// nothing of this: an end may come in between.
    pub fn progress(&self, goal: Goal) -> Option<&[Progress]> {
        self.tried.as_ref().filter(|tried| tried.goal == goal).map(|tried| tried.progress.as_slice())
    }
}

/// A pass's work on the recorded bindings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// Where they were to get.
    pub goal: Goal,
    /// How far each got, in their order.
    pub progress: Vec<Progress>,
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
    /// The `Require` policies that hold besides.
    pub required_by: Vec<PolicyRecord>,
    /// Whose approval is asked.
    pub approval: Approval,
    /// Stands for all that is approved.
    pub digest: String,
    /// What would be given, in words.
    pub resolved: Vec<String>,
    /// Since when the same access has lasted, where it begins now.
    pub continuous_since: Option<Timestamp>,
    /// How long the access lasts, where the grant names no end.
    pub duration: SignedDuration,
    /// The Rancher that it is on.
    pub rancher: RancherStatus,
    /// The bindings to make, as `Intended`; `since` is set when they are recorded.
    pub bindings: Vec<BindingRecord>,
    /// What to tell the user about using it.
    pub details: AccessDetails,
}

/// Whose approval is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// Who may approve what, and how many of them must.
    pub sets: Vec<ApproverSet>,
    /// How long after its creation the grant waits for them.
    pub timeout: SignedDuration,
    /// Whether whoever asks, or gets the access, may approve it.
    pub self_approval: bool,
    /// Where approvers are reached.
    pub contact: Option<String>,
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
