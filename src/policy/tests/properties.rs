//! What holds for every request and every set of policies.

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;
use crate::{api::reference::IdentityKind, policy::RefusalReason as R};

/// Values from small sets, so that requests and policies often meet.
fn any_policy() -> impl Strategy<Value = Value> {
    let requesters = select(vec![
        json!([]),
        json!([{"kind": "User", "name": "alice"}]),
        json!([{"kind": "Group", "name": "web-devs"}]),
        json!([{"kind": "Group", "name": "web-devs"}, {"kind": "User", "name": "bob"}]),
    ]);
    let access = select(vec![
        json!([]),
        json!([{"cluster": {"names": ["*"], "roles": ["cluster-member"]}}]),
        json!([{"cluster": {"selector": {"matchLabels": {"env": "prod"}}, "roles": ["cluster-member"]}},
               {"project": {"clusters": ["c-*"], "names": ["p-1"], "roles": ["project-member"]}}]),
    ]);
    let team = select(vec!["web", "web", "web", "db"]);
    let max = select(vec!["1h", "8h"]);
    let subjects = select(vec![json!({}), json!({"self": false}), json!({"users": ["*"]})]);
    (requesters, access, team, max, subjects, any::<bool>(), 0..3i32, any::<bool>()).prop_map(
        |(requesters, access, team, max, subjects, privileged, required, reason)| {
            json!({
                "requesters": requesters, "access": access, "subjects": subjects,
                "namespaceSelector": {"matchLabels": {"team": team}},
                "duration": {"default": "1h", "max": max},
                "allowPrivileged": privileged, "approval": {"required": required}, "requireReason": reason,
            })
        },
    )
}

fn any_policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec(any_policy(), 0..5).prop_map(|specs| {
        let named = specs.into_iter().enumerate();
        named.map(|(i, spec)| policy(&format!("p{i}"), spec)).collect()
    })
}

