//! A local user, as the one who asks for him sees him: his credentials can be read by nobody else, and go with the access.

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::{
    kinds::{self, Grant},
    run, shared, until,
    world::{CLUSTER, GROUP, OWN, World},
};
use rancher_access_operator::api::status::Phase;

#[test]
fn only_the_requester_reads_the_credentials_and_only_while_access_lasts() {
    run(async {
        let world = shared::world().await;
        live(&world, "robots", "rosa").await;
    });
}

/// The life of a local user, from the request to the end of his credentials.
pub(crate) async fn live(world: &World, namespace: &str, who: &str) {
    world.namespace(namespace).await;
    let mut policy = kinds::policy(namespace, &world.project);
    policy["spec"]["subjects"] = json!({"localUsers": ["deploy"]});
    world.apply(&policy).await;
    let spec = json!({"integrationRef": {"name": "prod"}, "subject": {"localUser": {"username": "deploy"}},
        "access": [{"cluster": {"name": CLUSTER, "role": "cluster-member"}}]});
    let grant: Grant = world.ask(who, namespace, "deploy", spec).await;
    let active = grant.until(Phase::Active, 20).await;
    let details = active.access_details.and_then(|details| details.credentials).expect("credentials");
    let name = details.secret.strip_prefix("rancher-access-system/").expect("in the operator's namespace");
    let secrets = async |who: &str| Api::<Secret>::namespaced(world.plane.client_for(who, &[GROUP]).await, OWN);
    let his = secrets(who).await;
    let read = his.get(name).await.expect("the requester reads it").data.expect("data");
    assert_eq!(read["username"].0, details.username.as_bytes());
    assert_eq!(read["password"].0.len(), 32);
    let refused = |answer: Result<(), kube::Error>| matches!(answer, Err(kube::Error::Api(s)) if s.code == 403);
    assert!(refused(his.list(&ListParams::default()).await.map(drop)), "no other Secret");
    assert!(refused(his.get("rancher-prod").await.map(drop)), "and not the operator's key");
    assert!(refused(secrets("somebody").await.get(name).await.map(drop)), "nobody else");
    let printed =
        world.plane.kubectl(&["describe", "agrant", "deploy", "-n", namespace]).await.unwrap().expect_success();
    println!("{printed}");
    assert!(printed.contains(&details.command) && printed.contains("local user deploy"), "{printed}");
    world.plane.kubectl(&["delete", "agrant", "deploy", "-n", namespace]).await.unwrap().expect_success();
    until("the credentials are gone", 20, async || refused(his.get(name).await.map(drop)).then_some(())).await;
    let users = testkit::apiserver::Gvr::new("management.cattle.io", "v3", "users");
    until("he is disabled", 20, async || {
        world.rancher.local().get(&users, "", name).is_some_and(|user| user["enabled"] == false).then_some(())
    })
    .await;
}
