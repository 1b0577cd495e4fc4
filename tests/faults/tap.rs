//! What stands between the operator and its servers: names each request, breaks the one that is to be broken, and looks that
//! none does what none may.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use testkit::apiserver::Service;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tower::{BoxError, ServiceExt, service_fn};

mod breaking;
mod watching;

use crate::{
    call::{self, Call, Server},
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
    /// The last answer to each address; `None` where the plan has no use for it.
    answers: Option<HashMap<String, Answer>>,
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
    /// The keys that must not be seen.
    pub fn canaries(&self) -> Canaries {
        self.0.canaries.clone()
    }

    pub fn new(sky: Sky, truth: Truth, canaries: Canaries, plan: Vec<Fault>) -> Self {
        let answers = plan.iter().any(|fault| fault.kind == Kind::Stale).then(HashMap::new);
        let state = Mutex::new(State { plan, answers, ..State::default() });
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

    /// Waits until Rancher is back. Says whether it was away.
    pub async fn is_back(&self) -> bool {
        let away = self.state().away.filter(|until| *until > Instant::now());
        if let Some(until) = away {
            tokio::time::sleep_until(until).await;
        }
        away.is_some()
    }

    /// What was asked, in order.
    pub fn trace(&self) -> Vec<Entry> {
        self.state().trace.clone()
    }

    /// How many requests there were that are about grants.
    pub fn foreground(&self) -> usize {
        self.state()
            .trace
            .iter()
            .filter(|entry| !entry.background && entry.nth > 0 && !call::comes_again(&entry.name))
            .count()
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
        let sent = self.0.sky.decided();
        sleep(LATENCY[usize::from(server == Server::Rancher)]).await;
        let (index, fault) = self.count(process, &call);
        self.reachable(server, process).await?;
        self.0.truth.check();
        if fault.is_some_and(|kind| matches!(kind, Kind::CrashBefore | Kind::CrashAway)) {
            // Nothing was sent.
        } else {
            self.0.truth.asked(&call, request.body(), sent, self.hears(process));
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
        // Where there are no users, they are looked for in the quiet all the same.
        let in_quiet = call::comes_again(&call.name) && !self.0.truth.has_local_users();
        let entry = Entry {
            at: self.0.origin.elapsed(),
            process,
            name: call.name.clone(),
            nth,
            code: 0,
            fault,
            background: call.background || in_quiet,
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

    async fn carry_out(&self, call: &Call, service: Service, request: Request<Bytes>) -> Result<Answer, BoxError> {
        let (head, body) = service.oneshot(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let answer = Answer { code: head.status, headers: head.headers, body };
        if answer.code == StatusCode::NOT_FOUND {
            self.0.truth.proved_absent(call);
        }
        if call.name == "R:create:tokens" && answer.code.is_success() {
            let made: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let bearer = made["status"]["bearerToken"].as_str().or(made["token"].as_str());
            bearer.into_iter().for_each(|bearer| self.0.canaries.add(bearer));
        }
        if call.verb == "get" || call.verb == "list" {
            let mut state = self.state();
            if let Some(answers) = &mut state.answers {
                answers.insert(call.address.clone(), answer.clone());
            }
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
}

fn cut(kind: io::ErrorKind) -> BoxError {
    io::Error::new(kind, "the connection was cut").into()
}
