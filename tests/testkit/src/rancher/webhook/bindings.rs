//! Cluster and project bindings.
use serde_json::Value;

use super::super::{
    binding,
    core::is_terminating,
    global,
    names::{self, SUBJECTS},
    roles,
};
use super::*;

const COMMON: [&str; 9] = [
    "apiVersion",
    "kind",
    "metadata",
    "status",
    "userName",
    "userPrincipalName",
    "groupName",
    "groupPrincipalName",
    "roleTemplateName",
];

/// Whether the kind's definition has a field.
pub(in super::super) fn knows(kind: Kind, field: &str) -> bool {
    COMMON.contains(&field) || field == kind.scope_field() || kind == Kind::Project && field == "serviceAccount"
}

/// Drops the fields that the kind's definition does not have, as the API server does.
pub(super) fn prune(kind: Kind, object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        map.retain(|field, _| knows(kind, field));
    }
}

/// A binding with `generateName` only gets a name that its content decides.
pub(super) fn name(kind: Kind, object: &mut Value) {
    let prefix = meta(object, "generateName").to_owned();
    if !meta(object, "name").is_empty() || prefix.is_empty() {
        return;
    }
    let subject = SUBJECTS.iter().map(|field| text(object, field));
    let subject = subject.into_iter().find(|one| !one.is_empty());
    let (role, scope) = (text(object, "roleTemplateName"), text(object, kind.scope_field()));
    let content = names::content(subject.unwrap_or_default(), role, scope);
    object["metadata"]["name"] = format!("{prefix}{content}").into();
}

pub(super) fn check(core: &Core, kind: Kind, request: &AdmissionRequest) -> Result<(), Denied> {
    let Some(object) = &request.object else {
        return Ok(());
    };
    if let Some(old) = &request.old_object {
        check_immutable(kind, request, object, old)?;
        return check_escalation(core, kind, request, object);
    }
    check_subject(kind, request, object)?;
    check_scope(core, kind, request, object)?;
    check_role(core, kind, request, object)?;
    check_duplicate(core, kind, request, object)?;
    check_escalation(core, kind, request, object)
}

fn check_subject(kind: Kind, request: &AdmissionRequest, object: &Value) -> Result<(), Denied> {
    let has = |field: &str| !text(object, field).is_empty();
    let targets = [
        has("userName") || has("userPrincipalName"),
        has("groupName") || has("groupPrincipalName"),
        kind == Kind::Project && has("serviceAccount"),
    ];
    if targets.iter().filter(|&&one| one).count() == 1 {
        return Ok(());
    }
    let third = match kind {
        Kind::Cluster => "",
        Kind::Project => " OR a service account [serviceAccount]",
    };
    let why = format!(
        "{}: Forbidden: binding must target either a user [userName]/[userPrincipalName] OR a group \
         [groupName]/[groupPrincipalName]{third}",
        kind.lower()
    );
    Err(bad_request(&request.gvr, &why))
}

fn check_scope(core: &Core, kind: Kind, request: &AdmissionRequest, object: &Value) -> Result<(), Denied> {
    let scope = text(object, kind.scope_field());
    let cluster_exists = |id: &str| core.local.get(&management("clusters"), "", id).is_some();
    let fault = match kind {
        Kind::Cluster if scope != request.namespace => {
            Some("Forbidden: clusterName and namespace must be the same value".to_owned())
        }
        Kind::Cluster if !cluster_exists(scope) => {
            let why = format!(
                "clusterroletemplatebinding.clusterName: Invalid value: {scope:?}: specified cluster {scope} not found"
            );
            return Err(bad_request(&request.gvr, &why));
        }
        Kind::Cluster => None,
        Kind::Project => return check_project(core, request, scope),
    };
    match fault {
        Some(fault) => Err(bad_request(&request.gvr, &format!("{}: {fault}", kind.lower()))),
        None => Ok(()),
    }
}

fn check_project(core: &Core, request: &AdmissionRequest, scope: &str) -> Result<(), Denied> {
    let invalid = |why: &str| {
        let field = "projectroletemplatebinding.projectName";
        bad_request(&request.gvr, &format!("{field}: Invalid value: {scope:?}: {why}"))
    };
    let malformed = "projectName must be of the form cluster.metadata.name:project.metadata.name, and both must refer to an \
        existing object";
    let (cluster, project) = scope.split_once(':').ok_or_else(|| invalid(malformed))?;
    if cluster.is_empty() || project.is_empty() || project.contains(':') {
        return Err(invalid(malformed));
    }
    if core.local.get(&management("clusters"), "", cluster).is_none() {
        return Err(invalid(&format!("specified cluster {cluster} not found")));
    }
    if core.local.get(&management("projects"), cluster, project).is_none() {
        return Err(invalid(&format!("specified project {project} not found in {cluster}")));
    }
    Ok(())
}

