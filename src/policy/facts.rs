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
    /// The cluster, or the project's cluster.
    pub cluster: ClusterFacts,
    /// The project, for a role on a project.
    pub project: Option<ProjectFacts>,
    /// The role.
    pub role: RoleFacts,
}

/// A cluster in Rancher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFacts {
    /// Its id: `metadata.name`.
    pub id: String,
    /// The labels of its Rancher object.
    pub labels: BTreeMap<String, String>,
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
    /// The labels of its Rancher object.
    pub labels: BTreeMap<String, String>,
    /// Whether it is the System project of its cluster.
    pub system: bool,
}

/// A role template in Rancher.
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
