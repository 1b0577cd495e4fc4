//! The second stage: whether a policy allows the request, now that Rancher has been asked.

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::{Facts, TargetFacts},
    limits::{Asked, Limits},
    overlay,
    refusal::{Miss, Refusal, RefusalReason, Step, nearest},
    request::{Policy, Request},
    stage::{Read, Terms, open_to},
    subject,
    target::{self, Place},
};
use crate::api::{
    approval::{Approval, Approver},
    policy::Effect,
    status::PolicyRecord,
};

/// That a policy allows the request, and on what terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The policy, as it stood.
    pub policy: PolicyRecord,
    /// The `Require` policies that hold besides, as they stood.
    pub required_by: Vec<PolicyRecord>,
    /// Whose approval is asked, by each of these policies that names approvers.
    pub demands: Vec<Demand>,
    /// How long after its creation the grant waits for them.
    pub approval_timeout: SignedDuration,
    /// Whether whoever asks, or gets the access, may approve it.
    pub self_approval: bool,
    /// Where approvers are reached.
    pub contacts: Vec<String>,
    /// How long the access lasts: the grant's own duration, or the policy's default. For a grant with an `endTime`: how
    /// far that is from now or from its start; the end itself is what counts.
    pub duration: SignedDuration,
}

/// Whose approval a policy asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The policy's name.
    pub policy: String,
    /// How many people must approve. 0: nobody, but these may revoke.
    pub required: i32,
    /// Who may.
    pub approvers: Vec<Approver>,
}

impl Demand {
    /// Whether owners of targets are among them.
    pub fn asks_owner(&self) -> bool {
        self.approvers.iter().any(|approver| approver.identity().is_none())
    }
}

impl Allowed {
    fn by(policy: &Policy, Terms { limits, duration }: Terms) -> Self {
        let mut allowed = Self {
            policy: policy.record(),
            required_by: Vec::new(),
            demands: Vec::new(),
            approval_timeout: limits.timeout,
            self_approval: true,
            contacts: Vec::new(),
            duration,
        };
        allowed.demand(policy);
        allowed
    }

    /// What a policy asks of approvers is asked besides.
    fn demand(&mut self, policy: &Policy) {
        let Approval { required, approvers, self_approval, contact, .. } = &policy.spec.approval;
        if *required > 0 || !approvers.is_empty() {
            let (required, approvers) = (*required, approvers.clone());
            self.demands.push(Demand { policy: policy.name.clone(), required, approvers });
        }
        self.self_approval &= *self_approval;
        self.contacts
            .extend(contact.iter().filter(|contact| !self.contacts.contains(contact)).cloned().collect::<Vec<_>>());
    }

    /// What a `Require` policy demands holds besides.
    fn tighten(&mut self, policy: &Policy, limits: &Limits) {
        self.required_by.push(policy.record());
        self.duration = limits.max.map_or(self.duration, |max| self.duration.min(max));
        if policy.spec.approval.required > 0 {
            self.approval_timeout = self.approval_timeout.min(limits.timeout);
            self.demand(policy);
        }
    }

    /// How many approvals are asked for altogether, where each target has the same approvers.
    pub fn required_approvals(&self) -> i32 {
        self.demands.iter().map(|demand| demand.required).sum()
    }
}

/// Whether one of the candidates allows the request: of several, the one with the fewest approvals, then by name; and
/// none of the overlays refuses it. What these demand is added.
///
/// Privilege is checked first: a privileged role or target is refused by every policy without `allowPrivileged`,
/// whatever else it says. Everything that [`super::candidates`] checks is checked again, with all facts.
///
/// # Errors
/// Why no candidate allows it: by the one that came nearest; or which overlay refuses it.
pub fn judge(
    request: &Request<'_>,
    candidates: &[&Policy],
    overlays: &[&Policy],
    facts: &Facts,
    now: Timestamp,
) -> Result<Allowed, Refusal> {
    let open = open_to(request, candidates.iter().copied())?;
    let read = Read::of(request, now)?;
    target::known(&read.places, facts)?;
    subject::known(&read.subject.wanted, &facts.subject)?;
    let privilege = privilege(&read.places, facts);
    let mut best: Option<(&Policy, Terms)> = None;
    let mut misses = Vec::new();
    for policy in open {
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
    let Some((policy, terms)) = best else {
        return Err(nearest(misses));
    };
    let mut allowed = Allowed::by(policy, terms);
    for overlay in overlays.iter().filter(|overlay| overlay::matches(overlay, request, &read, facts)) {
        match overlay.spec.effect {
            Effect::Deny => return Err(overlay::denied(overlay)),
            Effect::Require => {
                let limits = overlay::required(overlay, request, &read, facts, allowed.duration)?;
                allowed.tighten(overlay, &limits);
            }
            Effect::Allow => {}
        }
    }
    Ok(allowed)
}

/// Whether access in force, which lasts so long altogether, would still be allowed by that policy, and is not denied by
/// one of these. What is asked of a request alone (its reason, room for it, approvals, how far ahead) is not asked again.
///
/// # Errors
/// Why not.
pub fn still_allows(
    request: &Request<'_>,
    policy: Option<&Policy>,
    denies: &[&Policy],
    facts: &Facts,
    length: SignedDuration,
    now: Timestamp,
) -> Result<(), Refusal> {
    let read = Read { time: Asked::For(length), ..Read::of(request, now)? };
    if let Some(deny) = denies.iter().find(|deny| overlay::matches(deny, request, &read, facts)) {
        return Err(overlay::denied(deny));
    }
    let Some(policy) = policy else { return Ok(()) };
    open_to(request, [policy].into_iter())?;
    let privilege = privilege(&read.places, facts);
    let rest = read.check_access(policy, Some(facts));
    guarded(policy, privilege.as_ref(), rest).map(drop).map_err(|miss| nearest(vec![(policy.name.as_str(), miss)]))
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
