//! What is kept of one thing in Rancher: little, for there may be ten thousand.

use std::{collections::BTreeMap, fmt::Debug};

use kube::api::{ApiResource, GroupVersionKind};
use serde::de::DeserializeOwned;

use super::name::Key;
use crate::{
    api::{
        LABEL_INSTALLATION,
        condition::one_line,
        resource::{ResourceKind, ResourceState},
    },
    policy::{is_system_namespace, said_owner},
    rancher::wire::{Cluster, GlobalRole, Namespace, ObjectMeta, Project, RoleTemplate},
};

/// Longest name of something, in bytes; as in the schema.
const NAME_MAX: usize = 253;

/// One thing in Rancher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub kind: ResourceKind,
    pub id: String,
    /// The cluster of a project or namespace; empty for all else.
    pub cluster: String,
    pub display_name: String,
    /// The project of a namespace.
    pub project: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub owner: Option<String>,
    pub state: ResourceState,
    /// Whether it takes `allowPrivileged`, whatever the role.
    pub guarded: bool,
    /// It is there, and cannot be asked for: a role that is hidden or locked.
    pub withheld: bool,
}

impl Record {
    fn new(kind: ResourceKind, meta: ObjectMeta, display_name: &str) -> Self {
        let state = if meta.is_terminating() { ResourceState::Removing } else { ResourceState::Available };
        let display_name = shown(display_name, &meta.name);
        Self {
            kind,
            id: meta.name,
            cluster: String::new(),
            display_name,
            project: None,
            labels: meta.labels,
            owner: None,
            state,
            guarded: false,
            withheld: false,
        }
    }

    pub(super) fn key(&self) -> Key<'_> {
        Key { kind: self.kind, cluster: &self.cluster, id: &self.id }
    }
}

/// A name as status may show it: in one line, not too long; the id where nothing is left of it.
fn shown(display_name: &str, id: &str) -> String {
    let line = one_line(display_name.trim(), NAME_MAX);
    if line.trim().is_empty() { id.to_owned() } else { line }
}

/// A kind of Rancher's objects that is mirrored.
pub(super) trait Mirrored: DeserializeOwned + Clone + Debug + Send + 'static {
    fn resource() -> ApiResource;

    /// What an object of that name may be mirrored as. `place` is the namespace that it is in; of a namespace, its cluster.
    fn keys<'a>(place: &'a str, name: &'a str) -> Vec<Key<'a>>;

    /// What is kept of it; `None` where it is nothing that can be asked for. `owner` is the key of the label or annotation
    /// that says whose it is.
    fn record(self, owner: Option<&str>) -> Option<Record>;
}

fn management(kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("management.cattle.io", "v3", kind), plural)
}

fn owner_in(meta: &ObjectMeta, key: Option<&str>) -> Option<String> {
    said_owner(key?, &meta.labels, &meta.annotations).ok().map(|(_, value)| value.to_owned())
}

impl Mirrored for Cluster {
    fn resource() -> ApiResource {
        management("Cluster", "clusters")
    }

    fn keys<'a>(_: &'a str, name: &'a str) -> Vec<Key<'a>> {
        vec![Key::cluster(name)]
    }

    fn record(self, owner: Option<&str>) -> Option<Record> {
        let (owner, reachable) = (owner_in(&self.meta, owner), self.is_reachable());
        let record = Record::new(ResourceKind::Cluster, self.meta, &self.display_name);
        let state = match record.state {
            ResourceState::Available if !reachable => ResourceState::Unavailable,
            state => state,
        };
        Some(Record { owner, state, guarded: self.is_local, ..record })
    }
}

impl Mirrored for Project {
    fn resource() -> ApiResource {
        management("Project", "projects")
    }

    fn keys<'a>(namespace: &'a str, name: &'a str) -> Vec<Key<'a>> {
        vec![Key::project(namespace, name)]
    }

    fn record(self, owner: Option<&str>) -> Option<Record> {
        let (owner, cluster) = (owner_in(&self.meta, owner), self.meta.namespace.clone());
        let record = Record::new(ResourceKind::Project, self.meta, &self.display_name);
        (!cluster.is_empty()).then_some(Record { owner, cluster, guarded: self.is_system, ..record })
    }
}

impl Mirrored for RoleTemplate {
    fn resource() -> ApiResource {
        management("RoleTemplate", "roletemplates")
    }

    fn keys<'a>(_: &'a str, name: &'a str) -> Vec<Key<'a>> {
        [ResourceKind::ClusterRole, ResourceKind::ProjectRole].map(|kind| Key::role(kind, name)).into()
    }

    fn record(self, _: Option<&str>) -> Option<Record> {
        let kind = match self.context.as_str() {
            "cluster" => ResourceKind::ClusterRole,
            "project" => ResourceKind::ProjectRole,
            // Only other roles inherit it.
            _ => return None,
        };
        // The operator's own gives membership of a cluster and nothing else.
        let withheld = self.hidden || self.locked || self.meta.labels.contains_key(LABEL_INSTALLATION);
        let record = Record::new(kind, self.meta, &self.display_name);
        Some(Record { withheld, labels: BTreeMap::new(), ..record })
    }
}

