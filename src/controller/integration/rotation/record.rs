//! What the credentials Secret itself says of the last rotation.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use serde::{Deserialize, Serialize};

/// The annotation on the Secret.
pub(super) const ANNOTATION: &str = "rancheraccess.io/key-rotation";

/// The last rotation, finished or not. No secrets: names of keys may be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// The integration that it is done for: several may name one Secret.
    pub by: String,
    /// The key that is to be replaced.
    pub from: String,
    /// When it began.
    pub began: Timestamp,
    /// The value of `spec.rotateNow` that it serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The new key, once it stands in the Secret, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Switch>,
    /// When all was done: the old key is gone, and whatever else was made on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<Timestamp>,
}

/// A new key that stands in the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Switch {
    /// Its name.
    pub key: String,
    /// Since when.
    pub at: Timestamp,
}

impl Record {
    /// What stands on the Secret. What cannot be read counts as not there: somebody wrote it, and nothing hangs on it but
    /// the clean-up after a rotation.
    pub fn of(secret: &Secret) -> Option<Self> {
        serde_json::from_str(secret.metadata.annotations.as_ref()?.get(ANNOTATION)?).ok()
    }
}
