//! Decisions of people: which of them count, for what, and why the others do not.
//!
//! # The table
//!
//! The first line that fits tells. *Digest* stands for all that is approved; it stands since a time, and whatever was
//! approved before then is void for good.
//!
//! | decision | what is known | answer |
//! |---|---|---|
//! | any | it stands in the record already | Counted |
//! | any | whether who decides was checked is not known yet | none yet |
//! | any | it was made while nobody checked | IdentityUnproven |
//! | any | it names another UID, or is older than the grant | DigestMismatch |
//! | any | the grant is over | TooLate |
//! | Revoke | its access has ended already | TooLate |
//! | Revoke | by requester, subject, approver or owner of the integration | Counted: the access ends |
//! | Revoke | by anybody else | NotApprover |
//! | Approve, Deny | access was given already | TooLate |
//! | Approve, Deny | the request is not allowed | DigestMismatch |
//! | Approve, Deny | the request could not be judged | none yet |
//! | Approve, Deny | by none of the approvers | NotApprover |
//! | Deny | by an approver | Counted: one is enough |
//! | Approve | of another digest, or not after the one that stands came to stand | DigestMismatch |
//! | Approve | by who asked or gets the access, or that cannot be told | SelfApproval |
//! | Approve | by who approved already | Duplicate |
//! | Approve | nothing is missing | TooLate |
//! | Approve | | Counted |

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    record::whole_seconds,
    view::GrantView,
    world::{Judged, Observed, Terms},
};
use crate::api::{
    AccessDecisionStatus,
    approval::{ApprovalRecord, ApproverSet, Vote},
    condition::{MESSAGE_MAX, one_line},
    decision::{DecisionReason, Verdict},
    reference::Caller,
};

/// An AccessDecision that was not answered yet, with what was found out about who made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ballot {
    /// Name of the AccessDecision.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What it decides.
    pub decision: Verdict,
    /// Who decides.
    pub by: Caller,
    /// The UID of the grant, where it names one.
    pub grant_uid: Option<String>,
    /// The digest, where it names one.
    pub digest: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// Whether the API server checked who decides; `None` where that cannot be known at present.
    pub proven: Option<bool>,
    /// Whether he is the requester or the subject, or why that cannot be told; `None` where it could not be asked.
    pub himself: Option<Result<bool, String>>,
    /// Who he is in Rancher.
    pub rancher_user: Option<String>,
    /// Whether he is an owner of the integration.
    pub owner: bool,
}

/// What is told to whoever made a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the AccessDecision.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// What its status should say.
    pub status: AccessDecisionStatus,
}

/// What became of the decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The answers, to be given once the grant's record is written.
    pub answers: Vec<Answer>,
    /// Whether some could not be answered yet.
    pub open: bool,
}

/// Takes in what was judged and decided: the digest, the approvers, and the decisions that count. The grant's record says
/// so from here on.
pub fn take_in(now: Timestamp, grant: &mut GrantView, world: &Observed) -> Tally {
    let over = grant.is_finished() || grant.is_recorded();
    match &world.request {
        Judged::Allowed(terms) if !over => resolve(now, grant, terms, &world.ballots),
        Judged::Refused(_) if !over => void(grant),
        _ => {}
    }
    let mut ballots: Vec<_> = world.ballots.iter().collect();
    ballots.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    let mut tally = Tally::default();
    for ballot in ballots {
        match judge(now, grant, world, ballot) {
            Some((reason, message)) => tally.answers.push(answer(ballot, reason, &message)),
            None => tally.open = true,
        }
    }
    if let Some(approvers) = &mut grant.status.approvers {
        count(approvers, &grant.status.votes);
    }
    tally
}

/// What is approved stands in the record; where it is not what stood there, approvals are void.
fn resolve(now: Timestamp, grant: &mut GrantView, terms: &Terms, ballots: &[Ballot]) {
    if grant.status.digest.as_ref() != Some(&terms.digest) {
        void(grant);
        grant.status.digest = Some(terms.digest.clone());
        // What is at hand was decided before this was known to anybody, whatever the clocks of two servers say.
        let latest = ballots.iter().map(|ballot| ballot.created).max();
        grant.status.digest_time = Some(Time(whole_seconds(latest.map_or(now, |latest| latest.max(now)))));
    }
    grant.status.resolved.clone_from(&terms.resolved);
    let approval = &terms.approval;
    grant.status.approvers = (!approval.sets.is_empty()).then(|| ApprovalRecord {
        required: approval.sets.iter().map(|set| set.required).sum(),
        approved: 0,
        sets: approval.sets.clone(),
        contact: approval.contact.clone(),
        until: None,
        how_to: String::new(),
    });
}

