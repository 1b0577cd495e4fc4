//! A proxy that does to chosen requests what networks and crashes do: it stands between a process and an HTTPS server.
//!
//! Whoever tests names a request ([`Proxy::stop_at`]) and is told when it comes. It is held there, before the server has seen
//! it or after the server has answered, until the test has done what it wants to do in that very moment (kill somebody,
//! freeze somebody) and lets it go on or cuts the connection. Everything else passes as it is, watches as they stream.
//!
//! Each connection has one of its own to the server: where the server refuses or cuts it, so does the proxy.

mod point;
#[cfg(test)]
mod tests;
mod upstream;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::{sync::watch, time::Instant};

pub use self::point::{Fate, Held, Moment, Point};
use self::{
    point::Rule,
    upstream::{Line, Upstream},
};
use crate::https::{self, Body, Served};

/// A request, as rules see it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The whole body.
    pub body: Bytes,
}

impl Asked {
    /// Whether the body has this text.
    pub fn says(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(text)
    }
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Passed {
    /// When it came.
    pub at: Instant,
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The code, or what happened instead of an answer.
    pub outcome: String,
}

/// The handle to a running proxy.
#[derive(Clone)]
pub struct Proxy {
    shared: Arc<Shared>,
    cut: watch::Sender<()>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").finish_non_exhaustive()
    }
}

type Witness = Box<dyn Fn(&Asked) + Send + Sync>;

struct Shared {
    upstream: Arc<Upstream>,
    rules: Mutex<Vec<Rule>>,
    passed: Mutex<Vec<Passed>>,
    witness: Witness,
}

impl Proxy {
    /// A proxy in front of the server at `https://host:port` that this CA (PEM) vouches for; it runs until the [`Served`] is
    /// dropped. `witness` sees each request before the server does.
    ///
    /// # Panics
    /// Where URL or CA cannot be used.
    pub async fn start(url: &str, ca_pem: &str, witness: impl Fn(&Asked) + Send + Sync + 'static) -> (Served, Self) {
        let upstream = Arc::new(Upstream::new(url, ca_pem));
        let shared = Arc::new(Shared {
            upstream,
            rules: Mutex::default(),
            passed: Mutex::default(),
            witness: Box::new(witness),
        });
        let known = shared.clone();
        let served = https::serve(move || {
            let (shared, line) = (known.clone(), Arc::new(Line::new(known.upstream.clone())));
            Box::new(move |request| Box::pin(pass(shared.clone(), line.clone(), request)))
        })
        .await;
        let cut = served.cutter();
        (served, Self { shared, cut })
    }

    /// Holds the first request from now on that `matches`, at that moment.
    pub fn stop_at(&self, moment: Moment, matches: impl Fn(&Asked) -> bool + Send + 'static) -> Point {
        let (rule, point) = Rule::new(moment, Box::new(matches));
        lock(&self.shared.rules).push(rule);
        point
    }

    /// Cuts all connections that are open, watches too.
    pub fn cut(&self) {
        // Nobody listens where nothing is connected.
        let _ = self.cut.send(());
    }

    /// Every request that came since it was last asked, in the order in which they were done with.
    pub fn take_passed(&self) -> Vec<Passed> {
        std::mem::take(&mut *lock(&self.shared.passed))
    }

    /// Forgets what it should stop at.
    pub fn forget(&self) {
        lock(&self.shared.rules).clear();
    }
}

/// Passes one request on, and its answer back; each stop on the way is at most one rule's.
async fn pass(
    shared: Arc<Shared>,
    line: Arc<Line>,
    request: http::Request<Incoming>,
) -> Result<Response<Body>, io::Error> {
    let at = Instant::now();
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let asked = Asked { method: parts.method.clone(), path, body: body.clone() };
    (shared.witness)(&asked);
    let note = |outcome: String| {
        let Asked { method, path, .. } = asked.clone();
        lock(&shared.passed).push(Passed { at, method, path, outcome });
    };
    let rule = point::hit(&mut lock(&shared.rules), &asked);
    let (mut mark, mut after) = ("", None);
    match rule {
        Some(rule) if rule.moment == Moment::Before => {
            mark = "  <- held before the server saw it";
            if rule.hold().await == Fate::Cut {
                note(format!("cut{mark}"));
                return Err(cut());
            }
        }
        held => after = held,
    }
    let request = http::Request::from_parts(parts, Full::new(body));
    let answer = line.send(request).await.inspect_err(|error| note(format!("no answer: {error}{mark}")))?;
    let Some(rule) = after else {
        note(format!("{}{mark}", answer.status().as_u16()));
        return Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()));
    };
    let code = answer.status().as_u16();
    let whole = whole(answer).await?;
    match rule.hold().await {
        Fate::Cut => {
            note(format!("{code}, and that was lost  <- held after it"));
            Err(cut())
        }
        Fate::GoOn => {
            note(format!("{code}  <- held after it"));
            Ok(whole)
        }
    }
}

/// An answer that has come in full, however long it is kept.
async fn whole(answer: Response<Incoming>) -> Result<Response<Body>, io::Error> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(Response::from_parts(head, Full::new(body).map_err(|never| match never {}).boxed_unsync()))
}

fn cut() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
