//! A control plane with everything installed, a Rancher to give access on, and what the operator needs to reach it.

use std::{fs, path::PathBuf, time::Duration};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use testkit::{
    control_plane::{ControlPlane, Options},
    rancher::{Rancher, Served, TokenSpec},
};

use super::{
    kinds::{self, Grant},
    operator::Operator,
    until,
};

/// The cluster that access is given on.
pub(crate) const CLUSTER: &str = "c-m-abc12def";
/// The operator's namespace and name.
pub(crate) const OWN: &str = "rancher-access-system";
pub(crate) const NAME: &str = "rancher-access-operator";
/// The group that everybody who may ask is in.
pub(crate) const GROUP: &str = "web-devs";

/// All servers of a test.
pub(crate) struct World {
    pub(crate) plane: ControlPlane,
    pub(crate) rancher: Rancher,
    /// A project on [`CLUSTER`].
    pub(crate) project: String,
    /// The admin's key to Rancher: in no log, status, event or metric.
    pub(crate) token: String,
    pub(crate) admin: Client,
    served: Served,
    kubeconfig: PathBuf,
}

impl World {
    /// Starts all but the operator. Integration `prod` stands; policies are the tests' own.
    pub(crate) async fn start() -> Self {
        Self::start_with(async |plane, rancher| {
            (rancher.serve().await, plane.service_account_kubeconfig(OWN, NAME).await.unwrap())
        })
        .await
    }

    /// The same with another way for the operator: how it reaches Rancher, and its kubeconfig.
    pub(crate) async fn start_with(way: impl AsyncFnOnce(&ControlPlane, &Rancher) -> (Served, PathBuf)) -> Self {
        let plane = ControlPlane::start(Options { audit: true, ..Options::default() }).await;
        let plane = plane.unwrap_or_else(|error| panic!("{error}"));
        let rancher = Rancher::builder().seed(1).build();
        rancher.add_cluster(CLUSTER, "prod-eu", &[]);
        let project = rancher.add_project(CLUSTER, "web", &[]);
        install(&plane).await;
        let (served, kubeconfig) = way(&plane, &rancher).await;
        let (admin, token) = (plane.client().await, key(&rancher));
        let world = Self { plane, rancher, project, token, admin, served, kubeconfig };
        world.apply(&world.connection()).await;
        world.apply(&world.integration("prod")).await;
        world
    }

    /// Starts the operator with its ServiceAccount's rights alone.
    pub(crate) fn operator(&self, name: &str, args: &[&str]) -> Operator {
        Operator::start(name, &self.kubeconfig, self.plane.directory(), args)
    }

    /// Waits until access can be given on `prod`, to whoever asks then.
    pub(crate) async fn ready(&self) {
        self.integration_says("prod", "Ready", "True", 30).await;
        self.plane.until_identities_count().await.unwrap();
    }

    /// When the operator of this name took the lease, once it has.
    pub(crate) async fn led_by(&self, name: &str) -> Timestamp {
        let leases: Api<Lease> = Api::namespaced(self.admin.clone(), OWN);
        let what = format!("{name} holds the lease");
        let taken = until(&what, 30, async || {
            let spec = leases.get_opt("rancher-access-operator-default").await.ok()??.spec?;
            let held = spec.holder_identity.is_some_and(|holder| holder.starts_with(&format!("{name}_")));
            held.then(|| spec.acquire_time.expect("when it was taken").0)
        });
        taken.await.0
    }

