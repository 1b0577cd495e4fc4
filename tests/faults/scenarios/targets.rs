//! What access may be on besides clusters and projects.

use serde_json::json;

use crate::{
    embedded::world::CLUSTER,
    stage::{PATIENCE, Stage},
};

pub async fn namespace(stage: &Stage) {
    let access = json!([{"namespace": {"clusters": [CLUSTER], "names": ["web-*"], "roles": ["edit"]}}]);
    stage.world.patch_policy(json!({"access": access})).await;
    stage.begin().await;
    let access = json!([{"namespace": {"cluster": CLUSTER, "name": "web-frontend", "role": "edit"}}]);
    stage.ask("g", json!({"duration": "30s", "access": access})).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn global(stage: &Stage) {
    stage.world.patch_policy(json!({"access": [{"global": {"roles": ["user-base"]}}]})).await;
    stage.begin().await;
    stage.ask("g", json!({"duration": "30s", "access": [{"global": {"role": "user-base"}}]})).await;
    stage.finishes("g", PATIENCE).await;
}
