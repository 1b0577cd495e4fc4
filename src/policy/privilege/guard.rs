//! How a rule is held against the table of what counts as privileged.
//!
//! A rule is compared as Kubernetes compares it (`*` for all groups, resources or verbs; `*/proxy` for one subresource of
//! all resources), and where it is malformed, as if it meant more.

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::{
    Scope,
    table::{ALL, EVERYWHERE, Guard, ON_CLUSTERS, WRITE},
};

/// The first of the rules' privileges in words that complete "role x …", or `None`.
pub(super) fn first_finding<'r, I>(scope: Scope, rules: impl Fn() -> I) -> Option<String>
where
    I: Iterator<Item = &'r PolicyRule>,
{
    let on_clusters = match scope {
        Scope::Cluster | Scope::Global => ON_CLUSTERS,
        Scope::Project => &[],
    };
    let applies = |guard: &&Guard| scope != Scope::Global || !guard.everybody;
    rules()
        .find_map(anything)
        .or_else(|| rules().find_map(anyone))
        .or_else(|| {
            let mut guards = EVERYWHERE.iter().chain(on_clusters).filter(applies);
            guards.find_map(|guard| rules().find_map(|rule| meets(guard, rule)))
        })
        .or_else(|| rules().find_map(wildcard))
}

/// All verbs on all resources of all groups.
fn anything(rule: &PolicyRule) -> Option<String> {
    let everything = has(groups(rule), ALL) && has(resources(rule), ALL) && has(&rule.verbs, ALL);
    everything.then(|| "may do anything: verbs * on *".to_owned())
}

/// The verbs by which RBAC lets somebody have more than he has, on whatever they stand: `escalate`, `bind`, and
/// `impersonate` (with its newer kinds, `impersonate:…`), but for that of ServiceAccounts, which has its own guard.
fn anyone(rule: &PolicyRule) -> Option<String> {
    let verb = rule.verbs.iter().find(|verb| {
        let (kind, _) = verb.split_once([':', '-']).unwrap_or((verb.as_str(), ""));
        matches!(kind, "escalate" | "bind") || (kind == "impersonate" && !only_accounts(rule))
    });
    if let Some(verb) = verb {
        let on = resources(rule).first().map_or("nothing", String::as_str);
        return Some(format!("may {verb} {on}: its holder becomes another"));
    }
    // All verbs include `impersonate` where the API server asks for it.
    let people = ["users", "groups", "uids", "userextras"];
    let named = resources(rule).iter().find(|resource| {
        let (head, _) = resource.split_once('/').unwrap_or((resource.as_str(), ""));
        people.contains(&head) || resource.as_str() == ALL
    });
    let group = has_group(rule, "") || has_group(rule, "authentication.k8s.io");
    named.filter(|_| group && has(&rule.verbs, ALL)).map(|on| format!("may impersonate others: verbs * on {on}"))
}

fn only_accounts(rule: &PolicyRule) -> bool {
    let named = resources(rule);
    !named.is_empty() && named.iter().all(|resource| resource == "serviceaccounts")
}

/// A rule that holds for what is not known yet: all verbs on all resources of a group, writing one subresource of
/// everything, or every path of the API server.
fn wildcard(rule: &PolicyRule) -> Option<String> {
    let paths = rule.non_resource_urls.as_deref().unwrap_or_default();
    if let Some(path) = paths.iter().find(|path| matches!(path.as_str(), "*" | "/*")) {
        return Some(format!("may use every path of the API server: {path}"));
    }
    let all_verbs = has(&rule.verbs, ALL);
    if all_verbs && has(resources(rule), ALL) {
        let group = groups(rule).first().map_or(ALL, String::as_str);
        return Some(format!("may do anything in group {group:?}: verbs * on *"));
    }
    let writes = all_verbs || WRITE.iter().any(|verb| has(&rule.verbs, verb));
    let of_all = resources(rule).iter().find(|r| r.starts_with("*/"));
    of_all.filter(|_| writes).map(|resource| format!("may write {resource}, whatever it belongs to"))
}

fn meets(guard: &Guard, rule: &PolicyRule) -> Option<String> {
    let group = guard.groups.iter().find(|group| has_group(rule, group))?;
    let resource = resources(rule).iter().find(|r| covers(guard, r))?;
    let any = guard.verbs.contains(&ALL);
    let verbs: Vec<&str> = rule
        .verbs
        .iter()
        .map(String::as_str)
        .filter(|verb| any || *verb == ALL || guard.verbs.contains(verb))
        .collect();
    let dot = if group.is_empty() { "" } else { "." };
    let (may, verbs_text) = (guard.may, verbs.join(", "));
    (!verbs.is_empty()).then(|| format!("may {may}: verbs {verbs_text} on {resource}{dot}{group}"))
}

/// Whether a resource of a rule covers one of the guard's.
fn covers(guard: &Guard, resource: &str) -> bool {
    let subresource_of_all = resource.strip_prefix("*/");
    resource == ALL
        || guard.resources.contains(&ALL)
        || guard.resources.contains(&resource)
        || subresource_of_all.is_some_and(|sub| {
            let mut guarded = guard.resources.iter();
            guarded.any(|r| r.split_once('/').is_some_and(|(_, own)| own == sub))
        })
}

fn groups(rule: &PolicyRule) -> &[String] {
    rule.api_groups.as_deref().unwrap_or_default()
}

fn resources(rule: &PolicyRule) -> &[String] {
    rule.resources.as_deref().unwrap_or_default()
}

/// Whether the rule is about the group. One that names resources and no group is malformed, and counts for all.
fn has_group(rule: &PolicyRule, group: &str) -> bool {
    let groups = groups(rule);
    groups.is_empty() || has(groups, ALL) || has(groups, group)
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == wanted)
}
