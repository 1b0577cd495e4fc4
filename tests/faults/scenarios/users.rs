//! The life of a local user.

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::stage::{PATIENCE, Stage};

fn users() -> Gvr {
    Gvr::new("management.cattle.io", "v3", "users")
}

/// Lets alice ask for one, and asks.
async fn ask(stage: &Stage, name: &str, duration: &str) {
    stage.ask(name, json!({"duration": duration, "subject": {"localUser": {"username": "deploy"}}})).await;
}

async fn allow(stage: &Stage) {
    stage.world.patch_policy(json!({"subjects": {"self": true, "localUsers": ["deploy"]}})).await;
}

/// From the first request to the last.
pub async fn made(stage: &Stage) {
    allow(stage).await;
    stage.begin().await;
    ask(stage, "g", "30s").await;
    stage.finishes("g", PATIENCE).await;
    stage.truth.until(PATIENCE, |truth| truth.has_tended_users()).await;
}

/// A user whose first grant is over.
async fn used_before(stage: &Stage) {
    allow(stage).await;
    stage.keep_running();
    stage.ready().await;
    ask(stage, "before", "10s").await;
    stage.finishes("before", PATIENCE).await;
    stage.truth.until(PATIENCE, |truth| truth.has_tended_users()).await;
    stage.pass(20).await;
}

pub async fn again(stage: &Stage) {
    used_before(stage).await;
    stage.mark();
    ask(stage, "g", "1h").await;
    stage.reaches("g", Phase::Active).await;
}

pub async fn goes_on(stage: &Stage) {
    allow(stage).await;
    stage.keep_running();
    stage.ready().await;
    ask(stage, "before", "20s").await;
    stage.reaches("before", Phase::Active).await;
    let end = stage.truth.grant("before").and_then(|grant| grant.recorded_end()).unwrap_or_else(|| stage.sky.now());
    let left = end.duration_since(stage.sky.now()) - jiff::SignedDuration::from_millis(100);
    tokio::time::sleep(left.try_into().unwrap_or_default()).await;
    stage.mark();
    ask(stage, "g", "1h").await;
    stage.reaches("g", Phase::Active).await;
    stage.finishes("before", PATIENCE).await;
    stage.pass(5).await;
}

/// Days pass, of which nobody wants to wait for one: what says since when he is not needed is set back.
pub async fn clean_up(stage: &Stage) {
    let days = json!({"spec": {"userCleanupDays": 1}});
    let integrations = Gvr::new("rancheraccess.io", "v1alpha1", "rancherintegrations");
    drop(stage.world.server.patch(&integrations, "", "prod", "", &days).await);
    used_before(stage).await;
    let local = stage.world.rancher.local();
    let ours = |user: &Value| user["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("rao-"));
    for mut user in local.list(&users(), None).into_iter().filter(ours) {
        user["metadata"]["annotations"]["rancheraccess.io/unused-since"] = json!("2026-11-29T08:00:00Z");
        drop(local.update_unchecked(&users(), user));
    }
    stage.tap.kill_all();
    stage.mark();
    stage.truth.until(PATIENCE, |truth| truth.local_users() == 0).await;
}
