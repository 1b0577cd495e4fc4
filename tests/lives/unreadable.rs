//! Objects that the operator cannot read, as an older schema or a restored backup may leave them: each costs itself, and
//! what it may have held back.

use std::time::Duration;

use rancher_access_operator::api::{condition, status::Phase};
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::{
    SOON,
    embedded::world::{Given, World},
    world,
};

stories![
    what_cannot_be_read_holds_up_nothing_else,
    a_policy_that_cannot_be_read_holds_up_its_own_integration_and_is_named,
    a_policy_that_cannot_be_read_is_not_gone,
];

fn put(world: &World, plural: &str, object: Value) {
    world.server.create_unchecked(&Gvr::new("rancheraccess.io", "v1alpha1", plural), object).expect("stored");
}

/// A policy about that integration, of which nothing more can be read.
fn policy(world: &World, name: &str, integration: Value) {
    let spec = json!({"integrationRef": {"name": integration}, "effect": "Perhaps"});
    put(world, "accesspolicies", json!({"metadata": {"name": name}, "spec": spec}));
}

async fn what_cannot_be_read_holds_up_nothing_else(given: Given) {
    let world = world(given).await;
    policy(&world, "odd", json!("staging"));
    put(&world, "rancherintegrations", json!({"metadata": {"name": "odd"}, "spec": {"port": "https"}}));
    let odd = json!({"metadata": {"name": "odd", "namespace": "web"}, "spec": {"access": "all"}});
    put(&world, "accessgrants", odd);
    let word = json!({"grantRef": {"name": "odd"}, "decision": "Perhaps", "decidedBy": {"username": "bob"}});
    put(&world, "accessdecisions", json!({"metadata": {"name": "odd", "namespace": "web"}, "spec": word}));
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_policy_that_cannot_be_read_holds_up_its_own_integration_and_is_named(given: Given) {
    let world = world(given).await;
    for (name, about) in [("mine", json!("prod")), ("whose", json!(7))] {
        policy(&world, name, about);
        world.ask("alice", &format!("g-{name}"), json!({"access": world.on_cluster(), "duration": "10m"})).await;
        let pending = world.reaches(&format!("g-{name}"), Phase::Pending, SOON).await;
        let ready = condition::find(&pending.status.as_ref().unwrap().conditions, "Ready").unwrap().clone();
        assert_eq!(ready.reason, "PolicyChanging", "{}", ready.message);
        assert!(ready.message.contains(&format!("Policy {name} cannot be read")), "{}", ready.message);
        let policies = Gvr::new("rancheraccess.io", "v1alpha1", "accesspolicies");
        world.server.delete(&policies, "", name, None).await.expect("deleted");
        world.reaches(&format!("g-{name}"), Phase::Active, Duration::from_secs(30)).await;
    }
}

async fn a_policy_that_cannot_be_read_is_not_gone(given: Given) {
    let world = world(given).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let policies = Gvr::new("rancheraccess.io", "v1alpha1", "accesspolicies");
    let mut broken = world.server.get(&policies, "", "web").expect("the policy");
    broken["spec"]["effect"] = json!("Perhaps");
    world.server.update_unchecked(&policies, broken).expect("broken");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    world.server.delete(&policies, "", "web", None).await.expect("deleted");
    world.reaches("g", Phase::Revoked, SOON).await;
}
