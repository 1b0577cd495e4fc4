//! What becomes of projects, namespaces and clusters while grants are in force on them.

use std::time::Duration;

use http::Method;
use rancher_access_operator::api::{
    ConditionStatus,
    status::{BindingState, Phase},
};
use serde_json::json;
use testkit::rancher::{FaultAction, FaultRule, Model};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    hands::{self, ours, said},
    holds, states, world,
};

stories![
    a_project_that_is_renamed_changes_nothing,
    a_project_that_is_deleted_ends_the_grant_and_is_named,
    a_namespace_that_leaves_the_project_keeps_nothing_past_the_end,
    a_cluster_that_is_removed_ends_the_grant_and_is_named,
    a_cluster_away_at_the_end_is_loud_and_settles_when_it_is_back,
    a_cluster_away_with_left_overs_proves_nothing_until_it_is_back_or_gone,
];

async fn active(world: &World, access: serde_json::Value) {
    world.ask("alice", "g", json!({"access": access, "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn a_project_that_is_renamed_changes_nothing(given: Given) {
    let world = world(given).await;
    active(&world, world.on_project()).await;
    world.rancher.rename_project(CLUSTER, &world.project, "another name");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
}

async fn a_project_that_is_deleted_ends_the_grant_and_is_named(given: Given) {
    let world = world(given).await;
    active(&world, world.on_project()).await;
    world.rancher.delete_project(CLUSTER, &world.project).await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    let granted = said(&revoked, "Granted");
    assert_eq!(granted.reason, "RemovedInRancher");
    assert!(granted.message.contains(&format!("Project {}", world.project)), "{}", granted.message);
    assert_eq!(states(&revoked), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty(), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_namespace_that_leaves_the_project_keeps_nothing_past_the_end(given: Given) {
    let world = world(given).await;
    active(&world, world.on_project()).await;
    let other = world.rancher.add_project(CLUSTER, "other", &[]);
    world.rancher.move_namespace(CLUSTER, "web-frontend", &other);
    tokio::time::sleep(Duration::from_secs(30)).await;
    // Rancher's aggregated model keeps the role bindings there (rancher/rancher#49259); the legacy one takes them away.
    let there = world.rancher.access_of("u-alice").iter().any(|access| access.namespace == "web-frontend");
    assert_eq!(there, given.model == Model::Aggregated);
    let gone = || world.rancher.access_of("u-alice").is_empty();
    world.until("nothing is left", Duration::from_secs(700), || async { gone() }).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(gone(), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_cluster_that_is_removed_ends_the_grant_and_is_named(given: Given) {
    let world = world(given).await;
    active(&world, json!([world.on_cluster()[0], world.on_project()[0]])).await;
    world.rancher.delete_cluster(CLUSTER).await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(states(&revoked), [BindingState::Removed; 2]);
    let granted = said(&revoked, "Granted");
    assert!(granted.message.contains(&format!("Cluster {CLUSTER} was removed from Rancher")), "{}", granted.message);
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_cluster_away_at_the_end_is_loud_and_settles_when_it_is_back(given: Given) {
    let world = world(given).await;
    active(&world, world.on_cluster()).await;
    world.rancher.cluster_away(CLUSTER, true);
    world.reaches("g", Phase::Revoking, Duration::from_secs(700)).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let waiting = world.grant("g").await.expect("the grant");
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "AwaitingRemoval", "{}", ready.message);
    assert!(ready.message.contains("may be away"), "{}", ready.message);
    assert_eq!(said(&waiting, "RevocationOverdue").status, ConditionStatus::True);
    assert!(world.has_access("u-alice"));
    // Somewhere between two tries.
    tokio::time::sleep(Duration::from_secs(17)).await;
    world.rancher.cluster_away(CLUSTER, false);
    let back = world.clock.now();
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    let late = world.clock.now().duration_since(back);
    assert!(late.as_secs() < 8, "{late}");
    assert_eq!(holds(&expired, "RevocationOverdue"), None);
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
}

async fn a_cluster_away_with_left_overs_proves_nothing_until_it_is_back_or_gone(given: Given) {
    let world = world(given).await;
    active(&world, world.on_cluster()).await;
    let binding = ours(&world, "u-alice");
    world.rancher.cluster_away(CLUSTER, true);
    hands::strip(&world, &binding).await;
    hands::remove(&world, &binding).await;
    // A load balancer that answers for Rancher does not make the cluster gone.
    let looks = |method: &Method, path: &str| *method == Method::GET && path.ends_with(&format!("/clusters/{CLUSTER}"));
    world.rancher.fault(FaultRule::new(looks, FaultAction::Status(404, "<html>404 Not Found</html>".into())));
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(60)).await;
    assert_eq!(said(&waiting, "Granted").reason, "RemovedInRancher");
    tokio::time::sleep(Duration::from_secs(200)).await;
    let waiting = world.reaches("g", Phase::Revoking, SOON).await;
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "DownstreamUnverified", "{}", ready.message);
    assert!(
        ready.message.contains(CLUSTER) && ready.message.contains("until the cluster answers"),
        "{}",
        ready.message
    );
    assert_eq!(said(&waiting, "RevocationOverdue").status, ConditionStatus::True);
    assert!(world.has_access("u-alice"));
    world.rancher.clear_faults();
    world.rancher.cluster_away(CLUSTER, false);
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(states(&revoked), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
}