    /// Waits until a condition of an integration has this status.
    pub(crate) async fn integration_says(&self, name: &str, condition: &str, status: &str, seconds: u64) {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{condition}\")].status}}");
        until(&format!("{name} says {condition}={status}"), seconds, async || {
            let output = self.plane.kubectl(&["get", "rint", name, "-o", &path]).await.unwrap();
            (output.stdout == status).then_some(())
        })
        .await;
    }

    /// Applies what the platform team applies.
    pub(crate) async fn apply(&self, object: &Value) {
        let (admin, manifest) = (self.plane.kubeconfig(), object.to_string());
        let applied = self.plane.kubectl_with(&admin, &["apply", "-f", "-"], &manifest).await;
        applied.unwrap().expect_success();
    }

    /// A namespace for one test, and a policy of the same name that allows it [`GROUP`]'s usual access.
    pub(crate) async fn place(&self, name: &str) {
        self.namespace(name).await;
        self.apply(&kinds::policy(name, &self.project)).await;
    }

    pub(crate) async fn namespace(&self, name: &str) {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await;
    }

    /// A person whom Rancher knows as `u-<name>`.
    pub(crate) fn person(&self, name: &str) -> String {
        let id = format!("u-{name}");
        self.rancher.add_user(&id, name, &[&format!("okta_user://{name}")]);
        id
    }

    /// Has a person ask, who does not write who he is.
    pub(crate) async fn ask(&self, who: &str, namespace: &str, name: &str, spec: Value) -> Grant {
        let client = self.plane.client_for(who, &[GROUP]).await;
        kinds::create(&client, namespace, name, spec)
            .await
            .unwrap_or_else(|error| panic!("{namespace}/{name}: {error}"));
        Grant::new(self.admin.clone(), namespace, name)
    }

    /// The bindings in Rancher that name this person, or his principal.
    pub(crate) fn bindings_of(&self, person: &str) -> Vec<Value> {
        let principal = format!("okta_user://{person}");
        let id = format!("u-{person}");
        let mut all = self.rancher.bindings();
        all.retain(|one| one["userName"] == id.as_str() || one["userPrincipalName"] == principal.as_str());
        all
    }

    /// A client that speaks to Rancher's own cluster as its administrator.
    pub(crate) async fn rancher_client(&self) -> Client {
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "rancher",
            "clusters": [{"name": "rancher", "cluster": {
                "server": format!("{}/k8s/clusters/local", self.served.url),
                "certificate-authority": self.ca_file(),
            }}],
            "users": [{"name": "admin", "user": {"token": self.token}}],
            "contexts": [{"name": "rancher", "context": {"cluster": "rancher", "user": "admin"}}],
        });
        let kubeconfig = Kubeconfig::from_yaml(&config.to_string()).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }

    fn ca_file(&self) -> PathBuf {
        let file = self.plane.directory().join("rancher-ca.pem");
        fs::write(&file, &self.served.ca_pem).unwrap();
        file
    }

    /// The key to Rancher and the certificate to trust.
    pub(crate) fn connection(&self) -> Value {
        let meta = |name| json!({"name": name, "namespace": OWN});
        json!({"apiVersion": "v1", "kind": "List", "items": [
            {"apiVersion": "v1", "kind": "Secret", "metadata": meta("rancher-prod"),
                "stringData": {"endpoint": format!("{}/v3", self.served.url), "token": self.token}},
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("rancher-ca"),
                "data": {"ca.crt": self.served.ca_pem}},
        ]})
    }

    /// An integration of this Rancher.
    pub(crate) fn integration(&self, name: &str) -> Value {
        json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration", "metadata": {"name": name}, "spec": {
            "host": self.served.host, "port": self.served.port,
            "credentialsSecretRef": {"name": "rancher-prod"},
            "certificateAuthority": {"configMapRef": {"name": "rancher-ca", "key": "ca.crt"}},
            "identityMapping": {"userPrincipal": "okta_user://{name}", "groupPrincipal": "okta_group://{name}"},
            "customAccessDetails": "Changes in production need a ticket.",
        }})
    }
}

/// A key of Rancher's administrator that ends in a month.
fn key(rancher: &Rancher) -> String {
    rancher.add_admin("user-robot", "robot");
    rancher.add_token("user-robot", TokenSpec { ttl: Some(Duration::from_secs(30 * 86_400)), ..TokenSpec::default() })
}

/// What an administrator applies, and the right to ask for people.
async fn install(plane: &ControlPlane) {
    let config = |step: &str| format!("{}/config/{step}", env!("CARGO_MANIFEST_DIR"));
    // Not everybody: the operator would be among them.
    let people = ["--clusterrole=rancher-access-requester", "--group=web-devs", "--group=strangers"];
    for step in [
        vec!["apply", "-k", &config("crd")],
        vec!["wait", "--for=condition=Established", "crd", "--all"],
        vec!["apply", "-k", &config("default")],
        vec!["wait", "--for=jsonpath={.rules}", "clusterrole/rancher-access-requester"],
        [&["create", "clusterrolebinding", "ask"][..], &people].concat(),
        vec!["wait", "--for=jsonpath={.rules}", "clusterrole/rancher-access-approver"],
        vec!["create", "clusterrolebinding", "decide", "--clusterrole=rancher-access-approver", "--group=sre"],
    ] {
        plane.kubectl(&step).await.unwrap().expect_success();
    }
    let admin = plane.client().await;
    until("the API server fills in who asks", 30, async || kinds::would_be_taken(&admin).await.then_some(())).await;
}
