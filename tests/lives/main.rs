//! Whole lives of grants, on the in-memory API server and the Rancher simulator, in virtual time.

#[macro_use]
mod stories;

mod administrators;
mod approvals;
mod behind_our_back;
mod connectors;
mod discovery;
#[path = "../embedded/mod.rs"]
mod embedded;
mod enforcement;
mod extending;
mod fairness;
mod faults;
mod global;
mod grantee;
mod hands;
mod integrations;
mod inventory;
mod keyless;
mod keys;
mod limits;
mod mirror;
mod moving;
mod names;
mod owners;
mod people;
mod places;
mod policies;
mod revocations;
mod roles;
mod servers;
mod soak;
mod storms;
mod targets;
mod threats;
mod tokens;
mod unreadable;
mod users;

use std::time::Duration;

use embedded::world::{CLUSTER, Given, World};
use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::api::{
    AccessGrant, ConditionStatus, condition,
    status::{BindingState, EndReason, Phase},
};
use serde_json::json;
use testkit::rancher::Model;

pub const SOON: Duration = Duration::from_secs(10);

pub fn eight() -> Timestamp {
    "2026-12-01T08:00:00Z".parse().unwrap()
}

pub async fn world(given: Given) -> World {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    world
}

pub fn holds(grant: &AccessGrant, type_: &str) -> Option<ConditionStatus> {
    condition::find(&grant.status.as_ref()?.conditions, type_).map(|c| c.status)
}

pub fn states(grant: &AccessGrant) -> Vec<BindingState> {
    grant.status.iter().flat_map(|s| &s.bindings).map(|b| b.state).collect()
}

pub fn end_of(grant: &AccessGrant) -> Timestamp {
    grant.status.as_ref().and_then(|s| s.expires_time.as_ref()).expect("an end").0
}

stories![
    a_cluster_grant_lives_and_ends_on_time,
    a_project_grant_lives_and_ends_on_time,
    a_deleted_grant_goes_when_its_access_is_gone,
    what_somebody_else_gave_is_never_touched,
    grants_that_overlap_share_one_binding,
    a_binding_removed_in_rancher_ends_the_grant,
    an_end_that_moves_earlier_counts,
    a_start_ahead_is_waited_for,
    a_crash_in_the_middle_leaves_nothing,
    the_api_server_away_does_not_keep_access_alive,
    rancher_away_at_the_end_is_loud_and_ends_as_soon_as_it_is_back,
    nothing_is_given_without_a_policy_and_the_rule_is_named,
    a_group_is_bound_by_its_principal_on_several_targets,
    a_life_takes_few_requests,
];

keyless_stories![
    a_cluster_grant_lives_and_ends_on_time,
    a_project_grant_lives_and_ends_on_time,
    a_deleted_grant_goes_when_its_access_is_gone,
    what_somebody_else_gave_is_never_touched,
    grants_that_overlap_share_one_binding,
    a_binding_removed_in_rancher_ends_the_grant,
    an_end_that_moves_earlier_counts,
    a_start_ahead_is_waited_for,
    a_crash_in_the_middle_leaves_nothing,
];

async fn a_cluster_grant_lives_and_ends_on_time(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::Present]);
    assert_eq!(holds(&active, "Ready"), Some(ConditionStatus::True));
    assert_eq!(holds(&active, "Granted"), Some(ConditionStatus::True));
    assert_eq!(world.bindings_of("u-alice").len(), 1);
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;

    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(200)).await;
    let late = world.clock.now().duration_since(end_of(&expired));
    assert!(late < SignedDuration::from_secs(3), "{late}");
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert_eq!(holds(&expired, "Ready"), Some(ConditionStatus::True));
    assert_eq!(holds(&expired, "Granted"), Some(ConditionStatus::False));
    assert_eq!(holds(&expired, "Revoked"), Some(ConditionStatus::True));
    assert!(world.bindings_of("u-alice").is_empty());
    assert!(!world.has_access("u-alice"));
}

