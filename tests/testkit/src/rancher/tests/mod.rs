//! The recorded facts, held against the simulator. What the operator relies on is in the root crate's contract suite as well,
//! which runs against a real server too; here is what only a simulator can be asked.
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Rancher, binding::Kind};

mod answers;
mod global;
mod keyless;
mod life;
mod namespaces;
mod stories;
mod trouble;
mod versions;

/// Rancher's management API on its own cluster.
const M: &str = "/k8s/clusters/local/apis/management.cattle.io/v3";
/// A group nobody is in.
const DEVS: &str = "okta_group://devs";

fn rancher() -> Rancher {
    Rancher::builder().seed(1).build()
}

/// An answer, read.
struct Reply {
    code: u16,
    auth: String,
    text: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

/// One request with the administrator's key.
async fn ask(rancher: &Rancher, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let bearer = format!("Bearer {}", rancher.admin_token());
    ask_as(rancher, &bearer, method, path, body).await.unwrap()
}

async fn ask_as(
    rancher: &Rancher,
    authorization: &str,
    method: &str,
    path: &str,
    body: Option<&Value>,
) -> Result<Reply, tower::BoxError> {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let mut request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    if !authorization.is_empty() {
        request = request.header("authorization", authorization);
    }
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let response = rancher.service().oneshot(request.body(bytes).unwrap()).await?;
    let auth = response.headers()["x-api-cattle-auth"].to_str().unwrap().to_owned();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(Reply { code, auth, text: String::from_utf8(bytes.to_vec()).unwrap() })
}

async fn rest(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

fn path(kind: Kind, namespace: &str, name: &str) -> String {
    format!("{M}/namespaces/{namespace}/{}/{name}", kind.resource())
}

fn crtb(name: &str, role: &str, subject: (&str, &str)) -> Value {
    json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": name}, "clusterName": "local", "roleTemplateName": role, subject.0: subject.1})
}

/// Creates a cluster binding for Rancher's own cluster.
async fn bind(rancher: &Rancher, name: &str, role: &str, subject: (&str, &str)) -> Reply {
    let body = crtb(name, role, subject);
    ask(rancher, "POST", &path(Kind::Cluster, "local", ""), Some(&body)).await
}

/// Creates a project binding in the project's own namespace.
async fn bind_project(
    rancher: &Rancher,
    name: &str,
    role: &str,
    project: (&str, &str),
    subject: (&str, &str),
) -> Reply {
    let (cluster, project) = project;
    let body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "ProjectRoleTemplateBinding",
        "metadata": {"name": name}, "projectName": format!("{cluster}:{project}"), "roleTemplateName": role,
        subject.0: subject.1,
    });
    let found = rancher.local().get(&super::core::management("projects"), cluster, project).unwrap();
    let namespace = super::downstream::backing_namespace(&found);
    ask(rancher, "POST", &path(Kind::Project, &namespace, ""), Some(&body)).await
}

fn roles(rancher: &Rancher, who: &str) -> Vec<String> {
    rancher.access_of(who).into_iter().map(|access| access.role).collect()
}
