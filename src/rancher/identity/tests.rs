use super::*;
use crate::rancher::fake::{M, client, not_found, rancher};

#[tokio::test]
async fn who_the_key_is_comes_from_one_review() {
    let (server, asked) = client(|_| {
        rancher(
            201,
            r#"{"kind":"SelfSubjectReview","status":{"userInfo":{"username":"user-8pvqg","groups":["g"],
            "extra":{"principalid":["local://user-8pvqg"],"requesttokenid":["token-4vhrb"],"username":["admin"],"x":["y"]}}}}"#,
        )
    });
    let me = server.whoami().await.unwrap();
    assert_eq!(me.user_id, "user-8pvqg");
    assert_eq!((me.token_id.as_deref(), me.username.as_deref()), (Some("token-4vhrb"), Some("admin")));
    assert_eq!(me.principal_ids, ["local://user-8pvqg"]);
    assert_eq!(asked.lines(), ["POST /k8s/clusters/local/apis/authentication.k8s.io/v1/selfsubjectreviews"]);
}

#[tokio::test]
async fn version_and_install_uuid_are_read_as_rancher_writes_them() {
    let (server, asked) = client(|request| match request.uri().path() {
        "/rancherversion" => rancher(200, r#"{"Version":"v2.15.0","GitCommit":"abc","RancherPrime":"false"}"#),
        _ => rancher(200, r#"{"metadata":{"name":"install-uuid"},"value":"","default":"1234"}"#),
    });
    assert_eq!(server.version().await.unwrap().minor(), Some((2, 15)));
    assert_eq!(server.install_uuid().await.unwrap(), "1234");
    assert_eq!(asked.lines()[1], format!("GET {M}/settings/install-uuid"));
    let dev = Version { version: "dev".to_owned(), git_commit: String::new() };
    assert_eq!(dev.minor(), None);
}

#[tokio::test]
async fn a_key_for_one_cluster_reads_itself_through_the_cluster() {
    let (server, asked) = client(|request| {
        if request.uri().path().starts_with("/v3/") {
            return rancher(401, r#"{"type":"error","status":"401","message":"Unauthorized 401: must authenticate"}"#);
        }
        rancher(
            200,
            r#"{"metadata":{"name":"token-abcde"},"token":"sssh","clusterName":"local","ttl":0,"expiresAt":"","enabled":null}"#,
        )
    });
    let info = server.key_info().await.unwrap().unwrap();
    assert_eq!((info.cluster_scope.as_deref(), info.expiry, info.enabled), (Some("local"), Expiry::Never, true));
    assert_eq!(asked.lines(), ["GET /v3/tokens/token-abcde".to_owned(), format!("GET {M}/tokens/token-abcde")]);
}

#[test]
fn a_key_ends_when_rancher_says_or_lets_compute() {
    let created: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let at = |text: &str| Expiry::At(text.parse().unwrap());
    assert_eq!(expiry(Some("2027-01-01T00:00:00Z"), 1, None), at("2027-01-01T00:00:00Z"));
    assert_eq!(expiry(None, 0, Some(created)), Expiry::Never);
    assert_eq!(expiry(None, 3_600_000, Some(created)), at("2026-11-23T11:00:00Z"));
    assert_eq!(expiry(None, 3_600_000, None), Expiry::Unknown);
    assert_eq!(expiry(Some("soon"), 0, None), Expiry::Unknown);
    assert_eq!(expiry(None, i64::MAX, Some(created)), Expiry::Unknown);
}

#[tokio::test]
async fn a_feature_is_on_by_value_then_default_and_off_where_unknown() {
    for (json, want) in [
        (r#"{"spec":{"value":true},"status":{"default":false}}"#, true),
        (r#"{"spec":{"value":null},"status":{"default":true}}"#, true),
        (r#"{"spec":{"value":true},"status":{"lockedValue":false}}"#, false),
        (r#"{"spec":{}}"#, false),
    ] {
        let (server, _) = client(move |_| rancher(200, json));
        assert_eq!(server.aggregated_roletemplates().await.unwrap(), want, "{json}");
    }
    let (old, _) = client(|_| not_found("management.cattle.io", "features", "aggregated-roletemplates"));
    assert!(!old.aggregated_roletemplates().await.unwrap());
    let (broken, _) = client(|_| rancher(404, ""));
    assert!(broken.aggregated_roletemplates().await.is_err());
}

#[tokio::test]
async fn access_is_asked_field_by_field() {
    let (server, asked) = client(|_| rancher(201, r#"{"status":{"allowed":true,"reason":"x"}}"#));
    let access =
        ResourceAccess { verb: "create".to_owned(), resource: "users".to_owned(), ..ResourceAccess::default() };
    assert!(server.allowed(&access).await.unwrap());
    let body: serde_json::Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!(body["spec"]["resourceAttributes"]["verb"], "create");
}
