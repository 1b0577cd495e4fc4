//! The operator moves to another Kubernetes cluster, as docs/operations.md says.

use std::time::Duration;

use kube::Api;
use rancher_access_operator::api::{
    RancherIntegration, condition,
    status::{BindingState, Phase},
};
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::{
    SOON,
    embedded::{
        NAMESPACE, api_server_of,
        world::{CLUSTER, Given, World, crtbs},
    },
    end_of, states, world,
};

stories![
    a_move_with_status_loses_nothing_and_binds_nothing_twice,
    a_move_without_status_judges_anew_and_binds_nothing_twice,
];

/// Puts another cluster in the place of this one: everything that the page names is carried, under new UIDs.
async fn carry(world: &mut World, with_status: bool, leave: &[&str]) {
    let new = api_server_of(&world.clock, 2).await;
    let ours = |plural| Gvr::new("rancheraccess.io", "v1alpha1", plural);
    for (gvr, namespace) in [
        (Gvr::core("namespaces"), None),
        (Gvr::core("secrets"), Some(NAMESPACE)),
        (ours("rancherintegrations"), None),
        (ours("accesspolicies"), None),
        (ours("accessgrants"), None),
    ] {
        for mut object in world.server.list(&gvr, namespace) {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            if leave.contains(&name.as_str()) || (gvr == Gvr::core("namespaces") && name != "web") {
                continue;
            }
            let meta = object["metadata"].as_object_mut().unwrap();
            for field in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
                meta.remove(field);
            }
            if gvr == ours("accessgrants") && !with_status {
                meta.remove("finalizers");
                object.as_object_mut().unwrap().remove("status");
            }
            new.create_unchecked(&gvr, object).unwrap_or_else(|error| panic!("cannot carry {name}: {error}"));
        }
    }
    world.server = new;
}

async fn becomes(world: &World, reason: &str) {
    world
        .until(&format!("Ready says {reason}"), Duration::from_secs(90), || async {
            let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
            let conditions = integration.status.unwrap_or_default().conditions;
            condition::find(&conditions, "Ready").is_some_and(|ready| ready.reason == reason)
        })
        .await;
}

/// Deletes the claim: that is the word to take over.
async fn take_over(world: &World) {
    let maps = Gvr::core("configmaps");
    let ours = |map: &Value| map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rancher-access-"));
    let claim = world.rancher.local().list(&maps, Some("cattle-system")).into_iter().find(ours).expect("the claim");
    let name = claim["metadata"]["name"].as_str().unwrap();
    world.rancher.local().delete(&maps, "cattle-system", name, None).await.expect("deleted");
    becomes(world, "Ready").await;
}

/// What binds that user, by UID.
fn uids(world: &World, user: &str) -> Vec<String> {
    let bindings = world.rancher.local().list(&crtbs(), Some(CLUSTER));
    let theirs = bindings.iter().filter(|b| b["userName"] == user && b["metadata"]["deletionTimestamp"].is_null());
    theirs.map(|b| b["metadata"]["uid"].as_str().unwrap().to_owned()).collect()
}

async fn a_move_with_status_loses_nothing_and_binds_nothing_twice(given: Given) {
    let mut world = world(given).await;
    world.ask("alice", "short", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.ask("bob", "long", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.ask("carol", "forgotten", json!({"access": world.on_cluster(), "duration": "8h"})).await;
    for name in ["short", "long", "forgotten"] {
        world.reaches(name, Phase::Active, SOON).await;
    }
    world
        .ask("bob", "longer", json!({"access": world.on_cluster(), "extends": {"name": "long"}, "duration": "1h"}))
        .await;
    world.reaches("longer", Phase::Scheduled, SOON).await;
    let bobs = uids(&world, "u-bob");
    let end = end_of(&world.grant("long").await.unwrap());
    world.operator.take().unwrap().stop().await;
    carry(&mut world, true, &["forgotten"]).await;
    world.launch().await;

    becomes(&world, "ClaimedElsewhere").await;
    world.ask("alice", "new", json!({"access": world.on_project(), "duration": "10m"})).await;
    let short = world.reaches("short", Phase::Expired, Duration::from_secs(700)).await;
    assert!(world.clock.now().duration_since(end_of(&short)).as_secs() < 3, "what has ended is taken away");
    assert_eq!(states(&short), [BindingState::Removed]);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.phase("new").await, Some(Phase::Pending), "nothing is given before the take-over");
    assert!(world.bindings_of("u-alice").is_empty());
    assert_eq!(uids(&world, "u-carol").len(), 1, "nothing is swept before the take-over");

    take_over(&world).await;
    world.reaches("new", Phase::Active, Duration::from_secs(30)).await;
    world
        .until("what nobody holds is swept", Duration::from_secs(700), || async { uids(&world, "u-carol").is_empty() })
        .await;
    assert_eq!(uids(&world, "u-bob"), bobs, "the same binding");
    let long = world.reaches("long", Phase::Expired, Duration::from_secs(3600)).await;
    assert_eq!(end_of(&long), end);
    assert!(world.clock.now().duration_since(end).as_secs() < 3);
    assert_eq!(states(&long), [BindingState::HandedOver]);
    assert_eq!(uids(&world, "u-bob"), bobs, "it goes on without a gap");
    world.reaches("longer", Phase::Expired, Duration::from_secs(3700)).await;
    assert!(world.clock.now().duration_since(end).as_secs() < 3603);
    for who in ["u-alice", "u-bob", "u-carol"] {
        assert!(world.bindings_of(who).is_empty() && !world.has_access(who), "{who}");
    }
}

async fn a_move_without_status_judges_anew_and_binds_nothing_twice(given: Given) {
    let mut world = world(given).await;
    world.ask("alice", "duration", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.ask("bob", "end", json!({"access": world.on_cluster(), "endTime": "2026-12-01T09:00:00Z"})).await;
    for name in ["duration", "end"] {
        world.reaches(name, Phase::Active, SOON).await;
    }
    tokio::time::sleep(Duration::from_secs(1800)).await;
    world.operator.take().unwrap().stop().await;
    carry(&mut world, false, &[]).await;
    world.launch().await;
    becomes(&world, "ClaimedElsewhere").await;
    take_over(&world).await;
    let again = world.reaches("duration", Phase::Active, Duration::from_secs(60)).await;
    let end = world.reaches("end", Phase::Active, Duration::from_secs(60)).await;
    assert!(end_of(&again) > "2026-12-01T09:29:00Z".parse().unwrap(), "its duration counts anew");
    assert_eq!(end_of(&end), "2026-12-01T09:00:00Z".parse().unwrap());
    tokio::time::sleep(Duration::from_secs(700)).await;
    for (name, who) in [("duration", "u-alice"), ("end", "u-bob")] {
        assert_eq!(world.phase(name).await, Some(Phase::Active));
        assert_eq!(world.bindings_of(who).len(), 1);
        assert!(world.has_access(who));
    }
    world.reaches("end", Phase::Expired, Duration::from_secs(1500)).await;
    world.reaches("duration", Phase::Expired, Duration::from_secs(3000)).await;
    for who in ["u-alice", "u-bob"] {
        assert!(world.bindings_of(who).is_empty() && !world.has_access(who), "{who}");
    }
}
