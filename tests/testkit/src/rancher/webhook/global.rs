//! Global role bindings.
use super::super::{core::is_terminating, roles};
use super::*;

/// Finalizer and owner, at once.
pub(super) fn fill(core: &Core, object: &mut Value) {
    let mut finalizers = super::super::core::finalizers(object);
    finalizers.push(controllers::GLOBAL_FINALIZER.to_owned());
    object["metadata"]["finalizers"] = json!(finalizers);
    let name = text(object, "globalRoleName").to_owned();
    if let Some(role) = core.local.get(&management("globalroles"), "", &name) {
        object["metadata"]["ownerReferences"] = json!([{
            "apiVersion": "management.cattle.io/v3", "kind": "GlobalRole", "name": name, "uid": meta(&role, "uid"),
        }]);
    }
}

pub(super) fn check(core: &Core, request: &AdmissionRequest) -> Result<(), Denied> {
    let Some(object) = &request.object else {
        return Ok(());
    };
    let gvr = &request.gvr;
    let name = text(object, "globalRoleName");
    if let Some(old) = &request.old_object {
        return check_update(core, request, object, old);
    }
    let has = |field: &str| !text(object, field).is_empty();
    let (user, group) = (has("userName") || has("userPrincipalName"), has("groupPrincipalName"));
    if user && group {
        let why = "bindings can not set both userName/userPrincipalName and groupPrincipalName";
        return Err(bad_request(gvr, why));
    }
    if !user && !group {
        let why = "bindings must have either userName/userPrincipalName or groupPrincipalName set";
        return Err(bad_request(gvr, why));
    }
    let Some(role) = core.local.get(&management("globalroles"), "", name) else {
        let why = format!("globalrolebinding.globalRoleName: Not found: {:?}", request.name);
        return Err(bad_request(gvr, &why));
    };
    check_inherited(core, request, &role)?;
    check_escalation(core, request, &role)
}

/// A binding that goes is not looked at. Rancher may fill in the user of a principal; nothing else of what it is changes.
fn check_update(core: &Core, request: &AdmissionRequest, object: &Value, old: &Value) -> Result<(), Denied> {
    if is_terminating(object) {
        return Ok(());
    }
    let name = text(object, "globalRoleName");
    let Some(role) = core.local.get(&management("globalroles"), "", name) else {
        let why = format!("globalrolebindings.globalRoleName: Not found: {name:?}");
        return Err(bad_request(&request.gvr, &why));
    };
    for field in ["globalRoleName", "userName", "groupPrincipalName"] {
        let (new, before) = (text(object, field), text(old, field));
        let fills = field == "userName" && before.is_empty() && !text(old, "userPrincipalName").is_empty();
        if new != before && !fills {
            let why = format!("globalrolebindings.{field}: Invalid value: {new:?}: field is immutable");
            return Err(bad_request(&request.gvr, &why));
        }
    }
    check_escalation(core, request, &role)
}

/// A role that hands on a locked role template cannot be bound.
fn check_inherited(core: &Core, request: &AdmissionRequest, role: &Value) -> Result<(), Denied> {
    let inherited = role["inheritedClusterRoles"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let locked = |name: &&str| roles::template(core, name).is_some_and(|one| one["locked"] == true);
    let locked: Vec<&str> = inherited.filter(locked).collect();
    if locked.is_empty() {
        return Ok(());
    }
    let why = format!(
        "globalrolebindings.globalRoleName: Invalid value: {:?}: global role inherits roleTemplate(s) {} which is locked",
        meta(role, "name"),
        locked.join(", ")
    );
    Err(bad_request(&request.gvr, &why))
}

fn check_escalation(core: &Core, request: &AdmissionRequest, role: &Value) -> Result<(), Denied> {
    let user = &request.user;
    let bind = Attributes {
        verb: "bind".to_owned(),
        group: request.gvr.group.clone(),
        resource: "globalroles".to_owned(),
        name: meta(role, "name").to_owned(),
        ..Attributes::default()
    };
    if is_admin(core, user) || rights::reason(&core.local, user, &bind).is_some() {
        return Ok(());
    }
    let rules = role["rules"].as_array().cloned().unwrap_or_default();
    let missing = roles::missing(&[], &rules);
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "user {:?} is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        missing.join("\n")
    );
    Err(denied(&request.gvr, 403, "Forbidden", &why))
}
