//! `AccessGrant`: one request and its whole life.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    reference::{Caller, ObjectReference},
    schema,
    status::AccessGrantStatus,
};

/// One request for access, and its whole life.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "rancheraccess.io",
    version = "v1alpha1",
    kind = "AccessGrant",
    plural = "accessgrants",
    shortname = "agrant",
    category = "rancheraccess",
    namespaced,
    status = "AccessGrantStatus",
    derive = "PartialEq",
    doc = "An AccessGrant asks for access to Rancher for a while: the operator gives it when a policy allows it, and takes it away at its end. The spec is immutable, but endTime may move earlier; delete the grant to end it at once.",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Subject", type_ = "string", json_path = ".status.subject"),
    printcolumn(name = "Target", type_ = "string", json_path = ".status.target"),
    printcolumn(name = "Role", type_ = "string", json_path = ".status.role"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Integration", type_ = "string", json_path = ".spec.integrationRef.name", priority = 1),
    printcolumn(name = "Requester", type_ = "string", json_path = ".spec.requestedBy.username", priority = 1),
    printcolumn(
        name = "Granted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Granted")].status"#,
        priority = 1
    ),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    selectable = ".spec.integrationRef.name"
)]
#[x_kube(
    validation = Rule::new("!(has(self.duration) && has(self.endTime))")
        .message("may not set both duration and endTime: use duration for people, endTime for Git")
)]
#[x_kube(
    validation = Rule::new("!has(self.startTime) || !has(self.endTime) || self.startTime < self.endTime")
        .message("startTime must be before endTime").field_path(".startTime")
)]
#[x_kube(
    validation = Rule::new("!(has(self.extends) && has(self.startTime))")
        .message("may not set both extends and startTime: an extension begins where the grant that it extends ends")
)]
#[x_kube(
    validation = Rule::new("self.integrationRef == oldSelf.integrationRef && self.requestedBy == oldSelf.requestedBy && self.access == oldSelf.access")
        .message("integrationRef, requestedBy and access are immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.policyRef) == has(oldSelf.policyRef) && (!has(self.policyRef) || self.policyRef == oldSelf.policyRef)")
        .message("policyRef is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.subject) == has(oldSelf.subject) && (!has(self.subject) || self.subject == oldSelf.subject)")
        .message("subject is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.duration) == has(oldSelf.duration) && (!has(self.duration) || self.duration == oldSelf.duration)")
        .message("duration is immutable: create another grant, or delete this one to end it early")
)]
#[x_kube(
    validation = Rule::new("has(self.startTime) == has(oldSelf.startTime) && (!has(self.startTime) || self.startTime == oldSelf.startTime)")
        .message("startTime is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.extends) == has(oldSelf.extends) && (!has(self.extends) || self.extends == oldSelf.extends)")
        .message("extends is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.reason) == has(oldSelf.reason) && (!has(self.reason) || self.reason == oldSelf.reason)")
        .message("reason is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("self.dryRun == oldSelf.dryRun").message("dryRun is immutable: create another grant")
)]
#[x_kube(
    validation = Rule::new("has(self.endTime) == has(oldSelf.endTime) && (!has(self.endTime) || self.endTime <= oldSelf.endTime)")
        .message("endTime may only move earlier: create another grant to have access for longer").field_path(".endTime")
)]
#[serde(rename_all = "camelCase")]
pub struct AccessGrantSpec {
    /// The Rancher server that the access is on. Immutable.
    pub integration_ref: ObjectReference,
    /// The policy to be judged by. Default: the policy that allows the request and asks for the fewest approvals, then the first by name. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_ref: Option<ObjectReference>,
    /// Who asks: always whoever creates the object. Filled in or checked on admission; write it only where the API
    /// server is older than 1.36. Immutable.
    pub requested_by: Caller,
    /// Whom the access is for. Default: the requester. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Subject>,
    /// What access: 1 to 32 roles on clusters, projects, namespaces, or Rancher as a whole. All of it is given, or nothing. Immutable.
    #[schemars(length(min = 1, max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub access: Vec<Access>,
    /// How long, from the moment that the access is given, or from the end of the grant that it extends. Go syntax in hours, minutes, seconds, at least 1s. Default: the policy's. Immutable. Example: `2h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s')").message("must be at least 1s"))]
    pub duration: Option<String>,
    /// When the access ends, in UTC; the form for Git. May be moved earlier, never later. Example: `2026-12-01T18:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::TIME))]
    pub end_time: Option<Time>,
    /// When the access begins, in UTC. Default: as soon as it is allowed. Immutable. Example: `2026-12-01T08:00:00Z`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = schema::TIME))]
    pub start_time: Option<Time>,
    /// The grant that this one goes on from, in the same namespace: of the same integration, subject and access. A
    /// duration counts from that one's end, without a gap; if that one ends early, so does this one. May not be set
    /// together with `startTime`. Immutable. Example: `{name: web-x7k}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<ObjectReference>,
    /// Why, for the record: at most 2048 characters. A policy may require it. Immutable. Example: `INC-4711`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048), regex(pattern = schema::TEXT))]
    pub reason: Option<String>,
    /// True: resolve and judge all of it, say in status what would be given and who would decide, and give nothing, ever. Immutable.
    #[serde(default)]
    pub dry_run: bool,
}

