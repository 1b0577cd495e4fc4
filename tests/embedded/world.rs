//! A small world to live in: an API server, a Rancher with a cluster, a project and people, and the operator between them.

use std::time::Duration;

use data_encoding::BASE64;
use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use rancher_access_operator::{
    api::{
        AccessDecision, AccessDecisionStatus, AccessGrant, AccessPolicy, RancherIntegration, condition, status::Phase,
    },
    runtime::Clock,
};
use serde_json::{Value, json};
use testkit::{
    apiserver::{ApiServer, Gvr},
    rancher::{Model, Rancher, Version},
};
use tower::ServiceExt;

use super::{
    NAMESPACE, OPERATOR, Running, ServerClock, api_server, apply, clock, install, operator_client, transports,
};

/// The cluster that access is asked for.
pub const CLUSTER: &str = "c-m-prod0001";

/// How often something is looked at that is waited for: at first, and at most.
const GLANCE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Which Rancher it is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    pub version: Version,
    pub model: Model,
    /// Whether the operator lives in Rancher's own cluster, and reaches it without a key.
    pub keyless: bool,
}

/// Everything there is.
pub struct World {
    pub clock: Clock,
    pub server: ApiServer,
    pub rancher: Rancher,
    /// The project that access is asked for.
    pub project: String,
    pub operator: Option<Running>,
    /// The Lease's duration, deadline and renewal, in seconds.
    pub lease: [u64; 3],
    started: usize,
}

impl World {
    /// A world in which the platform team has registered Rancher and written a policy, and nobody has asked for anything.
    pub async fn new(start: Timestamp, given: Given) -> Self {
        Self::with_latency(start, given, Duration::ZERO).await
    }

    /// The same with a Rancher that takes this long for each request.
    pub async fn with_latency(start: Timestamp, given: Given, latency: Duration) -> Self {
        let clock = clock(start);
        Self::assemble(clock.clone(), clock, None, given, latency).await
    }

    /// The same, where the operator's clock may tell another time than the servers', and everything may stand installed on an
    /// API server already.
    pub async fn assemble(
        clock: Clock,
        servers: Clock,
        installed: Option<ApiServer>,
        given: Given,
        latency: Duration,
    ) -> Self {
        let (theirs, servers) = (servers.clone(), ServerClock::before_installing(&servers));
        let tell = servers.clone();
        let rancher = Rancher::builder()
            .now(move || tell.now())
            .seed(7)
            .latency(latency)
            .version(given.version)
            .model(given.model)
            .build();
        let server = match installed {
            _ if given.keyless => home(&rancher).await,
            Some(server) => server,
            None => api_server(&theirs).await,
        };
        servers.installed();
        rancher.add_cluster(CLUSTER, "production", &[("env", "prod")]);
        let project = rancher.add_project(CLUSTER, "web", &[("team", "web")]);
        rancher.add_namespace(CLUSTER, &project, "web-frontend").await;
        rancher.add_user("u-alice", "alice", &["okta_user://alice"]);
        rancher.add_user("u-bob", "bob", &["okta_user://bob"]);
        rancher.add_user("u-carol", "carol", &["okta_user://carol"]);
        // Rancher needs a moment to give its administrator his rights on a new cluster.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let world = Self { clock, server, rancher, project, operator: None, lease: [15, 10, 5], started: 0 };
        world.register(given.keyless).await;
        world
    }

