//! What happens to our bindings behind our back.
//!
//! A watch by label on Rancher's own cluster tells when one of ours goes or changes; then the grants that name it look for
//! themselves. The labels are hints only: a binding that loses its label seems to go, and the look finds it there.
//!
//! Where Rancher allows two equal bindings, others' are watched too: one that is new may be equal to one of ours, which
//! then yields to it. Whether it is, the sweep sees.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::debug;

use super::{Context, connection::Connection, words};
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

/// How long after it was first seen somebody else's binding may still become equal to one of ours: Rancher fills in the
/// other forms of its subject (0.1 s on 2.15.0).
const NEW: Duration = Duration::from_secs(10);

/// Watches all kinds of bindings on one Rancher, and on the clusters where namespaces are held, until `shutdown`.
pub async fn run(ctx: Arc<Context>, integration: String, connection: Arc<Connection>, shutdown: CancellationToken) {
    let client = connection.rancher.kube_client();
    let ours = BindingKind::OF_RANCHER.map(|kind| {
        let others = connection.release.duplicates_at_risk(kind);
        let watched = Watched { kind, cluster: LOCAL, others };
        watch(&ctx, &integration, client.clone(), watched, &shutdown)
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
                let (ctx, integration, cluster, token) =
                    (ctx.clone(), integration.to_owned(), cluster.clone(), stop.clone());
                tokio::spawn(async move {
                    let watched = Watched { kind: BindingKind::Namespace, cluster: &cluster, others: false };
                    watch(&ctx, &integration, client, watched, &token).await;
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

/// What one watch is about.
struct Watched<'a> {
    kind: BindingKind,
    cluster: &'a str,
    /// Whether others' bindings are watched too.
    others: bool,
}

async fn watch(
    ctx: &Context,
    integration: &str,
    client: kube::Client,
    watched: Watched<'_>,
    shutdown: &CancellationToken,
) {
    let Watched { kind, cluster, others } = watched;
    let gvk = GroupVersionKind::gvk(kind.group(), kind.version(), kind.kind());
    let resource = ApiResource::from_gvk_with_plural(&gvk, kind.resource());
    let api: Api<PartialObjectMeta<DynamicObject>> = Api::all_with(client, &resource);
    let selector = format!("{LABEL_INSTALLATION}={}", ctx.installation.id);
    let config = if others { watcher::Config::default() } else { watcher::Config::default().labels(&selector) };
    let mut events = watcher(api, config).default_backoff().boxed();
    let ours = |binding: &PartialObjectMeta<DynamicObject>| {
        binding.labels().get(LABEL_INSTALLATION).is_some_and(|id| *id == ctx.installation.id)
    };
    // Since when each is known; those of the first list have been there for longer.
    let mut there: HashMap<String, Option<Instant>> = HashMap::new();
    let mut listed = false;
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(watcher::Event::Init)) => there.clear(),
            Some(Ok(watcher::Event::InitApply(binding))) => {
                if ours(&binding) {
                    unknown(ctx, integration, &binding.name_any());
                }
                there.insert(binding.name_any(), None);
            }
            // While the watch was away anything may have happened: whatever should be there and is not is looked for.
            Some(Ok(watcher::Event::InitDone)) => {
                missing(ctx, integration, (kind, cluster), &there);
                if std::mem::replace(&mut listed, true) {
                    ctx.memory.sweep_of(integration).notify_one();
                }
            }
            Some(Ok(watcher::Event::Apply(binding))) if binding.metadata.deletion_timestamp.is_none() => {
                let name = binding.name_any();
                if ours(&binding) {
                    unknown(ctx, integration, &name);
                }
                let since = *there.entry(name).or_insert_with(|| Some(Instant::now()));
                if !ours(&binding) && since.is_some_and(|since| since.elapsed() < NEW) {
                    ctx.memory.sweep_of(integration).notify_one();
                }
            }
            Some(Ok(watcher::Event::Apply(binding))) => suspect(ctx, &binding.name_any(), false),
            Some(Ok(watcher::Event::Delete(binding))) => {
                there.remove(&binding.name_any());
                suspect(ctx, &binding.name_any(), true);
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

fn missing(
    ctx: &Context,
    integration: &str,
    (kind, cluster): (BindingKind, &str),
    there: &HashMap<String, Option<Instant>>,
) {
    // Rancher's own kinds are all in one place; of Kubernetes' own, each watch sees its cluster's.
    let watched =
        |b: &BindingRecord| b.kind == words::kind_of(kind) && (kind != BindingKind::Namespace || b.cluster == cluster);
    for grant in ctx.grants.of_integration(integration) {
        let bindings = grant.status.iter().flat_map(|s| &s.bindings);
        for binding in
            bindings.filter(|b| watched(b) && b.state == BindingState::Present && !there.contains_key(&b.name))
        {
            suspect(ctx, &binding.name, false);
        }
    }
}

/// Has every grant that counts on that binding look at it; and, where it is gone, those too that wait for that.
fn suspect(ctx: &Context, binding: &str, gone: bool) {
    let now = ctx.now();
    for grant in ctx.grants.naming(binding) {
        let view = GrantView::from(grant.as_ref());
        if view.is_concerned_with(binding) && view.ended(now).is_none() {
            ctx.memory.suspect(binding, &view.key);
            ctx.queue.push(view.key);
        } else if gone && view.is_concerned_with(binding) {
            ctx.queue.push(view.key);
        }
    }
}
