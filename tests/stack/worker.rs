//! A world for one run after the other: all servers, the proxies on the operator's ways, and the operator that leads.

use std::{fs, panic::AssertUnwindSafe, path::PathBuf, sync::Mutex, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures::FutureExt;
use serde_json::{Value, json};
use testkit::{
    control_plane::ControlPlane,
    proxy::{Passed, Proxy},
    rancher::Served,
};
use tokio::time::{Instant, timeout};

use crate::{
    invariants::{self, Finalizers},
    operator::{Operator, SHORT_LEASE},
    run::Run,
    scenarios,
    stage::Stage,
    table::Row,
    until,
    world::{CLUSTER, NAME, OWN, World},
};

/// The namespace of all grants, and the policy's name.
pub(crate) const PLACE: &str = "web";
/// No run takes longer: it hangs then.
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) struct Worker {
    pub(crate) world: World,
    pub(crate) to_api: Proxy,
    pub(crate) to_rancher: Proxy,
    pub(crate) operator: Operator,
    pub(crate) finalizers: Finalizers,
    started: usize,
    /// What is behind and in front of the proxies, as long as it serves.
    _served: [Served; 2],
}

impl Worker {
    /// Everything, with somebody and somebody else's binding for each of that many runs.
    pub(crate) async fn start(runs: usize) -> Self {
        let finalizers = Finalizers::default();
        let (kept, watched) = (Mutex::new(None), finalizers.clone());
        let world = World::start_with(async |plane, rancher| {
            let simulator = rancher.serve().await;
            let (front, to_rancher) = Proxy::start(&simulator.url, &simulator.ca_pem, |_| {}).await;
            let rancher = rancher.clone();
            let (kubeconfig, before_api, to_api) = proxied(plane, move |asked| watched.look(asked, &rancher)).await;
            *kept.lock().expect("nobody else") = Some(([simulator, before_api], to_api, to_rancher));
            (front, kubeconfig)
        })
        .await;
        let (served, to_api, to_rancher) = kept.into_inner().expect("nobody else").expect("the proxies run");
        world.place(PLACE).await;
        for run in 0..runs {
            invariants::foreign(&world, &person(run, "a")).await;
        }
        let operator = start_operator(&world, 1);
        world.ready().await;
        world.led_by("op-1").await;
        Self { world, to_api, to_rancher, operator, finalizers, started: 1, _served: served }
    }

    /// Does one run; what is left of the worker, if it is good for another.
    pub(crate) async fn perform(self, index: usize, run: Run) -> (Row, Option<Self>) {
        let began = Instant::now();
        self.passed();
        self.finalizers.forget();
        self.world.rancher.clear_requests();
        let mut stage = Stage::new(self, index, run);
        // A broken promise panics, and ends the run alone.
        let acted = AssertUnwindSafe(timeout(PATIENCE, scenarios::play(&mut stage))).catch_unwind().await;
        let broke = match acted {
            Ok(Ok(())) => None,
            Ok(Err(_)) => Some(format!("the run did not end within {PATIENCE:?}")),
            Err(panic) => Some(words(panic.as_ref())),
        };
        let (worker, lag) = stage.close();
        let took = began.elapsed();
        match broke {
            None => (Row { run, took, lag, broke: None }, Some(worker)),
            Some(what) => (Row { run, took, lag, broke: Some(worker.tell(&what, began).await) }, None),
        }
    }

    /// Starts another operator, which is the one from then on; the one before is handed back.
    pub(crate) fn another(&mut self) -> Operator {
        self.started += 1;
        let next = start_operator(&self.world, self.started);
        std::mem::replace(&mut self.operator, next)
    }

    /// The name of the operator.
    pub(crate) fn leader(&self) -> String {
        format!("op-{}", self.started)
    }

