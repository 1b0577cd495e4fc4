//! What becomes of users while access is given to them.

use std::time::Duration;

use http::Method;
use rancher_access_operator::api::status::{BindingState, Phase};
use serde_json::json;
use testkit::rancher::{FaultAction, FaultRule};

use crate::{SOON, embedded::world::Given, end_of, hands::said, states, world};

stories![
    a_disabled_user_s_binding_ends_on_time,
    a_deleted_user_ends_the_grant_and_is_named,
    whoever_gets_the_id_of_a_deleted_user_inherits_nothing,
];

async fn a_disabled_user_s_binding_ends_on_time(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.rancher.disable_user("u-alice", true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active), "Rancher keeps the binding, and refuses the user");
    let gone = || world.rancher.access_of("u-alice").is_empty();
    world.until("it ends", Duration::from_secs(700), || async { gone() }).await;
    let late = world.clock.now().duration_since(end_of(&world.grant("g").await.expect("the grant")));
    assert!(late.as_secs() < 3 && late.is_positive(), "{late}");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    // Nothing new is given to him.
    world.ask("alice", "again", json!({"access": world.on_project()})).await;
    let pending = world.reaches("again", Phase::Pending, SOON).await;
    assert_eq!(said(&pending, "Ready").reason, "SubjectDisabled");
}

async fn a_deleted_user_ends_the_grant_and_is_named(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.rancher.delete_user("u-alice").await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    let granted = said(&revoked, "Granted");
    assert_eq!(granted.reason, "RemovedInRancher");
    assert!(granted.message.contains("user u-alice was deleted"), "{}", granted.message);
    // Another person by the same id holds nothing, and gets nothing, by what was meant for the first.
    let first = revoked.status.as_ref().unwrap().bindings[0].subject_uid.clone();
    world.rancher.add_user("u-alice", "another", &["okta_user://alice"]);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(world.bindings_of("u-alice").is_empty() && world.rancher.access_of("u-alice").is_empty());
    world.ask("alice", "again", json!({"access": world.on_project(), "duration": "5m"})).await;
    let again = world.reaches("again", Phase::Active, SOON).await;
    let second = again.status.as_ref().unwrap().bindings[0].subject_uid.clone();
    assert!(first.is_some() && second.is_some() && first != second, "{first:?} {second:?}");
}

async fn whoever_gets_the_id_of_a_deleted_user_inherits_nothing(given: Given) {
    let world = world(given).await;
    // Recorded, but not made yet: Rancher does not take creates for a while.
    let creates = |method: &Method, path: &str| *method == Method::POST && path.contains("templatebindings");
    world.rancher.fault(FaultRule::new(creates, FaultAction::Status(503, "no".into())));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Activating, SOON).await;
    world.rancher.recreate_user("u-alice").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.rancher.clear_faults();
    let failed = world.reaches("g", Phase::Failed, Duration::from_secs(200)).await;
    let granted = said(&failed, "Granted");
    assert!(granted.message.contains("u-alice") && granted.message.contains("nobody else"), "{}", granted.message);
    assert!(world.bindings_of("u-alice").is_empty() && !world.has_access("u-alice"));
}