/// Approvals no longer count; that somebody denied or revoked stays.
fn void(grant: &mut GrantView) {
    let status = &mut grant.status;
    status.votes.retain(|vote| vote.decision != Verdict::Approve);
    (status.digest, status.digest_time, status.approvers) = (None, None, None);
    status.resolved.clear();
}

fn count(approvers: &mut ApprovalRecord, votes: &[Vote]) {
    for set in &mut approvers.sets {
        let given = votes.iter().filter(|v| v.decision == Verdict::Approve && v.sets.contains(&set.name)).count();
        set.approved = i32::try_from(given).unwrap_or(i32::MAX);
    }
    approvers.approved = approvers.sets.iter().map(|set| set.approved.min(set.required)).sum();
}

/// Whether all approvals that the record asks for were given.
pub fn is_approved(grant: &GrantView) -> bool {
    let enough = |set: &ApproverSet| set.approved >= set.required;
    grant.status.approvers.as_ref().is_none_or(|approvers| approvers.sets.iter().all(enough))
}

/// The first decision of that kind that counted.
pub fn first(grant: &GrantView, verdict: Verdict) -> Option<&Vote> {
    grant.status.votes.iter().find(|vote| vote.decision == verdict)
}

type Verdicted = Option<(DecisionReason, String)>;

fn judge(now: Timestamp, grant: &mut GrantView, world: &Observed, ballot: &Ballot) -> Verdicted {
    use DecisionReason as R;
    if grant.status.votes.iter().any(|vote| vote.uid == ballot.uid) {
        return Some((R::Counted, counted_words(ballot.decision)));
    }
    if !ballot.proven? {
        return Some((R::IdentityUnproven, "It was made while the API server did not check who decides (or within seconds after), so it does not count. Make another one.".to_owned()));
    }
    if ballot.grant_uid.as_ref().is_some_and(|uid| *uid != grant.uid) || ballot.created < grant.created {
        return Some((
            R::DigestMismatch,
            format!(
                "It is about an earlier grant named {}: another one has that name now. Look at that one, and decide anew.",
                grant.key.name
            ),
        ));
    }
    if grant.is_finished() {
        return Some((R::TooLate, "The grant is over: nothing can be decided about it any more.".to_owned()));
    }
    match ballot.decision {
        Verdict::Revoke => revoke(now, grant, world, ballot),
        _ if grant.is_recorded() => Some((
            R::TooLate,
            "The access was given already. To end it, make a decision Revoke, or delete the grant.".to_owned(),
        )),
        _ => vote(now, grant, world, ballot),
    }
}

fn revoke(now: Timestamp, grant: &mut GrantView, world: &Observed, ballot: &Ballot) -> Verdicted {
    if grant.is_recorded() && grant.ended(now).is_some() {
        return Some((DecisionReason::TooLate, "The access has ended already, and is being taken away.".to_owned()));
    }
    if may_revoke(grant, &ballot.by, ballot.owner) {
        return Some(latch(now, grant, ballot, Vec::new()));
    }
    if !grant.is_recorded() && matches!(world.request, Judged::NotAsked | Judged::Unknown(_)) {
        // He may yet turn out to be an approver.
        return None;
    }
    match ballot.himself.as_ref()? {
        Ok(true) => Some(latch(now, grant, ballot, Vec::new())),
        _ => Some((DecisionReason::NotApprover, "Only whoever asked for the access, gets it, or may approve it, and owners of the integration may revoke it; status.approvers of the grant names approvers.".to_owned())),
    }
}

/// Whether somebody may revoke by his name alone: he asked, is an approver, or an owner of the integration.
pub fn may_revoke(grant: &GrantView, by: &Caller, owner: bool) -> bool {
    owner || by.username == grant.requester || !sets_of(grant, by).is_empty()
}

/// Whether it must be known who somebody is in Rancher before his decision can be answered.
pub fn needs_relation(grant: &GrantView, decision: Verdict, by: &Caller, owner: bool) -> bool {
    match decision {
        Verdict::Approve => !sets_of(grant, by).is_empty(),
        Verdict::Deny => false,
        Verdict::Revoke => !may_revoke(grant, by, owner),
    }
}

