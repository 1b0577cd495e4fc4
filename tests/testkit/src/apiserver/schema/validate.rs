//! Validation by types, limits and patterns, in the words of a real server.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use super::junctors;
use crate::apiserver::status::FieldError;

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.as_f64().is_some_and(|float| float.fract() != 0.0) => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn has_type(value: &Value, wanted: &str) -> bool {
    let actual = type_of(value);
    actual == wanted || wanted == "number" && actual == "integer"
}

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn child(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Collects what is wrong with `value` at `path`.
pub(super) fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if value.is_null() && schema["nullable"] == true || path == "metadata" {
        return;
    }
    if !check_type(schema, value, path, errors) {
        return;
    }
    check_enum(schema, value, path, errors);
    match value {
        Value::String(text) => check_string(schema, text, path, errors),
        Value::Number(_) => check_number(schema, value, path, errors),
        Value::Array(items) => check_list(schema, items, path, errors),
        Value::Object(_) => check_object(schema, value, path, errors),
        _ => {}
    }
    junctors::check(schema, value, path, errors);
}

fn check_type(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) -> bool {
    let wanted = schema["type"].as_str().unwrap_or_default();
    let fine = if schema["x-kubernetes-int-or-string"] == true {
        matches!(type_of(value), "integer" | "string")
    } else {
        wanted.is_empty() || has_type(value, wanted)
    };
    if !fine {
        let actual = type_of(value);
        let wanted = if wanted.is_empty() { "integer,string" } else { wanted };
        let detail = format!("{path} in body must be of type {wanted}: {actual:?}");
        errors.push(FieldError::wrong_type(path, &actual.into(), &detail));
        if wanted == "integer" && actual == "number" {
            junctors::junctor(errors, &format!("Checked value must be of type integer (default format) in {path}"));
        }
    }
    fine
}

fn check_enum(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<String> =
            allowed.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
        errors.push(FieldError::unsupported(path, value, &names));
    }
}

fn check_string(schema: &Value, text: &str, path: &str, errors: &mut Vec<FieldError>) {
    let length = text.chars().count() as u64;
    if let Some(max) = schema["maxLength"].as_u64().filter(|&max| length > max) {
        errors.push(FieldError::too_long(path, max));
    }
    let mut fault = |detail: String| errors.push(FieldError::invalid(path, &text.into(), &detail));
    if let Some(min) = schema["minLength"].as_u64().filter(|&min| length < min) {
        fault(format!("{path} in body should be at least {min} chars long"));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        match read(pattern) {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => fault(format!("{path} in body should match '{pattern}'")),
            Err(error) => fault(format!("testkit apiserver: the pattern '{pattern}' cannot be read: {error}")),
        }
    }
    if let Some(format) = schema["format"].as_str()
        && !has_format(format, text)
    {
        let detail = format!("{path} in body must be of type {format}: {text:?}");
        errors.push(FieldError::wrong_type(path, &text.into(), &detail));
    }
}

/// Patterns that were read: reading one takes longer than all else about a write.
static PATTERNS: Mutex<BTreeMap<String, Regex>> = Mutex::new(BTreeMap::new());

fn read(pattern: &str) -> Result<Regex, regex::Error> {
    let mut patterns = PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = patterns.get(pattern) {
        return Ok(known.clone());
    }
    let regex = Regex::new(pattern)?;
    patterns.insert(pattern.to_owned(), regex.clone());
    Ok(regex)
}

/// Formats other than these are annotations that nothing checks.
fn has_format(format: &str, text: &str) -> bool {
    match format {
        "date-time" => text.parse::<Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        _ => true,
    }
}

fn check_number(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(number) = value.as_f64() else { return };
    let mut fault = |detail: String| errors.push(FieldError::invalid(path, value, &detail));
    if let Some(min) = schema["minimum"].as_f64() {
        let exclusive = schema["exclusiveMinimum"] == true;
        if number < min || exclusive && number <= min {
            let or_equal = if exclusive { "" } else { " or equal to" };
            fault(format!("{path} in body should be greater than{or_equal} {min}"));
        }
    }
    if let Some(max) = schema["maximum"].as_f64() {
        let exclusive = schema["exclusiveMaximum"] == true;
        if number > max || exclusive && number >= max {
            let or_equal = if exclusive { "" } else { " or equal to" };
            fault(format!("{path} in body should be less than{or_equal} {max}"));
        }
    }
}

fn check_list(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    if let Some(max) = schema["maxItems"].as_u64().filter(|&max| items.len() as u64 > max) {
        errors.push(FieldError::too_many(path, items.len(), max));
    }
    if let Some(min) = schema["minItems"].as_u64().filter(|&min| (items.len() as u64) < min) {
        let detail = format!("{path} in body should have at least {min} items");
        errors.push(FieldError::invalid(path, &items.len().into(), &detail));
    }
    for (index, item) in items.iter().enumerate() {
        check(&schema["items"], item, &format!("{path}[{index}]"), errors);
    }
    check_unique(schema, items, path, errors);
}

/// Sets have distinct items, list maps distinct keys.
fn check_unique(schema: &Value, items: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    let keys: Vec<&str> =
        schema["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let list_type = schema["x-kubernetes-list-type"].as_str().unwrap_or_default();
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let identity = match list_type {
            "map" => keys
                .iter()
                .filter(|&&key| !item[key].is_null())
                .map(|&key| (key.to_owned(), item[key].clone()))
                .collect(),
            "set" => item.clone(),
            _ => return,
        };
        if !seen.insert(identity.to_string()) {
            errors.push(FieldError::duplicate(&format!("{path}[{index}]"), &identity));
        }
    }
}

fn check_object(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let Some(map) = value.as_object() else { return };
    for name in names(&schema["required"]) {
        if !map.contains_key(name) {
            errors.push(FieldError::required(&child(path, name), ""));
        }
    }
    if let Some(max) = schema["maxProperties"].as_u64().filter(|&max| map.len() as u64 > max) {
        errors.push(FieldError::too_many(path, map.len(), max));
    }
    if let Some(min) = schema["minProperties"].as_u64().filter(|&min| (map.len() as u64) < min) {
        let detail = format!("{path} in body should have at least {min} properties");
        errors.push(FieldError::invalid(path, &json!(map.len()), &detail));
    }
    for (name, member) in map {
        let property = &schema["properties"][name.as_str()];
        if property.is_object() {
            check(property, member, &child(path, name), errors);
        } else if schema["additionalProperties"].is_object() {
            check(&schema["additionalProperties"], member, &child(path, name), errors);
        }
    }
}
