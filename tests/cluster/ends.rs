//! Every other way that access begins or ends.

use std::time::Duration;

use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams},
};
use rancher_access_operator::api::status::{BindingState, EndReason, Phase};
use serde_json::{Value, json};

use crate::{
    kinds::{end, in_seconds, now, on_cluster, says},
    lives::gone_after,
    run, shared, until,
    world::{CLUSTER, World},
};

#[test]
fn a_grant_that_is_deleted_takes_its_access_along() {
    run(async {
        let world = shared::world().await;
        world.place("deleted").await;
        deleted(&world, "deleted", "carol").await;
    });
}

pub(crate) async fn deleted(world: &World, namespace: &str, who: &str) {
    let id = world.person(who);
    let grant = world.ask(who, namespace, "deleted", on_cluster("1h")).await;
    grant.until(Phase::Active, 20).await;
    assert_eq!(world.bindings_of(who).len(), 1);
    grant.delete().await;
    // Rancher's finalizers come within a second; a second look for left-overs would take ten more.
    grant.until_gone(8).await;
    assert_eq!(world.bindings_of(who), [] as [Value; 0], "the grant went only after its binding");
    assert_eq!(world.rancher.access_of(&id), []);
}

#[test]
fn an_end_that_moves_earlier_is_the_end() {
    run(async {
        let world = shared::world().await;
        world.place("earlier").await;
        earlier(&world, "earlier", "dave").await;
    });
}

pub(crate) async fn earlier(world: &World, namespace: &str, who: &str) {
    world.person(who);
    let mut spec = on_cluster("1h");
    spec.as_object_mut().unwrap().remove("duration");
    spec["endTime"] = in_seconds(3600).into();
    let grant = world.ask(who, namespace, "earlier", spec).await;
    grant.until(Phase::Active, 20).await;
    let moved = in_seconds(2);
    grant.patch(json!({"spec": {"endTime": moved}})).await;
    let lag = gone_after(world, who, moved.parse().unwrap()).await;
    assert!(lag < Duration::from_secs(2), "{lag:?}");
    let status = grant.until(Phase::Expired, 20).await;
    assert_eq!(status.end.unwrap().time.0.to_string(), moved);
}

#[test]
fn a_grant_for_later_waits_for_its_start() {
    run(async {
        let world = shared::world().await;
        world.place("later").await;
        world.person("erin");
        let mut spec = on_cluster("3s");
        let start = in_seconds(3);
        spec["startTime"] = start.clone().into();
        let grant = world.ask("erin", "later", "later", spec).await;
        let waiting = grant.until(Phase::Scheduled, 10).await;
        let ready = says(&waiting, "Ready");
        assert!(ready.message.contains(&start), "{ready:?}");
        assert_eq!(world.bindings_of("erin"), [] as [Value; 0]);
        let active = grant.until(Phase::Active, 10).await;
        let start = start.parse().unwrap();
        assert!(active.granted_time.as_ref().unwrap().0 >= start && now() >= start, "not before its start");
        gone_after(&world, "erin", end(&active)).await;
        grant.until(Phase::Expired, 10).await;
    });
}

#[test]
fn what_somebody_else_made_is_left_alone() {
    run(async {
        let world = shared::world().await;
        world.place("foreign").await;
        foreign(&world, "foreign", "frank").await;
    });
}

pub(crate) async fn foreign(world: &World, namespace: &str, who: &str) {
    let id = world.person(who);
    let made = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": format!("crtb-{who}"), "namespace": CLUSTER},
        "clusterName": CLUSTER, "roleTemplateName": "cluster-member", "userName": id});
    let made: DynamicObject = serde_json::from_value(made).unwrap();
    bindings(&world.rancher_client().await).create(&PostParams::default(), &made).await.unwrap();
    let (before, _) = until("Rancher is done with the binding", 20, async || settled(world, who).await).await;
    let grant = world.ask(who, namespace, "foreign", on_cluster("3s")).await;
    let active = grant.until(Phase::Active, 20).await;
    assert_eq!(active.bindings[0].state, BindingState::AlreadyHeld);
    assert_eq!(says(&active, "Granted").reason, "AlreadyHeld");
    let over = grant.until(Phase::Expired, 20).await;
    assert_eq!(says(&over, "Revoked").reason, "AlreadyHeld");
    assert_eq!(world.bindings_of(who), before, "not a byte of it changed");
    assert_ne!(world.rancher.access_of(&id), [], "he keeps what he had");
}

/// The bindings of this person, once Rancher has stopped writing to them.
async fn settled(world: &World, who: &str) -> Option<Vec<Value>> {
    let before = world.bindings_of(who);
    tokio::time::sleep(Duration::from_millis(700)).await;
    (world.bindings_of(who) == before && !before.is_empty()).then_some(before)
}

#[test]
fn what_is_removed_in_rancher_ends_there() {
    run(async {
        let world = shared::world().await;
        world.place("removed").await;
        removed(&world, "removed", "grace").await;
    });
}

pub(crate) async fn removed(world: &World, namespace: &str, who: &str) {
    world.person(who);
    let grant = world.ask(who, namespace, "removed", on_cluster("1h")).await;
    let active = grant.until(Phase::Active, 20).await;
    // Rancher cleans up only after what it has put its finalizers on.
    until("Rancher is done with the binding", 20, async || settled(world, who).await).await;
    let rancher = bindings(&world.rancher_client().await);
    rancher.delete(&active.bindings[0].name, &DeleteParams::default()).await.unwrap();
    let over = grant.until(Phase::Revoked, 20).await;
    assert_eq!(over.end.as_ref().unwrap().reason, EndReason::RemovedInRancher);
    assert_eq!(says(&over, "Granted").reason, "RemovedInRancher");
    assert_eq!(world.bindings_of(who), [] as [Value; 0], "it is not made again");
}

#[test]
fn grants_that_overlap_share_one_binding_until_the_last_ends() {
    run(async {
        let world = shared::world().await;
        world.place("overlap").await;
        overlap(&world, "overlap", "heidi").await;
    });
}

pub(crate) async fn overlap(world: &World, namespace: &str, who: &str) {
    world.person(who);
    let short = world.ask(who, namespace, "short", on_cluster("4s")).await;
    let first = short.until(Phase::Active, 20).await;
    let long = world.ask(who, namespace, "long", on_cluster("7s")).await;
    let second = long.until(Phase::Active, 20).await;
    assert_eq!(first.bindings[0].name, second.bindings[0].name);
    assert_eq!(first.bindings[0].uid, second.bindings[0].uid);
    assert_eq!(world.bindings_of(who).len(), 1, "one binding for both");
    let over = short.until(Phase::Expired, 20).await;
    assert_eq!(over.bindings[0].state, BindingState::HandedOver);
    assert_eq!(says(&over, "Revoked").reason, "HandedOver");
    let left = world.bindings_of(who);
    assert_eq!(left.len(), 1, "it stays for the longer one");
    assert_eq!(left[0]["metadata"]["uid"].as_str(), second.bindings[0].uid.as_deref());
    let lag = gone_after(world, who, end(&second)).await;
    assert!(lag < Duration::from_secs(2), "{lag:?}");
    let over = long.until(Phase::Expired, 20).await;
    assert_eq!(over.bindings[0].state, BindingState::Removed);
}

/// Rancher's bindings on the cluster.
fn bindings(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("management.cattle.io", "v3", "ClusterRoleTemplateBinding");
    let resource = ApiResource::from_gvk_with_plural(&kind, "clusterroletemplatebindings");
    Api::namespaced_with(client.clone(), CLUSTER, &resource)
}
