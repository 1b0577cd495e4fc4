//! The whole life of a grant, in about half a minute, with nothing but Rust: the real operator between an in-memory API
//! server and a simulated Rancher. Exits 0 only if every claim held.

#[path = "../../tests/embedded/mod.rs"]
mod embedded;
mod screen;

use std::{
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use embedded::world::{CLUSTER, Given, World, crtbs};
use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::api::{
    AccessGrant,
    decision::DecisionReason,
    status::{BindingState, Phase},
};
use screen::{Row, Screen};
use serde_json::{Value, json};
use testkit::rancher::{FaultAction, FaultRule};

/// How late an end may be in this demo.
const ON_TIME: SignedDuration = SignedDuration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    println!("Starting an API server, a Rancher and the operator in this process …");
    let mut demo = Demo { screen: Screen::new(), world: begin().await, grants: Vec::new() };
    demo.screen
        .say("an API server with our CRDs and admission policies, and a Rancher 2.15 (simulated), run in this process");
    demo.world.start().await;
    demo.screen.say("the operator has reached Rancher and proven that the API server refuses forged requests");
    demo.a_life().await;
    demo.a_foreign_binding().await;
    demo.a_crash().await;
    demo.an_approval().await;
    let failures = demo.screen.failures();
    if failures > 0 {
        println!("\n{failures} claim(s) did not hold.");
        return ExitCode::FAILURE;
    }
    println!("\nEvery claim held. Next: `just sandbox`, and the README.");
    ExitCode::SUCCESS
}

async fn begin() -> World {
    #[allow(clippy::disallowed_methods)] // where the demo's clock begins
    let mut world = World::new(Timestamp::now(), Given::default()).await;
    world.lease = [3, 2, 1];
    world
}

struct Demo {
    screen: Screen,
    world: World,
    /// Each grant, and whom it is for.
    grants: Vec<(&'static str, &'static str)>,
}

impl Demo {
    async fn a_life(&mut self) {
        self.screen.chapter("1. Alice asks for a cluster role for six seconds");
        self.ask(
            "alice",
            "web-incident",
            json!({"access": self.world.on_cluster(), "duration": "6s", "reason": "INC-4711"}),
        )
        .await;
        let granted = self.wait("web-incident", Phase::Active, 10).await;
        self.screen
            .claim(granted, "applied, allowed by policy web, granted: the binding is in Rancher, seen with its UID");
        let has = self.until(5, |world| world.has_access("u-alice")).await;
        self.screen.claim(has, "alice has the access on cluster production");
        let ended = self.wait("web-incident", Phase::Expired, 20).await;
        self.screen.claim(ended && self.is_on_time("web-incident").await, "it ended on time");
        self.gone("web-incident", "u-alice").await;
    }

    async fn a_foreign_binding(&mut self) {
        self.screen.chapter("2. Bob asks for what an administrator of Rancher gave him for good");
        self.world.bind_by_hand("u-bob", "crtb-by-hand").await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        self.ask("bob", "web-review", json!({"access": self.world.on_cluster(), "duration": "4s"})).await;
        let granted = self.wait("web-review", Phase::Active, 10).await;
        let held = self.state("web-review").await == Some(BindingState::AlreadyHeld);
        self.screen.claim(granted && held, "he holds it already: nothing is added");
        let ended = self.wait("web-review", Phase::Expired, 20).await;
        let left = self.world.bindings_of("u-bob") == ["crtb-by-hand"] && self.world.has_access("u-bob");
        self.screen.claim(ended && left, "the grant ended; the administrator's binding was left alone");
    }

    async fn a_crash(&mut self) {
        self.screen.chapter("3. The operator is killed in the middle of granting a project role");
        // The answer to the create is lost, and whoever looks for the binding then gets none.
        let asked = Arc::new(AtomicBool::new(false));
        let made = asked.clone();
        let create = move |method: &http::Method, path: &str| {
            let is = *method == http::Method::POST && path.contains("projectroletemplatebindings");
            is && !made.swap(true, Ordering::Relaxed)
        };
        let look = move |_: &http::Method, path: &str| {
            asked.load(Ordering::Relaxed) && path.contains("projectroletemplatebindings")
        };
        self.world.rancher.fault(FaultRule::new(create, FaultAction::DropAfter));
        self.world.rancher.fault(FaultRule::new(look, FaultAction::DropBefore));
        self.ask("carol", "web-deploy", json!({"access": self.world.on_project(), "duration": "10s"})).await;
        let made = self.until(10, |world| !world.bindings_of("u-carol").is_empty()).await;
        self.world.kill().await;
        self.world.rancher.clear_faults();
        let intended = self.state("web-deploy").await == Some(BindingState::Intended);
        self.screen.claim(
            made && intended,
            "killed: Rancher made the binding, the answer was lost, only the intent is recorded",
        );
        self.world.launch().await;
        self.screen.say("another operator starts; it waits until the dead one's lease has run out");
        let granted = self.wait("web-deploy", Phase::Active, 12).await;
        self.screen.claim(granted, "it found the binding by its name, and made no second one");
        let one = self.world.bindings_of("u-carol").len() == 1;
        self.screen.claim(one, "there is exactly one binding");
        let ended = self.wait("web-deploy", Phase::Expired, 25).await;
        self.screen.claim(ended && self.is_on_time("web-deploy").await, "it ended on time");
        self.gone("web-deploy", "u-carol").await;
    }

