//! Requests that call clusters and projects by the names that Rancher shows.

use std::time::Duration;

use rancher_access_operator::api::status::{EndReason, Phase};
use serde_json::{Value, json};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    hands::{management, said},
    world,
};

stories![
    a_name_that_one_thing_has_means_that,
    a_name_that_several_have_is_refused_and_they_are_told,
    an_id_goes_before_a_name,
    who_may_not_ask_for_something_does_not_learn_by_its_name_what_there_is,
    what_was_meant_stays_meant_whatever_is_renamed,
];

async fn rename(world: &World, plural: &str, namespace: &str, name: &str, display: &str) {
    let patch = json!({"spec": {"displayName": display}});
    world.rancher.local().patch(&management(plural), namespace, name, "", &patch).await.expect("renamed");
}

fn on_project(cluster: &str, name: &str) -> Value {
    json!([{"project": {"cluster": cluster, "name": name, "role": "project-member"}}])
}

async fn a_name_that_one_thing_has_means_that(given: Given) {
    let world = world(given).await;
    rename(&world, "clusters", "", CLUSTER, "Produktion (EU) 東京").await;
    for (name, access, project) in [
        ("cluster", json!([{"cluster": {"name": "Produktion (EU) 東京", "role": "cluster-member"}}]), None),
        ("project", on_project("Produktion (EU) 東京", "web"), Some(world.project.as_str())),
    ] {
        world.ask("alice", name, json!({"access": access, "duration": "5m"})).await;
        let active = world.reaches(name, Phase::Active, SOON).await;
        let binding = &active.status.as_ref().expect("a status").bindings[0];
        assert_eq!((binding.cluster.as_str(), binding.project.as_deref()), (CLUSTER, project));
    }
    for name in ["cluster", "project"] {
        world.reaches(name, Phase::Expired, Duration::from_secs(400)).await;
    }
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_name_that_several_have_is_refused_and_they_are_told(given: Given) {
    let world = world(given).await;
    let twin = world.rancher.add_project(CLUSTER, "web", &[("team", "web")]);
    world.ask("alice", "g", json!({"access": on_project("production", "web"), "duration": "5m"})).await;
    let pending = world.reaches("g", Phase::Pending, SOON).await;
    let ready = said(&pending, "Ready");
    assert_eq!(ready.reason, "TargetAmbiguous");
    assert!(ready.message.contains(&twin) && ready.message.contains(&world.project), "{}", ready.message);
    // Where the other one is called something else, it is clear what is meant.
    rename(&world, "projects", CLUSTER, &twin, "web two").await;
    let active = world.reaches("g", Phase::Active, Duration::from_secs(400)).await;
    assert_eq!(active.status.expect("a status").bindings[0].project.as_deref(), Some(world.project.as_str()));
}

async fn an_id_goes_before_a_name(given: Given) {
    let world = world(given).await;
    // Whoever may make projects calls his own by the id of another.
    world.rancher.add_project(CLUSTER, &world.project, &[("team", "web")]);
    world.ask("alice", "g", json!({"access": on_project("production", &world.project), "duration": "5m"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(active.status.expect("a status").bindings[0].project.as_deref(), Some(world.project.as_str()));
}

async fn who_may_not_ask_for_something_does_not_learn_by_its_name_what_there_is(given: Given) {
    let world = world(given).await;
    let told = async |grant: &str, name: &str| {
        let access = json!([{"cluster": {"name": name, "role": "cluster-member"}}]);
        world.ask("alice", grant, json!({"access": access})).await;
        let pending = world.reaches(grant, Phase::Pending, SOON).await;
        let ready = said(&pending, "Ready");
        (ready.reason, ready.message.replace(name, "it"))
    };
    world.rancher.add_cluster("c-m-secret01", "secret", &[]);
    let (there, not_there) = (told("a", "secret").await, told("b", "no-such").await);
    assert_eq!(there, not_there);
    world.rancher.add_cluster("c-m-secret02", "twins", &[]);
    world.rancher.add_cluster("c-m-secret03", "twins", &[]);
    assert_eq!(told("c", "twins").await, not_there, "not even where several have the name");
    // Of several, only what may be asked for is told.
    world.rancher.add_cluster("c-m-secret04", "production", &[]);
    let (reason, message) = told("d", "production").await;
    assert_eq!(reason, "TargetAmbiguous");
    assert!(message.contains(CLUSTER) && !message.contains("c-m-secret04"), "{message}");
    assert_eq!(there.0, "TargetNotAllowed");
    assert!(!there.1.contains("c-m-secret01"), "{}", there.1);
}

async fn what_was_meant_stays_meant_whatever_is_renamed(given: Given) {
    let world = world(given).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    world.ask("alice", "g", json!({"access": on_project("production", "web"), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    rename(&world, "projects", CLUSTER, &world.project, "other").await;
    rename(&world, "clusters", "", CLUSTER, "elsewhere").await;
    world.rancher.add_project(CLUSTER, "web", &[]);
    // The policy is looked at again, and still covers what was given.
    world.patch_policy(json!({"duration": {"default": "1h", "max": "7h"}})).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    world.patch_policy(json!({"access": [{"cluster": {"names": [CLUSTER], "roles": ["cluster-member"]}}]})).await;
    let revoked = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(revoked.status.expect("a status").end.expect("an end").reason, EndReason::PolicyChanged);
    assert!(world.bindings_of("u-alice").is_empty());
}
