//! The process itself: how it ends, what it tells, and what it keeps to itself.

use std::collections::BTreeMap;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use rancher_access_operator::api::status::Phase;

use crate::{
    failover::get,
    kinds::on_cluster,
    run, until,
    world::{OWN, World},
};

#[test]
fn it_ends_in_order_answers_its_probes_and_keeps_the_key_to_itself() {
    run(async {
        let world = World::start().await;
        world.place("web").await;
        let operator = world.operator("only", &["--log-level", "trace"]);
        world.ready().await;
        world.person("alice");
        let grant = world.ask("alice", "web", "short", on_cluster("2s")).await;
        grant.until(Phase::Expired, 20).await;
        until("it is ready", 10, async || get(&operator.url, "/readyz").await).await;
        until("it lives", 1, async || get(&operator.url, "/livez").await).await;
        let metrics = get(&operator.url, "/metrics").await.expect("metrics");
        well_formed(&metrics);
        println!("FIGURE resident after one life: {} KiB", operator.resident());

        silent(&world, &[&metrics, &operator.log()]).await;
        let log = operator.log();
        assert!(log.lines().count() > 20, "the log is there to be looked at");
        let ended = operator.terminate().await;
        assert_eq!(ended.code(), Some(0), "{log}");
        let leases: Api<Lease> = Api::namespaced(world.admin.clone(), OWN);
        let lease = leases.get("rancher-access-operator-default").await.unwrap();
        let holder = lease.spec.unwrap().holder_identity.unwrap_or_default();
        assert_eq!(holder, "", "the lease is given back");
    });
}

/// Every family that alerts and pages are made of, and every line as OpenMetrics has it.
fn well_formed(metrics: &str) {
    let mut families = BTreeMap::new();
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for line in metrics.lines() {
        if let Some(words) = line.strip_prefix("# TYPE ") {
            let (name, kind) = words.split_once(' ').unwrap();
            assert!(families.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} is there twice");
        } else if !line.starts_with("# ") {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let name = series.split('{').next().unwrap();
            assert!(families.keys().any(|family| name.starts_with(family.as_str())), "{line}");
            assert_eq!(series.contains('{'), series.ends_with('}'), "{line}");
        }
    }
    for (family, kind) in [
        ("grants", "gauge"),
        ("revocation_lag_seconds", "histogram"),
        ("revocations_overdue", "gauge"),
        ("oldest_overdue_revocation_age_seconds", "gauge"),
        ("rancher_calls", "counter"),
        ("rancher_call_duration_seconds", "histogram"),
        ("reconcile_duration_seconds", "histogram"),
        ("integration_up", "gauge"),
        ("leader", "gauge"),
        ("build", "info"),
    ] {
        let found = families.get(&format!("rancher_access_{family}"));
        assert_eq!(found.map(String::as_str), Some(kind), "{family} of {families:#?}");
    }
    assert!(families.keys().any(|family| family.contains("key_expiry")), "{families:#?}");
    assert!(metrics.contains("rancher_access_revocation_lag_seconds_count 1\n"), "{metrics}");
}

/// The key's secret part is nowhere but in its Secret.
async fn silent(world: &World, told: &[&str]) {
    let (_, secret) = world.token.split_once(':').expect("a name and a secret");
    let mut all: Vec<_> = told.iter().map(|text| (*text).to_owned()).collect();
    for kind in ["events.events.k8s.io", "agrant", "rint", "apol", "configmap", "lease"] {
        let args = ["get", kind, "-A", "-o", "yaml", "--show-managed-fields"];
        all.push(world.plane.kubectl(&args).await.unwrap().expect_success());
    }
    for text in &all {
        assert!(text.len() > 100);
        for line in text.lines() {
            assert!(!line.contains(secret), "the key is in: {}", line.replace(secret, "…"));
        }
    }
}
