use std::collections::BTreeMap;

use serde::Deserialize;

use super::{ObjectMeta, filled, nullable};

/// One of an object's conditions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Its type, for example `Ready`.
    #[serde(rename = "type", deserialize_with = "nullable")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(deserialize_with = "nullable")]
    pub status: String,
    /// For people.
    #[serde(deserialize_with = "nullable")]
    pub message: String,
}

/// A cluster that Rancher manages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "RawCluster")]
pub struct Cluster {
    /// Its metadata; the name is the cluster's id.
    pub meta: ObjectMeta,
    /// The name people see. Not unique.
    pub display_name: String,
    /// Whether it is the cluster Rancher itself runs in.
    pub is_local: bool,
    /// The namespace on Rancher's own cluster where Fleet keeps what belongs to it.
    pub fleet_workspace: Option<String>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
}

impl Cluster {
    /// Whether it is usable now: `Ready`, and not known to be disconnected (the local cluster has no `Connected`).
    pub fn is_reachable(&self) -> bool {
        let status = |kind: &str| self.conditions.iter().find(|c| c.kind == kind).map(|c| c.status.as_str());
        status("Ready") == Some("True") && matches!(status("Connected"), None | Some("True"))
    }
}

#[derive(Deserialize)]
struct RawCluster {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    spec: ClusterSpec,
    #[serde(default, deserialize_with = "nullable")]
    status: ClusterStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClusterSpec {
    #[serde(deserialize_with = "nullable")]
    display_name: String,
    #[serde(deserialize_with = "nullable")]
    internal: bool,
    #[serde(deserialize_with = "filled")]
    fleet_workspace_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClusterStatus {
    #[serde(deserialize_with = "nullable")]
    conditions: Vec<Condition>,
}

impl From<RawCluster> for Cluster {
    fn from(raw: RawCluster) -> Self {
        Self {
            is_local: raw.spec.internal || raw.metadata.name == "local",
            meta: raw.metadata,
            display_name: raw.spec.display_name,
            fleet_workspace: raw.spec.fleet_workspace_name,
            conditions: raw.status.conditions,
        }
    }
}

/// A project of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "RawProject")]
pub struct Project {
    /// Its metadata; the name is the project's id, the namespace its cluster's id.
    pub meta: ObjectMeta,
    /// The name people see. Not unique.
    pub display_name: String,
    /// Its cluster's id.
    pub cluster: String,
    /// The namespace on Rancher's own cluster where its bindings live: `status.backingNamespace`, else its own name (Rancher
    /// before 2.9.9, 2.10.5 and 2.11.1). A binding in another namespace is accepted, gives access, and is never cleaned up.
    pub backing_namespace: String,
    /// Whether it is the cluster's System project.
    pub is_system: bool,
}

#[derive(Deserialize)]
struct RawProject {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    spec: ProjectSpec,
    #[serde(default, deserialize_with = "nullable")]
    status: ProjectStatus,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProjectSpec {
    #[serde(deserialize_with = "nullable")]
    display_name: String,
    #[serde(deserialize_with = "filled")]
    cluster_name: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ProjectStatus {
    #[serde(deserialize_with = "filled")]
    backing_namespace: Option<String>,
}

impl From<RawProject> for Project {
    fn from(raw: RawProject) -> Self {
        let marked = |map: &BTreeMap<String, String>| {
            map.get("authz.management.cattle.io/system-project").is_some_and(|v| v == "true")
        };
        Self {
            is_system: marked(&raw.metadata.labels) || marked(&raw.metadata.annotations),
            display_name: raw.spec.display_name,
            cluster: raw.spec.cluster_name.unwrap_or_else(|| raw.metadata.namespace.clone()),
            backing_namespace: raw.status.backing_namespace.unwrap_or_else(|| raw.metadata.name.clone()),
            meta: raw.metadata,
        }
    }
}

/// A role that bindings refer to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleTemplate {
    /// Its metadata; the name is the role's id.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// The name people see.
    #[serde(default, deserialize_with = "nullable")]
    pub display_name: String,
    /// `cluster` or `project`; empty for a role only others inherit.
    #[serde(default, deserialize_with = "nullable")]
    pub context: String,
    /// What it allows by itself.
    #[serde(default, deserialize_with = "nullable")]
    pub rules: Vec<PolicyRule>,
    /// The roles it inherits.
    #[serde(default, deserialize_with = "nullable")]
    pub role_template_names: Vec<String>,
    /// Whether its rules are those of a ClusterRole of its name on the downstream cluster, which `rules` does not show.
    #[serde(default, deserialize_with = "nullable")]
    pub external: bool,
    /// What an external role allows, where Rancher was told; `None` where only the downstream cluster knows.
    #[serde(default)]
    pub external_rules: Option<Vec<PolicyRule>>,
    /// Whether it may not be bound.
    #[serde(default, deserialize_with = "nullable")]
    pub locked: bool,
    /// Whether Rancher's UI hides it.
    #[serde(default, deserialize_with = "nullable")]
    pub hidden: bool,
    /// Whether it gives administration of its context.
    #[serde(default, deserialize_with = "nullable")]
    pub administrative: bool,
    /// Whether Rancher ships it.
    #[serde(default, deserialize_with = "nullable")]
    pub builtin: bool,
}

/// A namespace of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Namespace {
    /// Its metadata.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
}

impl Namespace {
    /// The project that it says it is in, `<cluster>:<project>`. Whoever works on the cluster can write that.
    pub fn project(&self) -> Option<&str> {
        self.meta.annotations.get("field.cattle.io/projectId").map(String::as_str)
    }
}

/// A role in Rancher as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GlobalRole {
    /// Its metadata; the name is the role's id.
    #[serde(rename = "metadata")]
    pub meta: ObjectMeta,
    /// The name people see.
    #[serde(default, deserialize_with = "nullable")]
    pub display_name: String,
    /// What it allows on Rancher's own cluster.
    #[serde(default, deserialize_with = "nullable")]
    pub rules: Vec<PolicyRule>,
    /// What it allows in single namespaces of Rancher's own cluster.
    #[serde(default, deserialize_with = "nullable")]
    pub namespaced_rules: BTreeMap<String, Vec<PolicyRule>>,
    /// Ids of role templates that it gives on every cluster but Rancher's own.
    #[serde(default, deserialize_with = "nullable")]
    pub inherited_cluster_roles: Vec<String>,
    /// What it allows in single namespaces of every cluster but Rancher's own (Rancher 2.15 and later).
    #[serde(default, deserialize_with = "nullable")]
    pub inherited_namespaced_rules: BTreeMap<String, Vec<PolicyRule>>,
    /// What it allows in every workspace of Fleet but `fleet-local`.
    #[serde(default, deserialize_with = "nullable")]
    pub inherited_fleet_workspace_permissions: FleetPermissions,
    /// Whether Rancher gives it to everybody at the first login.
    #[serde(default, deserialize_with = "nullable")]
    pub new_user_default: bool,
}

/// What a global role allows in the workspaces of Fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FleetPermissions {
    /// On what is in them.
    #[serde(deserialize_with = "nullable")]
    pub resource_rules: Vec<PolicyRule>,
    /// On the workspaces themselves.
    #[serde(deserialize_with = "nullable")]
    pub workspace_verbs: Vec<String>,
}

