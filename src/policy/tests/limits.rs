//! At most so many grants at a time.

use serde_json::{Value, json};

use super::{RefusalReason as R, *};
use crate::policy::{Count, Unfinished};

/// Both stages under policies with these limits, where so many grants are not finished.
fn with(
    limits: &[(&str, Value)],
    counts: &[(&str, usize, usize)],
) -> (Result<Vec<String>, Refusal>, Result<Allowed, Refusal>) {
    let policies: Vec<_> = limits.iter().map(|(name, limits)| policy(name, json!({"limits": limits}))).collect();
    let count = |(name, in_namespace, by_requester): &(&str, usize, usize)| {
        ((*name).to_owned(), Count { in_namespace: *in_namespace, by_requester: *by_requester })
    };
    let unfinished = Unfinished(counts.iter().map(count).collect());
    let (labels, mapping, spec) = (labels(&[("team", "web")]), mapping(), grant(json!({})));
    let request = Request {
        namespace: "web-prod",
        namespace_labels: &labels,
        spec: &spec,
        mapping: Some(&mapping),
        from: None,
        unfinished: &unfinished,
    };
    let found = candidates(&request, &policies, now());
    let names = found.clone().map(|found| found.iter().map(|policy| policy.name.clone()).collect());
    let all: Vec<_> = policies.iter().collect();
    (names, judge(&request, &all, &[], &facts(), now()))
}

#[test]
fn what_is_over_a_limit_is_refused_in_both_stages() {
    let limits = json!({"perNamespace": 3, "perRequester": 2});
    for (counts, says) in [
        (("web", 3, 0), &["perNamespace is 3", "3 grants", "web-prod", "Delete one"][..]),
        (("web", 9, 9), &["perNamespace is 3", "9 grants"][..]),
        (("web", 2, 2), &["perRequester is 2", "2 grants", "alice"][..]),
    ] {
        let (first, second) = with(&[("web", limits.clone())], &[counts]);
        refused(first, R::LimitReached, says);
        refused(second, R::LimitReached, says);
    }
    let (first, second) = with(&[("web", limits.clone())], &[("web", 2, 1)]);
    assert!(first.is_ok() && second.is_ok());
    let (first, second) = with(&[("web", limits)], &[("other", 0, 0)]);
    refused(first, R::LimitReached, &["not known"]);
    refused(second, R::LimitReached, &["not known"]);
}

#[test]
fn without_limits_nothing_is_counted_and_another_policy_has_its_own_room() {
    assert!(with(&[("web", Value::Null)], &[("web", 99, 99)]).1.is_ok());
    assert!(with(&[("web", json!({}))], &[]).1.is_ok());
    let full = [("a", json!({"perNamespace": 1})), ("b", json!({"perNamespace": 2}))];
    let (first, second) = with(&full, &[("a", 1, 1), ("b", 1, 1)]);
    assert_eq!(first.unwrap(), ["b"]);
    assert_eq!(second.unwrap().policy.name, "b");
}
