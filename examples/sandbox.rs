//! A place to play in: a real control plane, a Rancher simulator and the operator, until Ctrl-C.
//!
//! The operator is the real one, in a process of its own, with its ServiceAccount's rights alone. Everything listens on
//! 127.0.0.1 only, lies in one temporary directory, and goes with this process, however that ends.

use std::{
    fs::{self, File},
    io::{self, Read},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{ExitCode, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    control_plane::{Binaries, ControlPlane, Options},
    rancher::{Rancher, Served},
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The operator's namespace and name.
const OWN: &str = "rancher-access-system";
const NAME: &str = "rancher-access-operator";
/// The cluster and the project that config/samples names.
const CLUSTER: &str = "c-m-abc12def";
const PROJECT: &str = "p-x7k2m";

fn main() -> ExitCode {
    // `cargo run --example` builds no other program, so this one is the operator too.
    if std::env::args().nth(1).as_deref() == Some("run") {
        std::thread::spawn(end_with_the_sandbox);
        return rancher_access_operator::cli::main();
    }
    let ended = tokio::runtime::Runtime::new().map_err(Failure::from).and_then(|runtime| runtime.block_on(sandbox()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Standard input is a pipe that the sandbox holds and never writes to: it ends when the sandbox does.
fn end_with_the_sandbox() {
    let _ = io::stdin().read_to_end(&mut Vec::new());
    std::process::exit(1);
}

async fn sandbox() -> Result<(), Failure> {
    let begun = Instant::now();
    let step = |what: &str| eprintln!("[{:>5.1} s] {what}", begun.elapsed().as_secs_f64());
    step("Starting etcd, kube-apiserver and kube-controller-manager (the first time ever they are built, for minutes)");
    let plane = tokio::select! {
        plane = ControlPlane::start(Options::default()) => plane?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
    };
    let (rancher, served) = rancher().await;
    step("Applying config/crd, config/default and config/samples");
    let integration = manifest(&plane, &rancher, &served)?;
    install(&plane, &integration).await?;
    step("Starting the operator");
    let (mut operator, metrics) = operator(&plane).await?;
    // Apart, for `wait` would close it: see `end_with_the_sandbox`.
    let _held = operator.stdin.take();
    tokio::select! {
        ready = ready(&plane) => ready?,
        _ = tokio::signal::ctrl_c() => return Ok(()),
        ended = operator.wait() => return Err(ended_early(&plane, &format!("{ended:?}")).into()),
    }
    step("Ready");
    let administrator = rancher_kubeconfig(&plane, &rancher, &served)?;
    tell(&plane, &integration, &administrator, &metrics)?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => eprintln!("\nEnding; nothing stays."),
        ended = operator.wait() => return Err(ended_early(&plane, &format!("{ended:?}")).into()),
    }
    // Ctrl-C reached it too: it gives its lease back. Whatever it does, it does not outlive this.
    let _ = timeout(Duration::from_secs(3), operator.wait()).await;
    Ok(())
}

/// A Rancher with what config/samples names: a cluster, a project, and people.
async fn rancher() -> (Rancher, Served) {
    let rancher = Rancher::builder().build();
    rancher.add_cluster(CLUSTER, "prod-eu", &[("env", "prod")]);
    rancher.add_cluster("c-m-stage456", "stage-eu", &[("env", "stage")]);
    rancher.add_project(CLUSTER, "shop", &[("team", "shop")]);
    let backing = format!("{CLUSTER}-{PROJECT}");
    let namespace = json!({"metadata": {"name": backing}, "spec": {"finalizers": []}, "status": {"phase": "Active"}});
    let project = json!({
        "metadata": {"name": PROJECT, "namespace": CLUSTER, "labels": {"team": "web"}},
        "spec": {"displayName": "web", "clusterName": CLUSTER, "description": ""},
        "status": {"backingNamespace": backing, "conditions": []},
    });
    // Not `add_project`: that one makes names up, and the samples need this one.
    for (kind, object) in
        [(Gvr::core("namespaces"), namespace), (Gvr::new("management.cattle.io", "v3", "projects"), project)]
    {
        rancher.local().create_unchecked(&kind, object).expect("the simulator takes what it has not");
    }
    rancher.add_namespace(CLUSTER, PROJECT, "web-api").await;
    rancher
        .add_global_role(json!({"metadata": {"name": "view-rancher-metrics"}, "displayName": "View Rancher Metrics",
        "rules": [{"apiGroups": ["management.cattle.io"], "resources": ["ranchermetrics"], "verbs": ["get"]}]}));
    for (id, name) in [("u-alice", "alice"), ("u-bob", "bob"), ("u-carol", "carol"), ("u-extjo", "ext-jo")] {
        rancher.add_user(id, name, &[&format!("okta_user://{name}")]);
    }
    let served = rancher.serve().await;
    (rancher, served)
}

/// The sample of an integration, but for this Rancher: its address, key and certificate.
fn manifest(plane: &ControlPlane, rancher: &Rancher, served: &Served) -> Result<PathBuf, Failure> {
    let sample = fs::read_to_string(config("samples/rancherintegration.yaml"))?;
    let mut objects: Vec<Value> = sample.split("\n---\n").map(serde_saphyr::from_str).collect::<Result<_, _>>()?;
    let [secret, integration] = objects.as_mut_slice() else {
        return Err("config/samples/rancherintegration.yaml is not a Secret and a RancherIntegration".into());
    };
    secret["stringData"] = json!({"endpoint": format!("{}/v3", served.url), "token": rancher.admin_token()});
    integration["spec"]["host"] = served.host.clone().into();
    integration["spec"]["port"] = served.port.into();
    integration["spec"]["certificateAuthority"] = json!({"configMapRef": {"name": "rancher-ca", "key": "ca.crt"}});
    objects.push(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "rancher-ca", "namespace": OWN},
        "data": {"ca.crt": served.ca_pem}}));
    let texts: Vec<_> = objects.iter().map(serde_saphyr::to_string).collect::<Result<_, _>>()?;
    let path = plane.directory().join("rancherintegration.yaml");
    fs::write(&path, texts.join("---\n"))?;
    Ok(path)
}

/// A kubeconfig for Rancher's administrator: what somebody else does in Rancher. Its contexts are Rancher's own cluster and
/// the one of the samples.
fn rancher_kubeconfig(plane: &ControlPlane, rancher: &Rancher, served: &Served) -> Result<PathBuf, Failure> {
    let ca = plane.directory().join("rancher-ca.crt");
    fs::write(&ca, &served.ca_pem)?;
    let clusters = ["local", CLUSTER].map(|id| {
        let server = format!("{}/k8s/clusters/{id}", served.url);
        json!({"name": id, "cluster": {"server": server, "certificate-authority": ca}})
    });
    let contexts = ["local", CLUSTER].map(|id| json!({"name": id, "context": {"cluster": id, "user": "admin"}}));
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "local", "clusters": clusters,
        "contexts": contexts, "users": [{"name": "admin", "user": {"token": rancher.admin_token()}}]});
    let path = plane.directory().join("rancher.kubeconfig");
    fs::write(&path, config.to_string())?;
    Ok(path)
}

