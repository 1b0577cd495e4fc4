//! One run: a scenario, what goes wrong in it, and what came of that.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    str::FromStr,
    sync::PoisonError,
    time::Duration,
};

use rancher_access_operator::api::{AccessGrant, status::Phase};
use testkit::apiserver::Gvr;
use tokio::time::{Instant, sleep};
use tracing_subscriber::{EnvFilter, fmt::MakeWriter};

use crate::{
    fault::Fault,
    scenarios::{self, Scenario},
    secrecy::Log,
    stage::{Stage, outcome},
    tap::Entry,
};

/// How often the operator goes over all grants.
const ROUND: Duration = Duration::from_secs(31);
/// How long nothing may be asked about a grant for it to be at rest: longer than the longest pause between two attempts, which is
/// the minute from one look at a Rancher to the next.
const STILL: Duration = Duration::from_secs(65);
/// How soon everything is at rest once nothing goes wrong any more.
const TO_REST: Duration = Duration::from_secs(900);

/// A scenario with its faults.
#[derive(Clone)]
pub struct Plan {
    pub scenario: &'static Scenario,
    pub faults: Vec<Fault>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scenario.name)?;
        self.faults.iter().try_for_each(|fault| write!(f, "+{fault}"))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('+');
        let name = parts.next().unwrap_or_default();
        let scenario = scenarios::ALL.iter().find(|one| one.name == name);
        let scenario = scenario.ok_or_else(|| format!("no scenario {name:?}"))?;
        Ok(Self { scenario, faults: parts.map(str::parse).collect::<Result<_, _>>()? })
    }
}

/// How a run is made.
#[derive(Clone, Copy)]
pub struct Manner {
    /// How long it must stay quiet at the end.
    pub quiet: Duration,
    /// What is logged; everything that is logged is searched for the key.
    pub log: &'static str,
}

impl Manner {
    pub const BRIEF: Self = Self { quiet: Duration::from_secs(5), log: "info" };
    pub const WHOLE: Self = Self { quiet: Duration::from_secs(600), log: "trace" };
}

/// What came of it.
pub struct Outcome {
    pub trace: Vec<Entry>,
    /// What was broken.
    pub violations: Vec<String>,
    /// How everything stood at the end, without what differs from run to run.
    pub end: String,
    /// Faults that never came to be.
    pub unused: Vec<Fault>,
    pub log: String,
}

impl Outcome {
    /// The requests that count, in order of their time. What happens in the same moment is in alphabetical order.
    pub fn calls(&self) -> Vec<(String, u32)> {
        let mut calls: Vec<_> = self.trace.iter().filter(|entry| !entry.background && entry.nth > 0).collect();
        calls.sort_by(|a, b| (a.at, &a.name).cmp(&(b.at, &b.name)));
        calls.into_iter().map(|entry| (entry.name.clone(), entry.nth)).collect()
    }

    /// The events of watches that were delivered.
    pub fn events(&self) -> Vec<(String, u32)> {
        let events = self.trace.iter().filter(|entry| entry.name.contains(":event:"));
        events.map(|entry| (entry.name.clone(), entry.nth)).collect()
    }
}

struct Writer(Log);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.0.clone()
    }
}

/// Plays it, in virtual time, on a runtime of its own.
pub fn run(plan: &Plan, manner: Manner) -> Outcome {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(manner.log))
        .with_ansi(false)
        .without_time()
        .with_writer(Writer(log.clone()))
        .finish();
    let played = tracing::subscriber::with_default(subscriber, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        let played = catch_unwind(AssertUnwindSafe(|| runtime.block_on(play(plan, manner, &log))));
        runtime.shutdown_background();
        played
    });
    played.unwrap_or_else(|panic| Outcome {
        trace: Vec::new(),
        violations: vec![format!("the run panicked: {}", words(panic.as_ref()))],
        end: String::new(),
        unused: Vec::new(),
        log: log.text(),
    })
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

async fn play(plan: &Plan, manner: Manner, log: &Log) -> Outcome {
    let always = plan.scenario.always.iter().map(|fault| fault.parse().expect("a scenario's own fault"));
    let faults = always.chain(plan.faults.iter().cloned()).collect();
    let stage = Stage::new(plan.scenario.given, faults).await;
    let ticking = {
        let truth = stage.truth.clone();
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                truth.check();
            }
        })
    };
    (plan.scenario.script)(&stage).await;
    rest(&stage, plan, manner).await;
    ticking.abort();
    let end = end(&stage).await;
    stage.stop().await;
    let canaries = stage.tap.canaries();
    let told = stage.metrics.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for (what, text) in [("the log", log.bytes()), ("the metrics", told.into_bytes())] {
        if canaries.are_in(&text) {
            stage.truth.violated("I8 secrecy", format!("the key is in {what}"));
        }
    }
    if log.text().contains("panicked") {
        stage.truth.violated("I9 bounded work", "something panicked".to_owned());
    }
    Outcome {
        trace: stage.tap.trace(),
        violations: stage.truth.violations(),
        end,
        unused: stage.tap.unused(),
        log: log.text(),
    }
}

