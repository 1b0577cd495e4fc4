//! Answers that only a simulator can be brought to give.
use super::*;
use crate::rancher::{Model, TokenSpec};

#[tokio::test(start_paused = true)]
async fn who_is_not_in_a_cluster_is_stopped_before_it() {
    let rancher = rancher();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    rancher.add_user("u-a", "a", &[]);
    rancher.set_groups("u-a", &[DEVS]);
    let auth = format!("Bearer {}", rancher.add_token("u-a", TokenSpec::default()));
    let url = "/k8s/clusters/c-m-prod/apis/rbac.authorization.k8s.io/v1/clusterroles";
    let stopped = ask_as(&rancher, &auth, "GET", url, None).await.unwrap();
    assert_eq!((stopped.code, stopped.auth.as_str()), (403, "true"));
    let body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": "b"},
        "clusterName": "c-m-prod", "roleTemplateName": "cluster-owner", "groupPrincipalName": DEVS,
    });
    ask(&rancher, "POST", &path(Kind::Cluster, "c-m-prod", ""), Some(&body)).await;
    rest(500).await;
    assert_eq!(ask_as(&rancher, &auth, "GET", url, None).await.unwrap().code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_project_owner_may_pass_his_role_on_and_strip_his_binding() {
    let rancher = rancher();
    let project = rancher.project("local", "Default").unwrap();
    rancher.add_user("u-a", "a", &[]);
    let auth = format!("Bearer {}", rancher.add_token("u-a", TokenSpec::default()));
    bind_project(&rancher, "b", "project-owner", ("local", &project), ("userName", "u-a")).await;
    rest(500).await;
    let url = path(Kind::Project, &format!("local-{project}"), "");
    let mut body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "ProjectRoleTemplateBinding", "metadata": {"name": "friend"},
        "projectName": format!("local:{project}"), "roleTemplateName": "project-owner", "groupPrincipalName": DEVS,
    });
    assert_eq!(ask_as(&rancher, &auth, "POST", &url, Some(&body)).await.unwrap().code, 201);
    body["metadata"]["name"] = json!("self");
    body["userName"] = json!("u-a");
    body["groupPrincipalName"] = Value::Null;
    let twin = ask_as(&rancher, &auth, "POST", &url, Some(&body)).await.unwrap();
    assert_eq!((twin.code, twin.json()["reason"].as_str()), (409, Some("Conflict")));
    let strip = json!({"metadata": {"finalizers": []}});
    let stripped = ask_as(&rancher, &auth, "PATCH", &format!("{url}b"), Some(&strip)).await.unwrap();
    assert_eq!(stripped.code, 200, "{}", stripped.text);
    let labels = json!({"metadata": {"labels": {"mine": "yes"}}});
    let labelled =
        ask_as(&rancher, &auth, "PATCH", &format!("{M}/namespaces/local/projects/{project}"), Some(&labels)).await;
    assert_eq!(labelled.unwrap().code, 200);
}

#[tokio::test(start_paused = true)]
async fn a_scoped_key_is_told_by_its_cluster_name() {
    let rancher = rancher();
    let spec = TokenSpec { cluster: Some("local".to_owned()), ..TokenSpec::default() };
    let bearer = rancher.add_token("user-8pvqg", spec);
    let name = bearer.split(':').next().unwrap();
    let auth = format!("Bearer {bearer}");
    let token = ask_as(&rancher, &auth, "GET", &format!("{M}/tokens/{name}"), None).await.unwrap();
    assert_eq!((token.code, token.json()["clusterName"].as_str()), (200, Some("local")));
    assert_eq!(ask_as(&rancher, &auth, "GET", "/v3/tokens", None).await.unwrap().code, 401);
}

#[tokio::test(start_paused = true)]
async fn the_feature_switches_the_model_for_new_bindings() {
    let rancher = rancher();
    let patch = json!({"spec": {"value": true}});
    let feature = format!("{M}/features/aggregated-roletemplates");
    assert_eq!(ask(&rancher, "PATCH", &feature, Some(&patch)).await.code, 200);
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    rest(100).await;
    assert!(roles(&rancher, DEVS).contains(&"cluster-member-aggregator".to_owned()));
    rancher.set_model(Model::Legacy);
    assert_eq!(ask(&rancher, "GET", &feature, None).await.json()["spec"]["value"], false);
}

