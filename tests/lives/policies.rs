//! Policies together, and policies that change while grants live by them.

use std::{sync::Arc, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rancher_access_operator::api::{
    AccessGrant, AccessPolicy, ConditionStatus, condition,
    decision::DecisionReason as R,
    status::{EndReason, Phase},
};
use serde_json::{Value, json};

use crate::{
    SOON,
    approvals::{BOB, CAROL, asked, integration, message, needs, say},
    embedded::{
        apply,
        world::{CLUSTER, Given, World},
    },
    holds, world,
};

stories![a_policy_that_goes_takes_its_access_along_where_it_says_so];

async fn policy(world: &World, name: &str, spec: Value) {
    let mut full = json!({"integrationRef": {"name": "prod"}, "namespaceSelector": {}});
    full.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    apply(&world.admin(), json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy", "metadata": {"name": name}, "spec": full})).await;
}

async fn change(world: &World, name: &str, spec: Value) {
    let api = Api::<AccessPolicy>::all(world.admin());
    api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

async fn remove(world: &World, name: &str) {
    Api::<AccessPolicy>::all(world.admin()).delete(name, &DeleteParams::default()).await.expect("deleted");
}

async fn active(world: &World, name: &str) -> AccessGrant {
    world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "4h"})).await;
    world.reaches(name, Phase::Active, SOON).await
}

async fn because(world: &World, name: &str, reason: &str) -> String {
    let ready = || async {
        let status = world.grant(name).await?.status?;
        condition::find(&status.conditions, "Ready").cloned()
    };
    world
        .until(&format!("{name} is {reason}"), SOON, || async { ready().await.is_some_and(|c| c.reason == reason) })
        .await;
    ready().await.unwrap().message
}

