//! The five laws.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    arbitrary::{case, judged, limits, recorded_case, time},
    before::extended,
};
use crate::{
    api::{
        decision::Verdict,
        status::{BindingState, IdentityProof, Phase},
    },
    grant::{
        Decision, Extended, GrantView, Judged, OVERDUE_AFTER, Observed, Progress, Standing, Step, Wake, binding::Goal,
        decide, view::is_terminal, votes,
    },
};

fn gives(decision: &Decision) -> bool {
    decision.steps.contains(&Step::Settle(Goal::Give))
}

fn takes(decision: &Decision) -> bool {
    decision.steps.contains(&Step::Settle(Goal::Take))
}

/// The grant as it stands once the decision's status is taken over.
fn after(grant: &GrantView, decision: &Decision) -> GrantView {
    GrantView { status: decision.status.clone(), ..grant.clone() }
}

/// Whether it goes on from an end that lies back so far that nothing is left of its own time.
fn no_time_left(now: Timestamp, grant: &GrantView, world: &Observed) -> bool {
    let Judged::Allowed(terms) = &world.request else { return false };
    let from = grant.status.extends.as_ref().map(|extended| extended.end_time.0);
    from.is_some_and(|from| from.checked_add(terms.duration).is_ok_and(|end| end <= now))
}

