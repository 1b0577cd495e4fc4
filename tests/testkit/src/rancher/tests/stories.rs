//! What administrators and disasters do.
use super::*;
use crate::rancher::{Model, core::rbac};

/// A cluster with two projects, and a namespace in the first.
async fn world(model: Model) -> (Rancher, String, String) {
    let rancher = Rancher::builder().seed(1).model(model).build();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    let (one, two) = (rancher.add_project("c-m-prod", "one", &[]), rancher.add_project("c-m-prod", "two", &[]));
    rancher.add_namespace("c-m-prod", &one, "web").await;
    (rancher, one, two)
}

#[tokio::test(start_paused = true)]
async fn a_restored_backup_forgets_bindings_but_not_what_they_gave_downstream() {
    let (rancher, one, _) = world(Model::Legacy).await;
    bind_project(&rancher, "old", "read-only", ("c-m-prod", &one), ("groupPrincipalName", "okta_group://old")).await;
    rest(1000).await;
    let uid =
        rancher.bindings().iter().find(|one| one["metadata"]["name"] == "old").unwrap()["metadata"]["uid"].clone();
    let backup = rancher.backup();
    bind_project(&rancher, "new", "read-only", ("c-m-prod", &one), ("groupPrincipalName", DEVS)).await;
    let it = path(Kind::Project, &format!("c-m-prod-{one}"), "old");
    ask(&rancher, "DELETE", &it, None).await;
    rest(1000).await;
    assert!(rancher.access_of("okta_group://old").is_empty());
    rancher.restore(&backup).await;
    rest(2000).await;
    let back = rancher.bindings();
    assert!(!back.iter().any(|one| one["metadata"]["name"] == "new"));
    assert_eq!(back.iter().find(|one| one["metadata"]["name"] == "old").unwrap()["metadata"]["uid"], uid);
    let again = rancher.access_of("okta_group://old");
    assert!(again.iter().any(|one| one.cluster == "c-m-prod" && one.namespace == "web"), "{again:?}");
    let left = rancher.access_of(DEVS);
    assert!(!left.is_empty() && left.iter().all(|one| one.cluster == "c-m-prod"), "{left:?}");
    assert_eq!(ask(&rancher, "DELETE", &it, None).await.code, 200);
    rest(1000).await;
    assert_eq!(ask(&rancher, "GET", &it, None).await.code, 404);
    let made = bind(&rancher, "b", "nope", ("groupPrincipalName", DEVS)).await;
    assert_eq!(made.code, 400, "the webhook is in force: {}", made.text);
}

