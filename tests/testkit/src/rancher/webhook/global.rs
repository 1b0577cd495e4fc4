//! Global role bindings.
use super::super::roles;
use super::*;

/// Finalizer and owner, at once.
pub(super) fn fill(core: &Core, object: &mut Value) {
    object["metadata"]["finalizers"] = json!([controllers::GLOBAL_FINALIZER]);
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
        if text(old, "globalRoleName") != name {
            let why = format!("globalrolebinding.globalRoleName: Invalid value: {name:?}: field is immutable");
            return Err(bad_request(gvr, &why));
        }
        return Ok(());
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
    check_escalation(core, request, &role)
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
