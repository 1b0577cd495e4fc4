//! What administrators of Rancher do: permanent bindings before, during and at the end of a grant, and upgrades.

use std::time::Duration;

use rancher_access_operator::api::status::{BindingState, EndReason, Phase};
use serde_json::{Value, json};
use testkit::rancher::Version;

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    hands::{self, ours, said},
    holds, states, world,
};

stories![
    a_permanent_binding_by_another_form_of_the_subject_is_found_before,
    a_permanent_binding_meanwhile_is_refused_by_rancher_and_changes_nothing,
    a_permanent_binding_made_at_the_end_stays_and_is_named,
    a_project_binding_that_is_removed_ends_the_grant,
    ours_yields_to_a_permanent_one_and_an_upgrade_takes_nothing,
    all_who_share_ours_yield,
    ours_yields_on_a_project,
    what_yields_is_yielded_after_a_crash,
    what_yields_is_made_again_where_the_other_goes_meanwhile,
    ours_yields_by_group_and_by_principal,
    a_grant_that_ends_while_it_yields_takes_only_its_own,
];

/// Whether that Rancher allows two equal bindings on a cluster.
fn allows_equals(given: Given) -> bool {
    given.version < Version::V2_14
}

fn on_cluster(subject: &str, who: &str, name: &str) -> Value {
    json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": name, "namespace": CLUSTER}, "clusterName": CLUSTER, "roleTemplateName": "cluster-member", subject: who})
}

async fn a_permanent_binding_by_another_form_of_the_subject_is_found_before(given: Given) {
    let world = world(given).await;
    let by_hand = on_cluster("userPrincipalName", "okta_user://alice", "by-hand");
    hands::post(&world, &by_hand).await.expect("by hand");
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::AlreadyHeld]);
    let granted = said(&active, "Granted");
    assert_eq!(granted.reason, "AlreadyHeld");
    assert!(granted.message.contains("nothing will be taken away"), "{}", granted.message);
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(said(&expired, "Revoked").reason, "AlreadyHeld");
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    assert!(world.has_access("u-alice"));
}

async fn a_permanent_binding_meanwhile_is_refused_by_rancher_and_changes_nothing(given: Given) {
    if allows_equals(given) {
        return;
    }
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await, Err(409));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.bindings_of("u-alice").len(), 1);
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(!world.has_access("u-alice"));
}

async fn a_permanent_binding_made_at_the_end_stays_and_is_named(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Ours is being deleted, and cannot go while the cluster is away: what is equal to it is legal in every version.
    world.rancher.cluster_away(CLUSTER, true);
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(700)).await;
    assert_eq!(states(&waiting), [BindingState::Present]);
    tokio::time::sleep(Duration::from_secs(20)).await;
    hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await.expect("by hand");
    tokio::time::sleep(Duration::from_secs(20)).await;
    world.rancher.cluster_away(CLUSTER, false);
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    let residual = said(&expired, "ResidualAccess");
    assert!(residual.message.contains(&format!("{CLUSTER}/by-hand")), "{}", residual.message);
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    world.until("it works", SOON, || async { world.has_access("u-alice") }).await;
}

async fn a_project_binding_that_is_removed_ends_the_grant(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project()})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    hands::remove(&world, &ours(&world, "u-alice")).await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(revoked.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::RemovedInRancher);
    let granted = said(&revoked, "Granted");
    assert!(
        granted.message.contains("Somebody removed") && granted.message.contains("Create another"),
        "{}",
        granted.message
    );
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(world.bindings_of("u-alice").is_empty() && world.rancher.access_of("u-alice").is_empty());
}

/// Waits until that grant's access is held by somebody else's binding alone.
async fn yields(world: &World, grant: &str, who: &str) {
    let held = || async {
        let grant = world.grant(grant).await.expect("the grant");
        states(&grant) == [BindingState::AlreadyHeld] && world.phase("g").await == Some(Phase::Active)
    };
    world.until("ours yields", Duration::from_secs(30), held).await;
    let alone = || async { world.bindings_of(who) == ["by-hand"] };
    world.until("ours is gone", Duration::from_secs(30), alone).await;
    let active = world.grant(grant).await.expect("the grant");
    assert_eq!(said(&active, "Granted").reason, "AlreadyHeld");
}

async fn ours_yields_to_a_permanent_one_and_an_upgrade_takes_nothing(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "2h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await.expect("equals are legal");
    yields(&world, "g", "u-alice").await;
    world.until("what both shared is made again", SOON, || async { world.has_access("u-alice") }).await;
    world.rancher.upgrade(Version::V2_15).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(7300)).await;
    let residual = said(&expired, "ResidualAccess");
    assert!(residual.message.contains(&format!("{CLUSTER}/by-hand")), "{}", residual.message);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    assert!(world.has_access("u-alice"));
}

