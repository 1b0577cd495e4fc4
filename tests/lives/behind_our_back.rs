//! What others do to Rancher and to our records meanwhile.

use std::time::Duration;

use kube::{
    Api,
    api::{Patch, PatchParams},
};
use rancher_access_operator::api::{
    AccessGrant,
    status::{BindingState, EndReason, Phase},
};
use serde_json::json;
use testkit::rancher::Model;

use crate::{
    SOON,
    embedded::{
        self,
        world::{CLUSTER, Given, World},
    },
    states, world,
};

stories![
    a_grant_whose_finalizer_was_forced_off_is_swept,
    a_binding_of_ours_that_nobody_remembers_is_swept_and_a_forged_one_is_not,
    what_a_co_holders_end_took_is_made_again,
    what_a_co_holder_left_to_us_and_somebody_removed_is_not_made_again,
    the_survivors_of_a_revoke_keep_what_they_shared,
    a_principal_who_never_logged_in_is_bound_and_shared,
    what_stays_after_stripped_finalizers_is_found_and_removed,
];

async fn a_grant_whose_finalizer_was_forced_off_is_swept(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "8h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    // Admission lets only the operator do this; somebody who can switch admission off can too.
    let api = Api::<AccessGrant>::namespaced(embedded::operator_client(&world.server), "web");
    world.delete("g").await;
    let off = json!({"metadata": {"finalizers": null}});
    let _ = api.patch("g", &PatchParams::default(), &Patch::Merge(off)).await;
    world.until("nothing is left", Duration::from_secs(60), || async { world.bindings_of("u-alice").is_empty() }).await;
    world.until("no access is left", Duration::from_secs(60), || async { !world.has_access("u-alice") }).await;
}

async fn a_binding_of_ours_that_nobody_remembers_is_swept_and_a_forged_one_is_not(given: Given) {
    let mut world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_cluster(), "duration": "8h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.kill().await;
    // The record is lost while the operator is down.
    world
        .server
        .delete_unchecked(&testkit::apiserver::Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants"), "web", "g")
        .expect("marked");
    let forced = json!({"metadata": {"finalizers": null}});
    let api = Api::<AccessGrant>::namespaced(embedded::operator_client(&world.server), "web");
    let _ = api.patch("g", &PatchParams::default(), &Patch::Merge(forced)).await;
    assert!(world.grant("g").await.is_none());
    let ours = world.rancher.bindings().into_iter().find(|b| b["userName"] == "u-alice").expect("ours");
    let mut forged = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding", "clusterName": CLUSTER,
        "roleTemplateName": "cluster-member", "userName": "u-bob", "metadata": {"namespace": CLUSTER, "name": "rao-forgedforgedforgedforged"}});
    forged["metadata"]["labels"] = ours["metadata"]["labels"].clone();
    world.rancher.local().create(&embedded::world::crtbs(), &forged).await.expect("a forged binding");
    world.launch().await;
    world.until("ours is swept", Duration::from_secs(120), || async { world.bindings_of("u-alice").is_empty() }).await;
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert_eq!(world.bindings_of("u-bob"), ["rao-forgedforgedforgedforged"]);
}

/// Two grants on one binding, of which the short one has ended; and the binding's name.
async fn after_a_co_holder(world: &World) -> String {
    world.ask("alice", "short", json!({"access": world.on_cluster(), "duration": "10m"})).await;
    world.reaches("short", Phase::Active, SOON).await;
    world.ask("alice", "long", json!({"access": world.on_cluster(), "duration": "1h"})).await;
    world.reaches("long", Phase::Active, SOON).await;
    let short = world.reaches("short", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&short), [BindingState::HandedOver]);
    world.bindings_of("u-alice").remove(0)
}

async fn what_a_co_holders_end_took_is_made_again(given: Given) {
    let world = world(given).await;
    let name = after_a_co_holder(&world).await;
    // As two leaders in a row would have it: the old one deleted for the short grant, and wrote that down.
    let grants = testkit::apiserver::Gvr::new("rancheraccess.io", "v1alpha1", "accessgrants");
    let mut short = world.server.get(&grants, "web", "short").expect("short");
    short["status"]["bindings"][0]["state"] = json!("Removed");
    world.server.update_unchecked(&grants, short).expect("the old leader's record");
    let before = world.rancher.local().get(&embedded::world::crtbs(), CLUSTER, &name).expect("the binding");
    world.rancher.local().delete(&embedded::world::crtbs(), CLUSTER, &name, None).await.expect("deleted");
    let again = || world.rancher.local().get(&embedded::world::crtbs(), CLUSTER, &name);
    let is_new = || again().is_some_and(|b| b["metadata"]["uid"] != before["metadata"]["uid"]);
    world.until("it is made again", Duration::from_secs(60), || async { is_new() }).await;
    world.until("the grant is active", SOON, || async { world.phase("long").await == Some(Phase::Active) }).await;
}

