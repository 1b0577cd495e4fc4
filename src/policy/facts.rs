//! What Rancher said of the things that a grant names.

use std::collections::BTreeMap;

/// All that must be known to judge a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// One for each `spec.access`, in the same order.
    pub targets: Vec<TargetFacts>,
    /// The subject, resolved in Rancher.
    pub subject: SubjectFacts,
}

/// One role on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetFacts {
    /// The cluster, or that of the project or namespace; `None` for Rancher as a whole.
    pub cluster: Option<ClusterFacts>,
    /// The project, for a role on a project.
    pub project: Option<ProjectFacts>,
    /// The namespace, for a role in a namespace.
    pub namespace: Option<NamespaceFacts>,
    /// The role.
    pub role: RoleFacts,
}

/// A cluster in Rancher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Its id: `metadata.name`.
    pub id: String,
    /// The UID of its Rancher object.
    pub uid: String,
    /// The name that people see. Not unique.
    pub display_name: String,
    /// The labels of its Rancher object.
    pub labels: BTreeMap<String, String>,
    /// The annotations of its Rancher object.
    pub annotations: BTreeMap<String, String>,
    /// Whether Rancher itself runs on it.
    pub hosts_rancher: bool,
    /// Whether this operator runs on it.
    pub hosts_operator: bool,
}

/// A project in Rancher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectFacts {
    /// Its id, without its cluster: `metadata.name`.
    pub id: String,
    /// The UID of its Rancher object.
    pub uid: String,
    /// The name that people see. Not unique.
    pub display_name: String,
    /// The labels of its Rancher object.
    pub labels: BTreeMap<String, String>,
    /// The annotations of its Rancher object.
    pub annotations: BTreeMap<String, String>,
    /// Whether it is the System project of its cluster.
    pub system: bool,
}

/// A namespace of a cluster. The project that it says it belongs to decides nothing: whoever works there can say so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Its name.
    pub name: String,
    /// Its UID: one of the same name made later is another.
    pub uid: String,
    /// Whether Kubernetes' or Rancher's own parts run in it: see [`super::is_system_namespace`].
    pub system: bool,
}

/// A role: a role template or global role of Rancher, or a ClusterRole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleFacts {
    /// Its id: `metadata.name`.
    pub id: String,
    /// The rule that makes it privileged, in words, from [`super::privilege::privileged_rule`].
    pub privileged: Option<String>,
}

/// The subject, resolved in Rancher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectFacts {
    /// Id of the Rancher user, where there is one.
    pub user_id: Option<String>,
    /// All principals of the user that Rancher knows.
    pub principals: Vec<String>,
    /// The group's principal, for a group.
    pub group: Option<String>,
}
