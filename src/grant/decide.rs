//! The decision for a grant.
//!
//! # The table
//!
//! | record | ended | world | steps | phase |
//! |---|---|---|---|---|
//! | finished | | | touch what is still to be touched; take the finalizer off where it is deleted | as it was |
//! | no intent | deleted | | take the finalizer off: nothing was ever given | as it was |
//! | no intent | no | who asks was not checked when it was created | | Denied |
//! | no intent | no | an approver denied it | | Denied |
//! | no intent | no | somebody who may revoked it | | Revoked |
//! | no intent | its end is past | | | TimedOut |
//! | no intent | no | the grant that it extends ended early | | Failed |
//! | no intent | no | the grant that it extends is not active yet, or unknown | | Pending |
//! | no intent | no | the grant that it extends is none, or another than that | | Pending, then TimedOut |
//! | no intent | no | not judged | judge | as it was |
//! | no intent | no | unknown | | Pending |
//! | no intent | no | refused | | Pending, then TimedOut |
//! | no intent | no | allowed, a dry run | | Pending, but ready |
//! | no intent | no | allowed, approvals missing | | AwaitingApproval, then TimedOut |
//! | no intent | no | allowed, starts later, or the grant that it extends ends in more than 60 s | | Scheduled |
//! | no intent | no | allowed, but this process does not lead | | Pending |
//! | no intent | no | allowed | finalizer, record the intent | Activating |
//! | intent | none is recorded | | take all: a record without an end gives nothing | Revoking |
//! | intent | no | the grant that it extends ended early | take all | Revoking |
//! | intent | no | somebody who may revoked it, or its policy went and says so | take all | Revoking |
//! | intent | no | bindings not tried | give | Activating or Active |
//! | intent | no | some wait | | Activating, or Active once granted |
//! | intent | no | all in place | | Active |
//! | intent | no | one refused, or removed in Rancher | take all | Revoking |
//! | intent | yes, for 10 min | no way to its Rancher, and an administrator gave it up | record that | as it was |
//! | intent | yes | bindings not tried | take | Revoking |
//! | intent | yes | some wait | | Revoking |
//! | intent | yes | all settled | record | Expired, Revoked or Failed |
//!
//! # The laws
//!
//! 1. *Write ahead*: a decision gives access only where the record names every binding and the end.
//! 2. *Revoke from the record*: a decision to take asks neither policy nor integration nor lease, and comes before all else.
//! 3. *Unknown is a value*: it leads to no gift and to no terminal phase.
//! 4. *Wake is total*: every unfinished grant has a time to be looked at again, at its end at the latest.
//! 5. *Expiry dominates*: past the end, or with no end, no decision gives; what has ended never un-ends.

use jiff::Timestamp;

use super::{
    binding::Goal,
    extension::{self, Outlook},
    plan::{Decision, Limits, Step, Wake},
    record,
    view::GrantView,
    votes,
    world::{Because, Judged, Observed, Progress, Standing, Terms},
};
use crate::api::{
    decision::Verdict,
    status::{End, EndReason, ExtendedRecord, IdentityProof},
};

/// What to do next for one grant. Pure; see the table and the laws above.
pub fn decide(now: Timestamp, grant: &GrantView, world: &Observed, limits: &Limits) -> Decision {
    let mut grant = grant.clone();
    let tally = votes::take_in(now, &mut grant, world);
    let decision = decide_on(now, &grant, world, limits);
    let wake = match decision.wake {
        // What is taken away asks nobody.
        wake if tally.open && (grant.is_finished() || grant.ended(now).is_none()) => {
            wake.or_at(now.checked_add(limits.unknown_again).ok())
        }
        wake => wake,
    };
    Decision { answers: tally.answers, wake, ..decision }
}