fn check_role(core: &Core, kind: Kind, request: &AdmissionRequest, object: &Value) -> Result<(), Denied> {
    let name = text(object, "roleTemplateName");
    let lower = kind.lower();
    let Some(role) = roles::template(core, name) else {
        let why =
            format!("{lower}.roleTemplateName: Invalid value: {name:?}: the referenced role template was not found");
        return Err(bad_request(&request.gvr, &why));
    };
    let (context, wanted) = (text(&role, "context"), kind.context());
    if context != wanted {
        let why = format!("{lower}.roleTemplate.context: Unsupported value: {context:?}: supported values: {wanted:?}");
        return Err(bad_request(&request.gvr, &why));
    }
    let of_global = !object["metadata"]["labels"][global::OWNER].is_null();
    if role["locked"] == true && !of_global {
        let display = roles::display(&role);
        let why =
            format!("{lower}.roleTemplate: Forbidden: referenced role {display} is locked and cannot be assigned");
        return Err(bad_request(&request.gvr, &why));
    }
    Ok(())
}

/// Two bindings of a namespace are one where role and any filled subject field are equal; those being deleted do not count.
/// A project binding's scope is not looked at: its namespace stands for it.
fn check_duplicate(core: &Core, kind: Kind, request: &AdmissionRequest, object: &Value) -> Result<(), Denied> {
    if !core.version().refuses_duplicates(kind) {
        return Ok(());
    }
    let same = |other: &Value, field: &str| text(other, field) == text(object, field);
    let is_itself = |other: &Value| meta(other, "name") == request.name;
    let clashes = |other: &Value| {
        !is_terminating(other)
            && !is_itself(other)
            && same(other, "roleTemplateName")
            && SUBJECTS.iter().any(|field| same(other, field) && !text(object, field).is_empty())
    };
    if core.local.list(&kind.gvr(), Some(&request.namespace)).iter().any(clashes) {
        let why = format!("duplicate {} not allowed", kind.short());
        return Err(denied(&request.gvr, 409, "Conflict", &why));
    }
    Ok(())
}

fn check_immutable(kind: Kind, request: &AdmissionRequest, object: &Value, old: &Value) -> Result<(), Denied> {
    let owner = |one: &Value| one["metadata"]["labels"][global::OWNER].clone();
    if owner(object) != owner(old) {
        let why =
            format!("{}.metadata.labels: Forbidden: label {} is immutable after creation", kind.lower(), global::OWNER);
        return Err(bad_request(&request.gvr, &why));
    }
    for field in ["roleTemplateName", kind.scope_field()].iter().chain(&SUBJECTS) {
        let (new, before) = (text(object, field), text(old, field));
        let fixed = !before.is_empty() || !SUBJECTS.contains(field);
        if fixed && new != before {
            let why = format!("{}.{field}: Invalid value: {new:?}: field is immutable", kind.lower());
            return Err(bad_request(&request.gvr, &why));
        }
    }
    Ok(())
}

/// Nobody grants what he does not hold; a role that is gone breaks the webhook for every update.
fn check_escalation(core: &Core, kind: Kind, request: &AdmissionRequest, object: &Value) -> Result<(), Denied> {
    let name = text(object, "roleTemplateName");
    if roles::template(core, name).is_none() {
        let review = "an error on the server (\"{\\\"kind\\\":\\\"AdmissionReview\\\",\\\"apiVersion\\\":\\\"admission.k8s.io/v1\\\"}\") \
            has prevented the request from succeeding";
        let why = match kind {
            Kind::Cluster => review.to_owned(),
            Kind::Project => format!("{}: EOF", post_url(&request.gvr)),
        };
        return Err(failed(&request.gvr, &why));
    }
    let user = &request.user;
    if is_admin(core, user) {
        return Ok(());
    }
    let missing = roles::missing(&held(core, kind, user, object), &roles::all_rules(core, name));
    if missing.is_empty() {
        return Ok(());
    }
    let groups: Vec<String> = user.groups.iter().map(|group| format!("{group:?}")).collect();
    let why = format!(
        "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        groups.join(" "),
        missing.join("\n")
    );
    Err(denied(&request.gvr, 422, "Invalid", &why))
}

/// The rules a user holds by bindings in the cluster, and for a project binding in the project.
fn held(core: &Core, kind: Kind, user: &User, object: &Value) -> Vec<Value> {
    let (cluster, project) = (kind.cluster(object), text(object, "projectName"));
    let mine = |binding: &Value| {
        let group = |field: &str| user.groups.iter().any(|one| one == text(binding, field));
        text(binding, "userName") == user.name || group("groupPrincipalName") || group("groupName")
    };
    let applies = |(of, binding): &(Kind, Value)| match of {
        Kind::Cluster => of.cluster(binding) == cluster,
        Kind::Project => kind == Kind::Project && text(binding, "projectName") == project,
    };
    binding::all(core)
        .iter()
        .filter(|one| applies(one) && mine(&one.1) && !is_terminating(&one.1))
        .flat_map(|(_, binding)| roles::all_rules(core, text(binding, "roleTemplateName")))
        .collect()
}
