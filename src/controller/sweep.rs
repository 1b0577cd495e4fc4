//! What nobody remembers.
//!
//! Bindings that are ours by name and that no unsettled grant holds are taken away: whatever was lost (a status, a grant
//! whose finalizer somebody forced off, a whole etcd), no binding of ours stays for ever. The bindings are listed before
//! the grants: an intent is recorded before its binding is made, so every binding that somebody holds has a grant in the
//! second list.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::Deserialize;
use serde_json::Value;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Context, brief,
    connection::Connection,
    grant::{membership, orphan},
    words,
};
use crate::{
    api::{AccessGrant, LABEL_INSTALLATION},
    grant::Progress,
    rancher::{
        Error,
        client::LOCAL,
        wire::{Binding, BindingKind},
    },
};

/// How often it is swept while nothing is left over, and while something is.
const AGAIN: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(15));

/// How many clusters are listed at once.
const CLUSTERS_AT_ONCE: usize = 4;

/// The least time from one sweep to the next.
const LEAST: Duration = Duration::from_secs(5);

/// A sweep could not be done; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Rancher's bindings could not be listed.
    #[error("cannot list the bindings: {0}")]
    Rancher(#[from] Error),
    /// The grants could not be listed: then nobody knows what is held.
    #[error("cannot list the grants: {0}")]
    Grants(String),
    /// A grant could not be read: it may hold what looks like nobody's.
    #[error("the grant {0} cannot be read, and may hold anything: mend or delete it")]
    Unreadable(String),
}

/// Sweeps one Rancher until `shutdown`: at once, every ten minutes, and when asked.
pub async fn run(
    ctx: Arc<Context>,
    integration: String,
    connection: Arc<Connection>,
    asked: Arc<Notify>,
    shutdown: CancellationToken,
) {
    let (mut reported, mut unfinished) = (BTreeSet::new(), Vec::new());
    loop {
        let began = Instant::now();
        let wait = match sweep(&ctx, &integration, &connection, &mut reported, &mut unfinished).await {
            Ok(true) => AGAIN.0,
            Ok(false) => AGAIN.1,
            Err(error) => {
                warn!(integration, %error, "Rancher cannot be swept for what nobody remembers; it is tried again");
                AGAIN.1
            }
        };
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            // Whoever can write our label can ask: he does not get more than one sweep in a while.
            () = async { asked.notified().await; sleep_until(began + LEAST).await } => {}
            () = sleep(wait) => {}
        }
    }
}

/// One sweep. Says whether nothing is left to do.
async fn sweep(
    ctx: &Context,
    integration: &str,
    connection: &Arc<Connection>,
    reported: &mut BTreeSet<String>,
    unfinished: &mut Vec<Binding>,
) -> Result<bool, SweepError> {
    if !may_sweep(ctx, integration) {
        return Ok(false);
    }
    let mut ours = Vec::new();
    for binding in all(ctx, connection).await? {
        if words::is_ours(&ctx.installation.key, &connection.install_uuid, &binding) {
            ours.push(binding);
        } else {
            report(ctx, integration, &binding, reported);
        }
    }
    let held = held(ctx).await?;
    // What an earlier sweep began and is not listed any more is gone, but perhaps not what belonged to it.
    let begun = std::mem::take(unfinished);
    ours.extend(
        begun.into_iter().filter(|b| !ours.iter().any(|listed| listed.meta.name == b.meta.name)).collect::<Vec<_>>(),
    );
    ours.retain(|binding| !held.contains(&binding.meta.name));
    for orphan in ours {
        if !may_sweep(ctx, integration) {
            unfinished.push(orphan);
            continue;
        }
        info!(integration, binding = %orphan.reference(), "No grant holds this binding of ours; it is taken away");
        match orphan::take(ctx, integration, connection, &orphan).await {
            Progress::Done => {}
            Progress::Waiting { because, .. } => {
                debug!(integration, binding = %orphan.reference(), message = because.message, "The orphan is not gone yet");
                unfinished.push(orphan);
            }
            Progress::RemovedInRancher(message) | Progress::Refused(message) => {
                warn!(integration, binding = %orphan.reference(), message, "The orphan cannot be taken away");
                unfinished.push(orphan);
            }
        }
    }
    membership::retire(ctx, connection).await?;
    Ok(unfinished.is_empty())
}

