//! Requests whose answers show how a Kubernetes API server behaves.
//!
//! [`run`] sends them to any server and returns the answers as lines without UIDs, versions and times, so that the
//! in-memory server and a real one can be held against each other, line by line.
use http::{Request, header};
use http_body_util::BodyExt;
use kube::{Client, client::Body};
use regex::Regex;
use serde_json::{Value, json};

mod custom;
mod kinds;
mod objects;
mod policies;
mod schema;
mod watches;

/// The group of the script's own kind.
const GROUP: &str = "script.testkit.example";

/// Runs the script in an existing namespace. The caller must be able to do everything there, and to create a
/// CustomResourceDefinition and admission policies; the script removes what it made for the whole cluster.
///
/// # Panics
///
/// When the server does not answer at all.
pub async fn run(client: Client, namespace: &str) -> Vec<String> {
    let mut script = Script { client, namespace: namespace.to_owned(), lines: Vec::new() };
    objects::create_and_read(&mut script).await;
    objects::secrets_and_forms(&mut script).await;
    objects::update_and_patch(&mut script).await;
    objects::patch(&mut script).await;
    objects::more_patches(&mut script).await;
    objects::delete(&mut script).await;
    kinds::refusals(&mut script).await;
    kinds::role_bindings(&mut script).await;
    kinds::leases(&mut script).await;
    kinds::events(&mut script).await;
    kinds::accounts_and_maps(&mut script).await;
    kinds::reviews(&mut script).await;
    objects::selectors(&mut script).await;
    watches::sequences(&mut script).await;
    custom::definition(&mut script).await;
    custom::validation(&mut script).await;
    custom::status_and_generation(&mut script).await;
    custom::fixed_fields(&mut script).await;
    custom::finalizers(&mut script).await;
    custom::unheld(&mut script).await;
    policies::validating(&mut script).await;
    policies::mutating(&mut script).await;
    custom::clean_up(&mut script).await;
    script.lines
}

struct Script {
    client: Client,
    namespace: String,
    lines: Vec<String>,
}

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";

impl Script {
    fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.namespace)
    }

    fn custom(&self, rest: &str) -> String {
        format!("/apis/{GROUP}/v1/namespaces/{}/{rest}", self.namespace)
    }

    /// Sends a request and returns the code and the body's text.
    async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        accept: &str,
        body: Option<&Value>,
    ) -> (u16, String) {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, accept)
            .body(Body::from(bytes))
            .unwrap_or_else(|error| panic!("the script's request {method} {path} is not well formed: {error}"));
        let response = self.client.send(request).await;
        let response = response.unwrap_or_else(|error| panic!("{method} {path} was not answered: {error}"));
        let code = response.status().as_u16();
        let collected = response.into_body().collect().await;
        let bytes =
            collected.unwrap_or_else(|error| panic!("the answer to {method} {path} broke off: {error}")).to_bytes();
        (code, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a request without noting the answer.
    async fn quietly(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (code, text) = self.send(method, path, JSON, JSON, body).await;
        (code, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    /// Sends a request, notes the normalised answer, and returns the answer as it was.
    async fn ask(&mut self, what: &str, method: &str, path: &str, content_type: &str, body: Option<&Value>) -> Value {
        let (code, text) = self.send(method, path, content_type, JSON, body).await;
        let answer: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        self.note(what, code, &answer);
        answer
    }

    fn note(&mut self, what: &str, code: u16, answer: &Value) {
        let line = format!("{what}: {code} {}", normalised(answer, &self.namespace));
        self.lines.push(line);
    }

    async fn get(&mut self, what: &str, path: &str) -> Value {
        self.ask(what, "GET", path, JSON, None).await
    }

    async fn post(&mut self, what: &str, path: &str, body: &Value) -> Value {
        self.ask(what, "POST", path, JSON, Some(body)).await
    }

    async fn put(&mut self, what: &str, path: &str, body: &Value) -> Value {
        self.ask(what, "PUT", path, JSON, Some(body)).await
    }

    async fn merge(&mut self, what: &str, path: &str, body: &Value) -> Value {
        self.ask(what, "PATCH", path, MERGE, Some(body)).await
    }

    async fn delete(&mut self, what: &str, path: &str, options: Option<&Value>) -> Value {
        self.ask(what, "DELETE", path, JSON, options).await
    }

    /// Repeats a request until its code is the wanted one: a real server takes a moment to serve a new kind or policy.
    async fn until(&self, method: &str, path: &str, body: Option<&Value>, wanted: u16) {
        for _ in 0..300 {
            if self.quietly(method, path, body).await.0 == wanted {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("{method} {path} did not answer {wanted} within 30 s");
    }
}

/// Takes out what differs between two runs.
fn normalised(answer: &Value, namespace: &str) -> String {
    let mut answer = scrubbed(answer);
    sort_faults(&mut answer);
    let text = answer.to_string();
    let replacements = [
        (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<uid>"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
        (r"resource version: \d+( \(\d+\))?(, current: \d+)?", "resource version: <n>"),
        (r"in record \(\d+\)", "in record (<n>)"),
        (" in scheme [^ ]*go:[0-9]+[^ \",]*\"", ""),
        (r"\bgen-[a-z0-9]{5}\b", "gen-<5>"),
    ];
    let text = replacements.iter().fold(text, |text, (pattern, with)| {
        let regex = Regex::new(pattern).unwrap_or_else(|error| panic!("{pattern}: {error}"));
        regex.replace_all(&text, *with).into_owned()
    });
    text.replace(namespace, "<namespace>")
}

/// Several faults of one object come in no fixed order.
fn sort_faults(answer: &mut Value) {
    let Some(causes) = answer.pointer_mut("/details/causes").and_then(Value::as_array_mut) else {
        return;
    };
    if causes.len() < 2 {
        return;
    }
    causes.sort_by_key(Value::to_string);
    let message = answer["message"].as_str().unwrap_or_default();
    let start = message.split_once(" is invalid: ").map_or(message, |(start, _)| start).to_owned();
    answer["message"] = start.into();
}

fn scrubbed(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(scrubbed).collect(),
        Value::Object(map) => {
            let kept = map.iter().filter(|(name, value)| name.as_str() != "managedFields" && !value.is_null());
            kept.map(|(name, value)| {
                let varies = matches!(name.as_str(), "uid" | "resourceVersion" | "continue") && value.is_string();
                (name.clone(), if varies { json!(format!("<{name}>")) } else { scrubbed(value) })
            })
            .collect()
        }
        other => other.clone(),
    }
}