async fn a_project_grant_lives_and_ends_on_time(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    // Whatever the model, nothing of it is left anywhere right after the end, Rancher's own cluster included.
    let nothing = || world.rancher.access_of("u-alice").is_empty();
    world.until("nothing is left", Duration::from_secs(700), || async { nothing() }).await;
    let end = end_of(&world.grant("g").await.expect("the grant"));
    let late = world.clock.now().duration_since(end);
    assert!(late > SignedDuration::ZERO && late < SignedDuration::from_secs(3), "{late}");
    // In the aggregated model Rancher itself forgets the view in the Fleet workspace: the operator finds it, removes it,
    // and looks once more before it calls the grant settled.
    let settles = if given.model == Model::Aggregated { 15 } else { 3 };
    world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    let late = world.clock.now().duration_since(end);
    assert!(late < SignedDuration::from_secs(settles), "{late}");
    assert!(nothing(), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_deleted_grant_goes_when_its_access_is_gone(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.delete("g").await;
    assert!(world.grant("g").await.is_some(), "the finalizer holds it");
    world.until("the grant is gone", SOON, || async { world.grant("g").await.is_none() }).await;
    assert!(world.bindings_of("u-alice").is_empty());
    assert!(!world.has_access("u-alice"));
}

async fn what_somebody_else_gave_is_never_touched(given: Given) {
    let world = world(given).await;
    world.bind_by_hand("u-bob", "permanent").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.ask("bob", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::AlreadyHeld]);
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-bob"), ["permanent"]);
    assert!(world.has_access("u-bob"));
}

async fn grants_that_overlap_share_one_binding(given: Given) {
    let world = world(given).await;
    world.ask("alice", "short", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("short", Phase::Active, SOON).await;
    world.ask("alice", "long", json!({"access": world.on_cluster(), "duration": "20m"})).await;
    world.reaches("long", Phase::Active, SOON).await;
    assert_eq!(world.bindings_of("u-alice").len(), 1);
    let short = world.reaches("short", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&short), [BindingState::HandedOver]);
    assert!(world.has_access("u-alice"));
    let long = world.reaches("long", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&long), [BindingState::Removed]);
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_binding_removed_in_rancher_ends_the_grant(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let name = world.bindings_of("u-alice").remove(0);
    world.rancher.local().delete(&embedded::world::crtbs(), CLUSTER, &name, None).await.unwrap();
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(revoked.status.unwrap().end.unwrap().reason, EndReason::RemovedInRancher);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(world.bindings_of("u-alice").is_empty(), "not made again");
}

async fn an_end_that_moves_earlier_counts(given: Given) {
    let world = world(given).await;
    let (late, early) = ("2026-12-01T12:00:00Z", "2026-12-01T08:10:00Z");
    world.ask("alice", "g", json!({"access": world.on_cluster(), "endTime": late})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.patch("g", json!({"spec": {"endTime": early}})).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(end_of(&expired), early.parse().unwrap());
    assert!(world.clock.now() < "2026-12-01T08:10:03Z".parse().unwrap(), "{}", world.clock.now());
}

async fn a_start_ahead_is_waited_for(given: Given) {
    let world = world(given).await;
    world
        .ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m", "startTime": "2026-12-01T09:00:00Z"}))
        .await;
    world.reaches("g", Phase::Scheduled, SOON).await;
    assert!(world.bindings_of("u-alice").is_empty());
    let active = world.reaches("g", Phase::Active, Duration::from_secs(3700)).await;
    assert_eq!(end_of(&active), "2026-12-01T09:05:00Z".parse().unwrap());
}

async fn a_crash_in_the_middle_leaves_nothing(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.until("the binding is there", SOON, || async { !world.bindings_of("u-alice").is_empty() }).await;
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.has_access("u-alice"), "nobody is there to take it away");
    world.launch().await;
    world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert!(world.bindings_of("u-alice").is_empty());
    assert!(!world.has_access("u-alice"));
}

async fn the_api_server_away_does_not_keep_access_alive(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(200)).await;
    world.server.set_available(false);
    world
        .until("the access is gone", Duration::from_secs(200), || async { world.bindings_of("u-alice").is_empty() })
        .await;
    let late = world.clock.now().duration_since(end_of(&active));
    assert!(late < SignedDuration::from_secs(2), "{late}");
    world.server.set_available(true);
    world.reaches("g", Phase::Expired, Duration::from_secs(120)).await;
}

