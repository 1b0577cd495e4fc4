//! What administrators, outages and restores do while access is in force.

use std::time::Duration;

use rancher_access_operator::api::status::Phase;
use serde_json::{Value, json};
use testkit::{
    apiserver::Gvr,
    rancher::{TokenSpec, Version},
};

use crate::{
    embedded::{
        NAMESPACE,
        world::{CLUSTER, crtbs},
    },
    stage::{PATIENCE, Stage},
};

fn ours(plural: &str) -> Gvr {
    Gvr::new("rancheraccess.io", "v1alpha1", plural)
}

fn management(plural: &str) -> Gvr {
    Gvr::new("management.cattle.io", "v3", plural)
}

/// Grants that are active when everything begins to count, with their durations.
async fn active(stage: &Stage, grants: &[(&str, Value)]) {
    stage.keep_running();
    stage.ready().await;
    for (name, spec) in grants {
        stage.ask(name, spec.clone()).await;
        stage.reaches(name, Phase::Active).await;
    }
    stage.pass(5).await;
    stage.mark();
}

pub async fn key_void(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    let token = stage.world.rancher.admin_token();
    let name = token.split_once(':').map_or("", |(name, _)| name);
    drop(stage.world.rancher.local().delete_unchecked(&management("tokens"), "", name));
    stage.tap.disturbed(Duration::from_secs(60));
    stage.pass(60).await;
    stage.world.rancher.add_admin("user-robot", "robot");
    let fresh = stage.world.rancher.add_token("user-robot", TokenSpec::default());
    let patch = json!({"stringData": {"token": fresh}});
    let patched = stage.world.server.patch(&Gvr::core("secrets"), NAMESPACE, "rancher-prod", "", &patch).await;
    patched.expect("the new key");
    stage.finishes("g", PATIENCE).await;
}

/// The operator replaces its own key while access is in force and ends.
pub async fn rotation(stage: &Stage) {
    let key = stage.world.rancher.admin_token();
    stage.keep_running();
    stage.ready().await;
    stage.ask("g", json!({"duration": "40s"})).await;
    stage.reaches("g", Phase::Active).await;
    stage.pass(5).await;
    stage.truth.guard_the_key(&key);
    stage.mark();
    let patch = json!({"spec": {"rotateNow": "1"}});
    drop(stage.world.server.patch(&ours("rancherintegrations"), "", "prod", "", &patch).await);
    stage.finishes("g", PATIENCE).await;
    stage.truth.until(PATIENCE, |truth| truth.has_another_key_than(&key) && truth.has_one_key()).await;
    stage.pass(20).await;
}

pub async fn integration_deleted(stage: &Stage) {
    let on_project = stage.world.on_project();
    active(stage, &[("a", json!({"duration": "30s"})), ("b", json!({"duration": "40s", "access": on_project}))]).await;
    drop(stage.world.server.delete(&ours("rancherintegrations"), "", "prod", None).await);
    stage.finishes("a", PATIENCE).await;
    stage.finishes("b", PATIENCE).await;
    stage.pass(20).await;
}

pub async fn namespace_deleted(stage: &Stage) {
    let on_project = stage.world.on_project();
    active(stage, &[("a", json!({"duration": "1h"})), ("b", json!({"duration": "1h", "access": on_project}))]).await;
    drop(stage.world.server.delete(&Gvr::core("namespaces"), "", "web", None).await);
    stage.truth.until(PATIENCE, |truth| truth.grants().is_empty()).await;
}

pub async fn cold_start(stage: &Stage) {
    stage.world.bind_by_hand("u-bob", "permanent").await;
    stage.keep_running();
    stage.ready().await;
    let on_project = stage.world.on_project();
    stage.ask("overdue", json!({"duration": "20s"})).await;
    stage.reaches("overdue", Phase::Active).await;
    stage.world.ask("alice", "active", json!({"access": on_project, "duration": "1h"})).await;
    stage.reaches("active", Phase::Active).await;
    let carol = json!({"access": stage.world.on_cluster(), "duration": "1h"});
    stage.world.ask("carol", "orphan", carol).await;
    stage.reaches("orphan", Phase::Active).await;
    stage.stop().await;
    stage.truth.restored();
    stage.tap.disturbed(Duration::from_secs(90));
    forget(stage, "orphan");
    stage.pass(60).await;
    let bob = json!({"access": stage.world.on_cluster(), "duration": "1h"});
    stage.world.ask("bob", "pending", bob).await;
    stage.tap.disturbed(Duration::ZERO);
    stage.begin().await;
    stage.finishes("overdue", PATIENCE).await;
    stage.reaches("pending", Phase::Active).await;
    stage.pass(30).await;
}

/// A grant goes as if it had never been, whatever its finalizers say.
fn forget(stage: &Stage, name: &str) {
    let (server, gvr) = (&stage.world.server, ours("accessgrants"));
    if let Some(mut grant) = server.get(&gvr, "web", name) {
        grant["metadata"]["finalizers"] = json!([]);
        drop(server.update_unchecked(&gvr, grant));
        drop(server.delete_unchecked(&gvr, "web", name));
    }
}

