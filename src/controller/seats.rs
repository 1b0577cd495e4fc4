//! How many grants are under way under each policy with limits.
//!
//! What is written down counts; so does what was just judged and is about to be. Counting, judging and taking a seat are
//! one step, so that of many grants judged at the same instant no more are allowed than there is room for. One process
//! leads, and what it wrote last counts at once, however late the watch echoes it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Context, grants};
use crate::{
    api::{AccessGrant, condition, policy::GrantLimits},
    grant::{GrantKey, GrantView},
    policy::{Allowed, Count, Policy, Refusal, RefusalReason, Unfinished},
};

/// How many of those that wait for a seat are told when one is free: more cannot take it, and all are judged again in
/// some minutes.
const TOLD: usize = 16;

/// Seats that were taken and are not written down yet.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<GrantKey, Seat>>);

#[derive(Debug)]
struct Seat {
    policy: String,
    requester: String,
}

impl Seats {
    /// Judges while nobody else does, with the counts as they stand, and takes a seat where the answer is yes.
    ///
    /// # Errors
    /// The judge's own.
    pub fn judged(
        &self,
        ctx: &Context,
        grant: &AccessGrant,
        policies: &[&Policy],
        judge: impl FnOnce(&Unfinished) -> Result<Allowed, Refusal>,
    ) -> Result<Allowed, Refusal> {
        let mut taken = self.taken();
        let allowed = judge(&count(ctx, grant, policies, &taken))?;
        let seat = Seat { policy: allowed.policy.name.clone(), requester: grant.spec.requested_by.username.clone() };
        taken.insert(grants::key_of(grant), seat);
        Ok(allowed)
    }

    /// The counts as they stand.
    pub fn count(&self, ctx: &Context, grant: &AccessGrant, policies: &[&Policy]) -> Unfinished {
        count(ctx, grant, policies, &self.taken())
    }

    /// What became of that grant is written down, or it is gone. Says whether it had taken a seat.
    pub fn release(&self, grant: &GrantKey) -> bool {
        self.taken().remove(grant).is_some()
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<GrantKey, Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(ctx: &Context, grant: &AccessGrant, policies: &[&Policy], taken: &HashMap<GrantKey, Seat>) -> Unfinished {
    let view = GrantView::from(grant);
    let besides = |key: &GrantKey| {
        let extended = key.namespace == view.key.namespace && view.extends.as_ref() == Some(&key.name);
        *key != view.key && !extended
    };
    let limited = policies.iter().filter(|policy| policy.spec.limits.is_some_and(|l| l != GrantLimits::default()));
    let mut unfinished = Unfinished::default();
    for policy in limited {
        let written = ctx.grants.counted_under(&policy.name);
        let written = written.iter().map(|other| (grants::key_of(other), other.spec.requested_by.username.clone()));
        let seats = taken.iter().filter(|(_, seat)| seat.policy == policy.name);
        let mut all: HashMap<_, _> = seats.map(|(key, seat)| (key.clone(), seat.requester.clone())).collect();
        all.extend(written);
        let mut count = Count::default();
        for (key, requester) in all.iter().filter(|(key, _)| besides(key)) {
            count.in_namespace += usize::from(key.namespace == view.key.namespace);
            count.by_requester += usize::from(*requester == grant.spec.requested_by.username);
        }
        unfinished.0.insert(policy.name.clone(), count);
    }
    unfinished
}

/// A seat is free: those that wait for one in the same namespace or by the same requester are judged again, the oldest
/// first.
pub(super) fn freed(ctx: &Context, by: &AccessGrant) {
    let all = ctx.grants.all();
    let mut waiting: Vec<_> = all
        .iter()
        .filter(|other| {
            let shares = other.metadata.namespace == by.metadata.namespace
                || other.spec.requested_by.username == by.spec.requested_by.username;
            shares && other.spec.integration_ref == by.spec.integration_ref && is_waiting(other)
        })
        .collect();
    waiting.sort_by_key(|other| other.metadata.creation_timestamp.as_ref().map(|time| time.0));
    for other in waiting.into_iter().take(TOLD) {
        ctx.queue.push(grants::key_of(other));
    }
}

/// Whether a grant waits for a seat.
fn is_waiting(grant: &AccessGrant) -> bool {
    let Some(status) = &grant.status else { return false };
    let reason = condition::find(&status.conditions, "Ready").map(|ready| ready.reason.as_str());
    status.bindings.is_empty() && reason == Some(RefusalReason::LimitReached.as_str())
}
