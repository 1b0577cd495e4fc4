//! `RancherIntegration`: one Rancher server: where, and with which key.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    condition::Condition,
    discovery::{Discovery, DiscoveryStatus},
    reference::{Identity, KeyReference, SecretReference},
    schema,
    user::{LeftoverToken, LeftoverTokens, UsersStatus},
};

/// One Rancher server that access can be granted on. Written by the platform team.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "rancheraccess.io",
    version = "v1alpha1",
    kind = "RancherIntegration",
    plural = "rancherintegrations",
    shortname = "rint",
    category = "rancheraccess",
    status = "RancherIntegrationStatus",
    derive = "PartialEq",
    doc = "A RancherIntegration registers one Rancher server: where it is, with which key the operator speaks to it, and how Kubernetes names map to Rancher's. Its name is what policies and grants refer to.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Host", type_ = "string", json_path = ".spec.host"),
    printcolumn(name = "Connector", type_ = "string", json_path = ".spec.connector"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.rancher.version"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Key-Expires", type_ = "string", json_path = ".status.key.expiresTime", priority = 1),
    printcolumn(
        name = "Status",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    )
)]
#[x_kube(
    validation = Rule::new("self.connector == oldSelf.connector")
        .message("connector is immutable: delete the integration and create it anew to move it to another operator")
        .field_path(".connector")
)]
#[x_kube(
    validation = Rule::new("(has(self.host) && self.host != '') == has(self.credentialsSecretRef)")
        .message("credentialsSecretRef is required with host, and may not be set without: a blank host means the Rancher in whose cluster this operator runs, without any key")
        .field_path(".credentialsSecretRef")
)]
#[x_kube(
    validation = Rule::new("(has(self.host) && self.host != '') || !has(self.certificateAuthority)")
        .message("may not be set without host: nothing is reached over the network then").field_path(".certificateAuthority")
)]
#[x_kube(
    validation = Rule::new("has(self.credentialsSecretRef) || !(has(self.apiKeyRotationDays) || has(self.rotateNow))")
        .message("apiKeyRotationDays and rotateNow need credentialsSecretRef: without a key there is none to replace")
        .field_path(".apiKeyRotationDays")
)]
#[x_kube(
    validation = Rule::new("has(self.credentialsSecretRef) || !has(self.leftoverTokens) || self.leftoverTokens == 'Report'")
        .message("leftoverTokens needs credentialsSecretRef: without a key no tokens are looked for")
        .field_path(".leftoverTokens")
)]
#[x_kube(
    validation = Rule::new("!has(self.resourceOwner) || (has(self.integrationOwner) && self.integrationOwner.size() > 0)")
        .message("resourceOwner needs integrationOwner: who approves where a cluster or project has no owner that is believed")
        .field_path(".resourceOwner")
)]
#[serde(rename_all = "camelCase")]
pub struct RancherIntegrationSpec {
    /// Name for people. At most 253 characters; may change. Example: `Production Rancher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::TEXT))]
    pub display_name: Option<String>,
    /// Which operator instance serves this integration: the one started with the same `--connector`. Immutable.
    #[serde(default = "default_connector")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::NAME))]
    pub connector: String,
    /// DNS name or IPv4 address of the Rancher server: no scheme, no port, no path. It must be the host that the
    /// Secret's `endpoint` names. Blank: the Rancher in whose own cluster this operator runs, without any key, by the
    /// operator's ServiceAccount, which needs the rights of `config/keyless`. May change. Example: `rancher.example.com`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253), regex(pattern = schema::HOST))]
    pub host: String,
    /// TCP port of the Rancher server, 1 to 65535. May change.
    #[serde(default = "default_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: i32,
    /// Certificates to trust besides the system's own. Verification is never skipped. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_authority: Option<CertificateAuthority>,
    /// Where people reach Rancher's pages; shown to users. Default: `https://host[:port]`. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = schema::HTTPS_URL))]
    pub ui_url: Option<String>,
    /// The Secret in the operator's namespace that holds `endpoint`, and `token` or `accessKey` and `secretKey`. The
    /// key is sent to the endpoint that this Secret names and nowhere else. Required with `host`, absent without. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret_ref: Option<SecretReference>,
    /// After how many days the operator replaces its own key: it makes a new one, proves that it works, writes it into the
    /// Secret and deletes the old one, which nobody else may use. 1 to 3650; absent: never. Needs `credentialsSecretRef`, and a
    /// Secret that nobody else keeps (External Secrets, Argo CD and the like: see the condition `KeyRotation`). May change. Example: `30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub api_key_rotation_days: Option<i32>,
    /// Replaces the key now, once for each value that is written here: a date or a ticket will do. At most 64 characters. May change. Example: `INC-4711`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::TEXT))]
    pub rotate_now: Option<String>,
    /// After how many days the password of a local user that the operator made is replaced, while access lasts. The Secret then
    /// holds the new one; sessions and tokens go on. 1 to 3650; absent: never. May change. Example: `30`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub credential_rotation_days: Option<i32>,
    /// How many days after its last access ended a local user that the operator made is deleted; until then he is disabled, and
    /// a new grant uses him again. The same for users that Rancher made because a grant bound a principal that it had never
    /// seen, if nobody ever logged in as them. Whoever holds anything by others is kept, and reported in the status. 1 to 3650;
    /// absent: nobody is deleted. May change. Example: `7`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3650))]
    pub user_cleanup_days: Option<i32>,
    /// How a Kubernetes user or group name becomes a Rancher principal. Without it, grants must name a Rancher user
    /// id or a principal. May change; grants in force keep what was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_mapping: Option<IdentityMapping>,
    /// What of this server is mirrored as `RancherResource` objects, for people to find what can be asked for. Absent:
    /// nothing; taken away again, the objects go. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Text shown in the status of every grant of this integration, at most 400 characters. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 400), regex(pattern = schema::TEXT))]
    pub custom_access_details: Option<String>,
    /// Who stands in where a cluster or project has no owner that is believed; and may revoke any grant on this server. At most 16 users, groups or ServiceAccounts. May change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub integration_owner: Vec<Identity>,
    /// What is done about API keys and kubeconfigs that somebody made in Rancher while a grant of this integration gave him
    /// access, once he has no access left there at all: `Report` says so, `Disable` and `Delete` do that to them. Login
    /// sessions are never touched. The last two need `credentialsSecretRef`; without a key nothing is looked for. May change.
    #[serde(default, skip_serializing_if = "LeftoverTokens::is_default")]
    pub leftover_tokens: LeftoverTokens,
    /// How a cluster or project in Rancher says whose it is: who approves as `ResourceOwner`. Needs `integrationOwner`. May change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_owner: Option<ResourceOwner>,
    /// True: nothing new is granted on this server. Revoking goes on. May change.
    #[serde(default)]
    pub suspend: bool,
}