/// The decision for a grant whose record holds all that people have decided.
fn decide_on(now: Timestamp, grant: &GrantView, world: &Observed, limits: &Limits) -> Decision {
    if grant.is_finished() {
        finished(grant)
    } else if grant.is_recorded() {
        match grant.ended(now) {
            Some((reason, since)) => take(now, grant, world, End { reason, time: since.into() }),
            None => give(now, grant, world),
        }
    } else {
        let decision = request(now, grant, world, limits);
        match decision.wake {
            Wake::At(_) => {
                let turns = extension::turns(now, grant, &world.extended);
                Decision { wake: decision.wake.or_at(turns), ..decision }
            }
            Wake::OnChange => decision,
        }
    }
}

fn finished(grant: &GrantView) -> Decision {
    let mut steps = Vec::new();
    if grant.status.bindings.iter().any(|b| b.touch_pending) {
        steps.push(Step::Touch);
    }
    if grant.deleted.is_some() && grant.finalizer {
        steps.push(Step::RemoveFinalizer);
    }
    Decision::new(steps, grant.status.clone(), Wake::OnChange)
}

/// No intent is recorded: there is nothing in Rancher.
fn request(now: Timestamp, grant: &GrantView, world: &Observed, limits: &Limits) -> Decision {
    if grant.deleted.is_some() {
        let steps = grant.finalizer.then_some(Step::RemoveFinalizer).into_iter().collect();
        return Decision::new(steps, grant.status.clone(), Wake::OnChange);
    }
    if let Some(decision) = decided(now, grant) {
        return decision;
    }
    if let Some(end) = asked_end(grant).filter(|end| *end <= now) {
        let message =
            format!("endTime {end} passed before the access could be given: nothing was given. Create another grant.");
        return over(now, grant, &Because::new("EndPassed", message));
    }
    let from = match extension::outlook(now, grant, &world.extended) {
        Outlook::Free => None,
        Outlook::From(extended) => Some(extended),
        Outlook::Unknown(because) => return unknown(now, grant, &because, limits),
        Outlook::Refused(because) => return refused(now, grant, &because, limits),
        Outlook::Waits(because) => return waits(now, grant, &because, limits),
        Outlook::Fails(because) => return fails(now, grant, &because),
    };
    match &world.request {
        Judged::NotAsked => Decision::new(vec![Step::Judge], grant.status.clone(), Wake::At(now)),
        Judged::Unknown(because) => unknown(now, grant, because, limits),
        Judged::Refused(because) => refused(now, grant, because, limits),
        Judged::Allowed(terms) => match from {
            None => allowed(now, grant, terms, world.may_create, limits),
            Some(from) => allowed(now, &going_on(grant, from), terms, world.may_create, limits),
        },
    }
}

/// What people have decided, or what nobody may decide, for good.
fn decided(now: Timestamp, grant: &GrantView) -> Option<Decision> {
    let over = |status| Some(Decision::new(Vec::new(), status, Wake::OnChange));
    if grant.status.identity == Some(IdentityProof::Unproven) {
        return over(record::unproven(now, grant));
    }
    if let Some(vote) = votes::first(grant, Verdict::Deny) {
        return over(record::denied(now, grant, vote));
    }
    votes::first(grant, Verdict::Revoke).and_then(|vote| over(record::revoked_before(now, grant, vote)))
}

/// `spec.endTime` in whole seconds, as it would be recorded.
fn asked_end(grant: &GrantView) -> Option<Timestamp> {
    grant.end_time.map(record::whole_seconds)
}

/// The grant, with what is to be remembered of the one that it extends.
fn going_on(grant: &GrantView, from: ExtendedRecord) -> GrantView {
    let mut grant = grant.clone();
    grant.status.extends = Some(from);
    grant
}

/// Not before another grant is active, which is given up itself where it never is.
fn waits(now: Timestamp, grant: &GrantView, because: &Because, limits: &Limits) -> Decision {
    Decision::new(
        Vec::new(),
        record::pending(now, grant, because),
        Wake::after(now, limits.judge_again).or_at(asked_end(grant)),
    )
}

