//! `AccessDecision`: one person's word on one grant.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{reference::Caller, schema};

/// One person's word on one grant.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "rancheraccess.io",
    version = "v1alpha1",
    kind = "AccessDecision",
    plural = "accessdecisions",
    shortname = "adec",
    category = "rancheraccess",
    namespaced,
    status = "AccessDecisionStatus",
    derive = "PartialEq",
    doc = "An AccessDecision is one person's word on one AccessGrant of the same namespace: approve it, deny it, or revoke it. It counts once, for what the grant's status showed when it was made; deleting it afterwards changes nothing.",
    printcolumn(name = "Grant", type_ = "string", json_path = ".spec.grantRef.name"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".spec.decision"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.decidedBy.username"),
    printcolumn(name = "Counted", type_ = "string", json_path = ".status.counted"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1),
    selectable = ".spec.grantRef.name"
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a decision is immutable: make another one"))]
#[serde(rename_all = "camelCase")]
pub struct AccessDecisionSpec {
    /// The grant, in the same namespace. Immutable.
    pub grant_ref: GrantReference,
    /// One of `Approve`, `Deny`, `Revoke`. Immutable.
    pub decision: Verdict,
    /// Who decides: always whoever creates the object. Filled in or checked on admission; write it only where the API
    /// server is older than 1.36. Immutable.
    pub decided_by: Caller,
    /// What is approved: the digest in the grant's status. Without it, what stood there before this decision was made. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]+$"))]
    pub digest: Option<String>,
    /// Why, for the record: at most 2048 characters. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = schema::TEXT))]
    pub reason: Option<String>,
}

/// Names a grant in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantReference {
    /// Name of the AccessGrant. Example: `web-x7k2m`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::NAME))]
    pub name: String,
    /// Its UID. Without it, the grant of that name that stood when this decision was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[-a-z0-9]+$"))]
    pub uid: Option<String>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// The grant may be given. For approvers.
    Approve,
    /// The grant is refused, for good: one is enough. For approvers.
    Deny,
    /// The access ends now, or is never given. For the requester, the subject, approvers, and the integration's owners.
    Revoke,
}

/// Whether a decision counted. Written by the operator alone, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessDecisionStatus {
    /// Whether it counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted: Option<bool>,
    /// Why, in one word for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<DecisionReason>,
    /// Why, in a sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = schema::TEXT))]
    pub message: Option<String>,
}

/// Why a decision counted or did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum DecisionReason {
    /// It counted.
    Counted,
    /// Whoever made it is none of those who may.
    NotApprover,
    /// Whoever made it asked for the access, or gets it; or it cannot be told that he does not.
    SelfApproval,
    /// The grant was decided already, or is over.
    TooLate,
    /// The same person approved already.
    Duplicate,
    /// What is asked for was resolved anew since, or another grant has that name now.
    DigestMismatch,
    /// It was made while nobody checked who decides.
    IdentityUnproven,
    /// There is no grant of that name in the namespace.
    GrantNotFound,
}