pub async fn rancher_away(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    stage.tap.away(Duration::from_secs(120));
    stage.pass(120).await;
    stage.finishes("g", PATIENCE).await;
}

/// Rancher cleans up nothing that its finalizers do not remember.
pub async fn stripped(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    let name = stage.truth.bindings().pop().unwrap_or_default();
    let bare = json!({"metadata": {"finalizers": null}});
    drop(stage.world.rancher.local().patch(&crtbs(), CLUSTER, &name, "", &bare).await);
    stage.finishes("g", PATIENCE).await;
}

pub async fn removed(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "1h"}))]).await;
    let name = stage.truth.bindings().pop().unwrap_or_default();
    drop(stage.world.rancher.local().delete(&crtbs(), CLUSTER, &name, None).await);
    stage.finishes("g", PATIENCE).await;
}

/// Everything that the operator keeps is put back to when there was no grant: nobody remembers what it made.
pub async fn lost_state(stage: &Stage) {
    let before = stage.world.server.backup();
    active(stage, &[("g", json!({"duration": "1h"}))]).await;
    stage.truth.restored();
    stage.world.server.restore(&before);
    stage.tap.disturbed(Duration::ZERO);
    stage.tap.kill_all();
    stage.truth.until(PATIENCE, |truth| truth.bindings().is_empty()).await;
}

/// The grants' statuses go back in time: to when the grant was active, after it has ended.
pub async fn restored(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    let before = stage.world.server.backup();
    stage.finishes("g", PATIENCE).await;
    stage.truth.restored();
    stage.world.server.restore(&before);
    stage.tap.disturbed(Duration::ZERO);
    stage.pass(2).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn abandoned(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    stage.tap.away(Duration::from_secs(900));
    stage.pass(700).await;
    let uid = stage.truth.grant("g").map(|grant| grant.uid).unwrap_or_default();
    stage.world.patch("g", json!({"metadata": {"annotations": {"rancheraccess.io/abandon": uid}}})).await;
    stage.finishes("g", PATIENCE).await;
    // It comes back after all: what was given up is swept.
    stage.pass(250).await;
}

pub async fn api_away(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    stage.world.server.set_available(false);
    stage.tap.api_away(true);
    stage.truth.until(Duration::from_secs(60), |truth| truth.bindings().is_empty()).await;
    stage.pass(30).await;
    stage.world.server.set_available(true);
    stage.tap.api_away(false);
    stage.finishes("g", PATIENCE).await;
}

pub async fn lease_lost(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    stage.pass(20).await;
    let spec = json!({"spec": {"holderIdentity": "somebody", "leaseTransitions": 7}});
    let leases = Gvr::new("coordination.k8s.io", "v1", "leases");
    let patched = stage.world.server.patch(&leases, NAMESPACE, "rancher-access-operator-default", "", &spec).await;
    patched.expect("the lease");
    stage.tap.disturbed(Duration::ZERO);
    stage.finishes("g", PATIENCE).await;
}

pub async fn role_gone(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "30s"}))]).await;
    let (roles, local) = (management("roletemplates"), stage.world.rancher.local());
    let role = local.get(&roles, "", "cluster-member").expect("the role");
    drop(local.delete_unchecked(&roles, "", "cluster-member"));
    // Rancher can remove nothing meanwhile.
    stage.tap.disturbed(Duration::from_secs(60));
    stage.pass(60).await;
    // The remedy that status names.
    let again = json!({"metadata": {"name": "cluster-member"}, "context": role["context"], "displayName": role["displayName"], "rules": role["rules"]});
    stage.world.rancher.add_role_template(again);
    stage.tap.disturbed(Duration::ZERO);
    stage.finishes("g", PATIENCE).await;
}

pub async fn cluster_gone(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "1h"}))]).await;
    stage.world.rancher.delete_cluster(CLUSTER).await;
    stage.finishes("g", PATIENCE).await;
}

pub async fn project_gone(stage: &Stage) {
    let on_project = stage.world.on_project();
    active(stage, &[("g", json!({"duration": "1h", "access": on_project}))]).await;
    stage.world.rancher.delete_project(CLUSTER, &stage.world.project).await;
    stage.finishes("g", PATIENCE).await;
}

/// Somebody makes an equal binding, which 2.13 allows; 2.15 deletes the younger.
pub async fn upgrade(stage: &Stage) {
    active(stage, &[("g", json!({"duration": "3m"}))]).await;
    stage.world.bind_by_hand("u-alice", "permanent").await;
    // Long enough for a new leader to yield: what is made in the last seconds before an upgrade may be missed.
    stage.pass(90).await;
    stage.world.rancher.upgrade(Version::V2_15).await;
    stage.tap.disturbed(Duration::ZERO);
    stage.finishes("g", PATIENCE).await;
    if stage.world.rancher.local().get(&crtbs(), CLUSTER, "permanent").is_none() {
        stage.truth.violated("I3 ownership", "somebody else's binding is gone".to_owned());
    }
}
