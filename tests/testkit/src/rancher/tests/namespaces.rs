//! Native RoleBindings through Rancher, and the membership without which they are worth nothing.
use super::*;
use crate::rancher::{Model, TokenSpec, Version};

const PROD: &str = "/k8s/clusters/c-m-prod";

fn url(namespace: &str, name: &str) -> String {
    format!("{PROD}/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings/{name}")
}

fn role_binding(name: &str, user: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": name, "labels": {"rancheraccess.io/installation": "one"}},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    })
}

async fn world(version: Version, model: Model) -> Rancher {
    let rancher = Rancher::builder().seed(1).version(version).model(model).build();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    rancher.add_namespace("c-m-prod", "", "web").await;
    rancher.add_user("u-a", "a", &[]);
    rancher
}

#[tokio::test(start_paused = true)]
async fn only_a_member_of_the_cluster_gets_to_his_role_binding() {
    let membership = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "RoleTemplate", "metadata": {"name": "rao-member"},
        "displayName": "member", "context": "cluster", "rules": [],
    });
    for version in Version::ALL {
        for model in [Model::Legacy, Model::Aggregated] {
            let rancher = world(version, model).await;
            let auth = format!("Bearer {}", rancher.add_token("u-a", TokenSpec::default()));
            let maps = format!("{PROD}/api/v1/namespaces/web/configmaps");
            let see = async |path: &str| ask_as(&rancher, &auth, "GET", path, None).await.unwrap();
            assert_eq!(ask(&rancher, "POST", &url("web", ""), Some(&role_binding("rao-n", "u-a"))).await.code, 201);
            rest(500).await;
            let stopped = see(&maps).await;
            assert_eq!((stopped.code, stopped.json()["Code"]["Code"].as_str()), (403, Some("Forbidden")));
            let role = ask(&rancher, "POST", &format!("{M}/roletemplates"), Some(&membership)).await;
            assert_eq!(role.code, 201, "{}", role.text);
            let body = json!({
                "apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": "rao-m"},
                "clusterName": "c-m-prod", "roleTemplateName": "rao-member", "userName": "u-a",
            });
            let crtb = path(Kind::Cluster, "c-m-prod", "");
            assert_eq!(ask(&rancher, "POST", &crtb, Some(&body)).await.code, 201);
            rest(1000).await;
            assert_eq!(see(&maps).await.code, 200, "{version:?} {model:?}");
            // Nothing but that: neither elsewhere nor in Rancher.
            let elsewhere = see(&format!("{PROD}/api/v1/namespaces/default/configmaps")).await;
            assert_eq!((elsewhere.code, elsewhere.json()["kind"].as_str()), (403, Some("Status")));
            let given = rancher.access_of("u-a");
            let management: Vec<_> =
                given.iter().filter(|one| one.cluster == "local" && one.namespace != "fleet-default").collect();
            assert_eq!(management.len(), 1, "the membership alone: {management:?}");
            assert!(management[0].role.starts_with("c-m-prod-cluster"));
            ask(&rancher, "DELETE", &format!("{crtb}rao-m"), None).await;
            rest(1000).await;
            assert_eq!(see(&maps).await.code, 403);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_binding_has_no_finalizers_and_its_delete_is_final() {
    let rancher = world(Version::V2_15, Model::Legacy).await;
    let made = ask(&rancher, "POST", &url("web", ""), Some(&role_binding("rao-n", "u-a"))).await.json();
    rest(2000).await;
    let read = ask(&rancher, "GET", &url("web", "rao-n"), None).await.json();
    assert!(read["metadata"]["finalizers"].is_null() && read["metadata"]["uid"] == made["metadata"]["uid"]);
    let selected = format!("{}?labelSelector=rancheraccess.io/installation%3Done", url("web", ""));
    let listed = ask(&rancher, "GET", &selected, None).await;
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 1);
    let wrong = json!({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}});
    let refused = ask(&rancher, "DELETE", &url("web", "rao-n"), Some(&wrong)).await;
    assert_eq!((refused.code, refused.json()["reason"].as_str()), (409, Some("Conflict")));
    let stale = json!({"preconditions": {"uid": made["metadata"]["uid"], "resourceVersion": "1"}});
    assert_eq!(ask(&rancher, "DELETE", &url("web", "rao-n"), Some(&stale)).await.code, 409);
    let right = json!({"preconditions": {
        "uid": made["metadata"]["uid"], "resourceVersion": read["metadata"]["resourceVersion"],
    }});
    assert_eq!(ask(&rancher, "DELETE", &url("web", "rao-n"), Some(&right)).await.code, 200);
    let gone = ask(&rancher, "GET", &url("web", "rao-n"), None).await;
    assert_eq!((gone.code, gone.auth.as_str()), (404, "true"));
    let details = gone.json()["details"].clone();
    assert_eq!((details["name"].as_str(), details["kind"].as_str()), (Some("rao-n"), Some("rolebindings")));
}

#[tokio::test(start_paused = true)]
async fn a_missing_namespace_is_what_the_answer_names() {
    let rancher = world(Version::V2_15, Model::Legacy).await;
    let answer = ask(&rancher, "POST", &url("nope", ""), Some(&role_binding("rao-n", "u-a"))).await;
    assert_eq!((answer.code, answer.message().as_str()), (404, "namespaces \"nope\" not found"));
    assert_eq!(answer.json()["details"]["kind"], "namespaces");
}

#[tokio::test(start_paused = true)]
async fn role_bindings_are_watched_through_rancher() {
    let rancher = world(Version::V2_15, Model::Legacy).await;
    ask(&rancher, "POST", &url("web", ""), Some(&role_binding("rao-n", "u-a"))).await;
    let all = format!("{PROD}/apis/rbac.authorization.k8s.io/v1/rolebindings");
    let query = "watch=true&labelSelector=rancheraccess.io/installation&timeoutSeconds=1";
    let text = ask(&rancher, "GET", &format!("{all}?{query}"), None).await.text;
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!((&first["type"], &first["object"]["metadata"]["name"]), (&json!("ADDED"), &json!("rao-n")));
}
