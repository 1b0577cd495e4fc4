//! What people do in Rancher by their own hands, past the operator.

use rancher_access_operator::api::{AccessGrant, Condition, condition};
use serde_json::{Value, json};
use testkit::apiserver::Gvr;

use crate::embedded::{
    apply,
    world::{CLUSTER, World},
};

pub fn management(plural: &str) -> Gvr {
    Gvr::new("management.cattle.io", "v3", plural)
}

pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object["metadata"][field].as_str().unwrap_or_default()
}

fn gvr(binding: &Value) -> Gvr {
    let of_a_project = !binding["projectName"].is_null();
    management(if of_a_project { "projectroletemplatebindings" } else { "clusterroletemplatebindings" })
}

/// The one binding of ours for that user or group.
pub fn ours(world: &World, who: &str) -> Value {
    let fields = ["userName", "userPrincipalName", "groupPrincipalName"];
    let theirs = |b: &Value| text(b, "name").starts_with("rao-") && fields.iter().any(|field| b[*field] == who);
    world.rancher.bindings().into_iter().find(theirs).expect("a binding of ours")
}

/// As it is stored by now.
pub fn read(world: &World, binding: &Value) -> Option<Value> {
    world.rancher.local().get(&gvr(binding), text(binding, "namespace"), text(binding, "name"))
}

pub async fn patch(world: &World, binding: &Value, patch: Value) {
    let (namespace, name) = (text(binding, "namespace"), text(binding, "name"));
    world.rancher.local().patch(&gvr(binding), namespace, name, "", &patch).await.expect("patched");
}

/// Takes Rancher's finalizers off: what is deleted then goes at once, and nothing is cleaned up.
pub async fn strip(world: &World, binding: &Value) {
    patch(world, binding, json!({"metadata": {"finalizers": null}})).await;
}

pub async fn remove(world: &World, binding: &Value) {
    let (namespace, name) = (text(binding, "namespace"), text(binding, "name"));
    world.rancher.local().delete(&gvr(binding), namespace, name, None).await.expect("deleted");
}

pub async fn post(world: &World, binding: &Value) -> Result<Value, u16> {
    world.rancher.local().create(&gvr(binding), binding).await.map_err(|error| error.code)
}

/// One that gives the same to the same, under another name.
pub fn copy(binding: &Value, name: &str) -> Value {
    let mut copy = binding.clone();
    copy["metadata"] = json!({"namespace": text(binding, "namespace"), "name": name});
    copy
}

/// A binding that gives a role in the project that access is asked for.
pub fn on_project(world: &World, user: &str, role: &str, name: &str) -> Value {
    json!({"apiVersion": "management.cattle.io/v3", "kind": "ProjectRoleTemplateBinding",
        "metadata": {"namespace": world.rancher.backing_namespace(CLUSTER, &world.project), "name": name},
        "projectName": format!("{CLUSTER}:{}", world.project), "roleTemplateName": role, "userName": user})
}

/// Lets people ask for the role by which one can write bindings.
pub async fn allow_owners(world: &World) -> Value {
    apply(
        &world.admin(),
        json!({"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessPolicy", "metadata": {"name": "owners"},
            "spec": {"integrationRef": {"name": "prod"}, "namespaceSelector": {"matchLabels": {"team": "web"}},
                "requesters": [{"kind": "Group", "name": "web-devs"}], "subjects": {"self": true}, "allowPrivileged": true,
                "access": [{"project": {"clusterSelector": {"matchLabels": {"env": "prod"}},
                    "selector": {"matchLabels": {"team": "web"}}, "roles": ["project-owner"]}}],
                "duration": {"default": "1h", "max": "8h"}}}),
    )
    .await;
    json!([{"project": {"cluster": CLUSTER, "name": world.project, "role": "project-owner"}}])
}

/// A condition of a grant.
pub fn said(grant: &AccessGrant, type_: &str) -> Condition {
    let conditions = grant.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    condition::find(&conditions, type_).unwrap_or_else(|| panic!("no {type_} in {conditions:?}")).clone()
}
