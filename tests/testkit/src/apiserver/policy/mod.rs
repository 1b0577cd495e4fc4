//! Stored admission policies: ValidatingAdmissionPolicy refuses, MutatingAdmissionPolicy (JSONPatch only) changes.
//!
//! They are in force as soon as policy and binding are stored; on a real server that takes up to some seconds.
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Inner, User,
    access::Attributes,
    admission::{AdmissionRequest, Operation},
    kind::Gvr,
    lock,
    object::{Key, meta},
    status::ApiError,
};

mod cel;
mod check;
mod matching;
mod rewrite;

use cel::{Allowed, Scope, to_json};
pub(super) use cel::{Expression, Expressions};
pub(super) use check::{check, default};

const GROUP: &str = "admissionregistration.k8s.io";

/// A policy with one of its bindings.
struct Bound {
    policy: Arc<Value>,
    binding: Arc<Value>,
}

/// Why a policy refuses, with the reason it gives.
struct Refusal {
    message: String,
    reason: String,
}

impl Refusal {
    fn error(message: String) -> Self {
        Self { message, reason: "Invalid".to_owned() }
    }
}

impl Inner {
    fn read(&self, source: &str) -> Result<Expression, String> {
        lock(&self.expressions).read(source)
    }

    /// The bound policies of one sort that are about a request, and the namespace the request is in.
    fn bound(&self, sort: &str, request: &AdmissionRequest) -> (Vec<Bound>, Value) {
        let state = self.state();
        let policies = state.list(&Gvr::new(GROUP, "v1", &format!("{sort}admissionpolicies")), None);
        if policies.is_empty() || request.gvr.group == GROUP {
            return (Vec::new(), Value::Null);
        }
        let bindings = state.list(&Gvr::new(GROUP, "v1", &format!("{sort}admissionpolicybindings")), None);
        let of_itself = request.gvr == Gvr::core("namespaces");
        let namespace = if of_itself {
            request.object.clone().or_else(|| request.old_object.clone())
        } else {
            let found = state.get(&Gvr::core("namespaces"), &Key::cluster(&request.namespace));
            found.map(|namespace| namespace.as_ref().clone())
        };
        let mut found = Vec::new();
        for (key, policy) in policies {
            if !matching::fits(&policy["spec"]["matchConstraints"], request, namespace.as_ref(), true) {
                continue;
            }
            for (_, binding) in &bindings {
                let spec = &binding["spec"];
                if spec["policyName"] == key.name
                    && matching::fits(&spec["matchResources"], request, namespace.as_ref(), false)
                {
                    found.push(Bound { policy: Arc::clone(&policy), binding: Arc::clone(binding) });
                }
            }
        }
        (found, namespace.unwrap_or_default())
    }

    fn scope(&self, policy: &Value, request: &AdmissionRequest, namespace: &Value) -> Result<Scope, String> {
        let bindings = [
            ("object", request.object.clone().unwrap_or_default()),
            ("oldObject", request.old_object.clone().unwrap_or_default()),
            ("request", matching::describe(request)),
            ("namespaceObject", namespace.clone()),
            ("params", Value::Null),
        ];
        let mut scope = Scope::new(&bindings, self.allowed(&request.user));
        for variable in policy["spec"]["variables"].as_array().into_iter().flatten() {
            let expression = self.read(variable["expression"].as_str().unwrap_or_default())?;
            scope.define(variable["name"].as_str().unwrap_or_default(), &expression);
        }
        Ok(scope)
    }

    /// What the `authorizer` of expressions says of that user, cluster-wide.
    fn allowed(&self, user: &User) -> Allowed {
        let (authorizer, user) = (lock(&self.authorizer).clone(), user.clone());
        Arc::new(move |[group, resource, name, verb]| {
            let attributes = Attributes {
                verb: verb.to_owned(),
                group: group.to_owned(),
                version: "*".to_owned(),
                resource: resource.to_owned(),
                name: name.to_owned(),
                ..Attributes::default()
            };
            authorizer.as_ref().is_none_or(|authorizer| authorizer(&user, &attributes))
        })
    }

    fn is_true(&self, scope: &Scope, source: &str) -> Result<bool, String> {
        let value = scope.evaluate(self.read(source)?.as_ref())?;
        to_json(&value)?.as_bool().ok_or_else(|| "the expression is not a bool".to_owned())
    }

    /// Whether all matchConditions hold; one that is false outweighs one that fails.
    fn conditions_hold(&self, policy: &Value, scope: &Scope) -> Result<bool, String> {
        let mut fault = None;
        for condition in policy["spec"]["matchConditions"].as_array().into_iter().flatten() {
            match self.is_true(scope, condition["expression"].as_str().unwrap_or_default()) {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                Err(why) => fault = fault.or(Some(why)),
            }
        }
        fault.map_or(Ok(true), Err)
    }

