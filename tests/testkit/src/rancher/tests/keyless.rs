//! Rancher's own cluster spoken to directly, by a ServiceAccount in it: no key, no proxy, no login.
use bytes::Bytes;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::{
    apiserver::{Gvr, User},
    rancher::{Model, Version},
};

const OPERATOR: &str = "system:serviceaccount:rancher-access-system:operator";
const BINDINGS: &str = "/apis/management.cattle.io/v3/namespaces/local/clusterroletemplatebindings";

/// One request to the API server itself.
async fn direct(rancher: &Rancher, user: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let user = User::new(user, &["system:serviceaccounts", "system:authenticated"]);
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let response = rancher.local().service_as(user).oneshot(request.body(bytes).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_service_account_binds_and_meets_webhook_and_controllers() {
    for version in Version::ALL {
        for model in [Model::Legacy, Model::Aggregated] {
            let rancher = Rancher::builder().seed(1).version(version).model(model).build();
            let body = crtb("b", "cluster-member", ("groupPrincipalName", DEVS));
            let (code, refused) = direct(&rancher, OPERATOR, "POST", BINDINGS, Some(&body)).await;
            assert_eq!((code, refused["reason"].as_str()), (403, Some("Forbidden")));
            rancher.bind_cluster_admin(OPERATOR);
            assert_eq!(direct(&rancher, OPERATOR, "POST", BINDINGS, Some(&body)).await.0, 201);
            let wrong = crtb("c", "nope", ("groupPrincipalName", DEVS));
            let (code, refused) = direct(&rancher, OPERATOR, "POST", BINDINGS, Some(&wrong)).await;
            assert_eq!(code, 400);
            assert!(refused["message"].as_str().unwrap().starts_with("admission webhook \"rancher.cattle.io."));
            rest(1000).await;
            let it = format!("{BINDINGS}/b");
            let (_, object) = direct(&rancher, OPERATOR, "GET", &it, None).await;
            assert_eq!(object["status"]["summary"], "Completed", "{version:?} {model:?}");
            assert!(!rancher.access_of(DEVS).is_empty());
            let options = json!({"preconditions": {"uid": object["metadata"]["uid"]}});
            assert_eq!(direct(&rancher, OPERATOR, "DELETE", &it, Some(&options)).await.0, 200);
            rest(1000).await;
            let (code, gone) = direct(&rancher, OPERATOR, "GET", &it, None).await;
            assert_eq!((code, gone["details"]["name"].as_str()), (404, Some("b")));
            assert!(rancher.access_of(DEVS).is_empty());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_operators_own_kinds_live_in_ranchers_cluster() {
    let rancher = rancher();
    rancher.bind_cluster_admin(OPERATOR);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing", "singular": "thing"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]},
    });
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "no-bad"},
        "spec": {"failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]}]},
            "validations": [{"expression": "object.metadata.name != 'bad'", "message": "bad is bad"}]},
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": "no-bad"},
        "spec": {"policyName": "no-bad", "validationActions": ["Deny"]},
    });
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "one"}});
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z",
        "reason": "R", "action": "A", "type": "Normal", "reportingController": "c", "reportingInstance": "i", "note": "n",
    });
    let admission = "/apis/admissionregistration.k8s.io/v1";
    for (path, body) in [
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(), definition),
        (format!("{admission}/validatingadmissionpolicies"), policy),
        (format!("{admission}/validatingadmissionpolicybindings"), binding),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases".to_owned(), lease),
        ("/apis/events.k8s.io/v1/namespaces/default/events".to_owned(), event),
    ] {
        let (code, answer) = direct(&rancher, OPERATOR, "POST", &path, Some(&body)).await;
        assert_eq!(code, 201, "{path}: {answer}");
    }
    let things = "/apis/example.com/v1/namespaces/default/things";
    let thing = |name: &str| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name}});
    assert_eq!(direct(&rancher, OPERATOR, "POST", things, Some(&thing("good"))).await.0, 201);
    assert_eq!(direct(&rancher, OPERATOR, "POST", things, Some(&thing("bad"))).await.0, 422);
    // Who is nobody there gets nothing, and a backup knows them too.
    assert_eq!(direct(&rancher, "alice", "GET", things, None).await.0, 403);
    let backup = rancher.backup();
    direct(&rancher, OPERATOR, "DELETE", &format!("{things}/good"), None).await;
    rancher.restore(&backup).await;
    assert!(rancher.local().get(&Gvr::new("example.com", "v1", "things"), "default", "good").is_some());
}