impl Mirrored for GlobalRole {
    fn resource() -> ApiResource {
        management("GlobalRole", "globalroles")
    }

    fn keys<'a>(_: &'a str, name: &'a str) -> Vec<Key<'a>> {
        vec![Key::role(ResourceKind::GlobalRole, name)]
    }

    fn record(self, _: Option<&str>) -> Option<Record> {
        let record = Record::new(ResourceKind::GlobalRole, self.meta, &self.display_name);
        Some(Record { labels: BTreeMap::new(), ..record })
    }
}

/// A namespace says nothing of its cluster: see [`in_cluster`].
impl Mirrored for Namespace {
    fn resource() -> ApiResource {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Namespace"), "namespaces")
    }

    fn keys<'a>(cluster: &'a str, name: &'a str) -> Vec<Key<'a>> {
        vec![Key::namespace(cluster, name)]
    }

    fn record(self, _: Option<&str>) -> Option<Record> {
        let (project, guarded) = (self.project().map(str::to_owned), is_system_namespace(&self.meta.name, &[]));
        let record = Record::new(ResourceKind::Namespace, self.meta, "");
        Some(Record { project, guarded, labels: BTreeMap::new(), ..record })
    }
}

/// What is kept of a namespace of that cluster: a project of another one is none of it.
pub(super) fn in_cluster(record: Record, cluster: &str) -> Record {
    let project = record.project.as_deref().and_then(|project| project.split_once(':'));
    let project = project.filter(|(of, _)| *of == cluster).map(|(_, id)| id.to_owned());
    Record { project, cluster: cluster.to_owned(), ..record }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn read<T: Mirrored>(object: Value) -> Option<Record> {
        serde_json::from_value::<T>(object).unwrap().record(Some("team"))
    }

    #[test]
    fn a_cluster_says_how_it_stands() {
        let ready = json!([{"type": "Ready", "status": "True"}]);
        let cluster = |meta: Value, conditions: &Value| {
            let object =
                json!({"metadata": meta, "spec": {"displayName": "Prod"}, "status": {"conditions": conditions}});
            read::<Cluster>(object).unwrap()
        };
        let record = cluster(json!({"name": "c-1", "annotations": {"team": "web"}, "labels": {"env": "prod"}}), &ready);
        assert_eq!(
            (record.state, record.owner.as_deref(), record.guarded),
            (ResourceState::Available, Some("web"), false)
        );
        assert_eq!(record.labels.get("env").map(String::as_str), Some("prod"));
        assert_eq!(cluster(json!({"name": "c-1"}), &json!([])).state, ResourceState::Unavailable);
        let going = json!({"name": "c-1", "deletionTimestamp": "2026-06-01T12:00:00Z"});
        assert_eq!(cluster(going, &json!([])).state, ResourceState::Removing);
        assert!(cluster(json!({"name": "local"}), &ready).guarded);
    }

    #[test]
    fn a_role_that_nobody_may_bind_is_withheld() {
        let role = |more: Value| {
            let mut object = json!({"metadata": {"name": "r"}, "context": "cluster", "displayName": "R"});
            object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            read::<RoleTemplate>(object)
        };
        let plain = role(json!({})).unwrap();
        assert_eq!((plain.kind, plain.withheld, plain.display_name.as_str()), (ResourceKind::ClusterRole, false, "R"));
        assert_eq!(role(json!({"context": "project"})).unwrap().kind, ResourceKind::ProjectRole);
        assert!(role(json!({"hidden": true})).unwrap().withheld);
        assert!(role(json!({"locked": true})).unwrap().withheld);
        assert!(role(json!({"metadata": {"name": "r", "labels": {LABEL_INSTALLATION: "x"}}})).unwrap().withheld);
        assert_eq!(role(json!({"context": ""})), None);
    }

    #[test]
    fn a_namespace_is_in_a_project_of_its_own_cluster_alone() {
        let namespace = |project: &str| {
            let meta = json!({"name": "web", "annotations": {"field.cattle.io/projectId": project}});
            in_cluster(read::<Namespace>(json!({"metadata": meta})).unwrap(), "c-1")
        };
        assert_eq!(namespace("c-1:p-1").project.as_deref(), Some("p-1"));
        assert_eq!((namespace("c-2:p-1").project, namespace("p-1").project), (None, None));
        assert_eq!((namespace("").cluster.as_str(), namespace("").display_name.as_str()), ("c-1", "web"));
        let system = read::<Namespace>(json!({"metadata": {"name": "kube-system"}})).unwrap();
        assert!(system.guarded && !namespace("").guarded);
    }

    proptest! {
        #[test]
        fn whatever_people_call_it_can_be_shown(name in prop_oneof!["\\PC{0,300}", "[\\u{202e}\\u{0}\\n a]{0,9}", "ü{100,300}"]) {
            let shown = shown(&name, "p-1");
            prop_assert!(!shown.trim().is_empty() && shown.len() <= NAME_MAX, "{shown:?}");
            prop_assert_eq!(one_line(&shown, usize::MAX), shown);
        }
    }
}
