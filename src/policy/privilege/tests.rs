//! Against the rules that Rancher 2.15 and Kubernetes 1.33 give their own roles (their grouping is ours).

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::PolicyRule;
use proptest::prelude::*;

use super::{Privilege, RoleRules, Scope, privileged_rule};

const WRITE: &str = "create delete deletecollection patch update";
const READ: &str = "get list watch";

fn split(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|t| t.replace("core", ""))
        .collect()
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
    RoleRules {
        rules,
        inherits: inherits.iter().map(|s| (*s).to_owned()).collect(),
        external: None,
    }
}

fn external(rules: Vec<PolicyRule>) -> RoleRules {
    RoleRules {
        external: Some(rules),
        ..RoleRules::default()
    }
}

fn view_rules() -> Vec<PolicyRule> {
    vec![
        rule(
            "core",
            "configmaps endpoints persistentvolumeclaims pods replicationcontrollers serviceaccounts services",
            READ,
        ),
        rule(
            "core",
            "bindings events limitranges namespaces/status pods/log pods/status resourcequotas namespaces",
            READ,
        ),
        rule("discovery.k8s.io", "endpointslices", READ),
        rule(
            "apps",
            "controllerrevisions daemonsets deployments replicasets statefulsets",
            READ,
        ),
        rule("batch", "cronjobs jobs", READ),
        rule("networking.k8s.io", "ingresses networkpolicies", READ),
    ]
}

fn edit_rules() -> Vec<PolicyRule> {
    let mut rules = vec![
        rule(
            "core",
            "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            READ,
        ),
        rule("core", "serviceaccounts", "impersonate"),
        rule(
            "core",
            "pods pods/attach pods/exec pods/portforward pods/proxy",
            WRITE,
        ),
        rule("core", "pods/eviction serviceaccounts/token", "create"),
        rule(
            "core",
            "configmaps events persistentvolumeclaims secrets serviceaccounts services services/proxy",
            WRITE,
        ),
        rule(
            "apps",
            "daemonsets deployments deployments/rollback deployments/scale replicasets statefulsets",
            WRITE,
        ),
        rule("autoscaling", "horizontalpodautoscalers", WRITE),
        rule("batch", "cronjobs jobs", WRITE),
        rule(
            "extensions",
            "daemonsets deployments ingresses networkpolicies replicasets",
            WRITE,
        ),
        rule("policy", "poddisruptionbudgets", WRITE),
        rule("networking.k8s.io", "ingresses networkpolicies", WRITE),
        rule("coordination.k8s.io", "leases", WRITE),
    ];
    rules.extend(view_rules());
    rules
}

fn admin_rules() -> Vec<PolicyRule> {
    let mut rules = edit_rules();
    rules.push(rule(
        "authorization.k8s.io",
        "localsubjectaccessreviews",
        "create",
    ));
    rules.push(rule(
        "rbac.authorization.k8s.io",
        "rolebindings roles",
        &format!("{WRITE} {READ}"),
    ));
    rules
}

fn project_member_rules() -> Vec<PolicyRule> {
    vec![
        rule("ui.cattle.io", "navlinks", READ),
        rule("management.cattle.io", "projectroletemplatebindings", READ),
        rule("project.cattle.io", "apps apprevisions", "*"),
        rule("core", "namespaces", "create"),
        rule("core", "persistentvolumes", READ),
        rule("storage.k8s.io", "storageclasses", READ),
        rule("apiregistration.k8s.io", "apiservices", READ),
        rule("core", "persistentvolumeclaims", "*"),
        rule("metrics.k8s.io", "pods", "*"),
        rule(
            "monitoring.coreos.com",
            "prometheuses prometheusrules servicemonitors",
            "*",
        ),
        rule(
            "networking.istio.io",
            "destinationrules envoyfilters gateways virtualservices",
            "*",
        ),
        rule("config.istio.io", "rbacs rules", "*"),
        rule(
            "rbac.istio.io",
            "rbacconfigs serviceroles servicerolebindings",
            "*",
        ),
        rule("security.istio.io", "authorizationpolicies", "*"),
        rule(
            "catalog.cattle.io",
            "clusterrepos operations releases apps",
            READ,
        ),
        rule("management.cattle.io", "clusters", "get"),
    ]
}

fn cluster_member_rules() -> Vec<PolicyRule> {
    vec![
        rule(
            "management.cattle.io",
            "clusterroletemplatebindings nodes nodepools clusterevents",
            READ,
        ),
        rule("management.cattle.io", "projects", "create"),
        rule("core", "nodes persistentvolumes", READ),
        rule("storage.k8s.io", "storageclasses", READ),
        rule("apiregistration.k8s.io", "apiservices", READ),
        rule("management.cattle.io", "clusters", "get"),
        rule("provisioning.cattle.io", "clusters", "get watch"),
        rule(
            "cluster.x-k8s.io",
            "machines machinedeployments",
            "get watch",
        ),
        rule(
            "rke-machine-config.cattle.io rke-machine.cattle.io",
            "*",
            "get watch",
        ),
        rule("metrics.k8s.io", "nodemetrics nodes", READ),
    ]
}

