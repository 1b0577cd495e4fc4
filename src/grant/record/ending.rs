//! While access is taken away, and when it is gone.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    picture::{Picture, more, paint},
    whole_seconds,
};
use crate::{
    api::{
        AccessGrantStatus,
        condition::{
            self,
            ConditionStatus::{False, True, Unknown},
        },
        status::{BindingKind, BindingRecord, BindingState, End, EndReason, Phase},
    },
    grant::{view::GrantView, world::Because},
};

/// Being taken away.
pub(in crate::grant) fn revoking(
    now: Timestamp,
    grant: &GrantView,
    end: End,
    why: Option<&str>,
    waiting: &[&Because],
) -> AccessGrantStatus {
    let mut status = grant.status.clone();
    let reason = match end.reason {
        EndReason::Expired => "Expired",
        EndReason::Deleted => "Deleted",
        EndReason::RemovedInRancher => "RemovedInRancher",
        EndReason::Refused => "RefusedByRancher",
        EndReason::ExtendedGrantEnded => "ExtendedGrantEnded",
        EndReason::RevokedByDecision => "RevokedByDecision",
        EndReason::PolicyChanged => "PolicyChanged",
    };
    // The sentence that was said when the end came is kept: it names what happened.
    let said = condition::find(&status.conditions, "Granted").filter(|c| c.reason == reason).map(|c| c.message.clone());
    let granted = why.map(str::to_owned).or(said).unwrap_or_else(|| ended_words(end.reason, end.time.0));
    let (wait_reason, wait) = match waiting.first() {
        Some(first) => (first.reason.as_str(), more(&first.message, waiting.len())),
        None => ("Revoking", "The access is being taken away.".to_owned()),
    };
    status.end = Some(End { time: Time(whole_seconds(end.time.0)), ..end });
    let picture = Picture {
        phase: Phase::Revoking,
        ready: (False, wait_reason, &wait),
        approved: None,
        granted: (False, reason, &granted),
        revoked: Some((False, wait_reason, &wait)),
    };
    let mut status = paint(now, grant, status, &picture);
    if let Some((_, since)) = grant.ended(now).filter(|_| grant.overdue(now).is_some()) {
        let message = format!("The access should have been gone at {since} and may still be in force: {wait}");
        let now = whole_seconds(now);
        condition::set(&mut status.conditions, now, grant.generation, "RevocationOverdue", True, wait_reason, message);
    } else {
        condition::unset(&mut status.conditions, "RevocationOverdue");
    }
    status
}

/// Given up by an administrator: what is not settled is left as it is.
pub(in crate::grant) fn abandoned(now: Timestamp, grant: &GrantView) -> AccessGrantStatus {
    let mut status = grant.status.clone();
    for binding in status.bindings.iter_mut().filter(|b| !b.is_settled()) {
        (binding.state, binding.since) = (BindingState::Abandoned, Time(whole_seconds(now)));
    }
    status
}

