//! Why a request is not allowed, in words for people.

use std::fmt;

use crate::api::condition::one_line;

/// Longest message of a refusal, in bytes.
pub const MESSAGE_MAX: usize = 999;

/// Longest text of somebody else's that a message quotes, in bytes.
const QUOTE_MAX: usize = 120;

/// Why a request is not allowed. The name is the reason of the condition that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RefusalReason {
    /// No policy lets this requester ask for anything there. Whether integration, policy or namespace exist, or fit, is
    /// not said: whoever may ask for nothing learns nothing.
    NoPolicy,
    /// The policy cannot be used as it is written.
    PolicyInvalid,
    /// A `Deny` policy matches the grant.
    PolicyDenies,
    /// The requester's name does not lead to anybody in Rancher.
    SubjectUnmapped,
    /// `subject` does not name exactly one user, principal or group.
    SubjectInvalid,
    /// Rancher does not know the subject.
    SubjectUnknown,
    /// The policy does not let this requester ask for this subject.
    SubjectNotAllowed,
    /// The policy does not cover the cluster or project.
    TargetNotAllowed,
    /// `access` is empty, or an entry does not name exactly one of cluster and project.
    TargetInvalid,
    /// What was read from Rancher is not what the grant asks for.
    TargetUnknown,
    /// The policy covers the cluster or project, but not with this role.
    RoleNotAllowed,
    /// The role is privileged, and the policy does not allow that.
    PrivilegedRole,
    /// The cluster or project is privileged, and the policy does not allow that.
    PrivilegedTarget,
    /// The access would last longer than the policy allows.
    DurationTooLong,
    /// The grant's duration, start or end makes no sense.
    TimeInvalid,
    /// The grant's end has passed.
    EndPassed,
    /// The start lies further ahead than the policy allows.
    StartTooFar,
    /// The same access would last longer without a pause than the policy allows.
    ContinuousTooLong,
    /// A ServiceAccount whose grants nobody approves must say when they end.
    EndTimeRequired,
    /// The policy wants a reason.
    ReasonRequired,
    /// As many grants as the policy allows at a time are not finished.
    LimitReached,
}

impl RefusalReason {
    /// The reason as a condition carries it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPolicy => "NoPolicy",
            Self::PolicyInvalid => "PolicyInvalid",
            Self::PolicyDenies => "PolicyDenies",
            Self::SubjectUnmapped => "SubjectUnmapped",
            Self::SubjectInvalid => "SubjectInvalid",
            Self::SubjectUnknown => "SubjectUnknown",
            Self::SubjectNotAllowed => "SubjectNotAllowed",
            Self::TargetNotAllowed => "TargetNotAllowed",
            Self::TargetInvalid => "TargetInvalid",
            Self::TargetUnknown => "TargetUnknown",
            Self::RoleNotAllowed => "RoleNotAllowed",
            Self::PrivilegedRole => "PrivilegedRole",
            Self::PrivilegedTarget => "PrivilegedTarget",
            Self::DurationTooLong => "DurationTooLong",
            Self::TimeInvalid => "TimeInvalid",
            Self::EndPassed => "EndPassed",
            Self::StartTooFar => "StartTooFar",
            Self::ContinuousTooLong => "ContinuousTooLong",
            Self::EndTimeRequired => "EndTimeRequired",
            Self::ReasonRequired => "ReasonRequired",
            Self::LimitReached => "LimitReached",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a request is not allowed: one reason for programs, one message for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The reason in one word.
    pub reason: RefusalReason,
    /// The policy that came nearest, the field and rule that was not met, and what to do: one line, at most
    /// [`MESSAGE_MAX`] bytes.
    pub message: String,
}

impl Refusal {
    /// A refusal with its message made fit for status.
    pub(super) fn new(reason: RefusalReason, message: impl AsRef<str>) -> Self {
        Self { reason, message: one_line(message.as_ref(), MESSAGE_MAX) }
    }
}

/// How far a policy was met, in the order in which its rules are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Privileged, not allowed to be, and not met otherwise either.
    Apart,
    Policy,
    Subject,
    Target,
    Role,
    Time,
    Reason,
    /// There is no room for one more grant.
    Room,
    /// Met, but for being privileged.
    AllButPrivilege,
}

/// The rule of one policy that was not met.
#[derive(Clone, Debug)]
pub(super) struct Miss {
    pub step: Step,
    pub reason: RefusalReason,
    /// What is not met, and what to do: completes "AccessPolicy web does not allow this grant: …".
    pub why: String,
}

impl Miss {
    pub(super) fn new(step: Step, reason: RefusalReason, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { step, reason, why }
    }
}

/// The refusal by the policy that came nearest; among equals, the first by name.
pub(super) fn nearest(misses: Vec<(&str, Miss)>) -> Refusal {
    let count = misses.len();
    let nearest = misses.into_iter().min_by(|(a, x), (b, y)| y.step.cmp(&x.step).then(a.cmp(b)));
    let Some((name, Miss { reason, why, .. })) = nearest else {
        return Refusal::new(RefusalReason::NoPolicy, "No AccessPolicy allows this grant");
    };
    let policy = quote(name);
    let message = if count == 1 {
        format!("AccessPolicy {policy} does not allow this grant: {why}")
    } else {
        format!("None of {count} AccessPolicies allows this grant. {policy} comes nearest, but: {why}")
    };
    Refusal::new(reason, message)
}

/// Somebody else's text, cut so that the message around it stays whole.
pub(super) fn quote(text: &str) -> String {
    one_line(text, QUOTE_MAX)
}
