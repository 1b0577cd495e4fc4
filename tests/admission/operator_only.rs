//! What is the operator's own: status and its finalizer.

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use rancher_access_operator::api::FINALIZER;
use serde_json::{Value, json};

use super::{FINALIZER_ONLY, MIRRORED, OPERATOR, STATUS, world::*};

#[tokio::test]
async fn only_the_operator_writes_status() {
    let plane = plane().await;
    let admin = plane.client().await;
    let operator = plane.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap();
    let integration = json!({"host": "rancher.example.com", "credentialsSecretRef": {"name": "prod"}});
    let mut grant = grant("status", Value::Null);
    grant.data["status"] = json!({"phase": "Active"});
    let mut server = DynamicObject::new("status", &resource("RancherIntegration"));
    server.data = json!({"spec": integration, "status": {"observedGeneration": 7}});
    for (object, namespace) in [(grant, Some("default")), (server, None)] {
        let kind = resource(&object.types.as_ref().unwrap().kind);
        let api = |client: &Client| -> Api<DynamicObject> {
            match namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind),
                None => Api::all_with(client.clone(), &kind),
            }
        };
        let admin = api(&admin);
        let text = |error: kube::Error| error.to_string();
        let mut created = admin.create(&PostParams::default(), &object).await.unwrap();
        assert!(created.data.get("status").is_none(), "a status that is sent along is dropped: {created:?}");

        refused(status_patch(&admin, "status").await, STATUS);
        created.data["status"] = json!({"observedGeneration": 1});
        refused(admin.replace_status("status", &PostParams::default(), &created).await.map_err(text), STATUS);
        let status = json!({"observedGeneration": 1});
        let applied = json!({"apiVersion": kind.api_version, "kind": kind.kind, "status": status});
        let answer = admin.patch_status("status", &PatchParams::apply("forger"), &Patch::Apply(applied)).await;
        refused(answer.map_err(text), STATUS);

        let written = status_patch(&api(&operator), "status").await.unwrap();
        assert_eq!(written.data["status"], status);
    }
}

/// A patch of the finalizers in one of the ways there are.
fn finalizers(list: &[&str]) -> Patch<Value> {
    Patch::Merge(json!({"metadata": {"finalizers": list}}))
}

#[tokio::test]
async fn only_the_operator_adds_and_removes_its_finalizer() {
    let plane = plane().await;
    let admin = grants(&plane.client().await);
    let operator = grants(&plane.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap());
    let params = PatchParams::default();
    let text = |error: kube::Error| error.to_string();
    admin.create(&PostParams::default(), &grant("held", Value::Null)).await.unwrap();
    refused(admin.patch("held", &params, &finalizers(&[FINALIZER])).await.map_err(text), FINALIZER_ONLY);
    // Others' finalizers, and all else, are not the operator's business.
    admin.patch("held", &params, &finalizers(&["example.com/other"])).await.unwrap();
    operator.patch("held", &params, &finalizers(&["example.com/other", FINALIZER])).await.unwrap();
    let held = admin.patch("held", &params, &finalizers(&[FINALIZER])).await.unwrap();

    for deleted in [false, true] {
        if deleted {
            admin.delete("held", &DeleteParams::default()).await.unwrap();
            assert!(admin.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
        }
        refused(admin.patch("held", &params, &finalizers(&[])).await.map_err(text), FINALIZER_ONLY);
        let remove: json_patch::Patch =
            serde_json::from_value(json!([{"op": "remove", "path": "/metadata/finalizers/0"}])).unwrap();
        refused(admin.patch("held", &params, &Patch::Json::<()>(remove)).await.map_err(text), FINALIZER_ONLY);
        let mut put = held.clone();
        put.metadata.finalizers = None;
        put.metadata.resource_version = admin.get("held").await.unwrap().resource_version();
        refused(admin.replace("held", &PostParams::default(), &put).await.map_err(text), FINALIZER_ONLY);
    }
    operator.patch("held", &params, &finalizers(&[])).await.unwrap();
    assert!(admin.get_opt("held").await.unwrap().is_none(), "the operator let it go");
}

#[tokio::test]
async fn only_the_operator_writes_what_it_mirrors() {
    let plane = plane().await;
    let kind = resource("RancherResource");
    let api = |client: Client| -> Api<DynamicObject> { Api::all_with(client, &kind) };
    let admin = api(plane.client().await);
    let operator = api(plane.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap());
    let text = |error: kube::Error| error.to_string();
    let mut object = DynamicObject::new("prod.cluster.c-1", &kind);
    object.data = json!({"spec": {"integrationRef": {"name": "prod"}, "kind": "Cluster", "id": "c-1", "displayName": "Prod",
        "state": "Available", "offered": true}});
    refused(admin.create(&PostParams::default(), &object).await.map_err(text), MIRRORED);
    let mut made = operator.create(&PostParams::default(), &object).await.unwrap();
    let name = made.name_any();
    let params = PatchParams::default();
    for patch in [json!({"spec": {"offered": false}}), json!({"metadata": {"labels": {"a": "b"}}})] {
        refused(admin.patch(&name, &params, &Patch::Merge(&patch)).await.map_err(text), MIRRORED);
    }
    made.data["spec"]["displayName"] = json!("Other");
    refused(admin.replace(&name, &PostParams::default(), &made).await.map_err(text), MIRRORED);
    operator.patch(&name, &params, &Patch::Merge(json!({"spec": {"displayName": "Other"}}))).await.unwrap();
    // An integration that is deleted with --cascade=orphan leaves its objects to whoever wants them.
    let orphan = json!({"metadata": {"labels": {"a": "b"}}});
    for collector in ["system:serviceaccount:kube-system:generic-garbage-collector", "system:kube-controller-manager"] {
        let collector = api(plane.client_for(collector, &["system:masters"]).await);
        collector.patch(&name, &params, &Patch::Merge(&orphan)).await.unwrap();
    }
    // What is deleted by hand is made again, so nobody is kept from it.
    admin.delete(&name, &DeleteParams::default()).await.unwrap();
}
