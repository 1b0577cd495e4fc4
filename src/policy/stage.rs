//! The first stage: what the grant and the policies say by themselves, before Rancher is asked anything.

use jiff::{SignedDuration, Timestamp};

use super::{
    facts::Facts,
    limits::{self, Asked, Limits},
    refusal::{Miss, Refusal, RefusalReason, Step, nearest, quote},
    request::{Policy, Request},
    selector, subject,
    target::{self, Place},
};
use crate::api::{
    policy::GrantLimits,
    reference::{Identity, IdentityKind},
};

/// The label by which a namespace's name can be selected. The API server sets it on every namespace.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The policies that may allow the request, as far as can be told without Rancher: those with the fewest approvals
/// first, then by name.
///
/// What only Rancher can tell (labels, the principals of a user id, privilege) passes here.
///
/// # Errors
/// Why no policy allows the request: by the one that came nearest.
pub fn candidates<'p>(
    request: &Request<'_>,
    policies: &'p [Policy],
    now: Timestamp,
) -> Result<Vec<&'p Policy>, Refusal> {
    let relevant = relevant(request, policies.iter())?;
    let read = Read::of(request, now)?;
    let mut met = Vec::new();
    let mut misses = Vec::new();
    for policy in relevant {
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

/// The policies about the request's integration; the one that it names, if it names one.
pub(super) fn relevant<'p>(
    request: &Request<'_>,
    policies: impl Iterator<Item = &'p Policy>,
) -> Result<Vec<&'p Policy>, Refusal> {
    let integration = &request.spec.integration_ref.name;
    let wanted = request.spec.policy_ref.as_ref().map(|wanted| &wanted.name);
    let relevant: Vec<_> = policies
        .filter(|policy| policy.spec.integration_ref.name == *integration)
        .filter(|policy| wanted.is_none_or(|name| policy.name == *name))
        .collect();
    if !relevant.is_empty() {
        return Ok(relevant);
    }
    let integration = quote(integration);
    Err(match wanted {
        Some(name) => Refusal::new(
            RefusalReason::PolicyNotFound,
            format!(
                "No AccessPolicy {} is about integration {integration}. Create another grant with another spec.policyRef or with none, or have the platform team create that policy",
                quote(name)
            ),
        ),
        None => Refusal::new(
            RefusalReason::NoPolicy,
            format!(
                "No AccessPolicy is about integration {integration}, and without one nothing is granted. Check spec.integrationRef, or have the platform team create a policy"
            ),
        ),
    })
}

/// What a request says by itself.
pub(super) struct Read<'a> {
    pub places: Vec<Place<'a>>,
    pub subject: subject::Asked,
    pub time: Asked,
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
        })
    }

    /// Whether one policy allows the request, but for privilege. Without facts, what only Rancher can tell passes.
    pub(super) fn check(&self, request: &Request<'_>, policy: &Policy, facts: Option<&Facts>) -> Result<Terms, Miss> {
        let spec = &policy.spec;
        let limits = Limits::of(spec).map_err(|why| Miss::new(Step::Policy, RefusalReason::PolicyInvalid, why))?;
        namespace(request, policy)?;
        requester(request, policy)?;
        subject::check(&spec.subjects, &self.subject, facts.map(|facts| &facts.subject))?;
        target::check(&spec.access, &self.places, facts)?;
        let duration = limits::check(request.spec, self.time, &limits)?;
        reason(request, policy)?;
        count(request, policy)?;
        Ok(Terms { limits, duration })
    }
}

fn namespace(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
    let mut labels = request.namespace_labels.clone();
    labels.insert(NAMESPACE_NAME.to_owned(), request.namespace.to_owned());
    if selector::selects(&policy.spec.namespace_selector, &labels) {
        return Ok(());
    }
    let namespace = quote(request.namespace);
    let why = if policy.spec.namespace_selector.is_empty() {
        "spec.namespaceSelector is empty, and so selects no namespace. Have the platform team say which namespaces it is for".to_owned()
    } else {
        format!(
            "spec.namespaceSelector does not select namespace {namespace} by its labels. Create the grant in a namespace of yours that it selects, or have the platform team label this one"
        )
    };
    Err(Miss::new(Step::Namespace, RefusalReason::NamespaceNotAllowed, why))
}

fn requester(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
    let by = &request.spec.requested_by;
    let listed = |identity: &Identity| match (identity.kind, &identity.namespace) {
        (IdentityKind::User, None) => identity.name == by.username,
        (IdentityKind::Group, None) => by.groups.contains(&identity.name),
        (IdentityKind::ServiceAccount, Some(namespace)) => {
            by.username == format!("system:serviceaccount:{namespace}:{}", identity.name)
        }
        _ => false,
    };
    if policy.spec.requesters.iter().any(listed) {
        return Ok(());
    }
    let (who, groups) = (quote(&by.username), by.groups.len());
    let why = format!(
        "spec.requesters lists neither {who} nor one of the {groups} groups in the grant's spec.requestedBy. Have the platform team add the user or a group, or have somebody ask who is listed"
    );
    Err(Miss::new(Step::Requester, RefusalReason::RequesterNotAllowed, why))
}

/// Whether there is room for one more grant.
fn count(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
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

fn reason(request: &Request<'_>, policy: &Policy) -> Result<(), Miss> {
    let given = request.spec.reason.as_deref().unwrap_or_default().trim();
    if !policy.spec.require_reason || !given.is_empty() {
        return Ok(());
    }
    let why = "spec.requireReason is true, and the grant has no spec.reason. Create the grant anew with a reason, such as the number of an incident";
    Err(Miss::new(Step::Reason, RefusalReason::ReasonRequired, why))
}
