//! What a fresh Rancher holds: kinds, settings, roles, its own cluster, an administrator.
mod roles;
use serde_json::{Value, json};

use crate::apiserver::{ApiServer, Gvr, Resource};

use super::{
    Model, Version,
    core::{Core, lock, management, meta, rbac},
    global, names,
    tokens::{self, TokenSpec},
    world::plant_project,
};

/// The namespace of local users' passwords.
pub(super) const PASSWORDS: &str = "cattle-local-user-passwords";
/// The feature that 2.12 has for ext tokens.
pub(super) const EXT_TOKENS: &str = "ext-tokens";
/// The local administrator's id.
const ADMIN: &str = "user-8pvqg";

/// Kind, plural, and traits: n namespaced, s status subresource.
const KINDS: [(&str, &str, &str); 12] = [
    ("Cluster", "clusters", ""),
    ("Project", "projects", "n"),
    ("RoleTemplate", "roletemplates", ""),
    ("GlobalRole", "globalroles", ""),
    ("GlobalRoleBinding", "globalrolebindings", "s"),
    ("ClusterRoleTemplateBinding", "clusterroletemplatebindings", "ns"),
    ("ProjectRoleTemplateBinding", "projectroletemplatebindings", "n"),
    ("User", "users", ""),
    ("UserAttribute", "userattributes", ""),
    ("Setting", "settings", ""),
    ("Feature", "features", ""),
    ("Token", "tokens", ""),
];

fn put(server: &ApiServer, gvr: &Gvr, object: Value) {
    if let Err(error) = server.create_unchecked(gvr, object) {
        panic!("testkit rancher: seeding {}: {error}", gvr.resource);
    }
}

fn namespace(server: &ApiServer, name: &str, annotations: &Value) {
    let labels = json!({"kubernetes.io/metadata.name": name});
    let object = json!({
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
    });
    put(server, &Gvr::core("namespaces"), object);
}

/// Puts everything into Rancher's own cluster.
pub(super) fn plant(core: &Core, model: Model, install_uuid: &str) {
    register(&core.local);
    for name in ["cattle-system", "cattle-tokens", "cattle-global-data", "fleet-local", "fleet-default", PASSWORDS] {
        namespace(&core.local, name, &json!({}));
    }
    plant_settings(core, model, install_uuid);
    roles::plant_role_templates(core);
    roles::plant_global_roles(core);
    plant_cluster(core, "local", "local", &json!({}));
    plant_admin(core);
}

fn register(local: &ApiServer) {
    let register = |group: &str, version: &str, kind: &str, plural: &str, traits: &str| {
        local.register(Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: traits.contains('n'),
            status_subresource: traits.contains('s'),
        });
    };
    for (kind, plural, traits) in KINDS {
        register("management.cattle.io", "v3", kind, plural, traits);
    }
    register("ext.cattle.io", "v1", "Token", "tokens", "");
    register("provisioning.cattle.io", "v1", "Cluster", "clusters", "ns");
}

fn plant_settings(core: &Core, model: Model, install_uuid: &str) {
    for (name, value, default) in [
        ("install-uuid", install_uuid, ""),
        ("server-version", core.version().tag(), "dev"),
        ("server-url", "https://rancher.example.com", ""),
        ("cacerts", "", ""),
        ("auth-token-max-ttl-minutes", "", "129600"),
        ("auth-user-session-ttl-minutes", "", "960"),
        ("password-min-length", "", "12"),
        ("system-namespaces", "", ""),
        ("user-retention-cron", "", ""),
        ("disable-inactive-user-after", "", ""),
        ("delete-inactive-user-after", "", ""),
    ] {
        let setting = json!({"metadata": {"name": name}, "value": value, "default": default, "source": ""});
        put(&core.local, &management("settings"), setting);
    }
    let on = model == Model::Aggregated;
    let switched = core.version().switches_models();
    // Where it cannot be switched, it was an argument of the installation.
    let feature = json!({
        "metadata": {"name": "aggregated-roletemplates"}, "spec": {"value": if on && switched { json!(true) } else { Value::Null }},
        "status": {
            "default": on && !switched, "dynamic": switched, "description": "Make use of aggregated cluster roles",
            "lockedValue": if switched { Value::Null } else { on.into() },
        },
    });
    put(&core.local, &management("features"), feature);
    settle_version(core);
}

