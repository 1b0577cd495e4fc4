//! Whole lives of grants, on the in-memory API server and the Rancher simulator, in virtual time.

mod embedded;

use std::time::Duration;

use embedded::{NAMESPACE, Running, apply};
use kube::{Api, api::PostParams};
use rancher_access_operator::api::{AccessGrant, RancherIntegration, condition};
use serde_json::json;
use testkit::apiserver::ApiServer;

#[tokio::test(start_paused = true)]
async fn boots() {
    let clock = embedded::clock("2026-12-01T08:00:00Z".parse().unwrap());
    let server = embedded::api_server(&clock).await;
    let down = tower::util::BoxCloneSyncService::new(tower::service_fn(|_| async { Err::<_, tower::BoxError>("refused".into()) }));
    let running = Running::start(embedded::operator_client(&server), clock.clone(), embedded::transports(down), "one").await;
    let admin = server.client();
    apply(&admin, json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration", "metadata": {"name": "prod"},
        "spec": {"host": "rancher.example.com", "credentialsSecretRef": {"name": "rancher-prod"}}})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let rint: RancherIntegration = Api::all(admin.clone()).get("prod").await.unwrap();
    println!("{}", serde_saphyr::to_string(&serde_json::to_value(&rint).unwrap()).unwrap());
    apply(&admin, json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}})).await;
    let alice = server.client_as("alice", &["web-devs"]);
    apply(&alice, json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant", "metadata": {"name": "g", "namespace": "web"},
        "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "alice"}, "access": [{"cluster": {"name": "local", "role": "cluster-member"}}]}})).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let g: AccessGrant = Api::namespaced(admin.clone(), "web").get("g").await.unwrap();
    println!("{}", serde_saphyr::to_string(&serde_json::to_value(&g).unwrap()).unwrap());
    for r in server.requests().iter().filter(|r| r.user.contains("operator")) { println!("{r:?}"); }
    running.stop().await;
}
