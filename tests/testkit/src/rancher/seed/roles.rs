//! The roles that a fresh Rancher holds, with rules enough like the real ones.
use serde_json::{Value, json};

use crate::apiserver::ApiServer;

use super::{
    super::{
        core::{Core, management, rbac},
        global,
    },
    put,
};

fn rule(groups: &[&str], resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": groups, "resources": resources, "verbs": verbs})
}

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
const WORKLOADS: [&str; 6] = ["configmaps", "pods", "services", "deployments", "jobs", "persistentvolumeclaims"];
const RANCHER: [&str; 1] = ["management.cattle.io"];

/// Kubernetes' own user-facing ClusterRoles.
pub(super) fn plant_kubernetes_roles(server: &ApiServer) {
    let groups = ["", "apps", "batch"];
    let grant = rule(&["rbac.authorization.k8s.io"], &["roles", "rolebindings"], &WRITE);
    for (name, rules) in [
        ("cluster-admin", json!([rule(&["*"], &["*"], &["*"])])),
        ("admin", json!([rule(&groups, &WORKLOADS, &WRITE), rule(&[""], &["secrets"], &WRITE), grant])),
        ("edit", json!([rule(&groups, &WORKLOADS, &WRITE), rule(&[""], &["secrets"], &WRITE)])),
        ("view", json!([rule(&groups, &WORKLOADS, &READ)])),
    ] {
        let role = json!({"metadata": {"name": name}, "rules": rules});
        put(server, &rbac("clusterroles"), role);
    }
}

struct Template {
    name: &'static str,
    display: &'static str,
    context: &'static str,
    inherits: &'static [&'static str],
    external: bool,
    rules: Vec<Value>,
}

fn template(name: &'static str, display: &'static str, context: &'static str, rules: Vec<Value>) -> Template {
    Template { name, display, context, inherits: &[], external: false, rules }
}

impl Template {
    fn inherits(mut self, names: &'static [&'static str]) -> Self {
        self.inherits = names;
        self
    }

    fn external(mut self) -> Self {
        self.external = true;
        self
    }
}

fn cluster_templates() -> Vec<Template> {
    let bindings = ["clusterroletemplatebindings"];
    vec![
        template("cluster-owner", "Cluster Owner", "cluster", vec![rule(&["*"], &["*"], &["*"])]),
        template(
            "cluster-member",
            "Cluster Member",
            "cluster",
            vec![
                rule(&RANCHER, &bindings, &READ),
                rule(&RANCHER, &["projects"], &["create"]),
                rule(&RANCHER, &["nodes", "nodepools", "clustercatalogs"], &READ),
                rule(&[""], &["nodes"], &READ),
            ],
        ),
        template("projects-create", "Create Projects", "cluster", vec![rule(&RANCHER, &["projects"], &["create"])]),
        template("nodes-view", "View Nodes", "cluster", vec![rule(&[""], &["nodes"], &READ)]),
        template(
            "clusterroletemplatebindings-manage",
            "Manage Cluster Members",
            "cluster",
            vec![rule(&RANCHER, &bindings, &["*"])],
        ),
    ]
}

fn project_templates() -> Vec<Template> {
    let bindings = ["projectroletemplatebindings"];
    let volumes = || rule(&["", "storage.k8s.io"], &["persistentvolumes", "storageclasses"], &READ);
    vec![
        template(
            "project-owner",
            "Project Owner",
            "project",
            vec![
                rule(&RANCHER, &bindings, &["*"]),
                rule(&RANCHER, &["projects"], &WRITE),
                rule(&[""], &["namespaces"], &["create"]),
                volumes(),
            ],
        )
        .inherits(&["admin"]),
        template(
            "project-member",
            "Project Member",
            "project",
            vec![rule(&RANCHER, &bindings, &READ), rule(&[""], &["namespaces"], &["create"]), volumes()],
        )
        .inherits(&["edit"]),
        template("read-only", "Read-only", "project", vec![rule(&RANCHER, &bindings, &READ), volumes()])
            .inherits(&["view"]),
        template("admin", "Kubernetes admin", "project", Vec::new()).external(),
        template("edit", "Kubernetes edit", "project", Vec::new()).external(),
        template("view", "Kubernetes view", "project", Vec::new()).external(),
        template(
            "projectroletemplatebindings-manage",
            "Manage Project Members",
            "project",
            vec![rule(&RANCHER, &bindings, &["*"])],
        ),
        template("secrets-view", "View Secrets", "project", vec![rule(&[""], &["secrets"], &READ)]),
    ]
}

/// The usual role templates.
pub(super) fn plant_role_templates(core: &Core) {
    for one in cluster_templates().into_iter().chain(project_templates()) {
        let role = json!({
            "metadata": {"name": one.name}, "displayName": one.display, "context": one.context, "builtin": true,
            "external": one.external, "hidden": false, "locked": false, "administrative": one.name == "cluster-owner",
            "roleTemplateNames": one.inherits, "rules": one.rules,
        });
        put(&core.local, &management("roletemplates"), role);
    }
}

/// The usual global roles.
pub(super) fn plant_global_roles(core: &Core) {
    let everything = vec![rule(&["*"], &["*"], &["*"]), json!({"nonResourceURLs": ["*"], "verbs": ["*"]})];
    let base = vec![
        rule(&RANCHER, &["roletemplates", "globalroles", "settings", "features"], &READ),
        rule(&["ext.cattle.io"], &["tokens"], &["*"]),
    ];
    for (name, display, rules) in
        [("admin", "Admin", everything), ("user", "Standard User", base.clone()), ("user-base", "User-Base", base)]
    {
        let role = json!({
            "metadata": {"name": name}, "displayName": display, "builtin": true, "newUserDefault": name == "user",
            "rules": rules,
        });
        put(&core.local, &management("globalroles"), role);
        let cluster_role = json!({"metadata": {"name": global::cluster_role(name)}, "rules": rules});
        put(&core.local, &rbac("clusterroles"), cluster_role);
    }
}
