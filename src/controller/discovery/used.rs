//! What grants use of a Rancher: that stays mirrored, as removed, until none of them has anything to do with it.

use std::collections::HashSet;

use super::name::Key;
use crate::{
    api::{
        AccessGrant,
        grant::Access,
        resource::ResourceKind::{ClusterRole, GlobalRole, ProjectRole},
        status::{BindingKind, BindingRecord},
    },
    controller::Context,
    grant::GrantView,
};

/// The names of all objects that unsettled grants of this integration use.
pub(super) fn names(ctx: &Context, integration: &str) -> HashSet<String> {
    let mut names = HashSet::new();
    for grant in ctx.grants.of_integration(integration) {
        let view = GrantView::from(grant.as_ref());
        if !view.is_finished() || !view.is_settled() {
            names.extend(keys(&grant).iter().map(|key| key.name(integration)));
        }
    }
    names
}

/// What a grant asks for, and what it holds by its record.
fn keys(grant: &AccessGrant) -> Vec<Key<'_>> {
    let asked = grant.spec.access.iter().flat_map(asked);
    let held = grant.status.iter().flat_map(|status| &status.bindings).filter(|b| !b.is_settled()).flat_map(held);
    asked.chain(held).collect()
}

fn asked(access: &Access) -> Vec<Key<'_>> {
    let mut keys = Vec::new();
    if let Some(on) = &access.cluster {
        keys.extend([Key::cluster(&on.name), Key::role(ClusterRole, &on.role)]);
    }
    if let Some(on) = &access.project {
        keys.extend([Key::cluster(&on.cluster), Key::project(&on.cluster, &on.name), Key::role(ProjectRole, &on.role)]);
    }
    if let Some(on) = &access.namespace {
        keys.extend([Key::cluster(&on.cluster), Key::namespace(&on.cluster, &on.name)]);
    }
    if let Some(on) = &access.global {
        keys.push(Key::role(GlobalRole, &on.role));
    }
    keys
}

fn held(binding: &BindingRecord) -> Vec<Key<'_>> {
    let (cluster, role) = (binding.cluster.as_str(), binding.role.as_str());
    match binding.kind {
        BindingKind::ClusterRoleTemplateBinding => vec![Key::cluster(cluster), Key::role(ClusterRole, role)],
        BindingKind::ProjectRoleTemplateBinding => {
            let project = binding.project.as_deref().map(|project| Key::project(cluster, project));
            [Key::cluster(cluster), Key::role(ProjectRole, role)].into_iter().chain(project).collect()
        }
        BindingKind::RoleBinding => vec![Key::cluster(cluster), Key::namespace(cluster, &binding.namespace)],
        BindingKind::GlobalRoleBinding => vec![Key::role(GlobalRole, role)],
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_uses_what_it_names_and_what_its_record_holds() {
        let grant: AccessGrant = serde_json::from_value(json!({
            "apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "g", "namespace": "web"},
            "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "a"}, "access": [
                {"project": {"cluster": "c-1", "name": "p-1", "role": "read-only"}},
                {"namespace": {"cluster": "c-2", "name": "web", "role": "edit"}},
                {"global": {"role": "user-base"}}]},
            "status": {"bindings": [
                {"kind": "ClusterRoleTemplateBinding", "cluster": "c-3", "namespace": "c-3", "name": "rao-1", "subject": "user:u",
                    "role": "cluster-member", "state": "Present", "since": "2026-06-01T12:00:00Z"},
                {"kind": "ClusterRoleTemplateBinding", "cluster": "c-4", "namespace": "c-4", "name": "rao-2", "subject": "user:u",
                    "role": "old", "state": "Removed", "since": "2026-06-01T12:00:00Z"}]},
        }))
        .unwrap();
        let names: Vec<_> = keys(&grant).iter().map(|key| key.name("prod")).collect();
        let used = [
            "cluster.c-1",
            "project.c-1.p-1",
            "projectrole.read-only",
            "cluster.c-2",
            "namespace.c-2.web",
            "globalrole.user-base",
            "cluster.c-3",
            "clusterrole.cluster-member",
        ];
        assert_eq!(names, used.map(|name| format!("prod.{name}")));
    }
}