    fn refusal(&self, policy: &Value, request: &AdmissionRequest, namespace: &Value) -> Option<Refusal> {
        let fails = policy["spec"]["failurePolicy"] != "Ignore";
        let on_error = |why: String| fails.then(|| Refusal::error(why));
        let scope = match self.scope(policy, request, namespace) {
            Ok(scope) => scope,
            Err(why) => return on_error(why),
        };
        match self.conditions_hold(policy, &scope) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(why) => return on_error(why),
        }
        for validation in policy["spec"]["validations"].as_array().into_iter().flatten() {
            let source = validation["expression"].as_str().unwrap_or_default();
            match self.is_true(&scope, source) {
                Ok(true) => {}
                Ok(false) => return Some(self.denial(validation, source, &scope)),
                Err(why) if fails => {
                    return Some(Refusal::error(format!("expression '{source}' resulted in error: {why}")));
                }
                Err(_) => {}
            }
        }
        None
    }

    fn denial(&self, validation: &Value, source: &str, scope: &Scope) -> Refusal {
        let computed = validation["messageExpression"].as_str().and_then(|text| {
            let value = scope.evaluate(self.read(text).ok()?.as_ref()).ok()?;
            to_json(&value).ok()?.as_str().map(str::to_owned)
        });
        let fixed = validation["message"].as_str().map(str::to_owned);
        Refusal {
            message: computed.or(fixed).unwrap_or_else(|| format!("failed expression: {}", source.trim())),
            reason: validation["reason"].as_str().unwrap_or("Invalid").to_owned(),
        }
    }

    /// Refuses what a bound ValidatingAdmissionPolicy denies.
    pub(super) fn check_policies(&self, request: &AdmissionRequest) -> Result<(), ApiError> {
        let (bound, namespace) = self.bound("validating", request);
        for one in bound {
            let denies =
                one.binding["spec"]["validationActions"].as_array().is_some_and(|list| list.contains(&json!("Deny")));
            if !denies {
                continue;
            }
            if let Some(refusal) = self.refusal(&one.policy, request, &namespace) {
                let message = format!(
                    "ValidatingAdmissionPolicy '{}' with binding '{}' denied request: {}",
                    meta(&one.policy, "name"),
                    meta(&one.binding, "name"),
                    refusal.message
                );
                let code = match refusal.reason.as_str() {
                    "Unauthorized" => StatusCode::UNAUTHORIZED,
                    "Forbidden" => StatusCode::FORBIDDEN,
                    "RequestEntityTooLarge" => StatusCode::PAYLOAD_TOO_LARGE,
                    _ => StatusCode::UNPROCESSABLE_ENTITY,
                };
                let error = ApiError::forbidden(&request.gvr, &request.name, &message);
                let error = ApiError { code: code.as_u16(), reason: refusal.reason, ..error };
                return Err(error.with_cause(json!({"message": message})));
            }
        }
        Ok(())
    }

    /// Applies what bound MutatingAdmissionPolicies change.
    pub(super) fn apply_policies(&self, request: &mut AdmissionRequest) -> Result<(), ApiError> {
        if request.operation == Operation::Delete {
            return Ok(());
        }
        let (bound, namespace) = self.bound("mutating", request);
        for one in bound {
            let result = self.mutated(&one.policy, request, &namespace);
            match result {
                Ok(object) => request.object = Some(object),
                Err(_) if one.policy["spec"]["failurePolicy"] == "Ignore" => {}
                Err(why) => {
                    let (policy, binding) = (meta(&one.policy, "name"), meta(&one.binding, "name"));
                    let message = format!("policy '{policy}' with binding '{binding}' denied request: {why}");
                    return Err(ApiError::forbidden(&request.gvr, &request.name, &message));
                }
            }
        }
        Ok(())
    }

    fn mutated(&self, policy: &Value, request: &AdmissionRequest, namespace: &Value) -> Result<Value, String> {
        let mut changed = request.clone();
        for mutation in policy["spec"]["mutations"].as_array().into_iter().flatten() {
            let scope = self.scope(policy, &changed, namespace)?;
            if !self.conditions_hold(policy, &scope)? {
                break;
            }
            let source = mutation["jsonPatch"]["expression"].as_str().unwrap_or_default();
            let operations = to_json(&scope.evaluate(self.read(source)?.as_ref())?)?;
            let patch: json_patch::Patch = serde_json::from_value(operations).map_err(|error| error.to_string())?;
            let mut object = changed.object.take().unwrap_or_default();
            json_patch::patch(&mut object, &patch).map_err(|error| format!("JSON Patch: {error}"))?;
            changed.object = Some(object);
        }
        Ok(changed.object.unwrap_or_default())
    }
}
