//! Writes an integration's status and finalizer, and tells what changed.

use jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::json;
use tracing::{info, warn};

use super::decide::KEY_AT_RISK;
use crate::{
    api::{
        ConditionStatus, FINALIZER, RancherIntegration, condition, integration::RancherIntegrationStatus,
        status::BindingRecord,
    },
    controller::{Context, grants, replacing},
    grant::{Because, GrantKey},
};

/// Writes the status where it differs, and keeps our finalizer on as long as a grant needs this integration.
///
/// # Errors
/// A 409 where it changed meanwhile: nothing was written.
pub(super) async fn record(
    ctx: &Context,
    integration: &RancherIntegration,
    status: &RancherIntegrationStatus,
    needed_by: &[GrantKey],
) -> Result<(), kube::Error> {
    let api: Api<RancherIntegration> = Api::all(ctx.client.clone());
    let (name, params) = (integration.name_any(), PatchParams::default());
    let mut stands = integration.clone();
    if integration.status.as_ref() != Some(status) {
        let meta = &integration.metadata;
        let patch = json!({
            "metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid},
            "status": replacing(json!(integration.status.clone().unwrap_or_default()), json!(status)),
        });
        stands = api.patch_status(&name, &params, &Patch::Merge(patch)).await?;
        report(ctx, integration, status);
        report_risk(ctx, integration, status);
    }
    let deleted = stands.metadata.deletion_timestamp.is_some();
    let has = stands.finalizers().iter().any(|f| f == FINALIZER);
    let wants = !deleted || !needed_by.is_empty();
    // None can be added to what is being deleted.
    if has == wants || (wants && deleted) {
        return Ok(());
    }
    let mut finalizers: Vec<_> = stands.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
    if wants {
        finalizers.push(FINALIZER.to_owned());
    }
    let meta = &stands.metadata;
    let patch =
        json!({"metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": finalizers}});
    api.patch(&name, &params, &Patch::Merge(patch)).await.map(drop)
}

/// The grants that still need it, in the order of their names: those with anything in Rancher that is not settled.
pub(super) fn needed_by(ctx: &Context, name: &str) -> Vec<GrantKey> {
    let unsettled = |bindings: &[BindingRecord]| bindings.iter().any(|b| !b.is_settled());
    let grants = ctx.grants.of_integration(name);
    let needing = grants.iter().filter(|grant| grant.status.as_ref().is_some_and(|s| unsettled(&s.bindings)));
    let mut keys: Vec<_> = needing.map(|grant| grants::key_of(grant)).collect();
    keys.sort();
    keys
}

/// The grant in force that ends last, and when.
pub(super) fn ends_last(ctx: &Context, name: &str) -> Option<(GrantKey, Timestamp)> {
    let grants = ctx.grants.of_integration(name);
    let ends = grants.iter().filter_map(|grant| {
        let status = grant.status.as_ref().filter(|status| status.bindings.iter().any(|b| !b.is_settled()))?;
        Some((status.expires_time.as_ref()?.0, grants::key_of(grant)))
    });
    ends.max().map(|(end, key)| (key, end))
}

/// An Event when what puts the key at risk changes.
fn report_risk(ctx: &Context, integration: &RancherIntegration, status: &RancherIntegrationStatus) {
    let before = integration.status.as_ref().and_then(|s| condition::find(&s.conditions, KEY_AT_RISK));
    let Some(after) = condition::find(&status.conditions, KEY_AT_RISK) else { return };
    if before.is_some_and(|before| before.reason == after.reason) {
        return;
    }
    warn!(integration = integration.name_any(), reason = after.reason, message = after.message, "The key is at risk");
    let note = format!("{}: {}", after.reason, after.message);
    ctx.events.publish(integration.object_ref(&()), EventType::Warning, "KeyAtRisk", "Probe", &note);
}

/// One log line and one Event when `Ready` changes its status or reason.
fn report(ctx: &Context, integration: &RancherIntegration, status: &RancherIntegrationStatus) {
    let before = integration.status.as_ref().and_then(|s| condition::find(&s.conditions, "Ready"));
    let Some(after) = condition::find(&status.conditions, "Ready") else { return };
    if before.is_some_and(|before| before.status == after.status && before.reason == after.reason) {
        return;
    }
    info!(
        integration = integration.name_any(),
        ready = ?after.status,
        reason = after.reason,
        message = after.message,
        "Integration changed"
    );
    let (type_, reason) = match after.status {
        ConditionStatus::True => (EventType::Normal, "Ready"),
        _ => (EventType::Warning, "NotReady"),
    };
    let note = format!("{}: {}", after.reason, after.message);
    ctx.events.publish(integration.object_ref(&()), type_, reason, "Probe", &note);
}

/// Another installation serves it: said in the log and as an Event, for the status is the other's. The recorder counts
/// repeats instead of repeating them.
pub(super) fn report_foreign(ctx: &Context, integration: &RancherIntegration, because: &Because) {
    warn!(
        integration = integration.name_any(),
        reason = because.reason,
        message = because.message,
        "Integration not served"
    );
    ctx.events.publish(
        integration.object_ref(&()),
        EventType::Warning,
        "AnotherInstallation",
        "Probe",
        &because.message,
    );
}