/// What a release writes into its settings and features when it starts.
pub(super) fn settle_version(core: &Core) {
    let (version, settings, features) = (core.version(), management("settings"), management("features"));
    let write = |gvr: &Gvr, object: Value| {
        if let Err(error) = core.local.update_unchecked(gvr, object) {
            panic!("testkit rancher: starting as {}: {error}", version.tag());
        }
    };
    if let Some(mut setting) = core.local.get(&settings, "", "server-version") {
        setting["value"] = version.tag().into();
        write(&settings, setting);
    }
    if let Some(mut setting) = core.local.get(&settings, "", "system-namespaces") {
        setting["default"] = version.system_namespaces().into();
        write(&settings, setting);
    }
    if let Some(mut feature) = core.local.get(&features, "", "aggregated-roletemplates")
        && version.switches_models()
    {
        feature["status"]["dynamic"] = true.into();
        feature["status"]["lockedValue"] = Value::Null;
        write(&features, feature);
    }
    let tokens = core.local.get(&features, "", EXT_TOKENS).is_some();
    if version == Version::V2_12 && !tokens {
        let feature = json!({
            "metadata": {"name": EXT_TOKENS}, "spec": {"value": null},
            "status": {"default": true, "dynamic": false, "description": "Imperative tokens", "lockedValue": null},
        });
        put(&core.local, &features, feature);
    } else if version > Version::V2_12 && tokens {
        let _ = core.local.delete_unchecked(&features, "", EXT_TOKENS);
    }
}

/// A cluster as Rancher knows it, with projects Default and System and the usual namespaces.
pub(super) fn plant_cluster(core: &Core, id: &str, display: &str, labels: &Value) {
    let is_local = id == "local";
    namespace(&core.local, id, &json!({}));
    let workspace = if is_local { "fleet-local" } else { "fleet-default" };
    let cluster = json!({
        "metadata": {"name": id, "labels": labels},
        "spec": {"displayName": display, "internal": is_local, "fleetWorkspaceName": workspace, "description": ""},
        "status": {
            "driver": if is_local { "local" } else { "imported" }, "provider": "k3s", "version": {"gitVersion": "v1.37.2"},
            "conditions": [{"type": "Ready", "status": "True"}, {"type": "Connected", "status": "True"}],
        },
    });
    put(&core.local, &management("clusters"), cluster);
    let Some(server) = core.server(id) else {
        panic!("testkit rancher: the cluster {id} has no API server");
    };
    roles::plant_kubernetes_roles(&server);
    let admins = core.local.list(&management("globalrolebindings"), None);
    for admin in admins.iter().filter(|one| one["globalRoleName"] == "admin" && !is_local) {
        if let Some(subject) = names::rbac_subject(admin) {
            put(&server, &rbac("clusterrolebindings"), global::admin(core, &subject, admin));
        }
    }
    let mark = |what: &str| json!({format!("authz.management.cattle.io/{what}-project"): "true"});
    let system = plant_project(core, id, "System", &mark("system"));
    let default = plant_project(core, id, "Default", &mark("default"));
    for (name, project) in [("kube-system", system), ("default", default)] {
        let gvr = Gvr::core("namespaces");
        let Some(mut object) = server.get(&gvr, "", name) else {
            continue;
        };
        object["metadata"]["annotations"]["field.cattle.io/projectId"] = format!("{id}:{project}").into();
        object["metadata"]["labels"]["field.cattle.io/projectId"] = project.into();
        if let Err(error) = server.update_unchecked(&gvr, object) {
            panic!("testkit rancher: putting {name} into its project: {error}");
        }
    }
}

fn plant_admin(core: &Core) {
    let user = json!({
        "metadata": {"name": ADMIN, "labels": {"authz.management.cattle.io/bootstrapping": "admin-user"}},
        "username": "admin", "displayName": "Default Admin", "enabled": true, "principalIds": [format!("local://{ADMIN}")],
    });
    put(&core.local, &management("users"), user);
    plant_admin_rights(core, ADMIN);
    *lock(&core.admin_bearer) = tokens::make(core, ADMIN, &TokenSpec::default());
}

/// A GlobalRoleBinding to `admin`, already realised.
pub(super) fn plant_admin_rights(core: &Core, user: &str) {
    let name = format!("globalrolebinding-{}", core.random(5));
    let role = core.local.get(&management("globalroles"), "", "admin").unwrap_or_default();
    let owner = json!([{"apiVersion": "management.cattle.io/v3", "kind": "GlobalRole", "name": "admin", "uid": meta(&role, "uid")}]);
    let binding = json!({
        "metadata": {"name": name, "finalizers": ["controller.cattle.io/mgmt-auth-grb-controller"], "ownerReferences": owner},
        "globalRoleName": "admin", "userName": user, "userPrincipalName": format!("local://{user}"),
        "status": {"summary": "Completed", "summaryLocal": "Completed", "summaryRemote": "Completed"},
    });
    put(&core.local, &management("globalrolebindings"), binding);
    let Some(binding) = core.local.get(&management("globalrolebindings"), "", &name) else {
        return;
    };
    let subject = ("User", user.to_owned());
    put(&core.local, &rbac("clusterrolebindings"), global::rights(&binding, &subject));
    for (_, server) in core.reachable() {
        put(&server, &rbac("clusterrolebindings"), global::admin(core, &subject, &binding));
    }
}
