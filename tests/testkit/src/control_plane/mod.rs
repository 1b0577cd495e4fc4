//! A real control plane for tests: etcd, kube-apiserver, kube-controller-manager and `kubectl`.
//!
//! The programs come from `KUBEBUILDER_ASSETS` or are built once from pinned Go modules ([`Binaries`]); no
//! container runtime and no download but the Go modules. A control plane starts in about 3 seconds, takes some 390 MiB, listens on
//! 127.0.0.1 only (etcd on a Unix socket), and ends with the test process, even one that is killed.
//!
//! kube-rs' `envtest` crate was looked at: it builds Go code into the test through bindgen and so needs clang, and it has no
//! controller manager, without which nothing is garbage collected and no namespace ever goes.
//!
//! Tests that share a process share [`ControlPlane::shared`] and keep apart by namespace; tests that stop servers or
//! install policies for the whole cluster start their own.
//!
//! ```no_run
//! # async fn example() -> Result<(), testkit::control_plane::Error> {
//! use testkit::control_plane::ControlPlane;
//! let plane = ControlPlane::shared().await;
//! let alice = plane.client_for("alice", &["web-devs"]).await;
//! let namespaces = plane.kubectl(&["get", "namespaces"]).await?;
//! # Ok(()) }
//! ```

mod audit;
mod binaries;
mod build;
mod certs;
mod error;
mod kubeconfig;
mod process;
mod servers;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{KubeConfigOptions, Kubeconfig},
};
use tokio::{io::AsyncWriteExt, sync::OnceCell};

pub use audit::AuditEntry;
pub use binaries::Binaries;
pub use error::Error;
use kubeconfig::Identity;
use servers::Servers;

/// What a control plane is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether the controller manager runs: garbage collection, namespaces that go, default service accounts,
    /// Deployments. Default: true.
    pub controller_manager: bool,
    /// Whether every request is logged for [`ControlPlane::audit`]. Default: false.
    pub audit: bool,
    /// More flags for the API server, such as `--max-requests-inflight=10`.
    pub api_server_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { controller_manager: true, audit: false, api_server_args: Vec::new() }
    }
}

/// What `kubectl` answered.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether it ended with 0.
    pub success: bool,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error, where refusals and warnings are.
    pub stderr: String,
}

impl Output {
    /// What it printed, where the test cannot go on without.
    ///
    /// # Panics
    /// When it failed, with all that it said.
    pub fn expect_success(self) -> String {
        assert!(self.success, "kubectl failed:\n{}{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// A running control plane. Dropping it stops the servers and removes all they wrote.
#[derive(Debug)]
pub struct ControlPlane {
    servers: Servers,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    files: AtomicU32,
}

impl ControlPlane {
    /// Starts a control plane and waits until it serves. The first start ever may build the programs.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let binaries = match tokio::task::spawn_blocking(Binaries::get).await {
            Ok(binaries) => binaries?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let kubectl = binaries.kubectl.clone();
        let servers = Servers::start(binaries, options).await?;
        let kubeconfig = servers.write_kubeconfig("admin.kubeconfig", Identity::Admin)?;
        Ok(Self { servers, kubectl, kubeconfig, files: AtomicU32::new(0) })
    }

    /// The control plane that all tests of this process share: controller manager and audit log on.
    /// Nobody may stop its API server.
    ///
    /// # Panics
    /// When it cannot be started: no test that asks for it could go on.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED
            .get_or_init(async || match Self::start(Options { audit: true, ..Options::default() }).await {
                Ok(plane) => plane,
                Err(error) => panic!("the shared control plane did not start: {error}"),
            })
            .await
    }

    /// The admin's kubeconfig (a member of `system:masters`); it goes with the control plane.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig.clone()
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        self.servers.url()
    }

    /// A client for the admin. Each call makes a new one, for a client lives on the runtime of the test that made it.
    pub async fn client(&self) -> Client {
        self.client_of(Identity::Admin).await
    }

    /// A client for any user with any number of groups (the admin impersonates him; `system:authenticated` must be
    /// named if wanted, though Kubernetes itself adds it).
    pub async fn client_for(&self, user: &str, groups: &[&str]) -> Client {
        self.client_of(Identity::Impersonated { user, groups }).await
    }

    /// A kubeconfig for any user with any number of groups, for `kubectl`.
    pub fn kubeconfig_for(&self, user: &str, groups: &[&str]) -> Result<PathBuf, Error> {
        self.servers.write_kubeconfig(&self.file(), Identity::Impersonated { user, groups })
    }