/// Proven gone, handed over, or never ours to take away; or given up.
pub(in crate::grant) fn settled(now: Timestamp, grant: &GrantView, end: End) -> AccessGrantStatus {
    let mut status = grant.status.clone();
    let gone = whole_seconds(now);
    let abandoned = status.bindings.iter().any(|b| b.state == BindingState::Abandoned);
    status.revoked_time = (!abandoned).then_some(Time(gone));
    let how = settled_words(&status.bindings);
    let (phase, reason, ready) = match end.reason {
        _ if abandoned => (Phase::Failed, "Abandoned", False),
        EndReason::Expired => (Phase::Expired, "Expired", True),
        EndReason::Deleted => (Phase::Revoked, "Deleted", True),
        EndReason::RemovedInRancher => (Phase::Revoked, "RemovedInRancher", True),
        EndReason::Refused => (Phase::Failed, "RefusedByRancher", False),
        EndReason::ExtendedGrantEnded => (Phase::Revoked, "ExtendedGrantEnded", True),
        EndReason::RevokedByDecision => (Phase::Revoked, "RevokedByDecision", True),
        EndReason::PolicyChanged => (Phase::Revoked, "PolicyChanged", True),
    };
    let said = condition::find(&status.conditions, "Granted").filter(|c| c.reason == reason).map(|c| c.message.clone());
    let why = said.unwrap_or_else(|| ended_words(end.reason, end.time.0));
    status.end = Some(End { time: Time(whole_seconds(end.time.0)), ..end });
    status.access_details = None;
    let message = format!("{why} {how}");
    let revoked_reason = revoked_reason(&status.bindings);
    let revoked = if abandoned { Unknown } else { True };
    let picture = Picture {
        phase,
        ready: (ready, reason, &message),
        approved: None,
        granted: (False, reason, &why),
        revoked: Some((revoked, revoked_reason, &how)),
    };
    let residual: Vec<_> = status.bindings.iter().filter_map(|b| b.residual.clone()).collect();
    let mut status = paint(now, grant, status, &picture);
    if residual.is_empty() {
        condition::unset(&mut status.conditions, "ResidualAccess");
    } else {
        let message = format!(
            "The subject still has this access, by bindings that somebody else made in Rancher and that are not touched: {}. Remove them there if that is not meant.",
            residual.join(", ")
        );
        condition::set(
            &mut status.conditions,
            gone,
            grant.generation,
            "ResidualAccess",
            True,
            "ForeignBinding",
            message,
        );
    }
    status
}

fn ended_words(reason: EndReason, time: Timestamp) -> String {
    match reason {
        EndReason::Expired => format!("The access ended at {time}, as granted."),
        EndReason::Deleted => format!("The grant was deleted at {time}."),
        EndReason::RemovedInRancher => "Somebody removed the binding in Rancher; it is not made again.".to_owned(),
        EndReason::Refused => "Rancher refused a target; what was given has been taken back.".to_owned(),
        EndReason::ExtendedGrantEnded => "The grant that this one extends ended early.".to_owned(),
        EndReason::RevokedByDecision => format!("The access was revoked by an AccessDecision at {time}."),
        EndReason::PolicyChanged => format!("The policy that allowed the access no longer does, since {time}."),
    }
}

fn settled_words(bindings: &[BindingRecord]) -> String {
    let count = |state| bindings.iter().filter(|b| b.state == state).count();
    let mut words = Vec::new();
    for (state, text) in [
        (BindingState::Removed, "proven gone from Rancher"),
        (BindingState::HandedOver, "left to another grant that calls for the same access for longer"),
        (BindingState::AlreadyHeld, "held by a binding that somebody else made, which was not touched"),
        (
            BindingState::Abandoned,
            "given up by an administrator, for the Rancher is out of reach: whether the access is gone is not known. If that Rancher ever answers again, the sweep takes it away",
        ),
    ] {
        let n = count(state);
        if n > 0 {
            words.push(format!("{n} of {} {text}", bindings.len()));
        }
    }
    let unverified: Vec<_> = bindings.iter().filter(|b| b.unverified).collect();
    if !unverified.is_empty() {
        let but = if unverified.iter().any(|b| b.kind == BindingKind::GlobalRoleBinding) {
            ", but on a cluster that was away at that moment it leaves an administrator's ClusterRoleBinding globaladmin-<user>"
        } else {
            ""
        };
        words.push(format!(
            "of {} what Rancher made on other clusters could not be looked at, for without a key there is no way there; Rancher cleans up there by its finalizers, and none was seen missing{but}",
            unverified.len()
        ));
    }
    format!("Bindings: {}.", words.join("; "))
}

fn revoked_reason(bindings: &[BindingRecord]) -> &'static str {
    let any = |state| bindings.iter().any(|b| b.state == state);
    if any(BindingState::Abandoned) {
        "Abandoned"
    } else if any(BindingState::HandedOver) {
        "HandedOver"
    } else if any(BindingState::Removed) {
        "Removed"
    } else {
        "AlreadyHeld"
    }
}
