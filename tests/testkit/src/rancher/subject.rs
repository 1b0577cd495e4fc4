//! Who a binding is for: users found by principal, and made for principals that were never seen.
use serde_json::{Value, json};

use super::{
    core::{Core, management, meta, text},
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

async fn make(core: &Core, principal: &str) -> String {
    let id = names::user_for_principal(principal);
    let user = json!({
        "metadata": {"name": id}, "displayName": "", "username": "",
        "principalIds": [principal, format!("local://{id}")],
    });
    // It may be there already, made for another binding at the same time; then it is the one.
    let _ = core.local.create(&management("users"), &user).await;
    id
}
