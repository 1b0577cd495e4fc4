//! Roles in namespaces.

use std::time::Duration;

use rancher_access_operator::api::{
    ConditionStatus, condition,
    status::{BindingKind, BindingState, EndReason, Phase},
};
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    holds, states, world,
};

stories![
    a_namespace_grant_lives_and_ends_on_time,
    holders_share_the_membership_and_its_role_goes_with_the_last,
    a_role_that_only_lets_in_is_not_used_once_it_has_rules,
    a_principal_who_never_logged_in_gets_a_namespace,
    somebody_elses_role_binding_is_never_touched,
    a_role_binding_removed_downstream_ends_the_grant,
    a_namespace_that_is_deleted_ends_the_grant,
    a_namespace_grant_on_a_dead_cluster_ends_when_it_is_back,
    a_namespace_grant_settles_with_its_cluster,
    a_role_binding_that_nobody_remembers_is_swept,
    a_namespaces_project_decides_nothing,
    a_membership_role_deleted_by_hand_is_made_again,
    a_slow_cluster_is_not_away,
    what_waits_for_its_turn_says_that_it_has_ended,
];

fn role_bindings() -> Gvr {
    Gvr::new("rbac.authorization.k8s.io", "v1", "rolebindings")
}

fn management(plural: &str) -> Gvr {
    Gvr::new("management.cattle.io", "v3", plural)
}

fn on_namespace() -> Value {
    json!([{"namespace": {"cluster": CLUSTER, "name": "web-frontend", "role": "edit"}}])
}

/// A world whose policy offers namespaces.
async fn offered(given: Given) -> World {
    let world = world(given).await;
    let access = json!([
        {"cluster": {"names": [CLUSTER], "roles": ["cluster-member"]}},
        {"namespace": {"clusters": ["c-m-*"], "names": ["web-*", "kube-system"], "roles": ["edit", "view"]}},
    ]);
    world.patch_policy(json!({"access": access})).await;
    world
}

/// The role bindings of ours on the cluster, by name.
fn ours(world: &World) -> Vec<String> {
    let server = world.rancher.downstream(CLUSTER).expect("the cluster");
    let all = server.list(&role_bindings(), Some("web-frontend"));
    let names = all.iter().filter_map(|b| b["metadata"]["name"].as_str().map(str::to_owned));
    names.filter(|name| name.starts_with("rao-")).collect()
}

fn has_edit(world: &World, who: &str) -> bool {
    let all = world.rancher.access_of(who);
    all.iter().any(|a| a.cluster == CLUSTER && a.namespace == "web-frontend" && a.role == "edit")
}

