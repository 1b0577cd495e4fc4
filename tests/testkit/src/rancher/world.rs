//! What tests put into the world, and what they do to it.
use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::apiserver::{ApiServer, Gvr};

use super::{
    Rancher, controllers,
    core::{Core, Downstream, lock, management, meta, rbac},
    login, names, rights, seed,
    tokens::{self, TokenSpec},
};

/// How long a restart takes (seen: 2.9 s).
const RESTART: Duration = Duration::from_millis(2900);

/// A test's author asked for something impossible; says what.
pub(super) fn expect<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("testkit rancher: {what}: {error}"),
    }
}

/// Makes a project with its backing namespace; answers with its name.
pub(super) fn plant_project(core: &Core, cluster: &str, display: &str, labels: &Value) -> String {
    let has_own = core.version().has_backing_namespaces();
    // Of ten thousand names some would be taken.
    let (name, backing) = loop {
        let name = format!("p-{}", core.random(5));
        let backing = if has_own { names::shortened(&format!("{cluster}-{name}")) } else { name.clone() };
        if core.local.get(&Gvr::core("namespaces"), "", &backing).is_none() {
            break (name, backing);
        }
    };
    let namespace = json!({"metadata": {"name": backing}, "spec": {"finalizers": []}, "status": {"phase": "Active"}});
    expect(core.local.create_unchecked(&Gvr::core("namespaces"), namespace), "a backing namespace");
    let project = json!({
        "metadata": {"name": name, "namespace": cluster, "labels": labels},
        "spec": {"displayName": display, "clusterName": cluster, "description": ""},
        "status": if has_own { json!({"backingNamespace": backing, "conditions": []}) } else { json!({"conditions": []}) },
    });
    expect(core.local.create_unchecked(&management("projects"), project), "a project");
    name
}

impl Rancher {
    /// The bearer of the local administrator `admin`.
    pub fn admin_token(&self) -> String {
        lock(&self.core().admin_bearer).clone()
    }

    /// Adds a cluster with projects Default and System. `labels` are its labels.
    ///
    /// # Panics
    /// Where there is one of that id.
    pub fn add_cluster(&self, id: &str, display: &str, labels: &[(&str, &str)]) -> ApiServer {
        let core = self.core();
        let clock = Arc::clone(&core.now);
        let seed = id.bytes().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
        let server = ApiServer::builder().seed(seed).now(move || clock()).build();
        lock(&core.downstreams).insert(id.to_owned(), Downstream { server: server.clone(), away: false });
        seed::plant_cluster(core, id, display, &pairs(labels));
        rights::install(core, &server, id);
        let global = tokio::spawn(controllers::resync_global(Arc::clone(core)));
        lock(&self.0.controllers).extend([controllers::namespaces(core, id), global.abort_handle()]);
        server
    }

    /// Adds a project with its backing namespace, `<cluster>-<project>` or in 2.11 the project's id, which is the answer:
    /// `p-xxxxx`.
    ///
    /// # Panics
    /// Where the cluster is not there.
    pub fn add_project(&self, cluster: &str, display: &str, labels: &[(&str, &str)]) -> String {
        plant_project(self.core(), cluster, display, &pairs(labels))
    }

    /// Adds a namespace on a cluster, in a project (`p-xxxxx`) unless that is empty.
    ///
    /// # Panics
    /// Where the cluster is not there, or the namespace is.
    pub async fn add_namespace(&self, cluster: &str, project: &str, name: &str) {
        let server = self.core().server(cluster);
        let server = server.unwrap_or_else(|| panic!("testkit rancher: no cluster {cluster}"));
        let mut namespace = json!({"metadata": {"name": name}});
        if !project.is_empty() {
            namespace["metadata"]["annotations"]["field.cattle.io/projectId"] = format!("{cluster}:{project}").into();
            namespace["metadata"]["labels"]["field.cattle.io/projectId"] = project.into();
        }
        expect(server.create(&Gvr::core("namespaces"), &namespace).await, "a namespace");
    }

