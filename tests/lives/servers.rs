//! What becomes of Rancher itself: its webhook, its address, its backups.

use std::time::Duration;

use rancher_access_operator::api::{
    ConditionStatus,
    status::{BindingState, Phase},
};
use serde_json::json;

use crate::{
    SOON,
    embedded::world::{Given, World},
    hands::{self, said},
    holds, states, world,
};

stories![
    the_webhook_down_across_an_end_is_loud_and_settles_when_it_is_back,
    another_rancher_at_the_end_settles_nothing,
    a_backup_restored_after_the_end_brings_nothing_back_for_long,
    a_backup_from_before_ends_the_grant_and_leaves_nothing,
    a_finalizer_of_an_older_release_is_named_and_left_to_people,
];

async fn active(world: &World) {
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
}

async fn the_webhook_down_across_an_end_is_loud_and_settles_when_it_is_back(given: Given) {
    let world = world(given).await;
    active(&world).await;
    tokio::time::sleep(Duration::from_secs(500)).await;
    world.rancher.webhook_down(true);
    world.reaches("g", Phase::Revoking, Duration::from_secs(200)).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    let waiting = world.grant("g").await.expect("the grant");
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "AwaitingRemoval");
    assert!(ready.message.contains("webhook"), "{}", ready.message);
    assert_eq!(said(&waiting, "RevocationOverdue").status, ConditionStatus::True);
    world.rancher.webhook_down(false);
    let back = world.clock.now();
    let gone = || world.rancher.access_of("u-alice").is_empty();
    world.until("nothing is left", Duration::from_secs(30), || async { gone() }).await;
    let late = world.clock.now().duration_since(back);
    assert!(late.as_secs() < 8, "{late}");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(holds(&expired, "RevocationOverdue"), None);
    assert_eq!(states(&expired), [BindingState::Removed]);
}

async fn another_rancher_at_the_end_settles_nothing(given: Given) {
    let world = world(given).await;
    active(&world).await;
    let uuid = "5b1c6f0e-3a52-4d0e-9b8f-000000000000";
    tokio::time::sleep(Duration::from_secs(400)).await;
    world.rancher.set_install_uuid("another-uuid");
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(400)).await;
    assert_eq!(said(&waiting, "Granted").reason, "Expired");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let waiting = world.grant("g").await.expect("the grant");
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "DifferentRancher", "{}", ready.message);
    assert!(ready.message.contains("another-uuid") && ready.message.contains("point it back"), "{}", ready.message);
    assert_eq!(said(&waiting, "RevocationOverdue").status, ConditionStatus::True);
    assert_eq!(world.bindings_of("u-alice").len(), 1, "nothing is done there");
    world.rancher.set_install_uuid(uuid);
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(120)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
}

async fn a_backup_restored_after_the_end_brings_nothing_back_for_long(given: Given) {
    let world = world(given).await;
    active(&world).await;
    let backup = world.rancher.backup();
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
    tokio::time::sleep(Duration::from_secs(1000)).await;
    world.rancher.restore(&backup).await;
    assert_eq!(world.bindings_of("u-alice").len(), 1, "it is back");
    // Within the time from one sweep to the next, and however Rancher's own clean-up goes.
    let gone = || world.bindings_of("u-alice").is_empty() && world.rancher.access_of("u-alice").is_empty();
    world.until("it is swept", Duration::from_secs(620), || async { gone() }).await;
    let told = || world.events().contains("OrphanRemoved");
    world.until("it is reported", Duration::from_secs(30), || async { told() }).await;
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(gone(), "{:?}", world.rancher.access_of("u-alice"));
    assert_eq!(world.phase("g").await, Some(Phase::Expired));
}

async fn a_backup_from_before_ends_the_grant_and_leaves_nothing(given: Given) {
    let world = world(given).await;
    let backup = world.rancher.backup();
    active(&world).await;
    world.rancher.restore(&backup).await;
    assert!(world.bindings_of("u-alice").is_empty() && world.has_access("u-alice"), "downstream is in no backup");
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(120)).await;
    assert_eq!(said(&revoked, "Granted").reason, "RemovedInRancher");
    assert_eq!(states(&revoked), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty(), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_finalizer_of_an_older_release_is_named_and_left_to_people(given: Given) {
    let world = world(given).await;
    active(&world).await;
    let binding = hands::ours(&world, "u-alice");
    let older = "wrangler.cattle.io/left-by-an-older-release";
    let own = binding["metadata"]["finalizers"].as_array().expect("Rancher's finalizers").clone();
    let both: Vec<_> = own.into_iter().chain([older.into()]).collect();
    hands::patch(&world, &binding, json!({"metadata": {"finalizers": both}})).await;
    world.reaches("g", Phase::Revoking, Duration::from_secs(700)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let waiting = world.grant("g").await.expect("the grant");
    let ready = said(&waiting, "Ready");
    assert_eq!(ready.reason, "ForeignFinalizer", "{}", ready.message);
    assert!(ready.message.contains(older) && ready.message.contains("is gone already"), "{}", ready.message);
    assert!(!world.has_access("u-alice"));
    assert_eq!(said(&waiting, "RevocationOverdue").status, ConditionStatus::True);
    let stands = hands::read(&world, &binding).expect("it is not ours to take off");
    assert_eq!(stands["metadata"]["finalizers"], json!([older]));
    hands::strip(&world, &binding).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(40)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty());
}
