//! On what.

use serde_json::json;

use super::{RefusalReason as R, *};

#[test]
fn one_policy_must_cover_all_targets() {
    let by = |cluster: &str, role: &str| json!({"access": [{"cluster": {"names": [cluster], "roles": [role]}}]});
    let two = json!({"access": [
        {"cluster": {"name": "c-1", "role": "cluster-member"}},
        {"cluster": {"name": "c-2", "role": "cluster-member"}},
    ]});
    let apart = [policy("a", by("c-1", "cluster-member")), policy("b", by("c-2", "cluster-member"))];
    refused(first(&grant(two), &apart), R::TargetNotAllowed, &["None of 2", "a comes nearest", "c-2"]);
}

#[test]
fn roles_are_compared_exactly() {
    let role = |role: &str| json!({"access": [{"cluster": {"name": "c-1", "role": role}}]});
    for other in ["cluster-membe", "cluster-member2", "*", "cluster-owner"] {
        not_by(json!({}), role(other), R::RoleNotAllowed, &["cluster c-1", other]);
    }
    let star = json!({"access": [{"cluster": {"names": ["*"], "roles": ["*"]}}]});
    not_by(star, role("cluster-member"), R::RoleNotAllowed, &[]);
}

#[test]
fn empty_lists_and_selectors_cover_nothing() {
    for access in [
        json!([]),
        json!([{"cluster": {"roles": ["cluster-member"]}}]),
        json!([{"cluster": {"names": ["*"], "roles": []}}]),
        json!([{"cluster": {"selector": {}, "roles": ["cluster-member"]}}]),
        json!([{"project": {"clusters": ["*"], "roles": ["project-member"]}}]),
        json!([{"project": {"names": ["*"], "roles": ["project-member"]}}]),
        json!([{"project": {"clusterSelector": {}, "selector": {}, "roles": ["project-member"]}}]),
    ] {
        let policies = [policy("web", json!({"access": access}))];
        let refusal = first(&grant(json!({})), &policies).unwrap_err();
        assert!(matches!(refusal.reason, R::TargetNotAllowed | R::RoleNotAllowed), "{refusal}");
    }
}

#[test]
fn a_rule_for_clusters_says_nothing_of_projects_and_neither_the_other_way_round() {
    let cluster = json!({"access": [{"cluster": {"names": ["*"], "roles": ["project-member", "cluster-member"]}}]});
    not_by(cluster, json!({}), R::TargetNotAllowed, &["project p-1 on cluster c-2"]);
    let project = json!({"access": [{"project": {"clusters": ["*"], "names": ["*"], "roles": ["cluster-member", "project-member"]}}]});
    not_by(project, json!({}), R::TargetNotAllowed, &["cluster c-1"]);
    let both_set = json!({"access": [{"cluster": {"names": ["*"], "roles": ["cluster-member"]}, "project": {"clusters": ["*"], "names": ["*"], "roles": ["project-member"]}}]});
    not_by(both_set, json!({}), R::TargetNotAllowed, &[]);
}

#[test]
fn labels_decide_in_the_second_stage() {
    let policies = [policy("web", json!({}))];
    let spec = grant(json!({}));
    assert_eq!(first(&spec, &policies).unwrap(), ["web"]);
    let mut other = facts();
    other.targets[1].cluster.as_mut().unwrap().labels = labels(&[("env", "dev")]);
    refused(both(&spec, &policies, &other), R::TargetNotAllowed, &["p-1", "labels"]);
    let mut other = facts();
    other.targets[1].project.as_mut().unwrap().labels = labels(&[("team", "db")]);
    refused(both(&spec, &policies, &other), R::TargetNotAllowed, &["p-1", "labels"]);
}

#[test]
fn facts_about_something_else_allow_nothing() {
    let policies = [policy("web", json!({}))];
    let spec = grant(json!({}));
    let broken: [fn(&mut Facts); 5] = [
        |f| f.targets.reverse(),
        |f| f.targets.truncate(1),
        |f| f.targets[0].role.id = "cluster-owner".to_owned(),
        |f| f.targets[1].project = None,
        |f| f.targets.clear(),
    ];
    for change in broken {
        let mut facts = facts();
        change(&mut facts);
        refused(both(&spec, &policies, &facts), R::TargetUnknown, &[]);
    }
}

#[test]
fn grants_that_ask_for_nothing_or_two_things_at_once_are_refused() {
    not_by(json!({}), json!({"access": []}), R::TargetInvalid, &["empty"]);
    not_by(json!({}), json!({"access": [{}]}), R::TargetInvalid, &["exactly one"]);
}

type Change = fn(&mut Facts);

/// What makes the request privileged, and how the refusal says so.
const PRIVILEGED: &[(Change, R, &str)] = &[
    (make_role_privileged, R::PrivilegedRole, "verbs * on *"),
    (|f| f.targets[1].cluster.as_mut().unwrap().hosts_rancher = true, R::PrivilegedTarget, "Rancher itself"),
    (|f| f.targets[1].cluster.as_mut().unwrap().hosts_operator = true, R::PrivilegedTarget, "this operator"),
    (|f| f.targets[0].cluster.as_mut().unwrap().hosts_operator = true, R::PrivilegedTarget, "cluster c-1"),
    (make_project_system, R::PrivilegedTarget, "System project"),
];