impl GlobalRole {
    /// Whether Rancher makes its holder `cluster-admin` of every cluster: `admin` itself, or a role with all verbs on
    /// everything and on every path (`IsAdminGlobalRole`, Rancher 2.11 to 2.15; before 2.11.6 and 2.12.2 not always).
    pub fn is_admin(&self) -> bool {
        let all = |list: &[String]| list.iter().any(|entry| entry == "*");
        let everything = |rule: &PolicyRule| all(&rule.api_groups) && all(&rule.resources) && all(&rule.verbs);
        let paths = |rule: &PolicyRule| all(&rule.non_resource_urls) && all(&rule.verbs);
        self.meta.name == "admin" || self.rules.iter().any(everything) && self.rules.iter().any(paths)
    }

    /// Whether Rancher makes something for it on every cluster.
    pub fn reaches_clusters(&self) -> bool {
        self.is_admin() || !self.inherited_namespaced_rules.is_empty()
    }

    /// All that it says itself, each part where it holds: whatever is printed of it, another role prints something else.
    pub fn own_parts(&self) -> impl std::fmt::Debug + '_ {
        (
            &self.rules,
            &self.namespaced_rules,
            &self.inherited_cluster_roles,
            &self.inherited_namespaced_rules,
            &self.inherited_fleet_workspace_permissions,
        )
    }

    /// All rules that it names itself, wherever they hold.
    pub fn all_rules(&self) -> impl Iterator<Item = &PolicyRule> {
        let fleet = &self.inherited_fleet_workspace_permissions.resource_rules;
        let namespaced = self.namespaced_rules.values().chain(self.inherited_namespaced_rules.values());
        self.rules.iter().chain(namespaced.flatten()).chain(fleet)
    }
}

