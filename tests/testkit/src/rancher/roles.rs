//! Role templates: what they reach by inheritance, and their rules.
use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::core::{Core, management, meta, text};

/// Groups whose rules give rights on Rancher's own cluster.
const MANAGEMENT: [&str; 2] = ["management.cattle.io", "project.cattle.io"];

/// A role template by name.
pub(super) fn template(core: &Core, name: &str) -> Option<Value> {
    core.local.get(&management("roletemplates"), "", name)
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The template and all it inherits, itself first; templates that are gone are left out.
pub(super) fn reached(core: &Core, name: &str) -> Vec<Value> {
    let mut seen = BTreeSet::new();
    let mut queue = vec![name.to_owned()];
    let mut found = Vec::new();
    while let Some(next) = queue.pop() {
        if !seen.insert(next.clone()) {
            continue;
        }
        if let Some(role) = template(core, &next) {
            queue.extend(list(&role["roleTemplateNames"]).map(str::to_owned));
            found.push(role);
        }
    }
    found
}

/// The rules of one template: an external one's are those of the ClusterRole of that name.
pub(super) fn rules(core: &Core, role: &Value) -> Vec<Value> {
    let own = |rules: &Value| rules.as_array().cloned().unwrap_or_default();
    if role["external"] != true {
        return own(&role["rules"]);
    }
    if role["externalRules"].is_array() {
        return own(&role["externalRules"]);
    }
    let gvr = super::core::rbac("clusterroles");
    let external = core.local.get(&gvr, "", meta(role, "name"));
    external.map(|role| own(&role["rules"])).unwrap_or_default()
}

/// The rules of a template and of all it inherits.
pub(super) fn all_rules(core: &Core, name: &str) -> Vec<Value> {
    let roles = reached(core, name);
    roles.iter().flat_map(|role| rules(core, role)).collect()
}

/// The part of the rules that is about Rancher's own objects.
pub(super) fn management_rules(rules: &[Value]) -> Vec<Value> {
    let about = |rule: &&Value| list(&rule["apiGroups"]).any(|one| MANAGEMENT.contains(&one) || one == "*");
    rules
        .iter()
        .filter(about)
        .map(|rule| {
            let mut kept = rule.clone();
            kept["apiGroups"] = json!(MANAGEMENT);
            kept
        })
        .collect()
}

/// Whether rules let somebody do `verb` to a resource.
pub(super) fn allow(rules: &[Value], verb: &str, group: &str, resource: &str) -> bool {
    let has = |value: &Value, wanted: &str| list(value).any(|one| one == "*" || one == wanted);
    rules.iter().any(|rule| {
        has(&rule["verbs"], verb)
            && has(&rule["apiGroups"], group)
            && has(&rule["resources"], resource)
            && rule["resourceNames"].as_array().is_none_or(Vec::is_empty)
    })
}

/// What of `wanted` is not covered by `held`, one line a rule as the webhook lists them.
pub(super) fn missing(held: &[Value], wanted: &[Value]) -> Vec<String> {
    let mut lines = BTreeSet::new();
    for rule in wanted {
        for group in list(&rule["apiGroups"]) {
            for resource in list(&rule["resources"]) {
                let lacking: Vec<&str> =
                    list(&rule["verbs"]).filter(|verb| !allow(held, verb, group, resource)).collect();
                if !lacking.is_empty() {
                    lines.insert(format!("{{APIGroups:[{group:?}], Resources:[{resource:?}], Verbs:{lacking:?}}}"));
                }
            }
        }
    }
    lines.into_iter().collect()
}

/// Whether holders of the role own what it is bound to, and are not just members of it.
pub(super) fn is_owner(core: &Core, name: &str) -> bool {
    let owners = ["cluster-owner", "project-owner"];
    reached(core, name).iter().any(|role| owners.contains(&meta(role, "name")))
}

/// The display name.
pub(super) fn display(role: &Value) -> &str {
    text(role, "displayName")
}
