//! Who asks: filled in where it is not written, refused where it is forged.

use kube::{
    Api, ResourceExt,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testkit::control_plane::Output;

use super::{NOT_YOU, NOT_YOURS, OPERATOR, world::*};

fn manifest(name: &str) -> String {
    let mut object = serde_json::to_value(grant(name, Value::Null)).unwrap();
    object["apiVersion"] = json!("rancheraccess.io/v1alpha1");
    object["kind"] = json!("AccessGrant");
    object.to_string()
}

/// Creates a grant as that user; the requester that was stored, or the refusal.
async fn ask(name: &str, user: &str, groups: &[&str], requested_by: Value) -> Result<Value, String> {
    let client = plane().await.client_for(user, groups).await;
    let created = grants(&client).create(&PostParams::default(), &grant(name, requested_by)).await;
    created.map(|grant| grant.data["spec"]["requestedBy"].clone()).map_err(|error| error.to_string())
}

fn numbered(count: usize) -> Vec<String> {
    // Long names, for what costs the policies most.
    (0..count).map(|number| format!("{number:0>400}")).collect()
}

fn strings(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn who_asks_is_filled_in_on_create() {
    let stored = ask("filled", "alice", &["web-devs"], Value::Null).await.unwrap();
    assert_eq!(stored, json!({"username": "alice", "groups": ["web-devs", "system:authenticated"]}));
}

#[tokio::test]
async fn one_may_write_ones_own_name_with_some_groups_or_none() {
    for (name, own) in [
        ("bare", json!({"username": "alice"})),
        ("empty", json!({"username": "alice", "groups": []})),
        ("some", json!({"username": "alice", "groups": ["web-devs"]})),
    ] {
        assert_eq!(ask(name, "alice", &["web-devs", "sre"], own.clone()).await.unwrap(), own);
    }
}

#[tokio::test]
async fn a_forged_name_or_group_is_refused() {
    for forged in ["mallory", "Alice", "alice ", "", "system:serviceaccount:default:alice"] {
        let answer = ask("forged", "alice", &["web-devs"], json!({"username": forged, "groups": []})).await;
        // An empty name is refused by the schema already.
        refused(answer, if forged.is_empty() { "requestedBy.username" } else { NOT_YOU });
    }
    let mine = "write requestedBy: {username: 'alice'}";
    refused(ask("forged", "alice", &[], json!({"username": "bob"})).await, mine);
    for group in ["sre", "WEB-DEVS", "system:masters"] {
        let forged = json!({"username": "alice", "groups": ["web-devs", group]});
        refused(ask("forged", "alice", &["web-devs"], forged).await, NOT_YOURS);
    }
    // Not even the administrator may ask in another's name.
    refused(ask("forged", "root", &["system:masters"], json!({"username": "alice"})).await, NOT_YOU);
}

#[tokio::test]
async fn a_forged_dry_run_is_refused_as_the_operator_expects() {
    let plane = plane().await;
    let operator = plane.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap();
    let own: Api<DynamicObject> = Api::namespaced_with(operator, OPERATOR.0, &resource("AccessGrant"));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let forged = own.create(&dry, &grant("probe", json!({"username": "mallory"}))).await;
    refused(forged.map_err(|error| error.to_string()), NOT_YOU);
}

#[tokio::test]
async fn many_long_groups_stay_within_the_cost_limits() {
    let groups = numbered(300);
    let own = strings(&groups);
    let stored = ask("many-filled", "alice", &own, Value::Null).await.unwrap();
    assert_eq!(stored["groups"], json!(&own[..256]), "the first 256");

    let last = json!({"username": "alice", "groups": &own[44..]});
    assert_eq!(ask("many-named", "alice", &own, last.clone()).await.unwrap(), last);

    let too_many = json!({"username": "alice", "groups": &own[..257]});
    refused(ask("too-many", "alice", &own, too_many).await, "256");

    let mut forged = own[..255].to_vec();
    forged.push("sre");
    refused(ask("forged-last", "alice", &own, json!({"username": "alice", "groups": forged})).await, NOT_YOURS);
}

#[tokio::test]
async fn who_asked_never_changes() {
    ask("steady", "alice", &["web-devs"], Value::Null).await.unwrap();
    let admin = grants(&plane().await.client().await);
    for change in [json!({"username": "bob"}), json!({"groups": []}), json!({"groups": null})] {
        let patch = Patch::Merge(json!({"spec": {"requestedBy": change}}));
        let answer = admin.patch("steady", &PatchParams::default(), &patch).await;
        refused(answer.map_err(|error| error.to_string()), "immutable");
    }
    let gone = Patch::Merge(json!({"spec": {"requestedBy": null}}));
    let answer = admin.patch("steady", &PatchParams::default(), &gone).await;
    refused(answer.map_err(|error| error.to_string()), "requestedBy");
}

#[tokio::test]
async fn applying_again_changes_nothing() {
    let plane = plane().await;
    let kubeconfig = plane.kubeconfig_for("carol", &["web-devs"]).unwrap();
    for (name, how) in [("applied", "--server-side=false"), ("applied-server-side", "--server-side=true")] {
        let apply = async || -> Output {
            plane.kubectl_with(&kubeconfig, &["apply", how, "-f", "-"], &manifest(name)).await.unwrap()
        };
        apply().await.expect_success();
        let admin = grants(&plane.client().await);
        let first = admin.get(name).await.unwrap();
        assert_eq!(first.data["spec"]["requestedBy"]["username"], "carol");
        let owners = serde_json::to_string(first.managed_fields()).unwrap();
        assert!(!owners.contains("requestedBy"), "what was filled in is owned by nobody: {owners}");

        apply().await.expect_success();
        assert_eq!(admin.get(name).await.unwrap().resource_version(), first.resource_version());
    }
}
