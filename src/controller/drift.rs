//! What happens to our bindings behind our back.
//!
//! A watch by label on Rancher's own cluster tells when one of ours goes or changes; then the grants that name it look for
//! themselves. The labels are hints only: a binding that loses its label seems to go, and the look finds it there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, GroupVersionKind, PartialObjectMeta},
    core::DynamicObject,
    runtime::{WatchStreamExt, watcher},
};
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{Context, connection::Connection, grants, words};
use crate::{
    api::{
        self, LABEL_INSTALLATION,
        status::{BindingRecord, BindingState},
    },
    grant::GrantView,
    rancher::{client::LOCAL, wire::BindingKind},
};

/// How often it is looked on which clusters namespaces are held.
const PLACES: Duration = Duration::from_secs(5);

/// Watches all kinds of bindings on one Rancher, and on the clusters where namespaces are held, until `shutdown`.
pub async fn run(ctx: Arc<Context>, integration: String, connection: Arc<Connection>, shutdown: CancellationToken) {
    let client = connection.rancher.kube_client();
    let ours = BindingKind::OF_RANCHER.map(|kind| watch(&ctx, &integration, client.clone(), (kind, LOCAL), &shutdown));
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
                let (ctx, integration, cluster, token) =
                    (ctx.clone(), integration.to_owned(), cluster.clone(), stop.clone());
                tokio::spawn(async move {
                    watch(&ctx, &integration, client, (BindingKind::Namespace, &cluster), &token).await;
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

async fn watch(
    ctx: &Context,
    integration: &str,
    client: kube::Client,
    (kind, cluster): (BindingKind, &str),
    shutdown: &CancellationToken,
) {
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), kind.kind());
    let resource = ApiResource::from_gvk_with_plural(&gvk, kind.resource());
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &resource);
    let selector = format!("{LABEL_INSTALLATION}={}", ctx.installation.id);
    let mut events = watcher(api, watcher::Config::default().labels(&selector)).default_backoff().boxed();
    let mut there = BTreeSet::new();
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => there.clear(),
            Some(Ok(watcher::Event::InitApply(binding))) => {
                unknown(ctx, integration, &binding.name_any());
                there.insert(binding.name_any());
            }
            // While the watch was away anything may have happened: whatever should be there and is not is looked for.
            Some(Ok(watcher::Event::InitDone)) => missing(ctx, integration, (kind, cluster), &there),
            Some(Ok(watcher::Event::Apply(binding))) if binding.metadata.deletion_timestamp.is_none() => {
                unknown(ctx, integration, &binding.name_any());
            }
            Some(Ok(watcher::Event::Apply(binding) | watcher::Event::Delete(binding))) => {
                suspect(ctx, &binding.name_any())
            }
            Some(Err(error)) => {
                debug!(integration, %kind, cluster, %error, "The watch on Rancher was interrupted and goes on")
            }
            None => return,
        }
    }
}

/// A binding that carries our label and that no grant has to do with is swept: it may have landed late.
fn unknown(ctx: &Context, integration: &str, binding: &str) {
    let known =
        ctx.grants.naming(binding).iter().any(|grant| GrantView::from(grant.as_ref()).is_concerned_with(binding));
    if !known {
        ctx.memory.sweep_of(integration).notify_one();
    }
}

fn missing(ctx: &Context, integration: &str, (kind, cluster): (BindingKind, &str), there: &BTreeSet<String>) {
    // Rancher's own kinds are all in one place; of Kubernetes' own, each watch sees its cluster's.
    let watched =
        |b: &BindingRecord| b.kind == words::kind_of(kind) && (kind != BindingKind::Namespace || b.cluster == cluster);
    for grant in ctx.grants.of_integration(integration) {
        let bindings = grant.status.iter().flat_map(|s| &s.bindings);
        for binding in bindings.filter(|b| watched(b) && b.state == BindingState::Present && !there.contains(&b.name)) {
            suspect(ctx, &binding.name);
        }
    }
}

/// Has every grant that counts on that binding look at it.
fn suspect(ctx: &Context, binding: &str) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_none() {
            ctx.memory.suspect(binding, &view.key);
            ctx.queue.push(grants::key_of(&grant));
        }
    }
}
