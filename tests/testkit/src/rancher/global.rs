//! What a global role binding stands for: RBAC objects on Rancher's cluster, on every cluster, and bindings of its own.
use serde_json::{Map, Value, json};

use crate::apiserver::{ApiServer, Gvr};

use super::{
    core::{Core, is_terminating, lock, management, meta, rbac, text},
    names,
};

/// Says of which global binding something is.
pub(super) const OWNER: &str = "authz.management.cattle.io/grb-owner";

type Subject = (&'static str, String);

/// The ClusterRole that a global role stands for.
pub(super) fn cluster_role(role: &str) -> String {
    format!("cattle-globalrole-{role}")
}

fn owned_by(kind: &str, owner: &Value) -> Value {
    json!([{
        "apiVersion": "management.cattle.io/v3", "kind": kind, "name": meta(owner, "name"), "uid": meta(owner, "uid"),
    }])
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().into_iter().flatten().any(|one| *one == wanted)
}

/// Whether its holders are administrators of every cluster: `admin`, or all verbs on all resources and on all URLs.
pub(super) fn is_admin(role: &Value) -> bool {
    let rules = || role["rules"].as_array().into_iter().flatten().filter(|rule| has(&rule["verbs"], "*"));
    let everything = rules().any(|rule| has(&rule["apiGroups"], "*") && has(&rule["resources"], "*"));
    let urls = rules().any(|rule| has(&rule["nonResourceURLs"], "*"));
    meta(role, "name") == "admin" || everything && urls
}

/// Whether a binding's end takes an administrator's rights: a custom role's do not before 2.11.6, nor where it is gone already.
pub(super) fn ends_as_admin(core: &Core, role: &str) -> bool {
    let custom = || core.local.get(&management("globalroles"), "", role).is_some_and(|role| is_admin(&role));
    role == "admin" || core.version().knows_custom_admins() && custom()
}

fn role_ref(kind: &str, name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name})
}

fn subjects(subject: &Subject) -> Value {
    json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": subject.0, "name": subject.1}])
}

/// The ClusterRoleBinding that makes a subject administrator of a cluster: keyed by subject, not by binding.
pub(super) fn admin(core: &Core, subject: &Subject, binding: &Value) -> Value {
    let key = match subject.0 {
        "User" => subject.1.clone(),
        _ => names::user_for_principal(&subject.1),
    };
    let mut object = json!({
        "metadata": {"name": format!("globaladmin-{key}")}, "roleRef": role_ref("ClusterRole", "cluster-admin"),
        "subjects": subjects(subject),
    });
    if core.version().knows_custom_admins() {
        object["metadata"]["annotations"] = json!({
            "authz.cluster.cattle.io/globalrole": text(binding, "globalRoleName"),
            "authz.cluster.cattle.io/globalrolebinding": meta(binding, "name"),
            "authz.cluster.cattle.io/admin-globalrole-checked": "true",
        });
    }
    object
}

/// The ClusterRoleBinding of a binding's own rights on Rancher's cluster; it goes with the binding.
pub(super) fn rights(binding: &Value, subject: &Subject) -> Value {
    let asked = binding["metadata"]["annotations"]["authz.management.cattle.io/crb-name"].as_str();
    let name = asked.map_or_else(|| format!("cattle-globalrolebinding-{}", meta(binding, "name")), str::to_owned);
    json!({
        "metadata": {
            "name": name, "labels": {"authz.management.cattle.io/globalrolebinding": "true"},
            "ownerReferences": owned_by("GlobalRoleBinding", binding),
        },
        "roleRef": role_ref("ClusterRole", &cluster_role(text(binding, "globalRoleName"))), "subjects": subjects(subject),
    })
}

/// Makes what is missing, or gives it its rules again.
async fn put(server: &ApiServer, gvr: &Gvr, object: &Value) {
    if let Some(there) = server.get(gvr, meta(object, "namespace"), meta(object, "name")) {
        if there["rules"] != object["rules"] {
            let patch = json!({"rules": object["rules"]});
            let _ = server.patch(gvr, meta(object, "namespace"), meta(object, "name"), "", &patch).await;
        }
        return;
    }
    // A namespace that is not there, or somebody who was faster: Rancher leaves both alone.
    let _ = server.create(gvr, object).await;
}

