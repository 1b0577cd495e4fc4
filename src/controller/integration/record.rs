//! Writes an integration's status and finalizer, and tells what changed.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::json;
use tracing::info;

use crate::{
    api::{
        ConditionStatus, FINALIZER, RancherIntegration, condition, integration::RancherIntegrationStatus,
        status::BindingRecord,
    },
    controller::Context,
};

/// Writes the status where it differs, and keeps our finalizer on as long as a grant needs this integration.
///
/// # Errors
/// A 409 where it changed meanwhile: nothing was written.
pub(super) async fn record(
    ctx: &Context,
    integration: &RancherIntegration,
    status: &RancherIntegrationStatus,
) -> Result<(), kube::Error> {
    let api: Api<RancherIntegration> = Api::all(ctx.client.clone());
    let name = integration.name_any();
    let mut status = status.clone();
    let needed = needed_by(ctx, &name);
    let deleted = integration.metadata.deletion_timestamp.is_some();
    if deleted && needed > 0 {
        let message = format!(
            "Deleted, but {needed} grant(s) still have access to be taken away through it: it goes when they are settled. Delete the grants to end them now."
        );
        condition::set(
            &mut status.conditions,
            ctx.now(),
            integration.metadata.generation,
            "Ready",
            ConditionStatus::False,
            "Deleting",
            message,
        );
    }
    if integration.status.as_ref() != Some(&status) {
        let patch = json!({"metadata": {"resourceVersion": integration.metadata.resource_version, "uid": integration.metadata.uid}, "status": status});
        api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        report(ctx, integration, &status);
        // The finalizer follows with the echo of this write.
        return Ok(());
    }
    let has = integration.finalizers().iter().any(|f| f == FINALIZER);
    let wants = if deleted { needed > 0 } else { true };
    if has != wants && (has || !deleted) {
        let mut finalizers: Vec<_> = integration.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
        if wants {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({"metadata": {"resourceVersion": integration.metadata.resource_version, "uid": integration.metadata.uid, "finalizers": finalizers}});
        api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    }
    Ok(())
}

/// How many grants still need it: those with anything in Rancher that is not settled.
fn needed_by(ctx: &Context, name: &str) -> usize {
    let unsettled = |bindings: &[BindingRecord]| bindings.iter().any(|b| !b.is_settled());
    ctx.grants
        .of_integration(name)
        .iter()
        .filter(|grant| grant.status.as_ref().is_some_and(|s| unsettled(&s.bindings)))
        .count()
}

/// One log line and one Event when `Ready` changes its status or reason.
fn report(ctx: &Context, integration: &RancherIntegration, status: &RancherIntegrationStatus) {
    let before = integration.status.as_ref().and_then(|s| condition::find(&s.conditions, "Ready"));
    let Some(after) = condition::find(&status.conditions, "Ready") else { return };
    if before.is_some_and(|before| before.status == after.status && before.reason == after.reason) {
        return;
    }
    info!(integration = integration.name_any(), ready = ?after.status, reason = after.reason, message = after.message, "Integration changed");
    let (type_, reason) = match after.status {
        ConditionStatus::True => (EventType::Normal, "Ready"),
        _ => (EventType::Warning, "NotReady"),
    };
    ctx.events.publish(
        integration.object_ref(&()),
        type_,
        reason,
        "Probe",
        &format!("{}: {}", after.reason, after.message),
    );
}
