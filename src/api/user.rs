//! What a `RancherIntegration` says of users in Rancher that are there because of grants, and of what people made while they had
//! access.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// The users in Rancher that are there because of grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct UsersStatus {
    /// Local users that the operator made and that a grant calls for now.
    pub enabled: i32,
    /// Local users that the operator made, and disabled when their last access ended.
    pub disabled: i32,
    /// Users that Rancher made because a grant bound a principal that it had never seen, and as whom nobody has logged in.
    pub unseen: i32,
    /// Those that were to be deleted and are kept: who, and why. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub kept: Vec<KeptUser>,
}

/// A user that is not touched though his time has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptUser {
    /// Id of the Rancher user.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub user: String,
    /// Why he is kept, and what to do.
    #[schemars(length(max = 1024), regex(pattern = schema::TEXT))]
    pub reason: String,
}

/// What is done about tokens that outlive the access during which they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LeftoverTokens {
    /// They are listed in the status, and told of by an Event.
    #[default]
    Report,
    /// They are disabled: Rancher refuses them, and an administrator can enable them again.
    Disable,
    /// They are deleted.
    Delete,
}

impl LeftoverTokens {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A token that outlived the access during which it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeftoverToken {
    /// Its name in Rancher (the part before the colon; not secret). Example: `ext/token-4vhrb`.
    #[schemars(length(max = 260), regex(pattern = schema::TEXT))]
    pub name: String,
    /// Id of the Rancher user whose it is.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub user: String,
    /// The grant during which it was made, as `namespace/name`.
    #[schemars(length(max = 320), regex(pattern = schema::TEXT))]
    pub grant: String,
    /// When it was made, by Rancher's clock, in UTC.
    pub created_time: Time,
    /// What was done about it.
    pub action: TokenAction,
    /// When that was, in UTC.
    pub time: Time,
}

/// What was done about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TokenAction {
    /// Nothing but that it was told of.
    Reported,
    /// It is disabled.
    Disabled,
    /// It was deleted. Stays in the list for a day.
    Deleted,
}