/// Nothing goes wrong any more: everything comes to rest as it should be, and stays.
async fn rest(stage: &Stage, plan: &Plan, manner: Manner) {
    stage.world.rancher.clear_faults();
    let settled = |phase: Option<Phase>| match phase {
        Some(Phase::Activating | Phase::Revoking) | None => false,
        Some(_) => true,
    };
    let mut began = Instant::now();
    let (mut count, mut since) = (stage.tap.foreground(), Instant::now());
    loop {
        sleep(Duration::from_secs(1)).await;
        // A fault may come as late as this. What ended by a clock that is right now is found by the next round over all grants.
        let wrong = stage.sky.is_wrong();
        if wrong {
            stage.sky.set_ahead(0);
            sleep(ROUND).await;
        }
        if stage.tap.is_back().await || wrong {
            (began, since) = (Instant::now(), Instant::now());
        }
        let now = stage.tap.foreground();
        if now != count {
            (count, since) = (now, Instant::now());
        }
        let all = stage.truth.all(|grant| settled(grant.status.phase));
        if all && stage.truth.has_one_key() && stage.truth.has_tended_users() && since.elapsed() > STILL {
            break;
        }
        if began.elapsed() > TO_REST {
            let mut open: Vec<_> =
                stage.truth.grants().iter().map(|g| format!("{} {:?}", g.key, g.status.phase)).collect();
            open.extend((!stage.truth.has_one_key()).then(|| "more keys than one".to_owned()));
            open.extend((!stage.truth.has_tended_users()).then(|| "users that are not as they should be".to_owned()));
            let text = format!("not at rest within {TO_REST:?}: {}", open.join(", "));
            return stage.truth.violated("liveness", text);
        }
    }
    stage.truth.rests();
    sleep(manner.quiet).await;
    if stage.tap.foreground() != count {
        stage.truth.violated("I9 bounded work", "it does not stay quiet".to_owned());
    }
    stage.truth.rests();
    has_nothing_without_a_binding(stage);
    has_credentials_that_work(stage).await;
    let faults = plan.faults.len() + plan.scenario.always.len();
    let bound = plan.scenario.requests + 150 * faults;
    if count > bound {
        stage.truth.violated("I9 bounded work", format!("{count} requests, and {bound} would be many"));
    }
}

/// I2: who has no binding has no access.
fn has_nothing_without_a_binding(stage: &Stage) {
    let bindings = stage.world.rancher.bindings();
    for who in ["u-alice", "u-bob"] {
        let bound = bindings.iter().any(|binding| {
            let name = |field: &str| binding[field].as_str().unwrap_or_default();
            name("userName") == who || name("userPrincipalName").ends_with(who.trim_start_matches("u-"))
        });
        let left = stage.world.rancher.access_of(who);
        // A RoleBinding is both.
        let left: Vec<_> = left.iter().filter(|access| !access.name.starts_with("rao-")).collect();
        if let Some(left) = left.first().filter(|_| !bound) {
            let text = format!("no binding gives {who} anything, and {} {} is there", left.kind, left.name);
            stage.truth.violated("I2 no leak", text);
        }
    }
}

/// Whoever asked for a local user can log in as him while the access lasts.
async fn has_credentials_that_work(stage: &Stage) {
    for view in stage.truth.grants().iter().filter(|grant| grant.status.phase == Some(Phase::Active)) {
        let Some(grant) = stage.world.grant(&view.key.name).await.filter(|_| view.local_user.is_some()) else {
            continue;
        };
        let works = match stage.world.credentials(&grant) {
            Some(credentials) => stage.world.login(&credentials).await == 201,
            None => false,
        };
        if !works {
            stage.truth.violated("users", format!("the credentials of {} do not work", view.key));
        }
    }
}

/// How everything stands.
async fn end(stage: &Stage) -> String {
    let mut told = Vec::new();
    let gvr = |plural| Gvr::new("rancheraccess.io", "v1alpha1", plural);
    for object in stage.world.server.list(&gvr("accessgrants"), None) {
        let grant: AccessGrant = serde_json::from_value(object).expect("a grant");
        let name = grant.metadata.name.clone().unwrap_or_default();
        told.push(format!("grant {name}: {}", outcome(&grant)));
    }
    for object in stage.world.server.list(&gvr("accessdecisions"), None) {
        told.push(format!("decision: {}", object["status"]["reason"]));
    }
    for object in stage.world.server.list(&gvr("rancherintegrations"), None) {
        told.push(format!("integration {}", object["metadata"]["name"]));
    }
    for binding in stage.world.rancher.bindings() {
        let (kind, meta) = (binding["kind"].as_str().unwrap_or_default(), &binding["metadata"]);
        let theirs =
            |field: &str| binding[field].as_str().is_some_and(|who| who.contains("alice") || who.contains("bob"));
        if ["userName", "userPrincipalName"].into_iter().any(theirs) {
            told.push(format!("{kind} {}", meta["name"]));
        }
    }
    for who in ["u-alice", "u-bob"] {
        let mut access: Vec<_> = stage
            .world
            .rancher
            .access_of(who)
            .iter()
            .map(|one| format!("{who} has {} in {:?} on {}", one.role, one.namespace, one.cluster))
            .collect();
        access.sort();
        access.dedup();
        told.extend(access);
    }
    told.join("\n")
}
