//! Tells each change of a grant once: one log line, one Event, and the figures.

use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::events::EventType;
use tracing::{info, warn};

use super::reference;
use crate::{
    api::{
        AccessGrant, AccessGrantStatus,
        condition::{self, Condition},
        status::{BindingState, Phase},
    },
    controller::{Context, users},
};

/// The status was written. Tells what changed for people: the phase, or that an end is overdue.
pub(super) fn changed(ctx: &Context, grant: &AccessGrant, before: &AccessGrantStatus, after: &AccessGrantStatus) {
    let Some(phase) = after.phase else { return };
    let message = condition::find(&after.conditions, "Ready").map(|c| c.message.as_str()).unwrap_or_default();
    let overdue = condition::find(&after.conditions, "RevocationOverdue");
    if before.phase != after.phase {
        log(grant, after, phase, message);
        publish(ctx, grant, phase, message);
        users::call_on(ctx, grant);
        if after.bindings.iter().any(|b| b.state == BindingState::Abandoned) {
            ctx.events.publish(reference(grant), EventType::Warning, "Abandoned", "Revoke", message);
            // Its Rancher may be back by now: the sweep looks at once, and again until it could.
            ctx.memory.sweep_of(&grant.spec.integration_ref.name).notify_one();
        }
        if let (Some(revoked), Some(end)) = (&after.revoked_time, &after.end) {
            // Lag counts from the true end; status keeps whole seconds.
            let end = after.expires_time.as_ref().map_or(end.time.0, |expires| expires.0.min(end.time.0));
            let lag = Duration::try_from(ctx.now().max(revoked.0).duration_since(end)).unwrap_or_default();
            ctx.metrics.revoked(lag);
        }
    }
    for vote in after.votes.iter().filter(|vote| !before.votes.contains(vote)) {
        let note = format!("{:?} by {}, as AccessDecision {} says.", vote.decision, vote.by, vote.name);
        ctx.events.publish(reference(grant), EventType::Normal, "Decided", "Decide", &note);
    }
    if let Some(Condition { message, .. }) =
        overdue.filter(|_| condition::find(&before.conditions, "RevocationOverdue").is_none())
    {
        let name = grant.name_any();
        warn!(namespace = grant.namespace(), grant = name, message, "Access is overdue to be taken away");
        ctx.events.publish(reference(grant), EventType::Warning, "RevocationOverdue", "Revoke", message);
    }
}

/// Our finalizer is off: the API server may delete the grant.
pub(super) fn released(grant: &AccessGrant) {
    info!(namespace = grant.namespace(), grant = grant.name_any(), "The deleted grant is settled and goes");
}

fn log(grant: &AccessGrant, status: &AccessGrantStatus, phase: Phase, message: &str) {
    let targets: Vec<_> = status
        .bindings
        .iter()
        .map(|b| match &b.project {
            None => format!("{}={}", b.cluster, b.role),
            Some(project) => format!("{}:{project}={}", b.cluster, b.role),
        })
        .collect();
    info!(
        namespace = grant.namespace(),
        grant = grant.name_any(),
        uid = grant.uid(),
        requester = grant.spec.requested_by.username,
        subject = status.subject,
        targets = targets.join(","),
        integration = grant.spec.integration_ref.name,
        ?phase,
        message,
        "Grant changed"
    );
}

fn publish(ctx: &Context, grant: &AccessGrant, phase: Phase, message: &str) {
    let (type_, reason, action) = match phase {
        Phase::Pending => (EventType::Warning, "NotAllowed", "Judge"),
        Phase::AwaitingApproval => (EventType::Normal, "AwaitingApproval", "Judge"),
        Phase::Scheduled => (EventType::Normal, "Scheduled", "Judge"),
        Phase::Activating => (EventType::Normal, "Activating", "Grant"),
        Phase::Active => (EventType::Normal, "Granted", "Grant"),
        Phase::Revoking => (EventType::Normal, "Revoking", "Revoke"),
        Phase::Expired => (EventType::Normal, "Expired", "Revoke"),
        Phase::Revoked => (EventType::Normal, "Revoked", "Revoke"),
        Phase::Denied => (EventType::Warning, "Denied", "Judge"),
        Phase::TimedOut => (EventType::Warning, "TimedOut", "Judge"),
        Phase::Failed => (EventType::Warning, "Failed", "Grant"),
    };
    ctx.events.publish(reference(grant), type_, reason, action, message);
}
