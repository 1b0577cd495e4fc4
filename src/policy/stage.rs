//! The first stage: what the grant and the policies say by themselves, before Rancher is asked anything.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::Facts,
    limits::{self, Asked, Limits},
    refusal::{Miss, Refusal, RefusalReason, Step, nearest, quote},
    request::{Policy, Request},
    selector, subject,
    target::{self, Place},
};
use crate::api::policy::{Effect, GrantLimits};

/// The label by which a namespace's name can be selected. The API server sets it on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policies that may allow the request, as far as can be told without Rancher: those with the fewest approvals
/// first, then by name.
///
/// What only Rancher can tell (labels, the principals of a user id, privilege) passes here.
///
/// # Errors
/// Why no policy allows the request: by the one that came nearest, of those that let this requester ask at all.
pub fn candidates<'p>(
    request: &Request<'_>,
    policies: &'p [Policy],
    now: Timestamp,
) -> Result<Vec<&'p Policy>, Refusal> {
    let open = open_to(request, policies.iter())?;
    let read = Read::of(request, now)?;
    let mut met = Vec::new();
    let mut misses = Vec::new();
    for policy in open {
        match read.check(request, policy, None) {
            Ok(terms) => met.push((terms.limits.approvals, policy)),
            Err(miss) => misses.push((policy.name.as_str(), miss)),
        }
    }
    if met.is_empty() {
        return Err(nearest(misses));
    }
    met.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.name.cmp(&y.name)));
    Ok(met.into_iter().map(|(_, policy)| policy).collect())
}

/// The policies that let this requester ask from this namespace; the one that he names, if he names one.
///
/// # Errors
/// One and the same for all whom no policy knows, so that nobody learns by asking what there is.
pub(super) fn open_to<'p>(
    request: &Request<'_>,
    policies: impl Iterator<Item = &'p Policy>,
) -> Result<Vec<&'p Policy>, Refusal> {
    let integration = &request.spec.integration_ref.name;
    let wanted = request.spec.policy_ref.as_ref().map(|wanted| &wanted.name);
    let labels = labels(request);
    let open: Vec<_> = policies
        .filter(|policy| policy.spec.effect == Effect::Allow && !policy.spec.suspend)
        .filter(|policy| policy.spec.integration_ref.name == *integration)
        .filter(|policy| wanted.is_none_or(|name| policy.name == *name))
        .filter(|policy| may_ask(policy, request, &labels))
        .collect();
    if open.is_empty() {
        return Err(Refusal::new(
            RefusalReason::NoPolicy,
            "No AccessPolicy lets this requester ask for this from this namespace, so nothing was looked up. Check spec.integrationRef, spec.policyRef, the namespace and the groups in spec.requestedBy, or have the platform team say which policy is meant for you",
        ));
    }
    Ok(open)
}

/// The labels of the request's namespace, with its name.
pub(super) fn labels(request: &Request<'_>) -> BTreeMap<String, String> {
    let mut labels = request.namespace_labels.clone();
    labels.insert(NAMESPACE_NAME.to_owned(), request.namespace.to_owned());
    labels
}

/// Whether the policy is for the request's namespace, and lists its requester. A ServiceAccount may ask only where
/// namespaces are named: their other labels are whoever's may write them.
fn may_ask(policy: &Policy, request: &Request<'_>, labels: &BTreeMap<String, String>) -> bool {
    let by = &request.spec.requested_by;
    let selector = &policy.spec.namespace_selector;
    selector::selects(selector, labels)
        && policy.spec.requesters.iter().any(|entry| entry.names(by, true))
        && (!by.is_service_account() || selector::is_by_key(selector, NAMESPACE_NAME))
}

/// What a request says by itself.
pub(super) struct Read<'a> {
    pub places: Vec<Place<'a>>,
    pub subject: subject::Asked,
    pub time: Asked,
    pub now: Timestamp,
}

/// On what terms a policy allows a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub limits: Limits,
    pub duration: SignedDuration,
}

impl<'a> Read<'a> {
    /// # Errors
    /// What makes no sense in the request, whatever the policies say.
    pub(super) fn of(request: &Request<'a>, now: Timestamp) -> Result<Self, Refusal> {
        Ok(Self {
            time: limits::asked(request.spec, request.from, now)?,
            places: target::places(&request.spec.access)?,
            subject: subject::Asked::of(request.spec, request.mapping)?,
            now,
        })
    }

    /// Whether one policy allows the request, but for privilege. Without facts, what only Rancher can tell passes.
    pub(super) fn check(&self, request: &Request<'_>, policy: &Policy, facts: Option<&Facts>) -> Result<Terms, Miss> {
        let terms = self.check_access(policy, facts)?;
        limits::check_end(request.spec, self.time, &terms.limits)?;
        limits::check_ahead(request.spec, self.now, &terms.limits)?;
        let continuous = facts.and_then(|facts| facts.continuous.as_ref());
        limits::check_continuous(continuous, terms.duration, &terms.limits)?;
        reason(request, policy)?;
        count(request, policy)?;
        Ok(terms)
    }

    /// Whether one policy allows this access, for so long, to this subject.
    pub(super) fn check_access(&self, policy: &Policy, facts: Option<&Facts>) -> Result<Terms, Miss> {
        let spec = &policy.spec;
        let limits = Limits::of(spec).map_err(|why| Miss::new(Step::Policy, RefusalReason::PolicyInvalid, why))?;
        subject::check(&spec.subjects, &self.subject, facts.map(|facts| &facts.subject))?;
        target::check(&spec.access, &self.places, facts)?;
        let duration = limits::check(self.time, &limits)?;
        Ok(Terms { limits, duration })
    }
}

/// Whether there is room for one more grant.
pub(super) fn count(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
    let limits = policy.spec.limits.unwrap_or_default();
    if limits == GrantLimits::default() {
        return Ok(());
    }
    let miss = |why: String| Err(Miss::new(Step::Room, RefusalReason::LimitReached, why));
    let Some(count) = request.unfinished.0.get(&policy.name) else {
        return miss(
            "how many of its grants are not finished is not known. Leave this one as it is: it is judged again"
                .to_owned(),
        );
    };
    let full = |limit: Option<i32>, count: usize| {
        limit.filter(|limit| usize::try_from(*limit).is_ok_and(|limit| count >= limit))
    };
    const REMEDY: &str = "Delete one that is no longer needed, or wait until one ends: this one is judged again then";
    if let Some(limit) = full(limits.per_namespace, count.in_namespace) {
        return miss(format!(
            "spec.limits.perNamespace is {limit}, and {} grants under it in namespace {} are not finished. {REMEDY}",
            count.in_namespace,
            quote(request.namespace)
        ));
    }
    if let Some(limit) = full(limits.per_requester, count.by_requester) {
        return miss(format!(
            "spec.limits.perRequester is {limit}, and {} grants under it that {} asked for are not finished. {REMEDY}",
            count.by_requester,
            quote(&request.spec.requested_by.username)
        ));
    }
    Ok(())
}

pub(super) fn reason(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
    let given = request.spec.reason.as_deref().unwrap_or_default().trim();
    if !policy.spec.require_reason || !given.is_empty() {
        return Ok(());
    }
    let why = "spec.requireReason is true, and the grant has no spec.reason. Create the grant anew with a reason, such as the number of an incident";
    Err(Miss::new(Step::Reason, RefusalReason::ReasonRequired, why))
}
