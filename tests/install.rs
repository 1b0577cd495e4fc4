//! `config/` on a real API server: it applies as the documentation says, twice without a change, and what it makes runs.

use std::time::Duration;

use serde_json::Value;
use testkit::control_plane::{ControlPlane, Options};
use tokio::time::Instant;

fn rooted(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// `kubectl <args>` that must succeed and warn of nothing; what it printed.
async fn kubectl(plane: &ControlPlane, args: &[&str]) -> String {
    let output = plane.kubectl(args).await.unwrap();
    assert!(!output.stderr.contains("Warning"), "{args:?}: {}", output.stderr);
    output.expect_success()
}

async fn apply(plane: &ControlPlane, path: &str) -> String {
    kubectl(plane, &["apply", "-k", &rooted(path)]).await
}

async fn until<T>(what: &str, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn crds_established(plane: &ControlPlane) {
    kubectl(plane, &["wait", "--for=condition=Established", "crd", "--all"]).await;
}

#[tokio::test]
async fn it_applies_runs_restricted_and_goes_without_the_crds() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    apply(&plane, "config/crd").await;
    crds_established(&plane).await;
    apply(&plane, "config/default").await;

    applied_again_changes_nothing(&plane).await;
    the_replicas_pass_the_restricted_level(&plane).await;
    the_samples_apply(&plane).await;

    kubectl(&plane, &["delete", "--wait=false", "-k", &rooted("config/default")]).await;
    let left = kubectl(&plane, &["get", "crd", "-o", "name"]).await;
    assert_eq!(left.lines().count(), 5, "grants outlive the operator's removal: {left}");
    assert!(kubectl(&plane, &["get", "agrant", "-A", "-o", "name"]).await.contains("accessgrant"));
}

/// Nothing that the API server fills in or rewrites: GitOps tools would see it as drift.
async fn applied_again_changes_nothing(plane: &ControlPlane) {
    for path in ["config/crd", "config/default"] {
        for args in [&["apply", "-k"][..], &["apply", "--dry-run=server", "-k"], &["diff", "-k"]] {
            let path = rooted(path);
            let args: Vec<&str> = args.iter().copied().chain([path.as_str()]).collect();
            let said = kubectl(plane, &args).await;
            assert!(said.lines().all(|line| line.contains(" unchanged")), "{args:?}: {said}");
        }
    }
}

/// The controller manager makes the pods of the Deployment: in a namespace that enforces `restricted`, they exist only
/// if they pass.
async fn the_replicas_pass_the_restricted_level(plane: &ControlPlane) {
    let system = ["-n", "rancher-access-system"];
    let pods = ["get", "pods", "-o", "json", system[0], system[1]];
    let pods = until("two pods exist", async || {
        let pods: Value = serde_json::from_str(&kubectl(plane, &pods).await).unwrap();
        (pods["items"].as_array().unwrap().len() == 2).then_some(pods)
    })
    .await;
    let pod = &pods["items"][0]["spec"];
    assert_eq!(pod["serviceAccountName"], "rancher-access-operator");
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);

    let loose = ["run", "loose", "--image=loose", "--dry-run=server", system[0], system[1]];
    let refused = plane.kubectl(&loose).await.unwrap();
    assert!(refused.stderr.contains("violates PodSecurity \"restricted"), "the level is enforced: {refused:?}");
}

async fn the_samples_apply(plane: &ControlPlane) {
    // Policies come into force a moment after they are written: then the requester is filled in.
    until("the samples apply", async || {
        let output = plane.kubectl(&["apply", "-k", &rooted("config/samples")]).await.unwrap();
        output.success.then_some(())
    })
    .await;
    let again = apply(plane, "config/samples").await;
    // `stringData` is for people to write: the API server never gives it back, so kubectl calls it a change each time.
    let steady = |line: &str| line.contains(" unchanged") || line == "secret/rancher-prod configured";
    assert!(again.lines().all(steady), "{again}");
    let person = rooted("config/samples/accessgrant.yaml");
    for _ in 0..2 {
        kubectl(plane, &["create", "-f", &person]).await;
    }
    for other in ["namespace", "global", "local-user"] {
        kubectl(plane, &["create", "-f", &rooted(&format!("config/samples/accessgrant-{other}.yaml"))]).await;
    }
    let grants = kubectl(plane, &["get", "rancheraccess", "-A", "-o", "name"]).await;
    assert_eq!(grants.matches("accessgrant.rancheraccess.io/web-").count(), 2, "each is a new request: {grants}");
}

