//! Starting, stopping and awaiting the servers.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{net::TcpSocket, sync::Mutex, time::Instant};

use super::{
    Binaries, Error, Options, audit, certs,
    certs::Certificates,
    kubeconfig::{Identity, document},
    process::{Scratch, Server},
};

/// How long the API server may take; 3 s is usual, a loaded machine takes more.
const READY: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
/// etcd's socket, relative to the directory that etcd and the API server run in: an absolute one might be too long.
const ETCD: &str = "unix://etcd.sock:0";
const AUDIT_LOG: &str = "audit.log";
const API_SERVER: &str = "kube-apiserver";

/// The servers of one control plane. Fields are dropped in this order: clients first, their directory last.
#[derive(Debug)]
pub(super) struct Servers {
    _controller_manager: Option<Server>,
    api_server: Mutex<Option<Server>>,
    etcd: Mutex<Option<Server>>,
    /// Holds the API server's port, so that nobody else takes it, even while the API server is stopped: it is bound
    /// with SO_REUSEPORT and never listens, so all connections are the API server's.
    _port: TcpSocket,
    address: SocketAddr,
    certificates: Certificates,
    binaries: Binaries,
    options: Options,
    scratch: Scratch,
}

impl Servers {
    /// Starts all and waits until the API server serves.
    pub(super) async fn start(binaries: Binaries, options: Options) -> Result<Self, Error> {
        let scratch = Scratch::new()?;
        let certificates = Certificates::make(scratch.path())?;
        certs::write(scratch.path(), "audit-policy.yaml", audit::POLICY)?;
        let (port, address) = reserve_port()?;
        let etcd = start_etcd(&binaries, scratch.path())?;
        let mut servers = Self {
            _controller_manager: None,
            api_server: Mutex::new(None),
            etcd: Mutex::new(Some(etcd)),
            _port: port,
            address,
            certificates,
            binaries,
            options,
            scratch,
        };
        servers.start_api_server().await?;
        if servers.options.controller_manager {
            let kubeconfig = servers.write_kubeconfig("controller-manager.kubeconfig", Identity::Admin)?;
            let args = servers.controller_manager_args(&kubeconfig);
            let program = &servers.binaries.kube_controller_manager;
            let server = Server::start("kube-controller-manager", program, &args, servers.directory())?;
            servers._controller_manager = Some(server);
        }
        Ok(servers)
    }

    pub(super) async fn stop_api_server(&self) {
        self.api_server.lock().await.take();
    }

    pub(super) async fn start_api_server(&self) -> Result<(), Error> {
        let mut slot = self.api_server.lock().await;
        if slot.is_some() {
            return Ok(());
        }
        let mut server =
            Server::start(API_SERVER, &self.binaries.kube_apiserver, &self.api_server_args(), self.directory())?;
        self.await_ready(&mut server).await?;
        *slot = Some(server);
        Ok(())
    }

    pub(super) async fn stop_etcd(&self) {
        self.etcd.lock().await.take();
    }

    /// Waits for the API server too, where that runs.
    pub(super) async fn start_etcd(&self) -> Result<(), Error> {
        let mut slot = self.etcd.lock().await;
        if slot.is_none() {
            *slot = Some(start_etcd(&self.binaries, self.directory())?);
        }
        drop(slot);
        match self.api_server.lock().await.as_mut() {
            Some(server) => self.await_ready(server).await,
            None => Ok(()),
        }
    }

    pub(super) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    pub(super) fn audit_log(&self) -> Result<PathBuf, Error> {
        if self.options.audit { Ok(self.directory().join(AUDIT_LOG)) } else { Err(Error::NoAudit) }
    }

    pub(super) fn kubeconfig_text(&self, identity: Identity<'_>) -> String {
        document(&self.url(), &self.certificates, identity)
    }

    pub(super) fn write_kubeconfig(&self, name: &str, identity: Identity<'_>) -> Result<PathBuf, Error> {
        certs::write(self.directory(), name, &self.kubeconfig_text(identity))
    }

    /// Waits until the API server says that it is ready and has made the namespace `default`, which it does last.
    async fn await_ready(&self, server: &mut Server) -> Result<(), Error> {
        let begun = Instant::now();
        let client = super::client(&self.kubeconfig_text(Identity::Admin)).await;
        loop {
            server.check()?;
            if let Some(etcd) = self.etcd.lock().await.as_mut() {
                etcd.check()?;
            }
            let answer = match ready(&client).await {
                Ok(()) => return Ok(()),
                Err(answer) => answer.to_string(),
            };
            if begun.elapsed() > READY {
                return Err(server.not_ready(READY.as_secs(), answer));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn api_server_args(&self) -> Vec<String> {
        let certificates = &self.certificates;
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let mut args = vec![
            format!("--etcd-servers={ETCD}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.address.port()),
            "--permit-port-sharing=true".to_owned(),
            // A loopback address may not be an endpoint of the service `kubernetes`.
            "--endpoint-reconciler-type=none".to_owned(),
            "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
            "--authorization-mode=RBAC".to_owned(),
            "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
            "--profiling=false".to_owned(),
            file("service-account-key-file", &certificates.service_account_public_file),
            file("service-account-signing-key-file", &certificates.service_account_key_file),
            file("client-ca-file", &certificates.authority_file),
            file("tls-cert-file", &certificates.server_file),
            file("tls-private-key-file", &certificates.server_key_file),
            file("cert-dir", &self.directory().join("certs")),
        ];
        if self.options.audit {
            args.push(file("audit-log-path", &self.directory().join(AUDIT_LOG)));
            args.push(file("audit-policy-file", &self.directory().join("audit-policy.yaml")));
            // Rotation would hide the older requests.
            args.push("--audit-log-maxsize=0".to_owned());
        }
        args.extend(self.options.api_server_args.iter().cloned());
        args
    }

    fn controller_manager_args(&self, kubeconfig: &Path) -> Vec<String> {
        let key = self.certificates.service_account_key_file.display();
        vec![
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--service-account-private-key-file={key}"),
            format!("--root-ca-file={}", self.certificates.authority_file.display()),
            "--leader-elect=false".to_owned(),
            // It need not serve anything, and so takes no port.
            "--secure-port=0".to_owned(),
            format!("--controllers={}", CONTROLLERS.join(",")),
        ]
    }
}

/// What the operator's world needs; nodes, volumes and the like there are none.
const CONTROLLERS: [&str; 10] = [
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "validatingadmissionpolicy-status-controller",
];

/// etcd in this directory, with what it has stored there before.
fn start_etcd(binaries: &Binaries, dir: &Path) -> Result<Server, Error> {
    Server::start("etcd", &binaries.etcd, &etcd_args(), dir)
}

/// Durability is no aim here (what a killed process has written stays written): without syncing, tests do not wait for the disk.
fn etcd_args() -> Vec<String> {
    let peer = "unix://peer.sock:0";
    vec![
        "--data-dir=etcd".to_owned(),
        format!("--listen-client-urls={ETCD}"),
        format!("--advertise-client-urls={ETCD}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

fn reserve_port() -> Result<(TcpSocket, SocketAddr), Error> {
    let reserve = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseport(true)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    reserve().map_err(Error::io("cannot take a port of", "127.0.0.1"))
}

async fn ready(client: &kube::Client) -> Result<(), kube::Error> {
    for path in ["/readyz", "/api/v1/namespaces/default"] {
        let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
        client.request_text(request).await?;
    }
    Ok(())
}
