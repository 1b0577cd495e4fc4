//! A grant as the core sees it: what was asked, and what stands in the record.

use jiff::{SignedDuration, Timestamp};

use super::{extension, record::whole_seconds};
use crate::api::{
    ANNOTATION_ABANDON, AccessGrant, AccessGrantSpec, AccessGrantStatus, FINALIZER,
    condition::one_line,
    grant::{Access, LocalUser, Subject},
    status::{BindingRecord, BindingState, EndReason, IdentityProof, Phase},
};

/// How long after its creation or start a grant that nothing came of is looked at once more, whatever was planned.
const GIVEN_UP: SignedDuration = SignedDuration::from_hours(24);

/// How long after its end a grant is late. Most have been settled by then, and need no status in between.
const SAID_AFTER: SignedDuration = SignedDuration::from_secs(2);

/// Namespace and name of a grant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrantKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for GrantKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the decision needs to know about a grant. Nothing in it can fail to be read.
#[derive(Clone, Debug, PartialEq)]
pub struct GrantView {
    /// Namespace and name.
    pub key: GrantKey,
    /// UID of the object.
    pub uid: String,
    /// Generation of the spec.
    pub generation: Option<i64>,
    /// When the object was created.
    pub created: Timestamp,
    /// Since when it is to be deleted.
    pub deleted: Option<Timestamp>,
    /// Whether our finalizer is on it.
    pub finalizer: bool,
    /// `spec.startTime`.
    pub start_time: Option<Timestamp>,
    /// `spec.endTime`.
    pub end_time: Option<Timestamp>,
    /// `spec.extends`: the name of the grant that it extends.
    pub extends: Option<String>,
    /// `spec.requestedBy.username`: who asks.
    pub requester: String,
    /// `spec.subject.localUser`: the local user that is to be made for the access.
    pub local_user: Option<LocalUser>,
    /// `spec.dryRun`: nothing is ever given.
    pub dry_run: bool,
    /// Whether an administrator has given up what is left of it in Rancher.
    pub abandoned: bool,
    /// What it asks for, in short.
    pub summary: Summary,
    /// The record.
    pub status: AccessGrantStatus,
}

/// What a grant asks for, in short: for the columns that `kubectl get` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Whom the access is for.
    pub subject: String,
    /// What it is on.
    pub target: String,
    /// Which role.
    pub role: String,
}

impl From<&AccessGrantSpec> for Summary {
    fn from(spec: &AccessGrantSpec) -> Self {
        let named = |s: &Subject| {
            let local = s.local_user.as_ref().map(|local| format!("local user {}", local.username));
            s.user.clone().or(s.principal.clone()).or(s.group.clone()).or(local)
        };
        let subject = spec.subject.as_ref().and_then(named);
        let targets = spec.access.iter().map(|access| match access {
            Access { cluster: Some(on), .. } => (on.name.clone(), on.role.clone()),
            Access { project: Some(on), .. } => (format!("{}:{}", on.cluster, on.name), on.role.clone()),
            Access { namespace: Some(on), .. } => (format!("{}/{}", on.cluster, on.name), on.role.clone()),
            Access { global: Some(on), .. } => ("Rancher".to_owned(), on.role.clone()),
            _ => Default::default(),
        });
        let (targets, roles): (Vec<_>, Vec<_>) = targets.unzip();
        Self {
            subject: one_line(subject.as_ref().unwrap_or(&spec.requested_by.username), SUMMARY_MAX),
            target: first_and_more(&targets),
            role: first_and_more(&roles),
        }
    }
}

/// Longest summary in status, in bytes.
const SUMMARY_MAX: usize = 600;

/// The first of several, and how many others there are.
fn first_and_more(all: &[String]) -> String {
    let Some(first) = all.first() else { return String::new() };
    match all.iter().filter(|other| *other != first).count() {
        0 => first.clone(),
        more => one_line(&format!("{first} (+{more})"), SUMMARY_MAX),
    }
}

impl From<&AccessGrant> for GrantView {
    fn from(grant: &AccessGrant) -> Self {
        let meta = &grant.metadata;
        Self {
            key: GrantKey {
                namespace: meta.namespace.clone().unwrap_or_default(),
                name: meta.name.clone().unwrap_or_default(),
            },
            uid: meta.uid.clone().unwrap_or_default(),
            generation: meta.generation,
            // An object without a creation time was never stored: it is as old as time, and so timed out.
            created: meta.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0),
            deleted: meta.deletion_timestamp.as_ref().map(|t| t.0),
            finalizer: meta.finalizers.iter().flatten().any(|f| f == FINALIZER),
            start_time: grant.spec.start_time.as_ref().map(|t| t.0),
            end_time: grant.spec.end_time.as_ref().map(|t| t.0),
            extends: grant.spec.extends.as_ref().map(|extended| extended.name.clone()),
            requester: grant.spec.requested_by.username.clone(),
            local_user: grant.spec.subject.as_ref().and_then(|subject| subject.local_user.clone()),
            dry_run: grant.spec.dry_run,
            abandoned: meta.uid.is_some()
                && meta.annotations.as_ref().and_then(|a| a.get(ANNOTATION_ABANDON)) == meta.uid.as_ref(),
            summary: Summary::from(&grant.spec),
            status: grant.status.clone().unwrap_or_default(),
        }
    }
}

/// Which pool a grant's work belongs to. Revocations never wait behind creations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Access is to be taken away.
    Revoke,
    /// Anything else.
    Grant,
}

impl GrantView {
    /// When its access ends, from the record and the spec alone; `None` while no end is recorded.
    /// A spec that moved its end earlier counts at once; one that says later does not. In whole seconds, rounded down,
    /// as status keeps it: what is said before it is recorded is what is said after.
    pub fn recorded_end(&self) -> Option<Timestamp> {
        let recorded = self.status.expires_time.as_ref()?.0;
        Some(whole_seconds(self.end_time.map_or(recorded, |asked| asked.min(recorded))))
    }

