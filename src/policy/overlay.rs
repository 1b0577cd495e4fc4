//! Policies that lie over what others allow: `Require` demands more, `Deny` refuses.
//!
//! They are there to hold back, so what is not known, or left out, counts as met: an empty selector or list means
//! everything, and names are folded.

use jiff::SignedDuration;

use super::{
    facts::Facts,
    fold, glob,
    limits::{self, Asked, Limits},
    refusal::{Miss, Refusal, RefusalReason, Step, quote},
    request::{Policy, Request},
    selector,
    stage::{self, Read},
    subject::Wanted,
    target,
};
use crate::api::{
    policy::{Effect, Subjects},
    reference::{Caller, Identity, IdentityKind, SERVICE_ACCOUNT},
};

/// The `Require` and `Deny` policies about the request's integration that are in force: those that deny first, then by name.
pub fn overlays<'p>(request: &Request<'_>, policies: &'p [Policy]) -> Vec<&'p Policy> {
    let integration = &request.spec.integration_ref.name;
    let mut found: Vec<_> = policies
        .iter()
        .filter(|policy| policy.spec.effect != Effect::Allow && !policy.spec.suspend)
        .filter(|policy| policy.spec.integration_ref.name == *integration)
        .collect();
    found.sort_by_key(|policy| (policy.spec.effect != Effect::Deny, policy.name.clone()));
    found
}

/// Whether an overlay is about the request.
pub(super) fn matches(policy: &Policy, request: &Request<'_>, read: &Read<'_>, facts: &Facts) -> bool {
    let spec = &policy.spec;
    let labels = stage::labels(request);
    (spec.namespace_selector.is_empty() || selector::selects(&spec.namespace_selector, &labels))
        && policy.may_mean(&request.spec.requested_by)
        && subject(&spec.subjects, read, facts)
        && (spec.access.is_empty() || target::touches(&spec.access, &read.places, facts))
}

/// Whether an entry of `requesters` may mean somebody.
pub(super) fn may_be(entry: &Identity, requester: &Caller) -> bool {
    let name = fold(&requester.username);
    match (entry.kind, &entry.namespace) {
        (IdentityKind::User, _) => fold(&entry.name) == name,
        // Whoever asks chooses which of his groups he names.
        (IdentityKind::Group, _) => true,
        (IdentityKind::ServiceAccount, namespace) => {
            let namespace = namespace.as_deref().unwrap_or_default();
            fold(&format!("{SERVICE_ACCOUNT}{namespace}:{}", entry.name)) == name
        }
    }
}

fn subject(subjects: &Subjects, read: &Read<'_>, facts: &Facts) -> bool {
    let Subjects { users, groups, local_users, .. } = subjects;
    if users.is_empty() && groups.is_empty() && local_users.is_empty() {
        return true;
    }
    let any =
        |patterns: &[String], name: &str| patterns.iter().any(|pattern| glob::matches(&fold(pattern), &fold(name)));
    let known = facts.subject.user_id.iter().chain(&facts.subject.principals);
    match &read.subject.wanted {
        Wanted::Group(group) => any(groups, group),
        Wanted::User(name) | Wanted::Principal(name) => known.chain([name]).any(|name| any(users, name)),
        // By the name that he is asked for with, and by those that he gets in Rancher.
        Wanted::LocalUser(name) => any(local_users, name) || known.into_iter().any(|name| any(users, name)),
    }
}

/// Why a policy refuses what it matches.
pub(super) fn denied(policy: &Policy) -> Refusal {
    let message = format!(
        "AccessPolicy {} (effect Deny) refuses this grant. Ask for something else, or have the platform team decide whether it should",
        quote(&policy.name)
    );
    Refusal::new(RefusalReason::PolicyDenies, message)
}

/// Whether the request keeps to what a `Require` policy demands, where it would last so long without; its limits.
///
/// # Errors
/// What it does not keep to.
pub(super) fn required(
    policy: &Policy,
    request: &Request<'_>,
    read: &Read<'_>,
    facts: &Facts,
    duration: SignedDuration,
) -> Result<Limits, Refusal> {
    let refusal = |miss: Miss| {
        let message =
            format!("AccessPolicy {} (effect Require) does not let this grant pass: {}", quote(&policy.name), miss.why);
        Refusal::new(miss.reason, message)
    };
    let limits =
        Limits::of(&policy.spec).map_err(|why| refusal(Miss::new(Step::Policy, RefusalReason::PolicyInvalid, why)))?;
    let length = match read.time {
        Asked::Default => limits.max.map_or(duration, |max| duration.min(max)),
        asked => limits::check(asked, &limits).map_err(refusal)?,
    };
    limits::check_continuous(facts.continuous.as_ref(), length, &limits).map_err(refusal)?;
    limits::check_ahead(request.spec, read.now, &limits).map_err(refusal)?;
    stage::reason(request, policy).map_err(refusal)?;
    stage::count(request, policy).map_err(refusal)?;
    Ok(limits)
}
