//! What becomes of role templates while grants count on them.

use std::time::Duration;

use rancher_access_operator::api::status::{BindingState, Phase};
use serde_json::{Value, json};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    end_of,
    hands::{self, management, ours, said},
    states, world,
};

stories![
    a_role_that_gains_rules_before_the_start_is_refused_then,
    a_role_that_inherits_what_is_not_there_a_thousand_times_costs_few_calls,
    a_role_that_gains_rules_meanwhile_ends_cleanly,
    a_role_that_is_gone_is_told_with_the_remedy_and_what_it_still_gives,
    a_role_that_is_gone_while_the_cluster_is_away_is_not_called_harmless,
    a_locked_role_is_refused_and_an_active_grant_ends_cleanly,
];

pub async fn change(world: &World, role: &str, patch: Value) {
    let templates = management("roletemplates");
    world.rancher.local().patch(&templates, "", role, "", &patch).await.expect("patched");
}

fn writes_bindings() -> Value {
    json!({"apiGroups": ["management.cattle.io"], "resources": ["projectroletemplatebindings"], "verbs": ["*"]})
}

async fn a_role_that_gains_rules_before_the_start_is_refused_then(given: Given) {
    let world = world(given).await;
    let start = "2026-12-01T09:00:00Z";
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m", "startTime": start})).await;
    world.reaches("g", Phase::Scheduled, SOON).await;
    change(&world, "project-member", json!({"rules": [writes_bindings()]})).await;
    let refused = world.reaches("g", Phase::Pending, Duration::from_secs(3700)).await;
    let ready = said(&refused, "Ready");
    assert_eq!(ready.reason, "PrivilegedRole", "{}", ready.message);
    assert!(ready.message.contains("project-member"), "{}", ready.message);
    assert!(world.clock.now() >= start.parse().unwrap());
    world.reaches("g", Phase::TimedOut, Duration::from_secs(2000)).await;
    assert!(world.bindings_of("u-alice").is_empty() && !world.has_access("u-alice"));
}

async fn a_role_that_inherits_what_is_not_there_a_thousand_times_costs_few_calls(given: Given) {
    let world = world(given).await;
    let none: Vec<_> = (0..1000).map(|n| format!("none-{n}")).collect();
    let templates = management("roletemplates");
    let mut odd = world.rancher.local().get(&templates, "", "read-only").expect("the role");
    odd["roleTemplateNames"] = json!(none);
    world.rancher.local().update_unchecked(&templates, odd).expect("stored");
    let access = json!([{"project": {"cluster": CLUSTER, "name": world.project, "role": "read-only"}}]);
    world.rancher.clear_requests();
    world.ask("alice", "g", json!({"access": access, "duration": "10m"})).await;
    let refused = world.reaches("g", Phase::Pending, SOON).await;
    let ready = said(&refused, "Ready");
    assert_eq!(ready.reason, "PrivilegedRole", "{}", ready.message);
    let asked = world.rancher.requests().iter().filter(|r| r.path.contains("/roletemplates/none-")).count();
    assert!((1..=64).contains(&asked), "{asked}");
}

async fn a_role_that_gains_rules_meanwhile_ends_cleanly(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let role = json!({"roleTemplateNames": ["edit", "admin"], "rules": [writes_bindings()]});
    change(&world, "project-member", role).await;
    // Rancher looks at the bindings of a role that changed, and makes what is new.
    let before = world.rancher.access_of("u-alice").len();
    hands::patch(&world, &ours(&world, "u-alice"), json!({"metadata": {"annotations": {"looked": "again"}}})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.rancher.access_of("u-alice").len() >= before);
    assert_eq!(world.phase("g").await, Some(Phase::Active), "what is given is not judged again");
    let gone = || world.rancher.access_of("u-alice").is_empty();
    world.until("nothing is left", Duration::from_secs(700), || async { gone() }).await;
    let late = world.clock.now().duration_since(end_of(&world.grant("g").await.expect("the grant")));
    assert!(late.as_secs() < 3 && late.is_positive(), "{late}");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(30)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(gone());
}

