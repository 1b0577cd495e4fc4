//! The operator's own definitions and policies work on this server.
use std::{fs, path::Path};

use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::{ApiResource, DynamicObject, GroupVersionKind},
};
use serde_json::{Value, json};

use super::raw;
use crate::apiserver::{ApiError, ApiServer, Gvr};

fn documents(path: &str) -> Vec<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join(path)).unwrap();
    let parts = text.split("\n---");
    parts.map(|part| serde_saphyr::from_str(part.trim_start_matches("---")).unwrap()).collect()
}

async fn server() -> ApiServer {
    let server = ApiServer::builder().build();
    let definitions = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    for kind in ["accessgrants", "accessdecisions", "accesspolicies", "rancherintegrations"] {
        for definition in documents(&format!("crds/{kind}.rancheraccess.io.yaml")) {
            server.create(&definitions, &definition).await.unwrap();
            let name = definition["metadata"]["name"].as_str().unwrap();
            let stored = server.get(&definitions, "", name).unwrap();
            assert_eq!(stored["status"]["conditions"][1]["type"], "Established", "{stored}");
        }
    }
    for path in ["config/admission/validating.yaml", "config/admission/fill-in/mutating.yaml"] {
        for object in documents(path) {
            let plural = match object["kind"].as_str().unwrap() {
                "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
                "ValidatingAdmissionPolicyBinding" => "validatingadmissionpolicybindings",
                "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
                _ => "mutatingadmissionpolicybindings",
            };
            server.create(&Gvr::new("admissionregistration.k8s.io", "v1", plural), &object).await.unwrap();
        }
    }
    server
}

async fn ask(server: &ApiServer, groups: &[&str], requested_by: Value) -> Result<Value, String> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("rancheraccess.io", "v1alpha1", "AccessGrant"));
    let api: Api<DynamicObject> = Api::namespaced_with(server.client_as("alice", groups), "default", &resource);
    let mut grant = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant", "metadata": {"generateName": "g-"},
        "spec": {"integrationRef": {"name": "prod"}, "access": [{"cluster": {"name": "prod-eu", "role": "cluster-member"}}], "duration": "2h"}});
    if !requested_by.is_null() {
        grant["spec"]["requestedBy"] = requested_by;
    }
    let grant = serde_json::from_value(grant).unwrap();
    let made = api.create(&PostParams::default(), &grant).await.map_err(|error| error.to_string())?;
    Ok(serde_json::to_value(made).unwrap())
}

#[tokio::test(start_paused = true)]
async fn identity_is_filled_in_and_forgery_refused() {
    let server = server().await;
    let filled = ask(&server, &["web", "sre"], Value::Null).await.unwrap();
    let expected = json!({"username": "alice", "groups": ["web", "sre", "system:authenticated"]});
    assert_eq!(filled["spec"]["requestedBy"], expected);
    ask(&server, &["web"], json!({"username": "alice", "groups": ["web"]})).await.unwrap();
    let forged = ask(&server, &["web"], json!({"username": "bob"})).await.unwrap_err();
    assert!(forged.contains("must be your own user name"), "{forged}");
    let forged = ask(&server, &["web"], json!({"username": "alice", "groups": ["admins"]})).await.unwrap_err();
    assert!(forged.contains("only groups that you are in"), "{forged}");
}

#[tokio::test(start_paused = true)]
async fn only_the_operator_writes_status_and_the_spec_stays() {
    let server = server().await;
    let made = ask(&server, &["web"], Value::Null).await.unwrap();
    let grants = Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    let name = made["metadata"]["name"].as_str().unwrap();
    let denied = |error: ApiError| (error.code, error.message);
    let status = json!({"status": {"phase": "Active"}});
    let (code, message) = denied(server.patch(&grants, "default", name, "status", &status).await.unwrap_err());
    assert_eq!(code, 403, "{message}");
    let (code, message) =
        denied(server.patch(&grants, "default", name, "", &json!({"spec": {"reason": "new"}})).await.unwrap_err());
    assert_eq!(code, 422, "{message}");
    assert!(message.starts_with(&format!("AccessGrant.rancheraccess.io \"{name}\" is invalid: ")), "{message}");
}

#[tokio::test(start_paused = true)]
async fn decisions_are_their_authors_own() {
    let server = server().await;
    let made = json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessDecision",
        "metadata": {"name": "d", "namespace": "default"}, "spec": {"grantRef": {"name": "g"}, "decision": "Approve"}});
    let mut forged = made.clone();
    forged["spec"]["decidedBy"] = json!({"username": "bob"});
    let path = "/apis/rancheraccess.io/v1alpha1/namespaces/default/accessdecisions";
    let (code, refused) = raw(&server, "POST", path, "application/json", forged).await;
    assert_eq!(code, 403, "{refused}");
    let (code, stored) = raw(&server, "POST", path, "application/json", made).await;
    assert_eq!((code, &stored["spec"]["decidedBy"]["username"]), (201, &json!("system:admin")), "{stored}");
    let stranger = Api::<DynamicObject>::namespaced_with(
        server.client_as("bob", &[]),
        "default",
        &ApiResource::from_gvk(&GroupVersionKind::gvk("rancheraccess.io", "v1alpha1", "AccessDecision")),
    );
    let refused = stranger.delete("d", &DeleteParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("a decision stays"), "{refused}");
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    let refused = stranger.patch("d", &PatchParams::default(), &label).await.unwrap_err().to_string();
    assert!(refused.contains("a decision stays"), "{refused}");
    let (code, gone) = raw(&server, "DELETE", &format!("{path}/d"), "application/json", Value::Null).await;
    assert_eq!(code, 200, "{gone}");
}