async fn a_policy_that_goes_takes_its_access_along_where_it_says_so(given: Given) {
    let world = world(given).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    let given = active(&world, "g").await;
    assert_eq!(json!(given.status.unwrap().policy)["onPolicyChange"], "Revoke", "it stands in the record");
    // A change that leaves it allowed leaves it in force.
    world.patch_policy(json!({"duration": {"default": "1h", "max": "5h"}})).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    // Less than it lasts altogether.
    world.patch_policy(json!({"duration": {"default": "1h", "max": "3h"}})).await;
    let over = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(over.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::PolicyChanged);
    assert!(message(&over, "Ready").contains("onPolicyChange is Revoke"), "{}", message(&over, "Ready"));
    assert!(world.bindings_of("u-alice").is_empty());
    world.patch_policy(json!({"duration": {"default": "1h", "max": "8h"}})).await;
    for how in ["deleted", "suspended"] {
        active(&world, how).await;
        match how {
            "deleted" => remove(&world, "web").await,
            _ => change(&world, "web-2", json!({"suspend": true})).await,
        }
        let over = world.reaches(how, Phase::Revoked, Duration::from_secs(60)).await;
        assert!(message(&over, "Ready").contains("onPolicyChange was Revoke"), "{}", message(&over, "Ready"));
        let open = json!({"namespaceSelector": {"matchLabels": {"team": "web"}}, "requesters": [{"kind": "Group", "name": "web-devs"}],
            "access": [{"cluster": {"names": [CLUSTER], "roles": ["cluster-member"]}}], "onPolicyChange": "Revoke"});
        policy(&world, &format!("web-{}", if how == "deleted" { 2 } else { 3 }), open).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_goes_leaves_its_access_where_it_does_not() {
    let world = world(Given::default()).await;
    active(&world, "g").await;
    world.patch_policy(json!({"requireReason": true})).await;
    let approved = || async { world.grant("g").await.map(|g| message(&g, "Approved")).unwrap_or_default() };
    world.until("it says that its policy changed", SOON, || async { approved().await.contains("changed since") }).await;
    remove(&world, "web").await;
    world.until("it says that its policy went", SOON, || async { approved().await.contains("is gone since") }).await;
    let kept = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(holds(&kept, "Granted"), Some(ConditionStatus::True));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(world.has_access("u-alice"));
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_read_for_a_while_takes_nothing_away() {
    let mut world = world(Given::default()).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    active(&world, "g").await;
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.launch().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.server.set_available(false);
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.server.set_available(true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
}

#[tokio::test(start_paused = true)]
async fn a_deny_holds_for_what_waits_and_takes_away_where_it_says_so() {
    let world = world(Given::default()).await;
    active(&world, "given").await;
    needs(&world, 1).await;
    asked(&world, "waits").await;
    let deny = json!({"effect": "Deny", "access": [{"cluster": {"roles": ["*"]}}], "requesters": [{"kind": "User", "name": "ALICE"}]});
    policy(&world, "freeze", deny).await;
    let told = because(&world, "waits", "PolicyDenies").await;
    assert!(told.contains("AccessPolicy freeze (effect Deny)"), "{told}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("given").await, Some(Phase::Active));
    change(&world, "freeze", json!({"onPolicyChange": "Revoke"})).await;
    let over = world.reaches("given", Phase::Revoked, Duration::from_secs(60)).await;
    assert!(message(&over, "Ready").contains("freeze"), "{}", message(&over, "Ready"));
    change(&world, "freeze", json!({"suspend": true})).await;
    world.reaches("waits", Phase::AwaitingApproval, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_required_besides_is_approved_besides() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    let more = json!({"effect": "Require", "access": [{"cluster": {"selector": {"matchLabels": {"env": "prod"}}, "roles": ["*"]}}],
        "approval": {"required": 1, "approvers": [{"kind": "Group", "name": "owners"}]}, "requireReason": true});
    policy(&world, "prod", more).await;
    world.ask("alice", "silent", json!({"access": world.on_cluster()})).await;
    let told = because(&world, "silent", "ReasonRequired").await;
    assert!(told.contains("prod (effect Require)"), "{told}");
    world.ask("alice", "g", json!({"access": world.on_cluster(), "reason": "INC-1"})).await;
    let waiting = world.reaches("g", Phase::AwaitingApproval, SOON).await.status.unwrap();
    assert_eq!(waiting.required_by.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["prod"]);
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, CAROL, "g", "Approve").await, R::Counted, "of owners, and of sre");
    world.reaches("g", Phase::Active, SOON).await;
    // What it does not match is as it was.
    world.ask("alice", "project", json!({"access": world.on_project()})).await;
    world.reaches("project", Phase::AwaitingApproval, SOON).await;
}

/// One after the other, deleted in between, so that nothing but the operator's memory tells.
#[tokio::test(start_paused = true)]
async fn grants_that_follow_each_other_last_only_so_long_together() {
    let world = world(Given::default()).await;
    world.patch_policy(json!({"duration": {"default": "1h", "max": "1h", "maxContinuous": "2h"}})).await;
    let ask = async |name: &str| {
        world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "50m"})).await;
    };
    for name in ["one", "two"] {
        ask(name).await;
        world.reaches(name, Phase::Active, SOON).await;
        tokio::time::sleep(Duration::from_secs(2950)).await;
        world.reaches(name, Phase::Expired, Duration::from_secs(120)).await;
        world.delete(name).await;
        world.until("it is gone", SOON, || async { world.grant(name).await.is_none() }).await;
    }
    ask("three").await;
    let told = because(&world, "three", "ContinuousTooLong").await;
    assert!(told.contains("maxContinuous is 2h"), "{told}");
    // After a pause it is allowed by itself: it is judged again every five minutes.
    world.reaches("three", Phase::Active, Duration::from_secs(1300)).await;
}

#[tokio::test(start_paused = true)]
async fn whom_no_policy_knows_learns_nothing() {
    let world = world(Given::default()).await;
    world.rancher.clear_requests();
    let client = world.server.client_as("mallory", &["system:authenticated"]);
    let mut told = Vec::new();
    for (name, integration, access) in [
        ("a", "prod", world.on_cluster()),
        ("b", "nowhere", world.on_cluster()),
        ("c", "prod", json!([{"cluster": {"name": "c-nope", "role": "nope"}}])),
    ] {
        let spec =
            json!({"integrationRef": {"name": integration}, "requestedBy": {"username": "mallory"}, "access": access});
        apply(
            &client,
            json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": name, "namespace": "web"}, "spec": spec}),
        )
        .await;
        told.push(because(&world, name, "NoPolicy").await);
    }
    assert!(told.iter().all(|message| *message == told[0]), "{told:?}");
    assert!(!world.rancher.requests().iter().any(|r| r.path.contains("c-nope") || r.path.contains("users")));
}

/// A Rancher that is gone for good holds nobody for ever: an administrator may give up what is left there.
#[tokio::test(start_paused = true)]
async fn what_is_left_in_a_rancher_that_is_gone_can_be_abandoned() {
    let mut world = world(Given::default()).await;
    let given = active(&world, "g").await;
    let abandon = json!({"metadata": {"annotations": {"rancheraccess.io/abandon": given.metadata.uid}}});
    world.patch("g", json!({"metadata": {"annotations": {"rancheraccess.io/abandon": "another-uid"}}})).await;
    world.rancher.fault(testkit::rancher::FaultRule::new(|_, _| true, testkit::rancher::FaultAction::DropBefore));
    world.delete("g").await;
    world.patch("g", abandon).await;
    // A blip of the network is no Rancher that is gone.
    tokio::time::sleep(Duration::from_secs(500)).await;
    world.reaches("g", Phase::Revoking, SOON).await;
    world.until("it may go", Duration::from_secs(200), || async { world.grant("g").await.is_none() }).await;
    assert!(world.events().contains("Abandoned"), "{}", world.events());
    // That Rancher answers after all: what nobody holds is swept.
    world.rancher.clear_faults();
    world
        .until("the binding is swept", Duration::from_secs(900), || async { world.bindings_of("u-alice").is_empty() })
        .await;
    world.kill().await;
}

#[tokio::test(start_paused = true)]
async fn the_room_that_is_required_holds_for_a_burst() {
    let world = world(Given::default()).await;
    policy(&world, "room", json!({"effect": "Require", "limits": {"perRequester": 2}})).await;
    for index in 0..6 {
        world.ask("alice", &format!("g-{index}"), json!({"access": world.on_cluster(), "duration": "30m"})).await;
    }
    tokio::time::sleep(Duration::from_secs(15)).await;
    let mut in_force = Vec::new();
    for index in 0..6 {
        let name = format!("g-{index}");
        if world.phase(&name).await == Some(Phase::Active) {
            in_force.push(name);
        }
    }
    assert_eq!(in_force.len(), 2, "{in_force:?}");
    world.delete(&in_force[0]).await;
    let more = || async {
        let mut count = 0;
        for index in 0..6 {
            count += usize::from(world.phase(&format!("g-{index}")).await == Some(Phase::Active));
        }
        count == 2
    };
    world.until("the next has its turn", Duration::from_secs(30), more).await;
}

/// What answers in the place of a Rancher that is gone is none: a load balancer of its own, or a server that knows no key.
#[tokio::test(start_paused = true)]
async fn what_answers_in_the_place_of_a_rancher_does_not_keep_it_from_being_abandoned() {
    let page = |code| testkit::rancher::FaultAction::Status(code, "<html>default backend</html>".to_owned());
    for answer in [page(404), page(500), page(401)] {
        let mut world = world(Given::default()).await;
        let given = active(&world, "g").await;
        world.rancher.fault(testkit::rancher::FaultRule::new(|_, _| true, answer));
        world.delete("g").await;
        world.patch("g", json!({"metadata": {"annotations": {"rancheraccess.io/abandon": given.metadata.uid}}})).await;
        tokio::time::sleep(Duration::from_secs(500)).await;
        world.reaches("g", Phase::Revoking, SOON).await;
        world.until("it may go", Duration::from_secs(200), || async { world.grant("g").await.is_none() }).await;
        world.kill().await;
    }
}

/// A Rancher that lives gives nothing up: what it says of the binding counts.
#[tokio::test(start_paused = true)]
async fn nothing_is_abandoned_while_rancher_answers() {
    let world = world(Given::default()).await;
    let given = active(&world, "g").await;
    let deletes = |method: &http::Method, _: &str| *method == http::Method::DELETE;
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "no"});
    world.rancher.fault(testkit::rancher::FaultRule::new(
        deletes,
        testkit::rancher::FaultAction::Status(403, refusal.to_string()),
    ));
    world.delete("g").await;
    world.patch("g", json!({"metadata": {"annotations": {"rancheraccess.io/abandon": given.metadata.uid}}})).await;
    tokio::time::sleep(Duration::from_secs(1800)).await;
    world.reaches("g", Phase::Revoking, SOON).await;
    world.rancher.clear_faults();
    world.until("it goes", Duration::from_secs(60), || async { world.grant("g").await.is_none() }).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