fn is_denied(decision: &Decision) -> bool {
    decision.status.votes.iter().any(|vote| vote.decision == Verdict::Deny)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    #[test]
    fn write_ahead((grant, world) in case(), now in time(), limits in limits()) {
        let decision = decide(now, &grant, &world, &limits);
        if gives(&decision) {
            prop_assert!(grant.is_recorded() && grant.status.expires_time.is_some(), "gives without a record");
            prop_assert_eq!(&decision.status, &grant.status, "what is given is what was written");
        }
        if grant.is_recorded() {
            prop_assert_eq!(&decision.status.bindings, &grant.status.bindings, "bindings change by acting alone");
        } else if decision.status.bindings.is_empty() {
            prop_assert!(!decision.steps.contains(&Step::Record) && !takes(&decision));
        } else {
            let recording = if grant.finalizer { vec![Step::Record] } else { vec![Step::AddFinalizer, Step::Record] };
            prop_assert_eq!(&decision.steps, &recording, "an intent is written before anything else is done");
            let end = after(&grant, &decision).recorded_end();
            prop_assert!(end.is_some_and(|end| end > now), "an intent with the end {end:?} at {now}");
            prop_assert!(decision.status.bindings.iter().all(|b| b.state == BindingState::Intended));
            let Judged::Allowed(terms) = &world.request else { panic!("an intent that nobody allowed") };
            prop_assert_eq!(decision.status.bindings.len(), terms.bindings.len());
            prop_assert!(world.may_create && votes::is_approved(&after(&grant, &decision)) && grant.deleted.is_none());
            prop_assert!(after(&grant, &decision).start().is_none_or(|start| start <= now));
        }
    }

    /// What nobody vouches for is not given, whatever allows it; what is known to be unproven is refused for good.
    #[test]
    fn nothing_is_given_to_whom_nobody_vouches_for(
        (grant, world) in case(), now in time(), limits in limits(), unproven: bool,
    ) {
        prop_assume!(!grant.is_recorded() && !grant.is_finished() && grant.deleted.is_none());
        let mut grant = grant;
        grant.status.identity = unproven.then_some(IdentityProof::Unproven);
        let decision = decide(now, &grant, &world, &limits);
        prop_assert!(decision.status.bindings.is_empty(), "an intent: {:?}", decision.status.bindings);
        prop_assert_eq!(decision.status.phase == Some(Phase::Denied), unproven || is_denied(&decision));
    }

    #[test]
    fn revoke_from_the_record(
        (grant, world) in recorded_case(), now in time(), request in judged(), may_create: bool, extended in extended(),
        limits in (limits(), limits()),
    ) {
        prop_assume!(!grant.is_finished() && grant.ended(now).is_some());
        let decision = decide(now, &grant, &world, &limits.0);
        let (tried, ballots) = (world.tried.clone(), world.ballots.clone());
        let policy = Standing::Ends("it went".to_owned());
        let other = Observed { request, may_create, extended, tried, ballots, policy, out_of_reach: !world.out_of_reach };
        prop_assert_eq!(&decision, &decide(now, &grant, &other, &limits.1), "it asks more than the record");
        let first = match (grant.is_settled(), world.tried.as_ref().is_none_or(|tried| tried.goal == Goal::Give)) {
            (true, _) => vec![Step::Record],
            (false, true) => vec![Step::Settle(Goal::Take)],
            (false, false) => vec![],
        };
        prop_assert_eq!(decision.steps, first);
    }

    #[test]
    fn unknown_is_a_value((grant, world) in case(), now in time(), limits in limits()) {
        let decision = decide(now, &grant, &world, &limits);
        let waits = world.progress(Goal::Give).unwrap_or_default().iter().any(|p| matches!(p, Progress::Waiting { .. }));
        let unknown = if grant.is_recorded() { waits } else { !matches!(world.request, Judged::Allowed(_)) };
        if unknown {
            prop_assert!(!gives(&decision), "it gives on what it does not know");
            prop_assert_eq!(&decision.status.bindings, &grant.status.bindings);
        }
        let phase = decision.status.phase;
        if phase.is_some_and(is_terminal) && !grant.is_finished() {
            let proven = grant.is_recorded() && grant.is_settled() && grant.ended(now).is_some();
            let waited = |from: Timestamp, long| from.checked_add(long).is_ok_and(|until| until <= now);
            let itself = grant.extends.as_ref() == Some(&grant.key.name);
            let known = itself || matches!(world.extended, Extended::Missing | Extended::Seen(_)) && grant.extends.is_some();
            let too_long = match &world.request {
                Judged::Allowed(terms) if !terms.approval.sets.is_empty() && waited(grant.created, terms.approval.timeout) => true,
                Judged::Refused(_) | Judged::Allowed(_) => waited(grant.waits_since(), limits.pending),
                // What is not known is no reason to give up; that it extends what it may not is known without asking.
                Judged::NotAsked | Judged::Unknown(_) => known && waited(grant.waits_since(), limits.pending),
            };
            let over = too_long || no_time_left(now, &grant, &world) || grant.end_time.is_some_and(|end| crate::grant::record::whole_seconds(end) <= now);
            let nothing_given = phase == Some(Phase::TimedOut) && !grant.is_recorded() && over;
            let fails = phase == Some(Phase::Failed) && !grant.is_recorded() && known;
            let by_people = decision.status.votes.iter().any(|vote| vote.decision != Verdict::Approve);
            let decided = matches!(phase, Some(Phase::Denied | Phase::Revoked)) && !grant.is_recorded() && by_people;
            prop_assert!(proven || nothing_given || fails || decided || phase == grant.status.phase, "{phase:?} without proof");
        }
        let in_force = phase == Some(Phase::Active)
            && crate::api::condition::find(&decision.status.conditions, "Ready").is_some_and(
                |c| c.status == crate::api::ConditionStatus::True);
        if !gives(&decision) && in_force && decision.status != grant.status {
            prop_assert!(world.progress(Goal::Give).is_some_and(|all| all.iter().all(|p| *p == Progress::Done)), "in force, it says, and does not know");
        }
    }

    #[test]
    fn wake_is_total((grant, world) in case(), now in time(), limits in limits()) {
        let decision = decide(now, &grant, &world, &limits);
        let finished = after(&grant, &decision).is_finished();
        let over = finished || (!grant.is_recorded() && grant.deleted.is_some());
        match decision.wake {
            Wake::OnChange => prop_assert!(over, "forgotten: {decision:?}"),
            Wake::At(wake) if grant.is_finished() => {
                let open = world.ballots.iter().any(|ballot| ballot.proven.is_none());
                prop_assert!(open, "finished, and woken at {wake}");
            }
            Wake::At(_) if finished => {}
            Wake::At(wake) => {
                let ends = [grant.recorded_end(), grant.end_time.filter(|_| !grant.is_recorded())];
                let lies_ahead = |end: &Timestamp| *end > now && grant.ended(now).is_none();
                for end in ends.into_iter().flatten().filter(lies_ahead) {
                    prop_assert!(wake <= end, "woken at {wake}, after the end {end}");
                }
                if grant.is_recorded() && after(&grant, &decision).ended(now).is_some() {
                    let latest = now.checked_add(OVERDUE_AFTER).unwrap_or(Timestamp::MAX);
                    prop_assert!(wake <= latest, "ended, and woken as late as {wake} at {now}");
                }
            }
        }
    }

    #[test]
    fn the_due_list_backs_every_end(grant in super::arbitrary::recorded(), now in time()) {
        let due = grant.due();
        if !grant.is_finished() {
            let due = due.unwrap();
            // What is due at its creation is due at once: no clock of sense is before that.
            let due = if due == grant.created { Timestamp::UNIX_EPOCH } else { due };
            prop_assert!(grant.ended(now).is_none_or(|(_, end)| due <= end), "ended, and due only at {due}");
            prop_assert!(grant.recorded_end().is_none_or(|end| due <= end), "due at {due}, after its end");
        }
    }

    #[test]
    fn expiry_dominates((grant, world) in case(), now in time(), limits in limits()) {
        let decision = decide(now, &grant, &world, &limits);
        let end = grant.recorded_end();
        if end.is_none_or(|end| end <= now) || grant.status.end.is_some() || grant.deleted.is_some() {
            prop_assert!(!gives(&decision), "it gives past the end {end:?}, or with none");
        }
        if let Some(ended) = &grant.status.end {
            prop_assert_eq!(Some(ended), decision.status.end.as_ref(), "an end that was recorded moved");
        }
        if grant.is_recorded() && grant.status.expires_time.is_some() {
            let (before, now) = (&grant.status.expires_time, &decision.status.expires_time);
            prop_assert!(now.is_some() && now <= before, "the end moved from {before:?} to {now:?}");
        }
        if let (Some(end), Some(decided), false) = (end, &decision.status.end, grant.status.end.is_some()) {
            let deleted = grant.deleted.is_some_and(|deleted| deleted == decided.time.0);
            prop_assert!(decided.time.0 <= end || deleted, "it ends at {} instead of {end}", decided.time.0);
        }
    }

    /// Whatever the clock does, and whatever is seen: once taken away, never given again.
    #[test]
    fn what_has_ended_never_un_ends(
        (grant, worlds) in recorded_case().prop_flat_map(|(grant, world)| {
            let more = proptest::collection::vec((time(), super::arbitrary::world(&grant)), 1..12);
            (Just(grant), more.prop_map(move |mut all| { all.insert(0, (Timestamp::UNIX_EPOCH, world.clone())); all }))
        }),
        limits in limits(),
    ) {
        let (mut grant, mut taken) = (grant, false);
        for (now, world) in worlds {
            let decision = decide(now, &grant, &world, &limits);
            prop_assert!(!(taken && gives(&decision)), "given again at {now}");
            taken |= takes(&decision);
            if taken {
                prop_assert!(decision.status.end.is_some() || grant.is_finished());
            }
            grant = after(&grant, &decision);
        }
    }

    /// A grant that ends by itself ends for the reason that came first.
    #[test]
    fn the_first_reason_counts((grant, world) in recorded_case(), now in time(), limits in limits()) {
        prop_assume!(!grant.is_finished() && grant.status.end.is_none());
        let (Some(end), Some(deleted)) = (grant.recorded_end(), grant.deleted) else { return Ok(()) };
        prop_assume!(end <= now && deleted <= now);
        let decided = decide(now, &grant, &world, &limits).status.end.unwrap();
        prop_assert_eq!(decided.time.0, end.min(deleted));
    }

    /// A start that lies ahead is no reason to give up: it is what was asked for.
    #[test]
    fn a_scheduled_grant_is_not_given_up_before_its_start_has_had_its_time(
        (grant, world) in case(), now in time(), limits in limits(),
    ) {
        prop_assume!(!grant.is_recorded() && grant.deleted.is_none() && grant.end_time.is_none());
        prop_assume!(!matches!(&world.request, Judged::Allowed(terms) if !terms.approval.sets.is_empty()));
        prop_assume!(grant.status.phase != Some(Phase::TimedOut) && !no_time_left(now, &grant, &world));
        let Some(start) = grant.start() else { return Ok(()) };
        let Ok(until) = start.checked_add(limits.pending) else { return Ok(()) };
        prop_assume!(now < until && limits.pending > SignedDuration::ZERO);
        let decision = decide(now, &grant, &world, &limits);
        prop_assert_ne!(decision.status.phase, Some(Phase::TimedOut));
    }
}
