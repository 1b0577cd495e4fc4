//! The structural schema of a custom resource: pruning, defaults, validation and CEL rules.
use std::sync::Mutex;

use kube_cel::{CompiledSchema, RootContext, Validator, compile_schema};
use serde_json::{Map, Value};

use super::{kind::Kind, lock, object::at_path, status::FieldError};

mod judged;
mod junctors;
mod validate;

use judged::Judged;

/// A compiled `openAPIV3Schema`.
#[derive(Debug)]
pub(super) struct Schema {
    root: Value,
    rules: CompiledSchema,
    context: RootContext,
    /// Kept, for making one registers every CEL function anew.
    validator: Mutex<Validator>,
    /// What was said of objects before.
    judged: Mutex<Judged>,
}

/// The errors after which a real server does not run the CEL rules.
const BLOCKING: [&str; 5] =
    ["FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"];

impl Schema {
    /// Compiles a schema; the errors name CEL rules that do not compile.
    pub fn compile(group: &str, version: &str, kind: &str, root: &Value) -> Result<Self, String> {
        let rules = compile_schema(root);
        if rules.has_errors() {
            let errors: Vec<String> = rules.compilation_errors().iter().map(ToString::to_string).collect();
            return Err(errors.join("; "));
        }
        let context = RootContext {
            api_version: format!("{group}/{version}"),
            api_group: group.to_owned(),
            kind: kind.to_owned(),
        };
        let (validator, judged) = (Mutex::new(Validator::new()), Mutex::new(Judged::new(root)));
        Ok(Self { root: root.clone(), rules, context, validator, judged })
    }

    /// Drops unknown fields and fills in defaults.
    pub fn default(&self, object: &mut Value) {
        let kept: Vec<(&str, Value)> =
            ["apiVersion", "kind", "metadata"].into_iter().map(|field| (field, object[field].clone())).collect();
        prune(&self.root, object);
        fill_in(&self.root, object);
        for (field, value) in kept {
            object[field] = value;
        }
    }

    /// Everything that is wrong with an object; `old` is what it replaces.
    pub fn check(&self, object: &Value, old: Option<&Value>, subresource: &str) -> Vec<FieldError> {
        let key = lock(&self.judged).key(object, old, subresource);
        if let Some(known) = key.as_ref().and_then(|key| lock(&self.judged).said(key)) {
            return known;
        }
        let errors = self.look(object, old, subresource);
        if let Some(key) = key {
            lock(&self.judged).keep(key, errors.clone());
        }
        errors
    }

    fn look(&self, object: &Value, old: Option<&Value>, subresource: &str) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if subresource.is_empty() {
            validate::check(&self.root, object, "", &mut errors);
        } else {
            // Of a status write only the status is checked, and its faults are worded from there.
            validate::check(&self.root["properties"][subresource], &object[subresource], "", &mut errors);
            errors.iter_mut().for_each(|error| error.field = format!("{subresource}.{}", error.field));
        }
        if errors.iter().any(|error| BLOCKING.contains(&error.reason)) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing errors \
                to complete validation";
            errors.push(FieldError::invalid("<nil>", &Value::Null, why));
            return errors;
        }
        let result =
            lock(&self.validator).validate_compiled_with_context(&self.rules, object, old, Some(&self.context));
        for error in result.err().into_iter().flatten() {
            errors.push(rule_error(object, &error.field_path, &error.message, error.reason.as_deref()));
        }
        errors
    }
}

/// A failed rule, with the value it is about unless that is an object or a list.
fn rule_error(object: &Value, path: &str, message: &str, reason: Option<&str>) -> FieldError {
    let plain = path.replace('[', ".").replace(']', "");
    let value =
        plain.split('.').filter(|part| !part.is_empty()).fold(object, |value, part| match part.parse::<usize>() {
            Ok(index) if value.is_array() => &value[index],
            _ => at_path(value, part),
        });
    let path = if path.is_empty() { "<nil>" } else { path };
    match reason {
        Some("FieldValueForbidden") => FieldError::forbidden(path, message),
        Some("FieldValueRequired") => FieldError::required(path, message),
        Some("FieldValueDuplicate") => FieldError::duplicate(path, value),
        _ if value.is_object() || value.is_array() || value.is_null() => {
            FieldError::invalid_without_value(path, message)
        }
        _ => FieldError::invalid(path, value, message),
    }
}

/// Pruning and defaults of a kind; nothing for kinds without a schema.
pub(super) fn default(kind: &Kind, object: &mut Value) {
    if let Some(schema) = &kind.schema {
        schema.default(object);
    }
}

/// Fills in what is not there and has a default, in place. What a default brings along is whole.
fn fill_in(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            let none = Map::new();
            let properties = schema["properties"].as_object().unwrap_or(&none);
            let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
            let additional = Some(&schema["additionalProperties"]).filter(|inner| inner.is_object() && !preserve);
            for (name, value) in map.iter_mut() {
                if let Some(inner) = properties.get(name).or(additional) {
                    fill_in(inner, value);
                }
            }
            for (name, default) in properties.iter().filter_map(|(name, inner)| Some((name, inner.get("default")?))) {
                if !map.contains_key(name) {
                    map.insert(name.clone(), default.clone());
                }
            }
        }
        Value::Array(items) if schema["items"].is_object() => {
            items.iter_mut().for_each(|item| fill_in(&schema["items"], item));
        }
        _ => {}
    }
}

fn flag(schema: &Value, name: &str) -> bool {
    schema[name] == true
}

/// Removes fields that the schema does not name, and nulls where it allows none.
fn prune(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => prune_object(schema, map),
        Value::Array(items) => items.iter_mut().for_each(|item| prune(&schema["items"], item)),
        _ => {}
    }
}

fn prune_object(schema: &Value, map: &mut Map<String, Value>) {
    let preserve = flag(schema, "x-kubernetes-preserve-unknown-fields");
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    let additional = &schema["additionalProperties"];
    let embedded = flag(schema, "x-kubernetes-embedded-resource");
    map.retain(|name, value| {
        let Some(property) = properties.get(name) else {
            let meta = embedded && matches!(name.as_str(), "apiVersion" | "kind" | "metadata");
            return preserve || meta || additional.is_object() || *additional == true;
        };
        !value.is_null() || flag(property, "nullable")
    });
    for (name, value) in map.iter_mut() {
        match properties.get(name) {
            Some(property) => prune(property, value),
            None if additional.is_object() => prune(additional, value),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults_are_filled_in_as_the_cel_library_does() {
        let size = json!({"type": "object", "default": {}, "properties": {"x": {"type": "integer", "default": 1}}});
        let root = json!({"type": "object", "properties": {
            "size": size, "sizes": {"type": "array", "items": size}, "named": {"additionalProperties": size},
            "free": {"x-kubernetes-preserve-unknown-fields": true, "additionalProperties": size},
            "off": {"type": "boolean", "default": false}, "null": {"type": "string", "default": "v", "nullable": true},
        }});
        let objects = [
            json!({}),
            json!({"size": {}, "off": true, "null": null}),
            json!({"sizes": [{}, {"x": 2}, {"y": 3}, 4], "named": {"a": {}, "b": {"x": 5}}, "free": {"a": {}}}),
            json!({"size": "none", "sizes": {}, "named": [], "other": {"x": {}}}),
        ];
        for object in objects {
            let mut filled = object.clone();
            fill_in(&root, &mut filled);
            assert_eq!(filled, kube_cel::apply_defaults(&root, &object), "{object}");
        }
    }
}
