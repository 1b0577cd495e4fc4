//! What somebody really has: the RBAC objects that name him, on every cluster, reachable or not.
use serde_json::Value;

use super::{
    Rancher, binding,
    core::{lock, management, meta, rbac},
    subject,
};

/// One RBAC object that gives a subject something.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// The cluster it is on; `local` for Rancher's own.
    pub cluster: String,
    /// `RoleBinding` or `ClusterRoleBinding`.
    pub kind: String,
    /// Empty for a ClusterRoleBinding.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The role it gives.
    pub role: String,
    /// The whole object.
    pub object: Value,
}

impl Rancher {
    /// Every CRTB, PRTB and GRB, in this order.
    pub fn bindings(&self) -> Vec<Value> {
        let core = self.core();
        let mut all: Vec<Value> = binding::all(core).into_iter().map(|(_, one)| one).collect();
        all.extend(core.local.list(&management("globalrolebindings"), None));
        all
    }

    /// The RBAC objects whose subject is this user (by id or principal) or this group (by principal), on every cluster.
    pub fn access_of(&self, who: &str) -> Vec<Access> {
        let core = self.core();
        let mut names = vec![who.to_owned()];
        names.extend(subject::user_of(core, who).map(|user| meta(&user, "name").to_owned()));
        let mut servers = vec![("local".to_owned(), core.local.clone())];
        let downstreams = lock(&core.downstreams);
        servers.extend(downstreams.iter().map(|(id, one)| (id.clone(), one.server.clone())));
        drop(downstreams);
        let mut found = Vec::new();
        for (cluster, server) in servers {
            for resource in ["clusterrolebindings", "rolebindings"] {
                let all = server.list(&rbac(resource), None).into_iter();
                let theirs = all.filter(|object| names_any(object, &names));
                found.extend(theirs.map(|object| Access::of(&cluster, object)));
            }
        }
        found
    }
}

fn names_any(object: &Value, names: &[String]) -> bool {
    let subjects = object["subjects"].as_array();
    subjects.into_iter().flatten().any(|subject| names.iter().any(|name| subject["name"] == name.as_str()))
}

impl Access {
    fn of(cluster: &str, object: Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Self {
            cluster: cluster.to_owned(),
            kind: text(&object["kind"]),
            namespace: meta(&object, "namespace").to_owned(),
            name: meta(&object, "name").to_owned(),
            role: text(&object["roleRef"]["name"]),
            object,
        }
    }
}
