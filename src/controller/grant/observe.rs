//! Holds a request against the admission proof, the integration, the policies and Rancher. Reads only.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use tracing::warn;

use super::resolve::{Resolved, Unresolved, resolve};
use crate::{
    api::{
        AccessGrant, AccessPolicy, RancherIntegration,
        integration::{RancherIntegrationSpec, RancherStatus},
        status::{AccessDetails, BindingRecord, PolicyRecord, TargetDetails},
    },
    controller::{Context, brief, connection::Connection, words},
    grant::{Because, Judged, Terms, name::membership_role},
    policy::{self, Policy, Refusal, Request, Unfinished},
};

/// What becomes of the request, as things stand.
/// What extends another grant goes `from` the end of that one.
pub(super) async fn judge(ctx: &Context, grant: &AccessGrant, from: Option<Timestamp>, now: Timestamp) -> Judged {
    match weigh(ctx, grant, from, now).await {
        Ok(terms) => Judged::Allowed(Box::new(terms)),
        Err(judged) => judged,
    }
}

async fn weigh(ctx: &Context, grant: &AccessGrant, from: Option<Timestamp>, now: Timestamp) -> Result<Terms, Judged> {
    if let Err(because) = ctx.proof.borrow().clone() {
        return Err(Judged::Unknown(because));
    }
    let name = &grant.spec.integration_ref.name;
    let integration = ctx.integrations.get(name).ok_or_else(|| {
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
    let namespace = grant.metadata.namespace.clone().unwrap_or_default();
    let labels = namespace_labels(ctx, &namespace).await?;
    let policies = policies(ctx);
    let unfinished = ctx.seats.count(ctx, grant, &policies.iter().collect::<Vec<_>>());
    let request = Request {
        namespace: &namespace,
        namespace_labels: &labels,
        spec: &grant.spec,
        mapping: integration.spec.identity_mapping.as_ref(),
        from,
        unfinished: &unfinished,
    };
    let candidates = policy::candidates(&request, &policies, now).map_err(not_allowed)?;
    let connection = connection(ctx, name)?;
    let wanted = policy::wanted_subject(&grant.spec, request.mapping).map_err(not_allowed)?;
    let resolved = resolve(ctx, &connection, &grant.spec, &wanted).await.map_err(|unresolved| match unresolved {
        Unresolved::Wrong(because) => Judged::Refused(because),
        Unresolved::Unknown(because) => Judged::Unknown(because),
    })?;
    let judge =
        |unfinished: &Unfinished| policy::judge(&Request { unfinished, ..request }, &candidates, &resolved.facts, now);
    let allowed = ctx.seats.judged(ctx, grant, &candidates, judge).map_err(not_allowed)?;
    still_stands(ctx, &allowed.policy).await?;
    Ok(terms(ctx, allowed, resolved, &integration, &connection))
}

fn terms(
    ctx: &Context,
    allowed: policy::Allowed,
    resolved: Resolved,
    integration: &RancherIntegration,
    connection: &Connection,
) -> Terms {
    let rancher =
        RancherStatus { install_uuid: Some(connection.install_uuid.clone()), ..words::rancher(&connection.release) };
    let details = details(ctx, &integration.spec, &resolved.bindings);
    Terms {
        policy: allowed.policy,
        required_approvals: allowed.required_approvals,
        approval_timeout: allowed.approval_timeout,
        duration: allowed.duration,
        rancher,
        bindings: resolved.bindings,
        details,
    }
}

fn connection(ctx: &Context, name: &str) -> Result<std::sync::Arc<Connection>, Judged> {
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
    link.connection.ok_or_else(|| Judged::Unknown(not_ready()))
}

async fn namespace_labels(ctx: &Context, namespace: &str) -> Result<BTreeMap<String, String>, Judged> {
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

/// Whether the policy that allows the request stands as the watch last told: a watch may be blind for a while, and what
/// was taken back must not be granted.
async fn still_stands(ctx: &Context, judged: &PolicyRecord) -> Result<(), Judged> {
    let found = Api::<AccessPolicy>::all(ctx.client.clone()).get_metadata_opt(&judged.name).await;
    let message = match found.map(|found| found.map(|policy| (policy.metadata.uid, policy.metadata.generation))) {
        Ok(Some((uid, generation))) if uid.as_deref() == Some(&judged.uid) && generation == Some(judged.generation) => {
            return Ok(());
        }
        Ok(_) => format!("Policy {} is changing; the request is judged again in a moment.", judged.name),
        Err(error) => {
            format!("Whether policy {} still stands cannot be read: {}. Tried again.", judged.name, brief(&error))
        }
    };
    Err(Judged::Unknown(Because::new("PolicyChanging", message)))
}

/// Every policy that can be read. One that cannot be allows nothing.
fn policies(ctx: &Context) -> Vec<Policy> {
    let read = ctx.policies.all();
    read.iter()
        .filter(|policy| policy.metadata.deletion_timestamp.is_none())
        .filter_map(|policy| match Policy::try_from(policy.as_ref()) {
            Ok(policy) => Some(policy),
            Err(error) => {
                warn!(%error, "This policy cannot be used, and allows nothing");
                None
            }
        })
        .collect()
}

/// What to tell the user about using the access. What only lets him in is nothing to go to.
fn details(ctx: &Context, spec: &RancherIntegrationSpec, bindings: &[BindingRecord]) -> AccessDetails {
    let ui = ui_url(spec);
    let membership = membership_role(&ctx.installation.id);
    let targets = bindings
        .iter()
        .filter(|record| record.role != membership)
        .map(|record| {
            let target = words::access(record).target.to_string();
            let page = |path: String| if ui.is_empty() { String::new() } else { format!("{ui}/dashboard/{path}") };
            match record.cluster.as_str() {
                "" => TargetDetails { target, url: page("home".to_owned()), kubeconfig_command: String::new() },
                cluster => TargetDetails {
                    target,
                    url: page(format!("c/{cluster}/explorer")),
                    kubeconfig_command: format!("rancher clusters kubeconfig {cluster}"),
                },
            }
        })
        .collect();
    AccessDetails { instructions: spec.custom_access_details.clone(), targets }
}

/// Where people reach Rancher's pages: nowhere that is known, for a Rancher without a host.
fn ui_url(spec: &RancherIntegrationSpec) -> String {
    let url = spec.ui_url.clone().unwrap_or_else(|| match (spec.host.as_str(), spec.port) {
        ("", _) => String::new(),
        (host, 443) => format!("https://{host}"),
        (host, port) => format!("https://{host}:{port}"),
    });
    url.trim_end_matches('/').to_owned()
}

fn refused(reason: &str, message: String) -> Judged {
    Judged::Refused(Because::new(reason, message))
}

fn not_allowed(refusal: Refusal) -> Judged {
    Judged::Refused(Because::new(refusal.reason.as_str(), refusal.message))
}
