//! Several who want the same.

use std::time::Duration;

use http::Method;
use jiff::SignedDuration;
use rancher_access_operator::api::status::Phase;
use serde_json::json;
use testkit::{
    apiserver::Gvr,
    rancher::{FaultAction, FaultRule},
};

use crate::{
    embedded::world::{CLUSTER, crtbs},
    stage::{PATIENCE, Stage},
};

pub async fn overlap(stage: &Stage) {
    stage.begin().await;
    stage.ask("short", json!({"duration": "30s"})).await;
    stage.reaches("short", Phase::Active).await;
    stage.ask("long", json!({"duration": "1m"})).await;
    stage.finishes("short", PATIENCE).await;
    stage.finishes("long", PATIENCE).await;
}

pub async fn foreign(stage: &Stage) {
    stage.world.bind_by_hand("u-alice", "permanent").await;
    stage.begin().await;
    stage.ask("g", json!({"duration": "30s"})).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn extension(stage: &Stage) {
    stage.begin().await;
    stage.ask("first", json!({"duration": "90s"})).await;
    stage.reaches("first", Phase::Active).await;
    stage.ask("second", json!({"duration": "30s", "extends": {"name": "first"}})).await;
    stage.finishes("first", PATIENCE).await;
    stage.finishes("second", PATIENCE).await;
}

pub async fn joins(stage: &Stage) {
    stage.keep_running();
    stage.ready().await;
    stage.ask("first", json!({"duration": "30s"})).await;
    stage.reaches("first", Phase::Active).await;
    stage.mark();
    let end = stage.truth.grant("first").and_then(|grant| grant.recorded_end()).unwrap_or_default();
    let wait = Duration::try_from(end.duration_since(stage.sky.now())).unwrap_or_default();
    tokio::time::sleep(wait).await;
    stage.ask("second", json!({"duration": "30s"})).await;
    stage.finishes("first", PATIENCE).await;
    stage.finishes("second", PATIENCE).await;
}

pub async fn at_once(stage: &Stage) {
    stage.keep_running();
    stage.ready().await;
    let end = (stage.sky.now() + SignedDuration::from_secs(60)).to_string();
    for name in ["one", "two"] {
        stage.ask(name, json!({"endTime": end})).await;
        stage.reaches(name, Phase::Active).await;
    }
    stage.mark();
    stage.finishes("one", PATIENCE).await;
    stage.finishes("two", PATIENCE).await;
}

pub async fn survivor(stage: &Stage) {
    let other = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": "viewer", "namespace": CLUSTER}, "clusterName": CLUSTER,
        "roleTemplateName": "nodes-view", "userName": "u-alice"});
    stage.world.rancher.local().create(&crtbs(), &other).await.expect("a binding by hand");
    // Long before the grant: what is made while access is in force would be residual access.
    stage.pass(60).await;
    stage.begin().await;
    stage.ask("g", json!({"duration": "30s"})).await;
    stage.finishes("g", PATIENCE).await;
    stage.pass(5).await;
    let gvr = Gvr::new("management.cattle.io", "v3", "clusterroletemplatebindings");
    let kept = stage.world.rancher.local().get(&gvr, CLUSTER, "viewer");
    if kept.is_none() {
        stage.truth.violated("I3 ownership", "somebody else's binding is gone".to_owned());
    }
}

/// A Rancher that takes 9 s for each create, and more who ask than there are places.
pub async fn busy(stage: &Stage) {
    stage.keep_running();
    stage.ready().await;
    stage.ask("g", json!({"duration": "30s"})).await;
    stage.reaches("g", Phase::Active).await;
    for number in 0..40 {
        stage.world.rancher.add_user(
            &format!("u-x{number}"),
            &format!("x{number}"),
            &[&format!("okta_user://x{number}")],
        );
    }
    stage.pass(20).await;
    stage.mark();
    let creates = |method: &Method, path: &str| *method == Method::POST && path.contains("templatebindings");
    stage.world.rancher.fault(FaultRule::new(creates, FaultAction::Delay(Duration::from_secs(9))));
    for number in 0..40 {
        let spec = json!({"access": stage.world.on_cluster(), "duration": "5m"});
        stage.world.ask(&format!("x{number}"), &format!("x{number}"), spec).await;
    }
    stage.finishes("g", PATIENCE).await;
    stage.world.rancher.clear_faults();
    for number in 0..40 {
        stage.delete(&format!("x{number}")).await;
    }
}
