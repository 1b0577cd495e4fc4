//! Single rules, and what holds for all of them.

use k8s_openapi::api::rbac::v1::PolicyRule;
use proptest::prelude::*;

use super::{READ, alone, external, role, rule};
use crate::policy::privilege::{Privilege, Scope, WORDS_MAX, privileged_rule};

/// Groups, resources and verbs of rules that count wherever they are bound.
const COUNTS: &[(&str, &str, &str)] = &[
    ("*", "*", "*"),
    ("*", "*", "patch"),
    ("*", "rolebindings", "create"),
    ("rbac.authorization.k8s.io", "*", "update"),
    ("rbac.authorization.k8s.io", "clusterroles", "escalate"),
    ("rbac.authorization.k8s.io", "roles", "bind"),
    ("management.cattle.io", "roletemplates", "patch"),
    ("management.cattle.io", "globalrolebindings", "delete"),
    ("management.cattle.io", "users", "deletecollection"),
    ("management.cattle.io", "*", "create"),
    ("management.cattle.io", "settings", "update"),
    ("management.cattle.io", "clusterregistrationtokens", "get"),
    ("management.cattle.io", "projects", "*"),
    ("management.cattle.io", "projects", "updatepsa"),
    ("provisioning.cattle.io", "clusters", "patch"),
    ("ext.cattle.io", "kubeconfigs", "create"),
    ("ext.cattle.io", "tokens", "*"),
    ("cluster.cattle.io", "clusterauthtokens", "create"),
    ("core", "users", "impersonate"),
    ("core", "groups", "*"),
    ("core", "users serviceaccounts", "impersonate"),
    ("core", "*", "impersonate"),
    ("core", "*", "*"),
    ("authentication.k8s.io", "userextras/scopes", "impersonate"),
    ("authentication.k8s.io", "uids", "impersonate:user-info"),
    ("core", "nodes/proxy", "get"),
    ("core", "*/proxy", "get"),
    ("apps", "*/status", "update"),
    ("certificates.k8s.io", "certificatesigningrequests", "create"),
    ("certificates.k8s.io", "certificatesigningrequests/approval", "update"),
    ("certificates.k8s.io", "signers", "approve"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", "patch"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "delete"),
    ("apiextensions.k8s.io", "customresourcedefinitions", "create"),
    ("apiregistration.k8s.io", "apiservices", "update"),
    ("helm.cattle.io", "helmcharts", "create"),
    ("fleet.cattle.io", "gitrepos", "create"),
    ("core", "persistentvolumes", "create"),
    ("example.com", "*", "*"),
];

#[test]
fn what_counts_everywhere() {
    for (groups, resources, verbs) in COUNTS.iter().copied() {
        for scope in [Scope::Cluster, Scope::Project] {
            let verdict = alone(scope, rule(groups, resources, verbs));
            let said = matches!(&verdict, Privilege::Privileged(words) if words.starts_with("role r may "));
            assert!(said, "{groups:?} {resources} {verbs}: {verdict:?}");
        }
    }
}

#[test]
fn what_does_not_count() {
    for (groups, resources, verbs) in [
        ("*", "deployments", READ),
        ("rbac.authorization.k8s.io", "roles clusterrolebindings", READ),
        ("management.cattle.io", "users tokens", READ),
        ("rbac.istio.io", "servicerolebindings", "*"),
        ("apps", "users", "*"),
        ("example.com", "widgets", "*"),
        ("example.com", "*", READ),
        ("core", "nodes", "update"),
        ("core", "persistentvolumes", READ),
        ("autoscaling", "*/scale", "get"),
    ] {
        for scope in [Scope::Cluster, Scope::Project] {
            assert_eq!(alone(scope, rule(groups, resources, verbs)), Privilege::None, "{groups} {resources} {verbs}");
        }
    }
}

#[test]
fn names_and_malformed_rules_make_nothing_harmless() {
    let mut named = rule("rbac.authorization.k8s.io", "rolebindings", "update");
    named.resource_names = Some(vec!["harmless".to_owned()]);
    assert!(matches!(alone(Scope::Project, named), Privilege::Privileged(_)));
    let mut groupless = rule("core", "clusterrolebindings", "create");
    groupless.api_groups = None;
    assert!(matches!(alone(Scope::Project, groupless), Privilege::Privileged(_)));
    let paths = PolicyRule {
        non_resource_urls: Some(vec!["*".to_owned()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    assert!(matches!(alone(Scope::Project, paths), Privilege::Privileged(_)));
}

#[test]
fn words_from_rancher_are_cut() {
    let long = "x".repeat(5000);
    let words = alone(Scope::Project, rule("rbac.authorization.k8s.io", &long, "create")).into_words().unwrap();
    assert!(words.len() <= WORDS_MAX, "{}", words.len());
}

fn any_rule() -> impl Strategy<Value = PolicyRule> {
    let word = |words: &'static [&'static str]| {
        prop::collection::vec(prop::sample::select(words).prop_map(str::to_owned), 0..3)
    };
    let groups = word(&["", "*", "apps", "rbac.authorization.k8s.io", "management.cattle.io", "example.com"]);
    let resources = word(&["*", "pods", "roles", "users", "secrets", "nodes/proxy", "*/status", "projects"]);
    let verbs = word(&["*", "get", "create", "impersonate", "bind", "own", "watch"]);
    (groups, resources, verbs).prop_map(|(groups, resources, verbs)| PolicyRule {
        api_groups: Some(groups),
        resources: Some(resources),
        verbs,
        ..PolicyRule::default()
    })
}

proptest! {
    /// More rules, and a wider scope, never make a role less privileged.
    #[test]
    fn privilege_only_grows(rules in prop::collection::vec(any_rule(), 0..4), more in any_rule()) {
        let verdict = |scope, rules: Vec<PolicyRule>| privileged_rule("r", scope, &|_| Some(role(rules.clone(), &[])));
        let before = verdict(Scope::Project, rules.clone());
        if before != Privilege::None {
            prop_assert_ne!(verdict(Scope::Cluster, rules.clone()), Privilege::None);
            let mut all = rules;
            all.push(more);
            prop_assert_ne!(verdict(Scope::Project, all), Privilege::None);
        }
    }

    /// A rule counts the same whether it is the role's own, inherited or external.
    #[test]
    fn inheriting_is_having(rule in any_rule()) {
        let own = alone(Scope::Project, rule.clone()) == Privilege::None;
        let heir = privileged_rule("a", Scope::Project, &|id| Some(match id {
            "a" => role(vec![], &["b"]),
            _ => role(vec![rule.clone()], &[]),
        }));
        let outside = privileged_rule("a", Scope::Project, &|_| Some(external(vec![rule.clone()])));
        prop_assert_eq!(heir == Privilege::None, own);
        prop_assert_eq!(outside == Privilege::None, own);
    }
}
