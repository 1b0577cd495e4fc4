//! The status of an `AccessGrant`: the record that revoking works from, and what people read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    approval::{ApprovalRecord, Vote},
    condition::Condition,
    integration::RancherStatus,
    policy::OnPolicyChange,
    schema,
};

/// Where a grant stands. Written by the operator alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrantStatus {
    /// The state in one word, for people. Programs should read the conditions, and bear values they do not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// The generation of the spec that this status was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Approved`, `Granted`, `Revoked`; and only while they are true `RevocationOverdue`, `ResidualAccess`,
    /// `Reconciling`, `Stalled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The policy that allowed the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyRecord>,
    /// The `Require` policies that hold for the grant besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub required_by: Vec<PolicyRecord>,
    /// Whether it is proven who asked: judged once, by whether the API server checked that when the grant was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<IdentityProof>,
    /// Who may decide, and how far that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<ApprovalRecord>,
    /// The decisions that counted. They stay, whatever becomes of the AccessDecisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub votes: Vec<Vote>,
    /// Stands for all that is approved: subject, targets, roles with their rules, times, approvers and policies, as they
    /// were resolved. Approvals count for one digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub digest: Option<String>,
    /// Since when the digest stands, in UTC. Decisions made before do not count for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest_time: Option<Time>,
    /// What would be, or was, given, in words: one line for each role on a target, with the names that Rancher shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 1024), regex(pattern = schema::TEXT)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub resolved: Vec<String>,
    /// Since when the same access has lasted without a pause through this grant and those before it, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continuous_since: Option<Time>,
    /// The Rancher that the access is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rancher: Option<RancherStatus>,
    /// The bindings in Rancher: all that revoking needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub bindings: Vec<BindingRecord>,
    /// The grant that this one extends, as it stood when this one was allowed or begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<ExtendedRecord>,
    /// When all of the access was in force, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub granted_time: Option<Time>,
    /// When the access ends, in UTC. Set before anything is given; never moves later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_time: Option<Time>,
    /// When all of the access was proven gone, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_time: Option<Time>,
    /// Why and when the access ended, once it is to be taken away. It is then never given again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<End>,
    /// Whom the access is for, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub subject: Option<String>,
    /// What the access is on, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub target: Option<String>,
    /// Which role, in short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub role: Option<String>,
    /// How to use the access while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_details: Option<AccessDetails>,
    /// The state as Rancher's own pages show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display: Option<Display>,
}

/// Where a grant stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// No policy allows it yet, or it cannot be judged yet.
    Pending,
    /// A policy allows it once enough people have approved.
    AwaitingApproval,
    /// Allowed; its start lies ahead.
    Scheduled,
    /// Its access is being given.
    Activating,
    /// Its access is in force.
    Active,
    /// Its access is being taken away.
    Revoking,
    /// It ran its time, and its access is gone.
    Expired,
    /// It ended before its time, and its access is gone.
    Revoked,
    /// It was refused for good.
    Denied,
    /// It was not allowed in time. No access was given.
    TimedOut,
    /// Rancher refused it, or the grant that it extends ended early, and what was given has been taken back; or an
    /// administrator gave it up, and whether the access is gone is not known.
    Failed,
}

/// The policy that allowed the grant, as it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRecord {
    /// Name of the AccessPolicy.
    #[schemars(length(max = 253), regex(pattern = schema::NAME))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub uid: String,
    /// Its generation.
    pub generation: i64,
    /// What becomes of the access when the policy changes so that it would not allow it any more, or goes.
    #[serde(default, skip_serializing_if = "keeps")]
    pub on_policy_change: OnPolicyChange,
}

fn keeps(on_policy_change: &OnPolicyChange) -> bool {
    *on_policy_change == OnPolicyChange::Keep
}

/// Whether it is proven who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum IdentityProof {
    /// The API server checked it when the grant was created.
    Proven,
    /// The grant was created while nobody checked: it is never given.
    Unproven,
}

/// The grant that another extends, as it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExtendedRecord {
    /// Its name.
    #[schemars(length(max = 253), regex(pattern = schema::NAME))]
    pub name: String,
    /// Its UID.
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub uid: String,
    /// When it was to end, in UTC: from here this grant's duration counts.
    pub end_time: Time,
}

