//! Reading and writing the metadata of objects that are plain JSON.
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Map, Value};

/// Where an object lives within its resource. Orders by namespace, then name, as a real server lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub fn cluster(name: &str) -> Self {
        Self::new("", name)
    }
}

/// A time as `metav1.Time` writes it: UTC, whole seconds.
pub(super) fn stamp(at: Timestamp) -> Value {
    at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}

/// `metadata.<field>` as text; empty when it is not there.
pub(super) fn meta<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

/// `metadata`, made if it is not there.
pub(super) fn meta_mut(object: &mut Value) -> &mut Map<String, Value> {
    child_mut(object, "metadata")
}

/// An object-valued child, made (or replaced, if it was no object) when needed.
pub(super) fn child_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let child = &mut object[field];
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    match child {
        Value::Object(map) => map,
        other => unreachable!("just made an object, found {other}"),
    }
}

/// Sets a member, or removes it for `None` and null.
pub(super) fn set(map: &mut Map<String, Value>, field: &str, value: Option<&Value>) {
    match value {
        Some(value) if !value.is_null() => {
            map.insert(field.to_owned(), value.clone());
        }
        _ => {
            map.remove(field);
        }
    }
}

/// The names in `metadata.finalizers`.
pub(super) fn finalizers(object: &Value) -> Vec<String> {
    let list = object["metadata"]["finalizers"].as_array();
    list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whether a delete was asked for.
pub(super) fn is_terminating(object: &Value) -> bool {
    object["metadata"].get("deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// The revision an object was last written at; 0 when it carries none that can be read.
pub(super) fn revision(object: &Value) -> u64 {
    meta(object, "resourceVersion").parse().unwrap_or(0)
}

/// A dotted path such as `spec.integrationRef.name`.
pub(super) fn at_path<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.trim_start_matches('.').split('.').fold(object, |value, part| &value[part])
}

/// The UIDs of an object's owners.
pub(super) fn owner_uids(object: &Value) -> Vec<&str> {
    let list = object["metadata"]["ownerReferences"].as_array();
    list.into_iter().flatten().filter_map(|owner| owner["uid"].as_str()).collect()
}
