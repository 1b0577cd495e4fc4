//! What holds for grants that extend another.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::{
    arbitrary::{case, limits, recorded_case, time, view, with_world},
    before::extending,
};
use crate::{
    api::status::{EndReason, Phase},
    grant::{
        Extended, GrantView, Judged, Observed, Standing, Step, binding::Goal, decide, extension, record::whole_seconds,
    },
};

/// A grant without an intent that extends another, and that a policy mostly allows.
fn fresh_extension() -> impl Strategy<Value = (GrantView, Observed)> {
    let grant = view(false).prop_flat_map(extending).prop_map(|mut grant| {
        (grant.deleted, grant.status.phase) = (None, None);
        grant
    });
    grant.prop_flat_map(with_world).prop_map(|(grant, mut world)| {
        world.may_create = true;
        if let Judged::Allowed(terms) = &mut world.request {
            terms.approval.sets.clear();
        }
        (grant, world)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, max_global_rejects: 1 << 16, ..ProptestConfig::default() })]

    /// An intent goes on from an end that was seen, at most a minute before it.
    #[test]
    fn an_intent_goes_on_from_the_end_that_was_seen((grant, world) in fresh_extension(), now in time(), limits in limits()) {
        let decision = decide(now, &grant, &world, &limits);
        let is_intent = !grant.is_recorded() && !decision.status.bindings.is_empty();
        prop_assume!(is_intent && grant.extends.is_some());
        let Extended::Seen(seen) = &world.extended else { panic!("an intent on what was not seen") };
        prop_assert!(seen.differs.is_none(), "it differs: {:?}", seen.differs);
        let from = decision.status.extends.clone().unwrap();
        prop_assert!(grant.status.extends.is_none() || grant.status.extends == Some(from.clone()), "it is remembered as seen first");
        if grant.status.extends.is_none() {
            prop_assert!(seen.grant.ended(now).is_none() && seen.grant.status.granted_time.is_some());
            prop_assert_eq!(seen.grant.recorded_end(), Some(from.end_time.0));
        }
        prop_assert!(extension::LEAD >= from.end_time.0.duration_since(now), "an intent long before its time");
        let Judged::Allowed(terms) = &world.request else { panic!("an intent that nobody allowed") };
        let end = match grant.end_time {
            Some(end) => whole_seconds(end),
            None => from.end_time.0.checked_add(terms.duration).unwrap(),
        };
        prop_assert_eq!(decision.status.expires_time.unwrap().0, end, "its time counts from there");
    }

    /// What the other's early end means is known at once, and never without having seen it.
    #[test]
    fn it_ends_with_the_other_and_for_no_less((grant, world) in recorded_case(), now in time(), limits in limits()) {
        prop_assume!(!grant.is_finished() && grant.ended(now).is_none() && grant.recorded_end().is_some());
        let world = Observed { ballots: Vec::new(), policy: Standing::Stands, ..world };
        let decision = decide(now, &grant, &world, &limits);
        let ends = decision.status.end.as_ref().is_some_and(|end| end.reason == EndReason::ExtendedGrantEnded);
        let Some(planned) = &grant.status.extends else {
            prop_assert!(!ends, "it extends none");
            return Ok(());
        };
        let end = planned.end_time.0;
        let early = match &world.extended {
            Extended::NotLooked | Extended::Unknown(_) => false,
            Extended::Missing => now < end,
            Extended::Seen(seen) if seen.grant.uid != planned.uid => {
                let carried = seen.grant.status.expires_time.as_ref().is_some_and(|recorded| recorded.0 == end);
                prop_assume!(!carried);
                now < end || !seen.grant.is_recorded()
            }
            Extended::Seen(seen) => match seen.grant.ended(now) {
                Some((_, since)) => since < end,
                None => seen.grant.recorded_end().is_some_and(|moved| moved < end),
            },
        };
        prop_assert_eq!(ends, early);
        if early {
            prop_assert_eq!(decision.steps, vec![Step::Settle(Goal::Take)]);
        }
    }

    /// It fails only where the other is known to be over, and nothing was given.
    #[test]
    fn it_fails_on_what_is_known((grant, world) in case(), now in time(), limits in limits()) {
        prop_assume!(!grant.is_recorded() && !grant.is_finished() && grant.deleted.is_none());
        let decision = decide(now, &grant, &world, &limits);
        if decision.status.phase == Some(Phase::Failed) {
            prop_assert!(grant.extends.is_some() && decision.status.bindings.is_empty());
            match &world.extended {
                Extended::Missing => prop_assert!(grant.status.extends.is_some(), "it may never have been there"),
                Extended::Seen(seen) => {
                    let over = seen.grant.ended(now).is_some() || seen.grant.is_finished() || seen.grant.deleted.is_some();
                    prop_assert!(over || grant.status.extends.is_some());
                }
                other => prop_assert!(false, "failed on {other:?}"),
            }
        }
    }

    /// While the other's record must stay, this grant has something left to do; once it ended, nobody waits for it.
    #[test]
    fn who_has_seen_it_is_not_waited_for((grant, world) in recorded_case(), now in time(), limits in limits()) {
        let Extended::Seen(seen) = &world.extended else { return Ok(()) };
        let after = crate::grant::GrantView { status: decide(now, &grant, &world, &limits).status, ..grant.clone() };
        prop_assert!(!extension::must_see(now, &seen.grant, &after) || grant.is_finished(), "waited for, for ever");
        let later = now.checked_add(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MAX);
        prop_assert!(!extension::must_see(later, &seen.grant, &after) || after.status.end.is_none());
    }
}
