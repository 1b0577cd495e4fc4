//! What stands between the operator and its servers: names each request, breaks the one that is to be broken, and looks that
//! none does what none may.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use testkit::apiserver::{Service, streamed};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tower::{BoxError, ServiceExt, service_fn};

use crate::{
    call::{Call, Server},
    fault::{Fault, Kind},
    secrecy::Canaries,
    sky::Sky,
    truth::Truth,
};

/// How long a request takes to arrive: so that what happens one after the other has different times.
const LATENCY: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(5)];
/// How long a slow answer takes: nobody gives it up by then.
const SLOW: Duration = Duration::from_secs(5);
/// How long a connection hangs before it is cut: longer than anybody may wait for it.
const HANGING: Duration = Duration::from_secs(300);
/// When a request lands that was given up: after whoever sent it has looked and tried again.
const LATE: Duration = Duration::from_secs(25);
/// When it lands where another leads by then: a lease runs out after 15 s.
const AFTER_TAKEOVER: Duration = Duration::from_secs(30);
/// How long a process is cut off that is to lose its lease.
const CUT_OFF: Duration = Duration::from_secs(45);
/// How long Rancher is away after a crash.
const AWAY: Duration = Duration::from_secs(900);
/// How often the operator lists everything anew.
const LISTED_ANEW: Duration = Duration::from_secs(300);
/// How long the API server is away at most.
const API_AWAY: Duration = Duration::from_secs(120);
/// How long a new process is shown the grants as they were.
const TRAVEL: Duration = Duration::from_secs(30);
/// More requests than any run has: whatever goes round in circles ends here.
const TOO_MANY: usize = 20_000;

/// One request, as it went.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Since the start of the run.
    pub at: Duration,
    /// Which process sent it, counted from 1.
    pub process: usize,
    pub name: String,
    /// Which of that name since the mark; 0 before it.
    pub nth: u32,
    /// What it was answered with; 0: nothing.
    pub code: u16,
    pub fault: Option<Kind>,
    pub background: bool,
}

