//! Sends tables of changed objects to a real API server and compares its answers.

use std::time::Duration;

use kube::{
    Api,
    api::{DynamicObject, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Map, Value};
use testkit::control_plane::ControlPlane;
use tokio::{sync::OnceCell, time::Instant};

/// A value at a JSON pointer below `spec`; null takes the field away.
pub(crate) type Change = (&'static str, Value);

/// What the API server must say to the changes: [`OK`], or a part of its refusal.
pub(crate) type Row = (Vec<Change>, &'static str);

/// It accepts.
pub(crate) const OK: &str = "";

/// A kind's objects in the shared control plane.
pub(crate) struct Kind {
    api: Api<DynamicObject>,
    resource: ApiResource,
}

impl Kind {
    pub(crate) async fn new(kind: &str, plural: &str, namespace: Option<&str>) -> Self {
        let plane = plane().await;
        let gvk = GroupVersionKind::gvk("rancheraccess.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&gvk, plural);
        let client = plane.client().await;
        let api = match namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        Self { api, resource }
    }

    fn object(&self, name: &str, spec: Value) -> DynamicObject {
        let mut object = DynamicObject::new(name, &self.resource);
        object.data = Value::Object(Map::from_iter([("spec".to_owned(), spec)]));
        object
    }

    /// Creates `base` with each row's changes, as a dry run.
    pub(crate) async fn creates(&self, base: &Value, rows: Vec<Row>) {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut wrong = Vec::new();
        for (changes, expected) in rows {
            let object = self.object("row", with(base, &changes));
            let answer = self.api.create(&dry, &object).await;
            judge(&changes, expected, answer, &mut wrong);
        }
        assert!(wrong.is_empty(), "creating:\n{}", wrong.join("\n"));
    }

    /// Creates `base` in earnest under that name, and updates it with each row's changes, as a dry run.
    pub(crate) async fn updates(&self, name: &str, base: &Value, rows: Vec<Row>) {
        let created = self.api.create(&PostParams::default(), &self.object(name, base.clone())).await.unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut wrong = Vec::new();
        for (changes, expected) in rows {
            let mut object = created.clone();
            object.data = self.object(name, with(base, &changes)).data;
            let answer = self.api.replace(name, &dry, &object).await;
            judge(&changes, expected, answer, &mut wrong);
        }
        assert!(wrong.is_empty(), "updating {name}:\n{}", wrong.join("\n"));
    }

    /// What is stored for that spec.
    pub(crate) async fn stored(&self, spec: &Value) -> Value {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        self.api.create(&dry, &self.object("stored", spec.clone())).await.unwrap().data["spec"].clone()
    }

    /// Writes each status to an object of that name, as a dry run.
    pub(crate) async fn statuses(&self, name: &str, spec: &Value, rows: Vec<(Value, &'static str)>) {
        let created = self.api.create(&PostParams::default(), &self.object(name, spec.clone())).await.unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let mut wrong = Vec::new();
        for (status, expected) in rows {
            let mut object = created.clone();
            object.data["status"] = status.clone();
            let answer = self.api.replace_status(name, &dry, &object).await;
            judge(&[("status", status)], expected, answer, &mut wrong);
        }
        assert!(wrong.is_empty(), "status:\n{}", wrong.join("\n"));
    }
}

/// The shared control plane with the CRDs served.
pub(crate) async fn plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await;
    INSTALLED
        .get_or_init(async || {
            let crds = format!("{}/crds", env!("CARGO_MANIFEST_DIR"));
            plane.kubectl(&["apply", "-f", &crds]).await.unwrap().expect_success();
            let begun = Instant::now();
            for kind in ["rancherintegrations", "accesspolicies", "accessgrants", "accessdecisions", "rancherresources"]
            {
                while !plane.kubectl(&["get", kind]).await.unwrap().success {
                    assert!(begun.elapsed() < Duration::from_secs(30), "{kind} are not served within 30 s");
                }
            }
        })
        .await;
    plane
}

fn judge(changes: &[Change], expected: &str, answer: Result<DynamicObject, kube::Error>, wrong: &mut Vec<String>) {
    let said = match answer {
        Ok(_) => "accepted".to_owned(),
        Err(error) => error.to_string(),
    };
    let right = if expected == OK { said == "accepted" } else { said != "accepted" && said.contains(expected) };
    if !right {
        let changes: String = format!("{changes:?}").chars().take(300).collect();
        let expected = if expected == OK { "accepted" } else { expected };
        wrong.push(format!("- {changes}\n  expected: {expected}\n  answered: {said}"));
    }
}

/// The spec with the changes; objects on the way are made.
fn with(base: &Value, changes: &[Change]) -> Value {
    let mut spec = base.clone();
    for (pointer, value) in changes {
        let steps: Vec<&str> = pointer.split('/').skip(1).collect();
        set(&mut spec, &steps, value);
    }
    spec
}

fn set(at: &mut Value, steps: &[&str], value: &Value) {
    let [step, rest @ ..] = steps else {
        *at = value.clone();
        return;
    };
    if let Ok(index) = step.parse::<usize>() {
        return set(&mut at[index], rest, value);
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    if rest.is_empty() && value.is_null() {
        let taken = at.as_object_mut().and_then(|map| map.remove(*step));
        assert!(taken.is_some(), "a row takes away {step}, which is not there");
        return;
    }
    set(&mut at[*step], rest, value);
}

/// `count` copies of a value.
pub(crate) fn many(count: usize, value: Value) -> Value {
    Value::Array(vec![value; count])
}

/// `count` times that text.
pub(crate) fn long(count: usize, text: &str) -> Value {
    Value::String(text.repeat(count))
}
