//! Roles in Rancher as a whole.

use std::time::Duration;

use rancher_access_operator::api::{
    ConditionStatus,
    status::{BindingState, EndReason, Phase},
};
use serde_json::{Value, json};
use testkit::rancher::{FaultAction, FaultRule};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    hands::management,
    holds, states,
    targets::message,
    world,
};

stories![
    a_global_grant_lives_and_ends_on_time,
    an_equal_global_binding_is_never_touched,
    a_deleted_global_role_ends_the_grant,
    an_administrator_for_a_while_needs_allow_privileged,
    an_administrator_leaves_nothing_on_a_cluster_that_was_away,
    a_permanent_administrator_stays_one,
    a_look_that_was_refused_proves_nothing,
    a_role_narrowed_meanwhile_leaves_nothing,
];

fn everywhere(role: &str) -> Value {
    json!([{"global": {"role": role}}])
}

/// A world whose policy offers global roles.
async fn offered(given: Given) -> World {
    let world = world(given).await;
    world.rancher.add_global_role(json!({"metadata": {"name": "reader"}, "displayName": "Reader",
        "rules": [{"apiGroups": ["management.cattle.io"], "resources": ["settings"], "verbs": ["get"]}]}));
    world
        .patch_policy(json!({"access": [{"global": {"roles": ["user-base", "reader", "admin", "everything"]}}]}))
        .await;
    world
}

fn grbs_of(world: &World, who: &str) -> Vec<String> {
    let all = world.rancher.local().list(&management("globalrolebindings"), None);
    let theirs = all.iter().filter(|b| ["userName", "userPrincipalName"].iter().any(|field| b[*field] == who));
    theirs.filter_map(|b| b["metadata"]["name"].as_str().map(str::to_owned)).collect()
}

async fn a_global_grant_lives_and_ends_on_time(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": everywhere("reader"), "duration": "10m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::Present]);
    assert_eq!(active.status.as_ref().and_then(|s| s.target.as_deref()), Some("Rancher"));
    let has = || world.rancher.access_of("u-alice").iter().any(|a| a.role == "cattle-globalrole-reader");
    world.until("she has it", SOON, || async { has() }).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(message(&expired, "Revoked").contains("proven gone"));
    assert!(grbs_of(&world, "u-alice").is_empty() && !has());
    let zoe = json!({"principal": "okta_user://ext-zoe"});
    world.ask("alice", "p", json!({"access": everywhere("user-base"), "duration": "5m", "subject": zoe})).await;
    world.reaches("p", Phase::Active, SOON).await;
    world.reaches("p", Phase::Expired, Duration::from_secs(400)).await;
    assert!(grbs_of(&world, "okta_user://ext-zoe").is_empty());
}

async fn an_equal_global_binding_is_never_touched(given: Given) {
    let world = offered(given).await;
    let by_hand = |name: &str| {
        json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding",
        "metadata": {"name": name}, "globalRoleName": "reader", "userName": "u-alice"})
    };
    let local = world.rancher.local();
    local.create(&management("globalrolebindings"), &by_hand("before")).await.expect("by hand");
    world.ask("alice", "held", json!({"access": everywhere("reader"), "duration": "5m"})).await;
    let held = world.reaches("held", Phase::Active, SOON).await;
    assert_eq!(states(&held), [BindingState::AlreadyHeld]);
    world.reaches("held", Phase::Expired, Duration::from_secs(400)).await;
    assert_eq!(grbs_of(&world, "u-alice"), ["before"]);
    local.delete(&management("globalrolebindings"), "", "before", None).await.expect("deleted");
    // No webhook refuses a second one: it stands beside ours, and stays.
    world.ask("alice", "beside", json!({"access": everywhere("reader"), "duration": "5m"})).await;
    world.reaches("beside", Phase::Active, SOON).await;
    local.create(&management("globalrolebindings"), &by_hand("during")).await.expect("by hand");
    let expired = world.reaches("beside", Phase::Expired, Duration::from_secs(400)).await;
    assert_eq!(grbs_of(&world, "u-alice"), ["during"]);
    assert_eq!(holds(&expired, "ResidualAccess"), Some(ConditionStatus::True), "{:?}", expired.status);
    let said = message(&expired, "ResidualAccess");
    assert!(said.contains("during"), "{said}");
}

async fn a_deleted_global_role_ends_the_grant(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": everywhere("reader"), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.rancher.local().delete(&management("globalroles"), "", "reader", None).await.expect("deleted");
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(120)).await;
    assert_eq!(revoked.status.expect("a status").end.expect("an end").reason, EndReason::RemovedInRancher);
    assert!(grbs_of(&world, "u-alice").is_empty());
}

