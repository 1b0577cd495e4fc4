//! `AccessPolicy`: who may ask for what, for how long.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    approval::Approval,
    reference::{Identity, ObjectReference},
    schema,
};

/// Who may ask for what. Written by the platform team.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "rancheraccess.io",
    version = "v1alpha1",
    kind = "AccessPolicy",
    plural = "accesspolicies",
    shortname = "apol",
    category = "rancheraccess",
    derive = "PartialEq",
    doc = "An AccessPolicy says who may ask for what access on one Rancher server, for how long, and how many approvals that takes. Without a policy that allows it, no grant is given.",
    printcolumn(name = "Integration", type_ = "string", json_path = ".spec.integrationRef.name"),
    printcolumn(name = "Effect", type_ = "string", json_path = ".spec.effect"),
    printcolumn(name = "Max", type_ = "string", json_path = ".spec.duration.max"),
    printcolumn(name = "Approvals", type_ = "integer", json_path = ".spec.approval.required"),
    printcolumn(name = "Privileged", type_ = "boolean", json_path = ".spec.allowPrivileged", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self.effect == 'Allow' || !has(self.requesters) || !self.requesters.exists(r, r.kind == 'Group')")
        .message("requesters of a Require or Deny policy may not be groups, for whoever asks chooses which of his groups he names: name users or ServiceAccounts, or leave it empty for everybody")
        .field_path(".requesters")
)]
#[x_kube(
    validation = Rule::new("self.effect != 'Allow' || !has(self.access) || !self.access.exists(a, [has(a.cluster) ? a.cluster.roles : [], has(a.project) ? a.project.roles : [], has(a.__namespace__) ? a.__namespace__.roles : [], has(a.global) ? a.global.roles : []].exists(roles, roles.exists(role, role.contains('*'))))")
        .message("roles of an Allow policy are compared exactly: * is for Require and Deny")
        .field_path(".access")
)]
#[x_kube(
    validation = Rule::new("self.effect != 'Allow' || !has(self.requesters) || !self.requesters.exists(r, r.kind == 'ServiceAccount' || r.name.startsWith('system:serviceaccount')) || ((!has(self.namespaceSelector.matchLabels) || self.namespaceSelector.matchLabels.all(key, key == 'kubernetes.io/metadata.name')) && (!has(self.namespaceSelector.matchExpressions) || self.namespaceSelector.matchExpressions.all(e, e.key == 'kubernetes.io/metadata.name' && e.operator == 'In')))")
        .message("namespaceSelector must name namespaces by kubernetes.io/metadata.name alone where a ServiceAccount may ask: other labels are whoever's may write them")
        .field_path(".namespaceSelector")
)]
#[x_kube(
    validation = Rule::new("self.effect != 'Deny' || self.approval.required == 0")
        .message("a Deny policy asks for no approvals: it refuses").field_path(".approval")
)]
#[serde(rename_all = "camelCase")]
pub struct AccessPolicySpec {
    /// `Allow`: what this policy describes may be granted; such policies add up, like RBAC. `Require`: its approval and its
    /// limits hold besides for every grant that it matches. `Deny`: what it matches is refused, whatever allows it. To
    /// `Require` and `Deny`, what is left out matches everything: an empty selector or list means all.
    #[serde(default)]
    pub effect: Effect,
    /// The integration whose server this policy is about. A policy is about one server.
    pub integration_ref: ObjectReference,
    /// Namespaces that grants may live in, by their labels. An empty selector selects nothing; for `Require` and `Deny`, everything.
    pub namespace_selector: Selector,
    /// Who may ask: at most 64 users, groups or ServiceAccounts. An empty list allows nobody; for `Require` and `Deny` it
    /// means everybody, and groups may not be named there, for whoever asks chooses which of his groups he names.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub requesters: Vec<Identity>,
    /// Whom the access may be for. Default: the requester alone. `Require` and `Deny` match by `users`, `groups` and `localUsers`, and everybody where all are empty.
    #[serde(default)]
    pub subjects: Subjects,
    /// What may be asked for: at most 64 entries. An empty list allows nothing. `Require` and `Deny` match a grant where one entry covers one of its targets; an empty list means everything.
    #[serde(default)]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub access: Vec<AccessRule>,
    /// True: also roles that can write bindings or roles, impersonate, or do anything; the cluster Rancher runs on;
    /// System projects and the namespaces of Kubernetes and Rancher; and the cluster where this operator runs. Think twice: whoever gets these can give himself more.
    #[serde(default)]
    pub allow_privileged: bool,
    /// How long access may last. Absent: up to 8h, and 1h where a grant does not say; for `Require`, no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Durations>,
    /// How far ahead a grant's start may lie. Go syntax. Absent: 168h; for `Require`, no limit. Example: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub max_ahead: Option<String>,
    /// How many people must approve, and who may.
    #[serde(default)]
    pub approval: Approval,
    /// How many grants may be under way at a time. Default: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<GrantLimits>,
    /// True: a grant without a reason is not allowed.
    #[serde(default)]
    pub require_reason: bool,
    /// What becomes of access in force when this policy changes so that it would not allow it any more, or goes. For
    /// `Deny`: what becomes of access in force that it matches.
    #[serde(default)]
    pub on_policy_change: OnPolicyChange,
    /// True: this policy is not in force, as if it were not there.
    #[serde(default)]
    pub suspend: bool,
}

