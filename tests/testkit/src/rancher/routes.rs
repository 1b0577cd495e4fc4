//! The HTTP face: which part of Rancher answers which path.
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, service_fn};

use crate::apiserver::Service;

use super::{
    Rancher,
    auth::{self, Caller, Refused},
    core::{Core, lock},
    ext,
    faults::FaultAction,
    login, plain, proxy,
};

/// A body of this size or more is refused (seen with 3 MiB).
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The caller's user id, if Rancher knew him.
    pub user: Option<String>,
    /// The code it was answered with; 0 where the connection was cut.
    pub code: u16,
}

/// An answer with a body that is there as a whole.
pub(super) struct Reply {
    code: u16,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Reply {
    pub fn json(code: u16, value: &Value) -> Self {
        Self { code, content_type: "application/json", body: serde_json::to_vec(value).unwrap_or_default() }
    }

    pub fn text(code: u16, text: &str) -> Self {
        Self { code, content_type: "text/plain; charset=utf-8", body: text.as_bytes().to_vec() }
    }

    pub fn empty(code: u16) -> Self {
        Self::text(code, "")
    }

    /// A Kubernetes `Status`.
    pub fn status(code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code,
        });
        Self::json(code, &status)
    }
}

impl From<Reply> for Response<Body> {
    fn from(reply: Reply) -> Self {
        let mut response = Self::new(Body::from(reply.body));
        *response.status_mut() = StatusCode::from_u16(reply.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let content_type = HeaderValue::from_static(reply.content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        response
    }
}

pub(super) fn service(rancher: Rancher) -> Service {
    Service::new(service_fn(move |request: Request<Bytes>| {
        let rancher = rancher.clone();
        async move { serve(rancher.core(), request).await }
    }))
}

fn cut(kind: std::io::ErrorKind) -> BoxError {
    std::io::Error::new(kind, "testkit rancher: the connection was cut").into()
}

/// Records, delays and breaks what is to be broken; the rest is answered.
async fn serve(core: &Arc<Core>, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
    let method = request.method().clone();
    let path = request.uri().path_and_query().map_or_else(String::new, ToString::to_string);
    let fault = lock(&core.faults).iter_mut().find_map(|rule| rule.hit(&method, &path));
    if matches!(fault, Some(FaultAction::Hang)) {
        // Who waits for it gives up, and nothing below is ever reached.
        let path = path.clone();
        lock(&core.requests).push(Requested { method: method.to_string(), path, user: None, code: 0 });
    }
    let answer = answer(core, request, fault).await;
    let (user, code) = match &answer {
        Ok((response, user)) => (user.clone(), response.status().as_u16()),
        Err(_) => (None, 0),
    };
    lock(&core.requests).push(Requested { method: method.to_string(), path, user, code });
    let (mut response, user) = answer?;
    let known = if user.is_some() { "true" } else { "false" };
    response.headers_mut().insert("x-api-cattle-auth", HeaderValue::from_static(known));
    Ok(response)
}

type Answer = (Response<Body>, Option<String>);

async fn answer(core: &Arc<Core>, request: Request<Bytes>, fault: Option<FaultAction>) -> Result<Answer, BoxError> {
    if *core.restarting.borrow() {
        return Err(cut(std::io::ErrorKind::ConnectionRefused));
    }
    if !core.latency.is_zero() {
        tokio::time::sleep(core.latency).await;
    }
    match &fault {
        Some(FaultAction::Delay(time)) => tokio::time::sleep(*time).await,
        Some(FaultAction::DropBefore) => return Err(cut(std::io::ErrorKind::ConnectionReset)),
        Some(FaultAction::Status(code, body)) => {
            return Ok((Reply::text(*code, body).into(), None));
        }
        Some(FaultAction::Hang) => std::future::pending().await,
        _ => {}
    }
    let mut restart = core.restarting.subscribe();
    let answer = tokio::select! {
        biased;
        _ = restart.wait_for(|&down| down) => return Err(cut(std::io::ErrorKind::ConnectionReset)),
        answer = route(core, request) => answer?,
    };
    match fault {
        Some(FaultAction::DropAfter) => return Err(cut(std::io::ErrorKind::ConnectionReset)),
        Some(FaultAction::DelayAnswer(time)) => tokio::time::sleep(time).await,
        _ => {}
    }
    Ok(answer)
}

async fn route(core: &Arc<Core>, request: Request<Bytes>) -> Result<Answer, BoxError> {
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if request.body().len() >= MAX_BODY {
        return Ok((Reply::text(500, "http: request body too large").into(), None));
    }
    let is_get = request.method() == http::Method::GET;
    match parts.as_slice() {
        ["v3-public" | "v1-public", ..] => {
            return Ok((login::login(core, request.body()).into(), None));
        }
        parts if is_get => {
            if let Some(reply) = plain::public(core, parts) {
                return Ok((reply.into(), None));
            }
        }
        _ => {}
    }
    let cluster = match parts.as_slice() {
        ["k8s", "clusters" | "proxy", id, ..] | ["v3", "cluster" | "clusters", id, ..] => Some(*id),
        _ => None,
    };
    let caller = match auth::caller(core, request.headers(), cluster) {
        Ok(caller) => caller,
        Err(refused) => return Ok((refusal(&parts, refused).into(), None)),
    };
    let user = Some(caller.user.clone());
    let response = authenticated(core, &caller, &parts, request).await?;
    Ok((response, user))
}

async fn authenticated(
    core: &Arc<Core>,
    caller: &Caller,
    parts: &[&str],
    request: Request<Bytes>,
) -> Result<Response<Body>, BoxError> {
    match parts {
        ["v3", rest @ ..] => Ok(plain::norman(core, caller, rest, &request).into()),
        ["v1", ..] => Ok(Reply::empty(404).into()),
        ["ext", "apis", "ext.cattle.io", "v1", rest @ ..]
        | ["apis", "ext.cattle.io", "v1", rest @ ..]
        | ["k8s", "clusters", "local", "apis", "ext.cattle.io", "v1", rest @ ..] => {
            ext::answer(core, caller, rest, request).await
        }
        ["k8s", "clusters", cluster, rest @ ..] => proxy::answer(core, caller, cluster, rest, request).await,
        ["api" | "apis" | "version", ..] => proxy::answer(core, caller, "local", parts, request).await,
        _ => Ok(Reply::text(404, "404 page not found\n").into()),
    }
}

/// One 401 for all causes, in the words of the face.
fn refusal(parts: &[&str], refused: Refused) -> Reply {
    match (parts, refused) {
        (["v1" | "v3", ..], _) => plain::must_authenticate(),
        (["k8s", "clusters", cluster, ..], _) if *cluster != "local" => plain::must_authenticate(),
        (_, Refused::Bearer) => Reply::status(401, "Unauthorized", "Unauthorized"),
        (_, Refused::Other) => Reply::text(401, "not authorized"),
    }
}
