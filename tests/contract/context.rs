//! What every behaviour is given: a way to ask, names of its own, and somebody who cleans up.
use std::{
    panic::AssertUnwindSafe,
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    http::{Answer, Ask, Boxed, Http},
    outcome::{Outcome, Seen, ensure},
    release::{Release, release},
};

/// Rancher's own cluster.
pub const LOCAL: &str = "/k8s/clusters/local";
/// Its management API.
pub const M: &str = "/k8s/clusters/local/apis/management.cattle.io/v3";
/// Kubernetes' RBAC on it.
pub const RBAC: &str = "/k8s/clusters/local/apis/rbac.authorization.k8s.io/v1";
/// How long Rancher may take for what it does later.
const PATIENCE: Duration = Duration::from_secs(30);

pub type Run = for<'a> fn(&'a Context) -> Boxed<'a, Outcome>;
/// A name, and what is to hold.
pub type Behaviour = (&'static str, Run);

/// Lists async functions as behaviours, under their own names.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        pub fn behaviours() -> Vec<crate::context::Behaviour> {
            vec![$((stringify!($name), |context| Box::pin($name(context)))),*]
        }
    };
}
pub(crate) use behaviours;

pub struct Context {
    http: Box<dyn Http>,
    pub bearer: String,
    prefix: String,
    next: AtomicU32,
    /// Paths to delete, in reverse order.
    made: Mutex<Vec<String>>,
    /// The project made for the suite: its name and its backing namespace.
    pub project: String,
    pub backing: String,
    /// A namespace in it.
    pub namespace: String,
    /// Whether the feature `aggregated-roletemplates` is on.
    pub aggregated: bool,
    /// Rancher's release: major, minor, patch.
    pub version: Release,
    /// Whether it is spoken to as a ServiceAccount of its own cluster, past Rancher itself.
    pub keyless: bool,
    /// A cluster that can be cut off from Rancher, where there is one.
    pub far: Option<Far>,
}

/// A downstream cluster, and the switch that cuts it off.
pub struct Far {
    pub id: String,
    pub away: Box<dyn Fn(bool) + Send + Sync>,
}

/// How a suite gets to its Rancher.
pub struct Way {
    pub http: Box<dyn Http>,
    /// An administrator's key; empty where none is needed.
    pub bearer: String,
    /// The release, where it cannot be asked for: without a key.
    pub keyless: Option<Release>,
    pub far: Option<Far>,
}

