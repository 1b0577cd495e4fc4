//! The RBAC objects that Rancher makes for a binding: which they are, made, and taken back.
use serde_json::{Map, Value, json};

use crate::apiserver::{ApiError, ApiServer};

use super::{
    binding::Kind,
    core::{Core, is_terminating, meta, rbac},
    downstream, names,
};

/// Which of Rancher's handlers made it, and so which finalizer remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Rights in the target cluster.
    Downstream,
    /// Memberships and management rights in Rancher's own cluster.
    Management,
    /// The view of the cluster in the Fleet workspace.
    Fleet,
}

/// How an object says whose it is.
#[derive(Clone, Debug)]
pub(super) enum Owner {
    /// Labels that name one owner: who made it first.
    Only(Vec<(String, String)>),
    /// A key per owner: others add theirs. The second list is common to all.
    Key(String, String, Vec<(String, String)>),
    /// Its name says it.
    Named,
}

/// One RoleBinding or ClusterRoleBinding to be.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub part: Part,
    /// On whose API server: a cluster's id.
    pub cluster: String,
    /// Empty for a ClusterRoleBinding.
    pub namespace: String,
    pub name: String,
    /// `Role` or `ClusterRole`.
    pub role_kind: &'static str,
    pub role: String,
    /// The role's rules, if Rancher makes the role too.
    pub rules: Option<Vec<Value>>,
    pub subject: (&'static str, String),
    pub owner: Owner,
}

fn labels_of(owner: &Owner) -> Map<String, Value> {
    let pairs: Vec<(String, String)> = match owner {
        Owner::Only(labels) => labels.clone(),
        Owner::Key(key, value, common) => {
            let mut all = common.clone();
            all.push((key.clone(), value.clone()));
            all
        }
        Owner::Named => Vec::new(),
    };
    pairs.into_iter().map(|(key, value)| (key, value.into())).collect()
}

impl Grant {
    fn resource(&self) -> &'static str {
        if self.namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" }
    }

    /// Makes the role or gives it its rules, and makes the binding unless it is there; an owner key is added where it is missing.
    pub async fn ensure(&self, core: &Core) -> Result<(), ApiError> {
        let Some(server) = core.server(&self.cluster).filter(|_| core.reaches(&self.cluster)) else {
            return Ok(());
        };
        self.ensure_role(&server).await?;
        let gvr = rbac(self.resource());
        let Some(there) = server.get(&gvr, &self.namespace, &self.name) else {
            let made = server.create(&gvr, &self.object()).await;
            return made.map(drop).or_else(existing_is_fine);
        };
        if let Owner::Key(key, value, _) = &self.owner
            && there["metadata"]["labels"][key.as_str()] != value.as_str()
        {
            let patch = json!({"metadata": {"labels": {key.as_str(): value}}});
            server.patch(&gvr, &self.namespace, &self.name, "", &patch).await?;
        }
        Ok(())
    }

    async fn ensure_role(&self, server: &ApiServer) -> Result<(), ApiError> {
        let Some(rules) = &self.rules else {
            return Ok(());
        };
        let (resource, namespace) = match self.role_kind {
            "Role" => ("roles", self.namespace.as_str()),
            _ => ("clusterroles", ""),
        };
        let gvr = rbac(resource);
        if let Some(there) = server.get(&gvr, namespace, &self.role) {
            if there["rules"].as_array().unwrap_or(&Vec::new()) != rules {
                let patch = json!({"rules": rules});
                server.patch(&gvr, namespace, &self.role, "", &patch).await?;
            }
            return Ok(());
        }
        let role = json!({"metadata": {"name": self.role, "namespace": namespace}, "rules": rules});
        let made = server.create(&gvr, &without_empty_namespace(role)).await;
        made.map(drop).or_else(existing_is_fine)
    }

    fn object(&self) -> Value {
        let (kind, name) = &self.subject;
        without_empty_namespace(json!({
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": labels_of(&self.owner)},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": self.role_kind, "name": self.role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}],
        }))
    }
}

fn without_empty_namespace(mut object: Value) -> Value {
    if meta(&object, "namespace").is_empty()
        && let Some(map) = object["metadata"].as_object_mut()
    {
        map.remove("namespace");
    }
    object
}