/// The grant that it extends ended early.
fn fails(now: Timestamp, grant: &GrantView, because: &Because) -> Decision {
    Decision::new(Vec::new(), record::failed(now, grant, because), Wake::OnChange)
}

fn refused(now: Timestamp, grant: &GrantView, because: &Because, limits: &Limits) -> Decision {
    let since = grant.waits_since();
    let given_up = since.checked_add(limits.pending).unwrap_or(Timestamp::MAX);
    if given_up <= now {
        let what = if since > grant.created { "start" } else { "creation" };
        let message = format!("Not allowed within {:#} of its {what}: {}", limits.pending, because.message);
        return over(now, grant, &Because::new(because.reason.clone(), message));
    }
    Decision::new(
        Vec::new(),
        record::pending(now, grant, because),
        Wake::after(now, limits.judge_again).or_at(Some(given_up)).or_at(asked_end(grant)),
    )
}

/// What cannot be judged is tried on: nothing is concluded from it but that.
fn unknown(now: Timestamp, grant: &GrantView, because: &Because, limits: &Limits) -> Decision {
    Decision::new(
        Vec::new(),
        record::unclear(now, grant, because),
        Wake::after(now, limits.unknown_again).or_at(asked_end(grant)),
    )
}

fn allowed(now: Timestamp, grant: &GrantView, terms: &Terms, may_create: bool, limits: &Limits) -> Decision {
    if grant.status.identity != Some(IdentityProof::Proven) {
        let message = "Whether it was checked who asks is not known yet; it is looked at again in a moment.";
        return unknown(now, grant, &Because::new("IdentityUnproven", message), limits);
    }
    if grant.dry_run {
        return Decision::new(Vec::new(), record::dry_run(now, grant, terms), Wake::OnChange);
    }
    if !votes::is_approved(grant) {
        return awaits(now, grant, terms);
    }
    if let Some(start) = grant.start().filter(|start| *start > now) {
        return Decision::new(
            Vec::new(),
            record::scheduled(now, grant, terms, start),
            Wake::At(start).or_at(asked_end(grant)),
        );
    }
    if !may_create {
        let because = Because::new(
            "NoLeader",
            "Allowed, but this operator does not hold its lease at the moment, or its clock is behind; it goes on as soon as that is over.",
        );
        return unknown(now, grant, &because, limits);
    }
    match record::intent(now, grant, terms) {
        // What goes on from another's end may have no time left by now.
        Some(status) if status.expires_time.as_ref().is_some_and(|end| end.0 <= now) => {
            let message = "The time of this grant passed before the access could be given: nothing was given. Create another grant.";
            over(now, grant, &Because::new("EndPassed", message))
        }
        Some(status) => {
            let mut steps = vec![Step::Record];
            if !grant.finalizer {
                steps.insert(0, Step::AddFinalizer);
            }
            Decision::new(steps, status, Wake::At(now))
        }
        None => {
            let because = Because::new(
                "NoEnd",
                "No end can be computed for this grant: its duration reaches beyond what a timestamp can hold. Ask for less.",
            );
            refused(now, grant, &because, limits)
        }
    }
}

/// Approvals are missing.
fn awaits(now: Timestamp, grant: &GrantView, terms: &Terms) -> Decision {
    let timeout = terms.approval.timeout;
    let given_up = grant.created.checked_add(timeout).unwrap_or(Timestamp::MAX);
    if given_up <= now {
        let message = format!(
            "Not approved within {timeout:#} of its creation, as policy {} demands and as it stands now: nothing was given. Create another grant.",
            terms.policy.name
        );
        return over(now, grant, &Because::new("ApprovalTimedOut", message));
    }
    let status = record::awaiting_approval(now, grant, terms, given_up);
    Decision::new(Vec::new(), status, Wake::At(given_up).or_at(asked_end(grant)))
}

/// Given up before anything was given.
fn over(now: Timestamp, grant: &GrantView, because: &Because) -> Decision {
    Decision::new(Vec::new(), record::timed_out(now, grant, because), Wake::OnChange)
}

