//! What an integration says of discovery: what is to be mirrored as `RancherResource` objects, and what came of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;

/// What of a Rancher server is mirrored as `RancherResource` objects: clusters, projects, and the roles that can be bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discovery {
    /// How often all of it is listed anew. Between two lists it is watched; where Rancher refuses that, this is how late a
    /// change is seen. Go syntax, no less than `1m`: less counts as that. May change. Example: `10m`.
    #[serde(default = "ten_minutes")]
    #[schemars(length(min = 2, max = 24), regex(pattern = schema::DURATION))]
    pub interval: String,
    /// True: also the namespaces of all clusters, each watched through Rancher. These may be many. May change.
    #[serde(default)]
    pub namespaces: bool,
}

fn ten_minutes() -> String {
    "10m".to_owned()
}

/// How many things are mirrored, and since when all of them were seen. Written when one of the figures or the error changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryStatus {
    /// When everything had last been listed as of the last change of this status, in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// How many clusters there are.
    pub clusters: i32,
    /// How many projects there are.
    pub projects: i32,
    /// How many namespaces there are; 0 where `spec.discovery.namespaces` is false.
    pub namespaces: i32,
    /// How many role templates for clusters can be bound: neither hidden nor locked.
    pub cluster_roles: i32,
    /// How many role templates for projects can be bound: neither hidden nor locked.
    pub project_roles: i32,
    /// How many global roles there are.
    pub global_roles: i32,
    /// What could not be read or written, in a sentence. What was known before stays meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = schema::TEXT))]
    pub error: Option<String>,
}
