//! Writes what was decided: the grant's status, and our finalizer.

use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    api::{AccessGrant, AccessGrantStatus, FINALIZER},
    controller::{Context, replacing},
};

/// Writes the status as it should be, if the grant is still as it was read: the answer is the grant as it then stands.
///
/// # Errors
/// A 409 where it changed meanwhile: nothing was written.
pub(super) async fn status(
    ctx: &Context,
    grant: &AccessGrant,
    status: &AccessGrantStatus,
) -> Result<AccessGrant, kube::Error> {
    let patch = json!({"metadata": {"resourceVersion": grant.metadata.resource_version, "uid": grant.metadata.uid}, "status": replacing(json!(grant.status.clone().unwrap_or_default()), json!(status))});
    let written =
        api(ctx, grant).patch_status(&grant.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    ctx.grants.observe(written.clone());
    Ok(written)
}

/// Puts our finalizer on the grant, if it is still as it was read.
///
/// # Errors
/// A 409 where it changed meanwhile: nothing was written.
pub(super) async fn add_finalizer(ctx: &Context, grant: &AccessGrant) -> Result<AccessGrant, kube::Error> {
    let mut finalizers = grant.finalizers().to_vec();
    finalizers.push(FINALIZER.to_owned());
    finalizers_are(ctx, grant, &finalizers).await
}

/// Takes our finalizer off the grant, if it is still as it was read.
///
/// # Errors
/// A 409 where it changed meanwhile: nothing was written.
pub(super) async fn remove_finalizer(ctx: &Context, grant: &AccessGrant) -> Result<AccessGrant, kube::Error> {
    let finalizers: Vec<_> = grant.finalizers().iter().filter(|f| *f != FINALIZER).cloned().collect();
    finalizers_are(ctx, grant, &finalizers).await
}

async fn finalizers_are(ctx: &Context, grant: &AccessGrant, finalizers: &[String]) -> Result<AccessGrant, kube::Error> {
    let meta = &grant.metadata;
    let patch =
        json!({"metadata": {"resourceVersion": meta.resource_version, "uid": meta.uid, "finalizers": finalizers}});
    let written = api(ctx, grant).patch(&grant.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await?;
    ctx.grants.observe(written.clone());
    Ok(written)
}

fn api(ctx: &Context, grant: &AccessGrant) -> Api<AccessGrant> {
    Api::namespaced(ctx.client.clone(), &grant.namespace().unwrap_or_default())
}
