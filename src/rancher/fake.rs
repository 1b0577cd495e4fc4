//! A server for tests: answers from a closure, and remembers what it was asked.
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use kube::client::Body;
use tower::{BoxError, service_fn, util::BoxCloneSyncService};

use super::{client::Rancher, endpoint::Endpoint, key::Key, transport::Transport};

/// A secret that must never be printed.
pub(crate) const CANARY: &str = "c4n4ryc4n4ryc4n4ry";
/// The base path of management objects.
pub(crate) const M: &str = "/k8s/clusters/local/apis/management.cattle.io/v3";

/// What the fake was asked, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<Request<Bytes>>>>);

impl Asked {
    pub fn all(&self) -> Vec<Request<Bytes>> {
        self.0.lock().unwrap().clone()
    }

    pub fn last(&self) -> Request<Bytes> {
        self.all().pop().expect("nothing was asked")
    }

    /// Method, path and query of every request.
    pub fn lines(&self) -> Vec<String> {
        self.all().iter().map(|r| format!("{} {}", r.method(), r.uri().path_and_query().unwrap())).collect()
    }
}

/// An answer as Rancher gives it.
pub(crate) fn rancher(code: u16, body: impl Into<String>) -> Response<Body> {
    let response = Response::builder().status(code).header("X-API-Cattle-Auth", "true");
    response.body(Body::from(body.into().into_bytes())).unwrap()
}

/// Rancher's proof that an object is absent.
pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Response<Body> {
    let status = serde_json::json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404,
        "message": format!("{resource} {name:?} not found"), "details": {"name": name, "group": group, "kind": resource}});
    rancher(404, status.to_string())
}

pub(crate) fn empty_list() -> Response<Body> {
    rancher(200, r#"{"kind":"List","metadata":{},"items":[]}"#)
}

/// A transport that answers with `answer`.
pub(crate) fn transport<F>(answer: F) -> (Transport, Asked)
where
    F: Fn(&Request<Bytes>) -> Result<Response<Body>, BoxError> + Send + Sync + 'static,
{
    let asked = Asked::default();
    let (log, answer) = (asked.clone(), Arc::new(answer));
    let service = service_fn(move |request: Request<Bytes>| {
        let (log, answer) = (log.clone(), answer.clone());
        async move {
            log.0.lock().unwrap().push(request.clone());
            answer(&request)
        }
    });
    (BoxCloneSyncService::new(service), asked)
}

/// A client over any transport.
pub(crate) fn over(transport: Transport) -> Rancher {
    let key = Key::parse(&format!("token-abcde:{CANARY}")).unwrap();
    Rancher::new(transport, &Endpoint::new("rancher.example.com", 443).unwrap(), key)
}

/// A client whose server answers with `answer`.
pub(crate) fn client<F>(answer: F) -> (Rancher, Asked)
where
    F: Fn(&Request<Bytes>) -> Response<Body> + Send + Sync + 'static,
{
    let (transport, asked) = transport(move |request| Ok(answer(request)));
    (over(transport), asked)
}
