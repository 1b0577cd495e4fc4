//! Answers that are lost, late or wrong, and what they must not lead to.

use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use rancher_access_operator::api::status::{BindingState, Phase};
use serde_json::json;
use testkit::rancher::{FaultAction, FaultRule};

use crate::{
    SOON, eight,
    embedded::world::{Given, World},
    end_of, hands, states, world,
};

stories![
    a_create_whose_answer_is_lost_is_found_and_not_repeated,
    a_create_that_lands_after_the_end_is_found_and_taken_away,
    what_was_never_made_settles_only_when_nothing_can_land_any_more,
    a_delete_right_after_the_create_leaves_nothing_behind,
    a_load_balancers_404_proves_nothing,
    a_refused_target_takes_back_the_others,
    two_operators_make_one_binding_and_the_second_takes_over,
    the_key_is_nowhere_but_in_the_requests_to_rancher,
    an_operator_that_hears_nothing_for_an_hour_counts_as_alive,
    what_is_looked_at_while_the_lease_has_lapsed_ends_on_time,
];

fn creates(method: &Method, path: &str) -> bool {
    *method == Method::POST && path.contains("templatebindings")
}

async fn a_create_whose_answer_is_lost_is_found_and_not_repeated(given: Given) {
    let world = world(given).await;
    world.rancher.fault(FaultRule::new(creates, FaultAction::DropAfter).times(1));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let posted =
        world.rancher.requests().iter().filter(|r| r.method == "POST" && r.path.contains("templatebindings")).count();
    assert_eq!(posted, 1);
    assert_eq!(world.bindings_of("u-alice").len(), 1);
}

async fn a_create_that_lands_after_the_end_is_found_and_taken_away(given: Given) {
    let world = world(given).await;
    // The request is on its way when the connection is cut; it arrives a minute later, long after the grant's end.
    world.rancher.fault(FaultRule::new(creates, FaultAction::DropBefore));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5s"})).await;
    let waiting = world.reaches("g", Phase::Revoking, Duration::from_secs(30)).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Revoking), "it waits for what may land late");
    let name = waiting.status.expect("a status").bindings[0].name.clone();
    world.bind_by_hand("u-alice", &name).await;
    world
        .until("it was taken away", Duration::from_secs(12), || async { world.bindings_of("u-alice").is_empty() })
        .await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(!world.has_access("u-alice"));
}

async fn what_was_never_made_settles_only_when_nothing_can_land_any_more(given: Given) {
    let world = world(given).await;
    world.rancher.fault(FaultRule::new(creates, FaultAction::DropBefore));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5s"})).await;
    world.reaches("g", Phase::Revoking, Duration::from_secs(30)).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(200)).await;
    let waited = world.clock.now().duration_since(end_of(&expired));
    assert!(waited > SignedDuration::from_secs(80) && waited < SignedDuration::from_secs(120), "{waited}");
}

async fn a_delete_right_after_the_create_leaves_nothing_behind(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project()})).await;
    world.until("the binding is there", SOON, || async { !world.bindings_of("u-alice").is_empty() }).await;
    let made = world.clock.now();
    world.delete("g").await;
    let deletes =
        || world.rancher.requests().iter().any(|r| r.method == "DELETE" && r.path.contains("templatebindings"));
    world.until("it is deleted", SOON, || async { deletes() }).await;
    // Rancher puts its last finalizer on after 0.17 s; what is deleted before is not cleaned up.
    let waited = world.clock.now().duration_since(made);
    assert!(waited >= SignedDuration::from_millis(120), "{waited}");
    world.until("the grant is gone", Duration::from_secs(40), || async { world.grant("g").await.is_none() }).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(!world.has_access("u-alice"), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_load_balancers_404_proves_nothing(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let looks = |method: &Method, path: &str| *method == Method::GET && path.contains("/clusterroletemplatebindings/");
    world.rancher.fault(FaultRule::new(looks, FaultAction::Status(404, "<html>404 Not Found</html>".into())));
    tokio::time::sleep(Duration::from_secs(400)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Revoking), "not settled by that");
    world.rancher.clear_faults();
    world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_refused_target_takes_back_the_others(given: Given) {
    let world = world(given).await;
    let refuse = |method: &Method, path: &str| *method == Method::POST && path.contains("projectroletemplatebindings");
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
    world.rancher.fault(FaultRule::new(refuse, FaultAction::Status(403, refusal.to_string())));
    let both = json!([world.on_cluster()[0], world.on_project()[0]]);
    world.ask("alice", "g", json!({"access": both})).await;
    world.reaches("g", Phase::Failed, Duration::from_secs(200)).await;
    assert!(world.bindings_of("u-alice").is_empty());
    assert!(!world.has_access("u-alice"));
}

async fn two_operators_make_one_binding_and_the_second_takes_over(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    let first = world.operator.take();
    world.launch().await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    first.expect("the leader").kill().await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    let posted =
        world.rancher.requests().iter().filter(|r| r.method == "POST" && r.path.contains("templatebindings")).count();
    assert_eq!(posted, 1);
    assert!(!world.has_access("u-alice"));
}

async fn the_key_is_nowhere_but_in_the_requests_to_rancher(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1m"})).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(100)).await;
    let token = world.rancher.admin_token();
    let secret = token.split_once(':').expect("a key").1.to_owned();
    let told = format!("{}{}", world.tell().await, world.events());
    assert!(told.contains("web") && !told.contains(&secret));
    let metrics = world.operator.as_ref().expect("an operator").metrics.encode().expect("metrics");
    assert!(metrics.contains("rancher_access_") && !metrics.contains(&secret));
}

/// A watch of what nobody changes has nothing to say, which is no reason to start the process again.
async fn an_operator_that_hears_nothing_for_an_hour_counts_as_alive(given: Given) {
    let world = world(given).await;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.operator.as_ref().expect("an operator").health.live(), Ok(()));
    }
}

/// A look that comes to nothing, for want of the lease, does not put the end off.
async fn what_is_looked_at_while_the_lease_has_lapsed_ends_on_time(given: Given) {
    let world = world(given).await;
    // Between two rounds over all grants, which come each 30 s.
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "50s"})).await;
    let end = end_of(&world.reaches("g", Phase::Active, SOON).await);
    let until = |before: i64| {
        let moment = end - SignedDuration::from_secs(before);
        tokio::time::sleep(Duration::try_from(moment.duration_since(world.clock.now())).unwrap_or_default())
    };
    until(20).await;
    world.server.set_available(false);
    until(5).await;
    // Something changes about the binding, so that the grant is looked at.
    let binding = hands::ours(&world, "u-alice");
    hands::patch(&world, &binding, json!({"metadata": {"finalizers": []}})).await;
    until(0).await;
    world.until("it is gone", Duration::from_secs(3), || async { world.bindings_of("u-alice").is_empty() }).await;
    world.server.set_available(true);
    world.reaches("g", Phase::Expired, Duration::from_secs(120)).await;
}
