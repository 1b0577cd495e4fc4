use serde_json::Value;

use super::*;
use crate::rancher::{
    fake::{client, empty_list, not_found, rancher},
    wire::BindingKind,
};

fn trace() -> Trace {
    Trace {
        binding: BindingRef {
            kind: BindingKind::Cluster,
            cluster: "local".to_owned(),
            namespace: "c-1".to_owned(),
            name: "rao-a".to_owned(),
        },
        clusters: vec!["c-1".to_owned()],
        stays_admin: false,
        subject: Subject { user: Some("u-1".to_owned()), ..Subject::default() },
        roles: vec!["edit".to_owned()],
    }
}

fn binding(labels: Value) -> String {
    json!({"metadata": {}, "items": [{"metadata": {"name": "crb-1", "uid": "uid-1", "resourceVersion": "5", "labels": labels},
        "subjects": [{"kind": "User", "name": "u-1"}], "roleRef": {"name": "cluster-member"}}]})
    .to_string()
}

async fn proof(name: &str) -> ProofOfAbsence {
    let wanted = name.to_owned();
    let (server, _) = client(move |_| not_found("management.cattle.io", "clusterroletemplatebindings", &wanted));
    let reference = BindingRef { name: name.to_owned(), ..trace().binding };
    match server.binding(&reference).await.unwrap() {
        Sighting::Gone(proof) => proof,
        Sighting::Found(_) => panic!("it is gone"),
    }
}

#[tokio::test]
async fn what_is_left_is_found_once_and_deleted_as_judged() {
    let (server, asked) = client(|request| {
        let path = request.uri().path();
        if request.method() == "DELETE" {
            return rancher(200, r#"{"kind":"Status","status":"Success"}"#);
        }
        if path.ends_with("/namespaces/c-1/rolebindings/rao-a-edit") {
            return not_found("rbac.authorization.k8s.io", "rolebindings", "rao-a-edit");
        }
        // The same object answers two of the looks downstream.
        if path == "/k8s/clusters/c-1/apis/rbac.authorization.k8s.io/v1/clusterrolebindings" {
            return rancher(
                200,
                binding(json!({"c-1_rao-a": "owner-user", "authz.cluster.cattle.io/rtb-owner-updated": "c-1_rao-a"})),
            );
        }
        empty_list()
    });
    let looked = server.leftovers(&trace()).await;
    assert!(looked.unreadable.is_empty(), "{looked:?}");
    assert_eq!(looked.found.len(), 1, "{looked:?}");
    let removal = server.remove_leftovers(&trace(), &looked.found, &proof("rao-a").await).await.unwrap();
    assert_eq!((removal.removed.len(), removal.failed.len()), (1, 0));
    let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!(body["preconditions"], json!({"uid": "uid-1", "resourceVersion": "5"}));
    let line = asked.lines().pop().unwrap();
    assert_eq!(line, "DELETE /k8s/clusters/c-1/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/crb-1");
}

#[tokio::test]
async fn unreadable_is_not_nothing() {
    let (server, _) = client(|request| {
        if request.uri().path().starts_with("/k8s/clusters/c-1/") {
            return rancher(
                503,
                r#"{"Code":{"Code":"ClusterUnavailable","Status":503},"Message":"cluster not found"}"#,
            );
        }
        if request.uri().path().contains("/rolebindings/") {
            return not_found("rbac.authorization.k8s.io", "rolebindings", "rao-a-edit");
        }
        empty_list()
    });
    let looked = server.leftovers(&trace()).await;
    assert!(looked.found.is_empty() && !looked.is_clean());
    assert!(looked.unreadable.iter().all(|u| u.cluster == "c-1" && u.error.reason() == "Unknown"), "{looked:?}");
}

#[tokio::test]
async fn nothing_is_removed_without_proof_of_that_very_binding() {
    let (server, asked) = client(|_| rancher(200, "{}"));
    let error = server.remove_leftovers(&trace(), &[], &proof("rao-b").await).await.unwrap_err();
    assert_eq!(error.reason(), "Conflict");
    assert!(asked.all().is_empty());
}

#[tokio::test]
async fn a_shared_object_that_changed_is_left_for_the_next_look() {
    let leftover = Leftover {
        cluster: "c-1".to_owned(),
        kind: MadeKind::RoleBinding,
        namespace: "web".to_owned(),
        name: "rb-1".to_owned(),
        uid: "uid-1".to_owned(),
        resource_version: "5".to_owned(),
        role: "edit".to_owned(),
        going: false,
        remedy: Remedy::DropKeys(vec![("c-1_rao-a".to_owned(), "true".to_owned())]),
    };
    let (server, asked) =
        client(|_| rancher(422, r#"{"kind":"Status","reason":"Invalid","code":422,"message":"test failed"}"#));
    let proof = proof("rao-a").await;
    let removal = server.remove_leftovers(&trace(), &[leftover], &proof).await.unwrap();
    assert_eq!((removal.removed.len(), removal.failed.len()), (0, 1));
    let request = asked.last();
    assert_eq!(request.method(), "PATCH");
    assert_eq!(request.headers()["content-type"], "application/json-patch+json");
    assert_eq!(
        request.uri().path(),
        "/k8s/clusters/c-1/apis/rbac.authorization.k8s.io/v1/namespaces/web/rolebindings/rb-1"
    );
}
