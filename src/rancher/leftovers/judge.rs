//! Pure: where to look for what a binding may have left, and what to do with what is found.
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Leftover, Remedy, Trace,
    names::{self, OwnerLabels},
};
use crate::rancher::{
    client::LOCAL,
    wire::{Binding, BindingKind, ObjectMeta, Subject, nullable},
};

/// What Rancher makes for a binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MadeKind {
    /// Kubernetes' `RoleBinding`.
    RoleBinding,
    /// Kubernetes' `ClusterRoleBinding`.
    ClusterRoleBinding,
    /// Rancher's `ClusterRoleTemplateBinding`, for a global role that gives roles on clusters.
    ClusterRoleTemplateBinding,
}

impl MadeKind {
    /// The resource's plural name.
    pub fn resource(self) -> &'static str {
        match self {
            Self::RoleBinding => "rolebindings",
            Self::ClusterRoleBinding => "clusterrolebindings",
            Self::ClusterRoleTemplateBinding => BindingKind::Cluster.resource(),
        }
    }

    pub(super) fn group(self) -> &'static str {
        match self {
            Self::ClusterRoleTemplateBinding => BindingKind::Cluster.group(),
            _ => BindingKind::Namespace.group(),
        }
    }

    pub(super) fn version(self) -> &'static str {
        match self {
            Self::ClusterRoleTemplateBinding => BindingKind::Cluster.version(),
            _ => BindingKind::Namespace.version(),
        }
    }
}

/// One look: a list by label, or one object by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub cluster: String,
    pub kind: MadeKind,
    pub by: By,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Label(String),
    Name { namespace: String, name: String },
}

