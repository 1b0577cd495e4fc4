//! `config/samples/secrets`: each against the CRD that its project publishes, on a real API server.
//!
//! The CRDs come out of the projects' Go modules, whose versions and hashes `stores/` pins.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tokio::time::Instant;

use crate::server::plane;

/// Each sample with its project's module, the CRD in it, and the resource that this serves.
const SAMPLES: [(&str, &str, &str, &str); 5] = [
    (
        "external-secrets",
        "github.com/external-secrets/external-secrets",
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
        "externalsecrets.external-secrets.io",
    ),
    (
        "sealed-secrets",
        "github.com/bitnami-labs/sealed-secrets",
        "helm/sealed-secrets/crds/bitnami.com_sealedsecrets.yaml",
        "sealedsecrets.bitnami.com",
    ),
    (
        "secrets-store-csi",
        "sigs.k8s.io/secrets-store-csi-driver",
        "config/crd/bases/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",
        "secretproviderclasses.secrets-store.csi.x-k8s.io",
    ),
    (
        "sops",
        "github.com/fluxcd/kustomize-controller",
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
        "kustomizations.kustomize.toolkit.fluxcd.io",
    ),
    (
        "vault-secrets-operator",
        "github.com/hashicorp/vault-secrets-operator",
        "config/crd/bases/secrets.hashicorp.com_vaultstaticsecrets.yaml",
        "vaultstaticsecrets.secrets.hashicorp.com",
    ),
];

fn root(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Where the module lies, downloaded if it was not.
fn module(path: &str) -> String {
    let output = Command::new("go")
        .args(["mod", "download", "-json", path])
        .current_dir(root("tests/crds/stores"))
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly")
        .stdin(Stdio::null())
        .output()
        .expect("go can be started");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    told["Dir"].as_str().unwrap_or_else(|| panic!("{path} cannot be downloaded: {told} {errors}")).to_owned()
}

#[tokio::test]
async fn every_secret_store_takes_its_sample() {
    let plane = plane().await;
    let run = async |args: &[&str]| plane.kubectl(args).await.unwrap();
    for namespace in ["rancher-access-system", "flux-system"] {
        // Another test may have made it.
        run(&["create", "namespace", namespace]).await;
    }
    for (name, path, crd, resource) in SAMPLES {
        let crd = format!("{}/{crd}", module(path));
        // Server-side: the largest of them does not fit into kubectl's annotation.
        run(&["apply", "--server-side", "-f", &crd]).await.expect_success();
        let begun = Instant::now();
        while !run(&["get", resource, "-A"]).await.success {
            assert!(begun.elapsed() < Duration::from_secs(30), "{resource} is not served within 30 s");
        }
        let sample = root(&format!("config/samples/secrets/{name}.yaml"));
        run(&["create", "--dry-run=server", "--validate=strict", "-f", &sample]).await.expect_success();
        // It would be refused, were there anything wrong with it.
        let text = fs::read_to_string(&sample).expect("the sample").replace("\nspec:\n", "\nspec:\n  nonsense: true\n");
        let wrong = std::env::temp_dir().join(format!("{name}-{}.yaml", std::process::id()));
        fs::write(&wrong, text).expect("a file");
        let refused = run(&["create", "--dry-run=server", "--validate=strict", "-f", &wrong.to_string_lossy()]).await;
        fs::remove_file(&wrong).expect("removed");
        assert!(!refused.success && refused.stderr.contains("nonsense"), "{name}: {}", refused.stderr);
    }
}

#[test]
fn every_sample_is_tested() {
    let files = fs::read_dir(root("config/samples/secrets")).expect("the samples");
    let names = files.map(|file| file.expect("a file").file_name().to_string_lossy().into_owned());
    let samples: BTreeSet<_> = names.filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned)).collect();
    assert_eq!(samples, SAMPLES.map(|(name, ..)| name.to_owned()).into());
    let index = fs::read_to_string(root("config/samples/secrets/README.md")).expect("the index");
    for name in samples {
        assert!(index.contains(&format!("[{name}.yaml]({name}.yaml)")), "{name} is not in the README");
    }
}
