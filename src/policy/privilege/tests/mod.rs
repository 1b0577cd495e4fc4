//! Roles against the rules that Rancher 2.15 and Kubernetes 1.33 give their own.

mod rules;
mod shipped;

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::{Privilege, RoleRules, Scope, privileged_rule};
use shipped::{admin_rules, shipped, view_rules};

const WRITE: &str = "create delete deletecollection patch update";
const READ: &str = "get list watch";

fn split(text: &str) -> Vec<String> {
    text.split_whitespace().map(|t| t.replace("core", "")).collect()
}

/// A rule from words: groups (`core` is the empty one), resources, verbs.
fn rule(groups: &str, resources: &str, verbs: &str) -> PolicyRule {
    PolicyRule {
        api_groups: Some(split(groups)),
        resources: Some(resources.split_whitespace().map(str::to_owned).collect()),
        verbs: split(verbs),
        ..PolicyRule::default()
    }
}

fn role(rules: Vec<PolicyRule>, inherits: &[&str]) -> RoleRules {
    RoleRules { rules, inherits: inherits.iter().map(|s| (*s).to_owned()).collect(), external: None }
}

fn external(rules: Vec<PolicyRule>) -> RoleRules {
    RoleRules { external: Some(rules), ..RoleRules::default() }
}

fn judged(scope: Scope, name: &str) -> Privilege {
    let shipped = shipped();
    privileged_rule(name, scope, &|id| shipped.get(id).cloned())
}

/// The verdict on a role with this one rule.
fn alone(scope: Scope, rule: PolicyRule) -> Privilege {
    privileged_rule("r", scope, &|_| Some(role(vec![rule.clone()], &[])))
}

#[test]
fn the_roles_that_rancher_ships() {
    let (cluster, project) = (Scope::Cluster, Scope::Project);
    for (scope, name, privileged) in [
        (cluster, "cluster-owner", true),
        (cluster, "cluster-admin", true),
        (cluster, "cluster-member", false),
        (cluster, "projects-create", false),
        (cluster, "projects-view", false),
        (cluster, "nodes-manage", true),
        (cluster, "storage-manage", true),
        (cluster, "clusterroletemplatebindings-manage", true),
        (project, "project-owner", true),
        (project, "admin", true),
        (project, "project-member", false),
        (project, "read-only", false),
        (project, "edit", false),
        (project, "view", false),
        (project, "secrets-manage", false),
        (project, "serviceaccounts-manage", false),
        (project, "workloads-manage", false),
        // What is bounded by a project is not bounded on a cluster.
        (cluster, "view", false),
        (cluster, "edit", true),
        (cluster, "secrets-manage", true),
        (cluster, "serviceaccounts-manage", true),
        (cluster, "workloads-manage", true),
    ] {
        let verdict = judged(scope, name);
        let expected =
            if privileged { matches!(verdict, Privilege::Privileged(_)) } else { verdict == Privilege::None };
        assert!(expected, "{name} on {scope:?}: {verdict:?}");
    }
}

#[test]
fn the_rule_is_named() {
    let words = |scope, name| judged(scope, name).into_words().unwrap();
    assert_eq!(words(Scope::Cluster, "cluster-owner"), "role cluster-owner may do anything: verbs * on *");
    let mut roles = shipped();
    roles.insert("lead", role(vec![], &["admin"]));
    let verdict = privileged_rule("lead", Scope::Project, &|id| roles.get(id).cloned());
    assert_eq!(
        verdict,
        Privilege::Privileged("role lead inherits admin, which may write Kubernetes roles or bindings: verbs create, delete, deletecollection, patch, update on rolebindings.rbac.authorization.k8s.io".to_owned())
    );
    assert!(words(Scope::Project, "project-owner").contains("projectroletemplatebindings"));
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let unread = privileged_rule("gone", Scope::Project, &|_| None);
    assert_eq!(unread, Privilege::Unknown("role gone could not be read".to_owned()));

    let heir = role(view_rules(), &["gone"]);
    let verdict = privileged_rule("heir", Scope::Project, &|id| (id == "heir").then(|| heir.clone()));
    assert_eq!(verdict, Privilege::Unknown("role heir inherits gone, which could not be read".to_owned()));
    assert!(verdict.into_words().is_some());

    let blank = privileged_rule("edit", Scope::Project, &|_| Some(external(vec![])));
    assert!(matches!(blank, Privilege::Unknown(words) if words.contains("ClusterRole")));
}

#[test]
fn what_is_surely_privileged_is_told_before_what_is_unknown() {
    let verdict = privileged_rule("a", Scope::Project, &|id| match id {
        "a" => Some(role(vec![], &["gone", "admin"])),
        "admin" => Some(external(admin_rules())),
        _ => None,
    });
    assert!(matches!(verdict, Privilege::Privileged(words) if words.contains("admin")));
}

#[test]
fn inheritance_in_a_circle_ends_and_misses_nothing() {
    let circle = |last: Vec<PolicyRule>| {
        privileged_rule("a", Scope::Project, &|id| match id {
            "a" => Some(role(vec![], &["b", "a"])),
            "b" => Some(role(vec![], &["c"])),
            _ => Some(role(last.clone(), &["a", "b"])),
        })
    };
    assert_eq!(circle(view_rules()), Privilege::None);
    assert!(matches!(circle(admin_rules()), Privilege::Privileged(_)));
}
