//! oneOf, anyOf, allOf and not.
use serde_json::Value;

use super::validate;
use crate::apiserver::status::FieldError;

fn faults(schema: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate::check(schema, value, path, &mut errors);
    errors
}

/// A fault that a real server does not pin to a field.
pub(super) fn junctor(errors: &mut Vec<FieldError>, detail: &str) {
    errors.push(FieldError::invalid("<nil>", &"".into(), detail));
}

/// oneOf, anyOf, allOf and not. Where none of several fits, the faults of the nearest are named too.
pub(super) fn check(schema: &Value, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    let judged = |name: &str| -> Option<Vec<Vec<FieldError>>> {
        Some(schema[name].as_array()?.iter().map(|one| faults(one, value, path)).collect())
    };
    let fitting = |all: &[Vec<FieldError>]| all.iter().filter(|faults| faults.is_empty()).count();
    let nearest = |all: Vec<Vec<FieldError>>| all.into_iter().min_by_key(Vec::len).unwrap_or_default();
    if let Some(all) = judged("oneOf") {
        let start = format!("{path:?} must validate one and only one schema (oneOf). Found");
        match fitting(&all) {
            1 => {}
            0 => {
                junctor(errors, &format!("{start} none valid"));
                errors.extend(nearest(all));
            }
            found => junctor(errors, &format!("{start} {found} valid alternatives")),
        }
    }
    if let Some(all) = judged("anyOf").filter(|all| fitting(all) == 0) {
        junctor(errors, &format!("{path:?} must validate at least one schema (anyOf)"));
        errors.extend(nearest(all));
    }
    if let Some(all) = judged("allOf").filter(|all| fitting(all) < all.len()) {
        let none = if fitting(&all) == 0 { ". None validated" } else { "" };
        junctor(errors, &format!("{path:?} must validate all the schemas (allOf){none}"));
        errors.extend(all.into_iter().flatten());
    }
    if schema["not"].is_object() && faults(&schema["not"], value, path).is_empty() {
        junctor(errors, &format!("{path:?} must not validate the schema (not)"));
    }
}
