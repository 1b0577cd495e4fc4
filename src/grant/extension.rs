//! What the grant that another one extends means for that other.
//!
//! # The table
//!
//! | intent | extended grant | this grant |
//! |---|---|---|
//! | no | not looked at, or unknown | Pending, tried again |
//! | no | this grant itself, or one that extends it | refused |
//! | no | none, and none was ever seen | refused |
//! | no | none by now, another one of that name, or one that ended before its time | Failed |
//! | no | ended as planned before this one was allowed, or given up | Failed |
//! | no | of another integration, subject or access | refused |
//! | no | not active yet | Pending |
//! | no | active; or ended as planned, and this one was allowed before | judged; its duration counts from that end |
//! | yes | not looked at, or unknown | goes on: its own end stands |
//! | yes | none, before that one's planned end | ends |
//! | yes | another one of that name, before that planned end | ends |
//! | yes | ended before its time, or is to end earlier | ends |
//! | yes | anything else | goes on |

use jiff::{SignedDuration, Timestamp};

use super::{view::GrantView, world::Because};
use crate::api::status::{EndReason, ExtendedRecord};

/// How long before the end of the extended grant the intent is recorded: long enough for Rancher to be asked.
pub const LEAD: SignedDuration = SignedDuration::from_secs(60);

/// What is known of the grant that another one extends.
#[derive(Clone, Debug, PartialEq)]
pub enum Extended {
    /// It was not looked at, or there is none to look at.
    NotLooked,
    /// It cannot be known at present.
    Unknown(Because),
    /// The API server has none of that name.
    Missing,
    /// As it stands.
    Seen(Box<Seen>),
}

/// The extended grant, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The grant.
    pub grant: GrantView,
    /// In what it differs from the grant that extends it, in words; `None` where integration, subject and access are
    /// the same.
    pub differs: Option<String>,
}

/// What follows for a grant without an intent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outlook {
    /// It extends none.
    Free,
    /// It can go on from there.
    From(ExtendedRecord),
    /// It is not known.
    Unknown(Because),
    /// The other is not active yet.
    Waits(Because),
    /// It is wrong as things stand.
    Refused(Because),
    /// It can never be given.
    Fails(Because),
}

/// What the extended grant means for one without an intent.
pub(super) fn outlook(now: Timestamp, grant: &GrantView, extended: &Extended) -> Outlook {
    let Some(name) = &grant.extends else { return Outlook::Free };
    if *name == grant.key.name {
        return refused(
            "ExtendsItself",
            "The grant extends itself: name the grant before it in spec.extends.".to_owned(),
        );
    }
    let seen = match extended {
        Extended::NotLooked => {
            let message = format!("The grant {name}, which this one extends, has not been looked at yet.");
            return Outlook::Unknown(Because::new("ExtendedGrantUnknown", message));
        }
        Extended::Unknown(because) => return Outlook::Unknown(because.clone()),
        Extended::Missing if grant.status.extends.is_some() => return fails(name, "was deleted"),
        Extended::Missing => {
            return refused(
                "ExtendedGrantNotFound",
                format!(
                    "There is no grant {name} in this namespace to extend: create it first, or create this one without spec.extends."
                ),
            );
        }
        Extended::Seen(seen) => seen,
    };
    let remembered = grant.status.extends.as_ref();
    if let Some(how) = remembered.and_then(|planned| early(now, planned, &seen.grant)) {
        return fails(name, &how);
    }
    if remembered.is_none()
        && let Some(how) = over(now, &seen.grant)
    {
        return fails(name, &how);
    }
    if let Some(what) = &seen.differs {
        let message = format!(
            "The grant differs from {name}, which it extends, in {what}: create it anew with the same integration, subject and access, or without spec.extends."
        );
        return refused("ExtendedGrantDiffers", message);
    }
    match (remembered, seen.grant.recorded_end()) {
        (Some(planned), _) => Outlook::From(planned.clone()),
        (None, Some(end)) if seen.grant.status.granted_time.is_some() => {
            Outlook::From(ExtendedRecord { name: name.clone(), uid: seen.grant.uid.clone(), end_time: end.into() })
        }
        (None, _) if seen.grant.extends.as_ref() == Some(&grant.key.name) => refused(
            "ExtendsItself",
            format!(
                "The grant and {name}, which it extends, extend each other: neither ever begins. Create one of them without spec.extends."
            ),
        ),
        (None, _) => {
            let message = format!(
                "The grant {name}, which this one extends, is not active yet: this one is judged as soon as it is."
            );
            Outlook::Waits(Because::new("ExtendedGrantNotActive", message))
        }
    }
}