/// Something that Rancher made, as far as we read it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    pub subjects: Vec<MadeFor>,
    #[serde(default, deserialize_with = "nullable")]
    pub role_ref: RoleRef,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct MadeFor {
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RoleRef {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

/// One of Rancher's own bindings, seen as Kubernetes would write it.
impl From<Binding> for Made {
    fn from(binding: Binding) -> Self {
        let Subject { user, user_principal, group } = Subject::of(&binding);
        let user = user.or_else(|| Subject { user_principal, ..Subject::default() }.user_id());
        let named = |kind: &str, name: Option<String>| name.map(|name| MadeFor { kind: kind.to_owned(), name });
        Self {
            subjects: named("User", user).into_iter().chain(named("Group", group)).collect(),
            role_ref: RoleRef { name: binding.role },
            metadata: binding.meta,
        }
    }
}

/// Everywhere something of this binding may be, in both of Rancher's models: the model may have been switched meanwhile.
pub(crate) fn queries(trace: &Trace) -> Vec<Query> {
    let mut queries: Vec<Query> = Vec::new();
    let mut ask = |cluster: &str, kind, by| {
        let query = Query { cluster: cluster.to_owned(), kind, by };
        // Where the cluster is Rancher's own, both halves are one place.
        if !queries.contains(&query) {
            queries.push(query);
        }
    };
    match trace.binding.kind {
        BindingKind::Cluster | BindingKind::Project => of_templates(trace, &mut ask),
        BindingKind::Global => of_global(trace, &mut ask),
        // Nothing is made for it.
        BindingKind::Namespace => {}
    }
    queries
}

/// What is made for a cluster or project binding.
fn of_templates(trace: &Trace, ask: &mut impl FnMut(&str, MadeKind, By)) {
    use MadeKind::{ClusterRoleBinding, RoleBinding};
    let labels = OwnerLabels::of(&trace.binding);
    for cluster in &trace.clusters {
        for kind in [RoleBinding, ClusterRoleBinding] {
            ask(cluster, kind, By::Label(labels.legacy()));
            labels.aggregated().for_each(|key| ask(cluster, kind, By::Label(key)));
        }
        ask(cluster, ClusterRoleBinding, By::Label(labels.membership()));
    }
    for kind in [RoleBinding, ClusterRoleBinding] {
        ask(LOCAL, kind, By::Label(labels.membership()));
        labels.aggregated().for_each(|key| ask(LOCAL, kind, By::Label(key)));
    }
    ask(LOCAL, RoleBinding, By::Label(labels.fleet()));
    for role in &trace.roles {
        let name = format!("{}-{role}", trace.binding.name);
        ask(LOCAL, RoleBinding, By::Name { namespace: trace.binding.namespace.clone(), name });
    }
}

/// What is made for a global binding: on Rancher's own cluster, and on every other where its holder was administrator.
fn of_global(trace: &Trace, ask: &mut impl FnMut(&str, MadeKind, By)) {
    use MadeKind::{ClusterRoleBinding, ClusterRoleTemplateBinding, RoleBinding};
    let owner = OwnerLabels::of(&trace.binding).global();
    for kind in [RoleBinding, ClusterRoleBinding, ClusterRoleTemplateBinding] {
        ask(LOCAL, kind, By::Label(owner.clone()));
    }
    let named = |name: String| By::Name { namespace: String::new(), name };
    ask(LOCAL, ClusterRoleBinding, named(names::global_rights(&trace.binding.name)));
    for cluster in &trace.clusters {
        ask(cluster, RoleBinding, By::Label(owner.clone()));
        if let Some(name) = names::global_admin(&trace.subject).filter(|_| !trace.stays_admin) {
            ask(cluster, ClusterRoleBinding, named(name));
        }
    }
}

/// What to do with an object that a query found: `None` where it is not ours to touch.
pub(crate) fn judge(trace: &Trace, cluster: &str, kind: MadeKind, object: &Made) -> Option<Leftover> {
    if !names_only(&trace.subject, &object.subjects) {
        return None;
    }
    let (ours, others) = OwnerLabels::of(&trace.binding).split(&object.metadata.labels);
    let named = is_management_right(trace, cluster, kind, object) || is_global_right(trace, cluster, kind, object);
    let remedy = match (ours.is_empty(), others) {
        (false, false) => Remedy::Delete,
        (false, true) => Remedy::DropKeys(ours.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        (true, false) if named => Remedy::Delete,
        (true, _) => return None,
    };
    Some(Leftover {
        cluster: cluster.to_owned(),
        kind,
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone(),
        uid: object.metadata.uid.clone(),
        resource_version: object.metadata.resource_version.clone(),
        role: object.role_ref.name.clone(),
        going: object.metadata.is_terminating(),
        remedy,
    })
}

/// A global binding's own rights, and what makes its holder administrator of a cluster, are marked by name alone: the
/// first by the binding's, the second by the subject's.
fn is_global_right(trace: &Trace, cluster: &str, kind: MadeKind, object: &Made) -> bool {
    let name = &object.metadata.name;
    let own = cluster == LOCAL && *name == names::global_rights(&trace.binding.name);
    let admin = trace.clusters.iter().any(|known| known == cluster)
        && !trace.stays_admin
        && object.role_ref.name == "cluster-admin"
        && names::global_admin(&trace.subject).as_ref() == Some(name);
    trace.binding.kind == BindingKind::Global && kind == MadeKind::ClusterRoleBinding && (own || admin)
}

/// Rancher's legacy model marks management rights by name alone: `<binding>-<role>` in the binding's own namespace.
fn is_management_right(trace: &Trace, cluster: &str, kind: MadeKind, object: &Made) -> bool {
    let role = object.metadata.name.strip_prefix(&format!("{}-", trace.binding.name));
    cluster == LOCAL
        && kind == MadeKind::RoleBinding
        && object.metadata.namespace == trace.binding.namespace
        && role.is_some_and(|role| trace.roles.iter().any(|r| r == role))
}

/// Whether our subject is the only one: Rancher never makes a binding for two.
fn names_only(subject: &Subject, subjects: &[MadeFor]) -> bool {
    let [one] = subjects else { return false };
    match one.kind.as_str() {
        "User" => subject.user_id().as_deref() == Some(one.name.as_str()),
        "Group" => subject.group.as_deref() == Some(one.name.as_str()),
        _ => false,
    }
}

/// The JSON patch that takes our keys off an object, if it is still that object and they still stand there.
pub(crate) fn drop_keys(leftover: &Leftover, keys: &[(String, String)]) -> Value {
    let mut patch = vec![json!({"op": "test", "path": "/metadata/uid", "value": leftover.uid})];
    for (key, value) in keys {
        let path = format!("/metadata/labels/{}", key.replace('~', "~0").replace('/', "~1"));
        patch.push(json!({"op": "test", "path": path, "value": value}));
        patch.push(json!({"op": "remove", "path": path}));
    }
    Value::Array(patch)
}

#[cfg(test)]
mod tests;
