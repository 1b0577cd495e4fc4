//! Failures of a call, named by what one may conclude from them.
use std::time::Duration;

use super::absence::ProofOfAbsence;

/// A call did not do what was asked. The variant says what that proves; the texts are short, clean and without the key.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Rancher said no: nothing was applied, and asking again changes nothing until something else changes.
    #[error("Rancher refused ({code} {reason}): {message}")]
    Refused {
        /// The HTTP status code.
        code: u16,
        /// Kubernetes' or Rancher's reason, for example `Forbidden`; the code's own name where it gave none.
        reason: String,
        /// What Rancher said.
        message: String,
    },
    /// The key was not accepted: nothing was applied. Rancher gives one 401 for expired, disabled, deleted, scoped to a
    /// cluster, and wrong keys, and for disabled owners.
    #[error(
        "Rancher did not accept the API key ({message}): it may be expired, deleted, scoped to one cluster, or its user disabled"
    )]
    Unauthenticated {
        /// What Rancher said.
        message: String,
    },
    /// The object that was asked for is not there, by Rancher's own word.
    #[error("not found: {0}")]
    NotFound(ProofOfAbsence),
    /// An object of that name is there already: ours from a lost answer, or another's. Look.
    #[error("already there: {message}")]
    AlreadyExists {
        /// What Rancher said.
        message: String,
    },
    /// Another binding gives the same subject the same role in the same place (Rancher 2.14 and later for cluster bindings,
    /// 2.15 for project ones). Look.
    #[error("another binding gives this access already: {message}")]
    Duplicate {
        /// What Rancher said.
        message: String,
    },
    /// The object is not the one meant: it was deleted and made again. Nothing was applied.
    #[error("another object has that name by now: {message}")]
    UidMismatch {
        /// What Rancher said.
        message: String,
    },
    /// The object changed since it was read. Nothing was applied: read again.
    #[error("changed meanwhile: {message}")]
    Conflict {
        /// What Rancher said.
        message: String,
    },
    /// Too many requests. Nothing was applied.
    #[error("Rancher asks for fewer requests: {message}")]
    Throttled {
        /// How long to wait, where the server said so in seconds.
        retry_after: Option<Duration>,
        /// What the server said.
        message: String,
    },
    /// There is no clear answer: what was asked may or may not have been applied, now or later.
    #[error("no clear answer from Rancher: {what}")]
    Unknown {
        /// What came instead of an answer.
        what: String,
    },
    /// The request was certainly not sent: connection refused, name not resolved, certificate not trusted.
    #[error("Rancher cannot be reached: {what}")]
    Unavailable {
        /// Why.
        what: String,
    },
    /// The request was certainly not sent, for a part of its address cannot be a name.
    #[error("{name:?} cannot be the name of an object: nothing was sent")]
    Unaddressable {
        /// What was given.
        name: String,
    },
}

impl Error {
    /// An [`Error::Unknown`], with its text cleaned.
    pub(crate) fn unknown(what: impl AsRef<str>) -> Self {
        Self::Unknown { what: super::plain::clean(what.as_ref()) }
    }

    /// Whether it is certain that nothing was applied, now or later.
    pub fn is_clear(&self) -> bool {
        !matches!(self, Self::Unknown { .. })
    }

    /// Whether nobody answered: what was asked may be away.
    pub fn is_silence(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Unavailable { .. })
    }

    /// Whether it is the word of a Rancher that knows the operator. What stands in front of it, another server, and one that
    /// accepts no key of ours, say nothing of what is there.
    pub fn is_of_rancher(&self) -> bool {
        !self.is_silence() && !matches!(self, Self::Unauthenticated { .. })
    }

    /// A word for metrics and conditions, stable across releases.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "Refused",
            Self::Unauthenticated { .. } => "Unauthenticated",
            Self::NotFound(_) => "NotFound",
            Self::AlreadyExists { .. } => "AlreadyExists",
            Self::Duplicate { .. } => "Duplicate",
            Self::UidMismatch { .. } => "UidMismatch",
            Self::Conflict { .. } => "Conflict",
            Self::Throttled { .. } => "Throttled",
            Self::Unknown { .. } => "Unknown",
            Self::Unavailable { .. } => "Unavailable",
            Self::Unaddressable { .. } => "Unaddressable",
        }
    }
}
