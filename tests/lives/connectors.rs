//! Several operators in one cluster.

use std::time::Duration;

use kube::Api;
use rancher_access_operator::api::{RancherIntegration, status::Phase};
use serde_json::json;
use testkit::apiserver::Gvr;

use crate::{
    SOON,
    embedded::{
        NAMESPACE, Running, apply, operator_client, transports,
        world::{Given, World},
    },
    world,
};

stories![a_second_operator_of_a_connector_gives_nothing_and_takes_nothing_over];

/// The namespace of the second.
const OTHER: &str = "second-system";

async fn installation(world: &World) -> Option<String> {
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    integration.status.and_then(|status| status.installation)
}

/// The ids in the claims on Rancher.
fn claims(world: &World) -> Vec<String> {
    let maps = world.rancher.local().list(&Gvr::core("configmaps"), Some("cattle-system"));
    let names = maps.iter().filter_map(|map| map["metadata"]["name"].as_str().map(str::to_owned));
    names.filter(|name| name.starts_with("rancher-access-")).collect()
}

async fn a_second_operator_of_a_connector_gives_nothing_and_takes_nothing_over(given: Given) {
    let mut world = world(given).await;
    world.ask("alice", "before", json!({"access": world.on_cluster(), "duration": "20m"})).await;
    world.reaches("before", Phase::Active, SOON).await;
    let (first, claimed) = (installation(&world).await, claims(&world));

    // The same connector, in a namespace of its own: with a Lease, and an installation, that the first knows nothing of.
    let admin = world.admin();
    apply(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OTHER}})).await;
    let mut key = world.server.get(&Gvr::core("secrets"), NAMESPACE, "rancher-prod").expect("the key");
    key["metadata"] = json!({"name": "rancher-prod", "namespace": OTHER});
    apply(&admin, key).await;
    let (client, to) = (operator_client(&world.server), transports(world.rancher.service()));
    let second = Running::try_start_in(OTHER, client, world.clock.clone(), to, "second", [15, 10, 5]).await;
    let second = second.expect("it starts");
    world.until("it says why it does nothing", SOON, || async { world.events().contains("AnotherInstallation") }).await;
    world.ask("bob", "beside", json!({"access": world.on_cluster(), "duration": "5m"})).await;
    world.reaches("beside", Phase::Active, SOON).await;
    assert_eq!(world.bindings_of("u-bob").len(), 1, "given once");
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((installation(&world).await, claims(&world)), (first, claimed), "it is served by the first alone");
    world.reaches("beside", Phase::Expired, Duration::from_secs(400)).await;

    // Alone, it gives nothing; what has ended it takes away, by what stands in the record.
    world.kill().await;
    world.ask("carol", "after", json!({"access": world.on_cluster()})).await;
    world.reaches("before", Phase::Expired, Duration::from_secs(1300)).await;
    assert!(world.bindings_of("u-alice").is_empty() && world.bindings_of("u-carol").is_empty());
    second.kill().await;
}
