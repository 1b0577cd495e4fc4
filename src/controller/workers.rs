//! Works on grants as the queue says, each within a place of its integration's pool.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::SignedDuration;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::{
    Context,
    grant::{GrantError, reconcile, revoked},
    pools::Work,
    queue::{Ready, Ticket},
};
use crate::{
    api::AccessGrant,
    grant::{GrantKey, GrantView, Lane, Wake},
    runtime::{Backoff, Place},
};

/// The longest that one pass over one grant may take. Every call within has its own deadline of 10 s; this only ends
/// what should never happen.
const PASS: Duration = Duration::from_secs(120);

/// How often it is looked whether a grant's end has come while it waits, or is being given.
const LOOK: Duration = Duration::from_millis(200);

/// The same, for what is to be taken away.
const SELDOM: Duration = Duration::from_secs(2);

/// How long after a pass that failed the next one follows, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(15));

/// Works until `shutdown`; then what is under way is finished.
pub async fn run(
    ctx: Arc<Context>,
    mut ready: Ready,
    shutdown: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(_) = running.join_next(), if !running.is_empty() => {}
            ticket = ready.next() => match ticket {
                Some(ticket) => {
                    running.spawn(one(ctx.clone(), ticket, shutdown.clone()));
                }
                None => break,
            },
        }
    }
    while running.join_next().await.is_some() {}
    Ok(())
}

async fn one(ctx: Arc<Context>, ticket: Ticket, shutdown: CancellationToken) {
    let key = ticket.key().clone();
    turn(&ctx, &key, &ticket, &shutdown).await;
    if ctx.grants.get(&key).is_none() {
        // It went while it was judged: no later pass gives its seat back.
        ctx.seats.release(&key);
    }
}

/// One turn of a grant: a place, a pass, and when the next follows.
async fn turn(ctx: &Context, key: &GrantKey, ticket: &Ticket, shutdown: &CancellationToken) {
    if ctx.grants.get(key).is_none() {
        // Somebody may have decided about what is not there: he is told so.
        let _place = ctx.decisions.place().await;
        let _ = reconcile(ctx, key, Work::Grant).await;
        return;
    }
    let Some((_place, work)) = place(ctx, ticket, shutdown).await else { return };
    ticket.begin();
    let began = Instant::now();
    let failed = match pass(ctx, ticket, work).await {
        Pass::Done(Ok(wake)) => {
            ctx.memory.succeeded(key);
            plan(ctx, key, wake);
            None
        }
        Pass::Done(Err(error)) => {
            if error.is_conflict() {
                debug!(grant = %key, %error, "The grant changed under this pass; it is looked at anew");
            } else {
                warn!(grant = %key, %error, "A pass over this grant failed; it is repeated");
            }
            Some(error.reason())
        }
        Pass::Overtaken => {
            // Its end came while it was being given: what was under way is looked at anew, from the other pool.
            look_anew(ctx, key);
            ctx.queue.push(key.clone());
            None
        }
        Pass::TooLong => {
            error!(grant = %key, seconds = PASS.as_secs(), "A pass over this grant took too long; it is repeated");
            Some("Timeout")
        }
        Pass::Panicked => {
            // The panic itself was logged by the hook, with its place. It costs this grant a retry, nothing else.
            ctx.metrics.reconcile_panicked("grant");
            error!(grant = %key, "A pass over this grant panicked; it is repeated");
            Some("Panic")
        }
    };
    ctx.metrics.observe_reconcile("grant", failed, began.elapsed());
    if failed.is_some() {
        look_anew(ctx, key);
        let attempt = ctx.memory.failed(key);
        let wait = Backoff::new(RETRY.0, RETRY.1, 0).delay(attempt.saturating_sub(1));
        let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(1));
        plan(ctx, key, Wake::after(ctx.now(), wait));
    }
}

/// How a pass ended.
enum Pass {
    Done(Result<Wake, GrantError>),
    /// The grant belongs to another lane by now.
    Overtaken,
    TooLong,
    Panicked,
}

async fn pass(ctx: &Context, ticket: &Ticket, work: Work) -> Pass {
    let pass = AssertUnwindSafe(timeout(PASS, reconcile(ctx, ticket.key(), work))).catch_unwind();
    tokio::select! {
        biased;
        ended = pass => match ended {
            Ok(Ok(result)) => Pass::Done(result),
            Ok(Err(_)) => Pass::TooLong,
            Err(_) => Pass::Panicked,
        },
        // What takes away is never interrupted; what gives must not keep an end waiting.
        () = changed(ctx, ticket.key(), Lane::Grant, Work::Grant), if work == Work::Grant => Pass::Overtaken,
    }
}

/// What a pass saw and could not write down is forgotten with it: it is seen again.
fn look_anew(ctx: &Context, key: &GrantKey) {
    let Some(grant) = ctx.grants.get(key) else { return };
    for binding in grant.status.iter().flat_map(|s| &s.bindings).filter(|b| !b.is_settled()) {
        ctx.memory.suspect(&binding.name, key);
    }
}

/// When to look again: as decided, or when the recorded end comes, whichever is first. A pass that failed, or was not this
/// process's to make, must not put the end off.
fn plan(ctx: &Context, key: &GrantKey, wake: Wake) {
    let view = ctx.grants.get(key).map(|grant| GrantView::from(grant.as_ref())).filter(|view| !view.is_finished());
    let end = view.and_then(|view| view.recorded_end()).filter(|end| *end > ctx.now());
    if let Wake::At(at) = wake.or_at(end) {
        ctx.queue.push_at(key.clone(), at);
    }
}

/// A place in the pool of what the grant needs *now*: who waits to be granted and must be revoked meanwhile changes
/// over to the other queue. `None` at shutdown, or where the grant is gone.
async fn place(ctx: &Context, ticket: &Ticket, shutdown: &CancellationToken) -> Option<(Place, Work)> {
    loop {
        let grant = ctx.grants.get(ticket.key())?;
        let (lane, work, cluster) = next(ctx, &grant);
        // Whoever names an integration that is not there shares one pool: names cost nothing.
        let name = &grant.spec.integration_ref.name;
        let pool = if ctx.integrations.get(name).is_some() { name } else { "" };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            place = ctx.pools.place(pool, &grant, work, cluster) => return Some((place, work)),
            () = changed(ctx, ticket.key(), lane, work) => {}
        }
    }
}

/// What a grant needs now, and on which cluster. Who has waited long to look downstream first says that its time is over.
fn next(ctx: &Context, grant: &AccessGrant) -> (Lane, Work, Option<String>) {
    let (view, now) = (GrantView::from(grant), ctx.now());
    // What somebody revokes is taken away like what has ended.
    let lane = if view.is_recorded() && revoked(ctx, grant, &view) { Lane::Revoke } else { view.lane(now) };
    match Work::next(grant, lane, &ctx.memory) {
        (Work::Clear, cluster) if view.status.end.is_none() && view.is_late(now) => (lane, Work::Revoke, cluster),
        (work, cluster) => (lane, work, cluster),
    }
}

/// Waits until the grant needs something else. Wall clocks jump, so it looks often; but hardly anything leaves the lane in
/// which thousands may wait.
async fn changed(ctx: &Context, key: &GrantKey, lane: Lane, work: Work) {
    let look = if lane == Lane::Revoke { SELDOM } else { LOOK };
    loop {
        tokio::time::sleep(look).await;
        let stands = ctx.grants.get(key).map(|grant| next(ctx, &grant));
        if stands.is_none_or(|(by_now, needs, _)| (by_now, needs) != (lane, work)) {
            return;
        }
    }
}
