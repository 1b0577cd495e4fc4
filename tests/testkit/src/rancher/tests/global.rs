//! Global role bindings: what they make, what goes with them, and what does not.
use super::*;
use crate::rancher::{Version, core::rbac};

const GRBS: &str = "/k8s/clusters/local/apis/management.cattle.io/v3/globalrolebindings";

fn world(version: Version) -> Rancher {
    let rancher = Rancher::builder().seed(1).version(version).build();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    rancher.add_user("u-a", "a", &["okta_user://a"]);
    rancher
}

async fn grb(rancher: &Rancher, name: &str, role: &str, subject: (&str, &str)) -> Reply {
    let body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "GlobalRoleBinding", "metadata": {"name": name},
        "globalRoleName": role, subject.0: subject.1,
    });
    ask(rancher, "POST", GRBS, Some(&body)).await
}

async fn delete(rancher: &Rancher, name: &str) {
    assert_eq!(ask(rancher, "DELETE", &format!("{GRBS}/{name}"), None).await.code, 200);
    rest(500).await;
    assert_eq!(ask(rancher, "GET", &format!("{GRBS}/{name}"), None).await.code, 404);
}

/// Where a subject is administrator.
fn admin_on(rancher: &Rancher, who: &str) -> Vec<String> {
    let all = rancher.access_of(who).into_iter().filter(|one| one.name.starts_with("globaladmin-"));
    all.map(|one| one.cluster).collect()
}

async fn role(rancher: &Rancher, fields: Value) {
    let mut body = json!({"apiVersion": "management.cattle.io/v3", "kind": "GlobalRole", "displayName": "one"});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let made = ask(rancher, "POST", &format!("{M}/globalroles"), Some(&body)).await;
    assert_eq!(made.code, 201, "{}", made.text);
}

#[tokio::test(start_paused = true)]
async fn an_administrator_is_one_everywhere_by_his_subject() {
    let rancher = world(Version::V2_15);
    grb(&rancher, "g", "admin", ("userName", "u-a")).await;
    grb(&rancher, "h", "admin", ("groupPrincipalName", DEVS)).await;
    rest(500).await;
    assert_eq!(admin_on(&rancher, "u-a"), ["local", "c-m-prod"]);
    let group = rancher.access_of(DEVS).into_iter().find(|one| one.name.starts_with("globaladmin-")).unwrap();
    assert!(
        group.name.starts_with("globaladmin-u-") && group.name.len() == "globaladmin-u-".len() + 10,
        "{}",
        group.name
    );
    assert_eq!(group.object["metadata"]["annotations"]["authz.cluster.cattle.io/globalrolebinding"], "h");
    let own = rancher.local().get(&rbac("clusterrolebindings"), "", "cattle-globalrolebinding-g").unwrap();
    assert_eq!(own["metadata"]["ownerReferences"][0]["kind"], "GlobalRoleBinding");
    rancher.add_cluster("c-m-late", "late", &[]);
    rest(2000).await;
    assert_eq!(admin_on(&rancher, "u-a").len(), 3);
    delete(&rancher, "g").await;
    assert_eq!(rancher.access_of("u-a"), []);
}