/// Roles as Rancher and Kubernetes ship them.
fn shipped() -> BTreeMap<&'static str, RoleRules> {
    let mut project_owner = project_member_rules();
    project_owner.push(rule("management.cattle.io", "projects", "own"));
    project_owner.push(rule(
        "management.cattle.io",
        "projectroletemplatebindings",
        "*",
    ));
    let read_only = vec![
        rule(
            "management.cattle.io",
            "projectroletemplatebindings projectloggings",
            READ,
        ),
        rule("core", "persistentvolumes persistentvolumeclaims", READ),
    ];
    let own = |rules| role(rules, &[]);
    BTreeMap::from([
        (
            "cluster-owner",
            own(vec![
                rule("management.cattle.io", "clusters", "own"),
                rule("*", "*", "*"),
            ]),
        ),
        ("cluster-member", own(cluster_member_rules())),
        ("cluster-admin", external(vec![rule("*", "*", "*")])),
        ("project-owner", role(project_owner, &["admin"])),
        ("project-member", role(project_member_rules(), &["edit"])),
        ("read-only", role(read_only, &["view"])),
        ("admin", external(admin_rules())),
        ("edit", external(edit_rules())),
        ("view", external(view_rules())),
        (
            "projects-create",
            own(vec![rule("management.cattle.io", "projects", "create")]),
        ),
        (
            "projects-view",
            role(vec![rule("core", "namespaces", READ)], &["view"]),
        ),
        (
            "nodes-manage",
            own(vec![
                rule("management.cattle.io core", "nodes nodepools", "*"),
                rule("rke-machine-config.cattle.io", "*", "*"),
            ]),
        ),
        (
            "storage-manage",
            own(vec![rule("core", "persistentvolumes", "*")]),
        ),
        (
            "clusterroletemplatebindings-manage",
            own(vec![rule(
                "management.cattle.io",
                "clusterroletemplatebindings",
                "*",
            )]),
        ),
        ("secrets-manage", own(vec![rule("core", "secrets", "*")])),
        (
            "serviceaccounts-manage",
            own(vec![rule("core", "serviceaccounts", "*")]),
        ),
        (
            "workloads-manage",
            own(vec![rule(
                "core apps batch",
                "pods pods/exec deployments jobs",
                "*",
            )]),
        ),
    ])
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
        let expected = if privileged {
            matches!(verdict, Privilege::Privileged(_))
        } else {
            verdict == Privilege::None
        };
        assert!(expected, "{name} on {scope:?}: {verdict:?}");
    }
}

#[test]
fn the_rule_is_named() {
    let words = |scope, name| judged(scope, name).into_words().unwrap();
    assert_eq!(
        words(Scope::Cluster, "cluster-owner"),
        "role cluster-owner may do anything: verbs * on *"
    );
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
fn what_counts_everywhere() {
    for (groups, resources, verbs) in [
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
        (
            "certificates.k8s.io",
            "certificatesigningrequests",
            "create",
        ),
        (
            "certificates.k8s.io",
            "certificatesigningrequests/approval",
            "update",
        ),
        ("certificates.k8s.io", "signers", "approve"),
        (
            "admissionregistration.k8s.io",
            "mutatingwebhookconfigurations",
            "patch",
        ),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            "delete",
        ),
        (
            "apiextensions.k8s.io",
            "customresourcedefinitions",
            "create",
        ),
        ("apiregistration.k8s.io", "apiservices", "update"),
        ("helm.cattle.io", "helmcharts", "create"),
        ("fleet.cattle.io", "gitrepos", "create"),
        ("core", "persistentvolumes", "create"),
        ("example.com", "*", "*"),
    ] {
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
        (
            "rbac.authorization.k8s.io",
            "roles clusterrolebindings",
            READ,
        ),
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
            assert_eq!(
                alone(scope, rule(groups, resources, verbs)),
                Privilege::None,
                "{groups} {resources} {verbs}"
            );
        }
    }
}

#[test]
fn names_and_malformed_rules_make_nothing_harmless() {
    let mut named = rule("rbac.authorization.k8s.io", "rolebindings", "update");
    named.resource_names = Some(vec!["harmless".to_owned()]);
    assert!(matches!(
        alone(Scope::Project, named),
        Privilege::Privileged(_)
    ));
    let mut groupless = rule("core", "clusterrolebindings", "create");
    groupless.api_groups = None;
    assert!(matches!(
        alone(Scope::Project, groupless),
        Privilege::Privileged(_)
    ));
    let paths = PolicyRule {
        non_resource_urls: Some(vec!["*".to_owned()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    assert!(matches!(
        alone(Scope::Project, paths),
        Privilege::Privileged(_)
    ));
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let unread = privileged_rule("gone", Scope::Project, &|_| None);
    assert_eq!(
        unread,
        Privilege::Unknown("role gone could not be read".to_owned())
    );

    let heir = role(view_rules(), &["gone"]);
    let verdict = privileged_rule("heir", Scope::Project, &|id| {
        (id == "heir").then(|| heir.clone())
    });
    assert_eq!(
        verdict,
        Privilege::Unknown("role heir inherits gone, which could not be read".to_owned())
    );
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

#[test]
fn words_from_rancher_are_cut() {
    let long = "x".repeat(5000);
    let words = alone(
        Scope::Project,
        rule("rbac.authorization.k8s.io", &long, "create"),
    )
    .into_words()
    .unwrap();
    assert!(words.len() <= super::WORDS_MAX, "{}", words.len());
}

fn any_rule() -> impl Strategy<Value = PolicyRule> {
    let word = |words: &'static [&'static str]| {
        prop::collection::vec(prop::sample::select(words).prop_map(str::to_owned), 0..3)
    };
    let groups = word(&[
        "",
        "*",
        "apps",
        "rbac.authorization.k8s.io",
        "management.cattle.io",
        "example.com",
    ]);
    let resources = word(&[
        "*",
        "pods",
        "roles",
        "users",
        "secrets",
        "nodes/proxy",
        "*/status",
        "projects",
    ]);
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
