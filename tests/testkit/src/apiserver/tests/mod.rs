//! The semantics, driven through kube's client.
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Error;
use serde_json::{Value, json};

mod admission;
mod basics;
mod cluster;
mod operator;
mod scripted;
mod watches;

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": "v"}})).unwrap()
}

/// Code, reason and message of a refusal.
fn refusal(error: Error) -> (u16, String, String) {
    match error {
        Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("expected a Status, got {other}"),
    }
}

/// A raw request of the administrator: code and JSON.
async fn raw(server: &super::ApiServer, method: &str, path: &str, accept: &str, body: Value) -> (u16, Value) {
    use http_body_util::BodyExt;
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = http::Request::builder()
        .method(method)
        .uri(format!("https://any.host{path}"))
        .header("accept", accept)
        .header("content-type", "application/json")
        .body(bytes.into())
        .unwrap();
    let response = tower::ServiceExt::oneshot(server.service_as(super::User::admin()), request).await.unwrap();
    let code = response.status().as_u16();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&text).unwrap_or(Value::Null))
}
