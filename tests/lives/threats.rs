//! Attempts to get more than one is given, by the numbers of `docs/security.md`.

use std::{sync::Arc, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use rancher_access_operator::api::{
    AccessDecision, AccessGrant, condition, decision::DecisionReason as R, status::Phase,
};
use serde_json::{Value, json};

use crate::{
    SOON,
    approvals::{BOB, asked, needs, say},
    embedded::{
        apply, try_apply,
        world::{CLUSTER, Given, World},
    },
    world,
};

const ALICE: &[&str] = &["web-devs", "system:authenticated"];

fn alices(world: &World) -> Api<AccessGrant> {
    Api::namespaced(world.server.client_as("alice", ALICE), "web")
}

async fn patched(world: &World, name: &str, patch: Value) -> String {
    let answer = alices(world).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    answer.map(|_| "done".to_owned()).unwrap_or_else(|error| error.to_string())
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": kind, "metadata": {"name": name, "namespace": "web"}, "spec": spec})
}

fn request(by: Value, access: Value) -> Value {
    json!({"integrationRef": {"name": "prod"}, "requestedBy": by, "access": access})
}

#[tokio::test(start_paused = true)]
async fn t1_whoever_may_ask_gets_no_more_than_a_policy_allows() {
    let world = world(Given::default()).await;
    for (name, access, reason) in [
        ("owner", json!([{"cluster": {"name": CLUSTER, "role": "cluster-owner"}}]), "RoleNotAllowed"),
        ("local", json!([{"cluster": {"name": "local", "role": "cluster-member"}}]), "TargetNotAllowed"),
        ("global", json!([{"global": {"role": "admin"}}]), "TargetNotAllowed"),
    ] {
        world.ask("alice", name, json!({"access": access})).await;
        let refused = world.reaches(name, Phase::Pending, SOON).await;
        let ready = condition::find(&refused.status.as_ref().unwrap().conditions, "Ready").unwrap().clone();
        assert_eq!(ready.reason, reason, "{}", ready.message);
    }
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn t3_nobody_approves_what_he_asks_for() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    for who in ["alice", "ALICE", "u-alice"] {
        assert_eq!(say(&world, (who, &["sre"]), "g", "Approve").await, R::SelfApproval, "{who}");
    }
    assert_eq!(world.phase("g").await, Some(Phase::AwaitingApproval));
}

#[tokio::test(start_paused = true)]
async fn t4_nobody_asks_in_anothers_name_or_with_anothers_groups() {
    let world = world(Given::default()).await;
    let mallory = world.server.client_as("mallory", &["system:authenticated"]);
    for by in [json!({"username": "alice"}), json!({"username": "mallory", "groups": ["web-devs"]})] {
        let forged = object("AccessGrant", "forged", request(by, world.on_cluster()));
        let refused = try_apply(&mallory, forged).await.unwrap_err().to_string();
        assert!(refused.contains("spec.requestedBy"), "{refused}");
    }
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    let changed = patched(&world, "g", json!({"spec": {"requestedBy": {"username": "bob"}}})).await;
    assert!(changed.contains("immutable"), "{changed}");
}

#[tokio::test(start_paused = true)]
async fn t5_an_approval_is_nothing_that_the_requester_can_write() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    let spec = request(json!({"username": "alice", "groups": ["web-devs"]}), world.on_cluster());
    let mut forged = object("AccessGrant", "g", spec);
    forged["status"] = json!({"phase": "Active", "votes": [{"name": "x", "uid": "x", "decision": "Approve", "by": "bob",
        "sets": ["policy web"], "time": "2026-12-01T08:00:00Z"}]});
    apply(&world.server.client_as("alice", ALICE), forged).await;
    let waiting = world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert!(waiting.status.unwrap().votes.is_empty());
    let decision =
        json!({"grantRef": {"name": "g"}, "decision": "Approve", "decidedBy": {"username": "bob", "groups": ["sre"]}});
    let alice = world.server.client_as("alice", ALICE);
    let refused = try_apply(&alice, object("AccessDecision", "forged", decision)).await.unwrap_err().to_string();
    assert!(refused.contains("spec.decidedBy.username must be your own"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn t6_what_was_approved_is_what_is_given() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    let more = json!({"spec": {"access": [{"cluster": {"name": CLUSTER, "role": "cluster-owner"}}]}});
    let refused = patched(&world, "g", more).await;
    assert!(refused.contains("immutable"), "{refused}");
    // The role itself is widened between the approval's looks.
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}]);
    crate::roles::change(&world, "cluster-member", json!({"rules": rules})).await;
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::DigestMismatch);
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn t7_status_is_written_by_the_operator_alone() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    let forged = json!({"status": {"phase": "Active", "identity": "Proven"}});
    let answer = alices(&world).patch_status("g", &PatchParams::default(), &Patch::Merge(forged)).await;
    let refused = answer.unwrap_err().to_string();
    assert!(refused.contains("only the operator writes it"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn t8_no_annotation_or_label_gives_anything_or_keeps_it() {
    let world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    let given = world.reaches("g", Phase::Active, SOON).await;
    let marks = json!({"metadata": {"labels": {"rancheraccess.io/installation": "x"}, "annotations": {"rancheraccess.io/grant": "web/other"}}});
    assert_eq!(patched(&world, "g", marks).await, "done");
    // Only who may abandon on the integration gives up what should be taken away.
    world.server.authorize(Arc::new(|user, what| what.verb != "abandon" || user.name != "alice"));
    let abandon = json!({"metadata": {"annotations": {"rancheraccess.io/abandon": given.metadata.uid}}});
    let refused = patched(&world, "g", abandon).await;
    assert!(refused.contains("only who has the verb abandon"), "{refused}");
    world.reaches("g", Phase::Expired, Duration::from_secs(400)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn t9_no_other_verb_or_subresource_is_a_way_around() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    assert_eq!(say(&world, BOB, "g", "Deny").await, R::Counted);
    // Many at once.
    let decisions: Api<AccessDecision> = Api::namespaced(world.server.client_as("alice", ALICE), "web");
    let all = decisions.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    assert!(all.unwrap_err().to_string().contains("a decision stays"));
    // A status that comes along with the object, or by its subresource.
    let status = json!({"status": {"counted": false, "reason": "NotApprover"}});
    let name = decisions.list(&ListParams::default()).await.unwrap().items[0].metadata.name.clone().unwrap();
    let answer = decisions.patch_status(&name, &PatchParams::default(), &Patch::Merge(status.clone())).await;
    assert!(answer.unwrap_err().to_string().contains("only the operator writes it"));
    let bobs: Api<AccessDecision> =
        Api::namespaced(world.server.client_as("bob", &["sre", "system:authenticated"]), "web");
    bobs.patch(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    assert_eq!(world.answer(&name).await.and_then(|status| status.reason), Some(R::Counted), "it is dropped");
}

#[tokio::test(start_paused = true)]
async fn t16_access_ends_though_its_grants_finalizer_cannot_be_kept_by_force() {
    let world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let refused = patched(&world, "g", json!({"metadata": {"finalizers": []}})).await;
    assert!(refused.contains("only the operator adds or removes it"), "{refused}");
    world.delete("g").await;
    world.until("the access is gone", SOON, || async { world.bindings_of("u-alice").is_empty() }).await;
}

#[tokio::test(start_paused = true)]
async fn t28_one_requester_cannot_fill_what_others_need() {
    let world = world(Given::default()).await;
    world.patch_policy(json!({"limits": {"perRequester": 2}})).await;
    for index in 0..5 {
        world.ask("alice", &format!("alice-{index}"), json!({"access": world.on_cluster(), "duration": "30m"})).await;
    }
    world.ask("bob", "bob", json!({"access": world.on_cluster(), "duration": "30m"})).await;
    world.reaches("bob", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut in_force = 0;
    for index in 0..5 {
        in_force += usize::from(world.phase(&format!("alice-{index}")).await == Some(Phase::Active));
    }
    assert_eq!(in_force, 2);
}
