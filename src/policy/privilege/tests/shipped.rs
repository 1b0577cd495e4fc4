//! Roles as Rancher 2.15 and Kubernetes 1.33 ship them: every rule that could matter here, grouped our way.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::PolicyRule;

use super::{READ, WRITE, role, rule};
use crate::policy::privilege::RoleRules;

pub fn view_rules() -> Vec<PolicyRule> {
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
        rule("apps", "controllerrevisions daemonsets deployments replicasets statefulsets", READ),
        rule("batch", "cronjobs jobs", READ),
        rule("networking.k8s.io", "ingresses networkpolicies", READ),
    ]
}

fn edit_rules() -> Vec<PolicyRule> {
    let mut rules = vec![
        rule("core", "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy", READ),
        rule("core", "serviceaccounts", "impersonate"),
        rule("core", "pods pods/attach pods/exec pods/portforward pods/proxy", WRITE),
        rule("core", "pods/eviction serviceaccounts/token", "create"),
        rule("core", "configmaps events persistentvolumeclaims secrets serviceaccounts services services/proxy", WRITE),
        rule("apps", "daemonsets deployments deployments/rollback deployments/scale replicasets statefulsets", WRITE),
        rule("autoscaling", "horizontalpodautoscalers", WRITE),
        rule("batch", "cronjobs jobs", WRITE),
        rule("extensions", "daemonsets deployments ingresses networkpolicies replicasets", WRITE),
        rule("policy", "poddisruptionbudgets", WRITE),
        rule("networking.k8s.io", "ingresses networkpolicies", WRITE),
        rule("coordination.k8s.io", "leases", WRITE),
    ];
    rules.extend(view_rules());
    rules
}

pub fn admin_rules() -> Vec<PolicyRule> {
    let mut rules = edit_rules();
    rules.push(rule("authorization.k8s.io", "localsubjectaccessreviews", "create"));
    rules.push(rule("rbac.authorization.k8s.io", "rolebindings roles", &format!("{WRITE} {READ}")));
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
        rule("monitoring.coreos.com", "prometheuses prometheusrules servicemonitors", "*"),
        rule("networking.istio.io", "destinationrules envoyfilters gateways virtualservices", "*"),
        rule("config.istio.io", "rbacs rules", "*"),
        rule("rbac.istio.io", "rbacconfigs serviceroles servicerolebindings", "*"),
        rule("security.istio.io", "authorizationpolicies", "*"),
        rule("catalog.cattle.io", "clusterrepos operations releases apps", READ),
        rule("management.cattle.io", "clusters", "get"),
    ]
}

fn cluster_member_rules() -> Vec<PolicyRule> {
    vec![
        rule("management.cattle.io", "clusterroletemplatebindings nodes nodepools clusterevents", READ),
        rule("management.cattle.io", "projects", "create"),
        rule("core", "nodes persistentvolumes", READ),
        rule("storage.k8s.io", "storageclasses", READ),
        rule("apiregistration.k8s.io", "apiservices", READ),
        rule("management.cattle.io", "clusters", "get"),
        rule("provisioning.cattle.io", "clusters", "get watch"),
        rule("cluster.x-k8s.io", "machines machinedeployments", "get watch"),
        rule("rke-machine-config.cattle.io rke-machine.cattle.io", "*", "get watch"),
        rule("metrics.k8s.io", "nodemetrics nodes", READ),
    ]
}

/// All of them, by id.
pub fn shipped() -> BTreeMap<&'static str, RoleRules> {
    let everything = || rule("*", "*", "*");
    let external = [
        ("cluster-admin", vec![everything()]),
        ("admin", admin_rules()),
        ("edit", edit_rules()),
        ("view", view_rules()),
    ];
    let mut project_owner = project_member_rules();
    project_owner.push(rule("management.cattle.io", "projects", "own"));
    let bindings = "projectroletemplatebindings";
    project_owner.push(rule("management.cattle.io", bindings, "*"));
    let read_only = rule("core", "persistentvolumes persistentvolumeclaims", READ);
    let owner = rule("management.cattle.io", "clusters", "own");
    let heirs = [
        ("cluster-owner", role(vec![owner, everything()], &[])),
        ("cluster-member", role(cluster_member_rules(), &[])),
        ("project-owner", role(project_owner, &["admin"])),
        ("project-member", role(project_member_rules(), &["edit"])),
        ("read-only", role(vec![read_only], &["view"])),
        ("projects-view", role(vec![rule("core", "namespaces", READ)], &["view"])),
    ];
    let single =
        SINGLE.iter().map(|(id, groups, resources, verbs)| (*id, role(vec![rule(groups, resources, verbs)], &[])));
    let external = external.map(|(id, rules)| (id, super::external(rules)));
    external.into_iter().chain(heirs).chain(single).collect()
}

/// Roles whose one rule tells all: id, groups, resources, verbs.
const SINGLE: &[(&str, &str, &str, &str)] = &[
    ("projects-create", "management.cattle.io", "projects", "create"),
    ("nodes-manage", "rke-machine-config.cattle.io", "*", "*"),
    ("storage-manage", "core", "persistentvolumes", "*"),
    ("clusterroletemplatebindings-manage", "management.cattle.io", "clusterroletemplatebindings", "*"),
    ("secrets-manage", "core", "secrets", "*"),
    ("serviceaccounts-manage", "core", "serviceaccounts", "*"),
    ("workloads-manage", "core apps batch", "pods pods/exec deployments jobs", "*"),
];
