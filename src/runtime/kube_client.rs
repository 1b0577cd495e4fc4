//! The client for the API server the operator runs against.
//!
//! Unlike kube's default client it never retries by itself (kube 5.0 would spend minutes inside one call while the
//! server answers 503), and every call has a deadline (kube 5.0 sets no read timeout, so that a half-open connection
//! would block one object's reconcile for ever).

use std::{
    path::PathBuf,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{future::BoxFuture, stream};
use http::{HeaderValue, Request, Response, Uri, header::USER_AGENT};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
    config::{InferConfigError, KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tower::{BoxError, Layer, Service};

/// Where the API server is, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// A kubeconfig file. Without one: `KUBECONFIG`, `~/.kube/config`, then the pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; its current one by default.
    pub context: Option<String>,
    /// The `User-Agent` of every request: name and version.
    pub user_agent: String,
    /// How long a connection may take to be made. Default 5 s.
    pub connect_timeout: Duration,
    /// The deadlines of each call.
    pub deadlines: Deadlines,
}

impl ClientOptions {
    /// The defaults, with this `User-Agent`.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            kubeconfig: None,
            context: None,
            user_agent: user_agent.into(),
            connect_timeout: Duration::from_secs(5),
            deadlines: Deadlines::default(),
        }
    }
}

/// How long one call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// From sending the request to the response's headers. Default 10 s.
    pub headers: Duration,
    /// From sending the request to the end of the body. Default 30 s. A watch has no such end.
    pub whole: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { headers: Duration::from_secs(10), whole: Duration::from_secs(30) }
    }
}

/// There is no way to the API server.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a ServiceAccount was found.
    #[error("no API server is configured: run in a pod, set KUBECONFIG or give --kubeconfig: {0}")]
    Infer(#[from] InferConfigError),
    /// The kubeconfig cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Kubeconfig(#[from] KubeconfigError),
    /// The `User-Agent` is no header value.
    #[error("the User-Agent {0:?} is no valid header value")]
    UserAgent(String),
    /// TLS or credentials could not be set up.
    #[error("the client for the API server cannot be built: {0}")]
    Client(#[from] kube::Error),
}

/// A call ran out of time. Its effect is unknown.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DeadlineExceeded {
    /// No response headers.
    #[error("the API server did not answer within {0:?}")]
    Headers(Duration),
    /// The headers came, the body did not end.
    #[error("the API server did not finish its answer within {0:?}")]
    Whole(Duration),
}

/// Installs the TLS provider (ring) for the process, unless one is installed: rustls panics when it must guess one.
/// [`connect`] does this too; call it first where other TLS clients are built.
pub fn install_tls_provider() {
    // An error says that there is one already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client, and its default namespace: the pod's own, or the context's. No request is sent yet.
///
/// # Errors
/// No configuration is found, or it cannot be used.
pub async fn connect(options: &ClientOptions) -> Result<Client, ConnectError> {
    install_tls_provider();
    let config = with_options(configuration(options).await?, options)?;
    let layer = DeadlineLayer(options.deadlines);
    Ok(ClientBuilder::try_from(config)?.with_layer(&layer).build())
}

fn with_options(mut config: Config, options: &ClientOptions) -> Result<Config, ConnectError> {
    let agent =
        HeaderValue::from_str(&options.user_agent).map_err(|_| ConnectError::UserAgent(options.user_agent.clone()))?;
    config.default_retry = false;
    config.connect_timeout = Some(options.connect_timeout);
    config.headers.push((USER_AGENT, agent));
    Ok(config)
}

async fn configuration(options: &ClientOptions) -> Result<Config, ConnectError> {
    let chosen = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    Ok(match (&options.kubeconfig, &options.context) {
        (Some(path), _) => Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &chosen).await?,
        (None, Some(_)) => Config::from_kubeconfig(&chosen).await?,
        (None, None) => Config::infer().await?,
    })
}

/// Gives each call of a kube client its deadlines. Watches (`watch=true`) are free once their headers came: kube's
/// watcher guards against idle ones itself.
#[derive(Clone, Copy, Debug)]
pub struct DeadlineLayer(pub Deadlines);

impl<S> Layer<S> for DeadlineLayer {
    type Service = WithDeadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithDeadline { inner, deadlines: self.0 }
    }
}

/// What [`DeadlineLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct WithDeadline<S> {
    inner: S,
    deadlines: Deadlines,
}

impl<S, B> Service<Request<Body>> for WithDeadline<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    B: BodyExt<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Deadlines { headers, whole } = self.deadlines;
        let sent = Instant::now();
        let ends = !is_watch(request.uri());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let response = timeout_at(sent + headers, answer)
                .await
                .map_err(|_| DeadlineExceeded::Headers(headers))?
                .map_err(Into::into)?;
            Ok(response.map(|body| {
                let body = body.map_err(Into::into);
                if ends { until(body, sent + whole, whole).boxed_unsync() } else { body.boxed_unsync() }
            }))
        })
    }
}

fn is_watch(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1")))
}

/// `body`, which ends with [`DeadlineExceeded::Whole`] when it has not ended by `end`.
fn until<B>(body: B, end: Instant, whole: Duration) -> impl BodyExt<Data = Bytes, Error = BoxError> + Send
where
    B: BodyExt<Data = Bytes, Error = BoxError> + Send + Unpin,
{
    StreamBody::new(stream::unfold(Some(body), move |body| async move {
        let mut body = body?;
        match timeout_at(end, body.frame()).await {
            Ok(frame) => frame.map(|frame| (frame, Some(body))),
            Err(_) => Some((Err(DeadlineExceeded::Whole(whole).into()), None)),
        }
    }))
}

#[cfg(test)]
mod tests;