/// A grant, and what Rancher says of it.
fn any_grant() -> impl Strategy<Value = (AccessGrantSpec, Facts)> {
    let by = select(vec![
        ("alice", vec!["web-devs"]),
        ("alice", vec!["web-devs"]),
        ("alice", vec![]),
        ("bob", vec![]),
        ("eve", vec!["alice", "bob"]),
    ]);
    let time = select(vec![
        json!({}),
        json!({"duration": "30m"}),
        json!({"duration": "2h"}),
        json!({"endTime": "2026-06-01T12:10:00Z"}),
        json!({"endTime": "2026-06-01T12:30:00Z"}),
        json!({"endTime": "2026-06-01T11:00:00Z"}),
    ]);
    let reference = select(vec![json!({}), json!({}), json!({}), json!({"policyRef": {"name": "p0"}})]);
    let subject = select(vec![json!({}), json!({"subject": {"user": "u-alice"}})]);
    let asked = (by, time, reference, subject).prop_map(|((name, groups), time, reference, subject)| {
        let by = json!({"requestedBy": {"username": name, "groups": groups}});
        [time, reference, subject].iter().fold(by, merged)
    });
    let mostly = || prop::bool::weighted(0.8);
    (asked, 1..3usize, mostly(), mostly(), mostly()).prop_map(|(mut patch, targets, reason, harmless, prod)| {
        if reason {
            patch["reason"] = json!("INC-1");
        }
        let (mut spec, mut facts) = (grant(patch), facts());
        spec.access.truncate(targets);
        facts.targets.truncate(targets);
        facts.targets[0].cluster.as_mut().unwrap().hosts_rancher = !harmless;
        if !prod {
            facts.targets[0].cluster.as_mut().unwrap().labels.clear();
        }
        (spec, facts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn what_is_allowed_stays_allowed_when_a_policy_comes(policies in any_policies(), (spec, facts) in any_grant(), more in any_policy(), at in 0..5usize) {
        if let Ok(before) = both(&spec, &policies, &facts) {
            let mut all = policies;
            all.insert(at.min(all.len()), policy("new", more));
            let after = both(&spec, &all, &facts);
            prop_assert!(after.is_ok(), "{after:?}");
            prop_assert!(after.unwrap().required_approvals <= before.required_approvals);
        }
    }

    #[test]
    fn without_policies_nothing_is_allowed((spec, facts) in any_grant()) {
        prop_assert!(first(&spec, &[]).is_err());
        prop_assert!(both(&spec, &[], &facts).is_err());
    }

    #[test]
    fn whoever_no_policy_lists_gets_nothing(policies in any_policies(), (spec, facts) in any_grant()) {
        let by = &spec.requested_by;
        let listed = policies.iter().flat_map(|policy| &policy.spec.requesters).any(|entry| match entry.kind {
            IdentityKind::User => entry.name == by.username,
            IdentityKind::Group => by.groups.contains(&entry.name),
            IdentityKind::ServiceAccount => false,
        });
        if !listed {
            prop_assert!(first(&spec, &policies).is_err());
            prop_assert!(both(&spec, &policies, &facts).is_err());
        }
    }

    #[test]
    fn what_is_privileged_is_allowed_by_policies_that_say_so_alone(policies in any_policies(), (spec, mut facts) in any_grant()) {
        facts.targets[0].role.privileged = Some("role x may do anything".to_owned());
        if let Ok(allowed) = both(&spec, &policies, &facts) {
            let by = policies.iter().find(|policy| policy.name == allowed.policy.name).unwrap();
            prop_assert!(by.spec.allow_privileged);
        }
    }

    #[test]
    fn the_policy_that_allows_would_do_so_alone_and_is_the_cheapest(policies in any_policies(), (spec, facts) in any_grant()) {
        let alone = |policy: &Policy| both(&spec, std::slice::from_ref(policy), &facts).ok();
        let best = policies.iter().filter_map(alone).min_by_key(|a| (a.required_approvals, a.policy.name.clone()));
        prop_assert_eq!(both(&spec, &policies, &facts).ok(), best);
    }

    #[test]
    fn the_order_of_policies_changes_nothing(policies in any_policies(), (spec, facts) in any_grant()) {
        let mut turned = policies.clone();
        turned.reverse();
        prop_assert_eq!(both(&spec, &policies, &facts), both(&spec, &turned, &facts));
    }

    #[test]
    fn nothing_lasts_longer_than_its_policy_says(policies in any_policies(), (spec, facts) in any_grant()) {
        if let Ok(allowed) = both(&spec, &policies, &facts) {
            let by = policies.iter().find(|policy| policy.name == allowed.policy.name).unwrap();
            let max = crate::policy::parse_duration(&by.spec.duration.as_ref().unwrap().max).unwrap();
            prop_assert!(allowed.duration.is_positive() && allowed.duration <= max);
        }
    }

    #[test]
    fn the_first_stage_refuses_nothing_that_the_second_allows(policies in any_policies(), (spec, facts) in any_grant()) {
        let (labels, mapping) = (labels(&[("team", "web")]), mapping());
        let request = Request { namespace: "web-prod", namespace_labels: &labels, spec: &spec, mapping: Some(&mapping), from: None, unfinished: &Unfinished::default() };
        let all: Vec<_> = policies.iter().collect();
        let direct = judge(&request, &all, &facts, now());
        prop_assert_eq!(direct.ok(), both(&spec, &policies, &facts).ok());
    }

    #[test]
    fn every_refusal_says_what_to_do(policies in any_policies(), (spec, facts) in any_grant()) {
        if let Err(refusal) = both(&spec, &policies, &facts) {
            let message = &refusal.message;
            prop_assert!(message.len() <= MESSAGE_MAX);
            let remedies = ["platform team", "Create ", "Move ", "Ask ", "Leave ", "set spec.subject"];
            prop_assert!(remedies.iter().any(|remedy| message.contains(remedy)), "{message}");
            prop_assert!(refusal.reason == R::EndPassed || policies.is_empty() || message.contains("AccessPolic"), "{message}");
        }
    }
}