async fn an_administrator_for_a_while_needs_allow_privileged(given: Given) {
    let world = offered(given).await;
    world.ask("alice", "g", json!({"access": everywhere("admin"), "duration": "10m"})).await;
    let pending = world.reaches("g", Phase::Pending, SOON).await;
    let said = message(&pending, "Ready");
    assert!(said.starts_with("PrivilegedRole") && said.contains("admin (global)"), "{said}");
    assert!(grbs_of(&world, "u-alice").is_empty());
}

/// Whether that user is administrator of the cluster.
fn is_admin(world: &World, who: &str, cluster: &str) -> bool {
    let all = world.rancher.access_of(who);
    all.iter().any(|a| a.cluster == cluster && a.name == format!("globaladmin-{who}"))
}

async fn an_administrator_leaves_nothing_on_a_cluster_that_was_away(given: Given) {
    let world = offered(given).await;
    world.patch_policy(json!({"allowPrivileged": true})).await;
    world.rancher.add_cluster("c-m-other001", "other", &[]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.ask("alice", "g", json!({"access": everywhere("admin"), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    for cluster in ["local", CLUSTER, "c-m-other001"] {
        world.until("she is administrator", SOON, || async { is_admin(&world, "u-alice", cluster) }).await;
    }
    // Rancher skips clusters that are away, and never comes back to them.
    world.rancher.cluster_away("c-m-other001", true);
    world
        .until("the binding is gone", Duration::from_secs(700), || async { grbs_of(&world, "u-alice").is_empty() })
        .await;
    let revoking = world.reaches("g", Phase::Revoking, SOON).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let said = message(&world.grant("g").await.unwrap_or(revoking), "Revoked");
    assert!(said.starts_with("DownstreamUnverified") && said.contains("c-m-other001"), "{said}");
    assert!(!is_admin(&world, "u-alice", CLUSTER) && is_admin(&world, "u-alice", "c-m-other001"));
    world.rancher.cluster_away("c-m-other001", false);
    world.reaches("g", Phase::Expired, Duration::from_secs(90)).await;
    for cluster in ["local", CLUSTER, "c-m-other001"] {
        assert!(!is_admin(&world, "u-alice", cluster), "{cluster}: {:?}", world.rancher.access_of("u-alice"));
    }
}

async fn a_permanent_administrator_stays_one(given: Given) {
    let world = offered(given).await;
    world.patch_policy(json!({"allowPrivileged": true})).await;
    world.ask("alice", "g", json!({"access": everywhere("admin"), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let by_hand = json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding",
        "metadata": {"name": "for-good"}, "globalRoleName": "admin", "userName": "u-alice"});
    world.rancher.local().create(&management("globalrolebindings"), &by_hand).await.expect("by hand");
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(grbs_of(&world, "u-alice"), ["for-good"]);
    // Rancher takes away what the two shared, and makes it again for the one that is touched.
    world.until("she is administrator", SOON, || async { is_admin(&world, "u-alice", CLUSTER) }).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(is_admin(&world, "u-alice", CLUSTER));
}

async fn a_look_that_was_refused_proves_nothing(given: Given) {
    let world = offered(given).await;
    world.patch_policy(json!({"allowPrivileged": true})).await;
    world.ask("alice", "g", json!({"access": everywhere("admin"), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("she is administrator", SOON, || async { is_admin(&world, "u-alice", CLUSTER) }).await;
    // Rancher forgets the cluster, which is away when it cleans up; what is asked there then is refused for a while.
    world.rancher.cluster_away(CLUSTER, true);
    let gone = || async { grbs_of(&world, "u-alice").is_empty() };
    world.until("the binding is gone", Duration::from_secs(700), gone).await;
    let refused = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": "clusterrolebindings is forbidden"});
    let looks = |method: &http::Method, path: &str| {
        *method == http::Method::GET
            && path.contains(&format!("/k8s/clusters/{CLUSTER}/"))
            && path.contains("rolebindings")
    };
    world.rancher.fault(FaultRule::new(looks, FaultAction::Status(403, refused.to_string())));
    world.rancher.cluster_away(CLUSTER, false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Revoking));
    world.rancher.clear_faults();
    world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert!(!is_admin(&world, "u-alice", CLUSTER), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_role_narrowed_meanwhile_leaves_nothing(given: Given) {
    let world = offered(given).await;
    world.patch_policy(json!({"allowPrivileged": true})).await;
    let rules =
        json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]}]);
    world
        .rancher
        .add_global_role(json!({"metadata": {"name": "everything"}, "displayName": "Everything", "rules": rules}));
    world.ask("alice", "g", json!({"access": everywhere("everything"), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("she is administrator", SOON, || async { is_admin(&world, "u-alice", CLUSTER) }).await;
    let narrowed = json!({"rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let roles = management("globalroles");
    world.rancher.local().patch(&roles, "", "everything", "", &narrowed).await.expect("somebody narrowed it");
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(!is_admin(&world, "u-alice", CLUSTER), "{:?}", world.rancher.access_of("u-alice"));
}
