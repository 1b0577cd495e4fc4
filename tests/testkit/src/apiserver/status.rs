//! Errors as a Kubernetes API server words them: a `Status` object with code, reason, message and details.
use std::collections::BTreeSet;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::kind::{Gvr, Kind};

/// What the server answers instead of an object.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code} {reason}: {message}")]
pub struct ApiError {
    /// The HTTP status code.
    pub code: u16,
    /// `Status.reason`, such as `NotFound`; empty where a real server gives none.
    pub reason: String,
    /// `Status.message`.
    pub message: String,
    /// `Status.details`; `Null` when there are none.
    pub details: Value,
}

/// One fault of one field, as `Invalid` errors list them.
#[derive(Clone, Debug)]
pub(super) struct FieldError {
    pub field: String,
    pub reason: &'static str,
    pub body: String,
}

/// A value as messages show it: whole numbers without a fraction.
fn shown(value: &Value) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        Some(float) => float.to_string(),
        None => value.to_string(),
    }
}

impl FieldError {
    fn new(field: &str, reason: &'static str, body: String) -> Self {
        Self { field: field.to_owned(), reason, body }
    }

    pub fn required(field: &str, detail: &str) -> Self {
        let body = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        Self::new(field, "FieldValueRequired", body)
    }

    pub fn invalid(field: &str, value: &Value, detail: &str) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {}: {detail}", shown(value)))
    }

    /// For objects and lists, whose value the server leaves out.
    pub fn invalid_without_value(field: &str, detail: &str) -> Self {
        Self::new(field, "FieldValueInvalid", format!("Invalid value: {detail}"))
    }

    pub fn wrong_type(field: &str, value: &Value, detail: &str) -> Self {
        Self::new(field, "FieldValueTypeInvalid", format!("Invalid value: {value}: {detail}"))
    }

    pub fn forbidden(field: &str, detail: &str) -> Self {
        Self::new(field, "FieldValueForbidden", format!("Forbidden: {detail}"))
    }

    pub fn duplicate(field: &str, value: &Value) -> Self {
        Self::new(field, "FieldValueDuplicate", format!("Duplicate value: {value}"))
    }

    pub fn too_long(field: &str, max: u64) -> Self {
        Self::new(field, "FieldValueTooLong", format!("Too long: may not be more than {max} bytes"))
    }

    pub fn too_many(field: &str, actual: usize, max: u64) -> Self {
        Self::new(field, "FieldValueTooMany", format!("Too many: {actual}: must have at most {max} items"))
    }

    pub fn unsupported(field: &str, value: &Value, allowed: &[String]) -> Self {
        let quoted: Vec<String> = allowed.iter().map(|one| format!("{one:?}")).collect();
        let body = format!("Unsupported value: {value}: supported values: {}", quoted.join(", "));
        Self::new(field, "FieldValueNotSupported", body)
    }

    fn text(&self) -> String {
        format!("{}: {}", self.field, self.body)
    }
}

fn details(gvr: &Gvr, kind: &str, name: &str) -> Map<String, Value> {
    let mut map = Map::new();
    if !name.is_empty() {
        map.insert("name".to_owned(), name.into());
    }
    if !gvr.group.is_empty() {
        map.insert("group".to_owned(), gvr.group.clone().into());
    }
    map.insert("kind".to_owned(), kind.into());
    map
}

impl ApiError {
    /// An error without details.
    pub fn new(code: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Self { code: code.as_u16(), reason: reason.to_owned(), message: message.into(), details: Value::Null }
    }

    fn about(code: StatusCode, reason: &str, gvr: &Gvr, name: &str, message: String) -> Self {
        let details = Value::Object(details(gvr, &gvr.resource, name));
        Self { details, ..Self::new(code, reason, message) }
    }

    /// 404 for an object that is not there.
    pub fn not_found(gvr: &Gvr, name: &str) -> Self {
        let message = format!("{} {name:?} not found", gvr.group_resource());
        Self::about(StatusCode::NOT_FOUND, "NotFound", gvr, name, message)
    }

    /// 404 for a path that no resource serves.
    pub fn no_such_path(what: &str) -> Self {
        let message = format!("testkit apiserver: {what}: the server could not find the requested resource");
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    /// 409 for a name that is taken.
    pub fn already_exists(gvr: &Gvr, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", gvr.group_resource());
        Self::about(StatusCode::CONFLICT, "AlreadyExists", gvr, name, message)
    }

    /// 409 with the reason of the conflict after the usual prefix.
    pub fn conflict(gvr: &Gvr, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", gvr.group_resource());
        Self::about(StatusCode::CONFLICT, "Conflict", gvr, name, message)
    }

    /// 409 for a DELETE whose precondition does not hold; unlike elsewhere the kind stands where the plural does.
    pub(super) fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let mut gvr = kind.gvr.clone();
        gvr.resource.clone_from(&kind.kind);
        Self::conflict(&gvr, name, why)
    }

    /// 409 for a stale resourceVersion.
    pub fn modified(gvr: &Gvr, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(gvr, name, why)
    }

    /// 403 in the words of admission: `<resource> "<name>" is forbidden: <why>`.
    pub fn forbidden(gvr: &Gvr, name: &str, why: &str) -> Self {
        let subject = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let message = format!("{}{subject} is forbidden: {why}", gvr.group_resource());
        Self::about(StatusCode::FORBIDDEN, "Forbidden", gvr, name, message)
    }

    /// 400 in the server's own words.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 400 for what a real server may know and this one does not.
    pub fn unknown(what: impl std::fmt::Display) -> Self {
        Self::bad_request(format!("testkit apiserver: {what}"))
    }

    /// 405 for a verb that the resource does not serve.
    pub fn method_not_allowed(what: &str) -> Self {
        let message =
            format!("testkit apiserver: {what}: the server does not allow this method on the requested resource");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message)
    }

    /// 415 for a body in a content type this server does not read.
    pub fn unsupported_media_type(what: &str) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", format!("testkit apiserver: {what}"))
    }

    /// 410 for a resourceVersion that was compacted away.
    pub fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(StatusCode::GONE, "Expired", format!("too old resource version: {asked} ({oldest})"))
    }

    pub(super) fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = errors.iter().map(FieldError::text).collect();
        // The causes may name a fault twice, the message does not.
        let mut seen = BTreeSet::new();
        texts.retain(|text| seen.insert(text.clone()));
        let list = if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
        let gvr = &kind.gvr;
        let dotted = if gvr.group.is_empty() { String::new() } else { format!(".{}", gvr.group) };
        let message = format!("{}{dotted} {name:?} is invalid: {list}", kind.kind);
        let mut map = details(gvr, &kind.kind, name);
        let causes = errors
            .iter()
            .map(|error| json!({"reason": error.reason, "message": error.body, "field": error.field}))
            .collect();
        map.insert("causes".to_owned(), Value::Array(causes));
        let details = Value::Object(map);
        Self { details, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message) }
    }

    /// Adds a cause to the details.
    pub(super) fn with_cause(mut self, cause: Value) -> Self {
        if let Some(map) = self.details.as_object_mut() {
            let causes = map.entry("causes").or_insert_with(|| json!([]));
            if let Some(list) = causes.as_array_mut() {
                list.push(cause);
            }
        }
        self
    }

    /// The `Status` object.
    pub fn to_status(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.clone().into();
        }
        if !self.details.is_null() {
            status["details"] = self.details.clone();
        }
        status
    }
}
