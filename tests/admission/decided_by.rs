//! Who decides: filled in where it is not written, refused where it is forged. And what becomes of decisions.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{NOT_YOU_EITHER, NOT_YOURS_EITHER, OPERATOR, OWNERS, world::*};

fn decisions(client: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource("AccessDecision"))
}

/// Creates a decision as that user, who may: who was stored to have made it, or the refusal.
async fn decide(name: &str, user: &str, groups: &[&str], decided_by: Value) -> Result<Value, String> {
    let groups: Vec<&str> = groups.iter().copied().chain(["system:masters"]).collect();
    let client = plane().await.client_for(user, &groups).await;
    let created = decisions(&client, "default").create(&PostParams::default(), &decision(name, decided_by)).await;
    created.map(|made| made.data["spec"]["decidedBy"].clone()).map_err(|error| error.to_string())
}

#[tokio::test]
async fn who_decides_is_filled_in_and_may_be_written() {
    let stored = decide("filled", "olga", &["sre"], Value::Null).await.unwrap();
    assert_eq!(stored, json!({"username": "olga", "groups": ["sre", "system:masters", "system:authenticated"]}));
    for (name, own) in [
        ("bare", json!({"username": "olga"})),
        ("empty", json!({"username": "olga", "groups": []})),
        ("some", json!({"username": "olga", "groups": ["sre"]})),
    ] {
        assert_eq!(decide(name, "olga", &["sre", "web-devs"], own.clone()).await.unwrap(), own);
    }
}

#[tokio::test]
async fn a_forged_decider_or_group_is_refused() {
    for forged in ["mallory", "Olga", "olga ", "system:serviceaccount:default:olga"] {
        refused(decide("forged", "olga", &["sre"], json!({"username": forged})).await, NOT_YOU_EITHER);
    }
    let mine = "write decidedBy: {username: 'olga'}";
    refused(decide("forged", "olga", &[], json!({"username": "bob"})).await, mine);
    for group in ["web-devs", "SRE"] {
        let forged = json!({"username": "olga", "groups": ["sre", group]});
        refused(decide("forged", "olga", &["sre"], forged).await, NOT_YOURS_EITHER);
    }
}

#[tokio::test]
async fn many_long_groups_of_a_decider_stay_within_the_cost_limits() {
    let groups: Vec<String> = (0..300).map(|number| format!("{number:0>400}")).collect();
    let own: Vec<&str> = groups.iter().map(String::as_str).collect();
    let stored = decide("many-filled", "olga", &own, Value::Null).await.unwrap();
    assert_eq!(stored["groups"], json!(&own[..256]), "the first 256");
    let last = json!({"username": "olga", "groups": &own[44..]});
    assert_eq!(decide("many-named", "olga", &own, last.clone()).await.unwrap(), last);
    let too_many = json!({"username": "olga", "groups": &own[..257]});
    refused(decide("too-many", "olga", &own, too_many).await, "256");
    let mut forged = own[..255].to_vec();
    forged.push("sre");
    let forged = json!({"username": "olga", "groups": forged});
    refused(decide("forged-last", "olga", &own, forged).await, NOT_YOURS_EITHER);
}

#[tokio::test]
async fn a_forged_dry_run_of_a_decision_is_refused_as_the_operator_expects() {
    let operator = plane().await.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let forged = decision("probe", json!({"username": "mallory"}));
    let answer = decisions(&operator, OPERATOR.0).create(&dry, &forged).await;
    let refusal = answer.map_err(|error| error.to_string());
    refused(refusal.clone(), NOT_YOU_EITHER);
    refused(refusal, "rancheraccess-decided-by");
}

#[tokio::test]
async fn nobody_makes_a_decision_that_goes_with_something_else() {
    let admin = decisions(&plane().await.client().await, "default");
    let owner =
        |kind: &str, api: &str, name: &str| json!([{"apiVersion": api, "kind": kind, "name": name, "uid": "0"}]);
    let ours = "rancheraccess.io/v1alpha1";
    for (kind, api, name) in [
        ("ConfigMap", "v1", "g"),
        ("AccessGrant", ours, "another"),
        ("AccessDecision", ours, "g"),
        ("AccessGrant", "rancheraccess.io.example.com/v1", "g"),
    ] {
        let mut made = decision("owned", Value::Null);
        made.metadata.owner_references = serde_json::from_value(owner(kind, api, name)).unwrap();
        refused(admin.create(&PostParams::default(), &made).await.map_err(|error| error.to_string()), OWNERS);
    }
}

#[tokio::test]
async fn kubernetes_clears_decisions_up_with_their_grant_and_with_their_namespace() {
    let plane = plane().await;
    namespace("clearing").await;
    let admin = plane.client().await;
    let operator = plane.service_account_client(OPERATOR.0, OPERATOR.1).await.unwrap();
    let grants: Api<DynamicObject> = Api::namespaced_with(admin.clone(), "clearing", &resource("AccessGrant"));
    let made = decisions(&admin, "clearing");
    let grant = grants.create(&PostParams::default(), &grant("g", Value::Null)).await.unwrap();
    for name in ["owned", "left"] {
        made.create(&PostParams::default(), &decision(name, Value::Null)).await.unwrap();
    }
    let owner = json!({"metadata": {"ownerReferences": [{"apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
        "name": "g", "uid": grant.metadata.uid}]}});
    let owned = decisions(&operator, "clearing").patch("owned", &PatchParams::default(), &Patch::Merge(owner)).await;
    owned.unwrap();
    grants.delete("g", &DeleteParams::default()).await.unwrap();
    until("the decision is gone with its grant", async || made.get_opt("owned").await.unwrap().is_none().then_some(()))
        .await;
    made.get("left").await.unwrap();
    plane.kubectl(&["delete", "namespace", "clearing", "--wait=false"]).await.unwrap().expect_success();
    until("the other is gone with its namespace", async || made.get_opt("left").await.unwrap().is_none().then_some(()))
        .await;
}
