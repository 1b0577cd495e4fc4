use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;

use super::{map, refusal};
use crate::apiserver::{ApiServer, Resource};

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
    let (code, reason, message) = refusal(api.get("b").await.unwrap_err());
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
    let (code, reason, _) = refusal(api.replace("a", &PostParams::default(), &stale).await.unwrap_err());
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
    let (status, _, message) = refusal(api.delete("w", &wrong).await.unwrap_err());
    assert_eq!(status, 409);
    assert!(message.contains("the UID in the precondition (no) does not match"), "{message}");
    let held = api.delete("w", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(held.metadata.deletion_timestamp.is_some());
    let free = json!({"metadata": {"finalizers": null}});
    api.patch("w", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    assert!(api.get_opt("w").await.unwrap().is_none());
}