async fn install(plane: &ControlPlane, integration: &Path) -> Result<(), Failure> {
    let integration = integration.display().to_string();
    let sample = |name: &str| config(&format!("samples/{name}")).display().to_string();
    let (crd, all) = (config("crd").display().to_string(), config("default").display().to_string());
    let (namespace, policy, roles) = (sample("namespace.yaml"), sample("accesspolicy.yaml"), sample("rbac.yaml"));
    let approval = sample("accesspolicy-approval.yaml");
    for args in [
        &["apply", "-k", &crd][..],
        &["wait", "--for=condition=Established", "crd", "--all"],
        &["apply", "-k", &all],
        // Its rules are gathered by the controller manager.
        &[
            "wait",
            "--for=jsonpath={.rules}",
            "clusterrole/rancher-access-requester",
            "clusterrole/rancher-access-approver",
        ],
        // There are no nodes: the operator runs beside the control plane.
        &["delete", "deployment", NAME, "-n", OWN],
        &["apply", "-f", &integration, "-f", &namespace, "-f", &policy, "-f", &approval, "-f", &roles],
    ] {
        let output = plane.kubectl(args).await?;
        if !output.success {
            return Err(format!("kubectl {}: {}", args.join(" "), output.stderr).into());
        }
    }
    Ok(())
}