async fn rancher_away_at_the_end_is_loud_and_ends_as_soon_as_it_is_back(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    world.rancher.fault(testkit::rancher::FaultRule::new(|_, _| true, testkit::rancher::FaultAction::DropBefore));
    tokio::time::sleep(Duration::from_secs(400)).await;
    let overdue = world.reaches("g", Phase::Revoking, SOON).await;
    assert!(world.clock.now() > end_of(&active));
    assert_eq!(holds(&overdue, "RevocationOverdue"), Some(ConditionStatus::True));
    tokio::time::sleep(Duration::from_secs(900)).await;
    world.rancher.clear_faults();
    let back = world.clock.now();
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    let late = world.clock.now().duration_since(back);
    assert!(late < SignedDuration::from_secs(8), "{late}");
    assert_eq!(holds(&expired, "RevocationOverdue"), None);
}

async fn nothing_is_given_without_a_policy_and_the_rule_is_named(given: Given) {
    let world = world(given).await;
    let cases = [
        ("owner", json!([{"cluster": {"name": CLUSTER, "role": "cluster-owner"}}]), json!({}), "cluster-owner"),
        ("local", json!([{"cluster": {"name": "local", "role": "cluster-member"}}]), json!({}), "local"),
        ("long", world.on_cluster(), json!({"duration": "9h"}), "8h"),
        ("other", world.on_cluster(), json!({"subject": {"user": "u-bob"}}), "u-bob"),
        ("nowhere", json!([{"cluster": {"name": "c-nope", "role": "cluster-member"}}]), json!({}), "c-nope"),
    ];
    for (name, access, more, word) in cases {
        let mut spec = json!({"access": access});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.ask("alice", name, spec).await;
        let pending = world.reaches(name, Phase::Pending, SOON).await;
        let message = condition::find(&pending.status.as_ref().unwrap().conditions, "Ready").unwrap().message.clone();
        assert!(message.contains(word), "{name}: {message}");
        println!("{name}: {message}");
    }
    tokio::time::sleep(Duration::from_secs(31 * 60)).await;
    assert_eq!(world.phase("owner").await, Some(Phase::TimedOut));
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_group_is_bound_by_its_principal_on_several_targets(given: Given) {
    let world = world(given).await;
    let second = world.rancher.add_project(CLUSTER, "web-two", &[("team", "web")]);
    let access = json!([world.on_cluster()[0], world.on_project()[0],
        {"project": {"cluster": CLUSTER, "name": second, "role": "read-only"}}]);
    let group = "okta_group://web-team";
    world.ask("alice", "g", json!({"access": access, "duration": "10m", "subject": {"group": group}})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(states(&active), [BindingState::Present; 3]);
    assert_eq!(world.bindings_of(group).len(), 3);
    world.until("the group has access", SOON, || async { world.has_access(group) }).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(world.bindings_of(group).is_empty());
    assert!(!world.has_access(group), "{:?}", world.rancher.access_of(group));
}

async fn a_life_takes_few_requests(given: Given) {
    let world = world(given).await;
    world.server.clear_requests();
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    world.delete("g").await;
    world.until("the grant is gone", SOON, || async { world.grant("g").await.is_none() }).await;
    let writes: Vec<_> = world
        .server
        .requests()
        .into_iter()
        .filter(|r| r.user.contains("operator") && r.resource == "accessgrants" && r.verb == "patch")
        .map(|r| format!("{} {} {}", r.verb, r.subresource, r.code))
        .collect();
    assert_eq!(writes.len(), 5, "finalizer, intent, active, expired, finalizer: {writes:?}");
}
