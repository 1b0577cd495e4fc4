use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{ObjectMeta, filled, nullable};

/// A user of Rancher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The metadata; the name is the user's id.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// The login name of a local user.
    #[serde(default, deserialize_with = "filled")]
    pub username: Option<String>,
    /// The name people see.
    #[serde(default, deserialize_with = "filled")]
    pub display_name: Option<String>,
    /// Every principal the user is known by, for example `local://u-abcde` and `okta_user://alice`.
    #[serde(default, deserialize_with = "nullable")]
    pub principal_ids: Vec<String>,
    /// Whether the user may log in; absent means yes.
    #[serde(default)]
    pub enabled: Option<bool>,
}

impl User {
    /// Whether Rancher made it for itself: people are never such users.
    pub fn is_system(&self) -> bool {
        self.principal_ids.iter().any(|p| p.starts_with("system://"))
    }
}

/// What Rancher keeps of a user who ever logged in; its name is the user's id. Go wrote these fields without names for JSON.
#[derive(Deserialize)]
pub(crate) struct UserAttribute {
    #[serde(rename = "GroupPrincipals", default, deserialize_with = "nullable")]
    group_principals: BTreeMap<String, GroupPrincipals>,
    /// What identity providers say of the user, besides groups.
    #[serde(rename = "ExtraByProvider", default, deserialize_with = "nullable")]
    extra_by_provider: BTreeMap<String, Option<BTreeMap<String, Value>>>,
    /// When somebody last logged in; an older Rancher did not write it.
    #[serde(rename = "lastLogin", default, deserialize_with = "filled")]
    last_login: Option<String>,
    /// After how long without a login retention disables this user; `None`: as the setting says.
    #[serde(rename = "disableAfter", default, deserialize_with = "filled")]
    pub disable_after: Option<String>,
    /// The same for deleting.
    #[serde(rename = "deleteAfter", default, deserialize_with = "filled")]
    pub delete_after: Option<String>,
}

/// The groups by one identity provider.
#[derive(Deserialize)]
struct GroupPrincipals {
    #[serde(rename = "Items", default, deserialize_with = "nullable")]
    items: Vec<GroupPrincipal>,
}

#[derive(Deserialize)]
struct GroupPrincipal {
    metadata: ObjectMeta,
}

impl UserAttribute {
    /// The principals of the user's groups, of all providers.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.group_principals.values().flat_map(|of| &of.items).map(|group| group.metadata.name.as_str())
    }

    /// Whether it says, or may say, that somebody logged in.
    pub fn tells_of_a_login(&self) -> bool {
        let extra = self.extra_by_provider.values().flatten().any(|of| !of.is_empty());
        self.last_login.is_some() || extra || self.groups().next().is_some()
    }
}

/// Whom the key belongs to, by Rancher's own word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhoAmI {
    /// The user's id.
    pub user_id: String,
    /// The groups, principals of an identity provider among them.
    pub groups: Vec<String>,
    /// The principals.
    pub principal_ids: Vec<String>,
    /// The name of the token that was used.
    pub token_id: Option<String>,
    /// The login name.
    pub username: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct IdentityReview {
    status: IdentityStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentityStatus {
    user_info: UserInfo,
}

#[derive(Deserialize)]
struct UserInfo {
    username: String,
    #[serde(default, deserialize_with = "nullable")]
    groups: Vec<String>,
    #[serde(default, deserialize_with = "nullable")]
    extra: BTreeMap<String, Vec<String>>,
}

impl From<IdentityReview> for WhoAmI {
    fn from(review: IdentityReview) -> Self {
        let UserInfo { username, groups, mut extra } = review.status.user_info;
        let mut all = |key: &str| extra.remove(key).unwrap_or_default();
        Self {
            user_id: username,
            groups,
            principal_ids: all("principalid"),
            token_id: all("requesttokenid").into_iter().next(),
            username: all("username").into_iter().next(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct AccessReview {
    pub status: AccessStatus,
}

#[derive(Deserialize)]
pub(crate) struct AccessStatus {
    pub allowed: bool,
}

/// A setting, of which Rancher may keep the value or only the default.
#[derive(Deserialize)]
pub(crate) struct Setting {
    #[serde(default, deserialize_with = "filled")]
    pub value: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    pub default: Option<String>,
}

/// A feature flag.
#[derive(Deserialize)]
pub(crate) struct Feature {
    #[serde(default, deserialize_with = "nullable")]
    pub spec: FeatureSpec,
    #[serde(default, deserialize_with = "nullable")]
    pub status: FeatureStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct FeatureSpec {
    pub value: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct FeatureStatus {
    pub default: Option<bool>,
    pub locked_value: Option<bool>,
}

impl Feature {
    /// Rancher's own order: a locked value, the one set, the default.
    pub fn is_on(&self) -> bool {
        self.status.locked_value.or(self.spec.value).or(self.status.default).unwrap_or(false)
    }
}

/// A v3 token, as `/v3/tokens` (`created`, `clusterId`) or as the Kubernetes object (`metadata`, `clusterName`) shows it. Its
/// secret parts are not read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NormanToken {
    #[serde(default, deserialize_with = "nullable")]
    pub metadata: ObjectMeta,
    #[serde(default)]
    pub created: Option<Timestamp>,
    #[serde(default, deserialize_with = "filled")]
    pub user_id: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    pub ttl: i64,
    #[serde(default, deserialize_with = "filled")]
    pub expires_at: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    pub cluster_id: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    pub cluster_name: Option<String>,
    #[serde(default)]
    pub enabled: Option<bool>,
    /// Whether it is an API key or a kubeconfig's, and not a login's session.
    #[serde(default)]
    pub is_derived: Option<bool>,
    #[serde(default, deserialize_with = "filled")]
    pub description: Option<String>,
}

/// A token of the extension API.
#[derive(Deserialize)]
pub(crate) struct ExtToken {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    pub spec: ExtTokenSpec,
    #[serde(default, deserialize_with = "nullable")]
    pub status: ExtTokenStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ExtTokenSpec {
    #[serde(rename = "userID", deserialize_with = "filled")]
    pub user_id: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub ttl: i64,
    #[serde(deserialize_with = "filled")]
    pub cluster_name: Option<String>,
    #[serde(deserialize_with = "filled")]
    pub description: Option<String>,
    pub enabled: Option<bool>,
    /// `session` for a login's.
    #[serde(deserialize_with = "filled")]
    pub kind: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ExtTokenStatus {
    #[serde(deserialize_with = "filled")]
    pub expires_at: Option<String>,
}