    /// A kubeconfig with a token (one hour) of an existing ServiceAccount, as a pod would have it.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf, Error> {
        let token = self.token(namespace, name).await?;
        self.servers.write_kubeconfig(&self.file(), Identity::Token(&token))
    }

    /// A client with a token of an existing ServiceAccount.
    pub async fn service_account_client(&self, namespace: &str, name: &str) -> Result<Client, Error> {
        let token = self.token(namespace, name).await?;
        Ok(self.client_of(Identity::Token(&token)).await)
    }

    /// Runs `kubectl` as the admin.
    pub async fn kubectl(&self, args: &[&str]) -> Result<Output, Error> {
        self.kubectl_with(&self.kubeconfig, args, "").await
    }

    /// Runs `kubectl` with a kubeconfig of this control plane, and `input` on its standard input (for `-f -`).
    pub async fn kubectl_with(&self, kubeconfig: &Path, args: &[&str], input: &str) -> Result<Output, Error> {
        let mut child = tokio::process::Command::new(&self.kubectl)
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("HOME", self.servers.directory())
            .env("NO_PROXY", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("cannot start", &self.kubectl))?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl that does not read its input may have closed it: its own answer says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(Error::io("cannot wait for", &self.kubectl))?;
        Ok(Output {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Waits until what is asked from now on is old enough for the operator: 12 s, and one for the clocks, after the newest of
    /// its admission policies and bindings was written.
    pub async fn until_identities_count(&self) -> Result<(), Error> {
        let newest = [
            "get",
            "validatingadmissionpolicies,validatingadmissionpolicybindings",
            "--selector=app.kubernetes.io/name=rancher-access-operator",
            "-o",
            "jsonpath={.items[*].metadata.creationTimestamp}",
        ];
        let times = self.kubectl(&newest).await?.stdout;
        let newest = times.split_whitespace().filter_map(|time| time.parse::<Timestamp>().ok()).max();
        let count_from = newest.unwrap_or(Timestamp::UNIX_EPOCH) + SignedDuration::from_secs(13);
        #[allow(clippy::disallowed_methods)] // a real API server tells real time
        let left = count_from.duration_since(Timestamp::now());
        tokio::time::sleep(left.try_into().unwrap_or_default()).await;
        Ok(())
    }

    /// Kills the API server, as a crash would; clients are refused. Nothing happens if it does not run.
    pub async fn stop_api_server(&self) {
        self.servers.stop_api_server().await;
    }

    /// Starts the API server again, on the same port and the same data, and waits until it serves.
    pub async fn start_api_server(&self) -> Result<(), Error> {
        self.servers.start_api_server().await
    }

    /// Kills etcd, as a crash would; the API server stays and can do nothing. Nothing happens if it does not run.
    pub async fn stop_etcd(&self) {
        self.servers.stop_etcd().await;
    }

    /// Starts etcd again, on the same data, and waits until the API server serves.
    pub async fn start_etcd(&self) -> Result<(), Error> {
        self.servers.start_etcd().await
    }

    /// All requests since the start, oldest first. The log is written as a request ends, which may be a moment
    /// after its client has the answer: poll.
    pub fn audit(&self) -> Result<Vec<AuditEntry>, Error> {
        audit::read(&self.servers.audit_log()?)
    }

    /// Where the servers write: data, logs (`<server>.log`), keys. Removed with the control plane.
    pub fn directory(&self) -> &Path {
        self.servers.directory()
    }

    async fn token(&self, namespace: &str, name: &str) -> Result<String, Error> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await, namespace);
        let spec = TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec, ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
        let what = || format!("a token for ServiceAccount {namespace}/{name}");
        let answer = answer.map_err(|error| Error::Api { what: what(), source: Box::new(error) })?;
        Ok(answer.status.map(|status| status.token).unwrap_or_default())
    }

    async fn client_of(&self, identity: Identity<'_>) -> Client {
        client(&self.servers.kubeconfig_text(identity)).await
    }

    /// A new name for a kubeconfig.
    fn file(&self) -> String {
        format!("{}.kubeconfig", self.files.fetch_add(1, Ordering::Relaxed))
    }
}

/// A client from a kubeconfig that this module wrote.
async fn client(kubeconfig: &str) -> Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).expect("a kubeconfig written here can be read");
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .expect("a kubeconfig written here is complete");
    Client::try_from(config).expect("certificates made here make a client")
}
