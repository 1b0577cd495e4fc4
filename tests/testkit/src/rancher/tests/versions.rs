//! What differs from release to release.
use super::*;
use crate::rancher::{Model, TokenSpec, Version};

fn of(version: Version, model: Model) -> Rancher {
    Rancher::builder().seed(1).version(version).model(model).build()
}

/// The finalizers of a binding once it is realised, sorted.
async fn finalizers(rancher: &Rancher, place: &str, name: &str, kind: Kind) -> Vec<String> {
    rest(1000).await;
    let object = rancher.local().get(&kind.gvr(), place, name).unwrap();
    let mut list = super::super::core::finalizers(&object);
    list.sort();
    list
}

#[tokio::test(start_paused = true)]
async fn finalizers_are_two_of_the_model_before_2_14_and_three_since() {
    let legacy = [
        "clusterscoped.controller.cattle.io/cluster-crtb-sync_local",
        "controller.cattle.io/mgmt-auth-crtb-controller",
    ];
    let wrangler = ["wrangler.cattle.io/cluster-crtb-remove-handler", "wrangler.cattle.io/mgmt-crtb-remove-handler"];
    let all = [legacy[0], legacy[1], wrangler[1]];
    for version in Version::ALL {
        for (model, old) in [(Model::Legacy, legacy), (Model::Aggregated, wrangler)] {
            let rancher = of(version, model);
            bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
            let found = finalizers(&rancher, "local", "b", Kind::Cluster).await;
            if version >= Version::V2_14 {
                assert_eq!(found, all, "{version:?} {model:?}");
            } else {
                assert_eq!(found, old, "{version:?} {model:?}");
            }
            let member = if model == Model::Aggregated && version < Version::V2_14 {
                "local-cluster-member"
            } else {
                "local-clustermember"
            };
            assert!(roles(&rancher, DEVS).contains(&member.to_owned()), "{version:?} {model:?}");
            ask(&rancher, "DELETE", &path(Kind::Cluster, "local", "b"), None).await;
            rest(500).await;
            assert_eq!(roles(&rancher, DEVS), Vec::<String>::new(), "{version:?} {model:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_legacy_handlers_note_what_they_made() {
    let rancher = of(Version::V2_12, Model::Legacy);
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    rest(1000).await;
    let object = rancher.local().get(&Kind::Cluster.gvr(), "local", "b").unwrap();
    let notes = &object["metadata"]["annotations"];
    assert_eq!(notes["lifecycle.cattle.io/create.mgmt-auth-crtb-controller"], "true");
    assert_eq!(notes["lifecycle.cattle.io/create.cluster-crtb-sync_local"], "true");
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_of_stripped_finalizers_depends_on_the_release() {
    for (version, model, count) in [
        (Version::V2_13, Model::Legacy, 0),
        (Version::V2_13, Model::Aggregated, 2),
        (Version::V2_14, Model::Legacy, 1),
        (Version::V2_15, Model::Aggregated, 1),
    ] {
        let rancher = of(version, model);
        bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
        rest(1000).await;
        let strip = json!({"metadata": {"finalizers": []}});
        ask(&rancher, "PATCH", &path(Kind::Cluster, "local", "b"), Some(&strip)).await;
        rest(1000).await;
        assert_eq!(finalizers(&rancher, "local", "b", Kind::Cluster).await.len(), count, "{version:?} {model:?}");
    }
}

/// Binds twice, and answers with the second's code.
async fn twice(rancher: &Rancher) -> (u16, u16) {
    let project = rancher.project("local", "Default").unwrap();
    bind(rancher, "first", "cluster-member", ("groupPrincipalName", DEVS)).await;
    bind_project(rancher, "first", "read-only", ("local", &project), ("groupPrincipalName", DEVS)).await;
    rest(2000).await;
    let cluster = bind(rancher, "second", "cluster-member", ("groupPrincipalName", DEVS)).await.code;
    let of = bind_project(rancher, "second", "read-only", ("local", &project), ("groupPrincipalName", DEVS)).await.code;
    rest(2000).await;
    (cluster, of)
}

#[tokio::test(start_paused = true)]
async fn duplicates_are_legal_before_2_14_and_2_15_and_an_upgrade_deletes_the_younger() {
    for (version, answers) in [
        (Version::V2_11, (201, 201)),
        (Version::V2_12, (201, 201)),
        (Version::V2_13, (201, 201)),
        (Version::V2_14, (409, 201)),
        (Version::V2_15, (409, 409)),
    ] {
        let rancher = of(version, Model::Legacy);
        assert_eq!(twice(&rancher).await, answers, "{version:?}");
        let before = rancher.bindings().len();
        rancher.upgrade(Version::V2_15).await;
        rest(3000).await;
        let names: Vec<String> =
            rancher.bindings().iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        assert!(!names.contains(&"second".to_owned()), "{version:?}: {names:?}");
        assert_eq!(names.iter().filter(|name| *name == "first").count(), 2, "{version:?}: {before} became {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_by_name_and_by_another_principal_is_not_seen_as_a_duplicate() {
    let rancher = of(Version::V2_15, Model::Legacy);
    rancher.add_user("u-a", "a", &["okta_user://a"]);
    bind(&rancher, "by-name", "cluster-member", ("userName", "u-a")).await;
    bind(&rancher, "by-principal", "cluster-member", ("userPrincipalName", "okta_user://a")).await;
    rest(3000).await;
    assert_eq!(rancher.bindings().iter().filter(|one| one["userName"] == "u-a").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_projects_namespace_is_its_own_name_in_2_11_0_and_stays_so() {
    let rancher = of(Version::V2_11, Model::Legacy);
    let seeded = rancher.add_project("local", "shop", &[]);
    let body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "Project", "metadata": {"name": "p-asked"},
        "spec": {"clusterName": "local", "displayName": "asked"},
    });
    assert_eq!(ask(&rancher, "POST", &format!("{M}/namespaces/local/projects"), Some(&body)).await.code, 201);
    rest(500).await;
    for project in [seeded.as_str(), "p-asked"] {
        let namespace = format!("/k8s/clusters/local/api/v1/namespaces/{project}");
        assert_eq!(ask(&rancher, "GET", &namespace, None).await.code, 200);
        let made = bind_project(&rancher, "b", "read-only", ("local", project), ("groupPrincipalName", DEVS)).await;
        assert_eq!(made.code, 201, "{}", made.text);
    }
    rancher.upgrade(Version::V2_13).await;
    rest(2000).await;
    let it = format!("{M}/namespaces/local/projects/p-asked");
    assert!(ask(&rancher, "GET", &it, None).await.json()["status"]["backingNamespace"].is_null());
    let touched = ask(&rancher, "PATCH", &it, Some(&json!({"metadata": {"labels": {"a": "b"}}}))).await;
    assert_eq!(touched.json()["status"]["backingNamespace"], "p-asked");
    let later = rancher.add_project("local", "later", &[]);
    let it = ask(&rancher, "GET", &format!("{M}/namespaces/local/projects/{later}"), None).await.json();
    assert_eq!(it["status"]["backingNamespace"], format!("local-{later}"));
}

#[tokio::test(start_paused = true)]
async fn ext_tokens_come_in_2_12_and_are_whole_in_2_13() {
    let body =
        json!({"apiVersion": "ext.cattle.io/v1", "kind": "Token", "spec": {"ttl": 3_600_000, "clusterName": "local"}});
    for version in Version::ALL {
        let rancher = of(version, Model::Legacy);
        let made = ask(&rancher, "POST", "/ext/apis/ext.cattle.io/v1/tokens", Some(&body)).await;
        if version == Version::V2_11 {
            assert_eq!(made.code, 404);
            continue;
        }
        let token = made.json();
        assert_eq!(made.code, 201);
        let whole = version >= Version::V2_13;
        assert_eq!(token["status"]["bearerToken"].is_string(), whole, "{version:?}");
        assert_eq!(token["spec"]["clusterName"].is_string(), whole, "{version:?}");
        let bearer = rancher.add_token("user-8pvqg", TokenSpec { ext: true, ..TokenSpec::default() });
        let me = "/k8s/clusters/local/apis/management.cattle.io/v3/clusters/local";
        assert_eq!(ask_as(&rancher, &format!("Bearer {bearer}"), "GET", me, None).await.unwrap().code, 200);
        let selves = ask(&rancher, "POST", "/ext/apis/ext.cattle.io/v1/selfusers", Some(&json!({}))).await;
        assert_eq!(selves.code, if whole { 201 } else { 404 }, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_model_is_fixed_at_the_installation_before_2_14() {
    let rancher = of(Version::V2_13, Model::Aggregated);
    let it = format!("{M}/features/aggregated-roletemplates");
    let feature = ask(&rancher, "GET", &it, None).await.json();
    assert_eq!((&feature["status"]["lockedValue"], &feature["status"]["dynamic"]), (&json!(true), &json!(false)));
    let refused = ask(&rancher, "PATCH", &it, Some(&json!({"spec": {"value": false}}))).await;
    assert_eq!(refused.code, 400, "{}", refused.text);
    assert!(refused.message().ends_with("feature flag cannot be changed from current value: true"), "{}", refused.text);
    rancher.upgrade(Version::V2_14).await;
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    rest(1000).await;
    assert!(roles(&rancher, DEVS).contains(&"cluster-member-aggregator".to_owned()));
    rancher.set_model(Model::Legacy);
    assert_eq!(ask(&rancher, "GET", &it, None).await.json()["status"]["lockedValue"], Value::Null);
}

#[tokio::test(start_paused = true)]
async fn the_list_of_system_namespaces_grows() {
    let rancher = of(Version::V2_11, Model::Legacy);
    let it = format!("{M}/settings/system-namespaces");
    let list = async || ask(&rancher, "GET", &it, None).await.json()["default"].as_str().unwrap().to_owned();
    assert!(list().await.contains("kube-system") && !list().await.contains("cattle-tokens"));
    rancher.upgrade(Version::V2_15).await;
    assert!(list().await.ends_with("cattle-turtles-system,cattle-capi-system"));
}
