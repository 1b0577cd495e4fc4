//! What the built-in kinds do beyond the general rules: defaults, types, and fields that may not change.
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use k8s_openapi::api::{admissionregistration, coordination, core, rbac};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    custom,
    kind::Kind,
    object::{child_mut, meta, set},
    policy,
    status::{ApiError, FieldError},
};

const NAMES: [&str; 7] = [
    "",
    "events.k8s.io",
    "coordination.k8s.io",
    "rbac.authorization.k8s.io",
    "apiextensions.k8s.io",
    "admissionregistration.k8s.io",
    "authorization.k8s.io",
];

/// Whether the kind is one of the server's own.
pub(super) fn is_built_in(kind: &Kind) -> bool {
    NAMES.contains(&kind.gvr.group.as_str())
}

/// The fields of core events and what events.k8s.io calls them.
const EVENT_FIELDS: [(&str, &str); 7] = [
    ("message", "note"),
    ("involvedObject", "regarding"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

fn rename_event(object: &mut Value, to_core: bool) {
    if let Some(map) = object.as_object_mut() {
        for (core, new) in EVENT_FIELDS {
            let (from, to) = if to_core { (new, core) } else { (core, new) };
            if let Some(value) = map.remove(from) {
                map.insert(to.to_owned(), value);
            }
        }
    }
}

/// A stored object as the asked version shows it.
pub(super) fn to_version(kind: &Kind, object: &Value) -> Value {
    let mut shown = object.clone();
    if kind.gvr.group == "events.k8s.io" && object["apiVersion"] == "v1" {
        rename_event(&mut shown, false);
    }
    shown["apiVersion"] = kind.gvr.api_version().into();
    shown
}

/// The same without a copy, where it is stored in that version.
pub(super) fn in_version(kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
    if object["apiVersion"] == kind.gvr.api_version() {
        return Arc::clone(object);
    }
    Arc::new(to_version(kind, object))
}

/// An object as it is stored.
pub(super) fn to_storage(kind: &Kind, mut object: Value) -> Value {
    if kind.gvr.group == "events.k8s.io" {
        rename_event(&mut object, true);
        object["apiVersion"] = "v1".into();
    }
    object
}

/// Reads the object as its type, which drops unknown fields and refuses wrong ones.
fn typed<T: Serialize + DeserializeOwned>(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    let read = serde_json::from_value::<T>(object.clone()).and_then(serde_json::to_value);
    *object = read.map_err(|error| {
        let (name, version) = (&kind.kind, &kind.gvr.version);
        ApiError::bad_request(format!("{name} in version {version:?} cannot be handled as a {name}: {error}"))
    })?;
    Ok(())
}

/// Types and defaults of the kind.
pub(super) fn default(kind: &Kind, object: &mut Value) -> Result<(), ApiError> {
    if !is_built_in(kind) {
        return Ok(());
    }
    match kind.kind.as_str() {
        "Namespace" => {
            typed::<core::v1::Namespace>(kind, object)?;
            default_namespace(object);
        }
        "Secret" => {
            typed::<core::v1::Secret>(kind, object)?;
            default_secret(object);
        }
        "ConfigMap" => typed::<core::v1::ConfigMap>(kind, object)?,
        "ServiceAccount" => typed::<core::v1::ServiceAccount>(kind, object)?,
        "Lease" => typed::<coordination::v1::Lease>(kind, object)?,
        "Role" => typed::<rbac::v1::Role>(kind, object)?,
        "ClusterRole" => typed::<rbac::v1::ClusterRole>(kind, object)?,
        "RoleBinding" => {
            typed::<rbac::v1::RoleBinding>(kind, object)?;
            default_subjects(object);
        }
        "ClusterRoleBinding" => {
            typed::<rbac::v1::ClusterRoleBinding>(kind, object)?;
            default_subjects(object);
        }
        "Event" => {
            let source = if kind.gvr.group.is_empty() { "source" } else { "deprecatedSource" };
            let _ = child_mut(object, source);
        }
        "CustomResourceDefinition" => custom::default(object),
        "ValidatingAdmissionPolicy" => typed::<admissionregistration::v1::ValidatingAdmissionPolicy>(kind, object)?,
        "ValidatingAdmissionPolicyBinding" => {
            typed::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>(kind, object)?;
        }
        _ => {}
    }
    policy::default(kind, object);
    Ok(())
}

fn default_namespace(object: &mut Value) {
    let name = meta(object, "name").to_owned();
    if !name.is_empty() {
        object["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    }
    let terminating = super::object::is_terminating(object);
    if object["spec"]["finalizers"].is_null() && !terminating {
        object["spec"] = json!({"finalizers": ["kubernetes"]});
    }
    object["status"]["phase"] = if terminating { "Terminating" } else { "Active" }.into();
}

fn default_secret(object: &mut Value) {
    let texts = object.as_object_mut().and_then(|map| map.remove("stringData"));
    for (name, text) in texts.as_ref().and_then(Value::as_object).into_iter().flatten() {
        let encoded = STANDARD.encode(text.as_str().unwrap_or_default());
        child_mut(object, "data").insert(name.clone(), encoded.into());
    }
    if object["type"].as_str().unwrap_or_default().is_empty() {
        object["type"] = "Opaque".into();
    }
}

fn default_subjects(object: &mut Value) {
    for subject in object["subjects"].as_array_mut().into_iter().flatten() {
        let of_group = matches!(subject["kind"].as_str(), Some("User" | "Group"));
        if of_group && subject["apiGroup"].as_str().unwrap_or_default().is_empty() {
            subject["apiGroup"] = "rbac.authorization.k8s.io".into();
        }
    }
    if object["roleRef"]["apiGroup"].as_str().unwrap_or_default().is_empty() {
        object["roleRef"]["apiGroup"] = "rbac.authorization.k8s.io".into();
    }
}

/// Faults that the kind itself finds.
pub(super) fn check(kind: &Kind, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors =
        if kind.kind == "CustomResourceDefinition" { custom::check(object) } else { policy::check(kind, object) };
    let Some(old) = old.filter(|_| is_built_in(kind)) else {
        return errors;
    };
    match kind.kind.as_str() {
        "RoleBinding" | "ClusterRoleBinding" if object["roleRef"] != old["roleRef"] => {
            let role = &object["roleRef"];
            let shown = json!({"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]});
            errors.push(FieldError::invalid("roleRef", &shown, "field is immutable"));
        }
        "Secret" if object["type"] != old["type"] => {
            errors.push(FieldError::invalid("type", &object["type"], "field is immutable"));
        }
        _ => {}
    }
    if old["immutable"] == true {
        for field in ["data", "binaryData", "stringData"] {
            if object[field] != old[field] {
                errors.push(FieldError::forbidden(field, "field is immutable when `immutable` is set"));
            }
        }
        if object["immutable"] != true {
            errors.push(FieldError::forbidden("immutable", "field is immutable when `immutable` is set"));
        }
    }
    errors
}

/// Whether something other than metadata.finalizers holds the object.
pub(super) fn has_spec_finalizers(kind: &Kind, object: &Value) -> bool {
    kind.gvr.group.is_empty()
        && kind.kind == "Namespace"
        && object["spec"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// What the kind's status says once a delete was asked for.
pub(super) fn on_terminating(kind: &Kind, object: &mut Value) {
    if kind.gvr.group.is_empty() && kind.kind == "Namespace" {
        set(child_mut(object, "status"), "phase", Some(&"Terminating".into()));
    }
}
