//! Approvals: what a policy asks for, and what a grant's status keeps of them.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    decision::Verdict,
    reference::{Caller, Identity, IdentityKind},
    schema,
};

/// How many people must approve, who may, and how long a grant waits for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("duration(self.timeout) > duration('0s')").message("timeout must be longer than 0s"))]
#[x_kube(validation = Rule::new("self.required == 0 || (has(self.approvers) && self.approvers.size() > 0)")
    .message("approvers must name who may approve where required is above 0: users, groups, ServiceAccounts, or ResourceOwner"))]
#[x_kube(validation = Rule::new("!has(self.approvers) || self.approvers.size() == 0 || self.approvers.exists(a, a.kind in ['Group', 'ResourceOwner']) || self.required <= self.approvers.size()")
    .message("required may not be above the number of approvers: nobody approves twice"))]
#[serde(rename_all = "camelCase")]
pub struct Approval {
    /// How many distinct people must approve: 0 to 16. 0: nobody is asked. Of a grant on several targets, that many for each target that has an owner.
    #[serde(default)]
    #[schemars(range(min = 0, max = 16))]
    pub required: i32,
    /// Who may approve: at most 32 users, groups, ServiceAccounts, or `ResourceOwner`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub approvers: Vec<Approver>,
    /// How long after its creation a grant waits for approvals before it is `TimedOut`. Example: `24h`.
    #[serde(default = "one_day")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub timeout: String,
    /// True: whoever asks, or gets the access, may also approve it, if he is among the approvers. For teams of one.
    #[serde(default)]
    pub self_approval: bool,
    /// Where approvers are reached; shown in the status of each grant that waits. At most 253 characters. Example: `#sre-oncall`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub contact: Option<String>,
}

impl Default for Approval {
    fn default() -> Self {
        Self { required: 0, approvers: Vec::new(), timeout: one_day(), self_approval: false, contact: None }
    }
}

fn one_day() -> String {
    "24h".to_owned()
}

/// Somebody who may approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.kind == 'ResourceOwner') != has(self.name)")
    .message("name is required for a User, Group or ServiceAccount and may not be specified for ResourceOwner"))]
#[x_kube(validation = Rule::new("(self.kind == 'ServiceAccount') == has(self.__namespace__)")
    .message("namespace is required for a ServiceAccount and may not be specified for others"))]
pub struct Approver {
    /// One of `User`, `Group`, `ServiceAccount`, `ResourceOwner`.
    pub kind: ApproverKind,
    /// Name of the user, group or ServiceAccount, compared exactly. Example: `sre`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub name: Option<String>,
    /// Namespace of the ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub namespace: Option<String>,
}

impl Approver {
    /// The identity that it names; `None` for the resource's owner.
    pub fn identity(&self) -> Option<Identity> {
        let kind = match self.kind {
            ApproverKind::ResourceOwner => return None,
            ApproverKind::User => IdentityKind::User,
            ApproverKind::Group => IdentityKind::Group,
            ApproverKind::ServiceAccount => IdentityKind::ServiceAccount,
        };
        Some(Identity { kind, name: self.name.clone().unwrap_or_default(), namespace: self.namespace.clone() })
    }
}

/// What kind of approver it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApproverKind {
    /// A user, by the name that the API server knows.
    User,
    /// Whoever is in a group, but for ServiceAccounts: these approve by name only.
    Group,
    /// A ServiceAccount of this cluster.
    ServiceAccount,
    /// Whoever the integration's `resourceOwner` says owns the cluster or project; else its `integrationOwner`.
    ResourceOwner,
}

/// Who may decide a grant, and how far that is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalRecord {
    /// How many approvals are needed altogether.
    pub required: i32,
    /// How many of them were given.
    pub approved: i32,
    /// Who may approve what: one entry for each policy that asks for approvals, and for each target with an owner.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sets: Vec<ApproverSet>,
    /// Where approvers are reached, by the policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub contact: Option<String>,
    /// Until when approvals count, in UTC; then the grant is `TimedOut`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// A command that approves what this status shows, for whoever may.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2048), regex(pattern = schema::TEXT))]
    pub how_to: String,
}

/// Some of whom so many must approve.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApproverSet {
    /// What it is about. Example: `policy web`, `policy web, project p-x7k2m on cluster c-m-abc12def`.
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub name: String,
    /// How many of them must approve.
    pub required: i32,
    /// How many of them have.
    pub approved: i32,
    /// Who they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub candidates: Vec<Candidate>,
    /// Where they are named: `policy`, `label owner=web`, or `integration owner (fallback)` with the reason.
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub source: String,
}

/// Somebody who may decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// One of `User`, `Group`, `ServiceAccount`.
    pub kind: IdentityKind,
    /// Name, as the API server knows it.
    #[schemars(length(max = 512), regex(pattern = schema::TEXT))]
    pub name: String,
    /// Namespace of the ServiceAccount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = schema::NAME))]
    pub namespace: Option<String>,
    /// The name that Rancher shows for a user, where it knows him.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub display_name: Option<String>,
}

impl Candidate {
    /// Whether the caller is that user or ServiceAccount, or in that group. A ServiceAccount is in no group here.
    pub fn names(&self, caller: &Caller) -> bool {
        let (kind, name, namespace) = (self.kind, self.name.clone(), self.namespace.clone());
        Identity { kind, name, namespace }.names(caller, false)
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, &self.namespace, &self.display_name) {
            (IdentityKind::Group, ..) => write!(f, "group {}", self.name),
            (IdentityKind::ServiceAccount, Some(namespace), _) => write!(f, "ServiceAccount {namespace}/{}", self.name),
            (_, _, Some(shown)) => write!(f, "{shown} ({})", self.name),
            (_, _, None) => f.write_str(&self.name),
        }
    }
}

impl From<Identity> for Candidate {
    fn from(identity: Identity) -> Self {
        let Identity { kind, name, namespace } = identity;
        Self { kind, name, namespace, display_name: None }
    }
}

/// A decision that counted. It stays, whatever becomes of the AccessDecision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Vote {
    /// Name of the AccessDecision.
    #[schemars(length(max = 253), regex(pattern = schema::NAME))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub uid: String,
    /// What was decided.
    pub decision: Verdict,
    /// Who decided: his user name.
    #[schemars(length(max = 512), regex(pattern = schema::TEXT))]
    pub by: String,
    /// Who he is in Rancher, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub rancher_user: Option<String>,
    /// For which sets of approvers an approval counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 600), regex(pattern = schema::TEXT)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sets: Vec<String>,
    /// When it was decided, in UTC.
    pub time: Time,
}