/// An answer, to be given again.
#[derive(Clone)]
struct Answer {
    code: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(code: StatusCode, value: &Value) -> Self {
        Self { code, headers: HeaderMap::new(), body: Bytes::from(value.to_string()) }
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.code;
        *response.headers_mut() = self.headers;
        response.headers_mut().entry(header::CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
        response
    }
}

#[derive(Default)]
struct State {
    plan: Vec<Fault>,
    counts: BTreeMap<String, u32>,
    marked: bool,
    trace: Vec<Entry>,
    dead: BTreeSet<usize>,
    /// Which processes do not reach the API server until when.
    cut_off: BTreeMap<usize, Instant>,
    /// Until when Rancher does not answer.
    away: Option<Instant>,
    /// The last answer to each address.
    answers: HashMap<String, Answer>,
    /// The grants as they were, and until when nothing later is heard of them.
    travel: Option<(Instant, u64, Vec<Value>)>,
    /// Who was shown them: once, when it began. What it lists later on purpose is what is there.
    travelled: BTreeSet<usize>,
    started: usize,
    /// Whether the API server is away: then no process can start, and who dies is not followed.
    without_api: bool,
}

struct Shared {
    state: Mutex<State>,
    origin: Instant,
    sky: Sky,
    truth: Truth,
    canaries: Canaries,
    /// Ticks when a process died, and says how many are wanted.
    orders: watch::Sender<usize>,
}

/// The tap. Clones share it.
#[derive(Clone)]
pub struct Tap(Arc<Shared>);

impl Tap {
    pub fn new(sky: Sky, truth: Truth, canaries: Canaries, plan: Vec<Fault>) -> Self {
        let state = Mutex::new(State { plan, ..State::default() });
        Self(Arc::new(Shared { state, origin: Instant::now(), sky, truth, canaries, orders: watch::Sender::new(1) }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on requests count, and faults happen.
    pub fn mark(&self) {
        let mut state = self.state();
        state.marked = true;
        state.counts.clear();
        self.0.truth.mark();
    }

    /// A new process, counted from 1.
    pub fn process(&self) -> usize {
        let mut state = self.state();
        state.started += 1;
        state.started
    }

    /// Waits until that process is to end.
    pub async fn died(&self, process: usize) {
        let mut orders = self.0.orders.subscribe();
        while !self.state().dead.contains(&process) {
            // The sender lives as long as this tap.
            let _ = orders.changed().await;
        }
    }

    /// How many processes are wanted.
    pub fn orders(&self) -> watch::Receiver<usize> {
        self.0.orders.subscribe()
    }

    /// The API server goes, or comes back.
    pub fn api_away(&self, away: bool) {
        self.state().without_api = away;
        if !away {
            self.0.truth.disturb(Duration::ZERO);
        }
    }

    /// Ends a process: nothing that it sends arrives any more.
    pub fn kill(&self, process: usize) {
        let without_api = {
            let mut state = self.state();
            state.dead.insert(process);
            state.without_api
        };
        if without_api {
            self.0.truth.disturb(API_AWAY);
        }
        self.0.orders.send_modify(|_| {});
    }

    /// Ends whichever processes run.
    pub fn kill_all(&self) {
        let started = self.state().started;
        (1..=started).for_each(|process| self.kill(process));
    }

    /// Keeps Rancher away for so long.
    pub fn away(&self, for_: Duration) {
        self.state().away = Some(Instant::now() + for_);
        self.0.truth.disturb(for_);
    }

    /// Something is disturbed for so long, by the story itself.
    pub fn disturbed(&self, for_: Duration) {
        self.0.truth.disturb(for_);
    }

    /// Waits until Rancher is back.
    pub async fn is_back(&self) {
        let away = self.state().away;
        if let Some(until) = away {
            tokio::time::sleep_until(until).await;
        }
    }

    /// What was asked, in order.
    pub fn trace(&self) -> Vec<Entry> {
        self.state().trace.clone()
    }

    /// How many requests there were that are about grants.
    pub fn foreground(&self) -> usize {
        self.state().trace.iter().filter(|entry| !entry.background && entry.nth > 0).count()
    }

    /// Which faults of the plan never came to be.
    pub fn unused(&self) -> Vec<Fault> {
        self.state().plan.clone()
    }

    /// The way to a server for that process.
    pub fn wire(&self, server: Server, process: usize, service: Service) -> Service {
        let tap = self.clone();
        Service::new(service_fn(move |request: Request<Bytes>| {
            let (tap, service) = (tap.clone(), service.clone());
            async move { tap.pass(server, process, service, request).await }
        }))
    }

    async fn pass(
        &self,
        server: Server,
        process: usize,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let call = Call::of(server, &request);
        self.0.canaries.check(&call, &request, &self.0.truth);
        if self.state().dead.contains(&process) {
            return std::future::pending().await;
        }
        sleep(LATENCY[usize::from(server == Server::Rancher)]).await;
        let (index, fault) = self.count(process, &call);
        self.reachable(server, process).await?;
        self.0.truth.check();
        if fault.is_some_and(|kind| matches!(kind, Kind::CrashBefore | Kind::CrashAway)) {
            // Nothing was sent.
        } else {
            self.0.truth.asked(&call, request.body(), self.hears(process));
        }
        let answered = self.answer(process, &call, service, request, fault).await;
        let code = answered.as_ref().map_or(0, |response| response.status().as_u16());
        if let Some(entry) = self.state().trace.get_mut(index) {
            entry.code = code;
        }
        if self.state().dead.contains(&process) {
            return std::future::pending().await;
        }
        answered
    }

    /// Whether that process can know what the API server knows: it is not cut off, and was shown no old list.
    fn hears(&self, process: usize) -> bool {
        let (state, now) = (self.state(), Instant::now());
        let cut_off = state.cut_off.get(&process).is_some_and(|until| *until > now);
        let travels = state.travel.as_ref().is_some_and(|(until, ..)| *until > now);
        !state.without_api && !cut_off && !travels
    }

    /// Counts a request, and says what is to become of it.
    fn count(&self, process: usize, call: &Call) -> (usize, Option<Kind>) {
        let mut state = self.state();
        let mut nth = 0;
        if state.marked {
            let count = state.counts.entry(call.name.clone()).or_default();
            *count += 1;
            nth = *count;
        }
        let at =
            state.plan.iter().position(|fault| fault.call == call.name && fault.nth == nth && call.verb != "watch");
        let fault = at.filter(|_| !state.dead.contains(&process)).map(|at| state.plan.remove(at).kind);
        let entry = Entry {
            at: self.0.origin.elapsed(),
            process,
            name: call.name.clone(),
            nth,
            code: 0,
            fault,
            background: call.background,
        };
        state.trace.push(entry);
        if state.trace.len() == TOO_MANY {
            self.0.truth.violated("I9 bounded work", format!("more than {TOO_MANY} requests"));
        }
        let stuck = state.trace.len() > TOO_MANY;
        let index = state.trace.len() - 1;
        drop(state);
        if stuck {
            self.kill_all();
        }
        (index, fault)
    }

    /// Waits, fails, or goes on: as the network is.
    async fn reachable(&self, server: Server, process: usize) -> Result<(), BoxError> {
        let (dead, cut_off, away) = {
            let state = self.state();
            let cut_off = state.cut_off.get(&process).copied().filter(|_| server == Server::Kubernetes);
            (state.dead.contains(&process), cut_off, state.away.filter(|_| server == Server::Rancher))
        };
        if dead {
            return std::future::pending().await;
        }
        if let Some(until) = cut_off.filter(|until| *until > Instant::now()) {
            tokio::time::sleep_until(until).await;
            return Err(cut(io::ErrorKind::ConnectionReset));
        }
        match away {
            Some(until) if until > Instant::now() => Err(cut(io::ErrorKind::ConnectionRefused)),
            _ => Ok(()),
        }
    }

    async fn answer(
        &self,
        process: usize,
        call: &Call,
        service: Service,
        request: Request<Bytes>,
        fault: Option<Kind>,
    ) -> Result<Response<Body>, BoxError> {
        if call.verb == "watch" {
            return self.watch(process, call, service, request).await;
        }
        if let Some(answer) = self.travelled(process, call) {
            return Ok(answer.into_response());
        }
        let Some(kind) = fault else {
            return self.carry_out(call, service, request).await.map(Answer::into_response);
        };
        self.0.truth.disturb(Duration::ZERO);
        self.broken(process, call, service, request, kind).await
    }

    async fn broken(
        &self,
        process: usize,
        call: &Call,
        service: Service,
        request: Request<Bytes>,
        kind: Kind,
    ) -> Result<Response<Body>, BoxError> {
        match kind {
            Kind::CrashBefore => self.kill(process),
            Kind::CrashAway => {
                self.kill(process);
                self.away(AWAY);
            }
            Kind::CrashAfter => {
                self.carry_out(call, service, request).await?;
                self.kill(process);
            }
            Kind::TimeTravel => {
                self.carry_out(call, service, request).await?;
                self.travel();
                self.kill(process);
            }
            Kind::ReplyLost => drop(self.carry_out(call, service, request).await?),
            Kind::Unavailable => return Ok(refusal(call, 503, "ServiceUnavailable").into_response()),
            Kind::TooMany => {
                let mut answer = refusal(call, 429, "TooManyRequests");
                answer.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
                return Ok(answer.into_response());
            }
            Kind::Conflict => {
                let reason = if call.verb == "create" { "AlreadyExists" } else { "Conflict" };
                return Ok(refusal(call, 409, reason).into_response());
            }
            Kind::NotFound => {
                let mut answer = Answer::json(StatusCode::NOT_FOUND, &Value::Null);
                answer.body = Bytes::from_static(b"<html><body>404 Not Found</body></html>");
                answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                return Ok(answer.into_response());
            }
            Kind::Unauthorized => return Ok(refusal(call, 401, "Unauthorized").into_response()),
            Kind::Forbidden => return Ok(refusal(call, 403, "Forbidden").into_response()),
            Kind::Late => self.later(LATE, call, service, request),
            Kind::Twice => {
                let first = self.carry_out(call, service.clone(), request.clone()).await?;
                self.carry_out(call, service, request).await?;
                return Ok(first.into_response());
            }
            Kind::Garbled => {
                let mut answer = self.carry_out(call, service, request).await?;
                answer.body = Bytes::from_static(b"<!DOCTYPE html><html><body>Bad gateway</body></html>");
                answer.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
                return Ok(answer.into_response());
            }
            Kind::Truncated => {
                let mut answer = self.carry_out(call, service, request).await?;
                answer.body = answer.body.slice(..answer.body.len() / 2);
                return Ok(answer.into_response());
            }
            Kind::Hang => {
                sleep(HANGING).await;
            }
            Kind::Slow => {
                let answer = self.carry_out(call, service, request).await?;
                sleep(SLOW).await;
                return Ok(answer.into_response());
            }
            Kind::Stale => {
                let before = self.state().answers.get(&call.address).cloned();
                return match before {
                    Some(answer) => Ok(answer.into_response()),
                    None => self.carry_out(call, service, request).await.map(Answer::into_response),
                };
            }
            Kind::Deposed => {
                self.state().cut_off.insert(process, Instant::now() + CUT_OFF);
                self.0.orders.send_modify(|wanted| *wanted = 2);
                self.later(AFTER_TAKEOVER, call, service, request);
                self.0.truth.disturb(CUT_OFF);
            }
            Kind::Ghost => {
                self.kill(process);
                self.later(AFTER_TAKEOVER, call, service, request);
            }
            Kind::Ahead | Kind::Back | Kind::Asleep => {
                match kind {
                    Kind::Ahead => self.0.sky.set_ahead(7200),
                    Kind::Back => self.0.sky.set_ahead(-3600),
                    _ => self.0.sky.sleep(600),
                }
                // Who is away stays away by his own timer, which stood still too.
                let away = self.state().away.map(|until| until.saturating_duration_since(Instant::now()));
                self.0.truth.disturb(away.unwrap_or_default());
                return self.carry_out(call, service, request).await.map(Answer::into_response);
            }
            Kind::Dropped | Kind::Repeated | Kind::Delayed | Kind::Gone | Kind::Cut => {
                return self.carry_out(call, service, request).await.map(Answer::into_response);
            }
        }
        if kind.kills() {
            return std::future::pending().await;
        }
        Err(cut(io::ErrorKind::ConnectionReset))
    }

    /// Lets a request arrive later, when nobody waits for its answer.
    fn later(&self, wait: Duration, call: &Call, service: Service, request: Request<Bytes>) {
        let (tap, call) = (self.clone(), call.clone());
        self.0.truth.disturb(wait);
        tokio::spawn(async move {
            sleep(wait).await;
            drop(tap.carry_out(&call, service, request).await);
        });
    }

    async fn carry_out(&self, call: &Call, service: Service, request: Request<Bytes>) -> Result<Answer, BoxError> {
        let (head, body) = service.oneshot(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = Answer { code: head.status, headers: head.headers, body };
        if answer.code == StatusCode::NOT_FOUND {
            self.0.truth.proved_absent(call);
        }
        if call.verb == "get" || call.verb == "list" {
            self.state().answers.insert(call.address.clone(), answer.clone());
        }
        Ok(answer)
    }

    /// Whoever starts next sees the grants as they were before the last change but one.
    fn travel(&self) {
        if let Some((revision, grants)) = self.0.truth.grants_before() {
            self.state().travel = Some((Instant::now() + TRAVEL, revision, grants));
        }
    }

    fn travelled(&self, process: usize, call: &Call) -> Option<Answer> {
        let mut state = self.state();
        let State { travel, travelled, .. } = &mut *state;
        let (_, revision, grants) = travel.as_ref().filter(|(until, ..)| *until > Instant::now())?;
        if call.name != "K:list:accessgrants" || !travelled.insert(process) {
            return None;
        }
        let list = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrantList",
            "metadata": {"resourceVersion": revision.to_string()}, "items": grants});
        Some(Answer::json(StatusCode::OK, &list))
    }

    /// A watch, whose events are counted as requests are.
    async fn watch(
        &self,
        process: usize,
        call: &Call,
        service: Service,
        request: Request<Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let stale = self.state().travel.as_ref().map(|(until, ..)| *until);
        if let Some(until) = stale.filter(|_| call.resource == "accessgrants") {
            tokio::time::sleep_until(until).await;
        }
        let (head, body) = service.oneshot(request).await?.into_parts();
        if !head.status.is_success() {
            return Ok(Response::from_parts(head, body));
        }
        let frames = body.into_data_stream().map(|frame| frame.map_err(io::Error::other));
        let (tap, call) = (self.clone(), call.clone());
        let events = futures::stream::unfold((Box::pin(frames), false), move |(mut frames, over)| {
            let (tap, call) = (tap.clone(), call.clone());
            async move {
                loop {
                    if over {
                        return None;
                    }
                    let frame = match frames.next().await? {
                        Ok(frame) => frame,
                        Err(error) => return Some((Err(error), (frames, true))),
                    };
                    match tap.event(process, &call, frame).await {
                        Passed::On(frame) => return Some((Ok(Frame::data(frame)), (frames, false))),
                        Passed::Not => {}
                        Passed::Last(frame) => return Some((Ok(Frame::data(frame)), (frames, true))),
                        Passed::End => return None,
                    }
                }
            }
        });
        streamed(StreamBody::new(events)).await
    }

    /// What becomes of one event.
    async fn event(&self, process: usize, call: &Call, frame: Bytes) -> Passed {
        if self.state().dead.contains(&process) {
            return std::future::pending().await;
        }
        let cut_off = self.state().cut_off.get(&process).copied().filter(|_| call.server == Server::Kubernetes);
        if cut_off.is_some_and(|until| until > Instant::now()) {
            return Passed::End;
        }
        let away = self.state().away.filter(|_| call.server == Server::Rancher);
        if away.is_some_and(|until| until > Instant::now()) {
            return Passed::End;
        }
        if frame.ends_with(b"\"type\":\"BOOKMARK\"}\n") {
            return Passed::On(frame);
        }
        let Some(kind) = self.event_fault(process, call) else {
            return Passed::On(frame);
        };
        // What is lost is found when everything is listed anew.
        self.0.truth.disturb(if kind == Kind::Dropped { LISTED_ANEW } else { LATE });
        match kind {
            Kind::Dropped => Passed::Not,
            Kind::Repeated => Passed::On(Bytes::from([frame.as_ref(), frame.as_ref()].concat())),
            Kind::Gone => {
                let status = json!({"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "message": "too old resource version", "reason": "Expired", "code": 410}});
                Passed::Last(Bytes::from(format!("{status}\n")))
            }
            Kind::Cut => Passed::End,
            _ => {
                sleep(Duration::from_secs(20)).await;
                Passed::On(frame)
            }
        }
    }

    fn event_fault(&self, process: usize, call: &Call) -> Option<Kind> {
        let mut state = self.state();
        if !state.marked {
            return None;
        }
        let name = call.name.replace(":watch:", ":event:");
        let count = state.counts.entry(name.clone()).or_default();
        *count += 1;
        let nth = *count;
        let at = state.plan.iter().position(|fault| fault.call == name && fault.nth == nth);
        let fault = at.map(|at| state.plan.remove(at).kind);
        let at = self.0.origin.elapsed();
        state.trace.push(Entry { at, process, name, nth, code: 200, fault, background: true });
        fault
    }
}

/// What becomes of an event.
enum Passed {
    On(Bytes),
    Not,
    Last(Bytes),
    End,
}

fn cut(kind: io::ErrorKind) -> BoxError {
    io::Error::new(kind, "the connection was cut").into()
}

/// A refusal, as the server that it comes from puts it.
fn refusal(call: &Call, code: u16, reason: &str) -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "code": code, "message": format!("a fault: {reason}"), "details": {"kind": call.resource, "name": call.object}});
    let code = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Answer::json(code, &status);
    if call.server == Server::Rancher {
        let known = if code == StatusCode::UNAUTHORIZED { "false" } else { "true" };
        answer.headers.insert("x-api-cattle-auth", HeaderValue::from_static(known));
    }
    answer
}
