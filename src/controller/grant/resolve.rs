//! What a request means in Rancher: who the subject is, what the targets and roles are. Reads only.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    api::{
        grant::{Access, AccessGrantSpec},
        status::{BindingKind, BindingRecord, BindingState},
    },
    controller::{Context, connection::Connection, words},
    grant::{
        Because,
        name::{self, SubjectKey, binding_name},
    },
    policy::{
        ClusterFacts, Facts, ProjectFacts, RoleFacts, SubjectFacts, TargetFacts, Wanted,
        privilege::{self, RoleRules},
    },
    rancher::{Error, Rancher, Sighting, wire::RoleTemplate},
};

/// How many roles are followed from one to those that it inherits.
const INHERITED: usize = 64;

/// Why a request could not be resolved.
pub(super) enum Unresolved {
    /// It names something that is not there, or does not fit.
    Wrong(Because),
    /// It cannot be known at present.
    Unknown(Because),
}

/// What a request means in Rancher.
pub(super) struct Resolved {
    pub facts: Facts,
    pub bindings: Vec<BindingRecord>,
}

type Result<T> = std::result::Result<T, Unresolved>;

/// Resolves everything that a request names.
pub(super) async fn resolve(
    ctx: &Context,
    connection: &Connection,
    spec: &AccessGrantSpec,
    wanted: &Wanted,
) -> Result<Resolved> {
    let rancher = &connection.rancher;
    let (subject, subject_uid, subject_facts) = subject(rancher, wanted).await?;
    let mut resolver = Resolver { ctx, connection, clusters: BTreeMap::new() };
    let (mut targets, mut bindings) = (Vec::new(), Vec::new());
    for (index, access) in spec.access.iter().enumerate() {
        let (facts, namespace, wanted) = resolver.target(index, access).await?;
        let name = binding_name(&ctx.installation.key, &connection.install_uuid, &subject, &wanted);
        bindings.push(BindingRecord {
            kind: wanted.kind,
            cluster: wanted.cluster,
            project: wanted.project,
            namespace,
            name,
            uid: None,
            subject: subject.to_string(),
            subject_uid: subject_uid.clone(),
            role: wanted.role,
            state: BindingState::Intended,
            since: jiff::Timestamp::UNIX_EPOCH.into(),
            touch_pending: false,
            residual: None,
        });
        targets.push(facts);
    }
    let distinct: BTreeSet<_> = bindings.iter().map(|b| &b.name).collect();
    if distinct.len() < bindings.len() {
        return Err(wrong(
            "DuplicateAccess",
            "spec.access names the same role on the same target twice: create a grant that names it once.".to_owned(),
        ));
    }
    Ok(Resolved { facts: Facts { targets, subject: subject_facts }, bindings })
}

async fn subject(rancher: &Rancher, wanted: &Wanted) -> Result<(SubjectKey, Option<String>, SubjectFacts)> {
    let mut facts = SubjectFacts { user_id: None, principals: Vec::new(), group: None };
    let user = match wanted {
        Wanted::Group(group) => {
            facts.group = Some(group.clone());
            return Ok((SubjectKey::Group(group.clone()), None, facts));
        }
        Wanted::User(id) => match rancher.user(id).await.map_err(unknown)? {
            Some(user) => user,
            None => {
                return Err(wrong(
                    "SubjectNotFound",
                    format!(
                        "There is no user {id} in Rancher: name one that exists in spec.subject.user, or a principal in spec.subject.principal."
                    ),
                ));
            }
        },
        Wanted::Principal(principal) => {
            facts.principals.push(principal.clone());
            let mut users = rancher.users_with_principal(principal).await.map_err(unknown)?;
            match (users.pop(), users.is_empty()) {
                // He never logged in: Rancher makes a user for the principal when it is bound.
                (None, _) => return Ok((SubjectKey::Principal(principal.clone()), None, facts)),
                (Some(user), true) => user,
                (Some(_), false) => {
                    return Err(wrong(
                        "SubjectAmbiguous",
                        format!(
                            "More than one user in Rancher has the principal {principal}: name the right one by id in spec.subject.user."
                        ),
                    ));
                }
            }
        }
    };
    if user.enabled == Some(false) {
        return Err(wrong(
            "SubjectDisabled",
            format!("The user {} is disabled in Rancher: enable him there first.", user.meta.name),
        ));
    }
    facts.user_id = Some(user.meta.name.clone());
    facts
        .principals
        .extend(user.principal_ids.iter().filter(|p| !facts.principals.contains(p)).cloned().collect::<Vec<_>>());
    Ok((SubjectKey::User(user.meta.name), Some(user.meta.uid).filter(|uid| !uid.is_empty()), facts))
}