    /// Registers Rancher, with its key or without, and writes the policy.
    async fn register(&self, keyless: bool) {
        let admin = self.admin();
        apply(
            &admin,
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rancher-prod", "namespace": NAMESPACE},
            "stringData": {"endpoint": "https://rancher.example.com/v3", "token": self.rancher.admin_token()}}),
        )
        .await;
        apply(
            &admin,
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web", "labels": {"team": "web"}}}),
        )
        .await;
        let mut integration = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "RancherIntegration", "metadata": {"name": "prod"},
            "spec": {"identityMapping": {"userPrincipal": "okta_user://{name}", "groupPrincipal": "okta_group://{name}"},
                "customAccessDetails": "Questions: #platform"}});
        if !keyless {
            integration["spec"]["host"] = json!("rancher.example.com");
            integration["spec"]["credentialsSecretRef"] = json!({"name": "rancher-prod"});
        }
        apply(&admin, integration).await;
        apply(&admin, json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy", "metadata": {"name": "web"},
            "spec": {"integrationRef": {"name": "prod"}, "namespaceSelector": {"matchLabels": {"team": "web"}},
                "requesters": [{"kind": "Group", "name": "web-devs"}],
                "subjects": {"self": true, "users": ["okta_user://ext-*"], "groups": ["okta_group://web-*"]},
                "access": [
                    {"cluster": {"names": [CLUSTER], "roles": ["cluster-member"]}},
                    {"project": {"clusterSelector": {"matchLabels": {"env": "prod"}}, "selector": {"matchLabels": {"team": "web"}}, "roles": ["project-member", "read-only"]}},
                ],
                "duration": {"default": "1h", "max": "8h"}}})).await;
    }

    /// Starts the operator, and waits until it has reached Rancher.
    pub async fn start(&mut self) {
        self.launch().await;
        self.until("the integration is ready", Duration::from_secs(60), || async {
            let integration = Api::<RancherIntegration>::all(self.admin()).get("prod").await.expect("the integration");
            let conditions = integration.status.unwrap_or_default().conditions;
            condition::find(&conditions, "Ready").is_some_and(|c| c.status == condition::ConditionStatus::True)
        })
        .await;
    }

    /// Starts the operator.
    pub async fn launch(&mut self) {
        self.started += 1;
        let name = format!("operator-{}", self.started);
        let client = operator_client(&self.server);
        self.operator = Some(
            Running::start(client, self.clock.clone(), transports(self.rancher.service()), &name, self.lease).await,
        );
    }

    /// Kills the operator, as SIGKILL would.
    pub async fn kill(&mut self) {
        self.operator.take().expect("an operator").kill().await;
    }

    pub fn admin(&self) -> Client {
        self.server.client()
    }

    /// Asks for access, as that member of web-devs.
    pub async fn ask(&self, who: &str, name: &str, spec: Value) -> AccessGrant {
        let mut spec = spec;
        spec["integrationRef"] = json!({"name": "prod"});
        spec["requestedBy"] = json!({"username": who, "groups": ["web-devs"]});
        let client = self.server.client_as(who, &["web-devs", "system:authenticated"]);
        let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"name": name, "namespace": "web"}, "spec": spec});
        apply(&client, object).await;
        self.grant(name).await.expect("the grant that was just created")
    }

    /// Decides about a grant, as that user with these groups; the name of the AccessDecision.
    pub async fn decide(&self, (who, groups): (&str, &[&str]), grant: &str, spec: Value) -> String {
        // What the API server calls later must be later by its clock, which has whole seconds.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let decision = spec["decision"].as_str().unwrap_or("Approve").to_lowercase();
        let name = format!("{}-{decision}-{}", who.replace(':', ".").to_lowercase(), self.clock.now().as_second());
        let mut full = json!({"grantRef": {"name": grant}, "decision": "Approve", "decidedBy": {"username": who, "groups": groups}});
        full.as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        let object = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessDecision",
            "metadata": {"name": name, "namespace": "web"}, "spec": full});
        let mut all = groups.to_vec();
        all.push("system:authenticated");
        apply(&self.server.client_as(who, &all), object).await;
        name
    }

    /// What became of a decision, once that is told.
    pub async fn answer(&self, name: &str) -> Option<AccessDecisionStatus> {
        let decision = Api::<AccessDecision>::namespaced(self.admin(), "web").get_opt(name).await.ok()??;
        decision.status.filter(|status| status.reason.is_some())
    }

    /// One role on the cluster.
    pub fn on_cluster(&self) -> Value {
        json!([{"cluster": {"name": CLUSTER, "role": "cluster-member"}}])
    }

    /// One role on the project.
    pub fn on_project(&self) -> Value {
        json!([{"project": {"cluster": CLUSTER, "name": self.project, "role": "project-member"}}])
    }

    pub async fn grant(&self, name: &str) -> Option<AccessGrant> {
        Api::<AccessGrant>::namespaced(self.admin(), "web").get_opt(name).await.ok().flatten()
    }

    pub async fn delete(&self, name: &str) {
        Api::<AccessGrant>::namespaced(self.admin(), "web")
            .delete(name, &DeleteParams::default())
            .await
            .expect("deleted");
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        let api = Api::<AccessGrant>::namespaced(self.admin(), "web");
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("patched");
    }

    /// Changes the policy.
    pub async fn patch_policy(&self, spec: Value) {
        let api = Api::<AccessPolicy>::all(self.admin());
        api.patch("web", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.expect("patched");
    }

    pub async fn phase(&self, name: &str) -> Option<Phase> {
        self.grant(name).await?.status?.phase
    }

    /// Waits until a grant is in that phase.
    pub async fn reaches(&self, name: &str, phase: Phase, within: Duration) -> AccessGrant {
        self.until(&format!("{name} is {phase:?}"), within, || async { self.phase(name).await == Some(phase) }).await;
        self.grant(name).await.expect("the grant")
    }

    /// Waits until something holds.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, within: Duration, mut holds: impl FnMut() -> F) {
        let began = tokio::time::Instant::now();
        while !holds().await {
            if began.elapsed() > within {
                panic!("not within {within:?}: {what}\n{}", self.tell().await);
            }
            // Fine at first, where things happen fast; coarser later, where hours pass.
            tokio::time::sleep((began.elapsed() / 50).clamp(GLANCE.0, GLANCE.1)).await;
        }
    }

    /// Everything, for a test that failed.
    pub async fn tell(&self) -> String {
        let mut told = String::new();
        let gvr = |plural| Gvr::new("rancheraccess.io", "v1alpha1", plural);
        for object in [
            self.server.list(&gvr("accessgrants"), None),
            self.server.list(&gvr("rancherintegrations"), None),
            self.rancher.bindings(),
        ]
        .concat()
        {
            told += &format!("{}\n", serde_json::to_string_pretty(&object).unwrap_or_default());
        }
        told
    }

    /// All Events, as text.
    pub fn events(&self) -> String {
        let events = self.server.list(&Gvr::new("events.k8s.io", "v1", "events"), None);
        serde_json::to_string(&events).unwrap_or_default()
    }

    /// The names of the bindings in Rancher that give that user or principal something, whoever made them.
    pub fn bindings_of(&self, who: &str) -> Vec<String> {
        let fields = ["userName", "userPrincipalName", "groupPrincipalName"];
        let theirs =
            |binding: &&Value| fields.iter().any(|field| binding[*field] == who) && binding["globalRoleName"].is_null();
        self.rancher
            .bindings()
            .iter()
            .filter(theirs)
            .map(|b| b["metadata"]["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Whether RBAC anywhere gives that user something on the cluster that access is asked for.
    pub fn has_access(&self, who: &str) -> bool {
        self.rancher.access_of(who).iter().any(|access| access.cluster == CLUSTER)
    }

    /// The name and password that stand in the Secret which a grant's details name.
    pub fn credentials(&self, grant: &AccessGrant) -> Option<(String, String)> {
        let details = grant.status.as_ref()?.access_details.as_ref()?.credentials.as_ref()?;
        let secret = self.server.get(&Gvr::core("secrets"), NAMESPACE, details.secret.split_once('/')?.1)?;
        let bytes = |key: &str| BASE64.decode(secret["data"][key].as_str()?.as_bytes()).ok();
        let text = |key: &str| String::from_utf8(bytes(key)?).ok();
        Some((text("username")?, text("password")?))
    }

    /// Logs in to Rancher, with a name and a password: the code of the answer.
    pub async fn login(&self, (username, password): &(String, String)) -> u16 {
        let body = json!({"username": username, "password": password});
        let request = http::Request::post("/v3-public/localProviders/local?action=login")
            .header("content-type", "application/json")
            .body(body.to_string().into())
            .expect("a request");
        self.rancher.service().oneshot(request).await.expect("an answer").status().as_u16()
    }

    /// Makes a permanent binding by hand, as an administrator of Rancher.
    pub async fn bind_by_hand(&self, user: &str, name: &str) {
        let crtb = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
            "metadata": {"name": name, "namespace": CLUSTER}, "clusterName": CLUSTER, "roleTemplateName": "cluster-member", "userName": user});
        self.rancher.local().create(&crtbs(), &crtb).await.expect("a binding by hand");
    }
}

/// Rancher's own cluster as the operator's home: with its kinds, and with the rights that `config/keyless` gives it.
async fn home(rancher: &Rancher) -> ApiServer {
    let server = rancher.local();
    install(&server).await;
    rancher.bind_cluster_admin(OPERATOR);
    let admin = server.client();
    let group = "rbac.authorization.k8s.io";
    apply(
        &admin,
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "ask"},
        "rules": [{"apiGroups": ["rancheraccess.io"], "resources": ["accessgrants"], "verbs": ["*"]}]}),
    )
    .await;
    apply(
        &admin,
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "ask"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "ask"},
        "subjects": [{"apiGroup": group, "kind": "Group", "name": "web-devs"}]}),
    )
    .await;
    server
}

pub fn crtbs() -> Gvr {
    Gvr::new("management.cattle.io", "v3", "clusterroletemplatebindings")
}
