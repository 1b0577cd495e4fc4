//! The ways that one grant goes.

use std::time::Duration;

use jiff::SignedDuration;
use rancher_access_operator::api::status::Phase;
use serde_json::json;

use crate::stage::{PATIENCE, Stage};

pub async fn cluster(stage: &Stage) {
    stage.begin().await;
    stage.ask("g", json!({"duration": "1h"})).await;
    stage.reaches("g", Phase::Active).await;
}

pub async fn project(stage: &Stage) {
    stage.begin().await;
    stage.ask("g", json!({"access": stage.world.on_project(), "duration": "1h"})).await;
    stage.reaches("g", Phase::Active).await;
}

/// Active for a minute before anything counts.
async fn active(stage: &Stage) {
    stage.keep_running();
    stage.ready().await;
    stage.ask("g", json!({"duration": "1m"})).await;
    stage.reaches("g", Phase::Active).await;
    stage.pass(20).await;
    stage.mark();
}

pub async fn expiry(stage: &Stage) {
    active(stage).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn deletion(stage: &Stage) {
    active(stage).await;
    stage.delete("g").await;
    stage.finishes("g", PATIENCE).await;
}

/// From the first request to the last.
pub async fn whole(stage: &Stage) {
    stage.begin().await;
    stage.ask("g", json!({"duration": "30s"})).await;
    stage.finishes("g", PATIENCE).await;
    stage.delete("g").await;
    stage.truth.until(PATIENCE, |truth| truth.grant("g").is_none()).await;
}

/// So short that much of what happens late happens after it.
pub async fn short(stage: &Stage) {
    stage.begin().await;
    stage.ask("g", json!({"duration": "10s"})).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn at_birth(stage: &Stage) {
    stage.begin().await;
    stage.ask("g", json!({"duration": "1h"})).await;
    stage.truth.until(PATIENCE, |truth| !truth.bindings().is_empty()).await;
    stage.delete("g").await;
    stage.truth.until(PATIENCE, |truth| truth.grant("g").is_none()).await;
}

async fn with_approval(stage: &Stage) {
    let approval = json!({"approval": {"required": 1, "approvers": [{"kind": "Group", "name": "sre"}]}});
    stage.world.patch_policy(approval).await;
    stage.truth.needs_approval();
    stage.begin().await;
    stage.ask("g", json!({"duration": "1h"})).await;
    stage.reaches("g", Phase::AwaitingApproval).await;
    stage.pass(2).await;
}

pub async fn approval(stage: &Stage) {
    with_approval(stage).await;
    stage.world.decide(("carol", &["sre"]), "g", json!({"decision": "Approve"})).await;
    stage.reaches("g", Phase::Active).await;
}

pub async fn denial(stage: &Stage) {
    with_approval(stage).await;
    stage.world.decide(("carol", &["sre"]), "g", json!({"decision": "Deny"})).await;
    stage.reaches("g", Phase::Denied).await;
}

pub async fn shortened(stage: &Stage) {
    stage.keep_running();
    stage.ready().await;
    let end = |seconds| (stage.sky.now() + SignedDuration::from_secs(seconds)).to_string();
    stage.ask("g", json!({"endTime": end(3600)})).await;
    stage.reaches("g", Phase::Active).await;
    stage.pass(10).await;
    stage.mark();
    stage.world.patch("g", json!({"spec": {"endTime": end(40)}})).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn policy_gone(stage: &Stage) {
    stage.world.patch_policy(json!({"onPolicyChange": "Revoke"})).await;
    active(stage).await;
    stage.world.patch_policy(json!({"suspend": true})).await;
    stage.finishes("g", Duration::from_secs(300)).await;
}