fn membership_roles(world: &World) -> Vec<Value> {
    let all = world.rancher.local().list(&management("roletemplates"), None);
    all.into_iter().filter(|r| r["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("rao-member-"))).collect()
}

pub fn message(grant: &rancher_access_operator::api::AccessGrant, type_: &str) -> String {
    let conditions = &grant.status.as_ref().expect("a status").conditions;
    condition::find(conditions, type_).map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default()
}

async fn a_namespace_grant_lives_and_ends_on_time(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "10m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::Present; 2], "the namespace, and membership of its cluster");
    let status = active.status.expect("a status");
    assert_eq!(status.bindings[0].kind, BindingKind::RoleBinding);
    assert_eq!(status.access_details.expect("details").targets.len(), 1, "membership is nothing to go to");
    assert!(has_edit(&world, "u-alice") && !has_edit(&world, "u-bob"));
    world.until("Rancher lets her in", SOON, || async { world.rancher.is_member("u-alice", CLUSTER) }).await;

    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(ours(&world).is_empty() && world.bindings_of("u-alice").is_empty());
    assert!(!world.has_access("u-alice"), "{:?}", world.rancher.access_of("u-alice"));
    assert!(!world.rancher.is_member("u-alice", CLUSTER));
    world.until("the role is gone", Duration::from_secs(30), || async { membership_roles(&world).is_empty() }).await;
}

async fn holders_share_the_membership_and_its_role_goes_with_the_last(given: Given) {
    let world = offered(given).await;
    let view = json!([{"namespace": {"cluster": CLUSTER, "name": "web-frontend", "role": "view"}}]);
    world.ask("alice", "short", json!({"access": on_namespace(), "duration": "10m"})).await;
    world.ask("alice", "long", json!({"access": view, "duration": "30m"})).await;
    world.ask("bob", "other", json!({"access": on_namespace(), "duration": "20m"})).await;
    for name in ["short", "long", "other"] {
        world.reaches(name, Phase::Active, SOON).await;
    }
    assert_eq!(membership_roles(&world).len(), 1);
    assert_eq!(world.bindings_of("u-alice").len(), 1, "one membership for both of hers");
    let short = world.reaches("short", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&short), [BindingState::Removed, BindingState::HandedOver]);
    world.reaches("other", Phase::Expired, Duration::from_secs(700)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(membership_roles(&world).len(), 1, "alice still needs it");
    assert!(world.rancher.is_member("u-alice", CLUSTER) && !world.rancher.is_member("u-bob", CLUSTER));
    world.reaches("long", Phase::Expired, Duration::from_secs(700)).await;
    world.until("the role is gone", Duration::from_secs(30), || async { membership_roles(&world).is_empty() }).await;
}

async fn a_role_that_only_lets_in_is_not_used_once_it_has_rules(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "first", json!({"access": on_namespace(), "duration": "1h"})).await;
    world.reaches("first", Phase::Active, SOON).await;
    let mut role = membership_roles(&world).remove(0);
    role["rules"] = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    world.rancher.local().update(&management("roletemplates"), &role).await.expect("somebody widened it");
    world.ask("bob", "second", json!({"access": on_namespace(), "duration": "1h"})).await;
    let waiting = world.reaches("second", Phase::Activating, SOON).await;
    let said = message(&waiting, "Ready");
    assert!(said.starts_with("MembershipRoleChanged") && said.contains("without rules"), "{said}");
    assert!(world.bindings_of("u-bob").is_empty());
    let mut role = membership_roles(&world).remove(0);
    role["rules"] = json!([]);
    world.rancher.local().update(&management("roletemplates"), &role).await.expect("mended");
    world.reaches("second", Phase::Active, Duration::from_secs(40)).await;
}

async fn a_principal_who_never_logged_in_gets_a_namespace(given: Given) {
    let world = offered(given).await;
    let zoe = json!({"principal": "okta_user://ext-zoe"});
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "10m", "subject": zoe})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let made = || {
        let users = world.rancher.local().list(&management("users"), None);
        users.into_iter().find(|u| u["principalIds"][0] == "okta_user://ext-zoe")
    };
    world.until("Rancher made a user", SOON, || async { made().is_some() }).await;
    let zoe = made().expect("a user");
    let id = zoe["metadata"]["name"].as_str().expect("a name");
    world.until("she has access", SOON, || async { has_edit(&world, id) }).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(!world.has_access(id), "{:?}", world.rancher.access_of(id));
}

async fn somebody_elses_role_binding_is_never_touched(given: Given) {
    let world = offered(given).await;
    let server = world.rancher.downstream(CLUSTER).expect("the cluster");
    let user = |name: &str| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name});
    let by_hand = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "by-hand", "namespace": "web-frontend"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [user("u-carol"), user("u-alice")]});
    server.create(&role_bindings(), &by_hand).await.expect("by hand");
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "10m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::AlreadyHeld, BindingState::Present]);
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(has_edit(&world, "u-alice") && has_edit(&world, "u-carol"));
}

async fn a_role_binding_removed_downstream_ends_the_grant(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let server = world.rancher.downstream(CLUSTER).expect("the cluster");
    server.delete(&role_bindings(), "web-frontend", &ours(&world)[0], None).await.expect("deleted");
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(revoked.status.expect("a status").end.expect("an end").reason, EndReason::RemovedInRancher);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(ours(&world).is_empty() && world.bindings_of("u-alice").is_empty(), "neither is made again");
}

async fn a_namespace_that_is_deleted_ends_the_grant(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let server = world.rancher.downstream(CLUSTER).expect("the cluster");
    server.delete(&Gvr::core("namespaces"), "", "web-frontend", None).await.expect("deleted");
    world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_namespace_grant_on_a_dead_cluster_ends_when_it_is_back(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.rancher.cluster_away(CLUSTER, true);
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(400)).await;
    assert_eq!(holds(&waiting, "Revoked"), Some(ConditionStatus::False));
    tokio::time::sleep(Duration::from_secs(120)).await;
    let overdue = world.grant("g").await.expect("the grant");
    assert_eq!(holds(&overdue, "RevocationOverdue"), Some(ConditionStatus::True));
    world.rancher.cluster_away(CLUSTER, false);
    world.reaches("g", Phase::Expired, Duration::from_secs(45)).await;
    assert!(ours(&world).is_empty() && !world.has_access("u-alice"));
}

