use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, PropagationPolicy},
};
use serde_json::{Value, json};
use std::sync::Arc;

use super::{map, raw, refusal};
use crate::apiserver::{ApiServer, Attributes, Gvr, User};

async fn namespace(client: &Client, name: &str) {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_takes_its_content_along_and_waits_for_finalizers() {
    let server = ApiServer::builder().build();
    let client = server.client();
    namespace(&client, "team").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "team");
    let mut held = map("held");
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.create(&PostParams::default(), &held).await.unwrap();
    maps.create(&PostParams::default(), &map("free")).await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client);
    let going = namespaces.delete("team", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    assert!(maps.get_opt("free").await.unwrap().is_none());
    let (code, _, message) = refusal(maps.create(&PostParams::default(), &map("late")).await.unwrap_err());
    assert_eq!(code, 403);
    assert!(message.contains("because it is being terminated"), "{message}");
    let free = json!({"metadata": {"finalizers": null}});
    maps.patch("held", &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
    assert!(namespaces.get_opt("team").await.unwrap().is_none());
}

fn owned(name: &str, owners: &[&ConfigMap]) -> ConfigMap {
    let references: Vec<Value> = owners
        .iter()
        .map(|owner| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}))
        .collect();
    let mut made = map(name);
    made.metadata.owner_references = serde_json::from_value(references.into()).unwrap();
    made
}

#[tokio::test(start_paused = true)]
async fn dependents_go_with_their_last_owner_unless_they_are_orphaned() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let post = PostParams::default();
    let one = api.create(&post, &map("one")).await.unwrap();
    let two = api.create(&post, &map("two")).await.unwrap();
    api.create(&post, &owned("of-one", &[&one])).await.unwrap();
    api.create(&post, &owned("of-both", &[&one, &two])).await.unwrap();
    api.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(api.get_opt("of-one").await.unwrap().is_none());
    assert!(api.get_opt("of-both").await.unwrap().is_some());
    let orphan = DeleteParams { propagation_policy: Some(PropagationPolicy::Orphan), ..DeleteParams::default() };
    api.delete("two", &orphan).await.unwrap();
    assert!(api.get_opt("of-both").await.unwrap().is_some());
    let three = api.create(&post, &map("three")).await.unwrap();
    api.create(&post, &owned("of-three", &[&three])).await.unwrap();
    api.delete("three", &DeleteParams::foreground()).await.unwrap();
    assert!(api.get_opt("three").await.unwrap().is_none());
    assert!(api.get_opt("of-three").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_may_not_is_told_so_and_requests_are_recorded() {
    let server = ApiServer::builder().build();
    server.authorize(Arc::new(|user: &User, wanted: &Attributes| user.name == "system:admin" || wanted.verb == "get"));
    let api: Api<ConfigMap> = Api::namespaced(server.client_as("alice", &["web"]), "default");
    let (code, reason, message) = refusal(api.create(&PostParams::default(), &map("a")).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (403, "Forbidden"));
    let why = "configmaps is forbidden: User \"alice\" cannot create resource \"configmaps\" in API group \"\" in the namespace \"default\"";
    assert_eq!(message, why);
    let requests = server.requests();
    let last = requests.last().unwrap();
    assert_eq!(
        (last.user.as_str(), last.verb.as_str(), last.resource.as_str(), last.code),
        ("alice", "create", "configmaps", 403)
    );
    server.clear_requests();
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_unknown_is_refused_loudly() {
    let server = ApiServer::builder().build();
    let base = "/api/v1/namespaces/default";
    let json_only = "application/json";
    let cases = [
        ("GET", "/api/v1/pods".to_owned(), json_only, 404),
        ("GET", "/openapi/v2".to_owned(), json_only, 404),
        ("GET", format!("{base}/configmaps?allowWatchBookmark=1"), json_only, 400),
        ("GET", format!("{base}/configmaps"), "application/vnd.kubernetes.protobuf", 406),
        ("GET", format!("{base}/secrets/a/scale"), json_only, 404),
        ("POST", format!("{base}/configmaps/a"), json_only, 405),
        ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(), json_only, 405),
        ("DELETE", format!("{base}/configmaps/a?propagationPolicy=Later"), json_only, 400),
    ];
    for (method, path, accept, wanted) in cases {
        let (code, answer) = raw(&server, method, &path, accept, Value::Null).await;
        assert_eq!(code, wanted, "{method} {path}: {answer}");
        assert!(answer["message"].as_str().unwrap().starts_with("testkit apiserver:"), "{method} {path}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn server_side_apply_is_refused() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let applied = api.patch("a", &PatchParams::apply("me"), &Patch::Apply(&map("a"))).await.unwrap_err();
    assert_eq!(refusal(applied).0, 415);
}

#[tokio::test(start_paused = true)]
async fn a_chunked_list_stays_at_its_revision() {
    let server = ApiServer::builder().build();
    let maps = Gvr::core("configmaps");
    for name in ["a", "b", "c"] {
        server.create(&maps, &json!({"metadata": {"name": name, "namespace": "default"}})).await.unwrap();
    }
    let base = "/api/v1/namespaces/default/configmaps?limit=2";
    let first = raw(&server, "GET", base, "*/*", Value::Null).await.1;
    server.delete(&maps, "default", "c", None).await.unwrap();
    let next = format!("{base}&continue={}", first["metadata"]["continue"].as_str().unwrap());
    let second = raw(&server, "GET", &next, "*/*", Value::Null).await.1;
    assert_eq!(second["items"][0]["metadata"]["name"], "c");
    server.expire_watches();
    assert_eq!(raw(&server, "GET", &next, "*/*", Value::Null).await.0, 410);
}