/// Every binding of Rancher's own, and what carries our label on the clusters that answer: one that is away is swept when
/// it is back.
async fn all(ctx: &Context, connection: &Connection) -> Result<Vec<Binding>, SweepError> {
    let rancher = &connection.rancher;
    let mut all = Vec::new();
    for kind in BindingKind::OF_RANCHER {
        all.extend(rancher.bindings(kind, None).await?);
    }
    let selector = format!("{LABEL_INSTALLATION}={}", ctx.installation.id);
    let clusters = rancher.clusters().await?;
    let reachable = clusters.into_iter().filter(|cluster| cluster.is_reachable()).map(|cluster| cluster.meta.name);
    let reachable = reachable.filter(|id| !rancher.is_keyless() || id == LOCAL);
    let listed = stream::iter(reachable.filter(|id| connection.cluster(id).may_try()).collect::<Vec<_>>())
        .map(|id| {
            let selector = &selector;
            async move { (rancher.role_bindings(&id, None, Some(selector)).await, id) }
        })
        .buffer_unordered(CLUSTERS_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (listed, id) in listed {
        match listed {
            Ok(found) => {
                connection.cluster(&id).succeeded();
                all.extend(found);
            }
            Err(error) => {
                connection.cluster(&id).failed();
                debug!(cluster = id, %error, "A cluster cannot be swept now; it is later");
            }
        }
    }
    Ok(all)
}

/// Whether this process leads, and the claim on that Rancher is ours: what is nobody's here may be another cluster's.
fn may_sweep(ctx: &Context, integration: &str) -> bool {
    ctx.leader.may_create() && ctx.registry.get(integration).is_some_and(|link| link.may_sweep)
}

/// The names of all bindings that a grant still has to do with.
async fn held(ctx: &Context) -> Result<BTreeSet<String>, SweepError> {
    // Only what is needed is read, so that a grant which is wrong elsewhere keeps nothing from being swept.
    let kind = ApiResource::erase::<AccessGrant>(&());
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &kind);
    let mut held = BTreeSet::new();
    for grant in api.list(&ListParams::default()).await.map_err(|error| SweepError::Grants(brief(&error)))? {
        let bindings = grant.data.pointer("/status/bindings").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        let bindings: Vec<Held> = serde_json::from_value(bindings).map_err(|_| {
            SweepError::Unreadable(format!("{}/{}", grant.namespace().unwrap_or_default(), grant.name_any()))
        })?;
        held.extend(bindings.into_iter().filter(Held::is_unsettled).map(|b| b.name));
    }
    Ok(held)
}

/// As much of a recorded binding as says whether it is held.
#[derive(Deserialize)]
struct Held {
    name: String,
    state: String,
}

impl Held {
    /// A state that is not known counts as unsettled.
    fn is_unsettled(&self) -> bool {
        !matches!(self.state.as_str(), "AlreadyHeld" | "Removed" | "HandedOver")
    }
}

/// Says once that a binding carries our mark and is not ours: somebody forged it, or another installation's key made it.
fn report(ctx: &Context, integration: &str, binding: &Binding, reported: &mut BTreeSet<String>) {
    let marked = binding.meta.labels.get(LABEL_INSTALLATION).is_some_and(|id| *id == ctx.installation.id);
    if marked && reported.insert(binding.meta.uid.clone()) {
        warn!(
            integration,
            binding = %binding.reference(),
            "This binding carries our label, but its name does not prove that it is ours: it is not touched. Look at who made it"
        );
    }
}