/// Somebody else made it meanwhile, or its namespace is going: Rancher leaves both alone.
fn existing_is_fine(error: ApiError) -> Result<(), ApiError> {
    match error.code {
        403 | 404 | 409 => Ok(()),
        _ => Err(error),
    }
}

/// Takes back what a part of Rancher remembers to have made for a binding.
pub(super) async fn clean(core: &Core, kind: Kind, binding: &Value, part: Part) -> Result<(), ApiError> {
    let cluster = match part {
        Part::Downstream => kind.cluster(binding),
        _ => "local".to_owned(),
    };
    let Some(server) = core.server(&cluster).filter(|_| core.reaches(&cluster)) else {
        return Ok(());
    };
    // The legacy model looks only into the namespaces that the project has now.
    let project = downstream::namespaces(core, &cluster, &kind.project(binding));
    let left = |object: &Value| {
        let namespace = meta(object, "namespace");
        part == Part::Downstream
            && kind == Kind::Project
            && !object["metadata"]["labels"][names::LEGACY_OWNER].is_null()
            && !project.iter().any(|one| one == namespace)
    };
    for resource in ["rolebindings", "clusterrolebindings"] {
        let gvr = rbac(resource);
        for object in server.list(&gvr, None).into_iter().filter(|object| !left(object)) {
            let (namespace, name) = (meta(&object, "namespace"), meta(&object, "name"));
            let done = match verdict(kind, binding, part, &object) {
                Verdict::Leave => continue,
                Verdict::Delete => server.delete(&gvr, namespace, name, None).await,
                Verdict::Drop(key) => {
                    let patch = json!({"metadata": {"labels": {key.as_str(): null}}});
                    server.patch(&gvr, namespace, name, "", &patch).await
                }
            };
            if let Err(error) = done
                && error.code != 404
            {
                return Err(error);
            }
        }
    }
    Ok(())
}

enum Verdict {
    Leave,
    Delete,
    Drop(String),
}

fn verdict(kind: Kind, binding: &Value, part: Part, object: &Value) -> Verdict {
    if is_terminating(object) {
        return Verdict::Leave;
    }
    let labels = &object["metadata"]["labels"];
    let pair = names::pair(binding);
    let key = names::aggregated_key(kind, binding);
    let is_mgmt = labels[names::AGGREGATION_MGMT] == "true";
    match part {
        Part::Fleet => {
            let ours = labels[names::fleet_key(kind).as_str()] == meta(binding, "name");
            // The aggregated model forgets those of project bindings: seen on 2.15.0.
            let forgotten = labels[names::AGGREGATION] == "true" && kind == Kind::Project;
            if ours && !forgotten { Verdict::Delete } else { Verdict::Leave }
        }
        Part::Downstream if labels[names::LEGACY_OWNER] == pair.as_str() => Verdict::Delete,
        Part::Downstream if labels[pair.as_str()] == names::OWNER_USER => shared(labels, &pair),
        Part::Downstream if labels[key.as_str()] == "true" && !is_mgmt => shared(labels, &key),
        Part::Management if labels[key.as_str()] == "true" && is_mgmt => shared(labels, &key),
        Part::Management if labels[pair.as_str()] == names::MEMBERSHIP || labels[pair.as_str()] == "true" => {
            shared(labels, &pair)
        }
        Part::Management if is_management_right(binding, object) => Verdict::Delete,
        _ => Verdict::Leave,
    }
}

/// The last owner's key takes the object along.
fn shared(labels: &Value, key: &str) -> Verdict {
    let is_owner = |(other, value): (&String, &Value)| {
        other != key
            && (*value == names::MEMBERSHIP
                || *value == names::OWNER_USER
                || *value == "true" && (other.contains("-owner-") || other.contains('_')))
    };
    let others = labels.as_object().is_some_and(|labels| labels.iter().any(is_owner));
    if others { Verdict::Drop(key.to_owned()) } else { Verdict::Delete }
}

/// The legacy model marks management rights by name alone: `<binding>-<role>`.
fn is_management_right(binding: &Value, object: &Value) -> bool {
    let role = object["roleRef"]["name"].as_str().unwrap_or_default();
    let is_namespaced = !meta(object, "namespace").is_empty();
    is_namespaced && meta(object, "name") == format!("{}-{role}", meta(binding, "name"))
}
