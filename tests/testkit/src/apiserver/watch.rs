//! Watches: the log, seen through a selector, as a stream of JSON lines.
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{StreamBody, combinators::UnsyncBoxBody};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio::{sync::watch as signal, time::Instant};

use super::{
    Inner,
    kind::Kind,
    read::{Format, asked_revision},
    request::Call,
    selector::Selector,
    serve::Answer,
    state::{Change, EventType, State},
    status::ApiError,
};

/// How often a watch that asked for bookmarks gets one, if there was anything new.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that set no timeoutSeconds; a real server draws from 30 to 60 minutes.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2400);

pub(super) type WatchBody = UnsyncBoxBody<Bytes, io::Error>;

/// One event, as it goes out.
#[derive(Serialize)]
pub(super) struct Event {
    #[serde(serialize_with = "shared")]
    pub object: Arc<Value>,
    #[serde(rename = "type")]
    pub kind: &'static str,
}

fn shared<S: Serializer>(object: &Arc<Value>, to: S) -> Result<S::Ok, S::Error> {
    object.as_ref().serialize(to)
}

impl Event {
    fn new(kind: &'static str, object: Value) -> Self {
        Self { object: Arc::new(object), kind }
    }
}

/// A running watch.
pub(super) struct Watch {
    inner: Arc<Inner>,
    kind: Arc<Kind>,
    namespace: String,
    selector: Selector,
    format: Format,
    bookmarks: bool,
    /// The last revision that was looked at.
    seen: u64,
    /// The last revision the client was told.
    told: u64,
    /// Where in the log to read on, counted from the server's start.
    position: usize,
    pending: VecDeque<Event>,
    wake: signal::Receiver<u64>,
    cuts: u64,
    deadline: Instant,
    next_bookmark: Instant,
    over: bool,
}