struct Resolver<'a> {
    ctx: &'a Context,
    connection: &'a Connection,
    clusters: BTreeMap<String, ClusterFacts>,
}

impl Resolver<'_> {
    async fn target(&mut self, index: usize, access: &Access) -> Result<(TargetFacts, String, name::Access)> {
        match (&access.cluster, &access.project) {
            (Some(wanted), None) => {
                let cluster = self.cluster(index, &wanted.name).await?;
                let role = self.role(index, &wanted.name, &wanted.role, privilege::Scope::Cluster).await?;
                let access = name::Access {
                    kind: BindingKind::ClusterRoleTemplateBinding,
                    cluster: wanted.name.clone(),
                    project: None,
                    role: wanted.role.clone(),
                };
                Ok((TargetFacts { cluster, project: None, role }, wanted.name.clone(), access))
            }
            (None, Some(wanted)) => {
                let cluster = self.cluster(index, &wanted.cluster).await?;
                let (project, namespace) = self.project(index, &wanted.cluster, &wanted.name).await?;
                let role = self.role(index, &wanted.cluster, &wanted.role, privilege::Scope::Project).await?;
                let access = name::Access {
                    kind: BindingKind::ProjectRoleTemplateBinding,
                    cluster: wanted.cluster.clone(),
                    project: Some(wanted.name.clone()),
                    role: wanted.role.clone(),
                };
                Ok((TargetFacts { cluster, project: Some(project), role }, namespace, access))
            }
            _ => Err(wrong(
                "InvalidAccess",
                format!("spec.access[{index}] must set exactly one of cluster and project: create another grant."),
            )),
        }
    }

    async fn cluster(&mut self, index: usize, id: &str) -> Result<ClusterFacts> {
        if let Some(known) = self.clusters.get(id) {
            return Ok(known.clone());
        }
        let rancher = &self.connection.rancher;
        let cluster = match rancher.cluster(id).await.map_err(unknown)? {
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
        // Where the operator runs is told by the cluster itself, not by what somebody wrote on an object.
        let uid = self.downstream(id, rancher.kube_system_uid(id)).await.map_err(|why| {
            Unresolved::Unknown(Because::new("ClusterUnreachable", format!("spec.access[{index}]: cluster {id} cannot be reached through Rancher, so it is not known whether this operator runs there: {why}. Tried again.")))
        })?;
        let facts = ClusterFacts {
            id: id.to_owned(),
            labels: cluster.meta.labels.clone(),
            hosts_rancher: cluster.is_local,
            hosts_operator: uid == self.ctx.cluster_uid,
        };
        self.clusters.insert(id.to_owned(), facts.clone());
        Ok(facts)
    }

    /// Asks a downstream cluster, unless it is known not to answer. Says why there is no answer.
    async fn downstream<T, F>(&self, cluster: &str, asked: F) -> std::result::Result<T, String>
    where
        F: Future<Output = std::result::Result<T, Error>>,
    {
        let clusters = &self.connection.clusters;
        if !clusters.answers(cluster) {
            return Err("it did not answer, and is probed until it does".to_owned());
        }
        asked.await.map_err(|error| {
            if error.is_transient() {
                clusters.failed(cluster);
            }
            error.to_string()
        })
    }

    async fn project(&self, index: usize, cluster: &str, id: &str) -> Result<(ProjectFacts, String)> {
        match self.connection.rancher.project(cluster, id).await.map_err(unknown)? {
            Sighting::Found(project) if !project.meta.is_terminating() => Ok((
                ProjectFacts { id: id.to_owned(), labels: project.meta.labels.clone(), system: project.is_system },
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

    async fn role(&self, index: usize, cluster: &str, id: &str, scope: privilege::Scope) -> Result<RoleFacts> {
        let templates = self.templates(id).await?;
        let Some(template) = templates.get(id) else {
            return Err(wrong(
                "RoleNotFound",
                format!(
                    "spec.access[{index}]: there is no role template {id} in Rancher: name it by its id, as `kubectl get roletemplates` on Rancher's cluster shows it."
                ),
            ));
        };
        let context = match scope {
            privilege::Scope::Cluster => "cluster",
            privilege::Scope::Project => "project",
        };
        if template.context != context {
            return Err(wrong(
                "RoleContext",
                format!(
                    "spec.access[{index}]: role {id} is for a {}, not for a {context}: name a {context} role.",
                    template.context
                ),
            ));
        }
        if template.locked {
            return Err(wrong(
                "RoleLocked",
                format!("spec.access[{index}]: role {id} is locked in Rancher: unlock it there, or name another."),
            ));
        }
        let mut rules = BTreeMap::new();
        for (id, template) in &templates {
            rules.insert(id.clone(), self.rules(cluster, template).await?);
        }
        let privileged = privilege::privileged_rule(id, scope, &|role| rules.get(role).cloned()).into_words();
        Ok(RoleFacts { id: id.to_owned(), privileged })
    }

    /// The role template and all that it inherits; those that are not there are left out.
    async fn templates(&self, id: &str) -> Result<BTreeMap<String, RoleTemplate>> {
        let (mut known, mut ask) = (BTreeMap::new(), vec![id.to_owned()]);
        while let Some(id) = ask.pop() {
            if known.len() >= INHERITED || known.contains_key(&id) {
                continue;
            }
            if let Some(template) = self.connection.rancher.role_template(&id).await.map_err(unknown)? {
                ask.extend(template.role_template_names.iter().cloned());
                known.insert(id, template);
            }
        }
        Ok(known)
    }

    /// What a role template allows. An external one allows what the ClusterRole of its name allows on that cluster.
    async fn rules(&self, cluster: &str, template: &RoleTemplate) -> Result<RoleRules> {
        let external = if template.external {
            // Where the ClusterRole is not there, whoever makes it decides what the role means: then nothing is known.
            let asked = self.connection.rancher.cluster_role_rules(cluster, &template.meta.name);
            let mut rules = self.downstream(cluster, asked).await.map_err(|why| {
                Unresolved::Unknown(Because::new("ClusterUnreachable", format!("Cluster {cluster} cannot be reached through Rancher, so it is not known what role {} means there: {why}. Tried again.", template.meta.name)))
            })?;
            if !rules.is_empty() {
                rules.extend(template.external_rules.clone().unwrap_or_default());
            }
            Some(rules)
        } else {
            None
        };
        Ok(RoleRules {
            rules: template.rules.iter().map(words::rule).collect(),
            inherits: template.role_template_names.clone(),
            external: external.map(|rules| rules.iter().map(words::rule).collect()),
        })
    }
}

fn wrong(reason: &str, message: String) -> Unresolved {
    Unresolved::Wrong(Because::new(reason, message))
}

fn unknown(error: Error) -> Unresolved {
    Unresolved::Unknown(Because::new(
        super::wait::reason(&error),
        format!("Rancher could not be asked about the request: {error}. Tried again."),
    ))
}
