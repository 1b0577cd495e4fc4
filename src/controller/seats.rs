//! How many grants are under way under each policy with limits.
//!
//! What is written down counts; so does what was just judged and is about to be. Counting, judging and taking a seat are
//! one step, so that of many grants judged at the same instant no more are allowed than there is room for. One process
//! leads, and what it wrote last counts at once, however late the watch echoes it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Context, grants};
use crate::{
    api::{AccessGrant, AccessPolicySpec, condition, policy::GrantLimits},
    grant::GrantKey,
    policy::{Allowed, Count, Policy, Refusal, RefusalReason, Unfinished},
};

/// How many of those that wait for a seat are told when one is free: more cannot take it, and all are judged again in
/// some minutes.
const TOLD: usize = 16;

/// Seats that were taken and are not written down yet.
#[derive(Debug, Default)]
pub struct Seats(Mutex<HashMap<GrantKey, Seat>>);

#[derive(Clone, Debug)]
struct Seat {
    /// The policies under which it counts.
    policies: Vec<String>,
    requester: String,
    extends: Option<String>,
}

impl Seat {
    fn of(grant: &AccessGrant, policies: Vec<String>) -> Self {
        let extends = grant.spec.extends.as_ref().map(|extended| extended.name.clone());
        Self { policies, requester: grant.spec.requested_by.username.clone(), extends }
    }
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
        let under = std::iter::once(&allowed.policy).chain(&allowed.required_by).map(|policy| policy.name.clone());
        taken.insert(grants::key_of(grant), Seat::of(grant, under.collect()));
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
    let limited = policies.iter().filter(|policy| has_limits(&policy.spec));
    let counted = |policy: &&Policy| (policy.name.clone(), count_under(ctx, grant, &policy.name, taken));
    Unfinished(limited.map(counted).collect())
}

/// Everybody under way under that policy but the grant itself, and but those that another one extends, whoever it is.
fn count_under(ctx: &Context, grant: &AccessGrant, policy: &str, taken: &HashMap<GrantKey, Seat>) -> Count {
    let own = grants::key_of(grant);
    let seats = taken.iter().filter(|(_, seat)| seat.policies.iter().any(|under| under == policy));
    let mut all: HashMap<_, _> = seats.map(|(key, seat)| (key.clone(), seat.clone())).collect();
    let written = ctx.grants.counted_under(policy);
    all.extend(written.iter().map(|other| (grants::key_of(other), Seat::of(other, vec![policy.to_owned()]))));
    all.insert(own.clone(), Seat::of(grant, vec![policy.to_owned()]));
    let extended: HashSet<_> = all
        .iter()
        .filter_map(|(key, seat)| Some(GrantKey { namespace: key.namespace.clone(), name: seat.extends.clone()? }))
        .collect();
    let mut count = Count::default();
    for (key, seat) in all.iter().filter(|(key, _)| **key != own && !extended.contains(key)) {
        count.in_namespace += usize::from(key.namespace == own.namespace);
        count.by_requester += usize::from(seat.requester == grant.spec.requested_by.username);
    }
    count
}

fn has_limits(policy: &AccessPolicySpec) -> bool {
    policy.limits.is_some_and(|limits| limits != GrantLimits::default())
}

/// A seat is free: those that wait for one in the same namespace or by the same requester are judged again, the oldest
/// first, and by name.
pub(super) fn freed(ctx: &Context, by: &AccessGrant) {
    let status = by.status.iter();
    let under: Vec<_> = status.flat_map(|status| status.policy.iter().chain(&status.required_by)).collect();
    // One that is gone may have had limits.
    let limited = |name: &str| ctx.policies.get(name).is_none_or(|policy| has_limits(&policy.spec));
    if !under.is_empty() && !under.iter().any(|policy| limited(&policy.name)) {
        return;
    }
    let all = ctx.grants.all();
    let mut waiting: Vec<_> = all
        .iter()
        .filter(|other| {
            let shares = other.metadata.namespace == by.metadata.namespace
                || other.spec.requested_by.username == by.spec.requested_by.username;
            shares && other.spec.integration_ref == by.spec.integration_ref && is_waiting(other)
        })
        .collect();
    waiting.sort_by_key(|other| (other.metadata.creation_timestamp.as_ref().map(|time| time.0), grants::key_of(other)));
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
