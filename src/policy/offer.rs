//! Whether something in Rancher can be asked for at all: for people who look around before they ask.
//!
//! Says only what a policy covers. Who may ask, what else a policy wants, whether a role is privileged, and what a `Deny`
//! policy refuses, is judged when somebody asks.

use std::collections::BTreeMap;

use super::{glob, target::meant};
use crate::api::policy::{AccessPolicySpec, AccessRule, Effect};

type Labels = BTreeMap<String, String>;

/// Something in Rancher that a policy may cover.
#[derive(Clone, Copy, Debug)]
pub enum Offer<'a> {
    /// A cluster.
    Cluster {
        /// Its id.
        id: &'a str,
        /// Its labels in Rancher.
        labels: &'a Labels,
    },
    /// A project.
    Project {
        /// Its cluster's id.
        cluster: &'a str,
        /// The labels of its cluster in Rancher.
        cluster_labels: &'a Labels,
        /// Its id, without the cluster's.
        id: &'a str,
        /// Its labels in Rancher.
        labels: &'a Labels,
    },
    /// A namespace.
    Namespace {
        /// Its cluster's id.
        cluster: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// A role template for clusters, by its id.
    ClusterRole(&'a str),
    /// A role template for projects, by its id.
    ProjectRole(&'a str),
    /// A role in Rancher as a whole, by its id.
    GlobalRole(&'a str),
}

/// Whether this policy offers it. What is `guarded` (Rancher's own cluster, what is on it, a System project, a namespace of
/// Kubernetes or Rancher) takes `allowPrivileged`.
pub fn offers(policy: &AccessPolicySpec, offer: &Offer<'_>, guarded: bool) -> bool {
    policy.effect == Effect::Allow
        && !policy.suspend
        && (policy.allow_privileged || !guarded)
        && policy.access.iter().any(|rule| covers(rule, offer))
}

fn covers(rule: &AccessRule, offer: &Offer<'_>) -> bool {
    let lists = |roles: &[String], id: &str| roles.iter().any(|role| role == id);
    match (rule, *offer) {
        (AccessRule { cluster: Some(rule), project: None, namespace: None, global: None }, offer) => match offer {
            Offer::Cluster { id, labels } => meant(&rule.names, rule.selector.as_ref(), id, Some(labels)),
            Offer::ClusterRole(id) => lists(&rule.roles, id),
            _ => false,
        },
        (AccessRule { cluster: None, project: Some(rule), namespace: None, global: None }, offer) => match offer {
            Offer::Project { cluster, cluster_labels, id, labels } => {
                meant(&rule.clusters, rule.cluster_selector.as_ref(), cluster, Some(cluster_labels))
                    && meant(&rule.names, rule.selector.as_ref(), id, Some(labels))
            }
            Offer::ProjectRole(id) => lists(&rule.roles, id),
            _ => false,
        },
        (
            AccessRule { cluster: None, project: None, namespace: Some(rule), global: None },
            Offer::Namespace { cluster, name },
        ) => glob::any_matches(&rule.clusters, cluster) && glob::any_matches(&rule.names, name),
        (AccessRule { cluster: None, project: None, namespace: None, global: Some(rule) }, Offer::GlobalRole(id)) => {
            lists(&rule.roles, id)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy(access: Value, more: Value) -> AccessPolicySpec {
        let mut spec = json!({"integrationRef": {"name": "prod"}, "namespaceSelector": {}, "access": access});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(spec).unwrap()
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn each_kind_is_offered_by_rules_of_its_own_alone() {
        let (none, prod, web) = (labels(&[]), labels(&[("env", "prod")]), labels(&[("team", "web")]));
        let by_name = json!([{"cluster": {"names": ["c-*"], "roles": ["cluster-member"]}}]);
        let by_label = json!([{"project": {"clusterSelector": {"matchLabels": {"env": "prod"}},
            "selector": {"matchLabels": {"team": "web"}}, "roles": ["read-only"]}}]);
        let in_namespaces = json!([{"namespace": {"clusters": ["c-1"], "names": ["web-*"], "roles": ["edit"]}}]);
        let global = json!([{"global": {"roles": ["user-base"]}}]);
        let project = |cluster_labels, labels| Offer::Project { cluster: "c-1", cluster_labels, id: "p-1", labels };
        let offered: [(&Value, Offer<'_>); 7] = [
            (&by_name, Offer::Cluster { id: "c-1", labels: &none }),
            (&by_name, Offer::ClusterRole("cluster-member")),
            (&by_label, project(&prod, &web)),
            (&by_label, Offer::ProjectRole("read-only")),
            (&in_namespaces, Offer::Namespace { cluster: "c-1", name: "web-api" }),
            (&global, Offer::GlobalRole("user-base")),
            // A role that is listed twice over is no other.
            (&json!([by_name[0], by_name[0]]), Offer::ClusterRole("cluster-member")),
        ];
        for (access, offer) in &offered {
            assert!(offers(&policy((*access).clone(), json!({})), offer, false), "{offer:?}");
            for other in [&by_name, &by_label, &in_namespaces, &global] {
                let is_its_own = other[0] == access[0];
                assert_eq!(offers(&policy(other.clone(), json!({})), offer, false), is_its_own, "{offer:?} {other}");
            }
        }
        for (access, offer) in [
            (&by_name, Offer::Cluster { id: "local", labels: &prod }),
            (&by_name, Offer::ClusterRole("read-only")),
            (&by_label, project(&prod, &none)),
            (&by_label, project(&none, &web)),
            (&in_namespaces, Offer::Namespace { cluster: "c-2", name: "web-api" }),
            (&in_namespaces, Offer::Namespace { cluster: "c-1", name: "api" }),
            // What an empty selector selects, it selects nowhere.
            (&json!([{"cluster": {"selector": {}, "roles": ["r"]}}]), Offer::Cluster { id: "c-1", labels: &prod }),
        ] {
            assert!(!offers(&policy(access.clone(), json!({})), &offer, false), "{offer:?}");
        }
    }

    #[test]
    fn only_an_allow_policy_in_force_offers_and_what_is_guarded_takes_its_word() {
        let access = json!([{"cluster": {"names": ["*"], "roles": ["cluster-member"]}}]);
        let none = labels(&[]);
        let local = Offer::Cluster { id: "local", labels: &none };
        for (more, plain, guarded) in [
            (json!({}), true, false),
            (json!({"allowPrivileged": true}), true, true),
            (json!({"suspend": true, "allowPrivileged": true}), false, false),
            (json!({"effect": "Deny", "allowPrivileged": true}), false, false),
            (json!({"effect": "Require", "allowPrivileged": true}), false, false),
        ] {
            let policy = policy(access.clone(), more.clone());
            assert_eq!((offers(&policy, &local, false), offers(&policy, &local, true)), (plain, guarded), "{more}");
        }
    }
}
