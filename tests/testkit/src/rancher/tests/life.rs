//! What controllers do to bindings, and when.
use super::*;
use crate::rancher::Model;

fn finalizers(rancher: &Rancher, kind: Kind, namespace: &str, name: &str) -> usize {
    let object = rancher.local().get(&kind.gvr(), namespace, name).unwrap();
    super::super::core::finalizers(&object).len()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_binding_is_realised_in_the_recorded_steps() {
    let rancher = rancher();
    assert_eq!(bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await.code, 201);
    let mut at = 0;
    for (until, count) in [(20, 0), (50, 2), (150, 2), (180, 3)] {
        rest(until - at).await;
        at = until;
        assert_eq!(finalizers(&rancher, Kind::Cluster, "local", "b"), count, "after {until} ms");
    }
    assert!(roles(&rancher, DEVS).contains(&"cluster-member".to_owned()));
    rest(100).await;
    let object = ask(&rancher, "GET", &path(Kind::Cluster, "local", "b"), None).await.json();
    assert_eq!(object["status"]["summary"], "Completed");
    let gone = ask(&rancher, "DELETE", &path(Kind::Cluster, "local", "b"), None).await;
    assert_eq!((gone.code, gone.json()["metadata"]["deletionTimestamp"].is_string()), (200, true));
    rest(120).await;
    assert_eq!(ask(&rancher, "GET", &path(Kind::Cluster, "local", "b"), None).await.code, 404);
    assert_eq!(roles(&rancher, DEVS), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn one_creation_makes_twelve_events_and_a_deletion_three() {
    let rancher = rancher();
    rancher.add_user("u-a", "a", &[]);
    bind(&rancher, "b", "cluster-member", ("userName", "u-a")).await;
    let before = rancher.local().get(&Kind::Cluster.gvr(), "local", "b").unwrap();
    let since = before["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    rest(400).await;
    ask(&rancher, "DELETE", &path(Kind::Cluster, "local", "b"), None).await;
    rest(200).await;
    let watch = format!("{}?watch=true&timeoutSeconds=1&resourceVersion={since}", path(Kind::Cluster, "local", ""));
    let text = ask(&rancher, "GET", &watch, None).await.text;
    let kinds: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].take()).collect();
    assert_eq!(kinds.len(), 12 + 3 + 1, "{kinds:?}");
    assert_eq!(kinds.last().unwrap(), "DELETED");
}

#[tokio::test(start_paused = true)]
async fn a_project_binding_reaches_every_namespace_old_and_new() {
    let rancher = rancher();
    let server = rancher.add_cluster("c-m-prod", "prod", &[]);
    let project = rancher.add_project("c-m-prod", "shop", &[]);
    rancher.add_namespace("c-m-prod", &project, "web").await;
    let made =
        bind_project(&rancher, "b", "project-member", ("c-m-prod", &project), ("groupPrincipalName", DEVS)).await;
    assert_eq!(made.code, 201, "{}", made.text);
    rest(400).await;
    rancher.add_namespace("c-m-prod", &project, "db").await;
    rest(200).await;
    for namespace in ["web", "db"] {
        let all = server.list(&super::super::core::rbac("rolebindings"), Some(namespace));
        let mut names: Vec<&str> = all.iter().map(|one| one["roleRef"]["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["edit", "project-member"]);
        let owner = format!("c-m-prod-{project}_b");
        assert_eq!(all[0]["metadata"]["labels"]["authz.cluster.cattle.io/rtb-owner-updated"], owner.as_str());
    }
    ask(&rancher, "DELETE", &path(Kind::Project, &format!("c-m-prod-{project}"), "b"), None).await;
    rest(150).await;
    assert_eq!(roles(&rancher, DEVS), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn deleting_one_sharer_takes_the_shared_object_until_the_other_is_touched() {
    let rancher = rancher();
    let project = rancher.project("local", "Default").unwrap();
    let place = format!("local-{project}");
    for (name, role) in [("first", "edit"), ("second", "project-member")] {
        let made = bind_project(&rancher, name, role, ("local", &project), ("groupPrincipalName", DEVS)).await;
        assert_eq!(made.code, 201, "{}", made.text);
        rest(500).await;
    }
    ask(&rancher, "DELETE", &path(Kind::Project, &place, "first"), None).await;
    rest(12_000).await;
    assert!(!roles(&rancher, DEVS).contains(&"edit".to_owned()));
    let touch = json!({"metadata": {"annotations": {"touched": "1"}}});
    ask(&rancher, "PATCH", &path(Kind::Project, &place, "second"), Some(&touch)).await;
    rest(2000).await;
    assert!(roles(&rancher, DEVS).contains(&"edit".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_too_soon_leaves_access_behind() {
    for (model, pause, left) in
        [(Model::Legacy, 0, 2), (Model::Legacy, 500, 0), (Model::Aggregated, 100, 7), (Model::Aggregated, 2000, 2)]
    {
        let rancher = Rancher::builder().model(model).build();
        let project = rancher.project("local", "Default").unwrap();
        bind(&rancher, "c", "cluster-member", ("groupPrincipalName", DEVS)).await;
        bind_project(&rancher, "p", "project-member", ("local", &project), ("groupPrincipalName", DEVS)).await;
        rest(pause).await;
        ask(&rancher, "DELETE", &path(Kind::Cluster, "local", "c"), None).await;
        ask(&rancher, "DELETE", &path(Kind::Project, &format!("local-{project}"), "p"), None).await;
        rest(8000).await;
        let bindings = rancher.bindings();
        assert_eq!(bindings.len(), 1, "only the administrator's is left: {bindings:?}");
        let found = roles(&rancher, DEVS);
        if left == 7 {
            assert!(found.len() >= left, "{model:?} after {pause} ms: {found:?}");
            assert!(found.contains(&"cluster-member-aggregator".to_owned()));
        } else {
            assert_eq!(found.len(), left, "{model:?} after {pause} ms: {found:?}");
            assert!(found.iter().all(|role| role == "r-cluster-local-view"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn stripped_finalizers_come_back_in_part_and_access_outlives_the_binding() {
    let rancher = rancher();
    let project = rancher.project("local", "Default").unwrap();
    let it = path(Kind::Project, &format!("local-{project}"), "b");
    bind_project(&rancher, "b", "project-owner", ("local", &project), ("groupPrincipalName", DEVS)).await;
    rest(500).await;
    let strip = json!({"metadata": {"finalizers": []}});
    assert_eq!(ask(&rancher, "PATCH", &it, Some(&strip)).await.code, 200);
    rest(2000).await;
    let list = ask(&rancher, "GET", &it, None).await.json()["metadata"]["finalizers"].clone();
    assert_eq!(list.as_array().unwrap().len(), 1);
    ask(&rancher, "PATCH", &it, Some(&strip)).await;
    assert_eq!(ask(&rancher, "DELETE", &it, None).await.code, 200);
    assert_eq!(ask(&rancher, "GET", &it, None).await.code, 404);
    rest(5000).await;
    let found = roles(&rancher, DEVS);
    assert!(found.contains(&"project-owner".to_owned()) && found.contains(&"admin".to_owned()), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn a_principal_never_seen_makes_a_user_that_stays() {
    let rancher = rancher();
    bind(&rancher, "b", "cluster-member", ("userPrincipalName", "okta_user://new")).await;
    rest(300).await;
    let it = path(Kind::Cluster, "local", "b");
    let user = ask(&rancher, "GET", &it, None).await.json()["userName"].as_str().unwrap().to_owned();
    assert!(user.starts_with("u-") && user.len() == 12, "{user}");
    let again = bind(&rancher, "c", "cluster-member", ("userName", &user)).await;
    assert_eq!((again.code, again.json()["reason"].as_str()), (409, Some("Conflict")));
    assert!(again.message().ends_with("denied the request: duplicate crtb not allowed"), "{}", again.text);
    ask(&rancher, "DELETE", &it, None).await;
    rest(300).await;
    let user = ask(&rancher, "GET", &format!("{M}/users/{user}"), None).await;
    assert_eq!(user.json()["principalIds"][0], "okta_user://new");
}

#[tokio::test(start_paused = true)]
async fn strangers_get_the_roles_of_new_users_where_that_is_asked_for() {
    let rancher = rancher();
    let bindings = super::super::core::management("globalrolebindings");
    for (on, stranger) in [(false, "okta_user://one"), (true, "okta_user://two")] {
        rancher.set_default_roles(on);
        bind(&rancher, &format!("b-{on}"), "cluster-member", ("userPrincipalName", stranger)).await;
        rest(500).await;
        let id = super::super::names::user_for_principal(stranger);
        let user = ask(&rancher, "GET", &format!("{M}/users/{id}"), None).await.json();
        assert_eq!(user["principalIds"], json!([stranger, format!("local://{id}")]));
        let his = rancher.local().list(&bindings, None);
        let roles: Vec<_> = his.iter().filter(|b| b["userName"] == id.as_str()).map(|b| &b["globalRoleName"]).collect();
        let noted = &user["metadata"]["annotations"]["authz.management.cattle.io/creator-role-bindings"];
        if on {
            assert_eq!((roles, noted), (vec![&json!("user")], &json!(r#"{"created":["user"],"required":["user"]}"#)));
        } else {
            assert_eq!((roles.len(), noted), (0, &json!(r#"{"required":["user"]}"#)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_aggregated_model_labels_as_recorded() {
    let rancher = Rancher::builder().model(Model::Aggregated).build();
    let project = rancher.project("local", "Default").unwrap();
    bind(&rancher, "c", "cluster-member", ("groupPrincipalName", DEVS)).await;
    bind_project(&rancher, "p", "project-member", ("local", &project), ("groupPrincipalName", DEVS)).await;
    rest(1000).await;
    let all = rancher.access_of(DEVS);
    let with = |key: &str| all.iter().filter(|one| one.object["metadata"]["labels"][key] == "true").count();
    assert!(with("authz.cluster.cattle.io/crtb-owner-c") >= 2);
    assert!(with("authz.cluster.cattle.io/prtb-owner-p") >= 4);
    assert_eq!(with("local_c"), 1);
    let object = ask(&rancher, "GET", &path(Kind::Cluster, "local", "c"), None).await.json();
    assert_eq!(object["metadata"]["labels"]["management.cattle.io/roletemplate-aggregation"], "true");
}
