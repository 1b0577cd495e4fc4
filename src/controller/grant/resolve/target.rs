//! What the targets are in Rancher.

use std::collections::BTreeMap;

use super::{Place, Result, Unresolved, unknown, wrong};
use crate::{
    api::grant::Access,
    controller::{Context, connection::Connection},
    grant::{
        Because,
        name::{self, Target},
    },
    policy::{ClusterFacts, NamespaceFacts, ProjectFacts, TargetFacts, is_system_namespace, privilege::Scope},
    rancher::{Error, Sighting, client::LOCAL},
};

pub(super) struct Resolver<'a> {
    pub(super) ctx: &'a Context,
    pub(super) connection: &'a Connection,
    clusters: BTreeMap<String, ClusterFacts>,
    system: Option<Vec<String>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(ctx: &'a Context, connection: &'a Connection) -> Self {
        Self { ctx, connection, clusters: BTreeMap::new(), system: None }
    }

    /// What one entry of `spec.access` means.
    pub(super) async fn target(&mut self, index: usize, access: &Access) -> Result<(TargetFacts, Place)> {
        let (mut project, mut namespace) = (None, None);
        let (target, role, lives_in) = match access {
            Access { cluster: Some(on), project: None, namespace: None, global: None } => {
                (Target::Cluster { cluster: on.name.clone() }, &on.role, on.name.clone())
            }
            Access { cluster: None, project: Some(on), namespace: None, global: None } => {
                let (facts, backing) = self.project(index, &on.cluster, &on.name).await?;
                project = Some(facts);
                (Target::Project { cluster: on.cluster.clone(), project: on.name.clone() }, &on.role, backing)
            }
            Access { cluster: None, project: None, namespace: Some(on), global: None } => {
                namespace = Some(self.namespace(index, &on.cluster, &on.name).await?);
                (
                    Target::Namespace { cluster: on.cluster.clone(), namespace: on.name.clone() },
                    &on.role,
                    on.name.clone(),
                )
            }
            Access { cluster: None, project: None, namespace: None, global: Some(on) } => {
                (Target::Global, &on.role, String::new())
            }
            _ => {
                return Err(wrong(
                    "InvalidAccess",
                    format!(
                        "spec.access[{index}] must set exactly one of cluster, project, namespace and global: create another grant."
                    ),
                ));
            }
        };
        let cluster = match target.cluster() {
            "" => None,
            id => Some(self.cluster(index, id).await?),
        };
        let mut reaches_clusters = false;
        let role = match &target {
            Target::Cluster { cluster } => self.template(index, cluster, role, Scope::Cluster).await?,
            Target::Project { cluster, .. } => self.template(index, cluster, role, Scope::Project).await?,
            Target::Namespace { cluster, .. } => self.cluster_role(index, cluster, role).await?,
            Target::Global => {
                let (facts, reaches) = self.global_role(index, role).await?;
                reaches_clusters = reaches;
                facts
            }
        };
        let access = name::Access { target, role: role.id.clone() };
        Ok((TargetFacts { cluster, project, namespace, role }, Place { access, namespace: lives_in, reaches_clusters }))
    }

    async fn cluster(&mut self, index: usize, id: &str) -> Result<ClusterFacts> {
        if let Some(known) = self.clusters.get(id) {
            return Ok(known.clone());
        }
        let cluster = match self.connection.rancher.cluster(id).await.map_err(unknown)? {
            Sighting::Found(cluster) if !cluster.meta.is_terminating() => cluster,
            Sighting::Found(_) | Sighting::Gone(_) => {
                return Err(wrong(
                    "TargetNotFound",
                    format!(
                        "spec.access[{index}]: there is no cluster {id} in Rancher: name it by its id, as in the address of its page (c-m-…, or local)."
                    ),
                ));
            }
        };
        let facts = ClusterFacts {
            id: id.to_owned(),
            uid: cluster.meta.uid,
            display_name: cluster.display_name,
            labels: cluster.meta.labels,
            annotations: cluster.meta.annotations,
            hosts_rancher: cluster.is_local,
            hosts_operator: self.hosts_operator(index, id).await?,
        };
        self.clusters.insert(id.to_owned(), facts.clone());
        Ok(facts)
    }

    /// Whether this operator runs on that cluster. The cluster itself tells, not what somebody wrote on an object.
    async fn hosts_operator(&self, index: usize, id: &str) -> Result<bool> {
        let rancher = &self.connection.rancher;
        if rancher.is_keyless() {
            // Without a key it is the cluster that Rancher runs in, and no other.
            return Ok(id == LOCAL);
        }
        let uid = self.downstream(index, id, rancher.kube_system_uid(id)).await?;
        Ok(uid == self.ctx.cluster_uid)
    }

    /// Asks a downstream cluster, unless it is known not to answer.
    pub(super) async fn downstream<T, F>(&self, index: usize, cluster: &str, asked: F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let clusters = &self.connection.clusters;
        let unreachable = |why: &str| {
            Unresolved::Unknown(Because::new(
                "ClusterUnreachable",
                format!(
                    "spec.access[{index}]: cluster {cluster} cannot be reached through Rancher, so it is not known what this request means there: {why}. Tried again."
                ),
            ))
        };
        if !clusters.answers(cluster) {
            return Err(unreachable("it did not answer, and is probed until it does"));
        }
        asked.await.map_err(|error| {
            if error.is_silence() {
                clusters.failed(cluster);
            }
            unreachable(&error.to_string())
        })
    }

    async fn project(&self, index: usize, cluster: &str, id: &str) -> Result<(ProjectFacts, String)> {
        match self.connection.rancher.project(cluster, id).await.map_err(unknown)? {
            Sighting::Found(project) if !project.meta.is_terminating() => Ok((
                ProjectFacts {
                    id: id.to_owned(),
                    uid: project.meta.uid,
                    display_name: project.display_name,
                    labels: project.meta.labels,
                    annotations: project.meta.annotations,
                    system: project.is_system,
                },
                project.backing_namespace,
            )),
            Sighting::Found(_) | Sighting::Gone(_) => Err(wrong(
                "TargetNotFound",
                format!(
                    "spec.access[{index}]: there is no project {id} in cluster {cluster}: name it by its id (p-…), without the cluster."
                ),
            )),
        }
    }

    async fn namespace(&mut self, index: usize, cluster: &str, name: &str) -> Result<NamespaceFacts> {
        // Whether there is such a cluster is told in its own words.
        self.cluster(index, cluster).await?;
        let rancher = &self.connection.rancher;
        if rancher.is_keyless() && cluster != LOCAL {
            return Err(wrong(
                "KeyRequired",
                format!(
                    "spec.access[{index}]: this integration reaches its Rancher without a key, and so no cluster but local: a role in namespace {name} of cluster {cluster} takes an integration with spec.host and spec.credentialsSecretRef. Ask for a role on the cluster or a project instead, or name such an integration."
                ),
            ));
        }
        let Some(uid) = self.downstream(index, cluster, rancher.namespace_uid(cluster, name)).await? else {
            return Err(wrong(
                "TargetNotFound",
                format!(
                    "spec.access[{index}]: there is no namespace {name} on cluster {cluster}: create it there first."
                ),
            ));
        };
        if self.system.is_none() {
            self.system = Some(rancher.system_namespaces().await.map_err(unknown)?);
        }
        let listed = self.system.as_deref().unwrap_or_default();
        Ok(NamespaceFacts { name: name.to_owned(), uid, system: is_system_namespace(name, listed) })
    }
}