impl Watch {
    /// Understands a watch request and stands where it wants to begin.
    pub fn start(inner: &Arc<Inner>, call: &Call, format: Format, cuts: u64) -> Result<Answer, ApiError> {
        let query = &call.query;
        let selector = selector(call)?;
        let wake = inner.wake.subscribe();
        let state = inner.state();
        let asked = asked_revision(call, &state)?;
        let initial = query.flag("sendInitialEvents");
        if initial && query.get("resourceVersionMatch") != "NotOlderThan" {
            return Err(ApiError::unknown("sendInitialEvents needs resourceVersionMatch=NotOlderThan"));
        }
        let from = begin(&state, asked.filter(|_| !initial))?;
        let seconds = query.get("timeoutSeconds").parse().ok().filter(|&seconds: &u64| seconds > 0);
        let mut watch = Self {
            inner: Arc::clone(inner),
            kind: Arc::clone(&call.kind),
            namespace: call.namespace.clone(),
            selector,
            format,
            bookmarks: query.flag("allowWatchBookmarks"),
            seen: from,
            told: from,
            position: state.dropped + state.log.partition_point(|change| change.revision <= from),
            pending: VecDeque::new(),
            wake,
            cuts,
            deadline: Instant::now() + seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs),
            next_bookmark: Instant::now() + BOOKMARK_EVERY,
            over: false,
        };
        let skips_initial = query.get("sendInitialEvents") == "false";
        if initial || asked.is_none() && !skips_initial {
            watch.queue_initial(&state, initial);
        }
        Ok(Answer::Watch(Box::new(watch)))
    }

    fn queue_initial(&mut self, state: &State, announce_end: bool) {
        let namespace = Some(self.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        for (_, object) in state.list(&self.kind.gvr, namespace) {
            if self.selector.matches(&object) {
                let object = self.format.share(&self.kind, &object);
                self.pending.push_back(Event { object, kind: "ADDED" });
            }
        }
        if announce_end {
            let mut bookmark = self.bookmark();
            bookmark["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
            self.pending.push_back(Event::new("BOOKMARK", bookmark));
        }
    }

    fn bookmark(&self) -> Value {
        let (api_version, kind) = self.format.type_of(&self.kind);
        json!({
            "kind": kind, "apiVersion": api_version,
            "metadata": {"resourceVersion": self.seen.to_string(), "creationTimestamp": null},
        })
    }

    /// What a change means to this watch: an object that starts to match is added, one that stops to is deleted.
    fn event(&self, change: &Change) -> Option<Event> {
        if change.storage != self.kind.gvr.storage()
            || !self.namespace.is_empty() && change.key.namespace != self.namespace
        {
            return None;
        }
        let before = change.old.as_ref().is_some_and(|old| self.selector.matches(old));
        let after = change.event != EventType::Deleted && self.selector.matches(&change.object);
        let (kind, object) = match (before, after) {
            (false, true) => ("ADDED", Arc::clone(&change.object)),
            (true, true) => ("MODIFIED", Arc::clone(&change.object)),
            (true, false) => {
                let mut last = change.old.as_deref().cloned().unwrap_or_default();
                last["metadata"]["resourceVersion"] = change.revision.to_string().into();
                ("DELETED", Arc::new(last))
            }
            (false, false) => return None,
        };
        Some(Event { object: self.format.share(&self.kind, &object), kind })
    }

    /// Reads the log up to its end, or says why the watch is over.
    fn read_log(&mut self) {
        let inner = Arc::clone(&self.inner);
        let state = inner.state();
        if self.seen < state.compacted {
            let status = ApiError::expired(self.seen, state.compacted).to_status();
            self.pending.push_back(Event::new("ERROR", status));
            self.over = true;
            return;
        }
        for change in state.log.iter().skip(self.position.saturating_sub(state.dropped)) {
            if let Some(event) = self.event(change) {
                self.pending.push_back(event);
                self.told = change.revision;
            }
            self.seen = change.revision;
        }
        self.position = state.dropped + state.log.len();
    }

    async fn next(&mut self) -> Option<io::Result<Event>> {
        loop {
            if self.inner.cuts.load(Ordering::SeqCst) != self.cuts {
                self.cuts = self.inner.cuts.load(Ordering::SeqCst);
                self.over = true;
                self.pending.clear();
                let message = "testkit apiserver: the connection was cut";
                return Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, message)));
            }
            if let Some(event) = self.pending.pop_front() {
                return Some(Ok(event));
            }
            if self.over {
                return None;
            }
            self.wake.mark_unchanged();
            self.read_log();
            if !self.pending.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                changed = self.wake.changed() => self.over = changed.is_err(),
                () = tokio::time::sleep_until(self.deadline) => {
                    self.queue_bookmark();
                    self.over = true;
                }
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.queue_bookmark();
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                }
            }
        }
    }

    fn queue_bookmark(&mut self) {
        if self.bookmarks && self.seen > self.told {
            self.pending.push_back(Event::new("BOOKMARK", self.bookmark()));
            self.told = self.seen;
        }
    }

    /// The stream of lines.
    pub fn into_body(self) -> WatchBody {
        let lines = self.into_stream().map(|event| {
            event.map(|event| {
                let mut line = serde_json::to_vec(&event).unwrap_or_default();
                line.push(b'\n');
                Frame::data(Bytes::from(line))
            })
        });
        WatchBody::new(StreamBody::new(lines))
    }

    /// The stream of events.
    pub fn into_stream(self) -> impl stream::Stream<Item = io::Result<Event>> + Send {
        stream::unfold(self, |mut watch| async move { Some((watch.next().await?, watch)) })
    }
}

/// A watch of one object is one by its name.
fn selector(call: &Call) -> Result<Selector, ApiError> {
    let (labels, fields) = (call.query.get("labelSelector"), call.query.get("fieldSelector"));
    if call.name.is_empty() {
        return Selector::parse(&call.kind, labels, fields);
    }
    Selector::parse(&call.kind, labels, &format!("metadata.name={}", call.name))
}

/// The revision after which a watch begins.
fn begin(state: &State, asked: Option<u64>) -> Result<u64, ApiError> {
    match asked {
        Some(asked) if asked < state.compacted => Err(ApiError::expired(asked, state.compacted)),
        Some(asked) => Ok(asked),
        None => Ok(state.revision),
    }
}
