//! The role template without rules by which those who have access to single namespaces are let into the cluster.
//!
//! It is made once for a Rancher, looked at before each use, shared by all holders, and removed by the sweep once no
//! binding refers to it. Nobody uses it while it has rules: then whoever gave it some would decide what we give.

use tracing::info;

use super::act::Hand;
use crate::{
    api::{LABEL_INSTALLATION, status::BindingRecord},
    controller::{Context, connection::Connection},
    grant::{Because, name::membership_role},
    rancher::{
        Error,
        wire::{BindingKind, RoleTemplate},
    },
    runtime::KeyGuard,
};

/// The lock of a Rancher's membership role: held while a binding to it is made, and while it is removed.
type Held = KeyGuard<String>;

/// Makes sure that the role is there and gives nothing, if it is what this binding is about.
pub(super) async fn ensure(hand: &Hand<'_>, record: &BindingRecord) -> Result<Option<Held>, Because> {
    let name = membership_role(&hand.ctx.installation.id);
    if record.role != name {
        return Ok(None);
    }
    let held = lock(hand.ctx, hand.connection, &name).await;
    let role = match look(hand.ctx, hand.connection, &name).await {
        Ok(role) => role,
        Err(error) => {
            let message = format!(
                "The role {name}, by which Rancher lets people into a cluster, cannot be read or made: {error}. Tried again."
            );
            return Err(Because::new(super::wait::reason(&error), message));
        }
    };
    if role.is_membership_only() && !role.locked {
        return Ok(Some(held));
    }
    let message = format!(
        "Somebody changed the role template {name} in Rancher: it must be of context cluster, not locked, and without rules, and it is not used until it is. Take away what was added to it, or delete it while no binding refers to it: it is made again."
    );
    Err(Because::new("MembershipRoleChanged", message))
}

async fn look(ctx: &Context, connection: &Connection, name: &str) -> Result<RoleTemplate, Error> {
    let rancher = &connection.rancher;
    if let Some(role) = rancher.role_template(name).await? {
        return Ok(role);
    }
    match rancher.create_membership_role(name, (LABEL_INSTALLATION, &ctx.installation.id)).await {
        Ok(role) => Ok(role),
        // An earlier request of ours landed late.
        Err(Error::AlreadyExists { .. }) => rancher
            .role_template(name)
            .await?
            .ok_or_else(|| Error::Conflict { message: format!("the role template {name} comes and goes") }),
        Err(error) => Err(error),
    }
}

/// Removes the role if no binding refers to it. One that is still being removed refers to it too: without its role,
/// Rancher could not finish that.
///
/// # Errors
/// As for every call to Rancher.
pub async fn retire(ctx: &Context, connection: &Connection) -> Result<(), Error> {
    let name = membership_role(&ctx.installation.id);
    let rancher = &connection.rancher;
    let _held = lock(ctx, connection, &name).await;
    let Some(role) = rancher.role_template(&name).await? else { return Ok(()) };
    if rancher.bindings(BindingKind::Cluster, None).await?.iter().any(|binding| binding.role == name) {
        return Ok(());
    }
    match rancher.delete_role_template(&role).await {
        Ok(()) => info!(role = name, "No binding needs the membership role any more; it is removed"),
        Err(Error::NotFound(_) | Error::UidMismatch { .. }) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn lock(ctx: &Context, connection: &Connection, name: &str) -> Held {
    ctx.locks.lock(format!("{}/{name}", connection.install_uuid)).await
}
