//! The Ranchers that this process knows, and what may be done on each.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    task::{self, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response};
use jiff::Timestamp;
use kube::client::Body;
use tokio::{sync::Notify, time::Instant};
use tower::{BoxError, Service, util::BoxCloneSyncService};

use super::clusters::Clusters;
use crate::{
    grant::Because,
    rancher::{Error, Rancher, Release, Transport},
    runtime::{Breaker, Metrics},
};

/// How long Rancher's identity, once verified, is taken to stand: a 404 that proves an end is never older proof than this.
const IDENTITY_STANDS: Duration = Duration::from_secs(30);

/// One Rancher, as it was last reached with a key that it accepts. Replaced as a whole when key, host or certificates change.
#[derive(Debug)]
pub struct Connection {
    /// The calls.
    pub rancher: Rancher,
    /// Rancher's own identity.
    pub install_uuid: String,
    /// Which Rancher it is, as far as it makes a difference.
    pub release: Release,
    /// Opens after failures in a row, so that nobody waits for a server that is down.
    pub breaker: Breaker,
    verified: Mutex<Instant>,
    /// Its downstream clusters: who is away holds up nobody else.
    pub clusters: Clusters,
    /// Told when Rancher does not accept the key.
    pub refused: Arc<Notify>,
}

/// From when on a call that is dropped without an answer has run into its deadline of 10 s.
const NEARLY_TIMED_OUT: Duration = Duration::from_secs(9);

impl Connection {
    /// A connection to the Rancher with that identity, which was verified just now. `refused` is told by its transport.
    pub fn new(
        rancher: Rancher,
        install_uuid: String,
        release: Release,
        breaker: Breaker,
        refused: Arc<Notify>,
    ) -> Self {
        Self {
            rancher,
            install_uuid,
            release,
            breaker,
            verified: Mutex::new(Instant::now()),
            clusters: Clusters::default(),
            refused,
        }
    }

    /// Makes sure that it is still the same Rancher that answers.
    ///
    /// # Errors
    /// Where it cannot be known, or is another: then no 404 from there proves anything.
    pub async fn verify(&self) -> Result<(), Error> {
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < IDENTITY_STANDS {
            return Ok(());
        }
        let asked = Instant::now();
        let found = self.rancher.install_uuid().await?;
        if found != self.install_uuid {
            return Err(Error::Unknown { what: format!("another Rancher answers there (install-uuid {found})") });
        }
        *self.verified.lock().unwrap_or_else(PoisonError::into_inner) = asked;
        Ok(())
    }
}

/// What is known of one integration's server.
#[derive(Clone, Debug)]
pub struct Link {
    /// How it is reached; `None` while it was never reached with the key and address that stand now.
    pub connection: Option<Arc<Connection>>,
    /// Whether access may be given there, and if not, why.
    pub may_grant: Result<(), Because>,
    /// Whether what nobody remembers may be taken away there: it is the Rancher that was registered, and the claim on
    /// it is ours.
    pub may_sweep: bool,
    /// When the key expires, unless it is replaced before: no access that lasts longer is given.
    pub key_ends: Option<Timestamp>,
}

/// All integrations' servers. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Registry(Arc<RwLock<HashMap<String, Link>>>);

impl Registry {
    /// What is known of that integration's server.
    pub fn get(&self, integration: &str) -> Option<Link> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(integration).cloned()
    }

    /// Takes in what is known by now.
    pub fn set(&self, integration: &str, link: Link) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(integration.to_owned(), link);
    }

    /// Forgets an integration that is gone.
    pub fn remove(&self, integration: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(integration);
    }
}

/// A transport that counts calls, tells the breaker how they went, and `refused` when the key was not accepted.
pub fn observed(
    inner: Transport,
    integration: &str,
    breaker: Breaker,
    refused: Arc<Notify>,
    metrics: Metrics,
) -> Transport {
    BoxCloneSyncService::new(Observed { inner, integration: integration.to_owned(), breaker, refused, metrics })
}

#[derive(Clone)]
struct Observed {
    inner: Transport,
    integration: String,
    breaker: Breaker,
    refused: Arc<Notify>,
    metrics: Metrics,
}

impl Service<Request<Bytes>> for Observed {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let operation = operation(&request);
        let counts = !is_downstream(request.uri().path());
        let (integration, breaker, metrics) = (self.integration.clone(), self.breaker.clone(), self.metrics.clone());
        let sent = Instant::now();
        // Dropped before its answer, the call ran into its deadline: that counts as a failure too.
        let mut pending = Pending {
            breaker: breaker.clone(),
            metrics: metrics.clone(),
            integration,
            operation,
            sent,
            counts,
            answered: false,
        };
        let (call, refused) = (self.inner.call(request), self.refused.clone());
        async move {
            let answer = call.await;
            pending.answered = true;
            let outcome = match &answer {
                Ok(response) => outcome(response.status().as_u16()),
                Err(_) => "error",
            };
            if !pending.counts {
                // What a downstream cluster does not answer says nothing of Rancher.
            } else if matches!(outcome, "error" | "unavailable") {
                breaker.failed()
            } else {
                breaker.succeeded()
            }
            if outcome == "unauthenticated" {
                refused.notify_one();
            }
            metrics.observe_call(&pending.integration, operation, outcome, sent.elapsed());
            answer
        }
        .boxed()
    }
}

/// A call that has no answer yet.
struct Pending {
    breaker: Breaker,
    metrics: Metrics,
    integration: String,
    operation: &'static str,
    sent: Instant,
    /// Whether the answer says something about Rancher itself.
    counts: bool,
    answered: bool,
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            // One that was dropped long before its deadline was no longer wanted: that says nothing of the server.
            if self.counts && self.sent.elapsed() >= NEARLY_TIMED_OUT {
                self.breaker.failed();
            }
            self.metrics.observe_call(&self.integration, self.operation, "timeout", self.sent.elapsed());
        }
    }
}

/// Whether the request goes through Rancher to another cluster.
fn is_downstream(path: &str) -> bool {
    path.strip_prefix("/k8s/clusters/").is_some_and(|rest| rest != "local" && !rest.starts_with("local/"))
}

fn operation(request: &Request<Bytes>) -> &'static str {
    match *request.method() {
        http::Method::GET if request.uri().query().is_some_and(|q| q.contains("watch=")) => "watch",
        http::Method::GET => "read",
        http::Method::POST => "create",
        http::Method::DELETE => "delete",
        http::Method::PATCH | http::Method::PUT => "update",
        _ => "other",
    }
}

fn outcome(status: u16) -> &'static str {
    match status {
        200..=299 => "ok",
        401 => "unauthenticated",
        403 => "forbidden",
        404 => "not_found",
        409 => "conflict",
        429 => "throttled",
        400..=499 => "refused",
        // A gateway that has no Rancher behind it.
        502..=504 => "unavailable",
        _ => "failed",
    }
}