/// A global role's ClusterRole.
pub(super) async fn ensure_role(core: &Core, role: &Value) {
    let rules = role["rules"].as_array().cloned().unwrap_or_default();
    let mut metadata = json!({"name": cluster_role(meta(role, "name"))});
    metadata["ownerReferences"] = owned_by("GlobalRole", role);
    put(&core.local, &rbac("clusterroles"), &json!({"metadata": metadata, "rules": rules})).await;
}

/// Gives a binding's subject what its role says. False where a part was refused.
pub(super) async fn realise(core: &Core, binding: &Value, role: &Value, subject: &Subject) -> bool {
    ensure_role(core, role).await;
    put(&core.local, &rbac("clusterrolebindings"), &rights(binding, subject)).await;
    if is_admin(role) {
        for (_, server) in core.reachable() {
            put(&server, &rbac("clusterrolebindings"), &admin(core, subject, binding)).await;
        }
    }
    let owner = owned_by("GlobalRoleBinding", binding);
    in_namespaces(&core.local, &role["namespacedRules"], (binding, role, subject), Some(owner)).await;
    if core.version().inherits_namespaced_rules() {
        for (cluster, server) in core.reachable() {
            if cluster != "local" {
                in_namespaces(&server, &role["inheritedNamespacedRules"], (binding, role, subject), None).await;
            }
        }
    }
    inherit(core, binding, role, subject).await
}

/// Roles and RoleBindings for rules by namespace; what is on Rancher's cluster is owned by the binding.
async fn in_namespaces(server: &ApiServer, rules: &Value, of: (&Value, &Value, &Subject), owner: Option<Value>) {
    let (binding, role, subject) = of;
    for (namespace, rules) in rules.as_object().unwrap_or(&Map::new()) {
        let name = names::shortened(&format!("{}-{namespace}", meta(role, "name")));
        let mut metadata = json!({"name": name, "namespace": namespace});
        put(server, &rbac("roles"), &json!({"metadata": metadata, "rules": rules})).await;
        metadata["name"] = names::shortened(&format!("{}-{namespace}", meta(binding, "name"))).into();
        metadata["labels"] = json!({OWNER: meta(binding, "name")});
        if let Some(owner) = &owner {
            metadata["ownerReferences"] = owner.clone();
        }
        let object = json!({"metadata": metadata, "roleRef": role_ref("Role", &name), "subjects": subjects(subject)});
        put(server, &rbac("rolebindings"), &object).await;
    }
}

/// Takes back what downstream clusters have in name of a binding, where they are reached.
pub(super) async fn forget_namespaces(core: &Core, binding: &Value) {
    for (cluster, server) in core.reachable() {
        for object in server.list(&rbac("rolebindings"), None) {
            if cluster != "local" && object["metadata"]["labels"][OWNER] == meta(binding, "name") {
                let (namespace, name) = (meta(&object, "namespace"), meta(&object, "name"));
                let _ = server.delete(&rbac("rolebindings"), namespace, name, None).await;
            }
        }
    }
}

/// One cluster binding for every inherited role on every cluster but Rancher's own, through the webhook like anybody's.
async fn inherit(core: &Core, binding: &Value, role: &Value, subject: &Subject) -> bool {
    let gvr = management("clusterroletemplatebindings");
    let clusters: Vec<String> = lock(&core.downstreams).keys().cloned().collect();
    let mut done = true;
    for cluster in clusters {
        let all = core.local.list(&gvr, Some(&cluster));
        for inherited in role["inheritedClusterRoles"].as_array().into_iter().flatten() {
            let ours = |one: &Value| {
                one["metadata"]["labels"][OWNER] == meta(binding, "name")
                    && one["roleTemplateName"] == *inherited
                    && !is_terminating(one)
            };
            if all.iter().any(ours) {
                continue;
            }
            let field = if subject.0 == "User" { "userName" } else { "groupPrincipalName" };
            let labels = json!({OWNER: meta(binding, "name"), "app.kubernetes.io/managed-by": "rancher"});
            let crtb = json!({
                "metadata": {
                    "generateName": "crtb-grb-", "namespace": cluster, "labels": labels,
                    "ownerReferences": owned_by("GlobalRoleBinding", binding),
                },
                "clusterName": cluster, "roleTemplateName": inherited, field: subject.1,
            });
            done &= core.local.create(&gvr, &crtb).await.is_ok();
        }
    }
    done
}
