use std::time::Duration;

use http::Response;
use kube::{Api, api::ListParams, client::Body};
use tower::{BoxError, service_fn, util::BoxCloneSyncService};

use super::*;
use crate::rancher::fake::{self, CANARY, M, rancher};

#[tokio::test]
async fn every_request_carries_the_key_and_looks_like_no_browser() {
    let (server, asked) = fake::client(|_| fake::empty_list());
    server.clusters().await.unwrap();
    let request = asked.last();
    assert_eq!(request.uri().to_string(), format!("https://rancher.example.com{M}/clusters?limit=500"));
    let authorization = &request.headers()["authorization"];
    assert_eq!(authorization, &format!("Bearer token-abcde:{CANARY}"));
    assert!(authorization.is_sensitive());
    assert_eq!(request.headers()["accept"], "application/json");
    let agent = request.headers()["user-agent"].to_str().unwrap();
    assert!(agent.starts_with("rancher-access-operator/") && !agent.to_lowercase().contains("mozilla"));
    assert!(!format!("{server:?} {request:?}").contains(CANARY));
}

#[tokio::test]
async fn no_error_repeats_the_key_even_if_the_server_does() {
    use futures::TryStreamExt as _;
    let echo = format!("bad token token-abcde:{CANARY}");
    let status = |code: u16| format!(r#"{{"kind":"Status","reason":"R{CANARY}","message":"{echo}","code":{code}}}"#);
    for code in [400, 401, 403, 404, 409, 422, 429, 500, 503] {
        let body = status(code);
        let (server, _) = fake::client(move |_| rancher(code, body.clone()));
        let error = server.clusters().await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(CANARY), "{code}: {error:?}");
    }
    // Nor as JSON may also write it.
    let escaped: String = CANARY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let torn = CANARY.replace('4', "4\u{200b}");
    for said in [escaped, torn] {
        let (server, _) = fake::client(move |_| {
            rancher(403, format!(r#"{{"kind":"Status","reason":"Forbidden","message":"bad {said}","code":403}}"#))
        });
        let error = server.clusters().await.unwrap_err();
        assert!(!error.to_string().contains(CANARY) && error.to_string().contains("redacted"), "{error}");
    }
    let odd = format!(r#"{{"items":[{{"metadata":{{"name":"{CANARY}"}},"principalIds":7}}]}}"#);
    let (server, _) = fake::client(move |_| rancher(200, odd.clone()));
    let error = server.users_with_principal("p").await.unwrap_err().to_string();
    assert!(error.contains("cannot be read") && !error.contains(CANARY), "{error}");
    // Where a message is shortened, no part of the key is left at its end either.
    for before in 480..520 {
        let body = format!("{} {CANARY}", "x".repeat(before));
        let (server, _) = fake::client(move |_| rancher(500, body.clone()));
        let error = server.clusters().await.unwrap_err().to_string();
        assert!(!error.contains(&CANARY[..4]), "{error}");
    }
    let echoing =
        format!(r#"{{"kind":"Status","status":"Failure","reason":"Forbidden","message":"{CANARY}","code":403}}"#);
    let (server, _) = fake::client(move |_| rancher(403, echoing.clone()));
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    let error = api.get("x").await.unwrap_err();
    assert!(matches!(&error, kube::Error::Api(status) if status.code == 403), "{error:?}");
    assert!(!format!("{error:?}").contains(CANARY));
    // What kube cannot read, it repeats.
    let (server, _) = fake::client(|_| rancher(200, format!("\"{CANARY}\"\n")));
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    let events = api.watch(&Default::default(), "0").await.unwrap();
    let error = std::pin::pin!(events).try_next().await.unwrap_err();
    assert!(error.to_string().contains(CANARY), "{error}");
    assert!(!server.told(&error).contains(CANARY), "{}", server.told(&error));
    let (transport, _) = fake::transport(move |_| Err(format!("cannot send {CANARY}").into()));
    let error = fake::over(transport).clusters().await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(CANARY));
}

#[tokio::test]
async fn lists_are_read_to_their_end() {
    let (server, asked) = fake::client(|request| {
        let item = |n: &str| format!(r#"{{"metadata":{{"name":"{n}"}}}}"#);
        match request.uri().query().unwrap() {
            "limit=500" => rancher(200, format!(r#"{{"metadata":{{"continue":"a/b="}},"items":[{}]}}"#, item("c-1"))),
            "limit=500&continue=a%2Fb%3D" => {
                rancher(200, format!(r#"{{"metadata":{{"continue":""}},"items":[{}]}}"#, item("c-2")))
            }
            other => rancher(400, other.to_owned()),
        }
    });
    let names: Vec<_> = server.clusters().await.unwrap().into_iter().map(|c| c.meta.name).collect();
    assert_eq!(names, ["c-1", "c-2"]);
    assert_eq!(asked.all().len(), 2);
}

#[tokio::test]
async fn a_list_that_never_ends_ends() {
    let (same, _) = fake::client(|_| rancher(200, r#"{"metadata":{"continue":"x"},"items":[]}"#));
    assert_eq!(same.clusters().await.unwrap_err().reason(), "Unknown");
    let (expired, asked) =
        fake::client(|_| rancher(410, r#"{"kind":"Status","reason":"Expired","code":410,"message":"too old"}"#));
    assert_eq!(expired.clusters().await.unwrap_err().reason(), "Unknown");
    assert_eq!(asked.all().len(), 3);
    // Each page names another one: two in turn, or ever new ones.
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let (other, asked) = fake::client(move |_| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        rancher(200, format!(r#"{{"metadata":{{"continue":"{}"}},"items":[]}}"#, turn % 2))
    });
    assert_eq!(other.clusters().await.unwrap_err().reason(), "Unknown");
    assert_eq!(asked.all().len(), PAGES);
    let (other, _) = fake::client(move |request| {
        let next = request.uri().query().map_or(0, str::len) % 7;
        rancher(200, format!(r#"{{"metadata":{{"continue":"{}"}},"items":[]}}"#, "x".repeat(next + 1)))
    });
    assert_eq!(other.known_group("okta_group://web").await.unwrap_err().reason(), "Unknown");
}

#[tokio::test]
async fn a_list_that_is_kept_has_a_size() {
    let page = format!(r#"{{"metadata":{{"continue":"@"}},"items":[],"x":"{}"}}"#, "y".repeat(32 << 20));
    let turns = std::sync::atomic::AtomicUsize::new(0);
    let (server, asked) = fake::client(move |_| {
        let turn = turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        rancher(200, page.replace('@', &turn.to_string()))
    });
    assert_eq!(server.clusters().await.unwrap_err().reason(), "Unknown");
    assert_eq!(asked.all().len(), KEPT / (32 << 20));
}

#[tokio::test]
async fn an_odd_object_hides_no_others_in_an_inventory() {
    let (server, _) = fake::client(|_| {
        rancher(200, r#"{"metadata":{},"items":[{"metadata":{"name":"odd"},"spec":7},{"metadata":{"name":"c-1"}}]}"#)
    });
    assert_eq!(server.clusters().await.unwrap().len(), 1);
}

fn silent() -> Transport {
    BoxCloneSyncService::new(service_fn(|_| std::future::pending::<Result<Response<Body>, BoxError>>()))
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_costs_ten_seconds() {
    let server = fake::over(silent());
    let started = tokio::time::Instant::now();
    assert_eq!(server.whoami().await.unwrap_err().reason(), "Unknown");
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    let started = tokio::time::Instant::now();
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    assert!(api.list(&ListParams::default()).await.is_err());
    assert!(api.watch(&Default::default(), "0").await.is_err(), "a watch must begin in time, too");
    assert_eq!(started.elapsed(), Duration::from_secs(20));
}

#[tokio::test]
async fn an_answer_beyond_the_cap_is_cut() {
    let (server, _) = fake::client(|_| rancher(200, format!(r#"{{"x":"{}"}}"#, "y".repeat(1 << 20))));
    let error = server.whoami().await.unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn a_failure_says_no_more_than_one_object() {
    let (server, _) = fake::client(|_| rancher(500, "y".repeat(2 << 20)));
    let error = server.clusters().await.unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
}

#[tokio::test]
async fn what_is_nested_too_deeply_is_no_answer_and_no_crash() {
    for (open, close) in [("[", "]"), (r#"{"x":"#, "}")] {
        let deep = format!("{}1{}", open.repeat(200_000), close.repeat(200_000));
        for body in [
            deep.clone(),
            format!(r#"{{"metadata":{{"name":"a","labels":{deep}}}}}"#),
            format!(r#"{{"metadata":{{}},"items":[{deep}]}}"#),
            format!(r#"{{"kind":"Status","reason":"NotFound","message":"m","details":{deep}}}"#),
        ] {
            for code in [200, 404] {
                let body = body.clone();
                let (server, _) = fake::client(move |_| rancher(code, body.clone()));
                let failed = [
                    server.cluster("a").await.map(drop),
                    server.clusters().await.map(drop),
                    server.known_group("g").await.map(drop),
                ];
                for error in failed.into_iter().filter_map(Result::err) {
                    assert_eq!(error.reason(), "Unknown");
                }
                assert!(!matches!(server.cluster("a").await, Ok(crate::rancher::Sighting::Gone(_))), "{code}");
            }
        }
    }
}

#[tokio::test]
async fn the_kube_client_rides_on_the_same_way() {
    let (server, asked) =
        fake::client(|_| rancher(200, r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{},"items":[]}"#));
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    assert!(api.list(&ListParams::default().labels("a=b")).await.unwrap().items.is_empty());
    let request = asked.last();
    let uri = request.uri().to_string();
    assert!(uri.starts_with("https://rancher.example.com/k8s/clusters/local/api/v1/namespaces?"), "{uri}");
    assert!(uri.contains("labelSelector=a%3Db"), "{uri}");
    assert!(request.headers()["authorization"].is_sensitive());
    let (forbidden, _) = fake::client(|_| {
        rancher(403, r#"{"kind":"Status","status":"Failure","reason":"Forbidden","message":"no","code":403}"#)
    });
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(forbidden.kube_client());
    assert!(matches!(api.get("x").await.unwrap_err(), kube::Error::Api(status) if status.code == 403));
}

#[tokio::test]
async fn names_cannot_leave_their_place() {
    let (server, asked) = fake::client(|_| rancher(200, "{}"));
    for id in ["", "..", "."] {
        assert!(matches!(server.role_template(id).await.unwrap_err(), Error::Unaddressable { .. }));
    }
    assert!(asked.all().is_empty());
    server.role_template("../users").await.unwrap_err();
    assert_eq!(asked.lines(), [format!("GET {M}/roletemplates/..%2Fusers")]);
}

#[tokio::test]
async fn without_a_key_the_local_cluster_alone_is_there() {
    let (transport, asked) = fake::transport(|_| Ok(rancher(200, r#"{"metadata":{"name":"kube-system","uid":"u"}}"#)));
    let service = service_fn(move |request: http::Request<Body>| {
        let transport = transport.clone();
        async move {
            use tower::ServiceExt as _;
            transport.oneshot(request.map(|_| bytes::Bytes::new())).await
        }
    });
    let server = Rancher::keyless(crate::rancher::transport::through(kube::Client::new(service, "default")));
    assert_eq!(server.kube_system_uid(LOCAL).await.unwrap(), "u");
    assert!(matches!(server.kube_system_uid("c-1").await.unwrap_err(), Error::Unaddressable { .. }));
    assert_eq!(asked.lines(), ["GET /api/v1/namespaces/kube-system"]);
    assert!(asked.last().headers().get("authorization").is_none());
}

/// A watch that never comes to the end of its first line.
#[tokio::test]
async fn an_event_of_a_watch_has_a_size() {
    use futures::TryStreamExt as _;
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = sent.clone();
    let service = service_fn(move |_: http::Request<Body>| {
        let counted = counted.clone();
        async move {
            let chunk = bytes::Bytes::from(vec![b'x'; 64 << 10]);
            let count = move |_: &Result<_, BoxError>| {
                counted.fetch_add(64 << 10, std::sync::atomic::Ordering::Relaxed);
            };
            let chunks = futures::stream::repeat_with(move || Ok::<_, BoxError>(chunk.clone()));
            let body = reqwest::Body::wrap_stream(futures::StreamExt::inspect(chunks, count));
            Ok::<_, BoxError>(Response::new(body))
        }
    });
    let server = fake::over(crate::rancher::transport::through(kube::Client::new(service, "default")));
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    let events = api.watch(&Default::default(), "0").await.unwrap();
    assert!(std::pin::pin!(events).try_next().await.is_err());
    let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
    assert!((4 << 20..5 << 20).contains(&sent), "{sent}");
}

/// A server whose answers begin with one watch event and never end.
fn endless() -> Transport {
    let service = service_fn(|_: http::Request<Body>| async {
        let event = r#"{"type":"BOOKMARK","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"resourceVersion":"7","creationTimestamp":null}}}"#;
        let first = futures::stream::iter([Ok::<_, BoxError>(format!("{event}\n"))]);
        let body = reqwest::Body::wrap_stream(futures::StreamExt::chain(first, futures::stream::pending()));
        Ok::<_, BoxError>(Response::new(body))
    });
    crate::rancher::transport::through(kube::Client::new(service, "default"))
}

#[tokio::test(start_paused = true)]
async fn a_watch_streams_and_everything_else_ends_in_time() {
    use futures::TryStreamExt as _;
    let server = fake::over(endless());
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.kube_client());
    let events = api.watch(&Default::default(), "0").await.unwrap();
    let first = std::pin::pin!(events).try_next().await.unwrap().unwrap();
    assert!(matches!(first, kube::api::WatchEvent::Bookmark(b) if b.metadata.resource_version == "7"));
    let started = tokio::time::Instant::now();
    assert!(api.list(&ListParams::default()).await.is_err());
    assert_eq!(server.clusters().await.unwrap_err().reason(), "Unknown");
    assert_eq!(started.elapsed(), Duration::from_secs(20));
}
