//! Grants that go on from another, and grants that end before their time.

use std::time::Duration;

use jiff::Timestamp;
use kube::{Api, api::DeleteParams};
use rancher_access_operator::api::{
    AccessGrant, ConditionStatus, RancherIntegration, condition,
    status::{BindingState, EndReason, Phase},
};
use serde_json::{Value, json};

use crate::{
    SOON, eight,
    embedded::world::{CLUSTER, Given, World, crtbs},
    end_of, holds, states, world,
};

stories![
    an_extension_leaves_no_gap_and_makes_no_second_binding,
    a_chain_of_three_goes_on_without_a_gap,
    two_extensions_of_one_grant_share,
    an_extension_ends_with_a_grant_that_is_deleted_early,
    an_extension_fails_where_the_other_ends_before_its_intent,
    an_extension_ends_where_the_others_end_moves_earlier,
    an_extension_that_differs_or_names_none_is_refused,
    an_extension_waits_for_a_grant_that_is_not_active,
    an_extension_is_judged_again_before_its_intent,
    grants_that_extend_each_other_are_refused,
    an_extension_survives_a_restart,
    an_early_end_while_the_operator_is_away_ends_the_extension,
    a_deleted_namespace_waits_until_its_access_is_gone,
    a_deleted_integration_names_the_grants_it_waits_for,
];

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn message(grant: &AccessGrant) -> String {
    condition::find(&grant.status.as_ref().unwrap().conditions, "Ready").unwrap().message.clone()
}

fn reason(grant: &AccessGrant) -> String {
    condition::find(&grant.status.as_ref().unwrap().conditions, "Ready").unwrap().reason.clone()
}

fn end_reason(grant: &AccessGrant) -> EndReason {
    grant.status.as_ref().unwrap().end.as_ref().expect("an end").reason
}

