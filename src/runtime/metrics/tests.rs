use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

fn metrics_at(second: i64) -> (Metrics, Arc<AtomicI64>) {
    let now = Arc::new(AtomicI64::new(second));
    let told = Arc::clone(&now);
    let clock = Clock::new(move || Timestamp::from_second(told.load(Ordering::SeqCst)).unwrap());
    (Metrics::new(clock), now)
}

fn has(metrics: &Metrics, line: &str) {
    let text = metrics.encode().unwrap();
    assert!(text.lines().any(|l| l == line), "no line {line:?} in\n{text}");
}

#[test]
fn names_units_and_suffixes_follow_the_conventions() {
    let (metrics, _) = metrics_at(1_000);
    metrics.grants("Granted", 3);
    metrics.revoked(Duration::from_millis(700));
    metrics.observe_call("prod", "create_crtb", "ok", Duration::from_millis(30));
    metrics.observe_reconcile("grant", Some("RancherUnreachable"), Duration::from_secs(1));
    metrics.reconcile_panicked("grant");
    metrics.undecodable("AccessGrant");
    metrics.leading(true);
    metrics.residual_access("prod", 1);
    metrics.discovered("prod", "Project", 7);
    metrics.discovered("prod", "Cluster", 7);
    metrics.forget_discovered("prod", ["Cluster"]);
    metrics.event_lost(EventLoss::QueueFull);
    for line in [
        r#"rancher_access_grants{phase="Granted"} 3"#,
        r#"rancher_access_revocation_lag_seconds_bucket{le="0.5"} 0"#,
        r#"rancher_access_revocation_lag_seconds_bucket{le="1.0"} 1"#,
        r#"rancher_access_revocation_lag_seconds_bucket{le="3600.0"} 1"#,
        r#"rancher_access_rancher_calls_total{integration="prod",operation="create_crtb",outcome="ok"} 1"#,
        r#"rancher_access_rancher_call_duration_seconds_count{integration="prod",operation="create_crtb"} 1"#,
        r#"rancher_access_reconcile_errors_total{controller="grant",reason="RancherUnreachable"} 1"#,
        r#"rancher_access_reconcile_panics_total{controller="grant"} 1"#,
        r#"rancher_access_undecodable_objects_total{kind="AccessGrant"} 1"#,
        r#"rancher_access_events_lost_total{reason="queue_full"} 1"#,
        r#"rancher_access_residual_access{integration="prod"} 1"#,
        r#"rancher_access_discovered_resources{integration="prod",kind="Project"} 7"#,
        "rancher_access_leader 1",
        "# EOF",
    ] {
        has(&metrics, line);
    }
    assert!(!metrics.encode().unwrap().contains(r#"kind="Cluster""#));
    has(&metrics, &format!(r#"rancher_access_build_info{{version="{}"}} 1"#, env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_oldest_overdue_end_grows_older_by_itself() {
    let (metrics, now) = metrics_at(1_000);
    metrics.overdue(2, Some(Timestamp::from_second(990).unwrap()));
    has(&metrics, "rancher_access_revocations_overdue 2");
    has(&metrics, "rancher_access_oldest_overdue_revocation_age_seconds 10.0");
    now.store(1_060, Ordering::SeqCst);
    has(&metrics, "rancher_access_oldest_overdue_revocation_age_seconds 70.0");
    now.store(900, Ordering::SeqCst);
    has(&metrics, "rancher_access_oldest_overdue_revocation_age_seconds 0.0");
    metrics.overdue(0, None);
    has(&metrics, "rancher_access_revocations_overdue 0");
}

#[test]
fn a_forgotten_integration_leaves_no_gauge() {
    let (metrics, _) = metrics_at(0);
    metrics.integration_up("prod", false);
    metrics.leftover_tokens("prod", 3);
    has(&metrics, r#"rancher_access_leftover_tokens{integration="prod"} 3"#);
    metrics.integration_up("test", true);
    metrics.key_expiry("prod", Some(Timestamp::from_second(77).unwrap()));
    has(&metrics, r#"rancher_access_key_expiry_timestamp_seconds{integration="prod"} 77"#);
    metrics.forget_integration("prod");
    let text = metrics.encode().unwrap();
    assert!(!text.contains(r#""prod""#), "{text}");
    has(&metrics, r#"rancher_access_integration_up{integration="test"} 1"#);
}
