//! Who else calls for the same binding. Asked under that binding's lock.

use futures::future::join_all;
use jiff::Timestamp;
use kube::Api;
use tracing::debug;

use crate::{
    api::{
        AccessGrant,
        status::{BindingRecord, BindingState},
    },
    controller::{Context, find, grants, memory::LANDS_WITHIN},
    grant::{GrantKey, GrantView, binding::Holders},
};

/// Whether a grant other than `grant` calls for that binding beyond now. Live reads where the API server answers, what
/// is known where it does not, and always what was decided under this lock before.
pub(super) async fn ask(ctx: &Context, grant: &GrantView, binding: &str) -> Holders {
    let now = ctx.now();
    let named = ctx.grants.naming(binding);
    let decided = ctx.memory.holders(binding);
    // Who has settled stays settled: he need not be asked.
    let open = named.iter().filter(|other| GrantView::from(other.as_ref()).is_concerned_with(binding));
    let mut others: Vec<GrantKey> = open.map(|other| grants::key_of(other)).chain(decided.keys().cloned()).collect();
    others.sort();
    others.dedup();
    others.retain(|key| *key != grant.key && !ctx.memory.has_released(binding, key));
    let asked = others.iter().map(|key| async {
        match live(ctx, key).await {
            // Who took it under this lock holds it though it may not be written yet.
            Some(found) => found.is_some_and(|other| {
                let view = GrantView::from(&other);
                let took = decided.get(key).is_some_and(|until| *until > now) && view.ended(now).is_none();
                took || view.holds(binding, now)
            }),
            None => {
                let known = ctx.grants.get(key).is_some_and(|other| holds(&other, binding, now));
                known || decided.get(key).is_some_and(|until| *until > now)
            }
        }
    });
    if join_all(asked).await.into_iter().any(|holds| holds) { Holders::Another } else { Holders::Nobody }
}

/// Whether a delete of ours may have taken the binding from under this grant since it was seen: that of a co-holder whose end
/// has come. Otherwise somebody else removed it. Who handed it over may have sent one before that got no answer and lands late.
pub(super) fn taken_by_co_holder(ctx: &Context, grant: &GrantView, binding: &str, since: Timestamp) -> bool {
    if ctx.memory.has_unanswered_delete(binding) {
        return true;
    }
    let now = ctx.now();
    // What the process that led before sent, this one cannot know.
    let led_lately = ctx.leader.since().is_none_or(|since| since.elapsed() < LANDS_WITHIN);
    let took = |other: &GrantView, record: &BindingRecord| {
        let Some((_, end)) = other.ended(now) else { return false };
        let took_since = other.status.revoked_time.as_ref().map_or(end, |gone| gone.0.max(end)) >= since;
        match record.state {
            BindingState::AlreadyHeld | BindingState::Abandoned => false,
            BindingState::HandedOver => led_lately && now.duration_since(record.since.0).unsigned_abs() < LANDS_WITHIN,
            BindingState::Removed => took_since,
            BindingState::Intended | BindingState::Present | BindingState::Yielding => took_since || led_lately,
        }
    };
    ctx.grants.naming(binding).iter().map(|other| GrantView::from(other.as_ref())).any(|other| {
        other.key != grant.key
            && other.status.bindings.iter().any(|record| record.name == binding && took(&other, record))
    })
}

/// The grant as the API server has it: `Some(None)` where there is none, `None` where it gave no answer.
pub(super) async fn live(ctx: &Context, key: &GrantKey) -> Option<Option<AccessGrant>> {
    let api: Api<AccessGrant> = Api::namespaced(ctx.client.clone(), &key.namespace);
    match find(&api, &key.name).await {
        Ok(found) => {
            if let Some(grant) = &found {
                ctx.grants.observe(grant.clone());
            }
            Some(found)
        }
        Err(error) => {
            debug!(grant = %key, %error, "Cannot read a co-holder; what is known of it counts");
            None
        }
    }
}

/// By the binding's name alone: it is unique to one Rancher, whichever integration leads there.
fn holds(other: &AccessGrant, binding: &str, now: Timestamp) -> bool {
    GrantView::from(other).holds(binding, now)
}
