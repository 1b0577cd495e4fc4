use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::apiserver::{ApiServer, script};

#[tokio::test(start_paused = true)]
async fn the_script_gives_the_same_answers_twice() {
    let mut answers = Vec::new();
    for seed in [1, 2] {
        let server = ApiServer::builder().seed(seed).build();
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": "scripted"}})).unwrap();
        Api::all(server.client()).create(&PostParams::default(), &namespace).await.unwrap();
        answers.push(script::run(server.client(), "scripted").await);
    }
    assert_eq!(answers.first(), answers.last());
}
