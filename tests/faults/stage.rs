//! Where a scenario is played: the servers, whoever keeps the operator running, and the people.

use std::{
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use data_encoding::BASE64;
use http::Request;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use rancher_access_operator::{
    api::{AccessGrant, RancherIntegration, condition, status::Phase},
    runtime::kube_client::{DeadlineLayer, Deadlines},
};
use serde_json::{Value, json};
use testkit::apiserver::{ApiServer, Gvr, Service, User};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    call::Server,
    embedded::{
        NAMESPACE, OPERATOR, Running, apply, install, transports,
        world::{CLUSTER, Given, World},
    },
    fault::Fault,
    secrecy::Canaries,
    sky::Sky,
    tap::Tap,
    truth::Truth,
};

/// From the end of a process until the next one starts.
const RESTART: Duration = Duration::from_secs(2);
/// How long a start may take until it is given up and tried again.
const START: Duration = Duration::from_secs(60);

/// How long what was asked for may take, when anything may go wrong meanwhile.
pub const PATIENCE: Duration = Duration::from_secs(330);

/// When it begins.
pub fn eight() -> Timestamp {
    "2026-12-01T08:00:00Z".parse().expect("a time")
}

/// The groups of the operator's ServiceAccount.
const GROUPS: [&str; 3] =
    ["system:serviceaccounts", "system:serviceaccounts:rancher-access-system", "system:authenticated"];

/// An API server with everything installed, half a minute before it begins: each run has a copy of its own.
static INSTALLED: LazyLock<ApiServer> = LazyLock::new(|| {
    let server = ApiServer::builder().now(|| eight() - SignedDuration::from_secs(30)).seed(1).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(install(&server));
    server
});

/// Does once what each run would do. To be called outside of any runtime.
pub fn prepare() {
    LazyLock::force(&INSTALLED);
}

/// Everything that a scenario has.
pub struct Stage {
    pub world: World,
    pub sky: Sky,
    pub truth: Truth,
    pub tap: Tap,
    /// What the operator's processes tell of themselves in figures, one after the other.
    pub metrics: Arc<Mutex<String>>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

impl Stage {
    /// Servers and people; no operator yet.
    pub async fn new(given: Given, plan: Vec<Fault>) -> Self {
        let sky = Sky::new(eight());
        let servers = sky.clone();
        let installed = INSTALLED.fork(move || servers.now());
        let world = World::assemble(sky.operators(), sky.servers(), Some(installed), given, Duration::ZERO).await;
        let truth = Truth::new(sky.clone());
        truth.observe(&world.server);
        if !given.keyless {
            truth.observe(&world.rancher.local());
        }
        truth.observe(&world.rancher.downstream(CLUSTER).expect("the cluster"));
        // Names are made from it: the same in every run.
        let (id, key) = (BASE64.encode(b"0123456789abcdef"), BASE64.encode(&[7; 32]));
        let installation = json!({"apiVersion": "v1", "kind": "Secret", "immutable": true,
            "metadata": {"name": "rancher-access-installation", "namespace": NAMESPACE}, "data": {"id": id, "key": key}});
        apply(&world.admin(), installation).await;
        let canaries = Canaries::of(&world.rancher.admin_token());
        let tap = Tap::new(sky.clone(), truth.clone(), canaries, plan);
        Self { world, sky, truth, tap, metrics: Arc::default(), keepers: Mutex::default() }
    }

    /// Keeps an operator running from now on, and as many as are asked for.
    pub fn keep_running(&self) {
        let mut orders = self.tap.orders();
        let first = tokio::spawn(self.keeper().run());
        let second = self.keeper();
        let second = tokio::spawn(async move {
            if orders.wait_for(|wanted| *wanted > 1).await.is_ok() {
                second.run().await;
            }
        });
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner).extend([first, second]);
    }

