use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Error,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, GroupVersionKind},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;

use crate::apiserver::{ApiServer, Resource};

fn map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}, "data": {"k": "v"}})).unwrap()
}

fn code(error: Error) -> (u16, String, String) {
    match error {
        Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("expected a Status, got {other}"),
    }
}

fn widgets(server: &ApiServer) -> Api<DynamicObject> {
    server.register(Resource {
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "Widget".to_owned(),
        plural: "widgets".to_owned(),
        namespaced: true,
        status_subresource: true,
    });
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    Api::namespaced_with(server.client(), "default", &resource)
}

fn widget() -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "finalizers": ["example.com/hold"]}, "spec": {"size": 1}, "status": {"ignored": true},
    }))
    .unwrap()
}

#[tokio::test(start_paused = true)]
async fn created_objects_are_read_back() {
    let server = ApiServer::builder().seed(1).build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let made = api.create(&PostParams::default(), &map("a")).await.unwrap();
    assert_eq!(api.get("a").await.unwrap(), made);
    assert!(made.metadata.uid.is_some());
    let (code, reason, message) = code(api.get("b").await.unwrap_err());
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "configmaps \"b\" not found"));
}

#[tokio::test(start_paused = true)]
async fn a_stale_update_is_a_conflict() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let mut stale = api.create(&PostParams::default(), &map("a")).await.unwrap();
    let patch = json!({"data": {"k": "w"}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    stale.data = None;
    let (code, reason, _) = code(api.replace("a", &PostParams::default(), &stale).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
}

#[tokio::test(start_paused = true)]
async fn status_generation_and_finalizers() {
    let server = ApiServer::builder().build();
    let api = widgets(&server);
    let made = api.create(&PostParams::default(), &widget()).await.unwrap();
    assert_eq!(made.metadata.generation, Some(1));
    assert!(made.data.get("status").is_none());
    let status = json!({"status": {"ok": true}, "spec": {"size": 9}});
    let after = api.patch_status("w", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(after.data["status"]["ok"], true);
    assert_eq!(after.data["spec"]["size"], 1);
    assert_eq!(after.metadata.generation, Some(1));
    let spec = json!({"spec": {"size": 2}});
    let after = api.patch("w", &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    assert_eq!(after.metadata.generation, Some(2));
    let wrong =
        DeleteParams::default().preconditions(Preconditions { uid: Some("no".to_owned()), ..Default::default() });
    let (status, _, message) = code(api.delete("w", &wrong).await.unwrap_err());
    assert_eq!(status, 409);
    assert!(message.contains("the UID in the precondition (no) does not match"), "{message}");
    let held = api.delete("w", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let free = json!({"metadata": {"finalizers": null}});
    api.patch("w", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    assert!(api.get_opt("w").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_watcher_sees_changes_and_survives_expiry_and_outage() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    let watch = watcher(api.clone(), watcher::Config::default()).default_backoff().touched_objects();
    let mut events = Box::pin(watch.filter_map(|event| std::future::ready(event.ok())));
    assert_eq!(events.next().await.unwrap().metadata.name.as_deref(), Some("a"));
    api.create(&PostParams::default(), &map("b")).await.unwrap();
    assert_eq!(events.next().await.unwrap().metadata.name.as_deref(), Some("b"));
    server.expire_watches();
    let relisted: Vec<_> = events.by_ref().take(2).map(|object| object.metadata.name.unwrap()).collect().await;
    assert_eq!(relisted, ["a", "b"]);
    server.set_available(false);
    assert!(api.get("a").await.is_err());
    server.set_available(true);
    api.create(&PostParams::default(), &map("c")).await.unwrap();
    loop {
        if events.next().await.unwrap().metadata.name.as_deref() == Some("c") {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_streaming_list_ends_with_the_annotated_bookmark() {
    let server = ApiServer::builder().build();
    let api: Api<Namespace> = Api::all(server.client());
    let events: Vec<_> =
        watcher(api, watcher::Config::default().streaming_lists()).take(6).try_collect().await.unwrap();
    assert!(matches!(events.first(), Some(watcher::Event::Init)), "{events:?}");
    assert!(matches!(events.last(), Some(watcher::Event::InitDone)), "{events:?}");
}