#[tokio::test(start_paused = true)]
async fn a_user_made_again_is_somebody_else() {
    let (rancher, ..) = world(Model::Legacy).await;
    rancher.add_user("u-a", "a", &["okta_user://a"]);
    bind(&rancher, "b", "cluster-member", ("userName", "u-a")).await;
    rest(1000).await;
    let before = ask(&rancher, "GET", &format!("{M}/users/u-a"), None).await.json();
    rancher.recreate_user("u-a").await;
    rest(1000).await;
    let after = ask(&rancher, "GET", &format!("{M}/users/u-a"), None).await.json();
    assert_ne!(before["metadata"]["uid"], after["metadata"]["uid"]);
    assert_eq!(before["principalIds"], after["principalIds"]);
    assert_eq!(ask(&rancher, "GET", &path(Kind::Cluster, "local", "b"), None).await.code, 404);
    assert!(rancher.access_of("u-a").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_locked_role_cannot_be_bound_and_a_changed_one_reaches_its_holders() {
    for (model, holder) in [(Model::Legacy, "base"), (Model::Aggregated, "heir-aggregator")] {
        let (rancher, one, _) = world(model).await;
        let role = |name: &str, inherits: Value| {
            json!({
                "metadata": {"name": name}, "displayName": name, "context": "project", "roleTemplateNames": inherits,
                "rules": [],
            })
        };
        rancher.add_role_template(role("base", json!([])));
        rancher.add_role_template(role("heir", json!(["base"])));
        bind_project(&rancher, "b", "heir", ("c-m-prod", &one), ("groupPrincipalName", DEVS)).await;
        rest(1000).await;
        let server = rancher.downstream("c-m-prod").unwrap();
        let rules = || server.get(&rbac("clusterroles"), "", holder).unwrap()["rules"].clone();
        assert_eq!(rules(), json!([]));
        let more = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["*"]}]);
        rancher.set_role_rules("base", more.clone());
        rest(2000).await;
        assert_eq!(rules(), more, "{model:?}");
        rancher.lock_role_template("heir", true);
        let made =
            bind_project(&rancher, "c", "heir", ("c-m-prod", &one), ("groupPrincipalName", "okta_group://x")).await;
        assert_eq!(made.code, 400);
        assert!(made.message().contains("is locked and cannot be assigned"), "{}", made.text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_moved_namespace_keeps_its_old_projects_bindings_in_the_aggregated_model() {
    for (model, stays) in [(Model::Legacy, false), (Model::Aggregated, true)] {
        let (rancher, one, two) = world(model).await;
        for (name, project, who) in [("first", &one, DEVS), ("second", &two, "okta_group://two")] {
            bind_project(&rancher, name, "read-only", ("c-m-prod", project), ("groupPrincipalName", who)).await;
        }
        rest(1000).await;
        let in_web = |who: &str| rancher.access_of(who).iter().any(|one| one.namespace == "web");
        assert!(in_web(DEVS) && !in_web("okta_group://two"));
        rancher.move_namespace("c-m-prod", "web", &two);
        rest(2000).await;
        assert!(in_web("okta_group://two"), "{model:?}");
        assert_eq!(in_web(DEVS), stays, "{model:?}");
        rancher.move_namespace("c-m-prod", "web", "");
        rest(2000).await;
        assert_eq!(in_web("okta_group://two"), stays, "{model:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_project_takes_its_bindings_along() {
    let (rancher, one, _) = world(Model::Legacy).await;
    bind_project(&rancher, "b", "read-only", ("c-m-prod", &one), ("groupPrincipalName", DEVS)).await;
    rest(1000).await;
    rancher.rename_project("c-m-prod", &one, "renamed");
    assert_eq!(rancher.project("c-m-prod", "renamed"), Some(one.clone()));
    let place = rancher.backing_namespace("c-m-prod", &one);
    rancher.delete_project("c-m-prod", &one).await;
    rest(2000).await;
    assert_eq!(ask(&rancher, "GET", &path(Kind::Project, &place, "b"), None).await.code, 404);
    assert!(rancher.access_of(DEVS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_setting_is_what_it_was_set_to() {
    let (rancher, ..) = world(Model::Legacy).await;
    let it = format!("{M}/settings/system-namespaces");
    rancher.set_setting("system-namespaces", "kube-system,mine");
    assert_eq!(ask(&rancher, "GET", &it, None).await.json()["value"], "kube-system,mine");
}

#[tokio::test(start_paused = true)]
async fn a_switched_model_takes_bindings_along_when_they_are_looked_at() {
    let (rancher, one, _) = world(Model::Legacy).await;
    bind_project(&rancher, "b", "read-only", ("c-m-prod", &one), ("groupPrincipalName", DEVS)).await;
    rest(1000).await;
    let touch = |n: &str| json!({"metadata": {"annotations": {"touched": n}}});
    let it = path(Kind::Project, &format!("c-m-prod-{one}"), "b");
    for (model, has, has_not) in
        [(Model::Aggregated, "read-only-aggregator", "view"), (Model::Legacy, "view", "read-only-aggregator")]
    {
        rancher.set_model(model);
        rest(60_000).await;
        assert!(roles(&rancher, DEVS).contains(&has_not.to_owned()), "{model:?}: not before it is looked at");
        ask(&rancher, "PATCH", &it, Some(&touch(has))).await;
        rest(2000).await;
        let now = roles(&rancher, DEVS);
        assert!(now.contains(&has.to_owned()) && !now.contains(&has_not.to_owned()), "{model:?}: {now:?}");
    }
    ask(&rancher, "DELETE", &it, None).await;
    rest(1000).await;
    assert_eq!(roles(&rancher, DEVS), Vec::<String>::new());
}
