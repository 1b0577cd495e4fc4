//! The rules of `metadata`: names, labels, finalizers, and the fields that only the server writes.
use serde_json::Value;

use super::{
    builtin,
    kind::Kind,
    object::{finalizers, is_terminating, meta, meta_mut, set},
    status::{ApiError, FieldError},
};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must \
    start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end \
    with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must \
    start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn is_label(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.starts_with(fine) && text.ends_with(fine) && text.chars().all(|c| fine(c) || c == '-')
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    text.is_empty()
        || text.len() <= 63
            && text.starts_with(edge)
            && text.ends_with(edge)
            && text.chars().all(|c| edge(c) || "-_.".contains(c))
}

/// What is wrong with a name, if anything.
fn name_fault(kind: &Kind, name: &str) -> Option<String> {
    if kind.free_names {
        let fault = |found: bool, what: &str| found.then(|| format!("may not contain '{what}'"));
        return fault(name.contains('/'), "/").or_else(|| fault(name.contains('%'), "%"));
    }
    if kind.gvr.group.is_empty() && kind.gvr.resource == "namespaces" {
        let long = (name.len() > 63).then(|| "must be no more than 63 bytes".to_owned());
        return long.or_else(|| (!is_label(name)).then(|| LABEL.to_owned()));
    }
    let long = (name.len() > 253).then(|| "must be no more than 253 bytes".to_owned());
    long.or_else(|| (!name.split('.').all(is_label)).then(|| SUBDOMAIN.to_owned()))
}

/// Faults of the metadata of an object that is about to be stored.
pub(super) fn check(kind: &Kind, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = meta(object, "name");
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else if let Some(fault) = name_fault(kind, name) {
        errors.push(FieldError::invalid("metadata.name", &name.into(), &fault));
    }
    for value in object["metadata"]["labels"].as_object().into_iter().flat_map(|labels| labels.values()) {
        if !is_label_value(value.as_str().unwrap_or_default()) {
            errors.push(FieldError::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    errors
}

/// Faults of an update that follow from the object as it was.
pub(super) fn check_update(kind: &Kind, object: &Value, current: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_terminating(current) {
        let had = finalizers(current);
        let mut new: Vec<String> = finalizers(object).into_iter().filter(|one| !had.contains(one)).collect();
        new.sort();
        if !new.is_empty() {
            let list: Vec<String> = new.iter().map(|one| format!("{one:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(FieldError::forbidden("metadata.finalizers", &why));
        }
    }
    let (new, old) = (&object["metadata"]["deletionTimestamp"], &current["metadata"]["deletionTimestamp"]);
    if !new.is_null() && new != old {
        errors.push(FieldError::invalid("metadata.deletionTimestamp", new, "field is immutable"));
    }
    let uid = &object["metadata"]["uid"];
    if !uid.is_null() && *uid != current["metadata"]["uid"] {
        errors.push(FieldError::invalid("metadata.uid", uid, "field is immutable"));
    }
    if !builtin::is_built_in(kind) {
        // A real server checks the metadata of custom resources twice.
        errors.extend_from_within(..);
    }
    errors
}

/// Takes the fields that only the server writes from the stored object.
pub(super) fn keep_system_fields(object: &mut Value, current: &Value) {
    let fields = [
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "resourceVersion",
        "generateName",
        "name",
        "namespace",
    ];
    let map = meta_mut(object);
    for field in fields {
        set(map, field, current["metadata"].get(field));
    }
    tidy(object);
}

/// Drops what is never stored, and empty maps and lists, which a real server leaves out.
pub(super) fn tidy(object: &mut Value) {
    let map = meta_mut(object);
    map.remove("selfLink");
    map.remove("managedFields");
    for field in ["labels", "annotations", "finalizers", "ownerReferences"] {
        let empty = match map.get(field) {
            Some(Value::Object(members)) => members.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(Value::Null) => true,
            _ => false,
        };
        if empty {
            map.remove(field);
        }
    }
    let nulls: Vec<String> = map.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    for name in nulls {
        map.remove(&name);
    }
}

/// Whether `apiVersion` and `kind` fit; only built-in kinds may leave them out.
fn check_type(kind: &Kind, object: &Value) -> Result<(), ApiError> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (given_version, given_kind) = (text("apiVersion"), text("kind"));
    let expected = kind.gvr.api_version();
    if builtin::is_built_in(kind) {
        let fits = given_version.is_empty() || given_version == expected;
        if fits && (given_kind.is_empty() || given_kind == kind.kind) {
            return Ok(());
        }
        let message = format!(
            "{given_kind} in version {given_version:?} cannot be handled as a {}: \
             no kind {given_kind:?} is registered for version {given_version:?}",
            kind.kind
        );
        return Err(ApiError::bad_request(message));
    }
    for (missing, field) in [(given_kind, "Kind"), (given_version, "apiVersion")] {
        if missing.is_empty() {
            let data = object.to_string();
            let start: String = data.chars().take(30).collect();
            return Err(ApiError::bad_request(format!(
                "the object provided is unrecognized (must be of type {}): Object '{field}' is missing in '{data}' ({start} ...)",
                kind.kind
            )));
        }
    }
    if given_version != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({expected})"
        )));
    }
    if given_kind != kind.kind {
        let mut named = kind.clone();
        given_kind.clone_into(&mut named.kind);
        let error = FieldError::invalid("kind", &given_kind.into(), &format!("must be {}", kind.kind));
        return Err(ApiError::invalid(&named, meta(object, "name"), &[error]));
    }
    Ok(())
}

/// Whether a body speaks of the kind, name and namespace of its path; fills in what it left out.
pub(super) fn fit(kind: &Kind, object: &mut Value, namespace: &str, name: &str) -> Result<(), ApiError> {
    if !object.is_object()
        || object.get("metadata").is_some_and(|metadata| !metadata.is_object() && !metadata.is_null())
    {
        return Err(ApiError::bad_request("the object provided is unrecognized (must be of type Object)"));
    }
    check_type(kind, object)?;
    let expected = kind.gvr.api_version();
    object["apiVersion"] = expected.into();
    object["kind"] = kind.kind.clone().into();
    let given = meta(object, "namespace");
    if !given.is_empty() && given != namespace {
        return Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    let given = meta(object, "name").to_owned();
    if !name.is_empty() && !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let map = meta_mut(object);
    if !namespace.is_empty() {
        map.insert("namespace".to_owned(), namespace.into());
    }
    if !name.is_empty() {
        map.insert("name".to_owned(), name.into());
    }
    Ok(())
}
