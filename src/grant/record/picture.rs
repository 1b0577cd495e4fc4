//! All conditions, the phase and the badge, from one picture.

use jiff::Timestamp;

use super::whole_seconds;
use crate::{
    api::{
        AccessGrantStatus, ConditionStatus,
        condition::{
            self,
            ConditionStatus::{False, True},
        },
        status::{Display, Phase},
    },
    grant::view::{GrantView, is_terminal},
};

/// One condition: whether, why, and why in words.
pub(super) type Face<'a> = (ConditionStatus, &'a str, &'a str);

/// What all conditions say together.
pub(super) struct Picture<'a> {
    pub phase: Phase,
    pub ready: Face<'a>,
    pub approved: Option<Face<'a>>,
    pub granted: Face<'a>,
    pub revoked: Option<Face<'a>>,
}

/// Nothing was given.
pub(super) fn not_given<'a>() -> Face<'a> {
    (False, "NotGranted", "No access was given.")
}

/// The first of several reasons, and how many more there are.
pub(super) fn more(message: &str, count: usize) -> String {
    match count {
        0 | 1 => message.to_owned(),
        n => format!("{message} ({} more targets wait.)", n - 1),
    }
}

/// Sets the phase, all conditions and the badge from one picture.
pub(super) fn paint(
    now: Timestamp,
    grant: &GrantView,
    mut status: AccessGrantStatus,
    picture: &Picture<'_>,
) -> AccessGrantStatus {
    let now = whole_seconds(now);
    let terminal = is_terminal(picture.phase);
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
