//! What is due, by wall clock.
//!
//! Every decision names its next time; this pushes it then. And because a timer can be lost and a clock can jump, all
//! grants are gone through twice a minute: whatever its own record says is due is pushed, whoever forgot it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Context;
use crate::{api::status::Phase, grant::GrantView, runtime::Heartbeat};

/// The longest that nothing is looked at: a wall clock that jumped is noticed within this.
const TICK: Duration = Duration::from_secs(1);

/// The shortest, so that a time that has come is not waited for in vain.
const SHORTEST: Duration = Duration::from_millis(1);

/// How often all grants are gone through.
const ROUND: Duration = Duration::from_secs(30);

/// Pushes what is due until `shutdown`.
pub async fn run(
    ctx: Arc<Context>,
    heartbeat: Heartbeat,
    shutdown: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut round = Instant::now();
    loop {
        heartbeat.beat();
        let now = ctx.now();
        ctx.metrics.leading(ctx.leader.may_create());
        if round <= Instant::now() {
            go_round(&ctx, now);
            round = Instant::now() + ROUND;
        }
        let next = ctx.queue.push_due(now);
        let wait = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok()).unwrap_or(TICK);
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = ctx.queue.sooner() => {}
            () = sleep(wait.clamp(SHORTEST, TICK)) => {}
        }
    }
}

/// Pushes every grant whose record says that it is due, and counts.
fn go_round(ctx: &Context, now: Timestamp) {
    let mut phases: BTreeMap<Phase, usize> = ALL.map(|phase| (phase, 0)).into();
    let (mut overdue, mut oldest) = (0, None);
    let mut residual: BTreeMap<String, usize> =
        ctx.integrations.all().iter().filter_map(|i| Some((i.metadata.name.clone()?, 0))).collect();
    for grant in ctx.grants.all() {
        let seen = GrantView::from(grant.as_ref());
        *phases.entry(seen.status.phase.unwrap_or(Phase::Pending)).or_default() += 1;
        if seen.overdue(now).is_some() {
            overdue += 1;
            let since = seen.ended(now).map(|(_, since)| since);
            oldest = [oldest, since].into_iter().flatten().min();
        }
        if seen.status.bindings.iter().any(|b| b.residual.is_some()) {
            *residual.entry(grant.spec.integration_ref.name.clone()).or_default() += 1;
        }
        match seen.due() {
            Some(due) if due <= now => ctx.queue.push(seen.key),
            Some(due) => ctx.queue.push_at(seen.key, due),
            None => {}
        }
    }
    for (phase, count) in phases {
        ctx.metrics.grants(name(phase), count);
    }
    for (integration, count) in residual {
        ctx.metrics.residual_access(&integration, count);
    }
    ctx.metrics.overdue(overdue, oldest);
}

const ALL: [Phase; 11] = [
    Phase::Pending,
    Phase::AwaitingApproval,
    Phase::Scheduled,
    Phase::Activating,
    Phase::Active,
    Phase::Revoking,
    Phase::Expired,
    Phase::Revoked,
    Phase::Denied,
    Phase::TimedOut,
    Phase::Failed,
];

fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::AwaitingApproval => "AwaitingApproval",
        Phase::Scheduled => "Scheduled",
        Phase::Activating => "Activating",
        Phase::Active => "Active",
        Phase::Revoking => "Revoking",
        Phase::Expired => "Expired",
        Phase::Revoked => "Revoked",
        Phase::Denied => "Denied",
        Phase::TimedOut => "TimedOut",
        Phase::Failed => "Failed",
    }
}
