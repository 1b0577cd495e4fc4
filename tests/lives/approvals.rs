//! Requests that people decide: who counts, what for, and that what counted stays.

use std::{sync::Arc, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use rancher_access_operator::api::{
    AccessDecision, AccessGrant, ConditionStatus, RancherIntegration, condition, decision::DecisionReason as R,
    status::Phase,
};
use serde_json::{Value, json};

use crate::{
    SOON, eight,
    embedded::{
        try_apply,
        world::{CLUSTER, Given, World},
    },
    end_of, holds, world,
};

stories![
    the_right_people_approve_and_the_access_is_given,
    the_owner_of_each_target_approves,
    a_crash_between_a_vote_and_its_answer_loses_nothing,
];

/// A second, so that what follows is later to the API server as well.
const TICK: Duration = Duration::from_millis(1100);

pub fn decisions(world: &World) -> Api<AccessDecision> {
    Api::namespaced(world.admin(), "web")
}

/// Waits until a decision is answered, and says how.
pub async fn answer(world: &World, name: &str) -> R {
    world.until(&format!("{name} is answered"), SOON, || async { world.answer(name).await.is_some() }).await;
    world.answer(name).await.and_then(|status| status.reason).expect("a reason")
}

/// Decides, and waits for the answer.
pub async fn say(world: &World, who: (&str, &[&str]), grant: &str, decision: &str) -> R {
    let name = world.decide(who, grant, json!({"decision": decision})).await;
    answer(world, &name).await
}

pub const BOB: (&str, &[&str]) = ("bob", &["sre"]);
pub const CAROL: (&str, &[&str]) = ("carol", &["sre", "owners"]);

/// Access takes so many approvals of sre.
pub async fn needs(world: &World, required: i32) {
    let approval = json!({"required": required, "approvers": [{"kind": "Group", "name": "sre"}], "contact": "#sre-oncall", "timeout": "20m"});
    world.patch_policy(json!({"approval": approval})).await;
}

pub fn message(grant: &AccessGrant, type_: &str) -> String {
    condition::find(&grant.status.as_ref().unwrap().conditions, type_).map(|c| c.message.clone()).unwrap_or_default()
}

/// Asks, and waits until it awaits approval.
pub async fn asked(world: &World, name: &str) -> AccessGrant {
    world.ask("alice", name, json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches(name, Phase::AwaitingApproval, SOON).await
}

async fn the_right_people_approve_and_the_access_is_given(given: Given) {
    let world = world(given).await;
    needs(&world, 2).await;
    let waiting = asked(&world, "g").await;
    let told = message(&waiting, "Ready");
    for part in ["0 of 2", "group sre", "#sre-oncall", "howTo", "times out at"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(world.bindings_of("u-alice").is_empty());
    assert_eq!(say(&world, ("dave", &["web-devs"]), "g", "Approve").await, R::NotApprover);
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    let half = world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert!(message(&half, "Ready").contains("1 of 2"), "{}", message(&half, "Ready"));
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Duplicate);
    // By the command that status gives: with the digest, and the UID.
    let how_to = half.status.as_ref().unwrap().approvers.as_ref().unwrap().how_to.clone();
    let command: Value = serde_json::from_str(how_to.split('\'').nth(1).unwrap()).unwrap();
    let name = world.decide(CAROL, "g", command["spec"].clone()).await;
    assert_eq!(answer(&world, &name).await, R::Counted);
    let active = world.reaches("g", Phase::Active, SOON).await;
    let approved = message(&active, "Approved");
    assert!(approved.contains("bob, carol"), "{approved}");
    assert_eq!(holds(&active, "Approved"), Some(ConditionStatus::True));
    let owners = decisions(&world).get(&name).await.unwrap().metadata.owner_references.unwrap();
    assert_eq!(Some(&owners[0].uid), active.metadata.uid.as_ref(), "they go with the grant");
    // What counted stays, whatever becomes of the objects.
    decisions(&world).delete_collection(&DeleteParams::default(), &kube::api::ListParams::default()).await.unwrap_err();
    let bobs = decisions(&world).list(&Default::default()).await.unwrap();
    let client = world.server.client_as("bob", &["sre", "system:authenticated"]);
    for decision in bobs.iter().filter(|d| d.spec.decided_by.username == "bob") {
        let own: Api<AccessDecision> = Api::namespaced(client.clone(), "web");
        own.delete(decision.metadata.name.as_ref().unwrap(), &DeleteParams::default()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let still = world.reaches("g", Phase::Active, SOON).await;
    assert_eq!(still.status.unwrap().votes.len(), 2);
    assert_eq!(say(&world, CAROL, "g", "Deny").await, R::TooLate);
    tokio::time::sleep(Duration::from_secs(3400)).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(200)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

pub async fn integration(world: &World, spec: Value) {
    let api = Api::<RancherIntegration>::all(world.admin());
    api.patch("prod", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

async fn the_owner_of_each_target_approves(given: Given) {
    let world = world(given).await;
    // The project says whose it is, the cluster does not.
    world.rancher.set_groups("u-carol", &["okta_group://owners"]);
    let project = world.rancher.add_project(CLUSTER, "shop", &[("team", "web"), ("owner", "owners")]);
    let owner = json!({"key": "owner", "kind": "Group", "settle": "0s"});
    integration(&world, json!({"integrationOwner": [{"kind": "Group", "name": "platform"}], "resourceOwner": owner}))
        .await;
    world.patch_policy(json!({"approval": {"required": 1, "approvers": [{"kind": "ResourceOwner"}]}})).await;
    let access =
        json!([world.on_cluster()[0], {"project": {"cluster": CLUSTER, "name": project, "role": "read-only"}}]);
    world.ask("alice", "g", json!({"access": access})).await;
    let waiting = world.reaches("g", Phase::AwaitingApproval, SOON).await;
    let sets = waiting.status.unwrap().approvers.unwrap().sets;
    let said: Vec<_> = sets.iter().map(|set| (set.candidates[0].name.as_str(), set.source.as_str())).collect();
    assert_eq!(said[1], ("owners", "label owner=owners"));
    assert!(said[0].0 == "platform" && said[0].1.starts_with("integration owner (fallback)"), "{said:?}");
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::NotApprover);
    assert_eq!(say(&world, CAROL, "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, ("bob", &["platform"]), "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::Active, SOON).await;
}

async fn a_crash_between_a_vote_and_its_answer_loses_nothing(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    let name = world.decide(BOB, "g", json!({})).await;
    let votes = || async { world.grant("g").await.and_then(|g| g.status).is_some_and(|s| !s.votes.is_empty()) };
    world.until("the vote stands in the grant", SOON, votes).await;
    world.kill().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    world.launch().await;
    assert_eq!(answer(&world, &name).await, R::Counted);
    let active = world.reaches("g", Phase::Active, Duration::from_secs(60)).await;
    assert_eq!(active.status.unwrap().votes.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nobody_approves_his_own_by_whatever_name() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    for who in ["alice", "u-alice"] {
        assert_eq!(say(&world, (who, &["sre"]), "g", "Approve").await, R::SelfApproval, "{who}");
    }
    // Nobody knows who that is in Rancher.
    assert_eq!(say(&world, ("system:node:x", &["sre"]), "g", "Approve").await, R::SelfApproval);
    assert_eq!(say(&world, ("system:serviceaccount:ci:bot", &["sre"]), "g", "Approve").await, R::NotApprover);
    world.reaches("g", Phase::AwaitingApproval, SOON).await;

    // For a group: who is in it, or may be, does not approve.
    let group = "okta_group://web-team";
    world.rancher.set_groups("u-carol", &["okta_group://web-team"]);
    world.ask("alice", "group", json!({"access": world.on_cluster(), "subject": {"group": group}})).await;
    world.reaches("group", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, CAROL, "group", "Approve").await, R::SelfApproval);
    assert_eq!(say(&world, BOB, "group", "Approve").await, R::SelfApproval, "Rancher does not know bob's groups");
    world.rancher.set_groups("u-bob", &["okta_group://others"]);
    assert_eq!(say(&world, BOB, "group", "Approve").await, R::Counted);
    world.reaches("group", Phase::Active, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn a_team_of_one_may_approve_its_own_where_the_policy_says_so() {
    let world = world(Given::default()).await;
    let approvers = json!([{"kind": "User", "name": "alice"}]);
    world.patch_policy(json!({"approval": {"required": 1, "approvers": approvers, "selfApproval": true}})).await;
    asked(&world, "g").await;
    assert_eq!(say(&world, ("alice", &[]), "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::Active, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn one_denial_ends_it_and_cannot_be_erased() {
    let world = world(Given::default()).await;
    needs(&world, 2).await;
    asked(&world, "g").await;
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    let no = world.decide(CAROL, "g", json!({"decision": "Deny", "reason": "not tonight"})).await;
    assert_eq!(answer(&world, &no).await, R::Counted);
    let denied = world.reaches("g", Phase::Denied, SOON).await;
    assert!(message(&denied, "Ready").contains("Denied by carol"), "{}", message(&denied, "Ready"));
    let alice: Api<AccessDecision> = Api::namespaced(world.server.client_as("alice", &["system:authenticated"]), "web");
    let refused = alice.delete(&no, &DeleteParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("a decision stays"), "{refused}");
    let own: Api<AccessDecision> = Api::namespaced(world.server.client_as("carol", &["system:authenticated"]), "web");
    own.delete(&no, &DeleteParams::default()).await.unwrap();
    assert_eq!(say(&world, ("erin", &["sre"]), "g", "Approve").await, R::TooLate);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Denied));
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_approvals_it_times_out_and_later_ones_are_too_late() {
    let world = world(Given::default()).await;
    needs(&world, 2).await;
    asked(&world, "g").await;
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    let over = world.reaches("g", Phase::TimedOut, Duration::from_secs(1260)).await;
    assert!(message(&over, "Ready").contains("Not approved within 20m"), "{}", message(&over, "Ready"));
    assert_eq!(say(&world, CAROL, "g", "Approve").await, R::TooLate);
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_changes_voids_approvals_for_good() {
    let world = world(Given::default()).await;
    needs(&world, 2).await;
    let before = asked(&world, "g").await.status.unwrap().digest.unwrap();
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    // The policy is edited, and edited back: its generation is another one.
    for timeout in ["5h", "20m"] {
        world.patch_policy(json!({"approval": {"timeout": timeout}})).await;
        tokio::time::sleep(TICK).await;
    }
    let digest = || async { world.grant("g").await.and_then(|g| g.status).and_then(|s| s.digest).unwrap_or_default() };
    world.until("it was resolved anew", SOON, || async { digest().await != before }).await;
    let anew = world.reaches("g", Phase::AwaitingApproval, SOON).await.status.unwrap();
    assert!(anew.votes.is_empty());
    let stale = world.decide(CAROL, "g", json!({"digest": before})).await;
    assert_eq!(answer(&world, &stale).await, R::DigestMismatch);
    // What a role allows is what is approved: it is widened just before the second approval.
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    let rules = json!([{"apiGroups": [""], "resources": ["events"], "verbs": ["list"]}]);
    crate::roles::change(&world, "cluster-member", json!({"rules": rules})).await;
    assert_eq!(say(&world, CAROL, "g", "Approve").await, R::DigestMismatch);
    assert!(world.grant("g").await.unwrap().status.unwrap().votes.is_empty());
    assert_eq!(say(&world, CAROL, "g", "Approve").await, R::Counted);
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::Active, SOON).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_decided_before_is_about_another_grant() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::GrantNotFound);
    asked(&world, "g").await;
    assert_eq!(say(&world, BOB, "g", "Deny").await, R::Counted);
    world.reaches("g", Phase::Denied, SOON).await;
    // Made anew under the same name: what was said before says nothing.
    world.delete("g").await;
    world.until("it is gone", SOON, || async { world.grant("g").await.is_none() }).await;
    let anew = asked(&world, "g").await;
    assert!(anew.status.unwrap().votes.is_empty());
    let stale = world
        .decide(CAROL, "g", json!({"grantRef": {"name": "g", "uid": "00000000-0000-0000-0000-000000000000"}}))
        .await;
    assert_eq!(answer(&world, &stale).await, R::DigestMismatch);
    assert_eq!(world.phase("g").await, Some(Phase::AwaitingApproval));
}

#[tokio::test(start_paused = true)]
async fn an_approved_start_ahead_can_still_be_denied_and_is_judged_again() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    let spec = json!({"access": world.on_cluster(), "duration": "5m", "startTime": "2026-12-01T09:00:00Z"});
    for name in ["denied", "kept", "changed"] {
        world.ask("alice", name, spec.clone()).await;
        world.reaches(name, Phase::AwaitingApproval, SOON).await;
        assert_eq!(say(&world, BOB, name, "Approve").await, R::Counted);
        world.reaches(name, Phase::Scheduled, SOON).await;
    }
    assert_eq!(say(&world, CAROL, "denied", "Deny").await, R::Counted);
    world.reaches("denied", Phase::Denied, SOON).await;
    tokio::time::sleep(Duration::from_secs(3400)).await;
    let active = world.reaches("kept", Phase::Active, Duration::from_secs(300)).await;
    assert_eq!(end_of(&active), "2026-12-01T09:05:00Z".parse().unwrap());
    world
        .ask(
            "alice",
            "later",
            json!({"access": world.on_project(), "duration": "5m", "startTime": "2026-12-01T10:00:00Z"}),
        )
        .await;
    world.reaches("later", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, BOB, "later", "Approve").await, R::Counted);
    world.reaches("later", Phase::Scheduled, SOON).await;
    needs(&world, 2).await;
    let waiting = world.reaches("later", Phase::AwaitingApproval, SOON).await;
    assert!(waiting.status.unwrap().votes.is_empty(), "the policy asks for something else now");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_resolves_all_and_gives_nothing() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "dryRun": true})).await;
    let told = || async {
        let grant = world.grant("g").await?;
        condition::find(&grant.status?.conditions, "Ready").map(|c| (c.reason.clone(), c.message.clone()))
    };
    world.until("it is told", SOON, || async { told().await.is_some_and(|(reason, _)| reason == "DryRun") }).await;
    let (_, message) = told().await.unwrap();
    for part in ["Policy web", "1 more by group sre", "nothing is given"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    let status = world.grant("g").await.unwrap().status.unwrap();
    assert!(status.bindings.is_empty() && status.phase == Some(Phase::Pending));
    assert!(
        status.resolved[0].contains("on project web") && status.resolved[0].contains("production"),
        "{:?}",
        status.resolved
    );
    world.decide(BOB, "g", json!({})).await;
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Pending));
    assert!(world.bindings_of("u-alice").is_empty());
}

#[tokio::test(start_paused = true)]
async fn names_that_rancher_shows_can_hide_nothing() {
    let world = world(Given::default()).await;
    let shown = "evil\u{202e}\u{1b}[31m\nname";
    let project = world.rancher.add_project(CLUSTER, shown, &[("team", "web"), ("owner", "u-eve")]);
    world.rancher.add_user("u-eve", shown, &["okta_user://eve"]);
    let owner = json!({"key": "owner", "kind": "User", "settle": "0s"});
    integration(&world, json!({"integrationOwner": [{"kind": "Group", "name": "platform"}], "resourceOwner": owner}))
        .await;
    world.patch_policy(json!({"approval": {"required": 1, "approvers": [{"kind": "ResourceOwner"}]}})).await;
    world
        .ask("alice", "g", json!({"access": [{"project": {"cluster": CLUSTER, "name": project, "role": "read-only"}}]}))
        .await;
    let waiting = world.reaches("g", Phase::AwaitingApproval, SOON).await;
    let text = serde_json::to_string(&waiting.status).unwrap();
    assert!(text.contains("evil") && text.contains("u-eve"), "{text}");
    for hidden in ["\\u001b", "\u{202e}", "\\n"] {
        assert!(!text.contains(hidden), "{hidden:?} in {text}");
    }
    assert!(!world.events().contains('\u{202e}'));
}

#[tokio::test(start_paused = true)]
async fn a_forged_decision_is_refused() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    asked(&world, "g").await;
    let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessDecision",
        "metadata": {"name": "forged", "namespace": "web"},
        "spec": {"grantRef": {"name": "g"}, "decision": "Approve", "decidedBy": {"username": "bob", "groups": ["sre"]}}});
    let alice = world.server.client_as("alice", &["web-devs", "system:authenticated"]);
    let refused = try_apply(&alice, object).await.unwrap_err().to_string();
    assert!(refused.contains("spec.decidedBy.username must be your own user name"), "{refused}");
}

/// What is denied is not given, though the operator's watch on decisions is blind.
#[tokio::test(start_paused = true)]
async fn a_denial_that_no_watch_told_of_counts() {
    let world = world(Given::default()).await;
    needs(&world, 1).await;
    let spec = json!({"access": world.on_cluster(), "duration": "5m", "startTime": "2026-12-01T08:05:00Z"});
    world.ask("alice", "g", spec).await;
    world.reaches("g", Phase::AwaitingApproval, SOON).await;
    assert_eq!(say(&world, BOB, "g", "Approve").await, R::Counted);
    world.reaches("g", Phase::Scheduled, SOON).await;
    world.server.authorize(Arc::new(|_, what| what.verb != "watch" || what.resource != "accessdecisions"));
    world.server.expire_watches();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let no = world.decide(CAROL, "g", json!({"decision": "Deny"})).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.answer(&no).await, None, "nobody has told the operator");
    world.reaches("g", Phase::Denied, Duration::from_secs(300)).await;
    assert!(world.bindings_of("u-alice").is_empty());
    assert_eq!(answer(&world, &no).await, R::Counted);
}
