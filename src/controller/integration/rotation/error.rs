//! Why a turn of rotation did not come to its end.

use super::Told;
use crate::{
    api::{ConditionStatus::False, RancherIntegration},
    grant::Because,
    rancher::Error,
};

/// How often a key must work in a row before it is trusted: Rancher's replicas learn of a fresh one each for itself.
pub(super) const IN_A_ROW: u32 = 5;

/// A turn that did not come to its end. The texts hold no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// Rancher said no, or nothing.
    #[error("{what}: {source}")]
    Rancher {
        /// What was to be done.
        what: String,
        /// What came instead.
        source: Error,
    },
    /// The Secret could not be read or written.
    #[error("the Secret {name}: {why}")]
    Secret {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// A fresh key did not come to work.
    #[error("the new key {key} did not work {IN_A_ROW} times in a row: {why}; it was not taken")]
    NotProven {
        /// Its name.
        key: String,
        /// What came at last.
        why: String,
    },
    /// Another process may be at it by now.
    #[error("this process does not lead at the moment: nothing is made")]
    NotLeading,
}

impl RotationError {
    /// For the condition: what stands, what it means, what to do. Who does not lead has nothing to tell.
    pub(super) fn told(&self, integration: &RancherIntegration) -> Option<Told> {
        if matches!(self, Self::NotLeading) {
            return None;
        }
        let message = format!(
            "The key could not be replaced: {self}. The key in the Secret is as good as before; it is tried again, every 10 minutes at least. If it lasts, make a key in Rancher (No Scope) and write it into the Secret."
        );
        let before = integration.status.as_ref().and_then(|status| status.key_rotation.clone()).unwrap_or_default();
        Some(Told {
            holds: False,
            because: Because::new("Failed", message),
            rotated: before.rotated_time.map(|time| time.0),
            next: before.next_time.map(|time| time.0),
            request: before.request,
        })
    }
}

/// Something that Rancher did not do.
pub(super) fn failed(what: impl Into<String>, source: Error) -> RotationError {
    RotationError::Rancher { what: what.into(), source }
}