/// How a cluster or project in Rancher says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
pub struct ResourceOwner {
    /// Key of a label or annotation on the Rancher cluster or project whose value names the owner as Kubernetes knows him, or by his Rancher user id. Example: `owner`.
    #[schemars(length(min = 1, max = 317), regex(pattern = schema::TEXT))]
    pub key: String,
    /// Whether the value names a `User` or a `Group`.
    pub kind: OwnerKind,
    /// How long a value must have stood before it is believed: whoever manages a cluster or project can write it. Go syntax; `0s` believes it at once. Example: `24h`.
    #[serde(default = "one_day")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub settle: String,
}

fn one_day() -> String {
    "24h".to_owned()
}

/// What kind of owner a label names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OwnerKind {
    /// A user.
    User,
    /// A group.
    Group,
}

/// Whose a cluster or project says it is, and since when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnerRecord {
    /// Id of the cluster, or `cluster:project`. Example: `c-m-abc12def:p-x7k2m`.
    #[schemars(length(max = 128), regex(pattern = schema::TEXT))]
    pub resource: String,
    /// The value of its label or annotation.
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub owner: String,
    /// Since when it stands so, as far as this operator has seen, in UTC.
    pub since: Time,
}

fn default_connector() -> String {
    "default".to_owned()
}

fn default_port() -> i32 {
    443
}

