//! Kubernetes Events, told beside the work: a full queue or a dead API server costs an Event, never a reconcile.
//!
//! How many are told about one object, and wait for one namespace, is bounded: see [`shares`].
//!
//! Callers publish transitions only. The recorder merges what has the same object, type, reason and action within six
//! minutes into one Event that keeps its *first* note (kube 5.0), so what tells two Events apart belongs in the reason.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Metrics, metrics::EventLoss};
use shares::Shares;

mod shares;

/// The API server's limit for a note, in bytes.
pub const MAX_NOTE: usize = 1024;

/// How many Events may wait: a burst of expiries, told at some 100 Events a second, is told within seconds.
const QUEUE: usize = 1024;

/// How many of them may be of one namespace.
const OF_ONE_NAMESPACE: usize = QUEUE / 2;

/// How long one Event may take.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing is sent after the API server could not be reached.
const PAUSE: Duration = Duration::from_secs(10);

/// How long what waits is still told once asked to stop.
const FLUSH: Duration = Duration::from_secs(2);

struct Item {
    reference: ObjectReference,
    event: Event,
}

/// Takes Events off the caller's hands. Cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    queue: mpsc::Sender<Item>,
    shares: Shares,
    metrics: Metrics,
}

/// Sends what the sinks took; run it as a supervised task.
pub struct Publisher {
    recorder: Recorder,
    queue: mpsc::Receiver<Item>,
    shares: Shares,
    metrics: Metrics,
    /// Nothing is sent before this moment.
    paused: Option<Instant>,
}

/// The two ends of the queue. `controller` is the reporting controller, `instance` the pod's name.
pub fn channel(client: Client, controller: &str, instance: &str, metrics: Metrics) -> (EventSink, Publisher) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let reporter = Reporter { controller: controller.to_owned(), instance: Some(instance.to_owned()) };
    let shares = Shares::default();
    let sink = EventSink { queue: sender, shares: shares.clone(), metrics: metrics.clone() };
    let recorder = Recorder::new(client, reporter);
    let publisher = Publisher { recorder, queue: receiver, shares, metrics, paused: None };
    (sink, publisher)
}

impl EventSink {
    /// Queues one Event about `reference`; returns at once. `reason` and `action` are PascalCase words, `note` is cut
    /// to [`MAX_NOTE`] bytes. No secrets.
    pub fn publish(
        &self,
        reference: ObjectReference,
        type_: EventType,
        reason: &'static str,
        action: &'static str,
        note: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            action: action.to_owned(),
            note: Some(cut(note).to_owned()),
            secondary: None,
        };
        if !self.shares.take(&reference, OF_ONE_NAMESPACE) {
            self.metrics.event_lost(EventLoss::TooMany);
        } else if let Err(unsent) = self.queue.try_send(Item { reference, event }) {
            self.shares.done(&unsent.into_inner().reference);
            self.metrics.event_lost(EventLoss::QueueFull);
        }
    }
}

impl Publisher {
    /// Sends until `shutdown`, then what waits, for two seconds at most.
    ///
    /// # Errors
    /// None: the type fits the supervisor's.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), std::convert::Infallible> {
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                item = self.queue.recv() => match item {
                    Some(item) => self.send(item).await,
                    // Every sink is gone, but ending early would look like a failure.
                    None => shutdown.cancelled().await,
                },
            }
        }
        self.queue.close();
        let until = Instant::now() + FLUSH;
        while let Ok(Some(item)) = timeout_at(until, self.queue.recv()).await {
            if timeout_at(until, self.send(item)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn send(&mut self, item: Item) {
        self.shares.done(&item.reference);
        if self.paused.is_some_and(|until| Instant::now() < until) {
            self.metrics.event_lost(EventLoss::Unreachable);
            return;
        }
        let loss = match timeout(PUBLISH_TIMEOUT, self.recorder.publish(&item.event, &item.reference)).await {
            Ok(Ok(())) => {
                self.paused = None;
                self.metrics.event_sent();
                return;
            }
            // It answered, so it is there: this Event is wrong, its namespace is going, or we may not.
            Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
                debug!(reason = item.event.reason, error = status.message, "An Event was refused");
                EventLoss::Refused
            }
            Ok(Err(error)) => {
                warn!(%error, "Cannot publish Events; pausing");
                EventLoss::Unreachable
            }
            Err(_) => {
                warn!("The API server did not take an Event in time; pausing");
                EventLoss::Unreachable
            }
        };
        if loss == EventLoss::Unreachable {
            self.paused = Some(Instant::now() + PAUSE);
        }
        self.metrics.event_lost(loss);
    }
}

/// At most [`MAX_NOTE`] bytes of `note`, cut between characters.
fn cut(note: &str) -> &str {
    note.get(..note.floor_char_boundary(MAX_NOTE)).unwrap_or(note)
}

#[cfg(test)]
mod tests;
