//! Role templates, features and projects.
use super::super::names;
use super::*;

/// Only inheritance blocks the deletion of a role template; bindings that use it do not.
pub(super) fn check_role_template(core: &Core, request: &AdmissionRequest) -> Result<(), Denied> {
    if request.operation != Operation::Delete {
        return Ok(());
    }
    let all = core.local.list(&management("roletemplates"), None);
    let inherits = |role: &&Value| {
        let list = role["roleTemplateNames"].as_array();
        list.into_iter().flatten().any(|one| *one == request.name.as_str())
    };
    let heirs: Vec<String> = all.iter().filter(inherits).map(|role| format!("{:?}", meta(role, "name"))).collect();
    if heirs.is_empty() {
        return Ok(());
    }
    let why = format!(
        "roletemplate {:?} cannot be deleted because it is inherited by roletemplate(s) {}",
        request.name,
        heirs.join(", ")
    );
    Err(bad_request(&request.gvr, &why))
}

/// A feature that was fixed at the installation stays as it was.
pub(super) fn check_feature(request: &AdmissionRequest) -> Result<(), Denied> {
    let object = request.object.as_ref().unwrap_or(&Value::Null);
    let (fixed, wanted) = (&object["status"]["lockedValue"], &object["spec"]["value"]);
    let unchanged = request.old_object.as_ref().is_some_and(|old| old["spec"]["value"] == *wanted);
    if fixed.is_null() || unchanged || wanted == fixed {
        return Ok(());
    }
    Err(bad_request(&request.gvr, &format!("feature flag cannot be changed from current value: {fixed}")))
}

/// A project from before there were backing namespaces keeps its own name as that of its namespace.
pub(super) fn name_backing(core: &Core, object: &mut Value) {
    if core.version().has_backing_namespaces() && text(&object["status"], "backingNamespace").is_empty() {
        object["status"]["backingNamespace"] = object["metadata"]["name"].clone();
    }
}

/// The backing namespace is there, and named in the status, when the create answers; in 2.11.0 a controller makes it.
pub(super) async fn fill_project(core: &Core, request: &AdmissionRequest, object: &mut Value) -> Result<(), Denied> {
    let cluster = text(&object["spec"], "clusterName").to_owned();
    if cluster != request.namespace {
        let why = "project.spec.clusterName: Forbidden: clusterName and project namespace must match";
        return Err(bad_request(&request.gvr, why));
    }
    if meta(object, "name").is_empty() {
        object["metadata"]["name"] = format!("{}{}", meta(object, "generateName"), core.random(5)).into();
    }
    if !core.version().has_backing_namespaces() {
        return Ok(());
    }
    let backing = names::shortened(&format!("{cluster}-{}", meta(object, "name").to_lowercase()));
    object["status"] = json!({"backingNamespace": backing, "conditions": []});
    if request.dry_run {
        return Ok(());
    }
    let namespace = json!({"metadata": {"name": backing}});
    let made = core.local.create(&Gvr::core("namespaces"), &namespace).await;
    match made {
        Err(error) if error.code != 409 => Err(failed(&request.gvr, &error.message)),
        _ => Ok(()),
    }
}
