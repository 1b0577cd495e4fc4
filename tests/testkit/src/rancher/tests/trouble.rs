//! What goes wrong, in Rancher and around it.
use super::*;
use crate::rancher::{FaultAction, FaultRule, TokenSpec};

async fn code(rancher: &Rancher, path: &str) -> u16 {
    ask(rancher, "GET", path, None).await.code
}

#[tokio::test(start_paused = true)]
async fn a_role_deleted_in_use_wedges_the_binding_until_it_is_back() {
    let rancher = rancher();
    let role = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "RoleTemplate", "metadata": {"name": "audit"},
        "displayName": "audit", "context": "cluster", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    });
    rancher.add_role_template(role.clone());
    bind(&rancher, "b", "audit", ("groupPrincipalName", DEVS)).await;
    rest(500).await;
    let it = path(Kind::Cluster, "local", "b");
    assert_eq!(ask(&rancher, "DELETE", &format!("{M}/roletemplates/audit"), None).await.code, 200);
    rest(3000).await;
    assert!(!roles(&rancher, DEVS).contains(&"audit".to_owned()));
    let touch = json!({"metadata": {"annotations": {"touched": "1"}}});
    assert_eq!(ask(&rancher, "PATCH", &it, Some(&touch)).await.code, 500);
    assert_eq!(ask(&rancher, "DELETE", &it, None).await.code, 200);
    rest(60_000).await;
    assert_eq!(code(&rancher, &it).await, 200);
    ask(&rancher, "POST", &format!("{M}/roletemplates"), Some(&role)).await;
    rest(17_000).await;
    assert_eq!(code(&rancher, &it).await, 200);
    rest(4000).await;
    assert_eq!(code(&rancher, &it).await, 404);
}