#[tokio::test(start_paused = true)]
async fn install_uuid_is_what_it_was_set_to() {
    let rancher = Rancher::builder().install_uuid("one").build();
    for uuid in ["one", "two"] {
        rancher.set_install_uuid(uuid);
        assert_eq!(ask(&rancher, "GET", &format!("{M}/settings/install-uuid"), None).await.json()["value"], uuid);
        assert_eq!(ask(&rancher, "GET", "/v3/settings/install-uuid", None).await.json()["value"], uuid);
    }
    assert_eq!(ask(&rancher, "GET", "/v3/settings/server-version", None).await.json()["value"], "v2.15.0");
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_server() {
    let (one, two) = (Rancher::builder().seed(5).build(), Rancher::builder().seed(5).build());
    assert_eq!(one.admin_token(), two.admin_token());
    assert_eq!(one.project("local", "Default"), two.project("local", "Default"));
    assert_ne!(one.admin_token(), rancher().admin_token());
}

#[tokio::test(start_paused = true)]
async fn controllers_stop_with_the_last_handle() {
    let rancher = rancher();
    let local = rancher.local();
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    drop(rancher);
    rest(1000).await;
    let binding = local.get(&Kind::Cluster.gvr(), "local", "b").unwrap();
    assert!(binding["metadata"]["finalizers"].is_null());
}

#[tokio::test(start_paused = true)]
async fn basic_with_the_key_is_as_good_as_a_bearer() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let rancher = rancher();
    let auth = format!("Basic {}", STANDARD.encode(rancher.admin_token()));
    let answer = ask_as(&rancher, &auth, "GET", &format!("{M}/clusters/local"), None).await.unwrap();
    assert_eq!((answer.code, answer.auth.as_str()), (200, "true"));
}

#[tokio::test(start_paused = true)]
async fn short_passwords_are_refused_and_long_ones_kept_as_hashes() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let rancher = rancher();
    rancher.add_user("u-a", "a", &[]);
    let url = "/k8s/clusters/local/api/v1/namespaces/cattle-local-user-passwords/secrets";
    let login = json!({"username": "a", "password": "long-enough-word"});
    for (password, code) in [("short", 400), ("long-enough-word", 201)] {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "u-a"}, "data": {"password": STANDARD.encode(password)},
        });
        let made = ask(&rancher, "POST", url, Some(&secret)).await;
        assert_eq!(made.code, code, "{}", made.text);
        assert!(!made.text.contains(&STANDARD.encode("long-enough-word")));
    }
    let door = "/v3-public/localProviders/local?action=login";
    assert_eq!(ask_as(&rancher, "", "POST", door, Some(&login)).await.unwrap().code, 201);
    rancher.disable_user("u-a", true);
    let refused = ask_as(&rancher, "", "POST", door, Some(&login)).await.unwrap();
    assert_eq!((refused.code, refused.json()["code"].as_str()), (403, Some("PermissionDenied")));
}

/// A kube client over TLS, as a process of its own would have one.
fn https_client(rancher: &Rancher, served: &crate::rancher::Served) -> kube::Client {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let body: String = served.ca_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut config = kube::Config::new(format!("{}/k8s/clusters/local", served.url).parse().unwrap());
    config.root_cert = Some(vec![STANDARD.decode(body).unwrap()]);
    config.auth_info.token = Some(rancher.admin_token().into());
    kube::Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_watch_over_https_streams() {
    use futures::StreamExt;
    use kube::{
        Api,
        api::{ApiResource, DynamicObject, WatchEvent, WatchParams},
        core::GroupVersionKind,
    };
    let rancher = rancher();
    let served = rancher.serve().await;
    let kind = GroupVersionKind::gvk("management.cattle.io", "v3", "User");
    let api: Api<DynamicObject> = Api::all_with(https_client(&rancher, &served), &ApiResource::from_gvk(&kind));
    let mut events = api.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    rancher.add_user("u-late", "late", &[]);
    loop {
        let event = events.next().await.unwrap().unwrap();
        if matches!(&event, WatchEvent::Added(user) if user.metadata.name.as_deref() == Some("u-late")) {
            break;
        }
    }
    let (url, client) = (served.url.clone(), https_client(&rancher, &served));
    drop(served);
    let after: Api<DynamicObject> = Api::all_with(client, &ApiResource::from_gvk(&kind));
    assert!(after.list(&kube::api::ListParams::default()).await.is_err(), "{url} still answers");
}
