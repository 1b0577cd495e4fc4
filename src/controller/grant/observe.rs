//! Holds a request against the admission proof, the integration, the policies and Rancher. Reads only.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    core::DeserializeGuard,
};
use serde_json::Value;
use tracing::warn;

use super::{
    ballots,
    resolve::{Resolved, Unresolved, named, resolve},
    terms,
};
use crate::{
    api::{AccessGrant, AccessPolicy, RancherIntegration, grant::AccessGrantSpec, policy::Effect},
    controller::{Context, brief, connection::Connection},
    grant::{Because, Extended, Judged, Terms},
    policy::{self, Policy, Refusal, RefusalReason, Request, Unfinished, Wanted},
};

/// What becomes of the request, as things stand. What extends another grant goes `from` the end of that one.
pub(super) async fn judge(
    ctx: &Context,
    grant: &AccessGrant,
    extended: &Extended,
    from: Option<Timestamp>,
    now: Timestamp,
) -> Judged {
    match weigh(ctx, grant, extended, from, now).await {
        Ok(terms) => Judged::Allowed(Box::new(terms)),
        Err(judged) => judged,
    }
}

async fn weigh(
    ctx: &Context,
    grant: &AccessGrant,
    extended: &Extended,
    from: Option<Timestamp>,
    now: Timestamp,
) -> Result<Terms, Judged> {
    if let Err(because) = ctx.proof.borrow().clone() {
        return Err(Judged::Unknown(because));
    }
    if !ctx.policies.is_listed() || !ctx.decisions.is_listed() {
        let message =
            "This operator has just begun and does not know all policies and decisions yet; it goes on in a moment.";
        return Err(Judged::Unknown(Because::new("Starting", message)));
    }
    let name = &grant.spec.integration_ref.name;
    let integration = ctx.integrations.get(name);
    let namespace = grant.metadata.namespace.clone().unwrap_or_default();
    let labels = namespace_labels(ctx, &namespace).await?;
    let policies = policies(ctx, name)?;
    let unfinished = ctx.seats.count(ctx, grant, &policies.iter().collect::<Vec<_>>());
    let request = Request {
        namespace: &namespace,
        namespace_labels: &labels,
        spec: &grant.spec,
        mapping: integration.as_ref().and_then(|integration| integration.spec.identity_mapping.as_ref()),
        from,
        unfinished: &unfinished,
    };
    // Whom no policy knows is told nothing: not even whether there is such an integration.
    let candidates = policy::candidates(&request, &policies, now);
    if let Err(refusal) = &candidates
        && !may_be_named(refusal)
    {
        return Err(not_allowed(refusal.clone()));
    }
    let overlays = policy::overlays(&request, &policies);
    let integration = open(name, integration.as_ref())?;
    let (connection, key_ends) = connection(ctx, name)?;
    let wanted = policy::wanted_subject(&grant.spec, request.mapping).map_err(not_allowed)?;
    let asked =
        Asked { ctx, connection: &connection, namespace: &namespace, wanted: &wanted, policies: &policies, now };
    let Meant { spec, candidates, mut resolved } = asked.meant(&request, candidates).await?;
    let request = Request { spec: spec.as_ref().unwrap_or(&grant.spec), ..request };
    let begin = from.or(grant.spec.start_time.as_ref().map(|start| start.0)).map_or(now, |begin| begin.max(now));
    resolved.facts.continuous = Some(terms::continuous(ctx, grant, &resolved.bindings, begin));
    let judge = |unfinished: &Unfinished| {
        policy::judge(&Request { unfinished, ..request }, &candidates, &overlays, &resolved.facts, now)
    };
    let all: Vec<_> = candidates.iter().chain(&overlays).copied().collect();
    let allowed = ctx.seats.judged(ctx, grant, &all, judge).map_err(not_allowed)?;
    let asked = grant.spec.end_time.as_ref().map(|end| end.0);
    let end = asked.or_else(|| begin.checked_add(allowed.duration).ok()).unwrap_or(Timestamp::MAX);
    if begin == now {
        outlasts_no_key(name, key_ends, end)?;
    }
    still_stand(ctx, name, &policies).await?;
    still_is(ctx, integration).await?;
    if !allowed.demands.is_empty() {
        ballots::all_known(ctx, grant).await.map_err(Judged::Unknown)?;
    }
    let case = terms::Case { ctx, grant, integration, connection: &connection, extended, now };
    case.terms(allowed, resolved).await.map_err(unresolved)
}

/// What a request means in Rancher.
struct Meant<'p> {
    /// With ids for names, where it had any.
    spec: Option<AccessGrantSpec>,
    /// The policies that may allow it.
    candidates: Vec<&'p Policy>,
    resolved: Resolved,
}