fn vote(now: Timestamp, grant: &mut GrantView, world: &Observed, ballot: &Ballot) -> Verdicted {
    use DecisionReason as R;
    let terms = match &world.request {
        Judged::Allowed(terms) => terms,
        Judged::Refused(_) => {
            return Some((R::DigestMismatch, "The grant is not allowed as things stand, so there is nothing to decide: its conditions say why. Decide once it awaits approval.".to_owned()));
        }
        Judged::Unknown(_) | Judged::NotAsked => return None,
    };
    let sets = sets_of(grant, &ballot.by);
    if sets.is_empty() {
        return Some((R::NotApprover, not_approver(&terms.approval.sets, &ballot.by)));
    }
    if ballot.decision == Verdict::Deny {
        return Some(latch(now, grant, ballot, sets));
    }
    if !is_for_what_stands(grant, ballot) {
        return Some((R::DigestMismatch, "What is asked for was resolved anew since, so that it is not what was approved: subject, target, role, time, approvers or policy changed, or all of it was looked at in that same second. Look at the grant's status, and approve anew.".to_owned()));
    }
    // Also where one may approve one's own: one person counts once, by whatever name.
    let himself = ballot.himself.as_ref()?;
    if !terms.approval.self_approval {
        match himself {
            Ok(false) => {}
            Ok(true) => {
                return Some((
                    R::SelfApproval,
                    "Whoever asks for access, or gets it, may not approve it: somebody else must.".to_owned(),
                ));
            }
            Err(why) => {
                return Some((
                    R::SelfApproval,
                    format!(
                        "Whether you are who asks, or who gets the access, cannot be told: {why}. Somebody else must approve."
                    ),
                ));
            }
        }
    }
    if has_approved(&grant.status.votes, ballot) {
        return Some((
            R::Duplicate,
            "The same person has approved already: one counts once, by whatever name he comes.".to_owned(),
        ));
    }
    let mut standing = grant.status.approvers.clone().unwrap_or_default();
    count(&mut standing, &grant.status.votes);
    if standing.sets.iter().filter(|set| sets.contains(&set.name)).all(|set| set.approved >= set.required) {
        return Some((R::TooLate, "No approval of yours is missing: as many as are needed were given.".to_owned()));
    }
    Some(latch(now, grant, ballot, sets))
}

fn latch(now: Timestamp, grant: &mut GrantView, ballot: &Ballot, sets: Vec<String>) -> (DecisionReason, String) {
    grant.status.votes.push(Vote {
        name: ballot.name.clone(),
        uid: ballot.uid.clone(),
        decision: ballot.decision,
        by: ballot.by.username.clone(),
        rancher_user: ballot.rancher_user.clone(),
        sets,
        time: Time(whole_seconds(now)),
    });
    (DecisionReason::Counted, counted_words(ballot.decision))
}

/// The sets of approvers that somebody is in.
fn sets_of(grant: &GrantView, by: &Caller) -> Vec<String> {
    let sets = grant.status.approvers.iter().flat_map(|approvers| &approvers.sets);
    let his = sets.filter(|set| set.candidates.iter().any(|candidate| candidate.names(by)));
    his.map(|set| set.name.clone()).collect()
}

/// Whether an approval is for the digest that stands: it names it, or was made after it came to stand. What it names it
/// can only have read there.
fn is_for_what_stands(grant: &GrantView, ballot: &Ballot) -> bool {
    let Some(since) = grant.status.digest_time.as_ref().map(|time| time.0) else { return false };
    match &ballot.digest {
        Some(named) => grant.status.digest.as_ref() == Some(named) && ballot.created >= since,
        None => ballot.created > since,
    }
}

fn has_approved(votes: &[Vote], ballot: &Ballot) -> bool {
    let name = ballot.by.username.to_lowercase();
    votes.iter().filter(|vote| vote.decision == Verdict::Approve).any(|vote| {
        vote.by.to_lowercase() == name || vote.rancher_user.is_some() && vote.rancher_user == ballot.rancher_user
    })
}

fn not_approver(sets: &[ApproverSet], by: &Caller) -> String {
    let mut named: Vec<_> = sets.iter().flat_map(|set| &set.candidates).map(ToString::to_string).collect();
    named.sort();
    named.dedup();
    let who = if named.is_empty() { "nobody".to_owned() } else { named.join(", ") };
    let groups = match (by.is_service_account(), by.groups.len()) {
        (true, _) => "a ServiceAccount approves only where it is named itself".to_owned(),
        (false, count) => format!("spec.decidedBy names {count} groups"),
    };
    format!("{} is none of those who may approve: {who}; {groups}.", by.username)
}

fn counted_words(decision: Verdict) -> String {
    match decision {
        Verdict::Approve => {
            "It counted as an approval; it stands in the grant's status, whatever becomes of this object."
        }
        Verdict::Deny => "It counted: the grant is denied, for good.",
        Verdict::Revoke => "It counted: the access ends now, or is never given.",
    }
    .to_owned()
}

fn answer(ballot: &Ballot, reason: DecisionReason, message: &str) -> Answer {
    let status = AccessDecisionStatus {
        counted: Some(reason == DecisionReason::Counted),
        reason: Some(reason),
        message: Some(one_line(message, MESSAGE_MAX)),
    };
    Answer { name: ballot.name.clone(), uid: ballot.uid.clone(), status }
}

#[cfg(test)]
mod tests;
