use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{map, refusal};
use crate::apiserver::{Admission, AdmissionRequest, ApiServer, Attributes, Boxed, Denied, Gvr, Operation, User};

/// A slow webhook that stamps what it sees and keeps `precious` from being deleted.
struct Webhook;

impl Admission for Webhook {
    fn mutate<'a>(&'a self, request: &'a AdmissionRequest, object: &'a mut Value) -> Boxed<'a, Result<(), Denied>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(2)).await;
            object["metadata"]["annotations"]["seen"] = request.operation.as_str().into();
            Ok(())
        })
    }

    fn validate<'a>(&'a self, request: &'a AdmissionRequest) -> Boxed<'a, Result<(), Denied>> {
        let precious = request.operation == Operation::Delete && request.name == "precious";
        let denied = Denied { code: 403, reason: "Forbidden".to_owned(), message: "it is precious".to_owned() };
        Box::pin(std::future::ready(if precious { Err(denied) } else { Ok(()) }))
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_change_and_refuse() {
    let server = ApiServer::builder().build();
    server.hook(Arc::new(Webhook));
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    let made = api.create(&PostParams::default(), &map("precious")).await.unwrap();
    assert_eq!(made.metadata.annotations.unwrap()["seen"], "CREATE");
    let patch = json!({"data": {"k": "w"}});
    let patched = api.patch("precious", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    assert_eq!(patched.metadata.annotations.unwrap()["seen"], "UPDATE");
    let (code, _, message) = refusal(api.delete("precious", &DeleteParams::default()).await.unwrap_err());
    assert_eq!((code, message.as_str()), (403, "it is precious"));
    server.delete_unchecked(&Gvr::core("configmaps"), "default", "precious").unwrap();
    assert!(api.get_opt("precious").await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_patch_starts_again_when_somebody_writes_while_a_hook_thinks() {
    let server = ApiServer::builder().build();
    server.hook(Arc::new(Webhook));
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    let (one, two) = (json!({"data": {"one": "1"}}), json!({"data": {"two": "2"}}));
    let params = PatchParams::default();
    let (first, second) = (Patch::Merge(&one), Patch::Merge(&two));
    let (one, two) = tokio::join!(api.patch("a", &params, &first), api.patch("a", &params, &second));
    one.unwrap();
    two.unwrap();
    let data = api.get("a").await.unwrap().data.unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["k", "one", "two"]);
}

fn policy(expression: &str) -> Value {
    json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": expression}]}})
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_cannot_be_evaluated_is_refused() {
    let server = ApiServer::builder().build();
    let policies = Gvr::new("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");
    for expression in ["authorizer.path('/x').check('get').allowed()", "authorizer == null", "object.metadata.name =="]
    {
        let error = server.create(&policies, &policy(expression)).await.unwrap_err();
        assert_eq!(error.code, 422, "{error}");
        assert!(error.message.contains("spec.validations[0].expression"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_a_denying_binding_denies_nothing() {
    let server = ApiServer::builder().build();
    let group = "admissionregistration.k8s.io";
    let stored = server.create(&Gvr::new(group, "v1", "validatingadmissionpolicies"), &policy("false")).await.unwrap();
    assert_eq!(stored["spec"]["failurePolicy"], "Fail");
    assert_eq!(stored["spec"]["matchConstraints"]["resourceRules"][0]["scope"], "*");
    let api: Api<ConfigMap> = Api::namespaced(server.client(), "default");
    api.create(&PostParams::default(), &map("a")).await.unwrap();
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Audit"]}});
    let bindings = Gvr::new(group, "v1", "validatingadmissionpolicybindings");
    server.create(&bindings, &binding).await.unwrap();
    api.create(&PostParams::default(), &map("b")).await.unwrap();
    let deny = json!({"spec": {"validationActions": ["Deny"]}});
    server.patch(&bindings, "", "b", "", &deny).await.unwrap();
    let (code, reason, message) = refusal(api.create(&PostParams::default(), &map("c")).await.unwrap_err());
    assert_eq!((code, reason.as_str()), (422, "Invalid"));
    let wanted = "configmaps \"c\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: false";
    assert_eq!(message, wanted);
}

#[tokio::test(start_paused = true)]
async fn a_policy_asks_what_the_caller_may_also_of_a_delete() {
    let server = ApiServer::builder().build();
    server.authorize(Arc::new(|user: &User, asked: &Attributes| {
        asked.verb != "bless"
            || (user.name == "pope" && (asked.resource.as_str(), asked.name.as_str()) == ("wells", "k"))
    }));
    let group = "admissionregistration.k8s.io";
    let mut asks = policy(
        "(object == null ? oldObject : object).metadata.name == 'free' || \
         authorizer.group('example.com').resource('wells').name(variables.well).check('bless').allowed()",
    );
    asks["spec"]["variables"] = json!([{"name": "well", "expression": "(object == null ? oldObject : object).data.k"}]);
    asks["spec"]["matchConstraints"]["resourceRules"][0]["operations"] = json!(["CREATE", "DELETE"]);
    server.create(&Gvr::new(group, "v1", "validatingadmissionpolicies"), &asks).await.unwrap();
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    server.create(&Gvr::new(group, "v1", "validatingadmissionpolicybindings"), &binding).await.unwrap();
    let as_user = |name: &str| -> Api<ConfigMap> { Api::namespaced(server.client_as(name, &[]), "default") };
    let (pope, monk) = (as_user("pope"), as_user("monk"));
    let well = |name: &str, to: &str| ConfigMap { data: Some([("k".into(), to.into())].into()), ..map(name) };
    let params = PostParams::default();
    assert_eq!(refusal(monk.create(&params, &well("a", "k")).await.unwrap_err()).0, 422);
    assert_eq!(refusal(pope.create(&params, &well("a", "other")).await.unwrap_err()).0, 422);
    pope.create(&params, &well("a", "k")).await.unwrap();
    monk.create(&params, &well("free", "k")).await.unwrap();
    assert_eq!(refusal(monk.delete("a", &DeleteParams::default()).await.unwrap_err()).0, 422);
    pope.delete("a", &DeleteParams::default()).await.unwrap();
    monk.delete("free", &DeleteParams::default()).await.unwrap();
}

/// Binds a policy, so that it denies.
async fn bind(server: &ApiServer, policy: &Value) {
    let group = "admissionregistration.k8s.io";
    server.create(&Gvr::new(group, "v1", "validatingadmissionpolicies"), policy).await.unwrap();
    let binding = json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    server.create(&Gvr::new(group, "v1", "validatingadmissionpolicybindings"), &binding).await.unwrap();
}

/// Whether a map with that data would be let in.
async fn lets_in(server: &ApiServer, user: &str, data: &str) -> bool {
    let api: Api<ConfigMap> = Api::namespaced(server.client_as(user, &[]), "default");
    let map = ConfigMap { data: Some([("k".into(), data.into())].into()), ..map("m") };
    api.create(&PostParams { dry_run: true, ..PostParams::default() }, &map).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_said_does_not_outlive_the_policy_the_object_the_user_or_the_namespace() {
    let server = ApiServer::builder().build();
    let rule =
        "object.data.k == 'v' && request.userInfo.username != 'mallory' && !has(namespaceObject.metadata.labels.shut)";
    bind(&server, &policy(rule)).await;
    for _ in 0..2 {
        assert!(lets_in(&server, "alice", "v").await);
        assert!(!lets_in(&server, "alice", "w").await);
        assert!(!lets_in(&server, "mallory", "v").await);
    }
    let fork = server.fork(|| "2026-01-01T00:00:00Z".parse().unwrap());
    let policies = Gvr::new("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies");
    let other = json!({"spec": {"validations": [{"expression": "object.data.k == 'w'"}]}});
    fork.patch(&policies, "", "p", "", &other).await.unwrap();
    assert!(!lets_in(&fork, "alice", "v").await, "the policy says otherwise now");
    assert!(lets_in(&fork, "alice", "w").await);
    assert!(lets_in(&server, "alice", "v").await, "it was changed on the other server only");
    let shut = json!({"metadata": {"labels": {"shut": "yes"}}});
    server.patch(&Gvr::core("namespaces"), "", "default", "", &shut).await.unwrap();
    assert!(!lets_in(&server, "alice", "v").await);
    server.delete(&policies, "", "p", None).await.unwrap();
    assert!(lets_in(&server, "mallory", "w").await, "no policy is there any more");
}

#[tokio::test(start_paused = true)]
async fn whose_rights_a_policy_asks_about_is_asked_each_time() {
    let server = ApiServer::builder().build();
    let may = Arc::new(AtomicBool::new(true));
    let asked = Arc::clone(&may);
    server.authorize(Arc::new(move |_: &User, of: &Attributes| of.verb != "bless" || asked.load(Ordering::SeqCst)));
    let rule = "object.data.k == 'free' || authorizer.group('g').resource('r').name('n').check('bless').allowed()";
    bind(&server, &policy(rule)).await;
    for allowed in [true, false, true] {
        may.store(allowed, Ordering::SeqCst);
        assert_eq!(lets_in(&server, "alice", "v").await, allowed);
        assert!(lets_in(&server, "alice", "free").await);
    }
}
