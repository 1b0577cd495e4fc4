//! Label selectors, as Kubernetes matches them, except that an empty one selects nothing.

use std::collections::BTreeMap;

use crate::api::policy::{Operator, Requirement, Selector};

/// Whether the selector selects an object with these labels. What Kubernetes would call an invalid requirement
/// (values where there must be none, none where there must be some) selects nothing.
pub fn selects(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    !selector.is_empty()
        && selector.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().all(|r| meets(r, labels))
}

/// Like [`selects`], for a selector that need not be there: none selects nothing.
pub fn may_select(selector: Option<&Selector>, labels: &BTreeMap<String, String>) -> bool {
    selector.is_some_and(|selector| selects(selector, labels))
}

/// Whether the selector names values of that one label, and nothing else.
pub fn is_by_key(selector: &Selector, key: &str) -> bool {
    selector.match_labels.keys().all(|named| named == key)
        && selector.match_expressions.iter().all(|r| r.key == key && r.operator == Operator::In)
}

fn meets(requirement: &Requirement, labels: &BTreeMap<String, String>) -> bool {
    let values = &requirement.values;
    let found = labels.get(&requirement.key);
    match requirement.operator {
        Operator::In => found.is_some_and(|value| values.contains(value)),
        Operator::NotIn => !values.is_empty() && found.is_none_or(|value| !values.contains(value)),
        Operator::Exists => values.is_empty() && found.is_some(),
        Operator::DoesNotExist => values.is_empty() && found.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    fn by_expression(operator: Operator, values: &[&str]) -> Selector {
        Selector {
            match_labels: BTreeMap::new(),
            match_expressions: vec![Requirement {
                key: "env".to_owned(),
                operator,
                values: values.iter().map(|v| (*v).to_owned()).collect(),
            }],
        }
    }

    #[test]
    fn an_empty_selector_selects_nothing() {
        assert!(!selects(&Selector::default(), &labels(&[])));
        assert!(!selects(&Selector::default(), &labels(&[("env", "prod")])));
        assert!(!may_select(None, &labels(&[("env", "prod")])));
    }

    #[test]
    fn all_labels_and_all_expressions_must_hold() {
        let mut selector = by_expression(Operator::In, &["prod", "stage"]);
        selector.match_labels.insert("team".to_owned(), "web".to_owned());
        assert!(selects(&selector, &labels(&[("env", "prod"), ("team", "web")])));
        assert!(!selects(&selector, &labels(&[("env", "prod")])));
        assert!(!selects(&selector, &labels(&[("env", "dev"), ("team", "web")])));
        assert!(!selects(&selector, &labels(&[("team", "web")])));
    }

    #[test]
    fn operators_answer_as_in_kubernetes() {
        let (prod, dev, none) = (labels(&[("env", "prod")]), labels(&[("env", "dev")]), labels(&[]));
        for (operator, values, expected) in [
            (Operator::In, &["prod"][..], [true, false, false]),
            (Operator::NotIn, &["prod"][..], [false, true, true]),
            (Operator::Exists, &[][..], [true, true, false]),
            (Operator::DoesNotExist, &[][..], [false, false, true]),
            // Invalid in Kubernetes, and so nothing is selected.
            (Operator::In, &[][..], [false, false, false]),
            (Operator::NotIn, &[][..], [false, false, false]),
            (Operator::Exists, &["prod"][..], [false, false, false]),
            (Operator::DoesNotExist, &["prod"][..], [false, false, false]),
        ] {
            let selector = by_expression(operator, values);
            let got = [&prod, &dev, &none].map(|l| selects(&selector, l));
            assert_eq!(got, expected, "{operator:?} {values:?}");
        }
    }
}
