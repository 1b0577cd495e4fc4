//! The control plane with everything installed, and the objects that tests send.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};
use testkit::control_plane::ControlPlane;
use tokio::{sync::OnceCell, time::Instant};

use super::{NOT_YOU, NOT_YOU_EITHER, STATUS};

/// The shared control plane with CRDs and `config/default` installed, and the policies in force.
pub(crate) async fn plane() -> &'static ControlPlane {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await;
    INSTALLED.get_or_init(async || install(plane).await).await;
    plane
}

pub(crate) async fn install(plane: &ControlPlane) {
    for step in ["config/crd", "config/default"] {
        plane.kubectl(&["apply", "-k", &rooted(step)]).await.unwrap().expect_success();
    }
    plane.kubectl(&["wait", "--for=condition=Established", "crd", "--all"]).await.unwrap().expect_success();
    let everybody = "--group=system:authenticated";
    let bind = ["create", "rolebinding", "ask", "-n", "default", "--clusterrole=rancher-access-requester", everybody];
    plane.kubectl(&bind).await.unwrap().expect_success();
    for role in ["requester", "approver", "auditor", "resource-viewer", "platform-admin"] {
        let gathered = ["wait", "--for=jsonpath={.rules}", &format!("clusterrole/rancher-access-{role}")];
        plane.kubectl(&gathered).await.unwrap().expect_success();
    }
    let admin = plane.client().await;
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let asked = until("what nobody names is filled in", async || {
        grants(&admin).create(&dry, &grant("probe", Value::Null)).await.ok()
    });
    assert_eq!(asked.await.data["spec"]["requestedBy"]["username"], "kubernetes-admin");
    until("a forged name is refused", async || {
        let forged = grant("probe", json!({"username": "mallory"}));
        grants(&admin).create(&dry, &forged).await.err().filter(|error| error.to_string().contains(NOT_YOU))
    })
    .await;
    until("a forged decision is refused", async || {
        let forged = decision("probe", json!({"username": "mallory"}));
        let decisions: Api<DynamicObject> = Api::namespaced_with(admin.clone(), "default", &resource("AccessDecision"));
        decisions.create(&dry, &forged).await.err().filter(|error| error.to_string().contains(NOT_YOU_EITHER))
    })
    .await;
    until("a status is refused", async || {
        let probe = grants(&admin).create(&PostParams::default(), &grant("probe", Value::Null)).await;
        assert!(probe.is_ok() || probe.unwrap_err().to_string().contains("already exists"));
        status_patch(&grants(&admin), "probe").await.err().filter(|error| error.contains(STATUS))
    })
    .await;
}

pub(crate) fn rooted(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A namespace in which the roles of `config/rbac` are bound as people would, and [`EVERYTHING`] is a group that may do
/// everything with our kinds there, as far as RBAC is concerned. [`PLATFORM`] administers everywhere.
pub(crate) async fn namespace(name: &str) {
    let plane = plane().await;
    let role = |role: &str| format!("--clusterrole=rancher-access-{role}");
    for args in [
        &["create", "namespace", name][..],
        &[
            "create",
            "role",
            "everything",
            "-n",
            name,
            "--verb=*",
            "--resource=*.rancheraccess.io,*.rancheraccess.io/status",
        ],
        &["create", "rolebinding", "everything", "-n", name, "--role=everything", &format!("--group={EVERYTHING}")],
        &["create", "rolebinding", "ask", "-n", name, &role("requester"), "--group=requesters"],
        &["create", "rolebinding", "decide", "-n", name, &role("approver"), "--group=approvers"],
        &["create", "clusterrolebinding", name, &role("platform-admin"), &format!("--group={PLATFORM}")],
    ] {
        plane.kubectl(args).await.unwrap().expect_success();
    }
}

pub(crate) const EVERYTHING: &str = "everything-here";
pub(crate) const PLATFORM: &str = "platform";

/// Policies come into force a moment after they are written.
pub(crate) async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub(crate) fn resource(kind: &str) -> ApiResource {
    let kind = GroupVersionKind::gvk("rancheraccess.io", "v1alpha1", kind);
    let plural = format!("{}s", kind.kind.to_lowercase());
    ApiResource::from_gvk_with_plural(&kind, &plural)
}

pub(crate) fn grants(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &resource("AccessGrant"))
}

pub(crate) fn grant(name: &str, requested_by: Value) -> DynamicObject {
    let mut spec = json!({
        "integrationRef": {"name": "prod"},
        "access": [{"cluster": {"name": "c-m-abc12def", "role": "cluster-member"}}],
        "duration": "2h",
    });
    if !requested_by.is_null() {
        spec["requestedBy"] = requested_by;
    }
    DynamicObject::new(name, &resource("AccessGrant")).data(json!({"spec": spec}))
}

pub(crate) fn decision(name: &str, decided_by: Value) -> DynamicObject {
    let mut spec = json!({"grantRef": {"name": "g"}, "decision": "Approve"});
    if !decided_by.is_null() {
        spec["decidedBy"] = decided_by;
    }
    DynamicObject::new(name, &resource("AccessDecision")).data(json!({"spec": spec}))
}

pub(crate) async fn status_patch(api: &Api<DynamicObject>, name: &str) -> Result<DynamicObject, String> {
    let patch = Patch::Merge(json!({"status": {"observedGeneration": 1}}));
    api.patch_status(name, &PatchParams::default(), &patch).await.map_err(|error| error.to_string())
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: Result<T, String>, part: &str) {
    let message = answer.unwrap_err();
    assert!(message.contains(part), "{message}");
}