/// The intent is recorded and its end lies ahead.
fn give(now: Timestamp, grant: &GrantView, world: &Observed) -> Decision {
    let Some(end) = grant.recorded_end() else {
        let message = "The record names no end, and without one nothing is given: what may have been given is taken back. Somebody changed this status by hand; create another grant.";
        return turn(now, grant, EndReason::Expired, message);
    };
    if let Some(vote) = votes::first(grant, Verdict::Revoke) {
        return turn(now, grant, EndReason::RevokedByDecision, &record::revoked_words(vote));
    }
    if let Standing::Ends(message) = &world.policy {
        return turn(now, grant, EndReason::PolicyChanged, message);
    }
    if let Some(message) = extension::cut_short(now, grant, &world.extended) {
        return turn(now, grant, EndReason::ExtendedGrantEnded, &message);
    }
    let Some(all) = world.progress(Goal::Give) else {
        return Decision::new(vec![Step::Settle(Goal::Give)], grant.status.clone(), Wake::At(now));
    };
    let mut waiting = Vec::new();
    for progress in all {
        match progress {
            Progress::Done => {}
            Progress::Waiting { because, retry } => waiting.push((because, *retry)),
            Progress::Refused(message) => return turn(now, grant, EndReason::Refused, message),
            Progress::RemovedInRancher(message) => {
                return turn(now, grant, EndReason::RemovedInRancher, message);
            }
        }
    }
    let retry = waiting.iter().map(|(_, retry)| *retry).min();
    let status = match waiting.first() {
        Some((because, _)) => record::activating(now, grant, because, waiting.len()),
        None => record::active(now, grant, &world.policy),
    };
    // The end of the one that it extends is looked at once more when it should have come.
    let turns = extension::turns(now, grant, &world.extended);
    let wake = Wake::At(end).or_at(turns).or_at(retry.and_then(|retry| now.checked_add(retry).ok()));
    Decision::new(Vec::new(), status, wake)
}

/// The access ends here and now: take back what was given.
fn turn(now: Timestamp, grant: &GrantView, reason: EndReason, message: &str) -> Decision {
    let end = End { reason, time: now.into() };
    let status = record::revoking(now, grant, end, Some(message), &[]);
    Decision::new(vec![Step::Settle(Goal::Take)], status, Wake::At(now))
}

/// The access has ended: nothing but the record is asked.
fn take(now: Timestamp, grant: &GrantView, world: &Observed, end: End) -> Decision {
    if grant.is_settled() {
        let status = record::settled(now, grant, end);
        let wake = if grant.deleted.is_some() { Wake::At(now) } else { Wake::OnChange };
        return Decision::new(vec![Step::Record], status, wake);
    }
    let long_since = now.duration_since(end.time.0) >= super::ABANDON_AFTER;
    if grant.abandoned && world.out_of_reach && long_since {
        let status = record::abandoned(now, grant);
        return Decision::new(vec![Step::Record], status, Wake::At(now));
    }
    let Some(all) = world.progress(Goal::Take) else {
        let status = record::revoking(now, grant, end, None, &[]);
        return Decision::new(vec![Step::Settle(Goal::Take)], status, Wake::At(now));
    };
    let waiting: Vec<_> = all
        .iter()
        .filter_map(|p| match p {
            Progress::Waiting { because, retry } => Some((because, *retry)),
            _ => None,
        })
        .collect();
    // However long something wants to wait: an end that has come is never left alone for longer than this.
    let retry = waiting.iter().map(|(_, retry)| *retry).min().unwrap_or(super::OVERDUE_AFTER).min(super::OVERDUE_AFTER);
    // Never later than that, whatever waits: an end is tried again until it has come.
    let reasons: Vec<_> = waiting.into_iter().map(|(because, _)| because).collect();
    Decision::new(Vec::new(), record::revoking(now, grant, end, None, &reasons), Wake::after(now, retry))
}
