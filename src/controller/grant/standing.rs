//! Whether the policy that allowed a grant still does, while its access is in force.
//!
//! Looked at when policies changed since the last look. Where nothing says that access ends with its policy, Rancher is
//! not asked.

use kube::{Api, Resource, api::ListParams, core::DeserializeGuard};

use super::{observe, resolve};
use crate::{
    api::{AccessGrant, AccessPolicy, policy::OnPolicyChange, status::PolicyRecord},
    controller::{Context, brief},
    grant::{GrantView, Standing, Wake},
    policy::{self, Policy, Request, Unfinished},
};

/// How soon what could not be looked at is looked at again.
const AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// Looks, where there is anything new to see.
pub(super) async fn look(ctx: &Context, grant: &AccessGrant, view: &GrantView) -> Standing {
    let Some(record) = view.status.policy.as_ref().filter(|_| view.is_recorded()) else { return Standing::Stands };
    if view.is_finished() || view.ended(ctx.now()).is_some() {
        return Standing::Stands;
    }
    if !ctx.policies.is_listed() {
        return Standing::Stands;
    }
    let policies = ctx.policies.all();
    let about = policies.iter().filter(|policy| policy.spec.integration_ref == grant.spec.integration_ref);
    let state: Vec<_> = about.map(|p| (p.metadata.uid.clone(), p.metadata.generation)).collect();
    let state = policy::fingerprint(&(&view.uid, state));
    if let Some(known) = ctx.memory.standing(&view.key, &state) {
        return known;
    }
    match ask(ctx, grant, view, record).await {
        Ok(standing) => {
            ctx.memory.stands(&view.key, state, standing.clone());
            standing
        }
        Err(()) => {
            if let Wake::At(again) = Wake::after(ctx.now(), AGAIN) {
                ctx.queue.push_at(view.key.clone(), again);
            }
            Standing::Stands
        }
    }
}

/// `Err`: it cannot be known at present.
async fn ask(ctx: &Context, grant: &AccessGrant, view: &GrantView, record: &PolicyRecord) -> Result<Standing, ()> {
    let all = observe::policies(ctx, &grant.spec.integration_ref.name).map_err(drop)?;
    // Those that cannot mean whoever asked need not be held against what Rancher says.
    let denies: Vec<_> = all
        .iter()
        .filter(|policy| policy.is_in_force_to_deny() && policy.spec.on_policy_change == OnPolicyChange::Revoke)
        .filter(|policy| policy.may_mean(&grant.spec.requested_by))
        .collect();
    let current = all.iter().find(|policy| policy.name == record.name && policy.uid == record.uid);
    let unchanged = current.is_some_and(|policy| policy.generation == record.generation);
    let ends = !unchanged && record.on_policy_change == OnPolicyChange::Revoke;
    let name = &record.name;
    if current.is_none() || current.is_some_and(|policy| policy.spec.suspend) {
        let how = if current.is_some() { "is suspended" } else { "is gone" };
        if ends {
            return gone(ctx, grant, record).await.map(|()| {
                Standing::Ends(format!(
                    "Policy {name}, which allowed this, {how}; its onPolicyChange was Revoke, so the access ends."
                ))
            });
        }
        if denies.is_empty() {
            return Ok(kept(&format!("Policy {name} {how} since")));
        }
    }
    if !ends && denies.is_empty() {
        return Ok(if unchanged { Standing::Stands } else { kept(&format!("Policy {name} changed since")) });
    }
    match held_against(ctx, grant, view, current.filter(|_| ends), &denies).await? {
        Ok(()) if unchanged || ends => Ok(Standing::Stands),
        Ok(()) => Ok(kept(&format!("Policy {name} changed since"))),
        Err(why) => Ok(Standing::Ends(format!("{why}. Its onPolicyChange is Revoke, so the access ends."))),
    }
}

fn kept(what: &str) -> Standing {
    Standing::Kept(format!(
        "{what}; access that it allowed before stays until its end, as its onPolicyChange was Keep. Delete the grant to end it earlier."
    ))
}

/// That a policy is gone, or about another integration by now, counts only where the API server itself says so.
async fn gone(ctx: &Context, grant: &AccessGrant, record: &PolicyRecord) -> Result<(), ()> {
    let found = Api::<DeserializeGuard<AccessPolicy>>::all(ctx.client.clone()).list(&ListParams::default()).await;
    let stands = |found: &AccessPolicy| found.spec.integration_ref == grant.spec.integration_ref && !found.spec.suspend;
    // One that cannot be read is not gone.
    let is = |found: &DeserializeGuard<AccessPolicy>| {
        found.meta().uid.as_deref() == Some(&record.uid) && found.0.as_ref().map_or(true, stands)
    };
    match found {
        Ok(found) if found.iter().any(is) => Err(()),
        Ok(_) => Ok(()),
        Err(error) => {
            tracing::debug!(
                policy = record.name,
                error = brief(&error),
                "Whether this policy is gone cannot be read yet"
            );
            Err(())
        }
    }
}

/// Whether the request would still be allowed; why not.
async fn held_against(
    ctx: &Context,
    grant: &AccessGrant,
    view: &GrantView,
    policy: Option<&Policy>,
    denies: &[&Policy],
) -> Result<Result<(), String>, ()> {
    let now = ctx.now();
    let name = &grant.spec.integration_ref.name;
    let integration = ctx.integrations.get(name).ok_or(())?;
    let connection = ctx.registry.get(name).and_then(|link| link.connection).ok_or(())?;
    let mapping = integration.spec.identity_mapping.as_ref();
    let wanted = match policy::wanted_subject(&grant.spec, mapping) {
        Ok(wanted) => wanted,
        Err(refusal) => return Ok(Err(refusal.message)),
    };
    let labels = observe::namespace_labels(ctx, &view.key.namespace).await.map_err(drop)?;
    let spec = resolve::named::as_recorded(&grant.spec, &view.status.bindings);
    let resolved = match resolve::resolve(ctx, &connection, &view.key.namespace, &spec, &wanted).await {
        Ok(resolved) => resolved,
        // What cannot be told to be allowed is not: whoever has it could else take away what it is judged by.
        Err(resolve::Unresolved::Wrong(because)) => return Ok(Err(because.message)),
        Err(resolve::Unresolved::Unknown(_)) => return Err(()),
    };
    let request = Request {
        namespace: &view.key.namespace,
        namespace_labels: &labels,
        spec: &spec,
        mapping,
        from: None,
        unfinished: &Unfinished::default(),
    };
    let began = view.status.bindings.iter().map(|b| b.since.0).min();
    let began = view.status.granted_time.as_ref().map(|time| time.0).into_iter().chain(began).min();
    // What goes on from another's end was asked for from there.
    let from = view.status.extends.as_ref().map(|extended| extended.end_time.0);
    let began = began.into_iter().chain(from).max();
    let length = view.recorded_end().zip(began).map(|(end, began)| end.duration_since(began)).unwrap_or_default();
    let judged = policy::still_allows(&request, policy, denies, &resolved.facts, length, now);
    Ok(judged.map_err(|refusal| refusal.message))
}
