use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{PostParams, WatchEvent, WatchParams},
    runtime::{WatchStreamExt, watcher},
};

use super::map;
use crate::apiserver::{ApiServer, EventType, Gvr};

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

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_is_told_how_far_it_is() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let start = server.revision().to_string();
    let mut events = api.watch(&WatchParams::default().timeout(200), &start).await.unwrap().boxed();
    let elsewhere: Api<ConfigMap> = Api::namespaced(server.client(), "kube-system");
    elsewhere.create(&PostParams::default(), &map("other")).await.unwrap();
    let newest = server.revision().to_string();
    let event = events.next().await.unwrap().unwrap();
    let WatchEvent::Bookmark(bookmark) = event else { panic!("expected a bookmark, got {event:?}") };
    assert_eq!(bookmark.metadata.resource_version, newest);
    assert!(events.next().await.is_none(), "the watch ends by its timeout and repeats no bookmark");
}

#[tokio::test(start_paused = true)]
async fn expiry_ends_running_watches_and_refuses_old_versions() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let start = server.revision().to_string();
    let mut events = api.watch(&WatchParams::default(), &start).await.unwrap().boxed();
    server.expire_watches();
    let event = events.next().await.unwrap().unwrap();
    let WatchEvent::Error(status) = event else { panic!("expected an error, got {event:?}") };
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(events.next().await.is_none());
    let refused = api.watch(&WatchParams::default(), &start).await.err().unwrap();
    assert_eq!(super::refusal(refused).0, 410);
}

#[tokio::test(start_paused = true)]
async fn an_outage_cuts_running_watches() {
    let server = ApiServer::builder().build();
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let mut events = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    server.set_available(false);
    server.set_available(true);
    assert!(events.next().await.unwrap().is_err());
    assert!(events.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_sees_what_is_there_and_what_happens() {
    let server = ApiServer::builder().build();
    let maps = Gvr::core("configmaps");
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    let mut events = Box::pin(server.subscribe(&maps).unwrap());
    assert_eq!(events.next().await.unwrap().kind, EventType::Added);
    server.delete(&maps, "default", "a", None).await.unwrap();
    let event = events.next().await.unwrap();
    assert_eq!((event.kind, event.object["metadata"]["name"].as_str()), (EventType::Deleted, Some("a")));
}
