//! One Lease, and links to it that fail as told.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

/// How a link treats a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Answers after 10 ms.
    Up,
    /// Answers after this long, half of it on the way there.
    Slow(Duration),
    /// Refuses at once; nothing arrives.
    Refuse,
    /// The request arrives, the answer never does.
    LoseAnswer,
    /// The request arrives after this long, whether or not the client still waits; the answer never does.
    LandLate(Duration),
}

/// One process's way to the server.
#[derive(Clone)]
pub(super) struct Link(Arc<Mutex<Mode>>);

impl Default for Link {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Mode::Up)))
    }
}

impl Link {
    pub(super) fn set(&self, mode: Mode) {
        *self.0.lock().unwrap() = mode;
    }
}

#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    lease: Option<Value>,
    version: u64,
}

impl Server {
    pub(super) fn client(&self, link: &Link) -> kube::Client {
        let (server, link) = (self.clone(), link.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, link) = (server.clone(), link.clone());
            async move {
                let method = request.method().clone();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let (code, answer) = server.answer(&link, method, body).await;
                let body = Full::new(Bytes::from(answer.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        kube::Client::new(service, "ops")
    }

    async fn answer(&self, link: &Link, method: Method, body: Bytes) -> (u16, Value) {
        let mode = *link.0.lock().unwrap();
        match mode {
            Mode::Up => {
                sleep(Duration::from_millis(5)).await;
                let answer = self.apply(&method, &body);
                sleep(Duration::from_millis(5)).await;
                answer
            }
            Mode::Slow(latency) => {
                sleep(latency / 2).await;
                let answer = self.apply(&method, &body);
                sleep(latency / 2).await;
                answer
            }
            Mode::Refuse => status(503, "ServiceUnavailable"),
            Mode::LoseAnswer => {
                self.apply(&method, &body);
                pending().await
            }
            Mode::LandLate(delay) => {
                let server = self.clone();
                tokio::spawn(async move {
                    sleep(delay).await;
                    server.apply(&method, &body);
                });
                pending().await
            }
        }
    }

    /// What an API server does with Leases: versions are checked, and a write that changes nothing is no new version.
    fn apply(&self, method: &Method, body: &[u8]) -> (u16, Value) {
        let mut state = self.0.lock().unwrap();
        match (method.as_str(), state.lease.clone()) {
            ("GET", Some(lease)) => (200, lease),
            ("GET" | "PUT", None) => status(404, "NotFound"),
            ("POST", Some(_)) => status(409, "AlreadyExists"),
            ("POST", None) => {
                let lease: Value = serde_json::from_slice(body).unwrap();
                (201, state.store(lease, None))
            }
            ("PUT", Some(old)) => {
                let new: Value = serde_json::from_slice(body).unwrap();
                if new["metadata"]["resourceVersion"] != old["metadata"]["resourceVersion"]
                    || new["metadata"]["uid"] != old["metadata"]["uid"]
                {
                    return status(409, "Conflict");
                }
                if new == old { (200, old) } else { (200, state.store(new, Some(&old))) }
            }
            (method, _) => panic!("the election sends no {method}"),
        }
    }

    pub(super) fn spec(&self) -> Value {
        let state = self.0.lock().unwrap();
        state.lease.as_ref().expect("there is a Lease")["spec"].clone()
    }

    pub(super) fn delete(&self) {
        self.0.lock().unwrap().lease = None;
    }

    /// A record somebody left long ago.
    pub(super) fn abandon(&self, holder: &str, duration_seconds: i32) {
        let lease = json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": "ops", "name": "operator"},
            "spec": {
                "holderIdentity": holder, "leaseDurationSeconds": duration_seconds, "leaseTransitions": 3,
                "acquireTime": "1969-01-01T00:00:00.000000Z", "renewTime": "1969-01-01T00:00:00.000000Z",
            },
        });
        self.0.lock().unwrap().store(lease, None);
    }
}

impl State {
    fn store(&mut self, mut lease: Value, old: Option<&Value>) -> Value {
        self.version += 1;
        let uid = old.map_or_else(|| json!(format!("uid-{}", self.version)), |old| old["metadata"]["uid"].clone());
        lease["metadata"]["uid"] = uid;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }
}

fn status(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure",
        "code": code, "reason": reason, "message": reason,
    });
    (code, status)
}
