//! The in-memory API server and a real kube-apiserver answer the same script with the same lines.
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client, api::PostParams};
use serde_json::json;
use testkit::{
    apiserver::{ApiServer, script},
    control_plane::ControlPlane,
};

const NAMESPACE: &str = "same-answers";

async fn answers(client: Client) -> Vec<String> {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    script::run(client, NAMESPACE).await
}

#[tokio::test]
async fn memory_and_reality_agree() {
    let plane = ControlPlane::shared().await;
    let real = answers(plane.client().await).await;
    let memory = answers(ApiServer::builder().build().client()).await;
    let mut differences = String::new();
    for (index, real) in real.iter().enumerate() {
        let memory = memory.get(index).map_or("nothing", String::as_str);
        if real != memory {
            differences.push_str(&format!("real:   {real}\nmemory: {memory}\n\n"));
        }
    }
    assert!(differences.is_empty() && real.len() == memory.len(), "the answers differ:\n{differences}");
    assert!(real.len() > 100, "the script is long enough to say something: {}", real.len());
}
