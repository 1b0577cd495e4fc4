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
    has_defaults: bool,
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
        let has_defaults = fills_in(root);
        Ok(Self { root: root.clone(), has_defaults, rules, context, validator, judged })
    }

    /// Drops unknown fields and fills in defaults.
    pub fn default(&self, object: &mut Value) {
        let kept: Vec<(&str, Value)> =
            ["apiVersion", "kind", "metadata"].into_iter().map(|field| (field, object[field].clone())).collect();
        prune(&self.root, object);
        if self.has_defaults {
            *object = kube_cel::apply_defaults(&self.root, object);
        }
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

/// Whether a schema fills in anything anywhere.
fn fills_in(schema: &Value) -> bool {
    let members = schema["properties"].as_object().into_iter().flat_map(Map::values);
    let inner = [&schema["items"], &schema["additionalProperties"]];
    schema.get("default").is_some() || members.chain(inner).filter(|inner| inner.is_object()).any(fills_in)
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
