//! What a decision makes of the status: the phase, the conditions, and the sentences that people read.

use jiff::{Timestamp, Unit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    view::GrantView,
    world::{Because, Terms},
};
use crate::api::{
    AccessGrantStatus, ConditionStatus,
    condition::{
        self,
        ConditionStatus::{False, True},
    },
    status::{BindingKind, BindingRecord, BindingState, Display, End, EndReason, Phase},
};

/// One condition: whether, why, and why in words.
type Face<'a> = (ConditionStatus, &'a str, &'a str);

/// What all conditions say together.
struct Picture<'a> {
    phase: Phase,
    ready: Face<'a>,
    approved: Option<Face<'a>>,
    granted: Face<'a>,
    revoked: Option<Face<'a>>,
}

/// Not allowed as things stand. What an earlier judgement allowed no longer counts.
pub(super) fn pending(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    let kept = AccessGrantStatus { policy: None, rancher: None, access_details: None, ..grant.status.clone() };
    not_yet(now, grant, kept, because)
}

/// Not to be judged as things stand. What an earlier judgement allowed stays: it keeps its place under the policy's limits.
pub(super) fn unclear(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    not_yet(now, grant, grant.status.clone(), because)
}

fn not_yet(now: Timestamp, grant: &GrantView, kept: AccessGrantStatus, because: &Because) -> AccessGrantStatus {
    let face = (False, because.reason.as_str(), because.message.as_str());
    let picture =
        Picture { phase: Phase::Pending, ready: face, approved: Some(face), granted: not_given(), revoked: None };
    paint(now, grant, kept, &picture)
}

/// Allowed once enough people have approved.
pub(super) fn awaiting_approval(
    now: Timestamp,
    grant: &GrantView,
    terms: &Terms,
    until: Timestamp,
) -> AccessGrantStatus {
    let message = format!(
        "Policy {} asks for {} approval(s) before this is given; without them it times out at {until}.",
        terms.policy.name, terms.required_approvals
    );
    let face = (False, "AwaitingApproval", message.as_str());
    let picture = Picture {
        phase: Phase::AwaitingApproval,
        ready: face,
        approved: Some(face),
        granted: not_given(),
        revoked: None,
    };
    paint(now, grant, with_terms(grant, terms), &picture)
}

/// Allowed, for later.
pub(super) fn scheduled(now: Timestamp, grant: &GrantView, terms: &Terms, start: Timestamp) -> AccessGrantStatus {
    let policy = &terms.policy.name;
    let message = match &grant.status.extends {
        None => format!("Allowed by policy {policy}; the access begins at {start}. It is judged again then."),
        Some(extended) => format!(
            "Allowed by policy {policy}; the access goes on when grant {} ends, at {}. It is judged again at {start}.",
            extended.name, extended.end_time.0
        ),
    };
    let picture = Picture {
        phase: Phase::Scheduled,
        ready: (True, "Scheduled", &message),
        approved: Some((True, "Allowed", &message)),
        granted: (False, "Scheduled", &message),
        revoked: None,
    };
    paint(now, grant, with_terms(grant, terms), &picture)
}

/// The intent: every binding and the end, before anything is asked of Rancher. `None` where no end can be computed.
pub(super) fn intent(now: Timestamp, grant: &GrantView, terms: &Terms) -> Option<AccessGrantStatus> {
    let begin = whole_seconds(now);
    // What extends another grant goes on from that one's end.
    let from = grant.status.extends.as_ref().map_or(begin, |extended| extended.end_time.0);
    let expires = match grant.end_time {
        Some(end) => end,
        None => from.checked_add(terms.duration).ok()?,
    };
    let mut status = with_terms(grant, terms);
    status.expires_time = Some(Time(whole_seconds(expires)));
    status.bindings = terms.bindings.iter().map(|b| BindingRecord { since: Time(begin), ..b.clone() }).collect();
    let allowed = format!("Allowed by policy {}.", terms.policy.name);
    let giving = "The access is being given: its bindings are recorded and are made in Rancher now.";
    let picture = Picture {
        phase: Phase::Activating,
        ready: (False, "Activating", giving),
        approved: Some((True, "Allowed", &allowed)),
        granted: (False, "Activating", giving),
        revoked: None,
    };
    Some(paint(now, grant, status, &picture))
}

/// Being given, or in force but in doubt: something waits.
pub(super) fn activating(now: Timestamp, grant: &GrantView, because: &Because, waiting: usize) -> AccessGrantStatus {
    let message = more(&because.message, waiting);
    let face = (False, because.reason.as_str(), message.as_str());
    if grant.status.granted_time.is_some() {
        // What was given stays given until Rancher says otherwise: it cannot be known at present.
        let unknown = (ConditionStatus::Unknown, because.reason.as_str(), message.as_str());
        let picture = Picture { phase: Phase::Active, ready: unknown, approved: None, granted: unknown, revoked: None };
        return paint(now, grant, grant.status.clone(), &picture);
    }
    let picture = Picture { phase: Phase::Activating, ready: face, approved: None, granted: face, revoked: None };
    paint(now, grant, grant.status.clone(), &picture)
}