async fn all_who_share_ours_yield(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let world = world(given).await;
    for name in ["g", "second", "third"] {
        world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "1h"})).await;
        world.reaches(name, Phase::Active, SOON).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await.expect("equals are legal");
    for name in ["g", "second", "third"] {
        yields(&world, name, "u-alice").await;
    }
    for name in ["g", "second", "third"] {
        world.reaches(name, Phase::Expired, Duration::from_secs(3700)).await;
    }
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    assert!(world.has_access("u-alice"));
}

async fn what_yields_is_yielded_after_a_crash(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let mut world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await.expect("equals are legal");
    // It dies right after its delete: what it meant by that stands in the record.
    let going = || {
        world.bindings_of("u-alice") == ["by-hand"]
            || !ours(&world, "u-alice")["metadata"]["deletionTimestamp"].is_null()
    };
    world.until("ours is going", Duration::from_secs(30), || async { going() }).await;
    assert_eq!(states(&world.grant("g").await.expect("the grant")), [BindingState::Yielding]);
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.launch().await;
    yields(&world, "g", "u-alice").await;
    world.until("the access goes on", SOON, || async { world.has_access("u-alice") }).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(3700)).await;
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
}

async fn what_yields_is_made_again_where_the_other_goes_meanwhile(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Ours takes its time to go, for the cluster is away; meanwhile the other is taken back.
    world.rancher.cluster_away(CLUSTER, true);
    let by_hand = on_cluster("userName", "u-alice", "by-hand");
    hands::post(&world, &by_hand).await.expect("equals are legal");
    let going = || !ours(&world, "u-alice")["metadata"]["deletionTimestamp"].is_null();
    world.until("ours is going", Duration::from_secs(30), || async { going() }).await;
    // Not at once: what Rancher had not put its finalizers on, it would not clean up after.
    tokio::time::sleep(Duration::from_secs(5)).await;
    hands::remove(&world, &by_hand).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.rancher.cluster_away(CLUSTER, false);
    let again = || async {
        let grant = world.grant("g").await.expect("the grant");
        states(&grant) == [BindingState::Present]
            && holds(&grant, "Granted") == Some(rancher_access_operator::api::ConditionStatus::True)
    };
    world.until("it is made again", Duration::from_secs(60), again).await;
    world.until("the access is back", SOON, || async { world.has_access("u-alice") }).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(3700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert_eq!(world.bindings_of("u-alice"), [] as [String; 0]);
    assert_eq!(world.rancher.access_of("u-alice"), []);
}

async fn ours_yields_by_group_and_by_principal(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let world = world(given).await;
    let group = "okta_group://web-team";
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h", "subject": {"group": group}})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.ask("bob", "bob", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("bob", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    hands::post(&world, &on_cluster("groupPrincipalName", group, "by-hand")).await.expect("equals are legal");
    yields(&world, "g", group).await;
    // Ours names bob by his id, this one by his principal: Rancher fills in the rest.
    hands::post(&world, &on_cluster("userPrincipalName", "okta_user://bob", "by-principal"))
        .await
        .expect("equals are legal");
    let held = || async { states(&world.grant("bob").await.expect("the grant")) == [BindingState::AlreadyHeld] };
    world.until("bob's yields", Duration::from_secs(60), held).await;
    assert_eq!(world.bindings_of("u-bob"), ["by-principal"]);
    world.reaches("bob", Phase::Expired, Duration::from_secs(3700)).await;
    assert_eq!(world.bindings_of(group), ["by-hand"]);
    assert!(world.has_access(group) && world.has_access("u-bob"));
}

async fn a_grant_that_ends_while_it_yields_takes_only_its_own(given: Given) {
    if !allows_equals(given) {
        return;
    }
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.rancher.cluster_away(CLUSTER, true);
    hands::post(&world, &on_cluster("userName", "u-alice", "by-hand")).await.expect("equals are legal");
    world.reaches("g", Phase::Revoking, Duration::from_secs(400)).await;
    world.rancher.cluster_away(CLUSTER, false);
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(said(&expired, "ResidualAccess").message.contains("by-hand"));
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    world.until("it works", SOON, || async { world.has_access("u-alice") }).await;
}

async fn ours_yields_on_a_project(given: Given) {
    if given.version >= Version::V2_15 {
        return;
    }
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let rights = || {
        let all = world.rancher.access_of("u-alice").into_iter().filter(|access| access.cluster == CLUSTER);
        let mut all: Vec<_> = all.map(|access| (access.namespace, access.role)).collect();
        all.sort();
        all
    };
    let before = rights();
    let by_hand = hands::on_project(&world, "u-alice", "project-member", "by-hand");
    hands::post(&world, &by_hand).await.expect("equals are legal");
    yields(&world, "g", "u-alice").await;
    world.until("the same access goes on", SOON, || async { rights() == before }).await;
    world.rancher.upgrade(Version::V2_15).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(3700)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.bindings_of("u-alice"), ["by-hand"]);
    assert_eq!(rights(), before);
}
