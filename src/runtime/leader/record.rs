//! The Lease as a record: what to write, and how long it has stood unchanged. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use tokio::time::Instant;

use super::LeaseConfig;

/// The holder a Lease names. A released Lease names none.
pub(super) fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()).filter(|holder| !holder.is_empty())
}

/// One tenure of one holder, as the record tells it: the Lease's UID and its count of transitions.
pub(super) fn term(lease: &Lease) -> (Option<String>, i32) {
    (lease.metadata.uid.clone(), transitions(lease))
}

fn transitions(lease: &Lease) -> i32 {
    lease.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0)
}

/// The first record of a Lease that did not exist.
pub(super) fn first(config: &LeaseConfig, now: Timestamp) -> Lease {
    Lease {
        metadata: ObjectMeta {
            namespace: Some(config.namespace.clone()),
            name: Some(config.name.clone()),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(config.identity.clone()),
            lease_duration_seconds: Some(whole_seconds(config.duration)),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }),
    }
}

/// `lease`, taken over from its last holder.
pub(super) fn taken(mut lease: Lease, config: &LeaseConfig, now: Timestamp) -> Lease {
    let transitions = transitions(&lease).saturating_add(1);
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.holder_identity = Some(config.identity.clone());
    spec.acquire_time = Some(MicroTime(now));
    spec.lease_transitions = Some(transitions);
    renewed(lease, config, now)
}

/// `lease`, renewed by its holder.
pub(super) fn renewed(mut lease: Lease, config: &LeaseConfig, now: Timestamp) -> Lease {
    let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
    spec.lease_duration_seconds = Some(whole_seconds(config.duration));
    // A replace that changes nothing leaves the resourceVersion as it was, and others would take the record for
    // abandoned: with a clock that stands still or goes back, the record must change all the same.
    let after_last = spec.renew_time.as_ref().and_then(|last| last.0.checked_add(SignedDuration::from_micros(1)).ok());
    spec.renew_time = Some(MicroTime(after_last.map_or(now, |last| last.max(now))));
    lease
}

/// `lease`, given back: no holder, so that the next one need not wait.
pub(super) fn released(mut lease: Lease, now: Timestamp) -> Lease {
    if let Some(spec) = lease.spec.as_mut() {
        spec.holder_identity = None;
        spec.renew_time = Some(MicroTime(now));
    }
    lease
}

/// The API server validates whole seconds, at least one; rounded up, so that nobody waits too short a time.
fn whole_seconds(duration: Duration) -> i32 {
    let up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(up.max(1)).unwrap_or(i32::MAX)
}

/// How long this process has watched one unchanged record.
#[derive(Debug, Default)]
pub(super) struct Watched {
    seen: Option<Sighting>,
}

#[derive(Debug)]
struct Sighting {
    /// UID and resourceVersion; `None` when the Lease is missing though it had been there.
    version: Option<(Option<String>, Option<String>)>,
    since: Instant,
}

impl Watched {
    /// Notes what was read at `now`; answers when the record may be taken over if it stays as it is.
    ///
    /// The holder's own `leaseDurationSeconds` counts where it is longer than ours: it may run with other settings.
    pub(super) fn expires(&mut self, lease: Option<&Lease>, ours: Duration, now: Instant) -> Instant {
        let version = lease.map(|lease| (lease.metadata.uid.clone(), lease.metadata.resource_version.clone()));
        let theirs = lease
            .and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(Duration::ZERO, Duration::from_secs);
        let since = match &self.seen {
            Some(seen) if seen.version == version => seen.since,
            _ => now,
        };
        self.seen = Some(Sighting { version, since });
        since + ours.max(theirs)
    }

    /// Whether this process ever saw the Lease.
    pub(super) fn any(&self) -> bool {
        self.seen.is_some()
    }
}
