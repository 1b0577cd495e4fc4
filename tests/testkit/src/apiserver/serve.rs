//! The HTTP face: from `http::Request` to `http::Response`, and the kube client over it.
use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;
use tower::{BoxError, ServiceExt, service_fn};

use super::{
    Inner, User,
    access::Recorded,
    discovery, lock,
    read::Format,
    request::{self, Call},
    status::ApiError,
    texts::text,
    watch::Watch,
};

/// The server as an HTTP service.
pub type Service = tower::util::BoxCloneSyncService<Request<Bytes>, Response<Body>, BoxError>;

/// What a call is answered with.
pub(super) enum Answer {
    /// One JSON document.
    Json(StatusCode, Value),
    /// One that is written out already.
    Text(StatusCode, Bytes),
    /// A stream of watch events.
    Watch(Box<Watch>),
}

pub(super) fn service(inner: Arc<Inner>, user: User) -> Service {
    Service::new(service_fn(move |request: Request<Bytes>| serve(Arc::clone(&inner), user.clone(), request)))
}

/// A kube client over the service: kube's body is collected first.
pub(super) fn client(service: Service) -> kube::Client {
    let adapter = service_fn(move |request: Request<Body>| {
        let service = service.clone();
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map_err(BoxError::from)?.to_bytes();
            service.oneshot(Request::from_parts(parts, bytes)).await
        }
    });
    kube::Client::new(adapter, "default")
}

fn unreachable_server() -> BoxError {
    std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "testkit apiserver: not available").into()
}

async fn serve(inner: Arc<Inner>, user: User, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
    if !inner.available.load(Ordering::SeqCst) {
        return Err(unreachable_server());
    }
    let cuts = inner.cuts.load(Ordering::SeqCst);
    if let Some(document) = discovery::document(&inner.state(), &request) {
        return Ok(json(StatusCode::OK, &document));
    }
    let call = request::parse(&inner.state(), user, request);
    let (call, result) = match call {
        Ok(call) => {
            let result = inner.answer(&call, cuts).await;
            (Some(call), result)
        }
        Err(error) => (None, Err(error)),
    };
    if inner.cuts.load(Ordering::SeqCst) != cuts {
        return Err(unreachable_server());
    }
    let code = match &result {
        Ok(Answer::Json(code, _) | Answer::Text(code, _)) => code.as_u16(),
        Ok(Answer::Watch(_)) => StatusCode::OK.as_u16(),
        Err(error) => error.code,
    };
    if let Some(call) = &call {
        lock(&inner.recorded).push(Recorded::of(call, code));
    }
    match result {
        Ok(Answer::Json(code, value)) => Ok(json(code, &value)),
        Ok(Answer::Text(code, text)) => Ok(document(code, text)),
        Ok(Answer::Watch(watch)) => stream(*watch).await,
        Err(error) => Ok(json(StatusCode::from_u16(error.code)?, &error.to_status())),
    }
}

impl Inner {
    async fn answer(self: &Arc<Self>, call: &Call, cuts: u64) -> Result<Answer, ApiError> {
        let format = Format::of(&call.accept)?;
        self.check_access(call)?;
        match call.verb {
            "get" => self.get(call, format),
            "list" => self.list(call, format),
            "watch" => Watch::start(self, call, format, cuts),
            _ => self.write(call).await,
        }
    }

    /// Runs a write and what follows from it.
    pub(super) async fn write(&self, call: &Call) -> Result<Answer, ApiError> {
        let answer = match call.verb {
            "create" => self.create(call).await,
            "update" => self.put(call).await,
            "patch" => self.patch(call).await,
            "delete" => self.delete(call).await,
            _ => self.delete_collection(call).await,
        };
        self.settle();
        self.wake();
        answer
    }
}

fn json(code: StatusCode, value: &Value) -> Response<Body> {
    document(code, text(value))
}

fn document(code: StatusCode, text: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

async fn stream(watch: Watch) -> Result<Response<Body>, BoxError> {
    streamed(watch.into_body()).await
}

/// A response whose body arrives bit by bit. kube's body takes no stream from outside, but its client wraps any: so a client
/// that answers once does it.
///
/// # Errors
/// Never, as far as is known: what kube's client says.
pub async fn streamed<B>(body: B) -> Result<Response<Body>, BoxError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    let mut once = Some(response);
    let answer = service_fn(move |_: Request<Body>| {
        std::future::ready(once.take().ok_or_else(|| BoxError::from("testkit apiserver: it answers once")))
    });
    Ok(kube::Client::new(answer, "default").send(Request::new(Body::empty())).await?)
}