#[tokio::test(start_paused = true)]
async fn while_the_webhook_is_down_nothing_is_made_and_nothing_goes() {
    let rancher = rancher();
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    rest(500).await;
    rancher.webhook_down(true);
    let made = bind(&rancher, "c", "cluster-owner", ("groupPrincipalName", DEVS)).await;
    assert_eq!(made.code, 500);
    assert!(made.message().contains("failed calling webhook") && made.message().contains("connection refused"));
    let it = path(Kind::Cluster, "local", "b");
    assert_eq!(ask(&rancher, "DELETE", &it, None).await.code, 200);
    rest(30_000).await;
    assert_eq!(code(&rancher, &it).await, 200);
    rancher.webhook_down(false);
    rest(2500).await;
    assert_eq!(code(&rancher, &it).await, 200);
    rest(7000).await;
    assert_eq!(code(&rancher, &it).await, 404);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_away_keeps_its_binding_but_not_ranchers_side() {
    let rancher = rancher();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    let namespaces = "/k8s/clusters/c-m-prod/api/v1/namespaces";
    assert_eq!(code(&rancher, namespaces).await, 200);
    let body = json!({
        "apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "metadata": {"name": "b"},
        "clusterName": "c-m-prod", "roleTemplateName": "cluster-member", "groupPrincipalName": DEVS,
    });
    let it = path(Kind::Cluster, "c-m-prod", "b");
    ask(&rancher, "POST", &path(Kind::Cluster, "c-m-prod", ""), Some(&body)).await;
    rest(500).await;
    rancher.cluster_away("c-m-prod", true);
    let away = ask(&rancher, "GET", namespaces, None).await;
    assert_eq!((away.code, away.json()["Code"]["Code"].as_str()), (503, Some("ClusterUnavailable")));
    ask(&rancher, "DELETE", &it, None).await;
    rest(60_000).await;
    assert_eq!(code(&rancher, &it).await, 200);
    let left = rancher.access_of(DEVS);
    assert!(left.iter().all(|one| one.cluster == "c-m-prod") && !left.is_empty(), "{left:?}");
    rancher.cluster_away("c-m-prod", false);
    rest(3000).await;
    assert_eq!(code(&rancher, &it).await, 404);
    assert!(rancher.access_of(DEVS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deleted_cluster_takes_everything_along() {
    let rancher = rancher();
    rancher.add_cluster("c-m-prod", "prod", &[]);
    let project = rancher.add_project("c-m-prod", "shop", &[]);
    bind_project(&rancher, "p", "read-only", ("c-m-prod", &project), ("groupPrincipalName", DEVS)).await;
    rest(500).await;
    rancher.cluster_away("c-m-prod", true);
    rancher.delete_cluster("c-m-prod").await;
    rest(1000).await;
    let binding = ask(&rancher, "GET", &path(Kind::Project, &format!("c-m-prod-{project}"), "p"), None).await;
    assert_eq!(binding.code, 404);
    assert_eq!(code(&rancher, &format!("{M}/clusters/c-m-prod")).await, 404);
    assert_eq!(code(&rancher, "/k8s/clusters/local/api/v1/namespaces/c-m-prod").await, 404);
    let through = ask(&rancher, "GET", "/k8s/clusters/c-m-prod/api/v1/namespaces", None).await;
    assert_eq!((through.code, through.json()["Code"]["Code"].as_str()), (404, Some("NotFound")));
    assert!(rancher.access_of(DEVS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_restart_refuses_and_then_catches_up() {
    let rancher = rancher();
    bind(&rancher, "b", "cluster-member", ("groupPrincipalName", DEVS)).await;
    let other = rancher.clone();
    let down = tokio::spawn(async move { other.restart().await });
    rest(1000).await;
    let bearer = format!("Bearer {}", rancher.admin_token());
    assert!(ask_as(&rancher, &bearer, "GET", "/ping", None).await.is_err());
    down.await.unwrap();
    rest(500).await;
    assert!(roles(&rancher, DEVS).contains(&"cluster-member".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn faults_hit_the_requests_they_are_about() {
    let rancher = rancher();
    rancher.fault(FaultRule::on("POST", "clusterroletemplatebindings", FaultAction::DropAfter).after(1).times(1));
    let url = path(Kind::Cluster, "local", "");
    assert_eq!(bind(&rancher, "a", "cluster-member", ("groupPrincipalName", DEVS)).await.code, 201);
    let bearer = format!("Bearer {}", rancher.admin_token());
    let body = crtb("b", "cluster-owner", ("groupPrincipalName", DEVS));
    assert!(ask_as(&rancher, &bearer, "POST", &url, Some(&body)).await.is_err());
    assert_eq!(code(&rancher, &path(Kind::Cluster, "local", "b")).await, 200);
    rancher.fault(FaultRule::on("DELETE", "/b", FaultAction::Status(502, "bad gateway".to_owned())).times(1));
    let refused = ask(&rancher, "DELETE", &path(Kind::Cluster, "local", "b"), None).await;
    assert_eq!((refused.code, refused.text.as_str()), (502, "bad gateway"));
    rancher.fault(FaultRule::on("", "/ping", FaultAction::Delay(Duration::from_secs(7))));
    let before = tokio::time::Instant::now();
    code(&rancher, "/ping").await;
    assert_eq!(before.elapsed(), Duration::from_secs(7));
    let codes: Vec<u16> = rancher.requests().iter().map(|one| one.code).collect();
    assert_eq!(codes, [201, 0, 200, 502, 200]);
}

#[tokio::test(start_paused = true)]
async fn keys_end_with_their_time_scope_or_user() {
    let now = std::sync::Arc::new(std::sync::Mutex::new("2026-01-01T00:00:00Z".parse::<jiff::Timestamp>().unwrap()));
    let clock = std::sync::Arc::clone(&now);
    let rancher = Rancher::builder().now(move || *clock.lock().unwrap()).build();
    rancher.add_admin("u-op", "operator");
    let spec = |ext| TokenSpec { ttl: Some(Duration::from_secs(3600)), ext, ..TokenSpec::default() };
    let bearers = [rancher.add_token("u-op", spec(false)), rancher.add_token("u-op", spec(true))];
    let url = format!("{M}/clusters/local");
    let auths = bearers.map(|bearer| format!("Bearer {bearer}"));
    for (disabled, code) in [(true, 401), (false, 200)] {
        rancher.disable_user("u-op", disabled);
        for auth in &auths {
            assert_eq!(ask_as(&rancher, auth, "GET", &url, None).await.unwrap().code, code);
        }
    }
    *now.lock().unwrap() = "2026-01-01T01:00:00Z".parse().unwrap();
    for auth in &auths {
        let answer = ask_as(&rancher, auth, "GET", &url, None).await.unwrap();
        assert_eq!((answer.code, answer.auth.as_str()), (401, "false"));
    }
}
