//! Works on grants as the queue says, each within a place of its integration's pool.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt;
use jiff::SignedDuration;
use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::{
    Context,
    grant::reconcile,
    queue::{Ready, Ticket},
};
use crate::{
    grant::{GrantKey, GrantView, Lane, Wake},
    runtime::Backoff,
};

/// The longest that one pass over one grant may take. Every call within has its own deadline of 10 s; this only ends
/// what should never happen.
const PASS: Duration = Duration::from_secs(120);

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
                    running.spawn(work(ctx.clone(), ticket, shutdown.clone()));
                }
                None => break,
            },
        }
    }
    while running.join_next().await.is_some() {}
    Ok(())
}

async fn work(ctx: Arc<Context>, ticket: Ticket, shutdown: CancellationToken) {
    let key = ticket.key().clone();
    let Some(_place) = place(&ctx, &ticket, &shutdown).await else { return };
    ticket.begin();
    let began = Instant::now();
    let pass = AssertUnwindSafe(timeout(PASS, reconcile(&ctx, &key))).catch_unwind().await;
    let failed = match pass {
        Ok(Ok(Ok(wake))) => {
            ctx.memory.succeeded(&key);
            plan(&ctx, &key, wake);
            None
        }
        Ok(Ok(Err(error))) => {
            warn!(grant = %key, %error, "A pass over this grant failed; it is repeated");
            Some(error.reason())
        }
        Ok(Err(_)) => {
            error!(grant = %key, seconds = PASS.as_secs(), "A pass over this grant took too long; it is repeated");
            Some("Timeout")
        }
        Err(_) => {
            // The panic itself was logged by the hook, with its place. It costs this grant a retry, nothing else.
            ctx.metrics.reconcile_panicked("grant");
            error!(grant = %key, "A pass over this grant panicked; it is repeated");
            Some("Panic")
        }
    };
    ctx.metrics.observe_reconcile("grant", failed, began.elapsed());
    if failed.is_some() {
        let attempt = ctx.memory.failed(&key);
        let wait = Backoff::new(RETRY.0, RETRY.1, 0).delay(attempt.saturating_sub(1));
        plan(
            &ctx,
            &key,
            Wake::after(ctx.now(), SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(1))),
        );
    }
}

/// When to look again: as decided, or when the record alone says so, whichever comes first.
fn plan(ctx: &Context, key: &GrantKey, wake: Wake) {
    if let Wake::At(at) = wake {
        ctx.queue.push_at(key.clone(), at);
    }
}

/// A place in the pool of what the grant needs *now*: who waits to be granted and must be revoked meanwhile changes
/// over to the other queue. `None` at shutdown, or where the grant is gone.
async fn place(ctx: &Context, ticket: &Ticket, shutdown: &CancellationToken) -> Option<OwnedSemaphorePermit> {
    loop {
        let grant = ctx.grants.get(ticket.key())?;
        let view = GrantView::from(grant.as_ref());
        let now = ctx.now();
        let lane = view.lane(now);
        let turns = match (lane, view.recorded_end()) {
            (Lane::Grant, Some(end)) => Duration::try_from(end.duration_since(now)).unwrap_or_default(),
            _ => PASS,
        };
        // Wall clocks jump, so the time of the change is looked at once a second.
        let look_again = turns.clamp(Duration::from_millis(1), Duration::from_secs(1));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return None,
            place = ctx.pools.place(&grant.spec.integration_ref.name, lane) => return place,
            () = changed(ctx, ticket, lane, look_again) => {}
        }
    }
}

/// Waits until the grant belongs to another lane.
async fn changed(ctx: &Context, ticket: &Ticket, lane: Lane, look_again: Duration) {
    loop {
        tokio::select! {
            () = ticket.poked() => {}
            () = tokio::time::sleep(look_again) => {}
        }
        let stands = ctx.grants.get(ticket.key()).map(|grant| GrantView::from(grant.as_ref()).lane(ctx.now()));
        if stands != Some(lane) {
            return;
        }
    }
}
