//! Between our record and Rancher's own objects: the same things in the words of both.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    api::status::{BindingKind, BindingRecord},
    grant::name::{self, Access, InstallationKey, SubjectKey},
    rancher::{
        BindingRef, NewSubject,
        wire::{self, Binding, Scope, Subject},
    },
};

/// Rancher's word for a kind of binding.
pub fn kind(kind: BindingKind) -> wire::BindingKind {
    match kind {
        BindingKind::ClusterRoleTemplateBinding => wire::BindingKind::Cluster,
        BindingKind::ProjectRoleTemplateBinding => wire::BindingKind::Project,
    }
}

/// Which binding in Rancher a record means.
pub fn reference(record: &BindingRecord) -> BindingRef {
    BindingRef { kind: kind(record.kind), namespace: record.namespace.clone(), name: record.name.clone() }
}

/// Where a record's role holds.
pub fn scope(record: &BindingRecord) -> Scope {
    match &record.project {
        None => Scope::Cluster { cluster: record.cluster.clone() },
        Some(project) => Scope::Project { cluster: record.cluster.clone(), project: project.clone() },
    }
}

/// The access that a record gives.
pub fn access(record: &BindingRecord) -> Access {
    Access {
        kind: record.kind,
        cluster: record.cluster.clone(),
        project: record.project.clone(),
        role: record.role.clone(),
    }
}

/// The access that a binding in Rancher gives.
pub fn access_of(binding: &Binding) -> Access {
    let (kind, cluster, project) = match &binding.scope {
        Scope::Cluster { cluster } => (BindingKind::ClusterRoleTemplateBinding, cluster, None),
        Scope::Project { cluster, project } => {
            (BindingKind::ProjectRoleTemplateBinding, cluster, Some(project.clone()))
        }
    };
    Access { kind, cluster: cluster.clone(), project, role: binding.role_template.clone() }
}

/// Whom a binding in Rancher is for, in every form that it keeps.
pub fn subjects_of(binding: &Binding) -> Vec<SubjectKey> {
    [
        binding.user_name.clone().map(SubjectKey::User),
        binding.user_principal_name.clone().map(SubjectKey::Principal),
        binding.group_principal_name.clone().map(SubjectKey::Group),
        binding.group_name.clone().map(SubjectKey::Group),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Whether a binding in Rancher is ours, by its name alone.
pub fn is_ours(key: &InstallationKey, install_uuid: &str, binding: &Binding) -> bool {
    name::is_ours(key, install_uuid, &binding.meta.name, &subjects_of(binding), &access_of(binding))
}

/// Whom to bind.
pub fn new_subject(subject: &SubjectKey) -> NewSubject {
    match subject {
        SubjectKey::User(id) => NewSubject::User(id.clone()),
        SubjectKey::Principal(principal) => NewSubject::UserPrincipal(principal.clone()),
        SubjectKey::Group(principal) => NewSubject::GroupPrincipal(principal.clone()),
    }
}

/// Whom a recorded subject means, as Rancher's objects name him.
pub fn subject(subject: &SubjectKey) -> Subject {
    let mut named = Subject::default();
    match subject {
        SubjectKey::User(id) => named.user = Some(id.clone()),
        SubjectKey::Principal(principal) => named.user_principal = Some(principal.clone()),
        SubjectKey::Group(principal) => named.group = Some(principal.clone()),
    }
    named
}

/// A rule of a role, as Kubernetes' own types have it.
pub fn rule(rule: &wire::PolicyRule) -> PolicyRule {
    let some = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    PolicyRule {
        verbs: rule.verbs.clone(),
        api_groups: some(&rule.api_groups),
        resources: some(&rule.resources),
        resource_names: some(&rule.resource_names),
        non_resource_urls: some(&rule.non_resource_urls),
    }
}