/// A grant by a role that is deleted while it is in force, at its end.
async fn at_the_end_without_the_role(world: &World) {
    world.rancher.add_role_template(
        json!({"metadata": {"name": "deployer"}, "context": "project", "displayName": "Deployer",
        "rules": [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "update"]},
            {"apiGroups": ["management.cattle.io"], "resources": ["projectroletemplatebindings"], "verbs": ["get"]}]}),
    );
    crate::embedded::apply(
        &world.admin(),
        json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy",
        "metadata": {"name": "deployers"},
        "spec": {"integrationRef": {"name": "prod"}, "namespaceSelector": {"matchLabels": {"team": "web"}},
            "requesters": [{"kind": "Group", "name": "web-devs"}], "subjects": {"self": true},
            "access": [{"project": {"clusterSelector": {"matchLabels": {"env": "prod"}},
                "selector": {"matchLabels": {"team": "web"}}, "roles": ["deployer"]}}],
            "duration": {"default": "1h", "max": "8h"}}}),
    )
    .await;
    let access = json!([{"project": {"cluster": CLUSTER, "name": world.project, "role": "deployer"}}]);
    world.ask("alice", "g", json!({"access": access, "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(world.has_access("u-alice"));
}

async fn reason(world: &World, reason: &str) -> String {
    let is = || async { said(&world.grant("g").await.expect("the grant"), "Ready").reason == reason };
    world.until(&format!("Ready says {reason}"), Duration::from_secs(700), is).await;
    said(&world.grant("g").await.expect("the grant"), "Ready").message
}

async fn a_role_that_is_gone_is_told_with_the_remedy_and_what_it_still_gives(given: Given) {
    let world = world(given).await;
    at_the_end_without_the_role(&world).await;
    world.rancher.local().delete(&management("roletemplates"), "", "deployer", None).await.expect("deleted");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.phase("g").await, Some(Phase::Active));
    let message = reason(&world, "RoleTemplateGone").await;
    assert!(message.contains("Create a RoleTemplate named deployer"), "{message}");
    // What the message says of downstream is so.
    let rights = |access: &testkit::rancher::Access| access.cluster == CLUSTER;
    let works = world.rancher.access_of("u-alice").iter().any(rights);
    let says = message.contains(&format!("still works on cluster {CLUSTER}"));
    let denies = message.contains(&format!("access on cluster {CLUSTER} is gone already"));
    assert!(says == works && denies != works, "{works}: {message} {:?}", world.rancher.access_of("u-alice"));
    assert!(message.contains("On Rancher's own cluster"), "{message}");
    tokio::time::sleep(Duration::from_secs(120)).await;
    let overdue = world.grant("g").await.expect("the grant");
    assert_eq!(said(&overdue, "RevocationOverdue").reason, "RoleTemplateGone");
    assert_eq!(world.bindings_of("u-alice").len(), 1, "Rancher cannot remove it");
    // The remedy.
    let stub = json!({"metadata": {"name": "deployer"}, "context": "project", "displayName": "stub", "rules": []});
    world.rancher.local().create(&management("roletemplates"), &stub).await.expect("created");
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(60)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty(), "{:?}", world.rancher.access_of("u-alice"));
}

async fn a_role_that_is_gone_while_the_cluster_is_away_is_not_called_harmless(given: Given) {
    let world = world(given).await;
    at_the_end_without_the_role(&world).await;
    world.rancher.cluster_away(CLUSTER, true);
    world.rancher.local().delete(&management("roletemplates"), "", "deployer", None).await.expect("deleted");
    let message = reason(&world, "RoleTemplateGone").await;
    assert!(message.contains(&format!("on cluster {CLUSTER} is not known")), "{message}");
    assert!(!message.contains("gone already"), "{message}");
    assert!(world.has_access("u-alice"));
}

async fn a_locked_role_is_refused_and_an_active_grant_ends_cleanly(given: Given) {
    let world = world(given).await;
    world.ask("alice", "before", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("before", Phase::Active, SOON).await;
    world.rancher.lock_role_template("project-member", true);
    world.ask("bob", "after", json!({"access": world.on_project(), "duration": "10m"})).await;
    let pending = world.reaches("after", Phase::Pending, SOON).await;
    let ready = said(&pending, "Ready");
    assert_eq!(ready.reason, "RoleLocked");
    assert!(ready.message.contains("unlock it"), "{}", ready.message);
    let expired = world.reaches("before", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&expired), [BindingState::Removed]);
    assert!(world.rancher.access_of("u-alice").is_empty() && world.bindings_of("u-bob").is_empty());
}
