//! That the control plane is a real one, and that nothing of it is left.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, ServiceAccount};
use kube::{
    Api,
    api::{DeleteParams, ListParams, PostParams},
};
use serde_json::json;
use tokio::time::Instant;

use super::*;

/// Where the victim of [`nothing_survives_a_killed_test_process`] writes its directory's name.
const VICTIM: &str = "TESTKIT_CONTROL_PLANE_VICTIM";

fn object<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !done().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The processes that have this directory on their command line.
fn processes_of(dir: &Path) -> usize {
    let dir = dir.to_str().unwrap().as_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.windows(dir.len()).any(|part| part == dir))
        .count()
}

#[tokio::test]
async fn it_starts_soon_serves_and_leaves_nothing() {
    tokio::task::spawn_blocking(Binaries::get).await.unwrap().unwrap();
    let begun = Instant::now();
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10), "it took {:?}", begun.elapsed());

    let namespaces: Api<Namespace> = Api::all(plane.client().await);
    let namespace = object(json!({"metadata": {"name": "web"}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let version = plane.kubectl(&["version"]).await.unwrap();
    assert!(version.stdout.contains("Server Version: v1."), "{version:?}");
    assert!(matches!(plane.audit(), Err(Error::NoAudit)));

    let dir = plane.directory().to_path_buf();
    assert!(processes_of(&dir) > 0);
    drop(plane);
    assert_eq!(processes_of(&dir), 0, "the servers ended");
    assert!(!dir.exists(), "their directory is gone");
}

#[tokio::test]
async fn stopping_the_api_server_keeps_its_address_and_data() {
    let options = Options { controller_manager: false, ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client().await, "default");
    let map = object(json!({"metadata": {"name": "kept"}, "data": {"a": "b"}}));
    maps.create(&PostParams::default(), &map).await.unwrap();

    plane.stop_api_server().await;
    plane.stop_api_server().await;
    assert!(maps.get("kept").await.is_err(), "nobody listens");
    let url = plane.url();

    plane.start_api_server().await.unwrap();
    assert_eq!(plane.url(), url);
    // The same client, so the same address.
    assert_eq!(maps.get("kept").await.unwrap().data.unwrap()["a"], "b");
}

#[tokio::test]
async fn a_service_account_token_gets_what_rbac_gives_it() {
    let plane = ControlPlane::shared().await;
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.client().await, "default");
    accounts.create(&PostParams::default(), &object(json!({"metadata": {"name": "reader"}}))).await.unwrap();
    let reader = plane.service_account_client("default", "reader").await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(reader, "default");
    let refused = maps.list(&ListParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("system:serviceaccount:default:reader"), "{refused}");

    let binding = ["create", "rolebinding", "reader", "--clusterrole=view", "--serviceaccount=default:reader"];
    assert!(plane.kubectl(&binding).await.unwrap().success);
    until("RBAC lets the reader list", async || maps.list(&ListParams::default()).await.is_ok()).await;

    let kubeconfig = plane.service_account_kubeconfig("default", "reader").await.unwrap();
    let listed = plane.kubectl_with(&kubeconfig, &["get", "configmaps"], "").await.unwrap();
    assert!(listed.success, "{listed:?}");
    let refused = plane.kubectl_with(&kubeconfig, &["get", "secrets"], "").await.unwrap();
    assert!(!refused.success && refused.stderr.contains("Forbidden"), "{refused:?}");
    assert!(plane.service_account_kubeconfig("default", "nobody").await.is_err());
}

#[tokio::test]
async fn the_audit_log_says_who_asked_for_what() {
    let plane = ControlPlane::shared().await;
    let alice = plane.client_for("alice", &["web-devs"]).await;
    let maps: Api<ConfigMap> = Api::namespaced(alice, "default");
    assert!(maps.delete("none", &DeleteParams::default()).await.is_err());
    let deletes = || {
        let entries = plane.audit().unwrap().into_iter();
        entries.filter(|entry| entry.user == "alice" && entry.verb == "delete").collect::<Vec<_>>()
    };
    until("the request is in the log", async || deletes().iter().any(|entry| entry.code != 0)).await;
    let entries = deletes();
    assert_eq!(entries.len(), 1, "one entry for all stages: {entries:?}");
    let entry = &entries[0];
    let named = [&entry.group, &entry.resource, &entry.subresource, &entry.namespace, &entry.name];
    assert_eq!(named, ["", "configmaps", "", "default", "none"]);
    assert_eq!(entry.code, 403);
}

#[tokio::test]
async fn any_user_with_300_groups() {
    let plane = ControlPlane::shared().await;
    let groups: Vec<String> = (0..300).map(|number| format!("group-{number}")).collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let request = http::Request::post("/apis/authentication.k8s.io/v1/selfsubjectreviews")
        .body(serde_json::to_vec(&review).unwrap())
        .unwrap();
    let client = plane.client_for("alice", &groups).await;
    let answer: serde_json::Value = client.request(request).await.unwrap();
    let seen = &answer["status"]["userInfo"];
    assert_eq!(seen["username"], "alice");
    assert!(groups.iter().all(|group| seen["groups"].as_array().unwrap().contains(&json!(group))));

    let kubeconfig = plane.kubeconfig_for("alice", &groups).unwrap();
    let whoami = plane.kubectl_with(&kubeconfig, &["auth", "whoami", "-o", "json"], "").await.unwrap();
    assert!(whoami.stdout.contains("group-299"), "{whoami:?}");
}

#[tokio::test]
async fn what_a_namespace_held_goes_with_it() {
    let plane = ControlPlane::shared().await;
    let client = plane.client().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = object(json!({"metadata": {"name": "short-lived"}}));
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    namespaces.delete("short-lived", &DeleteParams::default()).await.unwrap();
    until("the namespace is gone", async || namespaces.get_opt("short-lived").await.unwrap().is_none()).await;
}

#[tokio::test]
async fn what_was_stored_is_there_when_etcd_is_back() {
    let plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(plane.client().await, "default");
    maps.create(&PostParams::default(), &object(json!({"metadata": {"name": "kept"}}))).await.unwrap();
    plane.stop_etcd().await;
    // The client tries on for minutes where it is not stopped.
    let second = object(json!({"metadata": {"name": "second"}}));
    let stored = tokio::time::timeout(Duration::from_secs(2), maps.create(&PostParams::default(), &second)).await;
    assert!(stored.is_err() || stored.unwrap().is_err(), "there is nowhere to store it");
    plane.start_etcd().await.unwrap();
    assert!(maps.get_opt("kept").await.unwrap().is_some());
}

/// The test process is killed in the middle: this test runs itself as the victim.
#[tokio::test]
async fn nothing_survives_a_killed_test_process() {
    if let Some(note) = std::env::var_os(VICTIM) {
        let plane = ControlPlane::shared().await;
        let half = PathBuf::from(&note).with_extension("half");
        std::fs::write(&half, plane.directory().to_str().unwrap()).unwrap();
        std::fs::rename(half, note).unwrap();
        return std::future::pending().await;
    }
    let scratch = tempfile::tempdir().unwrap();
    let note = scratch.path().join("directory");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "control_plane::tests::nothing_survives_a_killed_test_process", "--nocapture"])
        .env(VICTIM, &note)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the victim's control plane runs", async || note.exists()).await;
    let dir = PathBuf::from(std::fs::read_to_string(&note).unwrap());
    assert!(processes_of(&dir) >= 3, "supervisors, servers and sweeper run");
    victim.kill().unwrap();
    victim.wait().unwrap();
    until("the servers ended", async || processes_of(&dir) == 0).await;
    until("their directory is gone", async || !dir.exists()).await;
}

/// Missing programs and no `go` is the first thing a new contributor may meet.
#[test]
fn what_is_given_is_used_and_what_is_not_has_a_place_in_the_cache() {
    let assets = tempfile::tempdir().unwrap();
    for program in binaries::PROGRAMS {
        std::fs::write(assets.path().join(program.name), "").unwrap();
    }
    let target = tempfile::tempdir().unwrap();
    let found = Binaries::get_from(Some(assets.path()), target.path()).unwrap();
    assert_eq!(found.etcd, assets.path().join("etcd"));
    assert_eq!(found.kube_controller_manager, assets.path().join("kube-controller-manager"));
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0, "nothing was built");
}
