//! Kubernetes RBAC over the objects that really are there: who may do what on a server.
use std::sync::{Arc, Weak};

use serde_json::Value;

use crate::apiserver::{ApiServer, Attributes, User};

use super::core::{Core, rbac};

fn has(value: &Value, wanted: &str) -> bool {
    let list = value.as_array();
    list.into_iter().flatten().any(|one| *one == "*" || *one == wanted)
}

fn is_subject(binding: &Value, user: &User) -> bool {
    let subjects = binding["subjects"].as_array();
    subjects.into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => name == user.name,
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or_default();
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            Some("Group") => name == "system:authenticated" || user.groups.iter().any(|one| one == name),
            _ => false,
        }
    })
}

fn rule_allows(rule: &Value, asked: &Attributes) -> bool {
    let resource = if asked.subresource.is_empty() {
        asked.resource.clone()
    } else {
        format!("{}/{}", asked.resource, asked.subresource)
    };
    let named = rule["resourceNames"]
        .as_array()
        .is_none_or(|names| names.is_empty() || names.iter().any(|name| *name == asked.name.as_str()));
    named
        && has(&rule["verbs"], &asked.verb)
        && has(&rule["apiGroups"], &asked.group)
        && has(&rule["resources"], &resource)
}

fn role(server: &ApiServer, binding: &Value) -> Option<Arc<Value>> {
    let reference = &binding["roleRef"];
    let name = reference["name"].as_str().unwrap_or_default();
    if reference["kind"] == "Role" {
        let namespace = super::core::meta(binding, "namespace");
        server.peek(&rbac("roles"), namespace, name)
    } else {
        server.peek(&rbac("clusterroles"), "", name)
    }
}

/// The binding that lets a user do something, as access reviews name it; `None` where none does.
pub(super) fn reason(server: &ApiServer, user: &User, asked: &Attributes) -> Option<String> {
    if user.groups.iter().any(|group| group == "system:masters") {
        return Some(String::new());
    }
    let mut bindings = server.peek_all(&rbac("clusterrolebindings"), None);
    if !asked.namespace.is_empty() {
        bindings.extend(server.peek_all(&rbac("rolebindings"), Some(&asked.namespace)));
    }
    let allows = |role: Arc<Value>| {
        let rules = role["rules"].as_array();
        rules.into_iter().flatten().any(|rule| rule_allows(rule, asked))
    };
    let binding =
        bindings.iter().find(|binding| is_subject(binding, user) && role(server, binding).is_some_and(allows))?;
    let (kind, name) = (&binding["kind"], super::core::meta(binding, "name"));
    let role = &binding["roleRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subject = &binding["subjects"][0];
    Some(format!(
        "RBAC: allowed by {} \"{name}\" of {} \"{}\" to {} \"{}\"",
        text(kind),
        text(&role["kind"]),
        text(&role["name"]),
        text(&subject["kind"]),
        text(&subject["name"]),
    ))
}

/// Lets a server decide by its own RBAC objects.
pub(super) fn install(core: &Arc<Core>, server: &ApiServer, cluster: &str) {
    let core: Weak<Core> = Arc::downgrade(core);
    let cluster = cluster.to_owned();
    server.authorize(Arc::new(move |user, asked| {
        if user.groups.iter().any(|group| group == "system:masters") {
            return true;
        }
        // Reviews of oneself are open to everybody.
        if asked.group == "authentication.k8s.io" || asked.resource == "selfsubjectaccessreviews" {
            return true;
        }
        let server = core.upgrade().and_then(|core| core.server(&cluster));
        server.is_some_and(|server| reason(&server, user, asked).is_some())
    }));
}