/// One binding in Rancher that this grant calls for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BindingRecord {
    /// Its kind in Rancher.
    pub kind: BindingKind,
    /// Id of the cluster that the access is on; absent for Rancher as a whole.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub cluster: String,
    /// Id of the project that the access is on, without its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub project: Option<String>,
    /// Namespace of the binding: on Rancher's own cluster, but for a RoleBinding, which is on the cluster of the access.
    /// Absent for a GlobalRoleBinding.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub namespace: String,
    /// Name of the binding.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub name: String,
    /// UID of the binding, once it was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub uid: Option<String>,
    /// Whom it binds: `user:<id>`, `principal:<principal>` or `group:<principal>`.
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub subject: String,
    /// UID of the Rancher user, where there is one.
    #[serde(default, rename = "subjectUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub subject_uid: Option<String>,
    /// Id of the role template or global role, or name of the ClusterRole.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub role: String,
    /// True: the role reached into all clusters when it was bound, as that of an administrator does. Rancher judges by what
    /// the role says when the binding is deleted, and then forgets what an earlier one had given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reaches_clusters: bool,
    /// How far it is.
    pub state: BindingState,
    /// Since when it is so, in UTC.
    pub since: Time,
    /// True: other bindings of this subject are still to be touched in Rancher, so that what they share with this one
    /// is made again. It delays nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touch_pending: bool,
    /// True: what Rancher made for it on other clusters could not be looked at, for without a key there is no way there.
    /// Rancher could clean up after it when it was deleted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// True: it was seen without the finalizers that Rancher cleans up by, so what Rancher made for it may outlive it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacked_finalizers: bool,
    /// Somebody else's bindings that gave the subject the same access when this one was removed, or that were made for
    /// him on this cluster while this one was in force, as `namespace/name`, with the role where it is another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = schema::TEXT))]
    pub residual: Option<String>,
}

impl BindingRecord {
    /// Whether nothing is left to do about it.
    pub fn is_settled(&self) -> bool {
        matches!(
            self.state,
            BindingState::AlreadyHeld | BindingState::Removed | BindingState::HandedOver | BindingState::Abandoned
        )
    }
}

/// Kinds of bindings in Rancher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BindingKind {
    /// A role on a cluster.
    ClusterRoleTemplateBinding,
    /// A role on a project.
    ProjectRoleTemplateBinding,
    /// A role in Rancher as a whole.
    GlobalRoleBinding,
    /// A role in one namespace: Kubernetes' own kind, on the cluster of the access.
    RoleBinding,
}

/// How far a binding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum BindingState {
    /// Recorded before it was asked for; Rancher may or may not have it.
    Intended,
    /// Seen in Rancher, with its UID.
    Present,
    /// Somebody else's binding came to give the same access beside this one, which is being taken away: Rancher 2.14
    /// and later allow only one of two equals, and 2.15 deletes the newer.
    Yielding,
    /// Somebody else's binding gives the same access: nothing was made, or it was taken away again, and nothing will be.
    AlreadyHeld,
    /// Proven gone.
    Removed,
    /// Left to another grant that calls for the same binding for longer.
    HandedOver,
    /// Given up by an administrator, for its Rancher is gone for good. Nothing is proven; the sweep looks for it if that Rancher ever answers again.
    Abandoned,
}

/// Why and when the access ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// Since when the access is to be gone, in UTC.
    pub time: Time,
}

/// Why the access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum EndReason {
    /// It ran its time.
    Expired,
    /// The grant was deleted.
    Deleted,
    /// Somebody removed the binding in Rancher.
    RemovedInRancher,
    /// Rancher refused one of the targets.
    Refused,
    /// The grant that it extends ended before its time.
    ExtendedGrantEnded,
    /// Somebody who may decided so, by an AccessDecision.
    RevokedByDecision,
    /// The policy that allowed it changed, or went, and says that access ends then.
    PolicyChanged,
}

/// How to use the access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct AccessDetails {
    /// What the platform team says about this server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 400), regex(pattern = schema::TEXT))]
    pub instructions: Option<String>,
    /// Where to go, one entry a cluster or project.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub targets: Vec<TargetDetails>,
    /// How to log in as the local user that was made for the access. The Secret goes with the access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsDetails>,
}

/// Where the name and the password of a local user stand. Whoever asked for the access may read that Secret, and nobody
/// else may by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialsDetails {
    /// The name to log in to Rancher with.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub username: String,
    /// The Secret, as `namespace/name`; its keys are `username`, `password` and `url`.
    #[schemars(length(max = 512), regex(pattern = schema::TEXT))]
    pub secret: String,
    /// A command that prints the password.
    #[schemars(length(max = 1024), regex(pattern = schema::TEXT))]
    pub command: String,
}

/// Where to find one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetDetails {
    /// The target, in short.
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub target: String,
    /// Its page in Rancher; absent where nobody said where Rancher's pages are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 2600), regex(pattern = schema::TEXT))]
    pub url: String,
    /// A command of Rancher's own command line that fetches a kubeconfig for the cluster; absent where it is about none.
    // A record without it, of an older operator or pruned by an older CRD, must stay readable: revoking works from it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 600), regex(pattern = schema::TEXT))]
    pub kubeconfig_command: String,
}

/// The state as Rancher's own pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Display {
    /// The badge's text.
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub state: String,
    /// The sentence beside it.
    #[schemars(length(max = 2048), regex(pattern = schema::TEXT))]
    pub message: String,
    /// True: shown as an error.
    pub error: bool,
    /// True: shown as in progress.
    pub transitioning: bool,
}
