//! What the grantee does who may write bindings while his access lasts.

use std::time::Duration;

use rancher_access_operator::api::{
    ConditionStatus,
    status::{BindingState, EndReason, Phase},
};
use serde_json::json;

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    end_of,
    hands::{self, ours, said},
    holds, states, world,
};

stories![
    a_copy_under_another_role_is_named_and_not_touched,
    a_copy_made_while_ours_is_away_is_named_and_keeps_working,
    a_cluster_binding_stripped_of_its_finalizers_leaves_nothing,
    our_labels_on_somebody_elses_binding_mean_nothing,
    a_binding_stripped_of_our_labels_stays_and_ends_on_time,
    a_binding_posted_again_as_it_was_ends_on_time,
    a_binding_posted_under_our_name_for_somebody_else_is_told_and_not_touched,
];

/// Alice owns the project for ten minutes.
async fn an_owner(world: &World) -> serde_json::Value {
    let access = hands::allow_owners(world).await;
    world.ask("alice", "g", json!({"access": access, "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    ours(world, "u-alice")
}

/// Everything that RBAC gives alice by what was ours is gone, wherever it was.
async fn nothing_is_left(world: &World) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.rancher.access_of("u-alice").is_empty(), "{:?}", world.rancher.access_of("u-alice"));
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_copy_under_another_role_is_named_and_not_touched(given: Given) {
    let world = world(given).await;
    // What he held before is nobody's business.
    let before = hands::on_project(&world, "u-alice", "read-only", "before");
    hands::post(&world, &before).await.expect("before");
    tokio::time::sleep(Duration::from_secs(2)).await;
    an_owner(&world).await;
    let copy = hands::on_project(&world, "u-alice", "project-member", "copy");
    hands::post(&world, &copy).await.expect("a copy for himself");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    let residual = said(&expired, "ResidualAccess");
    assert_eq!(residual.status, ConditionStatus::True);
    assert!(residual.message.contains("/copy (project-member)"), "{}", residual.message);
    assert!(residual.message.contains("Remove them there") && !residual.message.contains("before"));
    assert!(world.has_access("u-alice"), "it is not ours to take");
    assert_eq!(world.bindings_of("u-alice").len(), 2);
    let metrics = || world.operator.as_ref().expect("an operator").metrics.encode().expect("metrics");
    let counted = || metrics().lines().any(|line| line.contains("residual_access{") && line.ends_with(" 1"));
    world.until("it is counted", Duration::from_secs(60), || async { counted() }).await;
}

async fn a_copy_made_while_ours_is_away_is_named_and_keeps_working(given: Given) {
    let world = world(given).await;
    let binding = an_owner(&world).await;
    hands::strip(&world, &binding).await;
    hands::remove(&world, &binding).await;
    hands::post(&world, &hands::copy(&binding, "copy")).await.expect("an equal one for himself, while ours is away");
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(revoked.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::RemovedInRancher);
    assert_eq!(said(&revoked, "Granted").reason, "RemovedInRancher");
    assert!(said(&revoked, "ResidualAccess").message.contains("/copy"), "{revoked:?}");
    world.until("the copy works", SOON, || async { world.has_access("u-alice") }).await;
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-alice"), ["copy"]);
    assert!(world.has_access("u-alice"));
}

async fn a_cluster_binding_stripped_of_its_finalizers_leaves_nothing(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let binding = ours(&world, "u-alice");
    hands::strip(&world, &binding).await;
    hands::remove(&world, &binding).await;
    assert!(
        hands::read(&world, &binding).is_none() && world.has_access("u-alice"),
        "gone at once, and nothing cleaned up"
    );
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(states(&revoked), [BindingState::Removed]);
    nothing_is_left(&world).await;
}

async fn our_labels_on_somebody_elses_binding_mean_nothing(given: Given) {
    let world = world(given).await;
    let permanent = hands::on_project(&world, "u-bob", "project-owner", "permanent");
    hands::post(&world, &permanent).await.expect("an administrator's");
    let binding = an_owner(&world).await;
    let marks = json!({"metadata": {"labels": binding["metadata"]["labels"], "annotations": binding["metadata"]["annotations"]}});
    hands::patch(&world, &permanent, marks).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    nothing_is_left(&world).await;
    // Longer than from one sweep to the next.
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-bob"), ["permanent"]);
    assert!(world.has_access("u-bob"));
}

async fn a_binding_stripped_of_our_labels_stays_and_ends_on_time(given: Given) {
    let world = world(given).await;
    let binding = an_owner(&world).await;
    hands::patch(&world, &binding, json!({"metadata": {"labels": null, "annotations": null}})).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let active = world.grant("g").await.expect("the grant");
    assert_eq!(said(&active, "Granted").status, ConditionStatus::True);
    assert_eq!(states(&active), [BindingState::Present]);
    nothing_is_left_on_time(&world).await;
}

/// The grant ends when it should, and leaves nothing.
async fn nothing_is_left_on_time(world: &World) {
    let gone = || world.bindings_of("u-alice").is_empty() && !world.has_access("u-alice");
    world.until("it ends", Duration::from_secs(700), || async { gone() }).await;
    let end = end_of(&world.grant("g").await.expect("the grant"));
    let late = world.clock.now().duration_since(end);
    assert!(late.as_secs() < 3 && late.is_positive(), "{late}");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert_eq!(holds(&expired, "ResidualAccess"), None);
    nothing_is_left(world).await;
}

async fn a_binding_posted_again_as_it_was_ends_on_time(given: Given) {
    let world = world(given).await;
    let binding = an_owner(&world).await;
    hands::strip(&world, &binding).await;
    hands::remove(&world, &binding).await;
    let again = hands::post(&world, &hands::copy(&binding, hands::text(&binding, "name"))).await.expect("again");
    assert_ne!(again["metadata"]["uid"], binding["metadata"]["uid"]);
    let recorded = || async { world.grant("g").await.unwrap().status.unwrap().bindings.remove(0) };
    let uid = again["metadata"]["uid"].as_str();
    world.until("it is seen for what it is", SOON, || async { recorded().await.uid.as_deref() == uid }).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    nothing_is_left_on_time(&world).await;
}

async fn a_binding_posted_under_our_name_for_somebody_else_is_told_and_not_touched(given: Given) {
    let world = world(given).await;
    let binding = an_owner(&world).await;
    hands::strip(&world, &binding).await;
    hands::remove(&world, &binding).await;
    let mut forged = hands::on_project(&world, "u-bob", "project-member", hands::text(&binding, "name"));
    forged["metadata"]["labels"] = binding["metadata"]["labels"].clone();
    hands::post(&world, &forged).await.expect("forged");
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(30)).await;
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "NameTaken", "{}", ready.message);
    assert!(ready.message.contains("remove it"), "{}", ready.message);
    assert_eq!(said(&waiting, "Granted").reason, "RemovedInRancher");
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Revoking), "nothing is proven");
    assert_eq!(world.bindings_of("u-bob").len(), 1, "not ours");
    hands::remove(&world, &forged).await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(40)).await;
    assert_eq!(states(&revoked), [BindingState::Removed]);
    nothing_is_left(&world).await;
    assert!(!world.rancher.access_of("u-alice").iter().any(|access| access.cluster == CLUSTER));
}
