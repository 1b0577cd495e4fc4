//! Access that somebody revokes: by whom, whatever is away, and behind nobody's decisions.

use std::time::Duration;

use jiff::SignedDuration;
use kube::{Api, api::DeleteParams};
use rancher_access_operator::api::{
    AccessPolicy,
    decision::DecisionReason as R,
    status::{EndReason, Phase},
};
use serde_json::json;
use testkit::rancher::{FaultAction, FaultRule};

use crate::{
    SOON,
    approvals::{BOB, answer, asked, integration, message, needs, say},
    embedded::world::Given,
    end_of, world,
};

#[tokio::test(start_paused = true)]
async fn access_in_force_is_revoked_by_whoever_may() {
    let world = world(Given::default()).await;
    needs(&world, 0).await;
    integration(&world, json!({"integrationOwner": [{"kind": "User", "name": "dora"}]})).await;
    for (name, who) in [
        ("by-requester", ("alice", &[][..])),
        ("by-subject", ("u-alice", &[])),
        ("by-approver", BOB),
        ("by-owner", ("dora", &[])),
    ] {
        world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "1h"})).await;
        world.reaches(name, Phase::Active, SOON).await;
        assert_eq!(say(&world, ("eve", &["web-devs"]), name, "Revoke").await, R::NotApprover);
        assert_eq!(say(&world, who, name, "Revoke").await, R::Counted, "{name}");
        let revoked = world.reaches(name, Phase::Revoked, Duration::from_secs(30)).await;
        assert_eq!(revoked.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::RevokedByDecision);
        assert!(
            message(&revoked, "Ready").contains(&format!("Revoked by {}", who.0)),
            "{}",
            message(&revoked, "Ready")
        );
        assert!(world.bindings_of("u-alice").is_empty() && !world.has_access("u-alice"));
    }
    // Before anything was given it is never given.
    needs(&world, 1).await;
    asked(&world, "early").await;
    assert_eq!(say(&world, ("alice", &[]), "early", "Revoke").await, R::Counted);
    world.reaches("early", Phase::Revoked, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_revocation_ends_access_though_policy_and_rancher_are_away() {
    let world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let policies = Api::<AccessPolicy>::all(world.admin());
    policies.delete("web", &DeleteParams::default()).await.unwrap();
    world.rancher.fault(FaultRule::new(|_, _| true, FaultAction::DropBefore));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(say(&world, ("alice", &[]), "g", "Revoke").await, R::Counted);
    world.reaches("g", Phase::Revoking, SOON).await;
    world.rancher.clear_faults();
    world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

/// However many others decide, and whatever Rancher does: who may revoke is heard.
#[tokio::test(start_paused = true)]
async fn a_revocation_waits_behind_nobody() {
    let world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let users = |_: &http::Method, path: &str| path.contains("/users");
    world.rancher.fault(FaultRule::new(users, FaultAction::Hang));
    for index in 0..40 {
        world.decide(("mallory", &[]), "g", json!({"decision": "Revoke", "reason": format!("{index}")})).await;
    }
    let asked = world.clock.now();
    world.decide(("alice", &[]), "g", json!({"decision": "Revoke"})).await;
    world.until("it is gone", SOON, || async { world.bindings_of("u-alice").is_empty() }).await;
    let late = world.clock.now().duration_since(asked);
    assert!(late < SignedDuration::from_secs(4), "{late}");
}

#[tokio::test(start_paused = true)]
async fn many_decisions_at_once_are_all_answered_and_none_delays_an_end() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "2m"})).await;
    world.reaches("g", Phase::AwaitingApproval, SOON).await;
    let mut names = Vec::new();
    for index in 0..30 {
        names.push(world.decide(("mallory", &[]), "g", json!({"reason": format!("{index}")})).await);
    }
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    let active = world.reaches("g", Phase::Active, SOON).await;
    for name in &names {
        assert_eq!(answer(&world, name).await, R::NotApprover);
    }
    // Rancher hangs when it is asked who somebody is, and somebody goes on deciding: the end comes all the same.
    let users = |_: &http::Method, path: &str| path.contains("/users");
    world.rancher.fault(FaultRule::new(users, FaultAction::Hang));
    tokio::time::sleep(Duration::from_secs(40)).await;
    for index in 0..10 {
        world.decide(("mallory", &[]), "g", json!({"decision": "Revoke", "reason": format!("{index}")})).await;
    }
    world.reaches("g", Phase::Expired, Duration::from_secs(120)).await;
    let late = world.clock.now().duration_since(end_of(&active));
    assert!(late < SignedDuration::from_secs(3), "{late}");
}

/// A policy that changed is held against Rancher, which hangs: who revokes meanwhile is heard.
#[tokio::test(start_paused = true)]
async fn a_revocation_waits_for_no_judgement() {
    let world = world(Given::default()).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let roles = |_: &http::Method, path: &str| path.contains("/roletemplates/");
    world.rancher.fault(FaultRule::new(roles, FaultAction::Hang));
    world.patch_policy(json!({"duration": {"default": "1h", "max": "7h"}})).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let asked = world.clock.now();
    world.decide(("alice", &[]), "g", json!({"decision": "Revoke"})).await;
    world.until("it is gone", SOON, || async { world.bindings_of("u-alice").is_empty() }).await;
    let late = world.clock.now().duration_since(asked);
    assert!(late < SignedDuration::from_secs(4), "{late}");
}
