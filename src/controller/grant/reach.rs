//! How far a binding reached, and so where something of it may be left.

use super::{
    act::{Case, Hand},
    gone,
};
use crate::{
    api::status::BindingKind,
    controller::words,
    rancher::{Error, client::LOCAL, wire},
};

/// Where to look for what a binding left.
pub(super) struct Reach {
    /// The clusters to look at now.
    pub clusters: Vec<String>,
    /// Those that must be looked at too, and do not answer at present.
    pub away: Vec<String>,
    /// Whether the subject is administrator of all clusters by another global binding as well.
    pub stays_admin: bool,
}

/// Where to look for what this binding left; or why that cannot be known now, in words that follow "but".
pub(super) async fn of(hand: &Hand<'_>, case: &mut Case) -> Result<Reach, String> {
    match case.record.kind {
        BindingKind::GlobalRoleBinding => everywhere(hand, case).await,
        _ => one(hand, case).await,
    }
}

/// Without a key there is no way to another cluster: either Rancher could clean up there, or nobody knows.
async fn out_of_sight(hand: &Hand<'_>, case: &mut Case, cluster: &str) -> Result<(), String> {
    if case.record.lacked_finalizers && !gone::cluster(hand, cluster).await {
        return Err(format!(
            "it was seen without the finalizers that Rancher cleans up by, and without a key there is no way to cluster {cluster} to see what it left. Give the RancherIntegration a spec.host and a spec.credentialsSecretRef (it is looked for there at once), or remove the cluster from Rancher"
        ));
    }
    case.record.unverified = true;
    Ok(())
}

/// A cluster or project binding reaches its cluster.
async fn one(hand: &Hand<'_>, case: &mut Case) -> Result<Reach, String> {
    let mut reach = Reach { clusters: Vec::new(), away: Vec::new(), stays_admin: false };
    let cluster = case.record.cluster.clone();
    if hand.connection.rancher.is_keyless() && cluster != LOCAL {
        out_of_sight(hand, case, &cluster).await?;
        return Ok(reach);
    }
    if !hand.connection.clusters.answers(&cluster) && !gone::cluster(hand, &cluster).await {
        return Err(format!(
            "cluster {cluster} does not answer, so what it left behind there cannot be read. Looked for again until the cluster answers, or is removed from Rancher"
        ));
    }
    reach.clusters.push(cluster);
    Ok(reach)
}

/// A global binding reaches Rancher's own cluster; one that made its holder administrator, every cluster. Those that were
/// found clean before are not asked again.
async fn everywhere(hand: &Hand<'_>, case: &mut Case) -> Result<Reach, String> {
    let unread = |error: Error| format!("what it gave cannot be read: {error}. Looked for again");
    let rancher = &hand.connection.rancher;
    let mut reach = Reach { clusters: Vec::new(), away: Vec::new(), stays_admin: false };
    // A role that is gone may have been anything.
    let role = rancher.global_role(&case.record.role).await.map_err(unread)?;
    if !case.record.reaches_clusters && role.is_some_and(|role| !role.reaches_clusters()) {
        return Ok(reach);
    }
    reach.stays_admin = is_admin_otherwise(hand, case).await.map_err(unread)?;
    for cluster in rancher.clusters().await.map_err(unread)? {
        let id = cluster.meta.name;
        if rancher.is_keyless() && id != LOCAL {
            out_of_sight(hand, case, &id).await?;
            continue;
        }
        if hand.ctx.memory.is_clean_cluster(&case.record.name, &id) {
            continue;
        }
        let list = if hand.connection.clusters.answers(&id) { &mut reach.clusters } else { &mut reach.away };
        list.push(id);
    }
    Ok(reach)
}

/// Whether another global binding makes the subject administrator.
async fn is_admin_otherwise(hand: &Hand<'_>, case: &Case) -> Result<bool, Error> {
    let rancher = &hand.connection.rancher;
    let own = words::reference(&case.record);
    for other in rancher.bindings(wire::BindingKind::Global, None).await? {
        if other.reference() == own || other.meta.is_terminating() || !case.named.is_of(&other) {
            continue;
        }
        if rancher.global_role(&other.role).await?.is_some_and(|role| role.is_admin()) {
            return Ok(true);
        }
    }
    Ok(false)
}
