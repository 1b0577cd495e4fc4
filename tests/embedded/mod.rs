//! The whole operator, embedded: on the in-memory API server and the Rancher simulator, without a socket.
//!
//! Shared by the end-to-end tests and the demo. What it applies is what ships: the generated CRDs and the admission
//! policies of `config/`.

// Each test binary and the demo use a part of it.
#![allow(dead_code)]

pub mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
    discovery::Scope,
};
use rancher_access_operator::{
    api,
    controller::{Operator, OperatorError, Settings, Transports},
    grant::Limits,
    runtime::{Clock, Health, Leader, LeaseConfig, Metrics, Supervisor, events, supervise::SuperviseError},
};
use serde_json::Value;
use testkit::apiserver::ApiServer;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The operator's namespace and name, as `config/` has them.
pub const NAMESPACE: &str = "rancher-access-system";
pub const OPERATOR: &str = "system:serviceaccount:rancher-access-system:rancher-access-operator";

/// A clock that follows tokio's: paused and moved with it.
pub fn clock(start: Timestamp) -> Clock {
    let origin = tokio::time::Instant::now();
    Clock::new(move || start + origin.elapsed())
}

/// How long before everything else the policies were installed: identities are proven of what comes 12 s later.
const INSTALLED_BEFORE: SignedDuration = SignedDuration::from_secs(20);

/// What a server tells the time by: earlier than it is until everything is installed. So nobody has to wait, not even the
/// demo, whose time is everybody's.
#[derive(Clone)]
pub struct ServerClock {
    clock: Clock,
    installed: Arc<AtomicBool>,
}

impl ServerClock {
    pub fn before_installing(clock: &Clock) -> Self {
        Self { clock: clock.clone(), installed: Arc::default() }
    }

    pub fn now(&self) -> Timestamp {
        let now = self.clock.now();
        if self.installed.load(Ordering::Relaxed) { now } else { now - INSTALLED_BEFORE }
    }

    pub fn installed(&self) {
        self.installed.store(true, Ordering::Relaxed);
    }
}

/// An API server of the operator's own.
pub async fn api_server(clock: &Clock) -> ApiServer {
    api_server_of(clock, 1).await
}

/// The same, of another cluster: each seed has its own UIDs.
pub async fn api_server_of(clock: &Clock, seed: u64) -> ApiServer {
    let clock = ServerClock::before_installing(clock);
    let tell = clock.clone();
    let server = ApiServer::builder().now(move || tell.now()).seed(seed).build();
    install(&server).await;
    clock.installed();
    server
}

/// Everything that an administrator applies before the operator starts.
pub async fn install(server: &ApiServer) {
    let admin = server.client();
    for crd in api::crds().expect("the CRDs can be generated") {
        apply(&admin, serde_json::to_value(crd).expect("a CRD is JSON")).await;
    }
    apply(&admin, serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})).await;
    for document in documents(include_str!("../../config/admission/validating.yaml")) {
        apply(&admin, document).await;
    }
}

/// The operator's client: its own ServiceAccount.
pub fn operator_client(server: &ApiServer) -> Client {
    server.client_as(
        OPERATOR,
        &["system:serviceaccounts", "system:serviceaccounts:rancher-access-system", "system:authenticated"],
    )
}

/// A running operator.
pub struct Running {
    task: JoinHandle<Result<(), SuperviseError>>,
    stop: CancellationToken,
    pub health: Health,
    pub metrics: Metrics,
}

impl Running {
    /// Starts one. Its name is its identity in the Lease; `lease` is the Lease's duration, deadline and renewal in seconds.
    pub async fn start(client: Client, clock: Clock, transports: Transports, name: &str, lease: [u64; 3]) -> Self {
        Self::try_start(client, clock, transports, name, lease).await.expect("the operator starts")
    }

    /// The same, where a server may be away or lie.
    pub async fn try_start(
        client: Client,
        clock: Clock,
        transports: Transports,
        name: &str,
        lease: [u64; 3],
    ) -> Result<Self, OperatorError> {
        Self::try_start_in(NAMESPACE, client, clock, transports, name, lease).await
    }

    /// The same, in another namespace than the usual one: its Lease, its installation and its Secrets are there.
    pub async fn try_start_in(
        namespace: &str,
        client: Client,
        clock: Clock,
        transports: Transports,
        name: &str,
        lease: [u64; 3],
    ) -> Result<Self, OperatorError> {
        let (metrics, health) = (Metrics::new(clock.clone()), Health::new());
        let mut supervisor = Supervisor::new(Duration::from_secs(5));
        let mut config = LeaseConfig::new(namespace, "rancher-access-operator-default", name);
        [config.duration, config.deadline, config.renew] = lease.map(Duration::from_secs);
        let (contender, handle) = Leader::new(client.clone(), config, clock.clone()).expect("the lease's times fit");
        let (sink, publisher) = events::channel(client.clone(), "rancher-access-operator", name, metrics.clone());
        supervisor.spawn_last("lease", |stop| contender.run(stop));
        supervisor.spawn("events", |stop| publisher.run(stop));
        // A grant that nobody allows is given up sooner than in life, so that a test can wait for it.
        let limits = Limits { pending: SignedDuration::from_mins(30), ..Limits::default() };
        let settings = Settings { namespace: namespace.into(), connector: "default".into(), limits };
        let operator = Operator {
            client,
            clock,
            settings,
            leader: handle,
            metrics: metrics.clone(),
            events: sink,
            health: health.clone(),
            transports,
        };
        operator.start(&mut supervisor).await?;
        let stop = supervisor.token();
        let task = tokio::spawn(async move {
            let (_keep, signals) = mpsc::channel(1);
            supervisor.run(signals).await
        });
        Ok(Self { task, stop, health, metrics })
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }

    /// Ends it at once, as SIGKILL would: nothing is finished, and the Lease is not given back.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// Ends it in good order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("no panic").expect("an orderly end");
    }
}

/// Creates any object from its JSON.
pub async fn apply(client: &Client, object: Value) -> DynamicObject {
    try_apply(client, object.clone()).await.unwrap_or_else(|error| panic!("cannot create {object}: {error}"))
}

/// Creates any object from its JSON, or says why not.
pub async fn try_apply(client: &Client, object: Value) -> Result<DynamicObject, kube::Error> {
    let object: DynamicObject = serde_json::from_value(object).expect("an object");
    let types = object.types.clone().expect("apiVersion and kind");
    let gvk = GroupVersionKind::try_from(&types).expect("a group, version and kind");
    let (resource, scope) = resource(&gvk);
    let api: Api<DynamicObject> = match scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            Api::namespaced_with(client.clone(), object.metadata.namespace.as_deref().unwrap_or("default"), &resource)
        }
    };
    api.create(&PostParams::default(), &object).await
}

fn resource(gvk: &GroupVersionKind) -> (ApiResource, Scope) {
    let plural = match gvk.kind.as_str() {
        "AccessPolicy" => "accesspolicies".to_owned(),
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let scope = match gvk.kind.as_str() {
        "Secret" | "ConfigMap" | "AccessGrant" | "AccessDecision" => Scope::Namespaced,
        _ => Scope::Cluster,
    };
    (ApiResource::from_gvk_with_plural(gvk, &plural), scope)
}

/// The documents of a YAML text.
pub fn documents(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).expect("YAML")).collect()
}

/// Transports that lead to one service, whatever the address.
pub fn transports(service: rancher_access_operator::rancher::Transport) -> Transports {
    Arc::new(move |_| Ok(service.clone()))
}
