//! `RancherResource`: one thing in Rancher that access can be asked for on, or a role that can be asked for.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{reference::ObjectReference, schema};

/// One thing that a Rancher server has. Written by the operator alone.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "rancheraccess.io",
    version = "v1alpha1",
    kind = "RancherResource",
    plural = "rancherresources",
    shortname = "rres",
    category = "rancheraccess",
    derive = "PartialEq",
    doc = "A RancherResource mirrors one thing that a Rancher server has: a cluster, a project, a namespace, or a role. The operator writes one for each where the RancherIntegration sets spec.discovery; whoever looks for what can be asked for finds the ids here.",
    printcolumn(name = "Integration", type_ = "string", json_path = ".spec.integrationRef.name"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.kind"),
    printcolumn(name = "Display", type_ = "string", json_path = ".spec.displayName"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster.displayName"),
    printcolumn(name = "Id", type_ = "string", json_path = ".spec.id"),
    printcolumn(name = "Offered", type_ = "boolean", json_path = ".spec.offered"),
    printcolumn(name = "State", type_ = "string", json_path = ".spec.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Cluster-Id", type_ = "string", json_path = ".spec.cluster.id", priority = 1),
    printcolumn(name = "Project", type_ = "string", json_path = ".spec.project.displayName", priority = 1),
    printcolumn(name = "Owner", type_ = "string", json_path = ".spec.owner", priority = 1),
    selectable = ".spec.integrationRef.name",
    selectable = ".spec.kind",
    selectable = ".spec.cluster.id"
)]
#[x_kube(
    validation = Rule::new("(self.kind in ['Project', 'Namespace']) == has(self.cluster)")
        .message("cluster must be set for a Project or a Namespace, and may not be specified for anything else")
        .field_path(".cluster")
)]
#[x_kube(
    validation = Rule::new("self.kind == 'Namespace' || !has(self.project)")
        .message("project may be specified for a Namespace alone: a Project names itself by its id")
        .field_path(".project")
)]
#[serde(rename_all = "camelCase")]
pub struct RancherResourceSpec {
    /// The integration on whose server it is.
    pub integration_ref: ObjectReference,
    /// One of `Cluster`, `Project`, `Namespace`, `ClusterRole`, `ProjectRole`, `GlobalRole`.
    pub kind: ResourceKind,
    /// Its id in Rancher, as grants and policies name it; of a project without the cluster's. Examples: `c-m-abc12def`, `p-x7k2m`, `cluster-member`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub id: String,
    /// The name that Rancher shows, in one line of at most 253 bytes; the id where it has none. Not unique. Example: `Production`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub display_name: String,
    /// The cluster of a project or a namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Parent>,
    /// The project of a namespace, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<Parent>,
    /// Whose a cluster or project says it is: the value of the label or annotation that the integration's `resourceOwner` names. Whether that is believed is said when a grant is judged. At most 253 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub owner: Option<String>,
    /// One of `Available`, `Unavailable`, `Removing`, `Removed`.
    pub state: ResourceState,
    /// Whether an Allow policy of this integration that is not suspended covers it: by name or labels, and with `allowPrivileged` where it is Rancher's own cluster, a System project, or a namespace of Kubernetes or Rancher. Who may ask, and what a Deny policy refuses, is said when a grant is judged.
    pub offered: bool,
}

/// What something belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its id in Rancher. Example: `c-m-abc12def`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID))]
    pub id: String,
    /// The name that Rancher shows, in one line of at most 253 bytes; the id where it has none. Example: `Production`.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub display_name: String,
}

/// What kind of thing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ResourceKind {
    /// A cluster.
    Cluster,
    /// A project of a cluster.
    Project,
    /// A namespace of a cluster.
    Namespace,
    /// A role template for clusters.
    ClusterRole,
    /// A role template for projects.
    ProjectRole,
    /// A role in Rancher as a whole.
    GlobalRole,
}

impl ResourceKind {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Project, Self::Namespace, Self::ClusterRole, Self::ProjectRole, Self::GlobalRole];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Project => "Project",
            Self::Namespace => "Namespace",
            Self::ClusterRole => "ClusterRole",
            Self::ProjectRole => "ProjectRole",
            Self::GlobalRole => "GlobalRole",
        }
    }
}

/// How it stands in Rancher. More may be added: programs must tolerate what they do not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ResourceState {
    /// It is there.
    Available,
    /// A cluster that Rancher does not reach at present. What is on it keeps its own state.
    Unavailable,
    /// It is being deleted.
    Removing,
    /// It is gone, and a grant that is not settled still uses it: this object goes when none does.
    Removed,
}
