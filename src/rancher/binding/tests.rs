use super::*;
use crate::rancher::fake::{M, client, empty_list, not_found, rancher};

const CRTBS: &str = "clusterroletemplatebindings";

fn reference() -> BindingRef {
    BindingRef {
        kind: BindingKind::Cluster,
        cluster: LOCAL.to_owned(),
        namespace: "c-1".to_owned(),
        name: "rao-a".to_owned(),
    }
}

fn crtb(name: &str, uid: &str, user: &str) -> String {
    json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "clusterName": "c-1",
        "metadata": {"name": name, "namespace": "c-1", "uid": uid}, "userName": user, "roleTemplateName": "cluster-member"})
    .to_string()
}

fn new(scope: Scope, subject: NewSubject) -> NewBinding {
    NewBinding {
        name: "rao-a".to_owned(),
        namespace: "c-1".to_owned(),
        subject,
        scope,
        role: "cluster-member".to_owned(),
        labels: BTreeMap::from([("l".to_owned(), "1".to_owned())]),
        annotations: BTreeMap::new(),
    }
}

#[tokio::test]
async fn gone_is_only_what_rancher_proves() {
    let (gone, asked) = client(|_| not_found("management.cattle.io", CRTBS, "rao-a"));
    let Sighting::Gone(proof) = gone.binding(&reference()).await.unwrap() else { panic!("it is gone") };
    assert!(reference().is_absent_by(&proof));
    assert!(!BindingRef { namespace: "c-2".to_owned(), ..reference() }.is_absent_by(&proof));
    assert_eq!(asked.lines(), [format!("GET {M}/namespaces/c-1/{CRTBS}/rao-a")]);
    for other in [
        not_found("management.cattle.io", CRTBS, "rao-b"),
        not_found("management.cattle.io", "clusters", "rao-a"),
        rancher(404, "404 page not found"),
        rancher(404, ""),
        rancher(200, crtb("rao-b", "uid-1", "u-1")),
        rancher(200, "{}"),
    ] {
        let cell = std::sync::Mutex::new(Some(other));
        let (unclear, _) = client(move |_| cell.lock().unwrap().take().unwrap());
        assert_eq!(unclear.binding(&reference()).await.unwrap_err().reason(), "Unknown");
    }
}

#[tokio::test]
async fn a_create_says_exactly_one_subject_and_scope() {
    let (rancher_, asked) = client(|_| rancher(201, crtb("rao-a", "uid-1", "u-1")));
    let cluster = Scope::Cluster { cluster: "c-1".to_owned() };
    let made = rancher_.create_binding(&new(cluster, NewSubject::User("u-1".to_owned()))).await.unwrap();
    assert_eq!((made.meta.uid.as_str(), made.user_name.as_deref()), ("uid-1", Some("u-1")));
    let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!(
        body,
        json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "clusterName": "c-1",
            "metadata": {"name": "rao-a", "namespace": "c-1", "labels": {"l": "1"}, "annotations": {}},
            "userName": "u-1", "roleTemplateName": "cluster-member"})
    );
    let project = Scope::Project { cluster: "c-1".to_owned(), project: "p-1".to_owned() };
    rancher_.create_binding(&new(project, NewSubject::GroupPrincipal("okta_group://g".to_owned()))).await.unwrap();
    let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!((&body["projectName"], &body["groupPrincipalName"]), (&json!("c-1:p-1"), &json!("okta_group://g")));
    assert_eq!(asked.lines()[1], format!("POST {M}/namespaces/c-1/projectroletemplatebindings"));
}

#[tokio::test]
async fn a_create_answered_with_something_else_is_unclear() {
    for body in [crtb("rao-b", "uid-1", "u-1"), crtb("rao-a", "", "u-1"), "<html>".to_owned(), String::new()] {
        let (rancher_, _) = client(move |_| rancher(201, body.clone()));
        let scope = Scope::Cluster { cluster: "c-1".to_owned() };
        let error = rancher_.create_binding(&new(scope, NewSubject::User("u-1".to_owned()))).await.unwrap_err();
        assert!(!error.is_clear(), "{error}");
    }
}

