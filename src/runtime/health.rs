//! `/livez`, `/readyz` and `/metrics`.
//!
//! Alive means that the operator's own loops turn, not that Rancher or the API server answer: a restart helps with the
//! first only. Ready means that all gates are open; standbys are ready too.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    future::IntoFuture,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use thiserror::Error;
use tokio::{net::TcpListener, time::Instant};
use tokio_util::sync::CancellationToken;

use super::Metrics;

/// The media type of the OpenMetrics text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long requests in flight may take once the server is asked to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// What the probes report. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Board>>);

#[derive(Default)]
struct Board {
    beats: BTreeMap<String, Beat>,
    /// Why each gate is shut; `None` where it is open.
    gates: BTreeMap<String, Option<String>>,
}

struct Beat {
    last: Instant,
    max_age: Duration,
}

impl Health {
    /// Nothing registered: alive and ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a component that must call [`Heartbeat::beat`] at least once in `max_age`; the first is due from now.
    /// Dropping the handle does not take the component off: a loop that ended is not alive.
    pub fn heartbeat(&self, name: &str, max_age: Duration) -> Heartbeat {
        self.board().beats.insert(name.to_owned(), Beat { last: Instant::now(), max_age });
        Heartbeat { health: self.clone(), name: name.to_owned() }
    }

    /// Registers a gate, shut for `reason`.
    pub fn gate(&self, name: &str, reason: &str) -> Gate {
        let gate = Gate { health: self.clone(), name: name.to_owned() };
        gate.shut(reason);
        gate
    }

    /// The components whose heartbeat is too old, one a line; `Ok` when there are none.
    ///
    /// # Errors
    /// The text for `/livez`.
    pub fn live(&self) -> Result<(), String> {
        let now = Instant::now();
        let mut late = String::new();
        for (name, beat) in &self.board().beats {
            let age = now.saturating_duration_since(beat.last);
            if age > beat.max_age {
                // Writing to a String cannot fail.
                let _ = writeln!(
                    late,
                    "{name}: last heartbeat {} s ago, at most {} s allowed",
                    age.as_secs(),
                    beat.max_age.as_secs()
                );
            }
        }
        if late.is_empty() { Ok(()) } else { Err(late) }
    }

    /// The gates that are shut, with why, one a line; `Ok` when there are none.
    ///
    /// # Errors
    /// The text for `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        let mut shut = String::new();
        for (name, reason) in &self.board().gates {
            if let Some(reason) = reason {
                let _ = writeln!(shut, "{name}: {reason}");
            }
        }
        if shut.is_empty() { Ok(()) } else { Err(shut) }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Each change under the lock is one assignment: the board is whole whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One component's sign of life. Cheap to clone.
#[derive(Clone)]
pub struct Heartbeat {
    health: Health,
    name: String,
}

impl Heartbeat {
    /// The component is alive now.
    pub fn beat(&self) {
        if let Some(beat) = self.health.board().beats.get_mut(&self.name) {
            beat.last = Instant::now();
        }
    }
}

/// Something that must hold before the process is ready. Cheap to clone.
#[derive(Clone)]
pub struct Gate {
    health: Health,
    name: String,
}

impl Gate {
    /// It holds.
    pub fn open(&self) {
        self.health.board().gates.insert(self.name.clone(), None);
    }

    /// It does not hold, for `reason`: what is missing, said to a person. No secrets: anyone may read it.
    pub fn shut(&self, reason: &str) {
        self.health.board().gates.insert(self.name.clone(), Some(reason.to_owned()));
    }
}

/// The health server could not run.
#[derive(Debug, Error)]
pub enum HealthError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} (--health-addr): {source}")]
    Bind {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The listener failed.
    #[error("the health server failed: {0}")]
    Serve(#[from] io::Error),
}

/// The health server's socket, bound before the tasks start so that a taken address is said at once.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, HealthError> {
    TcpListener::bind(address).await.map_err(|source| HealthError::Bind { address, source })
}

/// Serves until `shutdown`.
///
/// # Errors
/// The listener failed.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: Metrics,
    shutdown: CancellationToken,
) -> Result<(), HealthError> {
    let server =
        axum::serve(listener, router(health, metrics)).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = server.into_future() => Ok(served?),
        () = overdue => Ok(()),
    }
}

/// The routes.
pub fn router(health: Health, metrics: Metrics) -> Router {
    Router::new()
        .route("/livez", get(|State(health): State<Health>| async move { probe(health.live()) }))
        .route("/readyz", get(|State(health): State<Health>| async move { probe(health.ready()) }))
        .with_state(health)
        .route("/metrics", get(move || async move { scrape(&metrics) }))
}

fn probe(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => "ok\n".into_response(),
        Err(text) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
    }
}

fn scrape(metrics: &Metrics) -> Response {
    match metrics.encode() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests;
