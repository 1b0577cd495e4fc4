//! Stored admission policies: ValidatingAdmissionPolicy refuses, MutatingAdmissionPolicy (JSONPatch only) changes.
//!
//! They are in force as soon as policy and binding are stored; on a real server that takes up to some seconds.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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
mod reads;
mod rewrite;
mod verdicts;

use cel::{Allowed, Scope, to_json};
pub(super) use cel::{Expression, Expressions};
pub(super) use check::{check, default};
pub(super) use reads::{Read, collect};
pub(super) use verdicts::Verdicts;

const GROUP: &str = "admissionregistration.k8s.io";

/// A policy with one of its bindings.
struct Bound {
    policy: Arc<Value>,
    binding: Arc<Value>,
}

/// What expressions are about, each by its name.
type Variables<'a> = [(&'static str, &'a Value); 5];

/// Why a policy refuses, with the reason it gives.
#[derive(Clone)]
struct Refusal {
    message: String,
    reason: String,
}

impl Refusal {
    fn error(message: String) -> Self {
        Self { message, reason: "Invalid".to_owned() }
    }
}

fn variables<'a>(request: &'a AdmissionRequest, described: &'a Value, namespace: &'a Value) -> Variables<'a> {
    [
        ("object", request.object.as_ref().unwrap_or(&Value::Null)),
        ("oldObject", request.old_object.as_ref().unwrap_or(&Value::Null)),
        ("request", described),
        ("namespaceObject", namespace),
        ("params", &Value::Null),
    ]
}

impl Inner {
    fn read(&self, source: &str) -> Result<Expression, String> {
        lock(&self.expressions).read(source)
    }

    /// The bound policies of one sort that are about a request, and the namespace the request is in.
    fn bound(&self, sort: &str, request: &AdmissionRequest) -> (Vec<Bound>, Arc<Value>) {
        let state = self.state();
        let policies = Gvr::new(GROUP, "v1", &format!("{sort}admissionpolicies"));
        if request.gvr.group == GROUP || !state.has(&policies, |_| true) {
            return Default::default();
        }
        let bindings = Gvr::new(GROUP, "v1", &format!("{sort}admissionpolicybindings"));
        let of_itself = request.gvr == Gvr::core("namespaces");
        let namespace = if of_itself {
            request.object.clone().or_else(|| request.old_object.clone()).map(Arc::new)
        } else {
            state.get(&Gvr::core("namespaces"), &Key::cluster(&request.namespace))
        };
        let mut found = Vec::new();
        for (key, policy) in state.all(&policies) {
            if !matching::fits(&policy["spec"]["matchConstraints"], request, namespace.as_deref(), true) {
                continue;
            }
            for (_, binding) in state.all(&bindings) {
                let spec = &binding["spec"];
                if spec["policyName"] == key.name
                    && matching::fits(&spec["matchResources"], request, namespace.as_deref(), false)
                {
                    found.push(Bound { policy: Arc::clone(policy), binding: Arc::clone(binding) });
                }
            }
        }
        (found, namespace.unwrap_or_default())
    }

    fn scope(&self, policy: &Value, variables: &Variables<'_>, allowed: Allowed) -> Result<Scope, String> {
        let mut scope = Scope::new(variables, allowed);
        for variable in policy["spec"]["variables"].as_array().into_iter().flatten() {
            let expression = self.read(variable["expression"].as_str().unwrap_or_default())?;
            scope.define(variable["name"].as_str().unwrap_or_default(), &expression);
        }
        Ok(scope)
    }

    /// What the `authorizer` of expressions says of that user, cluster-wide; and whether it was asked.
    fn allowed(&self, user: &User) -> (Allowed, Arc<AtomicBool>) {
        let (authorizer, user) = (lock(&self.authorizer).clone(), user.clone());
        let asked = Arc::new(AtomicBool::new(false));
        let ask = Arc::clone(&asked);
        let allowed: Allowed = Arc::new(move |[group, resource, name, verb]| {
            ask.store(true, Ordering::Relaxed);
            let attributes = Attributes {
                verb: verb.to_owned(),
                group: group.to_owned(),
                version: "*".to_owned(),
                resource: resource.to_owned(),
                name: name.to_owned(),
                ..Attributes::default()
            };
            authorizer.as_ref().is_none_or(|authorizer| authorizer(&user, &attributes))
        });
        (allowed, asked)
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

    /// What a policy says, which it may have said before.
    fn refusal(&self, policy: &Arc<Value>, variables: &Variables<'_>, user: &User) -> Option<Refusal> {
        let key = lock(&self.verdicts).key(policy, variables, &mut lock(&self.expressions));
        if let Some(known) = key.as_ref().and_then(|key| lock(&self.verdicts).said(policy, key)) {
            return known;
        }
        let (allowed, asked) = self.allowed(user);
        let verdict = self.judged(policy, variables, allowed);
        if let Some(key) = key.filter(|_| !asked.load(Ordering::Relaxed)) {
            lock(&self.verdicts).keep(policy, key, verdict.clone());
        }
        verdict
    }

    fn judged(&self, policy: &Value, variables: &Variables<'_>, allowed: Allowed) -> Option<Refusal> {
        let fails = policy["spec"]["failurePolicy"] != "Ignore";
        let on_error = |why: String| fails.then(|| Refusal::error(why));
        let scope = match self.scope(policy, variables, allowed) {
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
        if bound.is_empty() {
            return Ok(());
        }
        let described = matching::describe(request);
        let variables = variables(request, &described, &namespace);
        for one in bound {
            let denies =
                one.binding["spec"]["validationActions"].as_array().is_some_and(|list| list.contains(&json!("Deny")));
            if !denies {
                continue;
            }
            if let Some(refusal) = self.refusal(&one.policy, &variables, &request.user) {
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
            let described = matching::describe(&changed);
            let (allowed, _) = self.allowed(&changed.user);
            let scope = self.scope(policy, &variables(&changed, &described, namespace), allowed)?;
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
