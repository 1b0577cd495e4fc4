//! Who a binding is for: users found by principal, and made for principals that were never seen.
use serde_json::{Value, json};

use super::{
    Rancher,
    core::{Core, lock, management, meta, stamp, text},
    delivery::Reference,
    names,
};

/// The user that has a principal.
pub(super) fn user_of(core: &Core, principal: &str) -> Option<Value> {
    let users = core.local.list(&management("users"), None);
    let has = |user: &Value| {
        let principals = user["principalIds"].as_array();
        principals.into_iter().flatten().any(|one| *one == principal)
    };
    users.into_iter().find(has)
}

/// The subject fields that Rancher fills in; makes a user for a principal it never saw, and that user stays.
pub(super) async fn fill(core: &Core, binding: &Value) -> Value {
    let (name, principal) = (text(binding, "userName"), text(binding, "userPrincipalName"));
    match (name.is_empty(), principal.is_empty()) {
        (false, true) if core.local.get(&management("users"), "", name).is_some() => {
            json!({"userPrincipalName": format!("local://{name}")})
        }
        (true, false) => {
            let user = match user_of(core, principal) {
                Some(user) => meta(&user, "name").to_owned(),
                None => make(core, principal).await,
            };
            json!({"userName": user})
        }
        _ => json!({}),
    }
}

/// Which global roles a new user gets, and which of them he has.
const ROLES: &str = "authz.management.cattle.io/creator-role-bindings";

async fn make(core: &Core, principal: &str) -> String {
    let id = names::user_for_principal(principal);
    let required = default_roles(core);
    let user = json!({
        "metadata": {
            "name": id, "labels": {names::label_for_principal(principal): "hashed-principal-name"},
            "annotations": {ROLES: json!({"required": required}).to_string()},
        },
        "displayName": "", "username": "", "principalIds": [principal],
    });
    // It may be there already, made for another binding at the same time; then it is the one.
    let made = core.local.create(&management("users"), &user).await;
    if let Ok(user) = made
        && *lock(&core.default_roles)
    {
        give_default_roles(core, &user, &required).await;
    }
    id
}

fn default_roles(core: &Core) -> Vec<String> {
    let roles = core.local.list(&management("globalroles"), None);
    let default = roles.iter().filter(|role| role["newUserDefault"] == true);
    default.map(|role| meta(role, "name").to_owned()).collect()
}

/// Binds him to each, and notes that in annotation and condition.
async fn give_default_roles(core: &Core, user: &Value, required: &[String]) {
    for role in required {
        let binding =
            json!({"metadata": {"generateName": "grb-"}, "userName": meta(user, "name"), "globalRoleName": role});
        if core.local.create(&management("globalrolebindings"), &binding).await.is_err() {
            return;
        }
    }
    let condition = json!({"type": "InitialRolesPopulated", "status": "True", "lastUpdateTime": stamp((core.now)())});
    let patch = json!({
        "metadata": {"annotations": {ROLES: json!({"created": required, "required": required}).to_string()}},
        "status": {"conditions": [condition]},
    });
    Reference::of(&management("users"), user).write(core, "", |_| Some(patch.clone())).await;
}

impl Rancher {
    /// Whether users whom Rancher makes for principals it never saw get a GlobalRoleBinding to each role that new users have.
    /// They do on a real one; here they do not until this is called.
    pub fn set_default_roles(&self, on: bool) {
        *lock(&self.core().default_roles) = on;
    }
}