/// All that says what a request means.
struct Asked<'a, 'p> {
    ctx: &'a Context,
    connection: &'a Connection,
    namespace: &'a str,
    wanted: &'a Wanted,
    policies: &'p [Policy],
    now: Timestamp,
}

impl<'p> Asked<'_, 'p> {
    /// Takes what it names for ids, and only where no policy covers that, or nothing has such an id, for the names that Rancher
    /// shows. Where these lead no further, it is told what was told of the ids: who may not ask for something does not learn
    /// what there is.
    async fn meant(
        &self,
        request: &Request<'_>,
        candidates: Result<Vec<&'p Policy>, Refusal>,
    ) -> Result<Meant<'p>, Judged> {
        let refusal = match candidates {
            Ok(candidates) if named::are_ids(request.spec) => match self.resolve(request.spec).await {
                Ok(resolved) => return Ok(Meant { spec: None, candidates, resolved }),
                Err(Unresolved::Wrong(because)) if because.reason == "TargetNotFound" => Judged::Refused(because),
                Err(why) => return Err(unresolved(why)),
            },
            Ok(_) => refused(
                "TargetNotFound",
                "What spec.access names is neither the id nor the name of a cluster or project in Rancher: name it by its id (kubectl get rres).".to_owned(),
            ),
            Err(refusal) => not_allowed(refusal),
        };
        let covering = |spec: &_| policy::candidates(&Request { spec, ..*request }, self.policies, self.now).ok();
        let may = |spec: &_| covering(spec).is_some();
        let Some(spec) = named::by_ids(self.connection, request.spec, may).await.map_err(unresolved)? else {
            return Err(refusal);
        };
        let Some(candidates) = covering(&spec) else { return Err(refusal) };
        let resolved = self.resolve(&spec).await.map_err(unresolved)?;
        Ok(Meant { spec: Some(spec), candidates, resolved })
    }

    async fn resolve(&self, spec: &AccessGrantSpec) -> Result<Resolved, Unresolved> {
        resolve(self.ctx, self.connection, self.namespace, spec, self.wanted).await
    }
}

/// Whether what no policy covers by its id may be the name that Rancher shows of something that one covers.
fn may_be_named(refusal: &Refusal) -> bool {
    matches!(refusal.reason, RefusalReason::TargetNotAllowed | RefusalReason::RoleNotAllowed)
}

fn unresolved(why: Unresolved) -> Judged {
    match why {
        Unresolved::Wrong(because) => Judged::Refused(because),
        Unresolved::Unknown(because) => Judged::Unknown(because),
    }
}

/// The integration, if anything new may be granted on it.
fn open<'i>(name: &str, integration: Option<&'i Arc<RancherIntegration>>) -> Result<&'i RancherIntegration, Judged> {
    let integration = integration.ok_or_else(|| {
        refused("IntegrationNotFound", format!("There is no RancherIntegration {name}: create it, or create a grant whose spec.integrationRef names one that exists (kubectl get rint)."))
    })?;
    if integration.metadata.deletion_timestamp.is_some() {
        return Err(refused(
            "IntegrationDeleted",
            format!("The RancherIntegration {name} is being deleted: nothing new is granted on it."),
        ));
    }
    if integration.spec.suspend {
        return Err(refused(
            "IntegrationSuspended",
            format!(
                "The RancherIntegration {name} is suspended: nothing new is granted on it until its spec.suspend is false."
            ),
        ));
    }
    Ok(integration)
}

/// How the integration's Rancher is reached, and when the key for that expires.
fn connection(ctx: &Context, name: &str) -> Result<(Arc<Connection>, Option<Timestamp>), Judged> {
    let not_ready = || {
        Because::new(
            "IntegrationNotReady",
            format!("The RancherIntegration {name} has not been reached yet: kubectl describe rint {name} says more."),
        )
    };
    let link = ctx.registry.get(name).ok_or_else(|| Judged::Unknown(not_ready()))?;
    if let Err(because) = link.may_grant {
        let message = format!("The RancherIntegration {name} is not ready ({}): {}", because.reason, because.message);
        return Err(Judged::Unknown(Because::new("IntegrationNotReady", message)));
    }
    let connection = link.connection.ok_or_else(|| Judged::Unknown(not_ready()))?;
    Ok((connection, link.key_ends))
}

/// What begins now must not outlast the key by which it is taken away.
fn outlasts_no_key(integration: &str, key_ends: Option<Timestamp>, end: Timestamp) -> Result<(), Judged> {
    match key_ends {
        Some(key_ends) if end > key_ends => Err(refused(
            "KeyExpiresFirst",
            format!(
                "The access would end at {end}, but the operator's key for the RancherIntegration {integration} expires at {key_ends}: it could not be taken away on time, so it is not given. Ask for less, or have the platform team replace the key (kubectl describe rint {integration}); the grant goes on by itself then."
            ),
        )),
        _ => Ok(()),
    }
}

