//! The second stage: whether a policy allows the request, now that Rancher has been asked.

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::{Facts, TargetFacts},
    refusal::{Miss, Refusal, RefusalReason, Step, nearest},
    request::{Policy, Request},
    stage::{Read, Terms, relevant},
    subject,
    target::{self, Place},
};
use crate::api::status::PolicyRecord;

/// That a policy allows the request, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The policy, as it stood.
    pub policy: PolicyRecord,
    /// How many people must approve. 0: nobody.
    pub required_approvals: i32,
    /// How long after its creation the grant waits for them.
    pub approval_timeout: SignedDuration,
    /// How long the access lasts: the grant's own duration, or the policy's default. For a grant with an `endTime`: how
    /// far that is from now or from its start; the end itself is what counts.
    pub duration: SignedDuration,
}

/// Whether one of the candidates allows the request: of several, the one with the fewest approvals, then by name.
///
/// Privilege is checked first: a privileged role or target is refused by every policy without `allowPrivileged`,
/// whatever else it says. Everything that [`super::candidates`] checks is checked again, with all facts.
///
/// # Errors
/// Why no candidate allows it: by the one that came nearest.
pub fn judge(request: &Request<'_>, candidates: &[&Policy], facts: &Facts, now: Timestamp) -> Result<Allowed, Refusal> {
    let relevant = relevant(request, candidates.iter().copied())?;
    let read = Read::of(request, now)?;
    target::known(&read.places, facts)?;
    subject::known(&read.subject.wanted, &facts.subject)?;
    let privilege = privilege(&read.places, facts);
    let mut best: Option<(&Policy, Terms)> = None;
    let mut misses = Vec::new();
    for policy in relevant {
        let rest = read.check(request, policy, Some(facts));
        match guarded(policy, privilege.as_ref(), rest) {
            Ok(terms) => {
                let order = |p: &Policy, t: &Terms| (t.limits.approvals, p.name.clone());
                if best.is_none_or(|(held, by)| order(policy, &terms) < order(held, &by)) {
                    best = Some((policy, terms));
                }
            }
            Err(miss) => misses.push((policy.name.as_str(), miss)),
        }
    }
    let Some((policy, Terms { limits, duration })) = best else {
        return Err(nearest(misses));
    };
    Ok(Allowed {
        policy: policy.record(),
        required_approvals: limits.approvals,
        approval_timeout: limits.timeout,
        duration,
    })
}

/// Puts privilege before the other rules. Of the policies without `allowPrivileged`, one that is met otherwise is the
/// nearest of all, and one that is not is the farthest: lifting privilege there would not help.
fn guarded(
    policy: &Policy,
    privilege: Option<&(RefusalReason, String)>,
    rest: Result<Terms, Miss>,
) -> Result<Terms, Miss> {
    match privilege {
        Some((reason, why)) if !policy.spec.allow_privileged => {
            let step = match rest {
                Ok(_) => Step::AllButPrivilege,
                Err(_) => Step::Apart,
            };
            Err(Miss::new(step, *reason, why.clone()))
        }
        _ => rest,
    }
}

/// What is privileged in the request, with the rule in words. A target comes before a role, for another role would not
/// help there.
fn privilege(places: &[Place<'_>], facts: &Facts) -> Option<(RefusalReason, String)> {
    const REMEDY: &str = "Ask for something less, or have the platform team decide whether a policy with allowPrivileged should cover this";
    let pairs = || places.iter().zip(&facts.targets);
    let target = pairs().find_map(|(place, facts)| Some((place, target_rule(facts)?)));
    if let Some((place, rule)) = target {
        let why = format!("{} is privileged ({rule}), and spec.allowPrivileged is false. {REMEDY}", place.words());
        return Some((RefusalReason::PrivilegedTarget, why));
    }
    let role = pairs().find_map(|(place, facts)| Some((place, facts.role.privileged.as_ref()?)));
    role.map(|(place, rule)| {
        let why = format!(
            "on {}, the role is privileged ({rule}), and spec.allowPrivileged is false. {REMEDY}",
            place.words()
        );
        (RefusalReason::PrivilegedRole, why)
    })
}

/// What makes a target privileged, whatever the role.
fn target_rule(facts: &TargetFacts) -> Option<&'static str> {
    if facts.cluster.as_ref().is_some_and(|cluster| cluster.hosts_rancher) {
        return Some("Rancher itself runs on this cluster, and rules all others from there");
    }
    if facts.cluster.as_ref().is_some_and(|cluster| cluster.hosts_operator) {
        return Some("this operator runs on this cluster, and its key lies there");
    }
    if facts.namespace.as_ref().is_some_and(|namespace| namespace.system) {
        return Some("it is a namespace of Kubernetes or of Rancher, and the cluster's own parts run in it");
    }
    let system = facts.project.as_ref().is_some_and(|project| project.system);
    system.then_some("it is the System project, and the cluster's own parts run in it")
}
