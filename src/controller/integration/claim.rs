//! The claim: on each Rancher, a ConfigMap says which Kubernetes cluster uses this installation's id and key.
//!
//! Two operators with one key (a cluster restored beside its original, a copied Secret) would take away each other's
//! bindings as nobody's. So who finds another's claim neither creates nor sweeps.

use crate::{
    api::LABEL_INSTALLATION,
    controller::Context,
    grant::Because,
    rancher::{Error, Rancher, Sighting, claim::ConfigMap, wire::ObjectMeta},
};

/// Key in the claim that holds the UID of the claiming cluster's kube-system namespace.
const CLUSTER: &str = "cluster";

/// Whether the claim on that Rancher is ours; makes it where there is none.
pub(super) async fn stand(ctx: &Context, rancher: &Rancher) -> Result<(), Because> {
    let name = format!("rancher-access-{}", ctx.installation.id);
    let found = match rancher.config_map(&name).await {
        Ok(Sighting::Found(found)) => found,
        Ok(Sighting::Gone(_)) => match rancher.create_config_map(&fresh(ctx, &name)).await {
            Ok(made) => made,
            Err(error) => return Err(unknown(&name, &error)),
        },
        Err(error) => return Err(unknown(&name, &error)),
    };
    match found.data.get(CLUSTER) {
        Some(cluster) if *cluster == ctx.cluster_uid => Ok(()),
        other => {
            let other = other.map_or("nobody", String::as_str);
            Err(Because::new(
                "ClaimedElsewhere",
                format!(
                    "On this Rancher, this installation ({}) is claimed by another Kubernetes cluster (kube-system UID {other}; ours is {}): nothing is created or swept here. If the operator was moved and the other one is gone, delete the ConfigMap cattle-system/{name} on Rancher's own cluster; else give one of the two its own installation Secret.",
                    ctx.installation.id, ctx.cluster_uid
                ),
            ))
        }
    }
}

fn fresh(ctx: &Context, name: &str) -> ConfigMap {
    ConfigMap {
        meta: ObjectMeta {
            name: name.to_owned(),
            labels: [(LABEL_INSTALLATION.to_owned(), ctx.installation.id.clone())].into(),
            ..ObjectMeta::default()
        },
        data: [(CLUSTER.to_owned(), ctx.cluster_uid.clone())].into(),
    }
}

fn unknown(name: &str, error: &Error) -> Because {
    Because::new(
        "ClaimUnknown",
        format!(
            "The ConfigMap cattle-system/{name} on Rancher's own cluster, which says who uses this installation, cannot be read or made: {error}."
        ),
    )
}
