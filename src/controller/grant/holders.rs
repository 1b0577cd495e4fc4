//! Who else calls for the same binding. Asked under that binding's lock.

use futures::future::join_all;
use jiff::Timestamp;
use kube::Api;
use tracing::debug;

use crate::{
    api::{AccessGrant, status::BindingState},
    controller::{Context, find, grants},
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

/// Whether a co-holder's end has come since the binding was seen, so that a delete of ours may have taken it from under
/// this grant. One who handed it over, or never had it, took nothing: then somebody else removed it.
pub(super) fn taken_by_co_holder(ctx: &Context, grant: &GrantView, binding: &str, since: Timestamp) -> bool {
    let now = ctx.now();
    let took = |other: &GrantView| {
        let ended =
            other.ended(now).map(|(_, end)| other.status.revoked_time.as_ref().map_or(end, |gone| gone.0.max(end)));
        let kept = |state| matches!(state, BindingState::HandedOver | BindingState::AlreadyHeld);
        let left_it = other.status.bindings.iter().any(|b| b.name == binding && kept(b.state));
        other.key != grant.key && !left_it && ended.is_some_and(|end| end >= since)
    };
    ctx.grants.naming(binding).iter().any(|other| took(&GrantView::from(other.as_ref())))
}

/// The grant as the API server has it: `Some(None)` where there is none, `None` where it gave no answer.
async fn live(ctx: &Context, key: &GrantKey) -> Option<Option<AccessGrant>> {
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
