//! While access is given and in force.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    picture::{Picture, more, paint},
    waiting::allowed_words,
    whole_seconds, with_terms,
};
use crate::{
    api::{
        AccessGrantStatus, ConditionStatus,
        condition::{
            self,
            ConditionStatus::{False, True},
        },
        status::{BindingRecord, BindingState, Phase},
    },
    grant::{
        view::GrantView,
        world::{Because, Standing, Terms},
    },
};

/// The intent: every binding and the end, before anything is asked of Rancher. `None` where no end can be computed.
pub(in crate::grant) fn intent(now: Timestamp, grant: &GrantView, terms: &Terms) -> Option<AccessGrantStatus> {
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
    status.continuous_since = Some(Time(whole_seconds(terms.continuous_since.map_or(from, |since| since.min(from)))));
    let (reason, allowed) = allowed_words(grant, terms);
    let allowed = format!("{allowed}.");
    let giving = "The access is being given: its bindings are recorded and are made in Rancher now.";
    let picture = Picture {
        phase: Phase::Activating,
        ready: (False, "Activating", giving),
        approved: Some((True, reason, &allowed)),
        granted: (False, "Activating", giving),
        revoked: None,
    };
    Some(paint(now, grant, status, &picture))
}

/// Being given, or in force but in doubt: something waits.
pub(in crate::grant) fn activating(
    now: Timestamp,
    grant: &GrantView,
    because: &Because,
    waiting: usize,
) -> AccessGrantStatus {
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
pub(in crate::grant) fn active(now: Timestamp, grant: &GrantView, policy: &Standing) -> AccessGrantStatus {
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
    let said = condition::find(&status.conditions, "Approved").map(|approved| approved.reason.as_str());
    let allowed =
        status.policy.as_ref().map(|policy| format!("Allowed by policy {}.", policy.name)).unwrap_or_default();
    let approved = match policy {
        Standing::Kept(why) => Some((True, "PolicyChanged", why.as_str())),
        // The policy is as it was again.
        Standing::Stands if said == Some("PolicyChanged") => Some((True, "Allowed", allowed.as_str())),
        Standing::Stands | Standing::Ends(_) => None,
    };
    let picture = Picture {
        phase: Phase::Active,
        ready: face,
        approved,
        granted: face,
        revoked: Some((False, "InForce", "The access has not ended.")),
    };
    paint(now, grant, status, &picture)
}