#[tokio::test(start_paused = true)]
async fn any_admin_bindings_end_takes_the_shared_rights_until_the_other_is_touched() {
    let rancher = world(Version::V2_15);
    grb(&rancher, "permanent", "admin", ("userName", "u-a")).await;
    assert_eq!(grb(&rancher, "temporary", "admin", ("userName", "u-a")).await.code, 201);
    // Rancher looks at all of them once more for a cluster that came.
    rest(3000).await;
    delete(&rancher, "temporary").await;
    assert_eq!(admin_on(&rancher, "u-a"), Vec::<String>::new());
    rest(60_000).await;
    assert_eq!(admin_on(&rancher, "u-a"), Vec::<String>::new());
    let touch = json!({"metadata": {"annotations": {"touched": "1"}}});
    assert_eq!(ask(&rancher, "PATCH", &format!("{GRBS}/permanent"), Some(&touch)).await.code, 200);
    rest(1000).await;
    assert_eq!(admin_on(&rancher, "u-a"), ["local", "c-m-prod"]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_at_the_end_keeps_its_administrator_for_ever() {
    let rancher = world(Version::V2_15);
    grb(&rancher, "g", "admin", ("userName", "u-a")).await;
    rest(500).await;
    rancher.cluster_away("c-m-prod", true);
    delete(&rancher, "g").await;
    rancher.cluster_away("c-m-prod", false);
    rest(60_000).await;
    rancher.restart().await;
    rest(5000).await;
    assert_eq!(admin_on(&rancher, "u-a"), ["c-m-prod"]);
}

#[tokio::test(start_paused = true)]
async fn a_stripped_finalizer_leaves_the_administrator_but_not_what_the_binding_owned() {
    let rancher = world(Version::V2_15);
    grb(&rancher, "g", "admin", ("userName", "u-a")).await;
    rest(500).await;
    let strip = json!({"metadata": {"finalizers": []}});
    assert_eq!(ask(&rancher, "PATCH", &format!("{GRBS}/g"), Some(&strip)).await.code, 200);
    rest(2000).await;
    delete(&rancher, "g").await;
    rest(5000).await;
    assert_eq!(admin_on(&rancher, "u-a"), ["local", "c-m-prod"]);
    assert!(rancher.local().get(&rbac("clusterrolebindings"), "", "cattle-globalrolebinding-g").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_custom_administrator_is_one_too_and_2_11_0_forgets_him() {
    for (version, left) in [(Version::V2_11, 2), (Version::V2_12, 0), (Version::V2_15, 0)] {
        let rancher = world(version);
        let all = json!([
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}, {"nonResourceURLs": ["*"], "verbs": ["*"]},
        ]);
        role(&rancher, json!({"metadata": {"name": "gr-root"}, "rules": all})).await;
        grb(&rancher, "g", "gr-root", ("userName", "u-a")).await;
        rest(500).await;
        assert_eq!(admin_on(&rancher, "u-a").len(), 2);
        delete(&rancher, "g").await;
        assert_eq!(admin_on(&rancher, "u-a").len(), left, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn inherited_roles_are_cluster_bindings_that_go_with_the_global_one() {
    let rancher = world(Version::V2_15);
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    role(
        &rancher,
        json!({
            "metadata": {"name": "gr-team"}, "rules": [], "inheritedClusterRoles": ["cluster-member"],
            "namespacedRules": {"cattle-system": rules}, "inheritedNamespacedRules": {"default": rules},
        }),
    )
    .await;
    grb(&rancher, "g", "gr-team", ("userPrincipalName", "okta_user://a")).await;
    rest(2000).await;
    let inherited = || {
        let all = rancher.local().list(&Kind::Cluster.gvr(), Some("c-m-prod"));
        all.into_iter().find(|one| one["metadata"]["labels"]["authz.management.cattle.io/grb-owner"] == "g")
    };
    let crtb = inherited().unwrap();
    assert!(crtb["metadata"]["name"].as_str().unwrap().starts_with("crtb-grb-") && crtb["userName"] == "u-a");
    let given: Vec<(String, String)> = rancher
        .access_of("u-a")
        .into_iter()
        .map(|one| (one.cluster, one.name))
        .filter(|(_, name)| name.starts_with("g-"))
        .collect();
    assert_eq!(
        given,
        [("local".to_owned(), "g-cattle-system".to_owned()), ("c-m-prod".to_owned(), "g-default".to_owned())]
    );
    let relabel = json!({"metadata": {"labels": {"authz.management.cattle.io/grb-owner": "other"}}});
    let it = path(Kind::Cluster, "c-m-prod", crtb["metadata"]["name"].as_str().unwrap());
    assert_eq!(ask(&rancher, "PATCH", &it, Some(&relabel)).await.code, 400);
    delete(&rancher, "g").await;
    rest(1000).await;
    assert_eq!((inherited(), rancher.access_of("u-a").len()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn what_an_inherited_role_gives_already_is_refused_as_a_duplicate_since_2_14() {
    for (version, summary) in [(Version::V2_13, "Completed"), (Version::V2_14, "Error")] {
        let rancher = world(version);
        let body = json!({
            "apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": "held"},
            "clusterName": "c-m-prod", "roleTemplateName": "cluster-member", "groupPrincipalName": DEVS,
        });
        ask(&rancher, "POST", &path(Kind::Cluster, "c-m-prod", ""), Some(&body)).await;
        role(
            &rancher,
            json!({"metadata": {"name": "gr-team"}, "rules": [], "inheritedClusterRoles": ["cluster-member"]}),
        )
        .await;
        grb(&rancher, "g", "gr-team", ("groupPrincipalName", DEVS)).await;
        rest(1000).await;
        let status = ask(&rancher, "GET", &format!("{GRBS}/g"), None).await.json()["status"]["summary"].clone();
        assert_eq!(status, summary, "{version:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_global_role_takes_its_bindings_along() {
    let rancher = world(Version::V2_15);
    role(&rancher, json!({"metadata": {"name": "gr-team"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})).await;
    grb(&rancher, "g", "gr-team", ("userName", "u-a")).await;
    rest(500).await;
    assert_eq!(roles(&rancher, "u-a"), ["cattle-globalrole-gr-team"]);
    ask(&rancher, "DELETE", &format!("{M}/globalroles/gr-team"), None).await;
    rest(500).await;
    assert_eq!(ask(&rancher, "GET", &format!("{GRBS}/g"), None).await.code, 404);
    assert_eq!(rancher.access_of("u-a"), []);
}

#[tokio::test(start_paused = true)]
async fn what_a_global_binding_is_does_not_change() {
    let rancher = world(Version::V2_15);
    grb(&rancher, "g", "user-base", ("groupPrincipalName", DEVS)).await;
    for patch in
        [json!({"groupPrincipalName": "okta_group://x"}), json!({"userName": "u-a"}), json!({"globalRoleName": "user"})]
    {
        let refused = ask(&rancher, "PATCH", &format!("{GRBS}/g"), Some(&patch)).await;
        assert_eq!(refused.code, 400, "{patch}");
        assert!(refused.message().ends_with("field is immutable"), "{}", refused.text);
    }
}