/// When what is known of the extended grant next means something else by itself: at its end.
pub(super) fn turns(now: Timestamp, grant: &GrantView, extended: &Extended) -> Option<Timestamp> {
    grant.extends.as_ref()?;
    let seen = match extended {
        Extended::Seen(seen) => seen.grant.recorded_end(),
        _ => None,
    };
    let planned = grant.status.extends.as_ref().map(|extended| extended.end_time.0);
    [seen, planned].into_iter().flatten().filter(|end| *end > now).min()
}

/// Why a grant with an intent ends because of the one that it extends; `None` where it goes on.
pub(super) fn cut_short(now: Timestamp, grant: &GrantView, extended: &Extended) -> Option<String> {
    let planned = grant.status.extends.as_ref()?;
    let how = match extended {
        Extended::NotLooked | Extended::Unknown(_) => return None,
        Extended::Missing => (now < planned.end_time.0).then(|| "was deleted".to_owned()),
        Extended::Seen(seen) => early(now, planned, &seen.grant),
    };
    how.map(|how| {
        format!(
            "The grant {}, which this one extends, {how} before its planned end {}: this one ends with it. Create another grant if the access is still needed.",
            planned.name, planned.end_time.0
        )
    })
}

/// The end that a grant without an intent goes on from; `None` where it extends none, or cannot go on.
pub fn from(now: Timestamp, grant: &GrantView, extended: &Extended) -> Option<Timestamp> {
    match outlook(now, grant, extended) {
        Outlook::From(extended) => Some(extended.end_time.0),
        _ => None,
    }
}

/// Whether `extension` has to end because of how `extended` ended, and does not say so yet. Until it does, the record of
/// the other must stay.
pub fn must_see(now: Timestamp, extended: &GrantView, extension: &GrantView) -> bool {
    // Nothing comes of what is deleted without an intent.
    let over = extension.is_finished() || (extension.deleted.is_some() && !extension.is_recorded());
    let planned = extension.status.extends.as_ref().filter(|_| !over);
    planned.is_some_and(|planned| early(now, planned, extended).is_some()) && extension.status.end.is_none()
}

/// How a grant ended, or is to end, before the end that was planned for it.
fn early(now: Timestamp, planned: &ExtendedRecord, grant: &GrantView) -> Option<String> {
    let end = planned.end_time.0;
    // Objects that were carried to another cluster have other UIDs, and the same record.
    let same = grant.uid == planned.uid || grant.status.expires_time.as_ref().is_some_and(|recorded| recorded.0 == end);
    if !same {
        return (now < end || !grant.is_recorded()).then(|| "was deleted".to_owned());
    }
    match grant.ended(now) {
        Some((reason, since)) if since < end => Some(ended_words(reason).to_owned()),
        Some(_) => None,
        None => {
            let moved = grant.recorded_end().filter(|moved| *moved < end);
            moved.map(|moved| format!("was changed to end at {moved},"))
        }
    }
}

/// How a grant is over, whenever that was.
fn over(now: Timestamp, grant: &GrantView) -> Option<String> {
    if grant.is_recorded() {
        grant.ended(now).map(|(reason, _)| ended_words(reason).to_owned())
    } else if grant.is_finished() {
        Some("was given up".to_owned())
    } else {
        grant.deleted.map(|_| "was deleted".to_owned())
    }
}

fn ended_words(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Expired => "ended",
        EndReason::Deleted => "was deleted",
        EndReason::RemovedInRancher => "lost its access in Rancher",
        EndReason::Refused => "was refused by Rancher",
        EndReason::ExtendedGrantEnded => "ended with the one that it extends",
        EndReason::RevokedByDecision => "was revoked",
        EndReason::PolicyChanged => "lost its policy",
    }
}

fn refused(reason: &str, message: String) -> Outlook {
    Outlook::Refused(Because::new(reason, message))
}

fn fails(name: &str, how: &str) -> Outlook {
    let how = how.trim_end_matches(',');
    let message = format!(
        "The grant {name}, which this one extends, {how} before this one could go on from it: nothing was given. Create another grant, without spec.extends, if the access is still needed."
    );
    Outlook::Fails(Because::new("ExtendedGrantEnded", message))
}
