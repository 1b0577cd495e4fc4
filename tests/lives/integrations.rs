//! A Rancher that is registered wrongly, changes, or turns out to be another.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{Condition, RancherIntegration, condition, status::Phase};
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::{
    SOON, eight,
    embedded::{
        NAMESPACE,
        world::{Given, World},
    },
    world,
};

stories![
    a_wrong_key_is_told_and_heals_without_a_restart,
    the_key_goes_only_where_its_own_secret_says,
    another_rancher_behind_the_same_name_is_refused,
    a_suspended_integration_grants_nothing_and_still_revokes,
    a_claim_by_another_cluster_stops_creating,
    a_deleted_integration_waits_for_its_grants,
    whoever_lost_the_installation_gives_nothing_and_still_takes_away,
    a_cluster_with_a_copied_installation_sweeps_nothing,
];

async fn ready(world: &World) -> Condition {
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    condition::find(&integration.status.unwrap_or_default().conditions, "Ready").expect("Ready").clone()
}

async fn becomes(world: &World, reason: &str) -> String {
    world
        .until(&format!("Ready says {reason}"), Duration::from_secs(90), || async {
            ready(world).await.reason == reason
        })
        .await;
    let said = ready(world).await.message;
    println!("{reason}: {said}");
    said
}

async fn set_token(world: &World, token: &str) {
    let secrets = Gvr::core("secrets");
    let mut secret = world.server.get(&secrets, NAMESPACE, "rancher-prod").expect("the Secret");
    secret["stringData"] = json!({"token": token});
    world.server.update(&secrets, &secret).await.expect("updated");
}

async fn patch(world: &World, spec: Value) {
    let api = Api::<RancherIntegration>::all(world.admin());
    api.patch("prod", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
}

async fn a_wrong_key_is_told_and_heals_without_a_restart(given: Given) {
    let world = world(given).await;
    let right = world.rancher.admin_token();
    set_token(&world, "token-wrong:nonsense").await;
    becomes(&world, "KeyRefused").await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    world.reaches("g", Phase::Pending, SOON).await;
    set_token(&world, &right).await;
    becomes(&world, "Ready").await;
    world.reaches("g", Phase::Active, Duration::from_secs(15)).await;
}

async fn the_key_goes_only_where_its_own_secret_says(given: Given) {
    let world = world(given).await;
    world.rancher.clear_requests();
    patch(&world, json!({"host": "evil.example.com"})).await;
    let said = becomes(&world, "InvalidCredentials").await;
    assert!(said.contains("endpoint"), "{said}");
}

async fn another_rancher_behind_the_same_name_is_refused(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    world.rancher.set_install_uuid("another-uuid");
    becomes(&world, "DifferentRancher").await;
    world.ask("alice", "g", json!({"access": world.on_cluster()})).await;
    world.reaches("g", Phase::Pending, SOON).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn a_suspended_integration_grants_nothing_and_still_revokes(given: Given) {
    let world = world(given).await;
    world.ask("alice", "before", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.reaches("before", Phase::Active, SOON).await;
    patch(&world, json!({"suspend": true})).await;
    becomes(&world, "Suspended").await;
    world.ask("bob", "after", json!({"access": world.on_cluster()})).await;
    world.reaches("after", Phase::Pending, SOON).await;
    world.reaches("before", Phase::Expired, Duration::from_secs(400)).await;
    patch(&world, json!({"suspend": false})).await;
    world.reaches("after", Phase::Active, Duration::from_secs(30)).await;
}

async fn a_claim_by_another_cluster_stops_creating(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    let maps = Gvr::core("configmaps");
    let claim = world
        .rancher
        .local()
        .list(&maps, Some("cattle-system"))
        .into_iter()
        .find(|m| m["metadata"]["name"].as_str().is_some_and(|n| n.starts_with("rancher-access-")))
        .expect("the claim");
    let mut foreign = claim.clone();
    foreign["data"]["cluster"] = json!("another-cluster");
    world.rancher.local().update(&maps, &foreign).await.expect("updated");
    let said = becomes(&world, "ClaimedElsewhere").await;
    assert!(said.contains("another-cluster") && said.contains("delete the ConfigMap"), "{said}");
}

async fn a_deleted_integration_waits_for_its_grants(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let api = Api::<RancherIntegration>::all(world.admin());
    api.delete("prod", &Default::default()).await.expect("deleted");
    becomes(&world, "Deleting").await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    world
        .until("the integration is gone", Duration::from_secs(90), || async {
            api.get_opt("prod").await.expect("asked").is_none()
        })
        .await;
}

async fn whoever_lost_the_installation_gives_nothing_and_still_takes_away(given: Given) {
    let mut world = world(given).await;
    world.ask("alice", "before", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("before", Phase::Active, SOON).await;
    world.kill().await;
    let secrets = Gvr::core("secrets");
    world.server.delete(&secrets, NAMESPACE, "rancher-access-installation", None).await.expect("lost");
    world.launch().await;
    world.ask("bob", "after", json!({"access": world.on_cluster()})).await;
    // Nobody but the owner of the recorded UID takes it away; nobody gives anything new, and nobody sweeps.
    world.reaches("before", Phase::Expired, Duration::from_secs(700)).await;
    assert!(world.bindings_of("u-alice").is_empty() && world.bindings_of("u-bob").is_empty());
    assert!(world.events().contains("AnotherInstallation"));
}

async fn a_cluster_with_a_copied_installation_sweeps_nothing(given: Given) {
    let mut world = World::new(eight(), given).await;
    world.start().await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    // The claim comes to name another cluster, as it would for the copy; and this one's grants are not that one's.
    let maps = Gvr::core("configmaps");
    let ours = |map: &Value| map["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rancher-access-"));
    let mut claim = world.rancher.local().list(&maps, Some("cattle-system")).into_iter().find(ours).expect("the claim");
    claim["data"]["cluster"] = json!("the-original");
    world.rancher.local().update(&maps, &claim).await.expect("updated");
    becomes(&world, "ClaimedElsewhere").await;
    let grants = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    let mut forgotten = world.server.get(&grants, "web", "g").expect("the grant");
    forgotten["metadata"]["finalizers"] = json!([]);
    world.server.update_unchecked(&grants, forgotten).expect("forced");
    world.server.delete_unchecked(&grants, "web", "g").expect("gone");
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-alice").len(), 1, "it may be the original's");
}