/// The UIDs of what binds alice, whoever made it.
fn uids(world: &World) -> Vec<String> {
    let bindings = world.rancher.local().list(&crtbs(), Some(CLUSTER));
    let theirs = bindings.iter().filter(|b| b["userName"] == "u-alice" && b["metadata"]["deletionTimestamp"].is_null());
    theirs.map(|b| b["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

async fn ask(world: &World, name: &str, more: Value) -> AccessGrant {
    let mut spec = json!({"access": world.on_cluster()});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.ask("alice", name, spec).await
}

/// One grant of ten minutes that is active, and its extension of twenty, by some time.
async fn two(given: Given) -> World {
    let world = world(given).await;
    ask(&world, "first", json!({"duration": "10m"})).await;
    world.reaches("first", Phase::Active, SOON).await;
    ask(&world, "second", json!({"extends": {"name": "first"}, "duration": "20m"})).await;
    world.reaches("second", Phase::Scheduled, SOON).await;
    world
}

/// Until so many seconds before the first grant's end.
async fn before_the_end(world: &World, seconds: i64) {
    let end = end_of(&world.grant("first").await.unwrap());
    let ahead = end.duration_since(world.clock.now()).as_secs() - seconds;
    tokio::time::sleep(Duration::from_secs(u64::try_from(ahead).unwrap())).await;
}

/// Watches alice's access until a grant has ended: it is never away, and always by the same binding.
async fn never_away(world: &World, until: &str, phase: Phase, uid: &str) {
    while world.phase(until).await != Some(phase) {
        assert_eq!(uids(world), [uid], "{}", world.tell().await);
        assert!(world.has_access("u-alice"), "{}", world.tell().await);
        // Finely where something happens.
        let end = world.grant(until).await.and_then(|grant| grant.status?.expires_time);
        let ahead = end.map_or(0, |end| end.0.duration_since(world.clock.now()).as_secs());
        tokio::time::sleep(Duration::from_millis(if ahead > 70 { 5000 } else { 200 })).await;
    }
    assert_eq!(uids(world), [uid]);
    assert!(world.has_access("u-alice"));
}

async fn an_extension_leaves_no_gap_and_makes_no_second_binding(given: Given) {
    let world = two(given).await;
    let uid = uids(&world).remove(0);
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    let end = end_of(&world.grant("first").await.unwrap());
    before_the_end(&world, 65).await;
    assert_eq!(world.phase("second").await, Some(Phase::Scheduled));
    assert!(world.grant("second").await.unwrap().status.unwrap().bindings.is_empty());
    let second = world.reaches("second", Phase::Active, SOON).await;
    assert_eq!(end_of(&second).duration_since(end).as_secs(), 1200, "its time counts from the other's end");
    let said = second.status.as_ref().unwrap().extends.clone().unwrap();
    assert_eq!((said.name.as_str(), said.end_time.0), ("first", end));
    never_away(&world, "first", Phase::Expired, &uid).await;
    assert_eq!(states(&world.grant("first").await.unwrap()), [BindingState::HandedOver]);
    tokio::time::sleep(Duration::from_secs(1100)).await;
    assert_eq!(uids(&world), [uid]);
    let second = world.reaches("second", Phase::Expired, Duration::from_secs(200)).await;
    assert!(world.clock.now().duration_since(end_of(&second)).as_secs() < 3);
    assert_eq!(states(&second), [BindingState::Removed]);
    assert!(!world.has_access("u-alice"));
}

async fn a_chain_of_three_goes_on_without_a_gap(given: Given) {
    let world = two(given).await;
    let first = world.grant("first").await.unwrap();
    // Asked for long before the second is active; until a fixed end.
    let last = end_of(&first).checked_add(jiff::SignedDuration::from_mins(50)).unwrap();
    ask(&world, "third", json!({"extends": {"name": "second"}, "endTime": last.to_string()})).await;
    let pending = world.reaches("third", Phase::Pending, SOON).await;
    assert_eq!(reason(&pending), "ExtendedGrantNotActive");
    let uid = uids(&world).remove(0);
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    never_away(&world, "first", Phase::Expired, &uid).await;
    assert_eq!(world.phase("third").await, Some(Phase::Scheduled));
    never_away(&world, "second", Phase::Expired, &uid).await;
    let third = world.reaches("third", Phase::Active, SOON).await;
    assert_eq!(end_of(&third), last);
    let third = world.reaches("third", Phase::Expired, Duration::from_secs(1900)).await;
    assert_eq!(states(&third), [BindingState::Removed]);
    assert!(!world.has_access("u-alice"));
}

async fn two_extensions_of_one_grant_share(given: Given) {
    let world = two(given).await;
    ask(&world, "other", json!({"extends": {"name": "first"}, "duration": "5m"})).await;
    let uid = uids(&world).remove(0);
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    never_away(&world, "other", Phase::Expired, &uid).await;
    assert_eq!(states(&world.grant("other").await.unwrap()), [BindingState::HandedOver]);
    assert_eq!(world.phase("second").await, Some(Phase::Active));
    world.reaches("second", Phase::Expired, Duration::from_secs(1000)).await;
    assert!(uids(&world).is_empty());
}

async fn an_extension_ends_with_a_grant_that_is_deleted_early(given: Given) {
    let world = two(given).await;
    before_the_end(&world, 30).await;
    assert_eq!(world.phase("second").await, Some(Phase::Active));
    world.delete("first").await;
    let second = world.reaches("second", Phase::Revoked, SOON).await;
    assert_eq!(end_reason(&second), EndReason::ExtendedGrantEnded);
    assert!(message(&second).contains("first, which this one extends, was deleted"), "{}", message(&second));
    world.until("the first is gone", SOON, || async { world.grant("first").await.is_none() }).await;
    assert!(uids(&world).is_empty());
    assert!(!world.has_access("u-alice"));
    assert_eq!(holds(&second, "Revoked"), Some(ConditionStatus::True));
}

async fn an_extension_fails_where_the_other_ends_before_its_intent(given: Given) {
    let world = two(given).await;
    world.delete("first").await;
    let second = world.reaches("second", Phase::Failed, SOON).await;
    assert_eq!(reason(&second), "ExtendedGrantEnded");
    assert!(message(&second).contains("nothing was given"), "{}", message(&second));
    world.until("the first is gone", SOON, || async { world.grant("first").await.is_none() }).await;
    assert!(uids(&world).is_empty());
    // And whoever asks after that is told that there is none.
    ask(&world, "late", json!({"extends": {"name": "first"}})).await;
    let late = world.reaches("late", Phase::Pending, SOON).await;
    assert_eq!(reason(&late), "ExtendedGrantNotFound");
}

async fn an_extension_ends_where_the_others_end_moves_earlier(given: Given) {
    let world = world(given).await;
    for (name, moved_when) in [("early", 200), ("late", 30)] {
        let end = world.clock.now().checked_add(jiff::SignedDuration::from_mins(10)).unwrap();
        let end = at(&end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        ask(&world, name, json!({"endTime": end.to_string()})).await;
        world.reaches(name, Phase::Active, SOON).await;
        let second = format!("{name}-second");
        ask(&world, &second, json!({"extends": {"name": name}, "duration": "20m"})).await;
        world.reaches(&second, Phase::Scheduled, SOON).await;
        let ahead = end.duration_since(world.clock.now()).as_secs() - moved_when;
        tokio::time::sleep(Duration::from_secs(u64::try_from(ahead).unwrap())).await;
        let moved = end.checked_sub(jiff::SignedDuration::from_secs(15)).unwrap();
        world.patch(name, json!({"spec": {"endTime": moved.to_string()}})).await;
        let phase = if name == "early" { Phase::Failed } else { Phase::Revoked };
        let ended = world.reaches(&second, phase, SOON).await;
        assert!(message(&ended).contains(&format!("was changed to end at {moved}")), "{}", message(&ended));
        assert_eq!(uids(&world).len(), 1, "the first goes on until then");
        world.reaches(name, Phase::Expired, Duration::from_secs(300)).await;
        assert!(world.clock.now() < end, "{}", world.clock.now());
        assert!(uids(&world).is_empty());
    }
}

async fn an_extension_that_differs_or_names_none_is_refused(given: Given) {
    let world = two(given).await;
    let rows = [
        (
            "access",
            json!({"access": world.on_project(), "extends": {"name": "first"}}),
            "ExtendedGrantDiffers",
            "in access",
        ),
        ("itself", json!({"extends": {"name": "itself"}}), "ExtendsItself", "extends itself"),
        ("none", json!({"extends": {"name": "missing"}}), "ExtendedGrantNotFound", "create it first"),
    ];
    for (name, more, why, word) in rows {
        ask(&world, name, more).await;
        let pending = world.reaches(name, Phase::Pending, SOON).await;
        assert_eq!(reason(&pending), why);
        assert!(message(&pending).contains(word), "{}", message(&pending));
    }
    world.ask("bob", "bobs", json!({"access": world.on_cluster(), "extends": {"name": "first"}})).await;
    let bobs = world.reaches("bobs", Phase::Pending, SOON).await;
    assert!(message(&bobs).contains("in subject"), "{}", message(&bobs));
    world
        .ask(
            "alice",
            "short",
            json!({"access": world.on_cluster(), "extends": {"name": "first"}, "endTime": "2026-12-01T08:05:00Z"}),
        )
        .await;
    let short = world.reaches("short", Phase::Pending, SOON).await;
    assert_eq!(reason(&short), "TimeInvalid");
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert!(world.bindings_of("u-bob").is_empty());
    assert_eq!(uids(&world).len(), 1);
}

async fn an_extension_waits_for_a_grant_that_is_not_active(given: Given) {
    let world = world(given).await;
    ask(&world, "first", json!({"startTime": "2026-12-01T09:00:00Z", "duration": "10m"})).await;
    world.reaches("first", Phase::Scheduled, SOON).await;
    ask(&world, "second", json!({"extends": {"name": "first"}, "duration": "10m"})).await;
    let second = world.reaches("second", Phase::Pending, SOON).await;
    assert_eq!(reason(&second), "ExtendedGrantNotActive");
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(world.phase("second").await, Some(Phase::Pending), "the other is to time out, not this one");
    world.reaches("first", Phase::Active, Duration::from_secs(200)).await;
    world.reaches("second", Phase::Scheduled, Duration::from_secs(2)).await;
    let second = world.reaches("second", Phase::Active, Duration::from_secs(600)).await;
    assert_eq!(end_of(&second), at("2026-12-01T09:20:00Z"));
}

async fn an_extension_is_judged_again_before_its_intent(given: Given) {
    let world = two(given).await;
    let policies = testkit::apiserver::Gvr::new("rancheraccess.io", "v1alpha1", "accesspolicies");
    world.server.delete(&policies, "", "web", None).await.expect("deleted");
    let second = world.reaches("second", Phase::Pending, SOON).await;
    assert_eq!(reason(&second), "NoPolicy");
    world.reaches("first", Phase::Expired, Duration::from_secs(700)).await;
    assert!(uids(&world).is_empty(), "nothing goes on that no policy allows");
}

async fn an_extension_survives_a_restart(given: Given) {
    let mut world = two(given).await;
    let uid = uids(&world).remove(0);
    before_the_end(&world, 60).await;
    // Killed as soon as the intent stands, and back only after the first one's end.
    world
        .until("the intent", SOON, || async {
            world.grant("second").await.unwrap().status.is_some_and(|s| !s.bindings.is_empty())
        })
        .await;
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.launch().await;
    world.reaches("first", Phase::Expired, Duration::from_secs(60)).await;
    assert_eq!(uids(&world), [uid.as_str()]);
    let second = world.reaches("second", Phase::Active, SOON).await;
    assert_eq!(second.status.as_ref().unwrap().extends.as_ref().unwrap().name, "first");
    tokio::time::sleep(Duration::from_secs(900)).await;
    assert_eq!(uids(&world), [uid]);
    let second = world.reaches("second", Phase::Expired, Duration::from_secs(400)).await;
    assert!(world.clock.now().duration_since(end_of(&second)).as_secs() < 3);
    assert!(!world.has_access("u-alice"));
}

async fn an_early_end_while_the_operator_is_away_ends_the_extension(given: Given) {
    let mut world = two(given).await;
    before_the_end(&world, 30).await;
    assert_eq!(world.phase("second").await, Some(Phase::Active));
    world.kill().await;
    world.delete("first").await;
    // Back only when the first would have ended by itself.
    tokio::time::sleep(Duration::from_secs(120)).await;
    world.launch().await;
    let second = world.reaches("second", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(end_reason(&second), EndReason::ExtendedGrantEnded);
    world.until("the first is gone", SOON, || async { world.grant("first").await.is_none() }).await;
    assert!(uids(&world).is_empty());
    assert!(!world.has_access("u-alice"));
}

async fn a_deleted_namespace_waits_until_its_access_is_gone(given: Given) {
    let world = world(given).await;
    ask(&world, "first", json!({"duration": "1h"})).await;
    world.reaches("first", Phase::Active, SOON).await;
    ask(&world, "second", json!({"extends": {"name": "first"}})).await;
    world.reaches("second", Phase::Scheduled, SOON).await;
    world.rancher.fault(testkit::rancher::FaultRule::new(|_, _| true, testkit::rancher::FaultAction::DropBefore));
    let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(world.admin());
    namespaces.delete("web", &DeleteParams::default()).await.expect("deleted");
    let overdue = Duration::from_secs(60);
    world
        .until("it is overdue, and says so", overdue, || async {
            world.grant("first").await.is_some_and(|g| holds(&g, "RevocationOverdue") == Some(ConditionStatus::True))
        })
        .await;
    let terminating = namespaces.get("web").await.expect("held by the grant's finalizer");
    assert!(terminating.metadata.deletion_timestamp.is_some());
    assert_eq!(uids(&world).len(), 1);
    world.rancher.clear_faults();
    world
        .until("the namespace is gone", Duration::from_secs(60), || async {
            namespaces.get_opt("web").await.expect("asked").is_none()
        })
        .await;
    assert!(uids(&world).is_empty() && !world.has_access("u-alice"));
}

async fn a_deleted_integration_names_the_grants_it_waits_for(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    for name in ["a", "b", "c", "d"] {
        ask(&world, name, json!({"duration": "1h"})).await;
        world.reaches(name, Phase::Active, SOON).await;
    }
    let api = Api::<RancherIntegration>::all(world.admin());
    api.delete("prod", &DeleteParams::default()).await.expect("deleted");
    let said = || async {
        let integration = api.get_opt("prod").await.expect("asked");
        let conditions = integration.and_then(|i| i.status).unwrap_or_default().conditions;
        condition::find(&conditions, "Ready").map(|c| c.message.clone()).unwrap_or_default()
    };
    world
        .until("it says whom it waits for", Duration::from_secs(90), || async {
            said().await.contains("4 grants (web/a, web/b, web/c and 1 more)")
        })
        .await;
    assert!(said().await.contains("Delete them to end them now"), "{}", said().await);
    for name in ["a", "b", "c", "d"] {
        world.delete(name).await;
    }
    world
        .until("the integration is gone", Duration::from_secs(90), || async {
            api.get_opt("prod").await.expect("asked").is_none()
        })
        .await;
    assert!(uids(&world).is_empty());
}

async fn grants_that_extend_each_other_are_refused(given: Given) {
    let world = world(given).await;
    for (name, other) in [("one", "two"), ("two", "one")] {
        let spec = json!({"access": world.on_cluster(), "extends": {"name": other}, "duration": "10m"});
        world.ask("alice", name, spec).await;
    }
    let is_refused = || async {
        let conditions = world.grant("one").await.and_then(|g| g.status).unwrap_or_default().conditions;
        condition::find(&conditions, "Ready").is_some_and(|ready| ready.reason == "ExtendsItself")
    };
    world.until("it is refused", SOON, is_refused).await;
    // As everything that nobody may have, they are given up after a day.
    world
        .until("they are given up", Duration::from_secs(90_000), || async {
            world.phase("one").await == Some(Phase::TimedOut)
        })
        .await;
}