/// One rule of a role, as Kubernetes writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PolicyRule {
    /// The verbs.
    #[serde(deserialize_with = "nullable")]
    pub verbs: Vec<String>,
    /// The API groups.
    #[serde(deserialize_with = "nullable")]
    pub api_groups: Vec<String>,
    /// The resources, `a/b` for subresources.
    #[serde(deserialize_with = "nullable")]
    pub resources: Vec<String>,
    /// The names it is limited to; empty: all.
    #[serde(deserialize_with = "nullable")]
    pub resource_names: Vec<String>,
    /// Paths that are no resources.
    #[serde(rename = "nonResourceURLs", deserialize_with = "nullable")]
    pub non_resource_urls: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_namespace_is_its_backing_one_else_its_own() {
        let read = |json: &str| serde_json::from_str::<Project>(json).unwrap();
        let new = read(
            r#"{"metadata":{"name":"p-1","namespace":"c-1"},"spec":{"clusterName":"c-1"},"status":{"backingNamespace":"c-1-p-1"}}"#,
        );
        assert_eq!(new.backing_namespace, "c-1-p-1");
        for old in [r#"{"backingNamespace":""}"#, "{}", "null"] {
            let json = format!(
                r#"{{"metadata":{{"name":"p-1","namespace":"c-1","labels":{{"authz.management.cattle.io/system-project":"true"}}}},"status":{old}}}"#
            );
            let old = read(&json);
            assert_eq!((old.backing_namespace.as_str(), old.cluster.as_str(), old.is_system), ("p-1", "c-1", true));
        }
    }

    #[test]
    fn a_cluster_is_reachable_only_by_its_own_word() {
        let read = |conditions: &str| {
            let json = format!(
                r#"{{"metadata":{{"name":"c-1"}},"spec":{{"displayName":"Prod"}},"status":{{"conditions":{conditions}}}}}"#
            );
            serde_json::from_str::<Cluster>(&json).unwrap()
        };
        assert!(read(r#"[{"type":"Ready","status":"True"},{"type":"Connected","status":"True"}]"#).is_reachable());
        assert!(read(r#"[{"type":"Ready","status":"True"}]"#).is_reachable());
        for not in [r#"[{"type":"Ready","status":"True"},{"type":"Connected","status":"False"}]"#, "[]", "null"] {
            assert!(!read(not).is_reachable(), "{not}");
        }
    }

    #[test]
    fn rules_of_a_wrong_type_are_no_empty_rules() {
        let read = |rules: &str| {
            serde_json::from_str::<RoleTemplate>(&format!(r#"{{"metadata":{{"name":"r"}},"rules":{rules}}}"#))
        };
        assert!(read(r#"[{"verbs":["*"],"nonResourceURLs":["*"],"apiGroups":null}]"#).is_ok());
        assert!(read("null").is_ok());
        assert!(read(r#""*""#).is_err());
        assert!(read(r#"[{"verbs":"*"}]"#).is_err());
    }
}