    /// Whether and why its access has ended: recorded, or else deleted or past its end, whichever came first. Once
    /// recorded it never un-ends, whatever the clock says.
    pub fn ended(&self, now: Timestamp) -> Option<(EndReason, Timestamp)> {
        if let Some(end) = &self.status.end {
            return Some((end.reason, end.time.0));
        }
        let expired = self.recorded_end().filter(|end| *end <= now).map(|end| (EndReason::Expired, end));
        let deleted = self.deleted.map(|deleted| (EndReason::Deleted, deleted));
        expired.into_iter().chain(deleted).min_by_key(|(_, since)| *since)
    }

    /// Whether an intent stands in the record: from then on there may be something in Rancher.
    pub fn is_recorded(&self) -> bool {
        !self.status.bindings.is_empty()
    }

    /// Whether the record says that nothing is left in Rancher that this grant must take away.
    pub fn is_settled(&self) -> bool {
        self.status.bindings.iter().all(BindingRecord::is_settled)
    }

    /// Whether the grant has reached a phase that it never leaves.
    pub fn is_finished(&self) -> bool {
        is_finished(&self.status)
    }

    /// Judges once, before anything else, whether who asks was checked, where identities are proven `since` then.
    pub fn judge_identity(&mut self, since: Timestamp) {
        if self.status.identity.is_none() && !self.is_recorded() && !self.is_finished() {
            let proven = self.created >= since;
            self.status.identity = Some(if proven { IdentityProof::Proven } else { IdentityProof::Unproven });
        }
    }

    /// Whether it holds the binding of that name at that time: it calls for it, and its end lies ahead.
    pub fn holds(&self, binding: &str, now: Timestamp) -> bool {
        self.ended(now).is_none()
            && self.recorded_end().is_some()
            && self.status.bindings.iter().any(|b| b.name == binding && !b.is_settled())
    }

    /// Whether the record names that binding with something left to do about it.
    pub fn is_concerned_with(&self, binding: &str) -> bool {
        self.status.bindings.iter().any(|b| b.name == binding && !b.is_settled())
    }

    /// When it must be looked at by its record alone, whoever forgot it. This is what backs every timer.
    pub fn due(&self) -> Option<Timestamp> {
        if self.is_finished() {
            let touch = self.status.bindings.iter().any(|b| b.touch_pending).then_some(self.created);
            return touch.or(self.deleted.filter(|_| self.finalizer));
        }
        match self.status.phase {
            // Under way, or never judged.
            Some(Phase::Activating | Phase::Revoking) | None => Some(self.created),
            Some(Phase::Scheduled) => self.deleted.or(self.start()),
            _ if self.status.bindings.iter().any(|b| b.state == BindingState::Yielding) => Some(self.created),
            // Where no end is recorded it is due at once: such a record gives nothing.
            _ if self.is_recorded() => self.deleted.into_iter().chain(self.recorded_end().or(Some(self.created))).min(),
            // A dry run that came to its end waits for nothing.
            Some(Phase::Pending) if self.dry_run && self.status.digest.is_some() => self.deleted,
            _ => {
                let given_up = self.waits_since().checked_add(GIVEN_UP).ok();
                [self.deleted, self.end_time, given_up].into_iter().flatten().min()
            }
        }
    }

    /// When its intent is to be recorded, where that is not at once: at its start, or shortly before the planned end of
    /// the grant that it extends, as far as that was seen.
    pub fn start(&self) -> Option<Timestamp> {
        let ahead = |end: Timestamp| end.checked_sub(extension::LEAD).unwrap_or(end);
        self.status.extends.as_ref().map(|extended| ahead(extended.end_time.0)).or(self.start_time)
    }

    /// Since when it waits to be allowed: since its creation, or since its start where that lies later. What is to begin
    /// later was allowed until then, and is not given up at the first doubt.
    pub fn waits_since(&self) -> Timestamp {
        self.start().map_or(self.created, |start| start.max(self.created))
    }

    /// Which pool its work belongs to at that time.
    pub fn lane(&self, now: Timestamp) -> Lane {
        if self.is_recorded() && self.ended(now).is_some() { Lane::Revoke } else { Lane::Grant }
    }

    /// Whether it ended a while ago: what still has to be done takes long enough for its status to say so meanwhile.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.ended(now).is_some_and(|(_, end)| now.duration_since(end) > SAID_AFTER)
    }

    /// How long ago its access should have been gone; `None` while nothing is overdue. A binding that was never seen
    /// is not overdue: it waits for creates that may land late.
    pub fn overdue(&self, now: Timestamp) -> Option<SignedDuration> {
        let (_, end) = self.ended(now)?;
        let seen = self.status.bindings.iter().any(|b| !b.is_settled() && b.uid.is_some());
        let late = now.duration_since(end);
        (seen && late > super::OVERDUE_AFTER).then_some(late)
    }
}

/// Whether a grant with this status has reached a phase that it never leaves.
pub fn is_finished(status: &AccessGrantStatus) -> bool {
    let abandoned = || {
        status.bindings.iter().any(|b| b.state == BindingState::Abandoned)
            && status.bindings.iter().all(BindingRecord::is_settled)
    };
    status.phase.is_some_and(is_terminal)
        && (status.bindings.is_empty() || status.revoked_time.is_some() || abandoned())
}

/// Phases that a grant never leaves.
pub fn is_terminal(phase: Phase) -> bool {
    matches!(phase, Phase::Expired | Phase::Revoked | Phase::Denied | Phase::TimedOut | Phase::Failed)
}