/// What becomes of access in force when a policy changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnPolicyChange {
    /// It stays until its end.
    #[default]
    Keep,
    /// It ends at once.
    Revoke,
}

/// What a policy does with the grants it matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Effect {
    /// It allows them.
    #[default]
    Allow,
    /// It demands more of them.
    Require,
    /// It refuses them.
    Deny,
}

/// Selects objects by their labels. Unlike elsewhere in Kubernetes, an empty selector selects nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// Labels that must be there with these values: at most 16.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    #[schemars(schema_with = "match_labels_schema")]
    pub match_labels: std::collections::BTreeMap<String, String>,
    /// Requirements that must hold besides: at most 16.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<Requirement>,
}

impl Selector {
    /// Whether it says nothing, and so selects nothing.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
}

/// The same, as Kubernetes has it.
impl From<&Selector> for LabelSelector {
    fn from(selector: &Selector) -> Self {
        Self {
            match_labels: Some(selector.match_labels.clone()),
            match_expressions: Some(
                selector
                    .match_expressions
                    .iter()
                    .map(|r| k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement {
                        key: r.key.clone(),
                        operator: format!("{:?}", r.operator),
                        values: (!r.values.is_empty()).then(|| r.values.clone()),
                    })
                    .collect(),
            ),
        }
    }
}

fn match_labels_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)")
    .message("values must be given for In and NotIn, and may not be specified for Exists and DoesNotExist"))]
pub struct Requirement {
    /// The label's key. Example: `env`.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::TEXT))]
    pub key: String,
    /// One of `In`, `NotIn`, `Exists`, `DoesNotExist`.
    pub operator: Operator,
    /// Values for `In` and `NotIn`: at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// How a label is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is not there, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
}

/// Whom access may be for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subjects {
    /// True: the requester himself, by his own name in Kubernetes.
    #[serde(default = "yes", rename = "self")]
    pub self_: bool,
    /// Other users: Rancher user ids or principals; `*` stands for any run of characters. At most 64. Example: `okta_user://ext-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512), regex(pattern = schema::TEXT)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub users: Vec<String>,
    /// Groups: principals; `*` stands for any run of characters. At most 64. Example: `okta_group://web-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512), regex(pattern = schema::TEXT)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub groups: Vec<String>,
    /// Local users of Rancher that may be made: the usernames that grants ask for in `subject.localUser`; `*` stands for any
    /// run of characters. At most 64. Whoever asks gets the password: name only what shared credentials are meant for. Example: `deploy-*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63), regex(pattern = schema::LABEL_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub local_users: Vec<String>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { self_: true, users: Vec::new(), groups: Vec::new(), local_users: Vec::new() }
    }
}

fn yes() -> bool {
    true
}

