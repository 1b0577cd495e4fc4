use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

use super::{
    Fate, Moment, Proxy,
    upstream::{Line, Upstream},
};
use crate::rancher::Rancher;

const SOON: Duration = Duration::from_secs(10);

/// What a client gets for a path: the code, or that there was no answer.
async fn get(line: &Line, path: &str) -> Option<u16> {
    let request = Request::get(path).header("host", "localhost").body(Full::new(Bytes::new())).unwrap();
    Some(line.send(request).await.ok()?.status().as_u16())
}

#[tokio::test]
async fn what_is_held_is_seen_by_the_server_after_it_or_never() {
    let rancher = Rancher::builder().build();
    let served = rancher.serve().await;
    let (front, proxy) = Proxy::start(&served.url, &served.ca_pem, |_| {}).await;
    let line = Line::new(Arc::new(Upstream::new(&front.url, &front.ca_pem)));
    assert_eq!(get(&line, "/rancherversion").await, Some(200));
    for (moment, fate, answer, seen) in [
        (Moment::Before, Fate::Cut, None, 0),
        (Moment::Before, Fate::GoOn, Some(200), 1),
        (Moment::After, Fate::Cut, None, 1),
        (Moment::After, Fate::GoOn, Some(200), 1),
    ] {
        rancher.clear_requests();
        let point = proxy.stop_at(moment, |asked| asked.path == "/rancherversion?held");
        let held = async {
            let held = point.reached(SOON).await;
            assert_eq!(rancher.requests().len(), usize::from(moment == Moment::After), "{moment:?}");
            held.release(fate);
        };
        let (got, ()) = tokio::join!(get(&line, "/rancherversion?held"), held);
        assert_eq!((got, rancher.requests().len()), (answer, seen), "{moment:?} {fate:?}");
        assert_eq!(get(&line, "/rancherversion?held").await, Some(200), "once");
    }
    assert_eq!(proxy.take_passed().len(), 9);
}

#[tokio::test]
async fn watches_stream_until_they_are_cut() {
    let rancher = Rancher::builder().build();
    let served = rancher.serve().await;
    let (front, proxy) = Proxy::start(&served.url, &served.ca_pem, |_| {}).await;
    let line = Line::new(Arc::new(Upstream::new(&front.url, &front.ca_pem)));
    let request = Request::get("/k8s/clusters/local/apis/management.cattle.io/v3/users?watch=true")
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", rancher.admin_token()))
        .body(Full::new(Bytes::new()))
        .unwrap();
    let mut events = line.send(request).await.unwrap().into_body();
    rancher.add_user("u-alice", "alice", &[]);
    let mut told = String::new();
    while !told.contains("u-alice") {
        let frame = tokio::time::timeout(SOON, events.frame()).await.expect("an event comes at once").unwrap().unwrap();
        told += &String::from_utf8_lossy(frame.data_ref().unwrap());
    }
    proxy.cut();
    let end = async { while let Some(Ok(_)) = events.frame().await {} };
    tokio::time::timeout(SOON, end).await.expect("the watch is cut");
    assert_eq!(get(&line, "/rancherversion").await, Some(200), "the next connection is made");
}