/// The component for an operator without a key gives exactly one thing more: cluster-admin. Its sample is taken.
#[tokio::test]
async fn without_a_key_it_is_cluster_admin_and_says_so() {
    let plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    apply(&plane, "config/crd").await;
    crds_established(&plane).await;
    let applied = apply(&plane, "config/default-keyless").await;
    assert!(
        applied.contains("clusterrolebinding.rbac.authorization.k8s.io/rancher-access-operator-keyless"),
        "{applied}"
    );
    let account = "--as=system:serviceaccount:rancher-access-system:rancher-access-operator";
    until("it may do anything", async || {
        let asked = plane.kubectl(&["auth", "can-i", "*", "*", "--all-namespaces", account]).await.unwrap();
        (asked.stdout.trim() == "yes").then_some(())
    })
    .await;
    kubectl(&plane, &["apply", "-f", &rooted("config/samples/keyless")]).await;
    let host = kubectl(&plane, &["get", "rint", "here", "-o", "jsonpath={.spec.host}"]).await;
    assert_eq!(host, "");
}

/// Where no requester is filled in, the two ways to install still agree, and a request must name its requester.
#[tokio::test]
async fn before_1_36_it_applies_without_what_fills_in() {
    let plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    // As `kubectl apply -f` of the directory, too: its list of files is passed over.
    kubectl(&plane, &["apply", "-f", &rooted("crds")]).await;
    crds_established(&plane).await;
    let applied = apply(&plane, "config/before-1.36").await;
    assert!(!applied.contains("mutating"), "{applied}");
    let person = rooted("config/samples/accessgrant.yaml");
    kubectl(&plane, &["create", "namespace", "team-web"]).await;
    let refused = plane.kubectl(&["create", "-f", &person]).await.unwrap();
    assert!(refused.stderr.contains("requestedBy"), "{refused:?}");
}

/// The operator's own account can do what the manifests say and no more: no Secret but in its namespace.
#[tokio::test]
async fn the_operator_reads_secrets_in_its_own_namespace_only() {
    let plane = ControlPlane::start(Options { controller_manager: false, ..Options::default() }).await.unwrap();
    apply(&plane, "config/crd").await;
    crds_established(&plane).await;
    apply(&plane, "config/before-1.36").await;
    let may = async |verb: &str, what: &str, namespace: &str| {
        let account = "--as=system:serviceaccount:rancher-access-system:rancher-access-operator";
        let asked = plane.kubectl(&["auth", "can-i", verb, what, "-n", namespace, account]).await.unwrap();
        asked.stdout.trim() == "yes"
    };
    until("RBAC is in force", async || may("get", "secrets", "rancher-access-system").await.then_some(())).await;
    for (verb, what, namespace, expected) in [
        ("get", "configmaps", "rancher-access-system", true),
        // What it made for local users goes again.
        ("delete", "secrets", "rancher-access-system", true),
        ("delete", "secrets", "default", false),
        ("create", "rolebindings", "rancher-access-system", true),
        ("create", "rolebindings", "default", false),
        ("escalate", "roles", "rancher-access-system", false),
        ("bind", "roles", "rancher-access-system", false),
        ("get", "secrets", "default", false),
        ("list", "configmaps", "kube-system", false),
        ("update", "leases", "rancher-access-system", true),
        ("update", "leases", "default", false),
        ("patch", "accessgrants/status", "default", true),
        ("create", "accessgrants", "rancher-access-system", true),
        ("create", "accessgrants", "default", false),
        ("delete", "accessgrants", "default", false),
        ("create", "rancherresources", "", true),
        ("delete", "rancherresources", "", true),
        ("create", "events.events.k8s.io", "default", true),
        ("impersonate", "users", "default", false),
        ("create", "clusterrolebindings", "default", false),
        ("update", "validatingadmissionpolicies", "default", false),
    ] {
        assert_eq!(may(verb, what, namespace).await, expected, "{verb} {what} in {namespace}");
    }
}
