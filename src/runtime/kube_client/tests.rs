use std::{convert::Infallible, future::pending};

use axum::body::Body as AnswerBody;
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::time::{sleep, timeout};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// ConfigMaps from a server that answers each request with `answer`.
fn config_maps<F>(answer: impl Fn() -> F + Send + 'static) -> Api<ConfigMap>
where
    F: Future<Output = AnswerBody> + Send + 'static,
{
    let service = tower::service_fn(move |_: Request<Body>| {
        let answer = answer();
        async move { Ok::<_, Infallible>(Response::new(answer.await)) }
    });
    let layer = DeadlineLayer(Deadlines::default());
    Api::default_namespaced(ClientBuilder::new(service, "ops").with_layer(&layer).build())
}

/// Each line after its pause, and then neither more nor an end.
fn unended(lines: Vec<(Duration, &'static str)>) -> AnswerBody {
    let lines = stream::iter(lines).then(|(pause, line)| async move {
        sleep(pause).await;
        Ok::<_, Infallible>(line)
    });
    AnswerBody::from_stream(lines.chain(stream::pending()))
}

fn deadline(error: &(dyn std::error::Error + 'static)) -> Option<DeadlineExceeded> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(deadline) = error.downcast_ref::<DeadlineExceeded>() {
            return Some(*deadline);
        }
        cause = error.source();
    }
    None
}

#[tokio::test(start_paused = true)]
async fn a_call_without_an_answer_ends_after_its_deadline() {
    let started = Instant::now();
    let maps = config_maps(pending);
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 10);
    assert_eq!(deadline(&error), Some(DeadlineExceeded::Headers(10 * SECOND)), "{error:?}");
    let Err(error) = maps.watch(&WatchParams::default(), "0").await else {
        panic!("a watch, too, must start in time");
    };
    assert_eq!(deadline(&error), Some(DeadlineExceeded::Headers(10 * SECOND)), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_fails_the_call() {
    let started = Instant::now();
    let maps = config_maps(|| async { unended(vec![(SECOND, r#"{"kind":"#), (SECOND, r#""List""#)]) });
    let error = maps.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(started.elapsed().as_secs(), 30);
    assert!(format!("{error:?}").contains("Whole"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_say_nothing_for_long() {
    let line =
        concat!(r#"{"type":"ADDED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}}}"#, "\n");
    let maps = config_maps(move || async move { unended(vec![(120 * SECOND, line)]) });
    let stream = maps.watch(&WatchParams::default(), "0").await.unwrap();
    let mut stream = std::pin::pin!(stream);
    let first = timeout(150 * SECOND, stream.next()).await.unwrap().unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("a")));
}

#[tokio::test(start_paused = true)]
async fn an_ordinary_answer_passes_whole() {
    let maps = config_maps(|| async {
        sleep(9 * SECOND).await;
        AnswerBody::from(
            r#"{"apiVersion":"v1","kind":"ConfigMapList","metadata":{},"items":[{"metadata":{"name":"a"}}]}"#,
        )
    });
    assert_eq!(maps.list(&ListParams::default()).await.unwrap().items.len(), 1);
}

#[test]
fn watches_are_known_by_their_query() {
    let is = |uri: &str| is_watch(&uri.parse().unwrap());
    assert!(is("/api/v1/pods?&watch=true&timeoutSeconds=290") && is("/api/v1/pods?watch=1"));
    assert!(!is("/api/v1/pods?limit=500") && !is("/api/v1/namespaces/watch=true/pods"));
    assert!(!is("/api/v1/pods?labelSelector=watch%3Dtrue"));
}

/// A kubeconfig for a server that is not there.
const KUBECONFIG: &str = r"
apiVersion: v1
kind: Config
current-context: one
clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]
users: [{name: u, user: {}}]
contexts:
- {name: one, context: {cluster: c, user: u, namespace: first}}
- {name: two, context: {cluster: c, user: u, namespace: second}}
";

#[tokio::test]
async fn the_context_decides_and_kube_never_retries() {
    let kubeconfig: Kubeconfig = serde_saphyr::from_str(KUBECONFIG).unwrap();
    let mut options = ClientOptions::new("rancher-access-operator/0.1.0");
    options.context = Some("two".to_owned());
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &chosen).await.unwrap();
    let config = with_options(config, &options).unwrap();
    assert_eq!(config.default_namespace, "second");
    assert!(!config.default_retry);
    assert_eq!(config.connect_timeout, Some(5 * SECOND));
    assert!(config.headers.iter().any(|(name, value)| name == USER_AGENT && value == "rancher-access-operator/0.1.0"));
    options.user_agent = "two\nlines".to_owned();
    let Err(error) = with_options(config, &options) else { panic!("no header value") };
    assert!(matches!(error, ConnectError::UserAgent(_)));
    options.kubeconfig = Some("no-such-kubeconfig".into());
    let Err(error) = connect(&options).await else { panic!("no such file") };
    assert!(error.to_string().contains("no-such-kubeconfig"), "{error}");
}