async fn what_a_co_holder_left_to_us_and_somebody_removed_is_not_made_again(given: Given) {
    let world = world(given).await;
    let name = after_a_co_holder(&world).await;
    world.rancher.local().delete(&embedded::world::crtbs(), CLUSTER, &name, None).await.expect("deleted");
    let long = world.reaches("long", Phase::Revoked, Duration::from_secs(60)).await;
    assert_eq!(long.status.expect("a status").end.expect("an end").reason, EndReason::RemovedInRancher);
    tokio::time::sleep(Duration::from_secs(700)).await;
    assert!(world.bindings_of("u-alice").is_empty());
}

async fn the_survivors_of_a_revoke_keep_what_they_shared(given: Given) {
    let world = world(given).await;
    // Both roles reach `edit`: Rancher's legacy model makes one RoleBinding for the two. The aggregated model makes one
    // for each role, and nothing is shared.
    let right = if given.model == Model::Aggregated { "editor-aggregator" } else { "edit" };
    world.rancher.add_role_template(json!({"metadata": {"name": "editor"}, "context": "project", "displayName": "editor", "roleTemplateNames": ["edit"]}));
    // Ours comes first: what the two share is marked as ours, and goes with ours.
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "10m"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let project = format!("{CLUSTER}:{}", world.project);
    let by_hand = json!({"apiVersion": "management.cattle.io/v3", "kind": "ProjectRoleTemplateBinding", "projectName": project,
        "roleTemplateName": "editor", "userName": "u-alice", "metadata": {"namespace": world.rancher.backing_namespace(CLUSTER, &world.project), "name": "by-hand"}});
    let prtbs = testkit::apiserver::Gvr::new("management.cattle.io", "v3", "projectroletemplatebindings");
    world.rancher.local().create(&prtbs, &by_hand).await.expect("by hand");
    let edit =
        || world.rancher.access_of("u-alice").iter().any(|access| access.cluster == CLUSTER && access.role == right);
    world.until("alice may edit", SOON, || async { edit() }).await;
    world.reaches("g", Phase::Expired, Duration::from_secs(700)).await;
    world.until("she still may, by the other", SOON, || async { edit() }).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(edit());
}

async fn a_principal_who_never_logged_in_is_bound_and_shared(given: Given) {
    let world = world(given).await;
    world
        .ask(
            "alice",
            "first",
            json!({"access": world.on_cluster(), "duration": "10m", "subject": {"principal": "okta_user://ext-zoe"}}),
        )
        .await;
    world.reaches("first", Phase::Active, SOON).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    // By now Rancher made a user for the principal: the second grant resolves to him, and must share.
    world
        .ask(
            "alice",
            "second",
            json!({"access": world.on_cluster(), "duration": "30m", "subject": {"principal": "okta_user://ext-zoe"}}),
        )
        .await;
    let second = world.reaches("second", Phase::Active, SOON).await;
    assert_eq!(states(&second), [BindingState::Present]);
    assert_eq!(world.bindings_of("okta_user://ext-zoe").len(), 1);
    let first = world.reaches("first", Phase::Expired, Duration::from_secs(700)).await;
    assert_eq!(states(&first), [BindingState::HandedOver]);
    world.reaches("second", Phase::Expired, Duration::from_secs(1900)).await;
    assert!(world.bindings_of("okta_user://ext-zoe").is_empty());
}

async fn what_stays_after_stripped_finalizers_is_found_and_removed(given: Given) {
    let world = world(given).await;
    world.ask("alice", "g", json!({"access": world.on_project(), "duration": "1h"})).await;
    world.reaches("g", Phase::Active, SOON).await;
    world.until("alice has access", SOON, || async { world.has_access("u-alice") }).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let prtbs = testkit::apiserver::Gvr::new("management.cattle.io", "v3", "projectroletemplatebindings");
    let (namespace, name) =
        (world.rancher.backing_namespace(CLUSTER, &world.project), world.bindings_of("u-alice").remove(0));
    // Whoever manages the project can do this, and keeps the access: Rancher cleans up by its finalizers alone.
    let local = world.rancher.local();
    local.patch(&prtbs, &namespace, &name, "", &json!({"metadata": {"finalizers": null}})).await.expect("stripped");
    local.delete(&prtbs, &namespace, &name, None).await.expect("deleted");
    assert!(
        world.bindings_of("u-alice").is_empty() && world.has_access("u-alice"),
        "gone at once, and nothing cleaned up"
    );
    world.reaches("g", Phase::Revoked, Duration::from_secs(60)).await;
    assert!(!world.has_access("u-alice"), "{:?}", world.rancher.access_of("u-alice"));
}
