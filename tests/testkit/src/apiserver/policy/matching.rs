//! Which requests a policy or binding is about, and how a request looks to its expressions.
use serde_json::{Value, json};

use crate::apiserver::{access::user_info, admission::AdmissionRequest};

fn names(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn includes(list: &Value, wanted: &str) -> bool {
    names(list).any(|one| one == "*" || one == wanted)
}

fn resource_fits(pattern: &str, resource: &str, subresource: &str) -> bool {
    let (wanted, sub) = pattern.split_once('/').unwrap_or((pattern, ""));
    let resource_fits = wanted == "*" || wanted == resource;
    // A bare `*` is every resource without its subresources.
    resource_fits && (sub == subresource || sub == "*" && pattern.contains('/'))
}

fn rule_fits(rule: &Value, request: &AdmissionRequest) -> bool {
    let scope = rule["scope"].as_str().unwrap_or("*");
    let namespaced = !request.namespace.is_empty();
    includes(&rule["apiGroups"], &request.gvr.group)
        && includes(&rule["apiVersions"], &request.gvr.version)
        && includes(&rule["operations"], request.operation.as_str())
        && names(&rule["resources"]).any(|one| resource_fits(one, &request.gvr.resource, &request.subresource))
        && (rule["resourceNames"].as_array().is_none_or(Vec::is_empty)
            || includes(&rule["resourceNames"], &request.name))
        && (scope == "*" || (scope == "Namespaced") == namespaced)
}

fn expression_fits(term: &Value, label: Option<&str>) -> bool {
    let among = label.is_some_and(|label| names(&term["values"]).any(|one| one == label));
    match term["operator"].as_str() {
        Some("In") => among,
        Some("NotIn") => !among,
        Some("Exists") => label.is_some(),
        Some("DoesNotExist") => label.is_none(),
        _ => false,
    }
}

/// Whether a `metav1.LabelSelector` chooses these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let label = |key: &str| labels[key].as_str();
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let terms = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(key, value)| label(key) == value.as_str())
        && terms.into_iter().all(|term| expression_fits(term, label(term["key"].as_str().unwrap_or_default())))
}

/// Whether matchConstraints or matchResources fit; absent ones fit everything but without rules nothing is chosen.
pub(super) fn fits(
    constraints: &Value,
    request: &AdmissionRequest,
    namespace: Option<&Value>,
    rules_needed: bool,
) -> bool {
    let rules = constraints["resourceRules"].as_array();
    let chosen = match rules.filter(|rules| !rules.is_empty()) {
        Some(rules) => rules.iter().any(|rule| rule_fits(rule, request)),
        None => !rules_needed,
    };
    let excluded =
        constraints["excludeResourceRules"].as_array().into_iter().flatten().any(|rule| rule_fits(rule, request));
    let objects = [&request.object, &request.old_object];
    let mut present = objects.into_iter().flatten();
    chosen
        && !excluded
        && namespace
            .is_none_or(|namespace| selects(&constraints["namespaceSelector"], &namespace["metadata"]["labels"]))
        && present.any(|object| selects(&constraints["objectSelector"], &object["metadata"]["labels"]))
}

/// The variable `request`: what is empty is absent, as on a real server.
pub(super) fn describe(request: &AdmissionRequest) -> Value {
    let gvr = &request.gvr;
    let kind = json!({"group": gvr.group, "version": gvr.version, "kind": request.kind});
    let resource = json!({"group": gvr.group, "version": gvr.version, "resource": gvr.resource});
    let mut described = json!({
        "kind": kind, "requestKind": kind, "resource": resource, "requestResource": resource,
        "operation": request.operation.as_str(), "userInfo": user_info(&request.user), "dryRun": request.dry_run,
    });
    let texts = [
        ("subResource", &request.subresource),
        ("requestSubResource", &request.subresource),
        ("name", &request.name),
        ("namespace", &request.namespace),
    ];
    for (field, text) in texts {
        if !text.is_empty() {
            described[field] = text.clone().into();
        }
    }
    described
}
