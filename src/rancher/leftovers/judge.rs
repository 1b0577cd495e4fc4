//! Pure: where to look for what a binding may have left, and what to do with what is found.
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Leftover, Remedy, Trace, names::OwnerLabels};
use crate::rancher::{
    client::LOCAL,
    wire::{ObjectMeta, Subject, nullable},
};

/// Which of Kubernetes' two kinds of role bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RbacKind {
    /// `RoleBinding`.
    RoleBinding,
    /// `ClusterRoleBinding`.
    ClusterRoleBinding,
}

impl RbacKind {
    /// The resource's plural name.
    pub fn resource(self) -> &'static str {
        match self {
            Self::RoleBinding => "rolebindings",
            Self::ClusterRoleBinding => "clusterrolebindings",
        }
    }
}

/// One look: a list by label, or one object by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub cluster: String,
    pub kind: RbacKind,
    pub by: By,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Label(String),
    Name { namespace: String, name: String },
}

/// A role binding of Kubernetes, as far as we read it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RbacBinding {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    pub subjects: Vec<RbacSubject>,
    #[serde(default, deserialize_with = "nullable")]
    pub role_ref: RoleRef,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RbacSubject {
    pub kind: String,
    pub name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct RoleRef {
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

/// Everywhere something of this binding may be, in both of Rancher's models: the model may have been switched meanwhile.
pub(crate) fn queries(trace: &Trace) -> Vec<Query> {
    use RbacKind::{ClusterRoleBinding, RoleBinding};
    let labels = OwnerLabels::of(&trace.binding);
    let mut queries: Vec<Query> = Vec::new();
    let mut ask = |cluster: &str, kind, by| {
        let query = Query { cluster: cluster.to_owned(), kind, by };
        // Where the cluster is Rancher's own, both halves are one place.
        if !queries.contains(&query) {
            queries.push(query);
        }
    };
    for kind in [RoleBinding, ClusterRoleBinding] {
        ask(&trace.cluster, kind, By::Label(labels.legacy()));
        labels.aggregated().for_each(|key| ask(&trace.cluster, kind, By::Label(key)));
    }
    ask(&trace.cluster, ClusterRoleBinding, By::Label(labels.membership()));
    for kind in [RoleBinding, ClusterRoleBinding] {
        ask(LOCAL, kind, By::Label(labels.membership()));
        labels.aggregated().for_each(|key| ask(LOCAL, kind, By::Label(key)));
    }
    ask(LOCAL, RoleBinding, By::Label(labels.fleet()));
    for role in &trace.roles {
        let name = format!("{}-{role}", trace.binding.name);
        ask(LOCAL, RoleBinding, By::Name { namespace: trace.binding.namespace.clone(), name });
    }
    queries
}

/// What to do with an object that a query found: `None` where it is not ours to touch.
pub(crate) fn judge(trace: &Trace, cluster: &str, kind: RbacKind, object: &RbacBinding) -> Option<Leftover> {
    if !names_only(&trace.subject, &object.subjects) {
        return None;
    }
    let (ours, others) = OwnerLabels::of(&trace.binding).split(&object.metadata.labels);
    let remedy = match (ours.is_empty(), others) {
        (false, false) => Remedy::Delete,
        (false, true) => Remedy::DropKeys(ours.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
        (true, false) if is_management_right(trace, cluster, kind, object) => Remedy::Delete,
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
        remedy,
    })
}

/// Rancher's legacy model marks management rights by name alone: `<binding>-<role>` in the binding's own namespace.
fn is_management_right(trace: &Trace, cluster: &str, kind: RbacKind, object: &RbacBinding) -> bool {
    let role = object.metadata.name.strip_prefix(&format!("{}-", trace.binding.name));
    cluster == LOCAL
        && kind == RbacKind::RoleBinding
        && object.metadata.namespace == trace.binding.namespace
        && role.is_some_and(|role| trace.roles.iter().any(|r| r == role))
}

/// Whether our subject is the only one: Rancher never makes a binding for two.
fn names_only(subject: &Subject, subjects: &[RbacSubject]) -> bool {
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