/// The operator, and where its metrics are.
async fn operator(plane: &ControlPlane) -> Result<(Child, String), Failure> {
    let kubeconfig = plane.service_account_kubeconfig(OWN, NAME).await?;
    let log = File::create(log(plane))?;
    // Free now; nobody else asks for ports of 127.0.0.1 by number.
    let health = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let child = Command::new(std::env::current_exe()?)
        .args(["run", "--log-format", "text", "--health-addr", &health, "--kubeconfig"])
        .arg(kubeconfig)
        .env_clear()
        .stdin(Stdio::piped())
        .stderr(log.try_clone()?)
        .stdout(log)
        .kill_on_drop(true)
        .spawn()?;
    Ok((child, format!("http://{health}/metrics")))
}

/// Waits until the integration is.
async fn ready(plane: &ControlPlane) -> Result<(), Failure> {
    let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    for _ in 0..300 {
        if plane.kubectl(&["get", "rint", "prod", "-o", path]).await?.stdout == "True" {
            // Who asks sooner is told to ask again.
            return Ok(plane.until_identities_count().await?);
        }
        sleep(Duration::from_millis(100)).await;
    }
    let said = plane.kubectl(&["get", "rint", "prod", "-o", "wide"]).await?;
    Err(format!("the integration is not ready:\n{}{}", said.stdout, said.stderr).into())
}

fn tell(plane: &ControlPlane, integration: &Path, administrator: &Path, metrics: &str) -> Result<(), Failure> {
    let alice = plane.kubeconfig_for("alice", &["web-devs"])?;
    let carol = plane.kubeconfig_for("carol", &["sre"])?;
    let samples = config("samples");
    println!(
        "
You are alice of web-devs; {samples}/accesspolicy.yaml says what she may have.

  alias kubectl={kubectl}
  export KUBECONFIG={alice}

  kubectl create -f {samples}/accessgrant.yaml
  kubectl get agrant -n team-web -w
  kubectl describe agrant -n team-web

A namespace, a role in Rancher: {samples}/accessgrant-namespace.yaml, {samples}/accessgrant-global.yaml
What somebody must approve:    kubectl create -f {samples}/accessgrant-cluster.yaml; describe it, and run the command
                               that it shows as carol of sre:  export KUBECONFIG={carol}
A local user, with a password: kubectl create -f {samples}/accessgrant-local-user.yaml; its status says where that stands
One that ends while you look:  sed 's/2h/20s/' {samples}/accessgrant.yaml | kubectl create -f -
As the administrator:          export KUBECONFIG={admin}
As Rancher's administrator:    export KUBECONFIG={rancher}   (--context {CLUSTER} for that cluster)
                               kubectl get clusterroletemplatebindings.management.cattle.io -A
                               (a simulator, without schemas: create and apply want --validate=false)
This Rancher's integration:    {integration}
The operator's log:            {log}
Its metrics:                   {metrics}

Ctrl-C ends it all; nothing stays.",
        kubectl = Binaries::get()?.kubectl.display(),
        alice = alice.display(),
        carol = carol.display(),
        admin = plane.kubeconfig().display(),
        samples = samples.display(),
        integration = integration.display(),
        rancher = administrator.display(),
        log = log(plane).display(),
    );
    Ok(())
}

fn ended_early(plane: &ControlPlane, how: &str) -> String {
    let log = fs::read_to_string(log(plane)).unwrap_or_default();
    format!("the operator ended ({how}):\n{log}")
}

fn log(plane: &ControlPlane) -> PathBuf {
    plane.directory().join("operator.log")
}

/// What an administrator applies, from wherever this is started.
fn config(part: &str) -> PathBuf {
    let here = Path::new("config").join(part);
    if here.exists() { here } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(part) }
}
