//! Between our record and Rancher's own objects: the same things in the words of both.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::{
    api::{
        RancherIntegrationSpec,
        integration::{RancherStatus, RbacModel},
        status::{BindingKind, BindingRecord},
    },
    grant::name::{self, Access, InstallationKey, SubjectKey, Target},
    rancher::{
        BindingRef, Model, NewSubject, Release,
        client::LOCAL,
        wire::{self, Binding, Scope, Subject},
    },
};

/// How the description of every API key begins that an operator made for itself.
pub const KEY_MARK: &str = "Rancher Access Operator, installation ";

/// Which binding in Rancher a record means.
pub fn reference(record: &BindingRecord) -> BindingRef {
    let (kind, cluster) = match record.kind {
        BindingKind::ClusterRoleTemplateBinding => (wire::BindingKind::Cluster, LOCAL),
        BindingKind::ProjectRoleTemplateBinding => (wire::BindingKind::Project, LOCAL),
        BindingKind::GlobalRoleBinding => (wire::BindingKind::Global, LOCAL),
        BindingKind::RoleBinding => (wire::BindingKind::Namespace, record.cluster.as_str()),
    };
    BindingRef { kind, cluster: cluster.to_owned(), namespace: record.namespace.clone(), name: record.name.clone() }
}

/// Which Rancher it is, for status.
pub fn rancher(release: &Release) -> RancherStatus {
    let model = match release.model {
        Model::Legacy => RbacModel::Legacy,
        Model::Aggregated => RbacModel::Aggregated,
    };
    RancherStatus { version: release.version.clone(), install_uuid: None, rbac_model: Some(model) }
}

/// Where people reach Rancher's pages, without a slash at its end: nowhere that is known, for a Rancher without a host.
pub fn ui_url(spec: &RancherIntegrationSpec) -> String {
    let url = spec.ui_url.clone().unwrap_or_else(|| match (spec.host.as_str(), spec.port) {
        ("", _) => String::new(),
        (host, 443) => format!("https://{host}"),
        (host, port) => format!("https://{host}:{port}"),
    });
    url.trim_end_matches('/').to_owned()
}

/// Where a recorded binding is, for people: `namespace/name`, or its name alone.
pub fn place(record: &BindingRecord) -> String {
    place_of(&record.namespace, &record.name)
}

/// The same for any binding.
pub fn place_of(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Our word for one of Rancher's kinds of binding.
pub fn kind_of(kind: wire::BindingKind) -> BindingKind {
    match kind {
        wire::BindingKind::Cluster => BindingKind::ClusterRoleTemplateBinding,
        wire::BindingKind::Project => BindingKind::ProjectRoleTemplateBinding,
        wire::BindingKind::Global => BindingKind::GlobalRoleBinding,
        wire::BindingKind::Namespace => BindingKind::RoleBinding,
    }
}

/// Where a record's role holds, to Rancher.
pub fn scope(record: &BindingRecord) -> Scope {
    let cluster = record.cluster.clone();
    match record.kind {
        BindingKind::ClusterRoleTemplateBinding => Scope::Cluster { cluster },
        BindingKind::ProjectRoleTemplateBinding => {
            Scope::Project { cluster, project: record.project.clone().unwrap_or_default() }
        }
        BindingKind::RoleBinding => Scope::Namespace { cluster, namespace: record.namespace.clone() },
        BindingKind::GlobalRoleBinding => Scope::Global,
    }
}

/// The access that a record gives.
pub fn access(record: &BindingRecord) -> Access {
    Access { target: target(&scope(record)), role: record.role.clone() }
}

/// The access that a binding in Rancher gives.
pub fn access_of(binding: &Binding) -> Access {
    Access { target: target(&binding.scope), role: binding.role.clone() }
}

fn target(scope: &Scope) -> Target {
    match scope.clone() {
        Scope::Cluster { cluster } => Target::Cluster { cluster },
        Scope::Project { cluster, project } => Target::Project { cluster, project },
        Scope::Namespace { cluster, namespace } => Target::Namespace { cluster, namespace },
        Scope::Global => Target::Global,
    }
}

/// Whom a binding in Rancher is for, in every form that it keeps.
pub fn subjects_of(binding: &Binding) -> Vec<SubjectKey> {
    let own = [
        binding.user_name.clone().map(SubjectKey::User),
        binding.user_principal_name.clone().map(SubjectKey::Principal),
        binding.group_principal_name.clone().map(SubjectKey::Group),
        binding.group_name.clone().map(SubjectKey::Group),
    ];
    let others = binding
        .others
        .iter()
        .cloned()
        .flat_map(|other| [other.user.map(SubjectKey::User), other.group.map(SubjectKey::Group)]);
    own.into_iter().chain(others).flatten().collect()
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
