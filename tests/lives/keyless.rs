//! An operator in Rancher's own cluster, without a key: what is different there.

use std::time::Duration;

use kube::Api;
use rancher_access_operator::api::{RancherIntegration, condition, status::Phase};
use serde_json::json;
use testkit::{apiserver::Gvr, rancher::Model};

use crate::{
    SOON,
    embedded::world::{CLUSTER, Given, World},
    holds, world,
};

stories![
    no_key_is_used_and_the_integration_says_so,
    a_namespace_of_another_cluster_takes_a_key,
    what_cannot_be_looked_at_downstream_is_said,
    stripped_finalizers_leave_the_end_unproven,
    an_administrator_out_of_sight_is_said,
    an_external_role_out_of_sight_counts_as_privileged,
];

async fn home(given: Given) -> World {
    world(Given { keyless: true, ..given }).await
}

fn said(conditions: &[condition::Condition], type_: &str) -> String {
    condition::find(conditions, type_).map(|c| format!("{}: {}", c.reason, c.message)).unwrap_or_default()
}

async fn no_key_is_used_and_the_integration_says_so(given: Given) {
    let world = home(given).await;
    let integration = Api::<RancherIntegration>::all(world.admin()).get("prod").await.expect("the integration");
    let status = integration.status.expect("a status");
    let key = said(&status.conditions, "Authenticated");
    assert!(key.contains("No key is used") && key.contains("serviceaccount:rancher-access-system"), "{key}");
    let reached = said(&status.conditions, "Reachable");
    let model = if given.model == Model::Aggregated { "aggregated model" } else { "legacy model" };
    assert!(reached.contains("in the cluster that this operator runs in") && reached.contains(model), "{reached}");
    assert!(world.rancher.requests().is_empty(), "nothing went through Rancher's own face");
}

async fn a_namespace_of_another_cluster_takes_a_key(given: Given) {
    let world = home(given).await;
    let namespaces = json!([{"namespace": {"clusters": ["*"], "names": ["*"], "roles": ["edit", "view"]}}]);
    world.patch_policy(json!({"access": namespaces, "allowPrivileged": true})).await;
    let there = json!([{"namespace": {"cluster": CLUSTER, "name": "web-frontend", "role": "edit"}}]);
    world.ask("alice", "there", json!({"access": there})).await;
    let pending = world.reaches("there", Phase::Pending, SOON).await;
    let why = said(&pending.status.as_ref().expect("a status").conditions, "Ready");
    assert!(why.starts_with("KeyRequired") && why.contains("spec.credentialsSecretRef"), "{why}");
    // On Rancher's own cluster there is a way.
    let here = json!([{"namespace": {"cluster": "local", "name": "default", "role": "view"}}]);
    world.ask("alice", "here", json!({"access": here, "duration": "5m"})).await;
    world.reaches("here", Phase::Active, SOON).await;
    let views = || world.rancher.access_of("u-alice").iter().any(|a| a.namespace == "default" && a.role == "view");
    assert!(views());
    world.reaches("here", Phase::Expired, Duration::from_secs(400)).await;
    assert!(!views());
}

async fn what_cannot_be_looked_at_downstream_is_said(given: Given) {
    let world = home(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(400)).await;
    let status = expired.status.expect("a status");
    assert!(status.bindings[0].unverified);
    let revoked = said(&status.conditions, "Revoked");
    assert!(revoked.contains("without a key there is no way there"), "{revoked}");
    assert!(!world.has_access("u-alice"), "{:?}", world.rancher.access_of("u-alice"));
}

async fn an_administrator_out_of_sight_is_said(given: Given) {
    let world = home(given).await;
    let everything = json!([{"global": {"roles": ["admin"]}}]);
    world.patch_policy(json!({"access": everything, "allowPrivileged": true})).await;
    world.ask("alice", "g", json!({"access": [{"global": {"role": "admin"}}], "duration": "5m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    let expired = world.reaches("g", Phase::Expired, Duration::from_secs(400)).await;
    let status = expired.status.expect("a status");
    assert!(status.bindings[0].unverified);
    let revoked = said(&status.conditions, "Revoked");
    assert!(revoked.contains("globaladmin-<user>"), "{revoked}");
}

async fn stripped_finalizers_leave_the_end_unproven(given: Given) {
    let mut world = home(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "1h"})).await;
    let active = world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let binding = active.status.expect("a status").bindings[0].clone();
    let prtbs = Gvr::new("management.cattle.io", "v3", "projectroletemplatebindings");
    let local = world.rancher.local();
    let strip = json!({"metadata": {"finalizers": null}});
    local.patch(&prtbs, &binding.namespace, &binding.name, "", &strip).await.expect("stripped");
    local.delete(&prtbs, &binding.namespace, &binding.name, None).await.expect("deleted");
    world.reaches("g", Phase::Revoking, Duration::from_secs(60)).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    // Another process knows it too.
    world.kill().await;
    world.launch().await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let revoking = world.grant("g").await.expect("the grant");
    let why = said(&revoking.status.as_ref().expect("a status").conditions, "Revoked");
    assert!(
        why.starts_with("DownstreamUnverified") && why.contains("Give the RancherIntegration a spec.host"),
        "{why}"
    );
    assert!(holds(&revoking, "RevocationOverdue").is_some() && world.has_access("u-alice"), "and it is true");
}

async fn an_external_role_out_of_sight_counts_as_privileged(given: Given) {
    let world = home(given).await;
    let template = json!({"metadata": {"name": "look"}, "displayName": "Look", "context": "cluster", "external": true});
    world.rancher.add_role_template(template);
    // Harmless on Rancher's own cluster; what it is on the other one, nobody here can know.
    let clusterrole = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "look"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    let kind = Gvr::new("rbac.authorization.k8s.io", "v1", "clusterroles");
    world.rancher.local().create(&kind, &clusterrole).await.expect("a ClusterRole");
    world.patch_policy(json!({"access": [{"cluster": {"names": [CLUSTER], "roles": ["look"]}}]})).await;
    let there = json!([{"cluster": {"name": CLUSTER, "role": "look"}}]);
    world.ask("alice", "g", json!({"access": there})).await;
    let pending = world.reaches("g", Phase::Pending, SOON).await;
    let why = said(&pending.status.as_ref().expect("a status").conditions, "Ready");
    assert!(why.starts_with("PrivilegedRole"), "{why}");
}
