//! Policies as they are stored: their defaults, and what this server cannot evaluate.
use serde_json::{Value, json};

use super::{Expressions, GROUP};
use crate::apiserver::{kind::Kind, object::at_path, status::FieldError};

/// The texts of all expressions of a policy, each with its field.
pub(super) fn expressions(policy: &Value) -> Vec<(String, &str)> {
    let mut found = Vec::new();
    let spec = &policy["spec"];
    let places = [
        ("matchConditions", &["expression"][..]),
        ("variables", &["expression"]),
        ("validations", &["expression", "messageExpression"]),
        ("auditAnnotations", &["valueExpression"]),
        ("mutations", &["jsonPatch.expression"]),
    ];
    for (list, members) in places {
        for (index, entry) in spec[list].as_array().into_iter().flatten().enumerate() {
            for member in members {
                let text = at_path(entry, member).as_str();
                found.extend(text.map(|text| (format!("spec.{list}[{index}].{member}"), text)));
            }
        }
    }
    found
}

/// Faults of a policy or binding, first of all what cannot be evaluated here.
pub(in crate::apiserver) fn check(kind: &Kind, policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let unknown = |field: &str| FieldError::forbidden(field, "testkit apiserver: not known here");
    if kind.gvr.group != GROUP {
        return errors;
    }
    for field in ["paramKind", "paramRef"] {
        if !policy["spec"][field].is_null() {
            errors.push(unknown(&format!("spec.{field}")));
        }
    }
    for (index, mutation) in policy["spec"]["mutations"].as_array().into_iter().flatten().enumerate() {
        if mutation["patchType"] != "JSONPatch" {
            errors.push(unknown(&format!("spec.mutations[{index}].patchType")));
        }
    }
    let mut read = Expressions::default();
    for (field, text) in expressions(policy) {
        if let Err(why) = read.read(text) {
            errors.push(FieldError::invalid(&field, &text.into(), &why));
        }
    }
    errors
}

fn default_matching(constraints: &mut Value) {
    let fill = |value: &mut Value, field: &str, with: Value| {
        if value[field].is_null() {
            value[field] = with;
        }
    };
    fill(constraints, "matchPolicy", json!("Equivalent"));
    fill(constraints, "namespaceSelector", json!({}));
    fill(constraints, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in constraints[list].as_array_mut().into_iter().flatten() {
            fill(rule, "scope", json!("*"));
        }
    }
    if let Some(map) = constraints.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
}

/// Fills in what policies and bindings may leave out.
pub(in crate::apiserver) fn default(kind: &Kind, policy: &mut Value) {
    if kind.gvr.group != GROUP || !policy["spec"].is_object() {
        return;
    }
    let field = if kind.kind.ends_with("Binding") { "matchResources" } else { "matchConstraints" };
    if policy["spec"][field].is_object() {
        default_matching(&mut policy["spec"][field]);
    } else if let Some(spec) = policy["spec"].as_object_mut() {
        spec.remove(field);
    }
    if !kind.kind.ends_with("Binding") && policy["spec"]["failurePolicy"].is_null() {
        policy["spec"]["failurePolicy"] = "Fail".into();
    }
}