#[tokio::test]
async fn a_delete_names_the_uid_and_tells_the_four_ways() {
    let conflict = r#"{"kind":"Status","reason":"Conflict","code":409,"message":"the UID in the precondition (a) does not match the UID in record (b)"}"#;
    let answers = [
        (rancher(200, crtb("rao-a", "uid-1", "u-1")), "Terminating"),
        (rancher(200, r#"{"kind":"Status","status":"Success"}"#), "Accepted"),
        (not_found("management.cattle.io", CRTBS, "rao-a"), "Gone"),
        (rancher(409, conflict), "UidMismatch"),
    ];
    for (answer, want) in answers {
        let cell = std::sync::Mutex::new(Some(answer));
        let (rancher_, asked) = client(move |_| cell.lock().unwrap().take().unwrap());
        let deleted = rancher_.delete_binding(&reference(), "uid-1").await.unwrap();
        assert!(format!("{deleted:?}").starts_with(want), "{deleted:?}");
        let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
        assert_eq!(body["preconditions"], json!({"uid": "uid-1"}));
    }
    let (rancher_, asked) = client(|_| rancher(200, "{}"));
    assert!(rancher_.delete_binding(&reference(), "").await.is_err());
    assert!(asked.all().is_empty(), "a delete without a UID is never sent");
}

#[tokio::test]
async fn survivors_are_the_subjects_other_bindings_in_that_cluster() {
    let (rancher_, _) = client(|request| {
        if !request.uri().path().ends_with(CRTBS) {
            let prtb = |name: &str, project: &str, user: &str| json!({"metadata": {"name": name, "namespace": "x"}, "projectName": project, "userName": user});
            let items = [prtb("p1", "c-1:p-1", "u-1"), prtb("p2", "c-2:p-1", "u-1"), prtb("p3", "c-1:p-1", "u-2")];
            return rancher(200, json!({"metadata": {}, "items": items}).to_string());
        }
        let item = |name: &str, user: &str, deleted: Option<&str>| json!({"metadata": {"name": name, "namespace": "c-1", "deletionTimestamp": deleted}, "clusterName": "c-1", "userName": user});
        let items = [
            item("rao-a", "u-1", None),
            item("other", "u-1", None),
            item("going", "u-1", Some("2026-11-23T10:00:00Z")),
            item("else", "u-2", None),
        ];
        rancher(200, json!({"metadata": {}, "items": items}).to_string())
    });
    let subject = Subject { user: Some("u-1".to_owned()), ..Subject::default() };
    let left = rancher_.survivors(&subject, Some("c-1"), &reference()).await.unwrap();
    assert_eq!(left.iter().map(|b| b.meta.name.as_str()).collect::<Vec<_>>(), ["other", "p1"]);
}

#[tokio::test]
async fn a_touch_is_a_merge_patch_of_one_annotation() {
    let (rancher_, asked) = client(|_| rancher(200, crtb("rao-a", "uid-1", "u-1")));
    rancher_.touch_binding(&reference(), "rancheraccess.io/touched", "x").await.unwrap();
    let request = asked.last();
    assert_eq!(request.headers()["content-type"], "application/merge-patch+json");
    assert_eq!(request.body(), r#"{"metadata":{"annotations":{"rancheraccess.io/touched":"x"}}}"#);
    let (gone, _) = client(|_| not_found("management.cattle.io", CRTBS, "rao-a"));
    assert_eq!(gone.touch_binding(&reference(), "a", "b").await.unwrap_err().reason(), "NotFound");
}

#[tokio::test]
async fn a_binding_that_cannot_be_read_is_no_empty_list() {
    let (odd, _) = client(|_| rancher(200, r#"{"metadata":{},"items":[{"metadata":{"name":"odd"},"userName":7}]}"#));
    let error = odd.bindings(BindingKind::Cluster, Some("c-1")).await.unwrap_err();
    assert!(error.to_string().contains("odd"), "{error}");
    let (other, _) = client(|_| rancher(200, "{}"));
    assert_eq!(other.bindings(BindingKind::Cluster, None).await.unwrap_err().reason(), "Unknown");
    let (none, _) = client(|_| empty_list());
    assert!(none.bindings(BindingKind::Cluster, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_global_binding_has_no_namespace_and_a_role_binding_lives_on_its_cluster() {
    let answer = |kind: &str| {
        json!({"kind": kind, "metadata": {"name": "rao-a", "uid": "uid-1", "namespace": "api"},
        "subjects": [{"kind": "User", "name": "u-1"}], "roleRef": {"kind": "ClusterRole", "name": "edit"},
        "globalRoleName": "user-base"})
        .to_string()
    };
    let (server, asked) = client(move |_| rancher(201, answer("x")));
    let global = NewBinding {
        namespace: String::new(),
        role: "user-base".to_owned(),
        ..new(Scope::Global, NewSubject::UserPrincipal("okta_user://a".to_owned()))
    };
    server.create_binding(&global).await.unwrap();
    assert_eq!(asked.lines().pop().unwrap(), format!("POST {M}/globalrolebindings"));
    let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!(body["globalRoleName"], "user-base");
    assert_eq!((&body["userPrincipalName"], &body["roleTemplateName"]), (&json!("okta_user://a"), &Value::Null));
    assert!(body["metadata"]["namespace"].is_null());
    let scope = Scope::Namespace { cluster: "c-1".to_owned(), namespace: "api".to_owned() };
    let native = NewBinding {
        namespace: "api".to_owned(),
        role: "edit".to_owned(),
        ..new(scope, NewSubject::User("u-1".to_owned()))
    };
    let made = server.create_binding(&native).await.unwrap();
    assert_eq!(made.reference(), native.reference());
    assert_eq!(
        asked.lines().pop().unwrap(),
        "POST /k8s/clusters/c-1/apis/rbac.authorization.k8s.io/v1/namespaces/api/rolebindings"
    );
    let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
    assert_eq!(
        body["roleRef"],
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"})
    );
    assert_eq!(body["subjects"], json!([{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u-1"}]));
}
