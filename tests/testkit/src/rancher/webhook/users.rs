//! Users and their passwords.
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    super::{login, seed::PASSWORDS},
    *,
};

/// How a password was hashed; what says nothing, or something else, is in clear.
const HASHED: &str = "cattle.io/password-hash";
const HASHES: [&str; 2] = ["pbkdf2sha3512", "bcrypt"];

/// What the webhook has against a user. Principals may be changed up to 0.11.0.
pub(super) fn check(core: &Core, request: &AdmissionRequest) -> Result<(), Denied> {
    let version = core.version();
    let itself = version.guards_oneself() && request.user.name == request.name;
    let refuse = |why: &str| Err(bad_request(&request.gvr, why));
    let Some(object) = &request.object else {
        return if itself { refuse("can't delete yourself") } else { Ok(()) };
    };
    let old = request.old_object.as_ref();
    let (was, username) = (old.map_or("", |old| text(old, "username")), text(object, "username"));
    if !was.is_empty() && was != username && version.guards_usernames() {
        return refuse(&format!("user.username: Invalid value: {username:?}: field is immutable"));
    }
    let is_new = version.guards_usernames() && was.is_empty() && !username.is_empty();
    let taken = |other: &Value| text(other, "username") == username && meta(other, "name") != request.name;
    if is_new && core.local.list(&management("users"), None).iter().any(taken) {
        return refuse("username already exists");
    }
    let may_log_in = |user: &Value| user["enabled"] != false;
    if itself && old.is_some_and(may_log_in) && !may_log_in(object) {
        return refuse("can't deactivate yourself");
    }
    Ok(())
}

/// The clear text is replaced by hash and salt before anybody can read it, in a create and in an update.
pub(super) fn hash_password(core: &Core, request: &AdmissionRequest, object: &mut Value) -> Result<(), Denied> {
    let hashed = object["metadata"]["annotations"][HASHED].as_str().is_some_and(|by| HASHES.contains(&by));
    if hashed || request.dry_run || request.namespace != PASSWORDS {
        return Ok(());
    }
    let name = meta(object, "name").to_owned();
    let refuse = |why: &str| Err(bad_request(&request.gvr, why));
    let Some(user) = core.local.get(&management("users"), "", &name) else {
        return refuse(&format!("user {name} does not exist. User must be created before the secret"));
    };
    let clear = STANDARD.decode(text(&object["data"], "password")).unwrap_or_default();
    let least = least_length(core);
    if String::from_utf8_lossy(&clear).chars().count() < least {
        return refuse(&format!("password must be at least {least} characters"));
    }
    if clear == text(&user, "username").as_bytes() {
        return refuse("password cannot be the same as username");
    }
    let salt = core.random(32);
    let hash = login::hash(&clear, salt.as_bytes());
    object["data"]["password"] = STANDARD.encode(hash).into();
    object["data"]["salt"] = STANDARD.encode(&salt).into();
    object["metadata"]["annotations"][HASHED] = HASHES[0].into();
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "management.cattle.io/v3", "kind": "User", "name": name, "uid": meta(&user, "uid"),
    }]);
    Ok(())
}

fn least_length(core: &Core) -> usize {
    let setting = core.local.get(&management("settings"), "", "password-min-length").unwrap_or_default();
    let set = text(&setting, "value");
    let least = if set.is_empty() { text(&setting, "default") } else { set };
    least.parse().unwrap_or_default()
}