fn make_role_privileged(facts: &mut Facts) {
    facts.targets[0].role.privileged = Some("role x may do anything: verbs * on *".to_owned());
}

fn make_project_system(facts: &mut Facts) {
    facts.targets[1].project.as_mut().unwrap().system = true;
}

#[test]
fn privilege_comes_first_and_names_the_rule() {
    let spec = grant(json!({}));
    let daring = json!({"allowPrivileged": true, "approval": {"required": 2}});
    let plain = [policy("web", json!({}))];
    let mixed = [policy("web", json!({})), policy("zap", daring)];
    for (change, reason, says) in PRIVILEGED {
        let mut facts = facts();
        change(&mut facts);
        let says_all = ["AccessPolicy web", says, "allowPrivileged"];
        refused(both(&spec, &plain, &facts), *reason, &says_all);
        let allowed = both(&spec, &mixed, &facts).unwrap();
        assert_eq!(allowed.policy.name, "zap");
        // Even where the policy would refuse for another reason.
        facts.targets[1].cluster.as_mut().unwrap().labels.clear();
        refused(both(&spec, &plain, &facts), *reason, &[says]);
        let nearest = ["zap comes nearest"];
        refused(both(&spec, &mixed, &facts), R::TargetNotAllowed, &nearest);
    }
}

#[test]
fn a_policy_that_only_lacks_privilege_is_the_nearest() {
    let spec = grant(json!({}));
    let mut facts = facts();
    facts.targets[0].cluster.as_mut().unwrap().hosts_rancher = true;
    let policies =
        [policy("web", json!({})), policy("emergency", json!({"allowPrivileged": true, "requireReason": true}))];
    let labels = labels(&[("team", "web")]);
    let mapping = mapping();
    let request = Request {
        namespace: "web-prod",
        namespace_labels: &labels,
        spec: &spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &Unfinished::default(),
    };
    let all: Vec<_> = policies.iter().collect();
    refused(judge(&request, &all, &[], &facts, now()), R::PrivilegedTarget, &["web comes nearest"]);
}

/// A grant on a namespace and in Rancher as a whole, and what Rancher says of it.
fn elsewhere() -> (AccessGrantSpec, Facts) {
    let spec = grant(json!({"access": [
        {"namespace": {"cluster": "c-1", "name": "web-api", "role": "edit"}},
        {"global": {"role": "user-base"}},
    ]}));
    let mut facts = facts();
    let role = |id: &str| RoleFacts {
        id: id.to_owned(),
        privileged: None,
        display_name: String::new(),
        fingerprint: String::new(),
    };
    let namespace = Some(NamespaceFacts { name: "web-api".to_owned(), uid: "uid-web-api".to_owned(), system: false });
    facts.targets[0] = TargetFacts { namespace, role: role("edit"), ..facts.targets[0].clone() };
    facts.targets[1] = TargetFacts { cluster: None, project: None, namespace: None, role: role("user-base") };
    (spec, facts)
}

fn elsewhere_policy(namespace: serde_json::Value) -> Policy {
    policy("web", json!({"access": [{"namespace": namespace}, {"global": {"roles": ["user-base"]}}]}))
}

#[test]
fn namespaces_and_rancher_as_a_whole_are_covered_by_name() {
    let rule = |clusters: &str, names: &str, roles: &str| {
        elsewhere_policy(json!({"clusters": [clusters], "names": [names], "roles": [roles]}))
    };
    let (spec, facts) = elsewhere();
    both(&spec, &[rule("c-*", "web-*", "edit")], &facts).unwrap();
    for (clusters, names, roles, reason) in [
        ("c-2", "web-*", "edit", R::TargetNotAllowed),
        ("c-1", "api-*", "edit", R::TargetNotAllowed),
        ("c-1", "web-*", "view", R::RoleNotAllowed),
    ] {
        refused(both(&spec, &[rule(clusters, names, roles)], &facts), reason, &["namespace web-api on cluster c-1"]);
    }
    let no_global =
        policy("web", json!({"access": [{"namespace": {"clusters": ["*"], "names": ["*"], "roles": ["edit"]}}]}));
    refused(both(&spec, &[no_global], &facts), R::TargetNotAllowed, &["Rancher as a whole"]);
}

#[test]
fn a_namespace_of_the_system_is_privileged_whatever_its_project() {
    let everything = elsewhere_policy(json!({"clusters": ["*"], "names": ["*"], "roles": ["edit"]}));
    let (spec, mut facts) = elsewhere();
    facts.targets[0].namespace.as_mut().unwrap().system = true;
    refused(both(&spec, &[everything], &facts), R::PrivilegedTarget, &["namespace of Kubernetes or of Rancher"]);
}
