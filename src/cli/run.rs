//! `run`: the operator itself.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use clap::Args;
use tracing::error;

use crate::{
    controller::{Operator, Settings},
    grant::Limits,
    rancher::transport,
    runtime::{
        Clock, Health, Leader, LeaseConfig, Metrics, Supervisor, events, health, kube_client, leader, supervise,
        telemetry::{self, LogFormat},
    },
};

/// Who the operator says it is, to the API server and in Events.
const NAME: &str = "rancher-access-operator";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Namespace of the operator: its Lease, its installation Secret, and all keys and certificates lie there.
    #[arg(long, env = "POD_NAMESPACE", default_value = "rancher-access-system")]
    namespace: String,
    /// Which integrations this operator serves: those whose spec.connector is this.
    #[arg(long, env = "CONNECTOR", default_value = "default")]
    connector: String,
    /// This process's name in the Lease and in Events; a random part is added.
    #[arg(long, env = "POD_NAME", default_value = NAME)]
    pod_name: String,
    /// Kubeconfig to use. Default: the usual places, then the pod's ServiceAccount.
    #[arg(long, env = "OPERATOR_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig. Default: its current one.
    #[arg(long, env = "OPERATOR_CONTEXT")]
    context: Option<String>,
    /// Address for /livez, /readyz and /metrics.
    #[arg(long, env = "HEALTH_ADDR", default_value = "0.0.0.0:8080")]
    health_addr: SocketAddr,
    /// Form of the log.
    #[arg(long, env = "LOG_FORMAT", default_value = "json", value_parser = ["json", "text"])]
    log_format: String,
    /// What is logged: a level, or directives such as `info,rancher_access_operator=debug`.
    #[arg(long, env = "LOG_LEVEL", default_value = "info")]
    log_level: String,
    /// How long another replica waits before it takes over from one that is silent, in seconds.
    #[arg(long, env = "LEASE_DURATION", default_value_t = 15, value_name = "SECONDS")]
    lease_duration: u64,
    /// How often the Lease is renewed, in seconds.
    #[arg(long, env = "LEASE_RENEW", default_value_t = 5, value_name = "SECONDS")]
    lease_renew: u64,
    /// How long after a renewal this process still creates access, in seconds; shorter than the duration.
    #[arg(long, env = "LEASE_DEADLINE", default_value_t = 10, value_name = "SECONDS")]
    lease_deadline: u64,
    /// How long work under way may take to finish at shutdown, in seconds.
    #[arg(long, env = "DRAIN", default_value_t = 20, value_name = "SECONDS")]
    drain: u64,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(super) fn main(arguments: &Arguments) -> ExitCode {
    let clock = Clock::system();
    let runtime = match prepare(arguments, &clock) {
        Ok(runtime) => runtime,
        Err(failure) => {
            eprintln!("error: {failure}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments, clock)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(error = %failure, "The operator ends");
            // What was abandoned may hang; nothing of it may go on.
            runtime.shutdown_background();
            ExitCode::FAILURE
        }
    }
}

fn prepare(arguments: &Arguments, clock: &Clock) -> Result<tokio::runtime::Runtime, Failure> {
    kube_client::install_tls_provider();
    let format: LogFormat = arguments.log_format.parse()?;
    telemetry::init(format, &arguments.log_level, clock.clone())?;
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

async fn run(arguments: &Arguments, clock: Clock) -> Result<(), Failure> {
    let signals = supervise::signals()?;
    let mut options = kube_client::ClientOptions::new(format!("{NAME}/{}", env!("CARGO_PKG_VERSION")));
    options.kubeconfig.clone_from(&arguments.kubeconfig);
    options.context.clone_from(&arguments.context);
    let client = kube_client::connect(&options).await?;
    let (metrics, health) = (Metrics::new(clock.clone()), Health::new());
    let mut supervisor = Supervisor::new(Duration::from_secs(arguments.drain));

    let listener = health::bind(arguments.health_addr).await?;
    let (board, figures) = (health.clone(), metrics.clone());
    supervisor.spawn_last("health", |stop| health::serve(listener, board, figures, stop));
    let identity = leader::identity(&arguments.pod_name)?;
    let (contender, handle) = Leader::new(client.clone(), lease(arguments, &identity), clock.clone())?;
    supervisor.spawn_last("lease", |stop| contender.run(stop));
    let (events, publisher) = events::channel(client.clone(), NAME, &identity, metrics.clone());
    supervisor.spawn("events", |stop| publisher.run(stop));

    let settings = Settings {
        namespace: arguments.namespace.clone(),
        connector: arguments.connector.clone(),
        limits: Limits::default(),
    };
    let operator = Operator {
        client,
        clock,
        settings,
        leader: handle,
        metrics,
        events,
        health,
        transports: Arc::new(transport::https),
    };
    operator.start(&mut supervisor).await?;
    supervisor.run(signals).await?;
    Ok(())
}

fn lease(arguments: &Arguments, identity: &str) -> LeaseConfig {
    let name = format!("{NAME}-{}", arguments.connector);
    let mut lease = LeaseConfig::new(&arguments.namespace, name, identity);
    lease.duration = Duration::from_secs(arguments.lease_duration);
    lease.renew = Duration::from_secs(arguments.lease_renew);
    lease.deadline = Duration::from_secs(arguments.lease_deadline);
    lease
}