    async fn an_approval(&mut self) {
        self.screen.chapter("4. From now on somebody of sre must approve; Alice is in sre herself");
        let sre = json!([{"kind": "Group", "name": "sre"}]);
        self.world.patch_policy(json!({"approval": {"required": 1, "approvers": sre, "contact": "#sre-oncall"}})).await;
        self.ask(
            "alice",
            "web-night",
            json!({"access": self.world.on_project(), "duration": "5s", "reason": "INC-4712"}),
        )
        .await;
        let waits = self.wait("web-night", Phase::AwaitingApproval, 10).await;
        self.screen
            .claim(waits && self.world.bindings_of("u-alice").is_empty(), "it awaits approval: nothing is given");
        let own = self.decide("alice").await;
        self.screen.claim(own == Some(DecisionReason::SelfApproval), "alice approves it herself: that does not count");
        let bobs = self.decide("bob").await;
        self.screen.claim(bobs == Some(DecisionReason::Counted), "bob approves: that counts, and stands in the grant");
        let granted = self.wait("web-night", Phase::Active, 10).await;
        self.screen.claim(granted, "granted: approved by bob");
        let ended = self.wait("web-night", Phase::Expired, 20).await;
        self.screen.claim(ended && self.is_on_time("web-night").await, "it ended on time");
        self.gone("web-night", "u-alice").await;
    }

    /// One of sre approves what Alice asked for last; what became of that.
    async fn decide(&mut self, who: &'static str) -> Option<DecisionReason> {
        let name = self.world.decide((who, &["sre"]), "web-night", json!({})).await;
        self.screen.say(&format!("kubectl create: AccessDecision web/{name}, decided by {who}"));
        let began = tokio::time::Instant::now();
        while began.elapsed() < Duration::from_secs(5) {
            if let Some(status) = self.world.answer(&name).await {
                return status.reason;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    async fn ask(&mut self, who: &'static str, name: &'static str, spec: Value) {
        self.world.ask(who, name, spec).await;
        let user = match who {
            "alice" => "u-alice",
            "bob" => "u-bob",
            _ => "u-carol",
        };
        self.grants.push((name, user));
        self.screen.say(&format!("kubectl apply: AccessGrant web/{name}, requested by {who}"));
    }

    /// After the end: Rancher's own 404, and nothing left downstream.
    async fn gone(&mut self, name: &str, user: &str) {
        let bindings = self.world.grant(name).await.and_then(|g| g.status).map(|s| s.bindings).unwrap_or_default();
        for binding in bindings {
            let gvr = testkit::apiserver::Gvr { resource: format!("{:?}s", binding.kind).to_lowercase(), ..crtbs() };
            let there = self.world.rancher.local().get(&gvr, &binding.namespace, &binding.name).is_some();
            self.screen.claim(!there, &format!("Rancher answers 404 for {}/{}", binding.namespace, binding.name));
        }
        self.screen.claim(!self.world.has_access(user), "nothing that gives access is left on the cluster");
    }

    async fn state(&self, name: &str) -> Option<BindingState> {
        Some(self.world.grant(name).await?.status?.bindings.first()?.state)
    }

    async fn is_on_time(&self, name: &str) -> bool {
        let status = self.world.grant(name).await.and_then(|g| g.status).unwrap_or_default();
        let (Some(end), Some(gone)) = (status.expires_time, status.revoked_time) else { return false };
        gone.0.duration_since(end.0) <= ON_TIME
    }

    async fn wait(&mut self, name: &str, phase: Phase, seconds: u64) -> bool {
        let began = tokio::time::Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            self.show().await;
            if self.world.phase(name).await == Some(phase) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        false
    }

    async fn until(&mut self, seconds: u64, holds: impl Fn(&World) -> bool) -> bool {
        let began = tokio::time::Instant::now();
        while began.elapsed() < Duration::from_secs(seconds) {
            self.show().await;
            if holds(&self.world) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    async fn show(&mut self) {
        let mut rows = Vec::new();
        for (name, user) in self.grants.clone() {
            if let Some(grant) = self.world.grant(name).await {
                rows.push(self.row(name, user, &grant));
            }
        }
        self.screen.show(rows);
    }

    fn row(&self, name: &str, user: &str, grant: &AccessGrant) -> Row {
        let status = grant.status.clone().unwrap_or_default();
        let phase = status.phase.map_or_else(|| "new".to_owned(), |phase| format!("{phase:?}"));
        let left = match (status.expires_time, status.revoked_time) {
            (_, Some(_)) => "over".to_owned(),
            (Some(end), None) => {
                format!("{:.0} s", end.0.duration_since(self.world.clock.now()).as_secs_f64().max(0.0))
            }
            (None, None) => "not begun".to_owned(),
        };
        let bindings = self.world.bindings_of(user).len();
        let access = if self.world.has_access(user) { "access works" } else { "no access" };
        Row {
            grant: format!("web/{name}"),
            phase,
            rancher: format!("{bindings} binding(s), {access} on {CLUSTER}"),
            left,
        }
    }
}