    /// Ends the operator in order, and starts the next.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.another();
        self.leads().await;
    }

    /// Ends the operator in order.
    pub(crate) async fn stop(&mut self) {
        self.operator.signal("TERM");
        self.operator.ended("the operator has ended after SIGTERM", 30).await;
    }

    /// Waits until the operator leads and can do its work.
    pub(crate) async fn leads(&self) {
        self.world.led_by(&self.leader()).await;
        until("the operator is ready", 30, async || ready(&self.operator.url).await.then_some(())).await;
    }

    /// All requests since the last time, as they came.
    fn passed(&self) -> Vec<(&'static str, Passed)> {
        let mark = |to: &'static str, proxy: &Proxy| proxy.take_passed().into_iter().map(move |one| (to, one));
        let mut all: Vec<_> = mark("api", &self.to_api).chain(mark("rancher", &self.to_rancher)).collect();
        all.sort_by_key(|(_, passed)| passed.at);
        all
    }

    /// A failure with all that there is to know about it.
    async fn tell(&self, what: &str, began: Instant) -> String {
        let mut told = format!("BROKE: {what}\n\n--- what the operator asked, in seconds since the run began ---\n");
        for (to, passed) in self.passed() {
            // Leases, watches and looks at the admission policies go on all the time.
            let noise = ["/leases/", "watch=", "validatingadmission", "dryRun=All"];
            if noise.iter().any(|noise| passed.path.contains(noise)) && passed.outcome.starts_with('2') {
                continue;
            }
            let at = passed.at.saturating_duration_since(began).as_secs_f64();
            told += &format!("{at:8.3} {to:<8}{:<7}{} -> {}\n", passed.method, passed.path, passed.outcome);
        }
        let log = self.operator.log();
        let lines: Vec<_> = log.lines().filter(|line| !line.contains(" TRACE ")).collect();
        told += &format!("\n--- the end of the log of {} ---\n", self.leader());
        lines.iter().skip(lines.len().saturating_sub(80)).for_each(|line| told += &format!("{line}\n"));
        let args = ["get", "agrant,rint", "-A", "-o", "yaml", "--request-timeout=5s"];
        let objects = self.world.plane.kubectl(&args).await.map(|output| output.stdout).unwrap_or_default();
        told + "\n--- grants and integrations ---\n" + &objects
    }
}

/// A person for one run.
pub(crate) fn person(run: usize, which: &str) -> String {
    format!("p{run}{which}")
}

/// Short words of the log and a short lease, so that others take over within seconds.
fn start_operator(world: &World, number: usize) -> Operator {
    let level = ["--log-level", "info,rancher_access_operator=trace"];
    world.operator(&format!("op-{number}"), &[&SHORT_LEASE[..], &level].concat())
}

/// The operator's kubeconfig, with a proxy in front of the API server.
async fn proxied(
    plane: &ControlPlane,
    witness: impl Fn(&testkit::proxy::Asked) + Send + Sync + 'static,
) -> (PathBuf, Served, Proxy) {
    let path = plane.service_account_kubeconfig(OWN, NAME).await.expect("the operator's ServiceAccount");
    let mut config: Value = serde_json::from_slice(&fs::read(&path).expect("a kubeconfig")).expect("JSON");
    let cluster = &mut config["clusters"][0]["cluster"];
    let ca = STANDARD.decode(cluster["certificate-authority-data"].as_str().expect("a CA")).expect("base64");
    let (front, proxy) = Proxy::start(&plane.url(), &String::from_utf8_lossy(&ca), witness).await;
    *cluster = json!({"server": front.url, "certificate-authority-data": STANDARD.encode(&front.ca_pem)});
    fs::write(&path, config.to_string()).expect("the kubeconfig can be written");
    (path, front, proxy)
}

async fn ready(url: &str) -> bool {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    client.get(format!("{url}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success())
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without words".to_owned())
}

/// The path of Rancher's bindings on the cluster.
pub(crate) fn bindings_path() -> String {
    format!("/namespaces/{CLUSTER}/clusterroletemplatebindings")
}
