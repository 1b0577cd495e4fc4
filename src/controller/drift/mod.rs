//! What happens to our bindings behind our back.
//!
//! A watch by label on Rancher's own cluster tells when one of ours goes or changes, and one on each cluster where a grant
//! holds a namespace; then the grants that name it look for themselves. The labels are hints only: a binding that loses
//! its label seems to go, and the look finds it there.
//!
//! Where Rancher allows two equal bindings, others' are watched too: one that is new may be equal to one of ours, which
//! then yields to it. Whether it is, the sweep sees.

mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::watch::Watch;
use super::{Context, connection::Connection};
use crate::{
    api,
    rancher::{client::LOCAL, wire::BindingKind},
};

/// How often it is looked on which clusters namespaces are held.
const PLACES: Duration = Duration::from_secs(5);

/// Watches all kinds of bindings on one Rancher, and on the clusters where namespaces are held, until `shutdown`.
pub async fn run(ctx: Arc<Context>, integration: String, connection: Arc<Connection>, shutdown: CancellationToken) {
    let ours = BindingKind::OF_RANCHER.map(|kind| {
        let watch = Watch::new(&ctx, &integration, &connection, kind, LOCAL);
        watch.run(connection.rancher.kube_client(), &shutdown)
    });
    tokio::join!(futures::future::join_all(ours), downstream(&ctx, &integration, &connection, &shutdown));
}

/// Keeps a watch on each cluster where a grant holds a namespace, as long as one does.
async fn downstream(ctx: &Arc<Context>, integration: &str, connection: &Arc<Connection>, shutdown: &CancellationToken) {
    let mut watches: BTreeMap<String, DropGuard> = BTreeMap::new();
    loop {
        let wanted = places(ctx, integration);
        watches.retain(|cluster, _| wanted.contains(cluster));
        for cluster in wanted {
            let Ok(client) = connection.rancher.cluster_client(&cluster) else { continue };
            watches.entry(cluster).or_insert_with_key(|cluster| {
                let stop = shutdown.child_token();
                let (ctx, integration, connection) = (ctx.clone(), integration.to_owned(), connection.clone());
                let (cluster, token) = (cluster.clone(), stop.clone());
                tokio::spawn(async move {
                    let watch = Watch::new(&ctx, &integration, &connection, BindingKind::Namespace, &cluster);
                    watch.run(client, &token).await;
                });
                stop.drop_guard()
            });
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = sleep(PLACES) => {}
        }
    }
}

/// The clusters where a grant of this integration holds a namespace.
fn places(ctx: &Context, integration: &str) -> BTreeSet<String> {
    let grants = ctx.grants.of_integration(integration);
    let bindings = grants.iter().flat_map(|grant| grant.status.iter().flat_map(|s| &s.bindings));
    let held = bindings.filter(|b| b.kind == api::status::BindingKind::RoleBinding && !b.is_settled());
    held.map(|b| b.cluster.clone()).collect()
}