async fn a_namespace_grant_settles_with_its_cluster(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.rancher.cluster_away(CLUSTER, true);
    world.reaches("g", Phase::Revoking, Duration::from_secs(400)).await;
    world.rancher.delete_cluster(CLUSTER).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
}

async fn a_role_binding_that_nobody_remembers_is_swept(given: Given) {
    let mut world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "8h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.kill().await;
    let grants = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    let mut lost = world.server.get(&grants, "web", "g").expect("the grant");
    lost["metadata"]["finalizers"] = json!([]);
    world.server.update_unchecked(&grants, lost).expect("forced");
    world.server.delete_unchecked(&grants, "web", "g").expect("lost");
    world.launch().await;
    world
        .until("both are swept", Duration::from_secs(120), || async {
            ours(&world).is_empty() && world.bindings_of("u-alice").is_empty() && membership_roles(&world).is_empty()
        })
        .await;
    assert!(!world.has_access("u-alice"));
}

async fn a_namespaces_project_decides_nothing(given: Given) {
    let world = offered(given).await;
    let server = world.rancher.downstream(CLUSTER).expect("the cluster");
    let claim = |project: &str| json!({"metadata": {"annotations": {"field.cattle.io/projectId": format!("{CLUSTER}:{project}")}}});
    // Whoever works there says that kube-system belongs to the team's project.
    server.patch(&Gvr::core("namespaces"), "", "kube-system", "", &claim(&world.project)).await.expect("claimed");
    let system = json!([{"namespace": {"cluster": CLUSTER, "name": "kube-system", "role": "view"}}]);
    world.ask("alice", "g", json!({"access": system})).await;
    let pending = world.reaches("g", Phase::Pending, SOON).await;
    let said = message(&pending, "Ready");
    assert!(said.starts_with("PrivilegedTarget") && said.contains("kube-system"), "{said}");
}

async fn a_membership_role_deleted_by_hand_is_made_again(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let role = membership_roles(&world).remove(0);
    let name = role["metadata"]["name"].as_str().expect("a name");
    world.rancher.local().delete(&management("roletemplates"), "", name, None).await.expect("somebody deleted it");
    world.reaches("g", Phase::Expired, Duration::from_secs(400)).await;
    assert!(ours(&world).is_empty() && world.bindings_of("u-alice").is_empty());
    world.until("the role is gone", Duration::from_secs(30), || async { membership_roles(&world).is_empty() }).await;
}

async fn a_slow_cluster_is_not_away(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": on_namespace(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(280)).await;
    world.rancher.cluster_away(CLUSTER, true);
    world.reaches("g", Phase::Revoking, Duration::from_secs(60)).await;
    // It is back, but overloaded.
    let slow = FaultAction::DelayAnswer(Duration::from_secs(5));
    world.rancher.fault(FaultRule::on("", &format!("/k8s/clusters/{CLUSTER}/"), slow));
    world.rancher.cluster_away(CLUSTER, false);
    world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert!(ours(&world).is_empty());
}

async fn what_waits_for_its_turn_says_that_it_has_ended(given: Given) {
    let world = offered(given).await;
    let names: Vec<_> = (0..18).map(|i| format!("g{i}")).collect();
    for name in &names {
        let subject = json!({"principal": format!("okta_user://ext-{name}")});
        world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "5m", "subject": subject})).await;
    }
    for name in &names {
        world.reaches(name, Phase::Active, SOON).await;
    }
    tokio::time::sleep(Duration::from_secs(200)).await;
    // Rancher removes them, and to look for what is left takes long.
    let slow = FaultAction::DelayAnswer(Duration::from_secs(9));
    world.rancher.fault(FaultRule::on("GET", &format!("/k8s/clusters/{CLUSTER}/"), slow));
    let gone = || async { names.iter().all(|name| world.bindings_of(&format!("okta_user://ext-{name}")).is_empty()) };
    world.until("their bindings are gone", Duration::from_secs(120), gone).await;
    // Those that are looked at are done by then; the others wait.
    tokio::time::sleep(Duration::from_secs(30)).await;
    for name in &names {
        assert_ne!(world.phase(name).await, Some(Phase::Active), "{}", world.tell().await);
    }
    world.rancher.clear_faults();
    for name in &names {
        world.reaches(name, Phase::Expired, Duration::from_secs(120)).await;
    }
}