/// Where trusted certificates (PEM) stand: in a ConfigMap or in a Secret of the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.configMapRef) != has(self.secretRef)")
    .message("must set exactly one of configMapRef and secretRef"))]
pub struct CertificateAuthority {
    /// A key of a ConfigMap with PEM certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<KeyReference>,
    /// A key of a Secret with PEM certificates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<KeyReference>,
}

/// Templates of Rancher principals in which `{name}` stands for the Kubernetes name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdentityMapping {
    /// For users. Example: `okta_user://{name}`. Names that are Rancher user ids (`u-…`, `user-…`) pass unmapped;
    /// names that begin with `system:` are never mapped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = schema::PRINCIPAL_TEMPLATE))]
    pub user_principal: Option<String>,
    /// For groups. Example: `okta_group://{name}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = schema::PRINCIPAL_TEMPLATE))]
    pub group_principal: Option<String>,
}

/// What the operator found out about the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RancherIntegrationStatus {
    /// The generation of the spec that this status was judged by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Ready`, `Reachable`, `Authenticated`, `Authorized`; `AdmissionEnforced` says whether identities are proven.
    /// `KeyRotation` says whether the key is replaced in time, `Discovered` whether all is mirrored, each only where the spec
    /// asks for it; `UsersTended` whether users that are there because of grants are as they should be, where there are any;
    /// `KeyAtRisk` is there only while it is True.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Which Rancher answers there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rancher: Option<RancherStatus>,
    /// Whose the key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyStatus>,
    /// The replacing of the key, where the spec asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_rotation: Option<KeyRotationStatus>,
    /// The users in Rancher that are there because of grants; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub users: Option<UsersStatus>,
    /// Whose each cluster and project says it is, and since when: those that say so at all, up to 4096.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4096))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub owners: Vec<OwnerRecord>,
    /// Tokens that somebody made in Rancher while a grant gave him access, who has none left: up to 64, the oldest first. One
    /// that is gone, has ended, or whose user has access again is dropped. What cannot be cut at all is not here: an open
    /// `exec` or watch, and what speaks to a cluster directly.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub leftover_tokens: Vec<LeftoverToken>,
    /// How many more of these there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub more_leftover_tokens: Option<i64>,
    /// How many things are mirrored as `RancherResource` objects. Stands there before the first of these is made, and until
    /// the last is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
    /// Id of the operator installation that serves this integration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = schema::NAME))]
    pub installation: Option<String>,
}

/// Which Rancher answers at the integration's host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RancherStatus {
    /// Rancher's version, as its `/rancherversion` says. Example: `v2.15.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = schema::TEXT))]
    pub version: Option<String>,
    /// Rancher's own identity, its setting `install-uuid`. Set once: another Rancher behind the same name is refused.
    #[serde(default, rename = "installUUID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128), regex(pattern = schema::TEXT))]
    pub install_uuid: Option<String>,
    /// How Rancher turns bindings into Kubernetes' RBAC, by its feature `aggregated-roletemplates`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rbac_model: Option<RbacModel>,
}

/// How Rancher turns bindings into Kubernetes' RBAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RbacModel {
    /// One object for each role reached, shared between the bindings of a subject: the default up to Rancher 2.15.
    Legacy,
    /// One object for each binding.
    Aggregated,
}

/// Whose the key is, and how long it lasts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// Id of the Rancher user that the key belongs to. Example: `user-8pvqg`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub user: Option<String>,
    /// Name of the key (the part before the colon; not secret). Example: `token-4vhrb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = schema::TEXT))]
    pub name: Option<String>,
    /// Whether its user may do everything in Rancher. Absent: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub administrator: Option<bool>,
    /// When the key expires, in UTC. Absent: it does not expire, or Rancher does not say when (see `Authenticated`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_time: Option<Time>,
}

/// The replacing of the key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRotationStatus {
    /// When the operator last wrote a new key into the Secret, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_time: Option<Time>,
    /// When the next one is due, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_time: Option<Time>,
    /// The value of `spec.rotateNow` that was served last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = schema::TEXT))]
    pub request: Option<String>,
}