pub(super) async fn namespace_labels(ctx: &Context, namespace: &str) -> Result<BTreeMap<String, String>, Judged> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    match api.get_metadata(namespace).await {
        Ok(found) => Ok(found.metadata.labels.unwrap_or_default()),
        Err(error) => {
            let message = format!(
                "The labels of namespace {namespace} cannot be read, so no policy can be held against them: {}. Tried again.",
                brief(&error)
            );
            Err(Judged::Unknown(Because::new("NamespaceUnreadable", message)))
        }
    }
}

/// Whether the policies stand as the watch last told: a watch may be blind for a while, and what was taken back, or is
/// denied by now, must not be granted.
async fn still_stand(ctx: &Context, integration: &str, judged: &[Policy]) -> Result<(), Judged> {
    let changing = |message: String| Err(Judged::Unknown(Because::new("PolicyChanging", message)));
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &ApiResource::erase::<AccessPolicy>(&()));
    let listed = match api.list(&ListParams::default()).await {
        Ok(listed) => listed,
        Err(error) => {
            return changing(format!(
                "Whether the policies still stand cannot be read: {}. Tried again.",
                brief(&error)
            ));
        }
    };
    let mut found: Vec<AccessPolicy> = Vec::new();
    for object in listed {
        // One that cannot be read may be there to hold others back; it holds up no more than the integration it is about.
        let about = object.data.pointer("/spec/integrationRef/name").and_then(Value::as_str).map(str::to_owned);
        let name = object.name_any();
        match object.try_parse() {
            Ok(policy) => found.push(policy),
            Err(_) if about.is_some_and(|about| about != integration) => {}
            Err(_) => return changing(format!("Policy {name} cannot be read: mend or delete it. Tried again.")),
        }
    }
    let state = |policy: &Policy| (policy.name.clone(), policy.uid.clone(), policy.generation);
    let now: BTreeSet<_> = in_force(found.iter(), integration)?.iter().map(state).collect();
    let then: BTreeSet<_> = judged.iter().map(state).collect();
    match now.symmetric_difference(&then).next() {
        None => Ok(()),
        Some((name, ..)) => changing(format!("Policy {name} is changing; the request is judged again in a moment.")),
    }
}

/// Whether the integration stands as the watch last told: who owns it, how names map, and whether it is suspended.
async fn still_is(ctx: &Context, integration: &RancherIntegration) -> Result<(), Judged> {
    let name = integration.metadata.name.clone().unwrap_or_default();
    let same = |found: &&RancherIntegration| {
        (&found.metadata.uid, found.metadata.generation) == (&integration.metadata.uid, integration.metadata.generation)
    };
    let api = Api::<DeserializeGuard<RancherIntegration>>::all(ctx.client.clone());
    let message = match api.list(&ListParams::default()).await {
        Ok(found) if found.iter().filter_map(|found| found.0.as_ref().ok()).any(|found| same(&found)) => return Ok(()),
        Ok(_) => format!("The RancherIntegration {name} is changing; the request is judged again in a moment."),
        Err(error) => {
            format!(
                "Whether the RancherIntegration {name} still stands cannot be read: {}. Tried again.",
                brief(&error)
            )
        }
    };
    Err(Judged::Unknown(Because::new("IntegrationChanging", message)))
}

/// Every policy about that integration.
pub(super) fn policies(ctx: &Context, integration: &str) -> Result<Vec<Policy>, Judged> {
    let read = ctx.policies.all();
    in_force(read.iter().map(AsRef::as_ref), integration)
}

/// Those that can be read. One that cannot be allows nothing; and where it is to hold others back, nothing is allowed
/// until it can be.
fn in_force<'a>(policies: impl Iterator<Item = &'a AccessPolicy>, integration: &str) -> Result<Vec<Policy>, Judged> {
    let mut read = Vec::new();
    let about = policies.filter(|policy| policy.spec.integration_ref.name == integration);
    for policy in about.filter(|policy| policy.metadata.deletion_timestamp.is_none()) {
        match Policy::try_from(policy) {
            Ok(policy) => read.push(policy),
            Err(error) if policy.spec.effect == Effect::Allow => {
                warn!(%error, "This policy cannot be used, and allows nothing");
            }
            Err(error) => {
                let message = format!(
                    "{error}. It holds others back, so nothing is granted on integration {integration} until it can be used."
                );
                return Err(Judged::Unknown(Because::new("PolicyInvalid", message)));
            }
        }
    }
    Ok(read)
}

fn refused(reason: &str, message: String) -> Judged {
    Judged::Refused(Because::new(reason, message))
}

fn not_allowed(refusal: Refusal) -> Judged {
    Judged::Refused(Because::new(refusal.reason.as_str(), refusal.message))
}
