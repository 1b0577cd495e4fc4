//! The Lease, as somebody else's process may have written it. Input: the Lease.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use rancher_access_operator::runtime::{Clock, Leader, LeaseConfig, Standing};
use tokio_util::sync::CancellationToken;

use super::server;

/// How long it is looked on.
const LOOK: Duration = Duration::from_secs(60);

pub fn check(input: &[u8]) {
    let stands = Arc::new(Mutex::new(input.to_vec()));
    let client = server::api_server(move |request| {
        let mut stands = stands.lock().unwrap();
        if *request.method() != http::Method::GET {
            *stands = request.into_body();
        }
        (200, stands.clone())
    });
    let read = serde_json::from_slice::<Lease>(input).ok();
    let spec = read.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let held = spec.holder_identity.is_some_and(|holder| !holder.is_empty() && holder != "me");
    let theirs = Duration::from_secs(spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0));
    let config = LeaseConfig::new("rancher-access-system", "lease", "me");
    let wait = config.duration.max(theirs);
    server::run(async {
        let clock = Clock::new(|| Timestamp::UNIX_EPOCH);
        let (leader, handle) = Leader::new(client, config, clock).unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(leader.run(stop.clone()));
        let early = wait.min(LOOK).saturating_sub(Duration::from_secs(1));
        tokio::time::sleep(early).await;
        if held || read.is_none() {
            assert_ne!(handle.standing(), Standing::Leading, "taken from its holder before {wait:?} have passed");
        }
        tokio::time::sleep(LOOK - early).await;
        stop.cancel();
        // An error is an answer; a panic is not.
        drop(running.await.expect("the election does not panic"));
    });
}
