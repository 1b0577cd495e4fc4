//! Rancher's objects, as far as we read them. Tolerant: unknown fields are ignored, absent ones and `null` are empty. A field
//! of the wrong type is an error all the same: rules read as "none" would make a mighty role look harmless.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

mod binding;
mod identity;
mod inventory;
mod kind;

pub use binding::{Binding, Subject};
pub(crate) use binding::{RawBinding, RawRoleBinding};
pub(crate) use identity::{AccessReview, ExtToken, Feature, IdentityReview, NormanToken, Setting, UserAttribute};
pub use identity::{User, WhoAmI};
pub use inventory::{Cluster, Condition, GlobalRole, Namespace, PolicyRule, Project, RoleTemplate};
pub use kind::{BindingKind, Scope};

/// The part of an object's metadata that we read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ObjectMeta {
    /// The name.
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    /// The namespace, empty for cluster-scoped objects.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// The UID: another one is another object.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The version, for writes that must not overwrite another's.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    /// When it was made, by the server's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for: it stays until its finalizers are gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Timestamp>,
    /// Who must clean up before it may go.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
    /// The labels.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    #[serde(deserialize_with = "nullable", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl ObjectMeta {
    /// Whether its deletion was asked for.
    pub fn is_terminating(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// `null` as the type's default: Go writes empty lists and maps so.
pub(crate) fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(d)?.unwrap_or_default())
}

/// A string, `None` where it is absent, `null` or empty: Rancher uses all three.
pub(crate) fn filled<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(d)?.filter(|s| !s.is_empty()))
}
