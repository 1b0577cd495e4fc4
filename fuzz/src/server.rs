//! Servers that answer with what the input says, and a runtime without sockets whose time costs nothing.

use std::{
    cell::OnceCell,
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Request, Response};
use kube::client::Body;
use rancher_access_operator::rancher::{Key, Rancher, endpoint::Endpoint};
use tower::{BoxError, service_fn, util::BoxCloneSyncService};

use super::said::CANARY;

thread_local! {
    static RUNTIME: OnceCell<tokio::runtime::Runtime> = const { OnceCell::new() };
}

/// Runs to the end. Time passes only where everything waits.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let build = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    RUNTIME.with(|runtime| runtime.get_or_init(build).block_on(work))
}

/// One answer of Rancher's.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    /// Whether Rancher's header says that the key was accepted; `None`: there is no such header.
    pub authenticated: Option<bool>,
    pub body: Bytes,
}

impl Answer {
    fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body.to_vec()));
        *response.status_mut() = http::StatusCode::from_u16(self.code).unwrap_or_default();
        let headers = response.headers_mut();
        if let Some(authenticated) = self.authenticated {
            let said = http::HeaderValue::from_static(if authenticated { "true" } else { "false" });
            headers.insert("x-api-cattle-auth", said);
        }
        response
    }
}

/// A Rancher that gives these answers in turn, and the last one for ever.
pub fn rancher(answers: &[Answer], ext: bool) -> Rancher {
    let left = Arc::new(Mutex::new(answers.iter().cloned().collect::<VecDeque<_>>()));
    let service = service_fn(move |_: Request<Bytes>| {
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = if left.len() > 1 { left.pop_front() } else { left.front().cloned() };
        std::future::ready(answer.map(|answer| answer.response()).ok_or_else(|| BoxError::from("no answer")))
    });
    let prefix = if ext { "ext/" } else { "" };
    let key = Key::parse(&format!("{prefix}token-abcde:{CANARY}")).unwrap();
    Rancher::new(BoxCloneSyncService::new(service), &Endpoint::new("rancher.example.com", 443).unwrap(), key)
}

/// A client for an API server that answers each request with what `answer` makes of it.
pub fn api_server<F>(answer: F) -> kube::Client
where
    F: Fn(Request<Vec<u8>>) -> (u16, Vec<u8>) + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let service = service_fn(move |request: Request<Body>| {
        let answer = answer.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?.to_vec();
            let (code, body) = answer(Request::from_parts(head, body));
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
            Ok::<_, BoxError>(response)
        }
    });
    // It starts a task of its own.
    run(async { kube::Client::new(service, "rancher-access-system") })
}