impl Context {
    /// Makes a project with a namespace.
    pub async fn prepare(way: Way, prefix: &str) -> Self {
        let mut context = Self {
            http: way.http,
            bearer: way.bearer,
            prefix: prefix.to_owned(),
            next: AtomicU32::new(0),
            made: Mutex::default(),
            project: format!("p-{prefix}"),
            backing: String::new(),
            namespace: format!("{prefix}-ns"),
            aggregated: false,
            version: way.keyless.unwrap_or_default(),
            keyless: way.keyless.is_some(),
            far: way.far,
        };
        if !context.keyless {
            let told = context.get_as("/rancherversion", "").await.unwrap().json();
            context.version = release(told["Version"].as_str().unwrap_or_default());
        }
        let feature = context.get(&format!("{M}/features/aggregated-roletemplates")).await.unwrap();
        let feature = feature.json();
        let values = [&feature["status"]["lockedValue"], &feature["spec"]["value"], &feature["status"]["default"]];
        context.aggregated = values.into_iter().find_map(Value::as_bool).unwrap_or_default();
        let project = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "Project",
            "metadata": {"name": context.project, "annotations": {"field.cattle.io/no-creator-rbac": "true"}},
            "spec": {"clusterName": "local", "displayName": context.project},
        });
        let path = format!("{M}/namespaces/local/projects");
        let made = context.post(&path, &project).await.unwrap();
        assert_eq!(made.code, 201, "a project is made: {}", made.text);
        context.keep(format!("{path}/{}", context.project));
        let backing = made.json()["status"]["backingNamespace"].as_str().map(str::to_owned);
        // 2.11.0 has none: the project's own name, by a controller.
        context.backing = backing.unwrap_or_else(|| context.project.clone());
        let namespace = format!("{LOCAL}/api/v1/namespaces/{}", context.backing);
        context.until(&namespace, "there", |answer| answer.code == 200).await.unwrap();
        context.make_namespace(&context.namespace).await.unwrap();
        context
    }

    /// Makes a namespace in the suite's project.
    pub async fn make_namespace(&self, name: &str) -> Outcome {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name, "labels": {"field.cattle.io/projectId": self.project},
            "annotations": {"field.cattle.io/projectId": format!("local:{}", self.project)},
        }});
        let path = format!("{LOCAL}/api/v1/namespaces");
        let made = self.post(&path, &namespace).await?;
        ensure!(made.code == 201, "{}", made.text);
        self.keep(format!("{path}/{name}"));
        Ok(())
    }

    /// A name that nobody else has.
    pub fn fresh(&self, what: &str) -> String {
        format!("{}-{what}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// A group that nobody is in.
    pub fn group(&self) -> String {
        format!("openldap_group://cn={}", self.fresh("group"))
    }

    /// Has a path deleted in the end.
    pub fn keep(&self, path: String) {
        self.made.lock().unwrap().push(path);
    }

    /// Runs a behaviour, panics included.
    pub async fn attempt(&self, behaviour: Run) -> Outcome {
        let done = AssertUnwindSafe(behaviour(self)).catch_unwind().await;
        done.unwrap_or_else(|_| Err("it panicked".to_owned().into()))
    }

    /// Deletes what was made, newest first; what is gone already is fine.
    pub async fn tear_down(&self) {
        let made: Vec<String> = self.made.lock().unwrap().drain(..).rev().collect();
        for path in made {
            let code = self.delete(&path).await.map(|answer| answer.code);
            if !matches!(code, Ok(200 | 202 | 204 | 404)) {
                println!("left behind: {path}: {code:?}");
            }
        }
    }

    pub async fn send(&self, ask: Ask) -> Seen<Answer> {
        self.http.send(ask).await
    }

    /// One request with the administrator's key.
    pub async fn ask(&self, method: &str, path: &str, content_type: &str, body: &Value) -> Seen<Answer> {
        self.send(Ask {
            method: method.to_owned(),
            path: path.to_owned(),
            authorization: format!("Bearer {}", self.bearer),
            accept: "application/json".to_owned(),
            content_type: content_type.to_owned(),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Seen<Answer> {
        self.ask("GET", path, "", &Value::Null).await
    }

    /// One request without credentials.
    pub async fn get_as(&self, path: &str, authorization: &str) -> Seen<Answer> {
        self.send(Ask {
            method: "GET".to_owned(),
            path: path.to_owned(),
            authorization: authorization.to_owned(),
            accept: "application/json".to_owned(),
            ..Ask::default()
        })
        .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Seen<Answer> {
        self.ask("POST", path, "application/json", body).await
    }

    pub async fn merge(&self, path: &str, patch: &Value) -> Seen<Answer> {
        self.ask("PATCH", path, "application/merge-patch+json", patch).await
    }

    pub async fn delete(&self, path: &str) -> Seen<Answer> {
        self.ask("DELETE", path, "", &Value::Null).await
    }

    /// Asks again and again until the answer is as wanted.
    pub async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Answer) -> bool) -> Seen<Answer> {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(path).await?;
            if wanted(&answer) {
                return Ok(answer);
            }
            if Instant::now() > end {
                return Err(format!("{path}: never {what}: {} {}", answer.code, answer.text).into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits for a proven 404.
    pub async fn until_gone(&self, path: &str) -> Outcome {
        let gone = |answer: &Answer| answer.code == 404 && answer.reason() == "NotFound";
        self.until(path, "gone", gone).await.map(drop)
    }

    /// Names of roles that RBAC objects of Rancher's cluster give to a subject.
    pub async fn roles_of(&self, subject: &str) -> Seen<Vec<String>> {
        let mut roles = Vec::new();
        for object in self.rbac_of(subject).await? {
            roles.push(object["roleRef"]["name"].as_str().unwrap_or_default().to_owned());
        }
        Ok(roles)
    }

    /// RBAC objects of Rancher's cluster that name a subject.
    pub async fn rbac_of(&self, subject: &str) -> Seen<Vec<Value>> {
        let mut found = Vec::new();
        for resource in ["rolebindings", "clusterrolebindings"] {
            let list = self.get(&format!("{RBAC}/{resource}")).await?.json();
            let items = list["items"].as_array().cloned().unwrap_or_default();
            let names = |object: &Value| {
                let subjects = object["subjects"].as_array();
                subjects.into_iter().flatten().any(|one| one["name"] == subject)
            };
            found.extend(items.into_iter().filter(names));
        }
        Ok(found)
    }

    /// Waits until the roles that a subject has are as wanted.
    pub async fn until_roles(&self, subject: &str, what: &str, wanted: impl Fn(&[String]) -> bool) -> Outcome {
        let end = Instant::now() + PATIENCE;
        loop {
            let roles = self.roles_of(subject).await?;
            if wanted(&roles) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{subject}: never {what}: {roles:?}").into());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Cluster bindings of Rancher's cluster.
pub fn crtbs() -> String {
    format!("{M}/namespaces/local/clusterroletemplatebindings")
}

impl Context {
    /// Project bindings of the suite's project.
    pub fn prtbs(&self) -> String {
        format!("{M}/namespaces/{}/projectroletemplatebindings", self.backing)
    }

    /// A cluster binding to be.
    pub fn crtb(&self, name: &str, role: &str, subject: (&str, &str)) -> Value {
        json!({
            "apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": name},
            "clusterName": "local", "roleTemplateName": role, subject.0: subject.1,
        })
    }

    /// A project binding to be.
    pub fn prtb(&self, name: &str, role: &str, subject: (&str, &str)) -> Value {
        json!({
            "apiVersion": "management.cattle.io/v3", "kind": "ProjectRoleTemplateBinding", "metadata": {"name": name},
            "projectName": format!("local:{}", self.project), "roleTemplateName": role, subject.0: subject.1,
        })
    }

    /// Creates, has it cleaned up, and answers with its path and what was created.
    pub async fn create(&self, collection: &str, body: &Value) -> Seen<(String, Value)> {
        let made = self.post(collection, body).await?;
        ensure!(made.code == 201, "{}", made.text);
        let object = made.json();
        let path = format!("{collection}/{}", object["metadata"]["name"].as_str().unwrap_or_default());
        self.keep(path.clone());
        Ok((path, object))
    }
}