/// One thing that may be asked for: roles on clusters, on projects, in namespaces, or in Rancher as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("[has(self.cluster), has(self.project), has(self.__namespace__), has(self.global)].filter(x, x).size() == 1")
    .message("must set exactly one of cluster, project, namespace and global"))]
pub struct AccessRule {
    /// Roles on clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterRule>,
    /// Roles on projects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectRule>,
    /// Roles in namespaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceRule>,
    /// Roles in Rancher as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global: Option<GlobalRule>,
}

/// Roles on clusters. A cluster is meant by `names` or by `selector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ClusterRule {
    /// Ids of clusters; `*` stands for any run of characters. At most 64. Example: `c-m-abc12def`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub names: Vec<String>,
    /// Clusters by the labels of their Rancher cluster object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Ids of role templates, compared exactly (in `Require` and `Deny`, `*` stands for any run of characters): 1 to 64. Example: `cluster-member`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
}

/// Roles on projects. The cluster is meant by `clusters` or `clusterSelector`, the project by `names` or `selector`; both must be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProjectRule {
    /// Ids of clusters; `*` stands for any run of characters. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub clusters: Vec<String>,
    /// Clusters by the labels of their Rancher cluster object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_selector: Option<Selector>,
    /// Ids of projects; `*` stands for any run of characters. At most 64. Example: `p-x7k2m`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub names: Vec<String>,
    /// Projects by the labels of their Rancher project object. Whoever manages a project may set these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<Selector>,
    /// Ids of role templates, compared exactly (in `Require` and `Deny`, `*` stands for any run of characters): 1 to 64. Example: `project-member`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
}

/// Roles in namespaces, by name alone: whoever works on a cluster can set a namespace's labels, and its project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct NamespaceRule {
    /// Ids of clusters; `*` stands for any run of characters. 1 to 64. Example: `c-m-abc12def`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub clusters: Vec<String>,
    /// Names of namespaces; `*` stands for any run of characters. 1 to 64. Example: `web-*`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 63), regex(pattern = schema::LABEL_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub names: Vec<String>,
    /// Names of ClusterRoles on these clusters, compared exactly: 1 to 64. Example: `edit`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
}

/// Roles in Rancher as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct GlobalRule {
    /// Ids of global roles, compared exactly: 1 to 64. Example: `user-base`.
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 253), regex(pattern = schema::RANCHER_ID_PATTERN)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub roles: Vec<String>,
}

/// How long access may last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("duration(self.default) > duration('0s') && duration(self.max) > duration('0s')")
    .message("default and max must be longer than 0s"))]
#[x_kube(validation = Rule::new("duration(self.default) <= duration(self.max)")
    .message("default may not be longer than max"))]
#[x_kube(validation = Rule::new("!has(self.maxContinuous) || duration(self.maxContinuous) >= duration(self.max)")
    .message("maxContinuous may not be shorter than max"))]
#[serde(rename_all = "camelCase")]
pub struct Durations {
    /// For grants that name neither a duration nor an end. Go syntax; hours, minutes, seconds. Example: `1h`.
    #[serde(default = "one_hour")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub default: String,
    /// The longest that a grant may ask for. Example: `8h`.
    #[serde(default = "eight_hours")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub max: String,
    /// The longest that the same access may last through grants that follow each other with less than 15 minutes
    /// between them, extensions among them. Default: no limit. Example: `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub max_continuous: Option<String>,
}

impl Default for Durations {
    fn default() -> Self {
        Self { default: one_hour(), max: eight_hours(), max_continuous: None }
    }
}

fn one_hour() -> String {
    "1h".to_owned()
}

fn eight_hours() -> String {
    "8h".to_owned()
}

/// How many grants may be under way at a time: those that this policy allowed and that are not finished, whether they
/// wait for approval, for their start, or have access. One that is over a limit waits. The grant that another one extends
/// does not count beside that other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantLimits {
    /// In each namespace: 1 to 10000. Example: `20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub per_namespace: Option<i32>,
    /// For each requester, by user name: 1 to 10000. Example: `3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub per_requester: Option<i32>,
}
