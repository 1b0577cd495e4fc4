//! What Rancher said of the things that a grant names.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

/// All that must be known to judge a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// One for each `spec.access`, in the same order.
    pub targets: Vec<TargetFacts>,
    /// The subject, resolved in Rancher.
    pub subject: SubjectFacts,
    /// How long the same access has lasted already; `None` where that is not asked.
    pub continuous: Option<Continuous>,
}

/// How long a pause must be for what follows it not to count as going on: see [`Continuous`].
pub const PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// Since when the same access has lasted through grants that follow each other with less than [`PAUSE`] between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Continuous {
    /// Since when; no later than `begin`.
    pub since: Timestamp,
    /// When the access of the grant that is judged would begin.
    pub begin: Timestamp,
}

impl Continuous {
    /// For access that would begin then, after access that lasted through these windows.
    pub fn of(begin: Timestamp, windows: impl IntoIterator<Item = (Timestamp, Timestamp)>) -> Self {
        let reaches = |end: Timestamp| begin.duration_since(end) < PAUSE;
        let before = windows.into_iter().filter(|(_, end)| reaches(*end)).map(|(since, _)| since);
        Self { since: before.min().map_or(begin, |since| since.min(begin)), begin }
    }
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
    /// The name that Rancher shows; empty where it has none.
    pub display_name: String,
    /// Stands for its rules, with all that it inherits.
    pub fingerprint: String,
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
