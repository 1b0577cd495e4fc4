//! References to other objects. None carries a namespace, except that of a ServiceAccount.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// Names a cluster-scoped object of this API group, or a grant in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectReference {
    /// Name of the object, as `kubectl get` shows it. Example: `prod`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::NAME))]
    pub name: String,
}

/// Names a Secret in the operator's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// Name of the Secret in the operator's namespace. Example: `rancher-prod`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::NAME))]
    pub name: String,
}

/// Names one key of a Secret or ConfigMap in the operator's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyReference {
    /// Name of the object in the operator's namespace. Example: `rancher-ca`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::NAME))]
    pub name: String,
    /// Key in its data. Example: `ca.crt`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::DATA_KEY))]
    pub key: String,
}

/// What kind of identity a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum IdentityKind {
    /// A user, by the name that the API server knows.
    User,
    /// A group, by the name that the API server knows.
    Group,
    /// A ServiceAccount of this cluster, by namespace and name.
    ServiceAccount,
}

/// A user, group or ServiceAccount, as the API server of this cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.__namespace__)")
    .message("namespace is required for a ServiceAccount and may not be specified for a User or Group"))]
pub struct Identity {
    /// One of `User`, `Group`, `ServiceAccount`.
    pub kind: IdentityKind,
    /// Name of the user, group or ServiceAccount, compared exactly. Example: `web-devs`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub name: String,
    /// Namespace of the ServiceAccount. Example: `argocd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub namespace: Option<String>,
}

/// Who created an object, as the API server saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct Caller {
    /// The creator's user name. Example: `alice`, `system:serviceaccount:argocd:access-sync`.
    #[schemars(length(min = 1, max = 512), regex(pattern = schema::TEXT))]
    pub username: String,
    /// Groups of the creator that policies may look at: at most 256 of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 512), regex(pattern = schema::TEXT)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub groups: Vec<String>,
}

impl Caller {
    /// Whether it is a ServiceAccount.
    pub fn is_service_account(&self) -> bool {
        self.username.starts_with(SERVICE_ACCOUNT)
    }
}

/// What the user names of ServiceAccounts begin with.
pub const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

impl Identity {
    /// Whether the caller is that user or ServiceAccount, or says to be in that group. Compared exactly. A
    /// ServiceAccount is in no group here unless `by_group` says so.
    pub fn names(&self, caller: &Caller, by_group: bool) -> bool {
        match (self.kind, &self.namespace) {
            (IdentityKind::User, None) => self.name == caller.username,
            (IdentityKind::Group, None) => {
                (by_group || !caller.is_service_account()) && caller.groups.contains(&self.name)
            }
            (IdentityKind::ServiceAccount, Some(namespace)) => {
                caller.username == format!("{SERVICE_ACCOUNT}{namespace}:{}", self.name)
            }
            _ => false,
        }
    }
}