/// In force.
pub(super) fn active(now: Timestamp, grant: &GrantView) -> AccessGrantStatus {
    let mut status = grant.status.clone();
    status.granted_time.get_or_insert_with(|| Time(whole_seconds(now)));
    if let Some(end) = grant.recorded_end() {
        status.expires_time = Some(Time(whole_seconds(end)));
    }
    let held = status.bindings.iter().filter(|b| b.state == BindingState::AlreadyHeld).count();
    let end = grant.recorded_end().map_or_else(String::new, |end| end.to_string());
    let (reason, message) = if held == status.bindings.len() {
        (
            "AlreadyHeld",
            format!(
                "The subject holds this access already, by bindings that somebody else made: nothing was added, and nothing will be taken away at {end}."
            ),
        )
    } else if held > 0 {
        (
            "Active",
            format!(
                "The access is in force until {end}; {held} of {} targets the subject held already, and keeps.",
                status.bindings.len()
            ),
        )
    } else {
        ("Active", format!("The access is in force until {end}. Delete this grant to end it earlier."))
    };
    let face = (True, reason, message.as_str());
    let picture = Picture {
        phase: Phase::Active,
        ready: face,
        approved: None,
        granted: face,
        revoked: Some((False, "InForce", "The access has not ended.")),
    };
    paint(now, grant, status, &picture)
}

/// Being taken away.
pub(super) fn revoking(
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

/// Proven gone, handed over, or never ours to take away.
pub(super) fn settled(now: Timestamp, grant: &GrantView, end: End) -> AccessGrantStatus {
    let mut status = grant.status.clone();
    let gone = whole_seconds(now);
    status.revoked_time = Some(Time(gone));
    let how = settled_words(&status.bindings);
    let (phase, reason, ready) = match end.reason {
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
    let picture = Picture {
        phase,
        ready: (ready, reason, &message),
        approved: None,
        granted: (False, reason, &why),
        revoked: Some((True, revoked_reason, &how)),
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

/// Given up before anything was given.
pub(super) fn timed_out(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    given_up(now, grant, because, Phase::TimedOut)
}

/// Never to be given, and nothing was given.
pub(super) fn failed(now: Timestamp, grant: &GrantView, because: &Because) -> AccessGrantStatus {
    given_up(now, grant, because, Phase::Failed)
}

fn given_up(now: Timestamp, grant: &GrantView, because: &Because, phase: Phase) -> AccessGrantStatus {
    let face = (False, because.reason.as_str(), because.message.as_str());
    let picture = Picture { phase, ready: face, approved: Some(face), granted: not_given(), revoked: None };
    paint(now, grant, grant.status.clone(), &picture)
}

fn not_given<'a>() -> Face<'a> {
    (False, "NotGranted", "No access was given.")
}

fn with_terms(grant: &GrantView, terms: &Terms) -> AccessGrantStatus {
    AccessGrantStatus {
        policy: Some(terms.policy.clone()),
        rancher: Some(terms.rancher.clone()),
        access_details: Some(terms.details.clone()),
        ..grant.status.clone()
    }
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
    if any(BindingState::HandedOver) {
        "HandedOver"
    } else if any(BindingState::Removed) {
        "Removed"
    } else {
        "AlreadyHeld"
    }
}

/// The first of several reasons, and how many more there are.
fn more(message: &str, count: usize) -> String {
    match count {
        0 | 1 => message.to_owned(),
        n => format!("{message} ({} more targets wait.)", n - 1),
    }
}

/// Sets the phase, all conditions and the badge from one picture.
fn paint(now: Timestamp, grant: &GrantView, mut status: AccessGrantStatus, picture: &Picture<'_>) -> AccessGrantStatus {
    let now = whole_seconds(now);
    let terminal = super::view::is_terminal(picture.phase);
    let moving = matches!(picture.phase, Phase::Activating | Phase::Revoking);
    let stuck = matches!(picture.phase, Phase::Denied | Phase::TimedOut | Phase::Failed);
    status.phase = Some(picture.phase);
    status.observed_generation = grant.generation;
    let summary = &grant.summary;
    (status.subject, status.target, status.role) =
        (Some(summary.subject.clone()), Some(summary.target.clone()), Some(summary.role.clone()));
    let held = &mut status.conditions;
    let mut set =
        |type_: &str, face: Face<'_>| condition::set(held, now, grant.generation, type_, face.0, face.1, face.2);
    set("Ready", picture.ready);
    if let Some(face) = picture.approved {
        set("Approved", face);
    }
    set("Granted", picture.granted);
    if let Some(face) = picture.revoked {
        set("Revoked", face);
    }
    for (type_, holds) in [("Reconciling", moving), ("Stalled", stuck)] {
        if holds {
            condition::set(
                &mut status.conditions,
                now,
                grant.generation,
                type_,
                True,
                picture.ready.1,
                picture.ready.2,
            );
        } else {
            condition::unset(&mut status.conditions, type_);
        }
    }
    if picture.phase != Phase::Revoking {
        condition::unset(&mut status.conditions, "RevocationOverdue");
    }
    status.display = Some(Display {
        state: format!("{:?}", picture.phase),
        message: condition::one_line(picture.ready.2, condition::MESSAGE_MAX),
        error: stuck,
        transitioning: !terminal && picture.ready.0 != True,
    });
    status
}

/// Status keeps whole seconds, rounded down: access never ends later than was asked.
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    time.round((Unit::Second, 1))
        .ok()
        .filter(|t| *t <= time)
        .or_else(|| Timestamp::from_second(time.as_second()).ok())
        .unwrap_or(time)
}