    /// Adds a user with the principals given, and `local://<id>`.
    ///
    /// # Panics
    /// Where there is one of that id.
    pub fn add_user(&self, id: &str, username: &str, principals: &[&str]) {
        let mut all: Vec<String> = principals.iter().map(|&one| one.to_owned()).collect();
        let own = format!("local://{id}");
        if !all.contains(&own) {
            all.push(own);
        }
        let user = json!({
            "metadata": {"name": id}, "username": username, "displayName": username, "enabled": true, "principalIds": all,
        });
        expect(self.core().local.create_unchecked(&management("users"), user), "a user");
    }

    /// Sets the group principals that a user has when he calls, as if he had logged in with them: Rancher keeps them in
    /// his UserAttribute.
    ///
    /// # Panics
    /// Where the API server refuses that.
    pub fn set_groups(&self, user: &str, groups: &[&str]) {
        let groups: Vec<String> = groups.iter().map(|&one| one.to_owned()).collect();
        login::remember(self.core(), user, &groups);
        lock(&self.core().groups).insert(user.to_owned(), groups);
    }

    /// Adds a role template: `metadata.name` and its top-level fields.
    ///
    /// # Panics
    /// Where there is one of that name.
    pub fn add_role_template(&self, role: Value) {
        let made = self.core().local.create_unchecked(&management("roletemplates"), role);
        expect(made, "a role template");
    }

    /// Adds a global role: `metadata.name` and its top-level fields.
    ///
    /// # Panics
    /// Where there is one of that name.
    pub fn add_global_role(&self, role: Value) {
        expect(self.core().local.create_unchecked(&management("globalroles"), role), "a global role");
    }

    /// Whether Rancher lets a user through to a cluster: he may `get` its object.
    pub fn is_member(&self, user: &str, cluster: &str) -> bool {
        let groups = lock(&self.core().groups).get(user).cloned().unwrap_or_default();
        let user = crate::apiserver::User { name: user.to_owned(), groups };
        let asked = crate::apiserver::Attributes {
            verb: "get".to_owned(),
            group: "management.cattle.io".to_owned(),
            resource: "clusters".to_owned(),
            name: cluster.to_owned(),
            ..crate::apiserver::Attributes::default()
        };
        rights::reason(&self.core().local, &user, &asked).is_some()
    }

    /// Adds a key for a user and answers with its bearer.
    ///
    /// # Panics
    /// For an ext token where the release has none.
    pub fn add_token(&self, user: &str, spec: TokenSpec) -> String {
        assert!(
            !spec.ext || self.version().has_ext_tokens(),
            "testkit rancher: {} has no ext tokens",
            self.version().tag()
        );
        tokens::make(self.core(), user, &spec)
    }

    /// Adds an administrator: a user with a GlobalRoleBinding to `admin`, in force at once.
    ///
    /// # Panics
    /// Where there is a user of that id.
    pub fn add_admin(&self, id: &str, username: &str) {
        self.add_user(id, username, &[]);
        seed::plant_admin_rights(self.core(), id);
    }

