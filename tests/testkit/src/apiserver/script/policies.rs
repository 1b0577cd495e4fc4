//! Requests that admission policies refuse and change.
use serde_json::{Value, json};

use super::{GROUP, Script, custom::probe};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

fn constraints(script: &Script, operations: &[&str], resources: &[&str]) -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": script.namespace}},
        "resourceRules": [{"apiGroups": [GROUP], "apiVersions": ["*"], "operations": operations, "resources": resources}],
    })
}

async fn remove(script: &Script, plural: &str, name: &str) {
    for kind in [format!("{plural}policybindings"), format!("{plural}policies")] {
        script.quietly("DELETE", &format!("{POLICIES}/{kind}/{name}"), None).await;
    }
}

fn validating_policy(script: &Script, name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": constraints(script, &["CREATE", "UPDATE", "DELETE"], &["probes", "probes/status"]),
            "matchConditions": [{"name": "named", "expression": "request.name != 'exempt'"}],
            "variables": [{"name": "size", "expression": "request.operation == 'DELETE' ? oldObject.spec.size : object.spec.size"}],
            "validations": [
                {"expression": "variables.size < 50", "message": "smaller, please"},
                {"expression": "variables.size != 13", "reason": "Forbidden",
                    "messageExpression": "'not ' + string(variables.size) + ', ' + request.operation"},
                {"expression": "request.operation != 'UPDATE' || request.subResource == 'status' || object.spec.size >= oldObject.spec.size"},
                {"expression": "request.operation != 'UPDATE' || request.subResource != 'status' || object.status.phase != 'no'", "message": "no such phase"},
                {"expression": "object == null || !has(object.spec.reason) || object.spec.reason != 'who' || request.userInfo.username == 'nobody'", "message": "only nobody"},
            ],
        },
    })
}

/// What the policy refuses, and what it lets pass.
async fn judged(script: &mut Script, probes: &str, trial: &Value) {
    script.post("a denied create", probes, trial).await;
    script.post("a create denied with a reason", probes, &probe("t", json!({"size": 13, "reason": "x"}))).await;
    script.post("a create denied for its user", probes, &probe("t", json!({"size": 1, "reason": "who"}))).await;
    script.post("an exempt create", probes, &probe("exempt", json!({"size": 60, "reason": "x"}))).await;
    script.post("an allowed create", probes, &probe("t", json!({"size": 9, "reason": "x"}))).await;
    script.merge("a denied update", &script.custom("probes/t"), &json!({"spec": {"size": 2}})).await;
    script.merge("a denied status", &script.custom("probes/t/status"), &json!({"status": {"phase": "no"}})).await;
    script
        .merge("a status that cannot be judged", &script.custom("probes/t/status"), &json!({"status": {"seen": 1}}))
        .await;
    script.merge("an allowed status", &script.custom("probes/t/status"), &json!({"status": {"phase": "yes"}})).await;
    script.delete("an allowed delete", &script.custom("probes/t"), None).await;
    script.delete("an exempt delete", &script.custom("probes/exempt"), None).await;
}

pub(super) async fn validating(script: &mut Script) {
    let name = format!("script-{}", script.namespace);
    let policy = validating_policy(script, &name);
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name, "validationActions": ["Deny"]}});
    let (code, _) = script.quietly("POST", &format!("{POLICIES}/validatingadmissionpolicies"), Some(&policy)).await;
    script.lines.push(format!("create a validating policy: {code}"));
    let (code, _) =
        script.quietly("POST", &format!("{POLICIES}/validatingadmissionpolicybindings"), Some(&binding)).await;
    script.lines.push(format!("bind it: {code}"));
    let probes = script.custom("probes");
    let trial = probe("trial", json!({"size": 60, "reason": "x"}));
    script.until("POST", &format!("{probes}?dryRun=All"), Some(&trial), 422).await;
    judged(script, &probes, &trial).await;
    remove(script, "validatingadmission", &name).await;
    script.until("POST", &format!("{probes}?dryRun=All"), Some(&trial), 201).await;
}

fn mutating_policy(script: &Script, name: &str) -> Value {
    json!({
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "matchConstraints": constraints(script, &["CREATE"], &["probes"]),
            "matchConditions": [{"name": "unreasoned", "expression": "!has(object.spec.reason)"}],
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'add', path: '/spec/reason', value: 'because ' + request.operation},\
                 JSONPatch{op: 'add', path: '/spec/choice', value: Object.spec.choice{a: 'mutated'}}]"}}],
        },
    })
}

pub(super) async fn mutating(script: &mut Script) {
    let name = format!("script-{}", script.namespace);
    let policy = mutating_policy(script, &name);
    let binding = json!({"metadata": {"name": name}, "spec": {"policyName": name}});
    let (code, _) = script.quietly("POST", &format!("{POLICIES}/mutatingadmissionpolicies"), Some(&policy)).await;
    script.lines.push(format!("create a mutating policy: {code}"));
    let (code, _) =
        script.quietly("POST", &format!("{POLICIES}/mutatingadmissionpolicybindings"), Some(&binding)).await;
    script.lines.push(format!("bind it: {code}"));
    let probes = script.custom("probes");
    script.until("POST", &format!("{probes}?dryRun=All"), Some(&probe("large", json!({"size": 60}))), 201).await;
    script.post("a mutated create", &probes, &probe("m", json!({"size": 1}))).await;
    script.post("an unmutated create", &probes, &probe("u", json!({"size": 1, "reason": "mine"}))).await;
    for one in ["m", "u"] {
        script.quietly("DELETE", &script.custom(&format!("probes/{one}")), None).await;
    }
    remove(script, "mutatingadmission", &name).await;
}