    /// Ends all operators, and whoever keeps them running.
    pub async fn stop(&self) {
        self.tap.kill_all();
        sleep(RESTART / 2).await;
        for keeper in self.keepers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            keeper.abort();
        }
    }

    fn keeper(&self) -> Keeper {
        Keeper {
            server: self.world.server.clone(),
            rancher: self.world.rancher.service(),
            clock: self.sky.operators(),
            tap: self.tap.clone(),
            metrics: self.metrics.clone(),
        }
    }

    /// Waits until the operator has reached Rancher.
    pub async fn ready(&self) {
        let gvr = Gvr::new("rancheraccess.io", "v1alpha1", "rancherintegrations");
        let ready = || {
            let found = self.world.server.get(&gvr, "", "prod").and_then(|found| serde_json::from_value(found).ok());
            let conditions = found.and_then(|found: RancherIntegration| found.status).unwrap_or_default().conditions;
            condition::find(&conditions, "Ready").is_some_and(|c| c.status == condition::ConditionStatus::True)
        };
        let began = Instant::now();
        while !ready() && began.elapsed() < PATIENCE {
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// Starts the operator, waits until it is ready, and begins to count.
    pub async fn begin(&self) {
        self.keep_running();
        self.ready().await;
        self.mark();
    }

    /// From here on requests count, and faults happen.
    pub fn mark(&self) {
        self.tap.mark();
    }

    /// Waits until a grant is in that phase, or past all patience.
    pub async fn reaches(&self, name: &str, phase: Phase) -> bool {
        self.reaches_within(name, phase, PATIENCE).await
    }

    pub async fn reaches_within(&self, name: &str, phase: Phase, within: Duration) -> bool {
        self.truth.until(within, |truth| truth.phase(name) == Some(phase)).await
    }

    /// Waits until a grant is in a phase that it never leaves.
    pub async fn finishes(&self, name: &str, within: Duration) -> bool {
        self.truth.until(within, |truth| truth.grant(name).is_none_or(|grant| grant.is_finished())).await
    }

    /// Asks for access to the cluster, as alice.
    pub async fn ask(&self, name: &str, spec: Value) {
        let mut whole = json!({"access": self.world.on_cluster()});
        if let (Some(whole), Some(spec)) = (whole.as_object_mut(), spec.as_object()) {
            whole.extend(spec.clone());
        }
        self.world.ask("alice", name, whole).await;
    }

    /// Deletes a grant, where it is still there.
    pub async fn delete(&self, name: &str) {
        let gvr = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
        drop(self.world.server.delete(&gvr, "web", name, None).await);
    }

    /// Time passes.
    pub async fn pass(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }
}

/// What a kubelet does: starts a process again, whatever it ended of.
struct Keeper {
    server: ApiServer,
    rancher: Service,
    clock: rancher_access_operator::runtime::Clock,
    tap: Tap,
    metrics: Arc<Mutex<String>>,
}

impl Keeper {
    async fn run(self) {
        loop {
            let process = self.tap.process();
            let service = self.server.service_as(User::new(OPERATOR, &GROUPS));
            let client = client(self.tap.wire(Server::Kubernetes, process, service));
            let rancher = transports(self.tap.wire(Server::Rancher, process, self.rancher.clone()));
            let name = format!("operator-{process}");
            let starting = Running::try_start(client, self.clock.clone(), rancher, &name, [15, 10, 5]);
            let started = tokio::select! {
                biased;
                () = self.tap.died(process) => None,
                started = timeout(START, starting) => started.ok().and_then(Result::ok),
            };
            if let Some(mut running) = started {
                tokio::select! {
                    biased;
                    () = self.tap.died(process) => {
                        let told = running.metrics.encode().unwrap_or_default();
                        *self.metrics.lock().unwrap_or_else(PoisonError::into_inner) += &told;
                        running.kill().await;
                    }
                    () = running.ended() => {}
                }
            }
            self.tap.kill(process);
            sleep(RESTART).await;
        }
    }
}

/// A client with the deadlines that the operator's own has.
fn client(service: Service) -> kube::Client {
    let adapter = service_fn(move |request: Request<Body>| {
        let service = service.clone();
        async move {
            let (head, body) = request.into_parts();
            service.oneshot(Request::from_parts(head, body.collect().await?.to_bytes())).await
        }
    });
    kube::Client::new(DeadlineLayer(Deadlines::default()).layer(adapter), "default")
}

/// A grant's status in words, without what differs from run to run.
pub fn outcome(grant: &AccessGrant) -> String {
    let Some(status) = &grant.status else { return "untouched".to_owned() };
    let bindings: Vec<_> = status.bindings.iter().map(|b| format!("{:?} {:?}", b.kind, b.state)).collect();
    let conditions: Vec<_> =
        status.conditions.iter().map(|c| format!("{}={:?} {}", c.type_, c.status, c.reason)).collect();
    let end = status.end.as_ref().map_or_else(|| "no end".to_owned(), |end| format!("{:?}", end.reason));
    let phase = status.phase.map_or_else(|| "no phase".to_owned(), |phase| format!("{phase:?}"));
    format!("{phase}, {end}, [{}], {}", bindings.join(", "), conditions.join(", "))
}