    /// Lets somebody who speaks to Rancher's own cluster directly do everything there: a user by his name there, or a
    /// ServiceAccount by its user name, `system:serviceaccount:<namespace>:<name>`.
    ///
    /// # Panics
    /// Where that was done before.
    pub fn bind_cluster_admin(&self, user: &str) {
        let subject = match user.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':')) {
            Some((namespace, name)) => json!({"kind": "ServiceAccount", "namespace": namespace, "name": name}),
            None => json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}),
        };
        let binding = json!({
            "metadata": {"name": format!("cluster-admin-{}", user.replace(':', "-"))}, "subjects": [subject],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        });
        expect(self.core().local.create_unchecked(&rbac("clusterrolebindings"), binding), "a cluster administrator");
    }

    /// Disables or enables a user: his next request answers 401.
    ///
    /// # Panics
    /// Where there is no such user.
    pub fn disable_user(&self, id: &str, disabled: bool) {
        self.edit("users", id, |user| user["enabled"] = (!disabled).into());
    }

    pub(super) fn edit(&self, resource: &str, name: &str, change: impl FnOnce(&mut Value)) {
        let gvr = management(resource);
        let found = self.core().local.get(&gvr, "", name);
        let mut object = found.unwrap_or_else(|| panic!("testkit rancher: no {resource} {name:?}"));
        change(&mut object);
        expect(self.core().local.update_unchecked(&gvr, object), "an update");
    }

    /// Sets the setting `install-uuid`: another Rancher under the same address.
    pub fn set_install_uuid(&self, uuid: &str) {
        self.edit("settings", "install-uuid", |setting| setting["value"] = uuid.into());
    }

    /// Switches the RBAC model, for bindings made from now on; others follow when Rancher next looks at them.
    ///
    /// # Panics
    /// Before 2.14, where the installation decides.
    pub fn set_model(&self, model: super::Model) {
        assert!(self.version().switches_models(), "testkit rancher: {} has one model for ever", self.version().tag());
        let on = model == super::Model::Aggregated;
        self.edit("features", "aggregated-roletemplates", |feature| {
            feature["spec"]["value"] = on.into();
        });
    }

    /// Stops or starts the webhook: while it is down, creates and updates answer 500.
    pub fn webhook_down(&self, down: bool) {
        *lock(&self.core().webhook_down) = down;
        self.core().repaired();
    }

    /// Cuts a downstream cluster off, or lets it come back; what was missed is made up for then.
    ///
    /// # Panics
    /// Where there is no such cluster, and for `local`, which cannot be away.
    pub fn cluster_away(&self, id: &str, away: bool) {
        let core = self.core();
        match lock(&core.downstreams).get_mut(id) {
            Some(downstream) => downstream.away = away,
            None => panic!("testkit rancher: no downstream cluster {id:?}"),
        }
        core.repaired();
        if !away {
            let (core, id) = (Arc::clone(core), id.to_owned());
            let global = tokio::spawn(controllers::resync_global(Arc::clone(&core)));
            lock(&self.0.controllers).push(global.abort_handle());
            let task = controllers::resync(core, move |kind, object| kind.cluster(object) == id);
            lock(&self.0.controllers).push(tokio::spawn(task).abort_handle());
        }
    }

    /// Removes a cluster from Rancher, with its namespace, projects and bindings.
    ///
    /// # Panics
    /// Where there is no such cluster.
    pub async fn delete_cluster(&self, id: &str) {
        let core = self.core();
        let gone = core.local.delete(&management("clusters"), "", id, None).await;
        expect(gone, "the cluster");
        controllers::purge(core, id).await;
    }

    /// Which release it is.
    pub fn version(&self) -> super::Version {
        self.core().version()
    }

    /// Upgrades Rancher: it restarts as that release.
    pub async fn upgrade(&self, version: super::Version) {
        self.core().set_version(version);
        seed::settle_version(self.core());
        self.restart().await;
    }

    /// Kills Rancher and starts it again: connections are refused for 2.9 s, then its controllers look at everything anew.
    pub async fn restart(&self) {
        self.stop();
        tokio::time::sleep(RESTART).await;
        self.core().restarting.send_replace(false);
        self.start_controllers();
    }

    /// Cuts all connections and ends the controllers.
    pub(super) fn stop(&self) {
        self.core().restarting.send_replace(true);
        for task in lock(&self.0.controllers).drain(..) {
            task.abort();
        }
    }

    /// The name of a project with this display name, if there is one in the cluster.
    pub fn project(&self, cluster: &str, display: &str) -> Option<String> {
        let projects = self.core().local.list(&management("projects"), Some(cluster));
        let found = projects.iter().find(|one| one["spec"]["displayName"] == display);
        found.map(|one| meta(one, "name").to_owned())
    }
}

fn pairs(labels: &[(&str, &str)]) -> Value {
    labels.iter().map(|&(key, value)| (key.to_owned(), Value::from(value))).collect::<serde_json::Map<_, _>>().into()
}
