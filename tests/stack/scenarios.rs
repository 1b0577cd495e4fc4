//! The lives.

use rancher_access_operator::api::status::{AccessGrantStatus, BindingState, EndReason, Phase};
use serde_json::{Map, Value, json};
use testkit::{apiserver::Gvr, proxy::Asked};

use crate::{
    installed::until,
    invariants::{granted, revoked},
    kinds::{Grant, now, on_cluster},
    run::{Fault, Scenario},
    stage::Stage,
    witness::{name, ours},
    worker::{PLACE, bindings_path},
    world::CLUSTER,
};

pub(crate) async fn play(stage: &mut Stage) {
    match stage.run.scenario {
        Scenario::S1 => given(stage).await,
        Scenario::S3 => ended(stage).await,
        Scenario::S4 => deleted(stage).await,
        Scenario::S8 => overlapped(stage).await,
        Scenario::S13 => started_cold(stage).await,
    }
}

/// S1: at the create, or where the intent is recorded.
async fn given(stage: &mut Stage) {
    let point = stage.arm(creates(), status_of(&stage.name("one"), r#""state":"Intended""#));
    let who = stage.person("a");
    let grant = stage.ask(&who, "one", on_cluster("1h")).await;
    stage.inflict(point).await;
    stage.given(&grant).await;
    stage.finish(1).await;
}

/// S3: at the delete, or where it is recorded that the binding is gone.
async fn ended(stage: &mut Stage) {
    let who = stage.person("a");
    let grant = stage.ask(&who, "one", on_cluster("4s")).await;
    let (binding, end) = stage.given(&grant).await;
    let point = stage.arm(deletes(&binding), status_of(&grant.name, r#""state":"Removed""#));
    stage.inflict(point).await;
    stage.gone_in_time(&binding, end).await;
    expired(&grant, &[BindingState::Removed]).await;
    stage.finish(1).await;
}

/// S4: at the delete, or where the finalizer goes.
async fn deleted(stage: &mut Stage) {
    let who = stage.person("a");
    let grant = stage.ask(&who, "one", on_cluster("1h")).await;
    let (binding, _) = stage.given(&grant).await;
    let point = stage.arm(deletes(&binding), object_of(&grant.name));
    let asked = now();
    grant.delete().await;
    stage.inflict(point).await;
    stage.gone_in_time(&binding, asked).await;
    grant.until_gone(60).await;
    stage.finish(1).await;
}

/// S8: at the delete, which is the second's, or where it is recorded that the first has handed over.
async fn overlapped(stage: &mut Stage) {
    let who = stage.person("a");
    let short = stage.ask(&who, "short", on_cluster("5s")).await;
    let (binding, first) = stage.given(&short).await;
    let long = stage.ask(&who, "long", on_cluster("9s")).await;
    let (shared, second) = stage.given(&long).await;
    assert_eq!(binding, shared, "one binding for both");
    let point = stage.arm(deletes(&binding), status_of(&short.name, r#""state":"HandedOver""#));
    assert!(now() < first, "the fault is there before the first ends");
    stage.inflict(point).await;
    stage.gone_in_time(&binding, second).await;
    // Where that could not be recorded until both were over, whoever goes on may see it gone.
    let late = matches!(stage.run.fault, Fault::ApiKilled | Fault::EtcdKilled);
    let states = [BindingState::HandedOver, BindingState::Removed];
    expired(&short, &states[..if late { 2 } else { 1 }]).await;
    expired(&long, &[BindingState::Removed]).await;
    stage.finish(1).await;
}

/// S13: at the delete of the orphan, or where it is recorded that the overdue is gone.
async fn started_cold(stage: &mut Stage) {
    let [active, overdue, pending, lost] = ["a", "b", "c", "d"].map(|which| stage.person(which));
    let active = stage.ask(&active, "active", on_cluster("1h")).await;
    let lost = stage.ask(&lost, "lost", on_cluster("1h")).await;
    let (kept, _) = stage.given(&active).await;
    let orphan = remembered(stage, &lost).await;
    let overdue = stage.ask(&overdue, "overdue", on_cluster("5s")).await;
    let (ending, end) = stage.given(&overdue).await;
    stage.worker.stop().await;
    let rancher = stage.worker.world.rancher.clone();
    rancher.local().create(&bindings(), &orphan).await.expect("as a backup of Rancher brings it back");
    let pending = stage.ask(&pending, "pending", on_cluster("1h")).await;
    stage.past(end).await;
    assert_eq!(ours(&rancher).len(), 3, "nobody was there to take anything away");
    let uid = |binding: &str| {
        ours(&rancher).into_iter().find(|one| name(one) == binding).map(|one| one["metadata"]["uid"].clone())
    };
    let before = uid(&kept);

    let point = stage.arm(deletes(&name(&orphan)), status_of(&overdue.name, r#""state":"Removed""#));
    stage.worker.another();
    let taken = stage.worker.world.led_by(&stage.worker.leader()).await;
    stage.recovered(taken);
    stage.inflict(point).await;
    stage.gone_in_time(&ending, end).await;
    stage.gone_in_time(&name(&orphan), end).await;
    expired(&overdue, &[BindingState::Removed]).await;
    stage.given(&pending).await;
    let (still, _) = stage.given(&active).await;
    assert!(still == kept && uid(&kept) == before, "what was in force is the same binding");
    stage.finish(4).await;
}

/// A binding of ours as a backup of Rancher would have kept it; its grant is over, and gone.
async fn remembered(stage: &Stage, grant: &Grant) -> Value {
    let (binding, _) = stage.given(grant).await;
    let found = ours(&stage.worker.world.rancher).into_iter().find(|one| name(one) == binding).expect("it is there");
    grant.delete().await;
    grant.until_gone(30).await;
    let mut object = json!({"apiVersion": "management.cattle.io/v3", "kind": "ClusterRoleTemplateBinding",
        "metadata": {"name": binding, "namespace": CLUSTER, "labels": found["metadata"]["labels"]}});
    let told: Map<_, _> = found["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| key.starts_with("rancheraccess.io/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    object["metadata"]["annotations"] = told.into();
    for key in ["clusterName", "roleTemplateName", "userName", "userPrincipalName"] {
        if !found[key].is_null() {
            object[key] = found[key].clone();
        }
    }
    object
}

async fn expired(grant: &Grant, states: &[BindingState]) {
    let over: AccessGrantStatus = grant.until(Phase::Expired, 90).await;
    assert!(states.contains(&over.bindings[0].state), "{:?}", over.bindings);
    assert_eq!(over.end.as_ref().map(|end| end.reason), Some(EndReason::Expired));
    assert!(revoked(&over) && !granted(&over), "{:?}", over.conditions);
}

fn creates() -> impl Fn(&Asked) -> bool + Send + 'static {
    |asked| asked.method == "POST" && path(asked).ends_with(&bindings_path())
}

fn deletes(binding: &str) -> impl Fn(&Asked) -> bool + Send + 'static {
    let path_of = format!("{}/{binding}", bindings_path());
    move |asked| asked.method == "DELETE" && path(asked).ends_with(&path_of)
}

/// A write of this grant's status that says so.
fn status_of(grant: &str, says: &'static str) -> impl Fn(&Asked) -> bool + Send + 'static {
    let path_of = format!("/namespaces/{PLACE}/accessgrants/{grant}/status");
    move |asked| asked.method == "PATCH" && path(asked).ends_with(&path_of) && asked.says(says)
}

/// A write of this grant apart from its status: that of its finalizers.
fn object_of(grant: &str) -> impl Fn(&Asked) -> bool + Send + 'static {
    let path_of = format!("/namespaces/{PLACE}/accessgrants/{grant}");
    move |asked| asked.method == "PATCH" && path(asked).ends_with(&path_of)
}

fn path(asked: &Asked) -> &str {
    asked.path.split('?').next().unwrap_or_default()
}

/// Rancher's bindings on clusters.
pub(crate) fn bindings() -> Gvr {
    Gvr::new("management.cattle.io", "v3", "clusterroletemplatebindings")
}

/// Waits until nobody of this name has this access on the cluster any more.
pub(crate) async fn without(stage: &crate::worker::Worker, who: &str) {
    let has =
        || stage.world.rancher.access_of(&format!("u-{who}")).iter().any(|access| access.role == "cluster-member");
    until("the access itself is gone", 20, async || (!has()).then_some(())).await;
}
