//! What `allowPrivileged` guards: roles whose holder could give himself more, or what outlives the grant.
//!
//! Computed from a role's rules, its own and those it inherits. A rule counts whatever its `resourceNames` say: a name
//! that is harmless today may name something else tomorrow, and `create` ignores names altogether. The table of what
//! counts, with the reasons, is in `table.rs`. Some decisions that are not obvious:
//!
//! - `impersonate` on ServiceAccounts counts for roles on clusters, not for roles on projects: Kubernetes' own `edit` has
//!   it, and within a project it reaches no further than the pods that `edit` may start there with any ServiceAccount. On a
//!   whole cluster it reaches the ServiceAccounts of `kube-system`. The same goes for reading Secrets, starting pods and
//!   whatever else is bounded by namespaces alone.
//! - `create` on Rancher's projects (`cluster-member` has it) does not count: it makes its holder owner of a new, empty
//!   project and of nothing that was there before. But the binding that Rancher makes for the creator is not ours, and
//!   stays when the grant ends: a policy should offer such roles to those who may keep a project of their own.
//! - Making one's own tokens and kubeconfigs does not count in a global role: every user has it by his default role, Rancher
//!   shows everybody his own only, and a token gives no more than its user has at the time.
//! - What Rancher's webhook would refuse at the time of use (`escalate` is missing) counts all the same: the guard must not
//!   depend on another server's being right.

mod guard;
mod table;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::api::condition::one_line;

/// Longest description of a rule, in bytes: rules come from Rancher and may be of any length.
const WORDS_MAX: usize = 300;

/// Where a role is bound, and so how far its rules reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On a cluster: rules reach all its namespaces.
    Cluster,
    /// On a project or in a namespace: rules about namespaced objects reach its namespaces alone.
    Project,
    /// In Rancher as a whole: rules reach all namespaces of Rancher's own cluster, and what it gives on other clusters
    /// reaches all of theirs.
    Global,
}

/// The rules of one role template, as they were read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleRules {
    /// Its own `rules`.
    pub rules: Vec<PolicyRule>,
    /// Ids of the role templates it inherits: its `roleTemplateNames`.
    pub inherits: Vec<String>,
    /// `None`: it is not external. `Some`: it is (`external: true`), with all rules that are known of it: those of the
    /// ClusterRole of its name, and its `externalRules`. `Some` of an empty list: nothing is known of it.
    pub external: Option<Vec<PolicyRule>>,
}

/// Whether a role is privileged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// Nothing in it is.
    None,
    /// It is: the rule, in words.
    Privileged(String),
    /// It cannot be known: why, in words. To be treated as privileged.
    Unknown(String),
}

impl Privilege {
    /// The words for `RoleFacts::privileged`. What is unknown counts as privileged.
    pub fn into_words(self) -> Option<String> {
        match self {
            Privilege::None => None,
            Privilege::Privileged(words) | Privilege::Unknown(words) => Some(words),
        }
    }
}

/// Whether `role`, bound on a cluster or a project, is privileged, by its own rules or by those it inherits.
///
/// `lookup` answers with what was read of a role template, `None` where it could not be read. Inheritance in a circle
/// ends. What is surely privileged is told before what is unknown; nearer roles before farther ones.
pub fn privileged_rule(role: &str, scope: Scope, lookup: &dyn Fn(&str) -> Option<RoleRules>) -> Privilege {
    let mut seen = BTreeSet::from([role.to_owned()]);
    let mut queue = VecDeque::from([role.to_owned()]);
    let mut unknown = None;
    while let Some(current) = queue.pop_front() {
        let Some(read) = lookup(&current) else {
            unknown.get_or_insert(words(role, &current, "could not be read"));
            continue;
        };
        let external = read.external.as_deref();
        let rules = || read.rules.iter().chain(external.unwrap_or_default());
        if let Some(finding) = guard::first_finding(scope, rules) {
            return Privilege::Privileged(words(role, &current, &finding));
        }
        if external.is_some_and(<[_]>::is_empty) {
            let what = "is external, and the rules of its ClusterRole are not known";
            unknown.get_or_insert(words(role, &current, what));
        }
        for next in read.inherits {
            if seen.insert(next.clone()) {
                queue.push_back(next);
            }
        }
    }
    unknown.map_or(Privilege::None, Privilege::Unknown)
}

fn words(role: &str, current: &str, what: &str) -> String {
    let text = if role == current {
        format!("role {role} {what}")
    } else {
        format!("role {role} inherits {current}, which {what}")
    };
    one_line(&text, WORDS_MAX)
}
