use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use tokio::time::sleep;
use tower::ServiceExt;

use super::*;
use crate::runtime::Clock;

const SECOND: Duration = Duration::from_secs(1);

async fn get(health: &Health, path: &str) -> (u16, String, String) {
    let router = router(health.clone(), Metrics::new(Clock::system()));
    let request = Request::get(path).body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let code = response.status().as_u16();
    let media = response.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, media.unwrap_or_default(), String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test(start_paused = true)]
async fn alive_while_every_heart_beats() {
    let health = Health::new();
    assert_eq!(get(&health, "/livez").await.0, 200);
    let grants = health.heartbeat("grants", 30 * SECOND);
    let due_list = health.heartbeat("due-list", 5 * SECOND);
    for _ in 0..20 {
        sleep(5 * SECOND).await;
        grants.beat();
        due_list.beat();
        assert_eq!(get(&health, "/livez").await.0, 200);
    }
    drop(due_list);
    sleep(6 * SECOND).await;
    let (code, _, text) = get(&health, "/livez").await;
    assert_eq!(code, 503);
    assert_eq!(text, "due-list: last heartbeat 6 s ago, at most 5 s allowed\n");
}

#[tokio::test]
async fn ready_when_every_gate_is_open_and_says_which_is_not() {
    let health = Health::new();
    let crds = health.gate("crds", "waiting for accessgrants.rancheraccess.io");
    let caches = health.gate("caches", "reading AccessGrants for the first time");
    caches.open();
    let (code, media, text) = get(&health, "/readyz").await;
    assert_eq!((code, text.as_str()), (503, "crds: waiting for accessgrants.rancheraccess.io\n"));
    assert!(media.starts_with("text/plain"), "{media}");
    assert_eq!(get(&health, "/livez").await.0, 200, "a restart would not help");
    crds.open();
    assert_eq!(get(&health, "/readyz").await.0, 200);
    caches.shut("the watch has failed for 5 minutes");
    assert_eq!(get(&health, "/readyz").await.0, 503);
}

#[tokio::test]
async fn metrics_have_the_media_type_of_open_metrics() {
    let (code, media, text) = get(&Health::new(), "/metrics").await;
    assert_eq!((code, media.as_str()), (200, OPEN_METRICS));
    assert!(text.contains("rancher_access_revocations_overdue 0") && text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn serves_until_asked_to_stop_and_says_a_taken_address() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let taken = bind(address).await.unwrap_err().to_string();
    assert!(taken.contains(&address.to_string()) && taken.contains("--health-addr"), "{taken}");
    let token = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, Health::new(), Metrics::new(Clock::system()), token.clone()));
    // A connection that says nothing must not hold the end up for ever.
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    token.cancel();
    serving.await.unwrap().unwrap();
    drop(idle);
}