/// A grant that was abandoned and stays keeps nobody from taking away what it gave.
#[tokio::test(start_paused = true)]
async fn what_was_abandoned_is_swept_though_its_grant_stays() {
    let world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "2m"})).await;
    let given = world.reaches("g", Phase::Active, SOON).await;
    world.rancher.fault(testkit::rancher::FaultRule::new(|_, _| true, testkit::rancher::FaultAction::DropBefore));
    world.patch("g", json!({"metadata": {"annotations": {"rancheraccess.io/abandon": given.metadata.uid}}})).await;
    let failed = world.reaches("g", Phase::Failed, Duration::from_secs(1200)).await;
    assert_eq!(holds(&failed, "Revoked"), Some(ConditionStatus::Unknown));
    assert!(failed.status.as_ref().unwrap().revoked_time.is_none());
    assert!(message(&failed, "Ready").contains("given up by an administrator"), "{}", message(&failed, "Ready"));
    assert!(!world.bindings_of("u-alice").is_empty());
    world.rancher.clear_faults();
    world
        .until("the binding is swept", Duration::from_secs(900), || async { world.bindings_of("u-alice").is_empty() })
        .await;
}

/// What it is judged by may have been taken away by whoever has it.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_told_to_be_allowed_ends_with_its_policy() {
    let world = world(Given::default()).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    let second = world.rancher.add_project(CLUSTER, "gone", &[("team", "web")]);
    let access = json!([world.on_cluster()[0], {"project": {"cluster": CLUSTER, "name": second, "role": "read-only"}}]);
    world.ask("alice", "g", json!({"access": access, "duration": "4h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    crate::roles::change(&world, "read-only", json!({"locked": true})).await;
    world.patch_policy(json!({"requireReason": true})).await;
    let over = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(over.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::PolicyChanged);
}

/// A policy that turns to another server is gone for this one.
#[tokio::test(start_paused = true)]
async fn a_policy_that_moves_to_another_server_takes_its_access_along() {
    let world = world(Given::default()).await;
    world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    active(&world, "g").await;
    world.patch_policy(json!({"integrationRef": {"name": "other"}})).await;
    let over = world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(over.status.as_ref().unwrap().end.as_ref().unwrap().reason, EndReason::PolicyChanged);
}

/// Access ends on time though an operator that begins cannot read a single policy or decision.
#[tokio::test(start_paused = true)]
async fn an_end_needs_neither_policies_nor_decisions() {
    let mut world = world(Given::default()).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    let given = world.reaches("g", Phase::Active, SOON).await;
    world.kill().await;
    let hidden = ["accesspolicies", "accessdecisions"];
    world.server.authorize(Arc::new(move |_, what| {
        !(hidden.contains(&what.resource.as_str()) && ["list", "watch"].contains(&what.verb.as_str()))
    }));
    world.launch().await;
    world.reaches("g", Phase::Expired, Duration::from_secs(400)).await;
    let late = world.clock.now().duration_since(crate::end_of(&given));
    assert!(late < jiff::SignedDuration::from_secs(3), "{late}");
    world.ask("alice", "more", json!({"access": world.on_cluster()})).await;
    because(&world, "more", "Starting").await;
    assert!(world.bindings_of("u-alice").is_empty(), "nothing is given on what is not known");
}

/// A server that was suspended is given nothing, though the operator's watch on integrations is blind.
#[tokio::test(start_paused = true)]
async fn a_suspension_that_no_watch_told_of_counts() {
    let world = world(Given::default()).await;
    world.server.authorize(Arc::new(|_, what| what.verb != "watch" || what.resource != "rancherintegrations"));
    world.server.expire_watches();
    tokio::time::sleep(Duration::from_secs(30)).await;
    integration(&world, json!({"suspend": true})).await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    because(&world, "g", "IntegrationChanging").await;
    assert!(world.bindings_of("u-alice").is_empty());
}