/// Whom access is for: a Rancher user by id, a user or group by the principal of its identity provider, or a local user of
/// Rancher that is made for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.user), has(self.principal), has(self.group), has(self.localUser)].filter(x, x).size() == 1")
    .message("must set exactly one of user, principal, group and localUser"))]
pub struct Subject {
    /// Id of a Rancher user, who must exist. Example: `u-x7k2m9qabc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub user: Option<String>,
    /// Principal of a user, who need not have logged in yet. Example: `okta_user://alice`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 512), regex(pattern = schema::PRINCIPAL))]
    pub principal: Option<String>,
    /// Principal of a group. Example: `okta_group://web-devs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 4, max = 512), regex(pattern = schema::PRINCIPAL))]
    pub group: Option<String>,
    /// A local user of Rancher, who is made when the access is given, disabled when it ends, and used again by later grants of
    /// the same requester in the same namespace. A policy must name him in `subjects.localUsers`. Example: `{username: deploy}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_user: Option<LocalUser>,
}

/// A local user of Rancher, made for the access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalUser {
    /// His name to the requester. The name to log in with has this in it and is in the status: `rao-<username>-<8 characters>`.
    /// Lower-case letters, digits and dashes, at most 40. Example: `deploy`.
    #[schemars(length(min = 1, max = 40), regex(pattern = schema::LABEL))]
    pub username: String,
    /// The name that Rancher shows. Default: the username. Example: `Deployments of web`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub display_name: Option<String>,
}

/// One role on one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.cluster), has(self.project), has(self.__namespace__), has(self.global)].filter(x, x).size() == 1")
    .message("must set exactly one of cluster, project, namespace and global"))]
pub struct Access {
    /// A role on a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterAccess>,
    /// A role on a project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectAccess>,
    /// A role in one namespace of a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceAccess>,
    /// A role in Rancher as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalAccess>,
}

impl Access {
    /// Id of the cluster that it is about; `None` for a role in Rancher as a whole.
    pub fn cluster_id(&self) -> Option<&str> {
        let cluster = self.cluster.as_ref().map(|on| on.name.as_str());
        let project = self.project.as_ref().map(|on| on.cluster.as_str());
        let namespace = self.namespace.as_ref().map(|on| on.cluster.as_str());
        cluster.or(project).or(namespace)
    }
}

/// A role on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterAccess {
    /// Id of the cluster in Rancher, or the name that Rancher shows, where no other cluster has it. Examples: `c-m-abc12def`, `Production`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TARGET))]
    pub name: String,
    /// Id of a role template of context `cluster`. Example: `cluster-member`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub role: String,
}

/// A role on a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProjectAccess {
    /// Id of the project's cluster in Rancher, or the name that Rancher shows, where no other cluster has it. Examples: `c-m-abc12def`, `Production`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TARGET))]
    pub cluster: String,
    /// Id of the project, without its cluster; or the name that Rancher shows, where no other project of the cluster has it. Examples: `p-x7k2m`, `Web`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TARGET))]
    pub name: String,
    /// Id of a role template of context `project`. Example: `project-member`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub role: String,
}

/// A role in one namespace of a cluster. It is given by a RoleBinding there, together with membership of the cluster in
/// Rancher, which gives nothing by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamespaceAccess {
    /// Id of the namespace's cluster in Rancher, or the name that Rancher shows, where no other cluster has it. Examples: `c-m-abc12def`, `Production`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TARGET))]
    pub cluster: String,
    /// Name of the namespace on that cluster; it must exist. Example: `api`.
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::LABEL))]
    pub name: String,
    /// Name of a ClusterRole on that cluster. Example: `edit`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub role: String,
}

/// A role in Rancher as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GlobalAccess {
    /// Id of a global role. Example: `user-base`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub role: String,
}
