//! What nobody remembers.
//!
//! Bindings that are ours by name and that no unsettled grant holds are taken away: whatever was lost (a status, a grant
//! whose finalizer somebody forced off, a whole etcd), no binding of ours stays for ever. The bindings are listed before
//! the grants: an intent is recorded before its binding is made, so every binding that somebody holds has a grant in the
//! second list.
//!
//! The same list shows whether somebody else's binding gives the same access as one of ours: then the grants that hold
//! ours look for themselves, and yield.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
    runtime::events::EventType,
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
    grant::{GrantView, Progress, name::membership_role},
    rancher::{
        Error,
        client::LOCAL,
        wire::{Binding, BindingKind, Subject},
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
    let is_ours = |b: &Binding| words::is_ours(&ctx.installation.key, &connection.install_uuid, b);
    let (mut ours, others): (Vec<_>, Vec<_>) = all(ctx, connection).await?.into_iter().partition(is_ours);
    for binding in &others {
        report(ctx, integration, binding, reported);
    }
    beside(ctx, &ours, &others);
    let held = held(ctx).await?;
    // What an earlier sweep began and is not listed any more is gone, but perhaps not what belonged to it.
    let begun = std::mem::take(unfinished);
    ours.extend(
        begun.into_iter().filter(|b| !ours.iter().any(|listed| listed.meta.name == b.meta.name)).collect::<Vec<_>>(),
    );
    let names: BTreeSet<_> = held.iter().map(|held| held.name.as_str()).collect();
    ours.retain(|binding| !names.contains(binding.meta.name.as_str()));
    for orphan in ours {
        if !may_sweep(ctx, integration) {
            unfinished.push(orphan);
            continue;
        }
        info!(integration, binding = %orphan.reference(), "No grant holds this binding of ours; it is taken away");
        match orphan::take(ctx, integration, connection, &orphan).await {
            Progress::Done => swept(ctx, integration, &orphan),
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
    // A create under way may refer to the role later than any list shows it.
    let role = membership_role(&ctx.installation.id);
    let awaited = held.iter().any(|held| held.role == role && held.state == "Intended");
    if may_sweep(ctx, integration) && !awaited {
        membership::retire(ctx, connection).await?;
    }
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
    let listed = stream::iter(reachable.filter(|id| connection.clusters.answers(id)).collect::<Vec<_>>())
        .map(|id| {
            let selector = &selector;
            async move { (rancher.role_bindings(&id, None, Some(selector)).await, id) }
        })
        .buffer_unordered(CLUSTERS_AT_ONCE)
        .collect::<Vec<_>>()
        .await;
    for (listed, id) in listed {
        match listed {
            Ok(found) => all.extend(found),
            Err(error) => {
                if error.is_silence() {
                    connection.clusters.failed(&id);
                }
                debug!(cluster = id, %error, "A cluster cannot be swept now; it is later");
            }
        }
    }
    Ok(all)
}

/// Has every grant look around whose binding has somebody else's equal one beside it.
fn beside(ctx: &Context, ours: &[Binding], others: &[Binding]) {
    let place = |b: &Binding| (b.meta.namespace.clone(), b.role.clone());
    let mut by_place: HashMap<_, Vec<&Binding>> = HashMap::new();
    for other in others.iter().filter(|b| !b.meta.is_terminating()) {
        by_place.entry(place(other)).or_default().push(other);
    }
    let at_risk = |b: &&Binding| matches!(b.kind, BindingKind::Cluster | BindingKind::Project);
    for binding in ours.iter().filter(at_risk) {
        let (subject, access) = (Subject::of(binding), words::access_of(binding));
        let equal = by_place
            .get(&place(binding))
            .and_then(|there| there.iter().find(|b| subject.is_of(b) && words::access_of(b) == access));
        let Some(equal) = equal else { continue };
        let name = &binding.meta.name;
        for grant in ctx.grants.naming(name) {
            let view = GrantView::from(grant.as_ref());
            if view.is_concerned_with(name) && view.ended(ctx.now()).is_none() {
                info!(grant = %view.key, binding = name, other = %equal.reference(), "Somebody else's binding gives the same access beside ours");
                ctx.memory.beside(name, &view.key);
                ctx.queue.push(view.key);
            }
        }
    }
}

/// Tells that a binding which nobody remembered was taken away: a grant was lost, or Rancher was restored from a backup.
fn swept(ctx: &Context, integration: &str, orphan: &Binding) {
    let Some(object) = ctx.integrations.get(integration) else { return };
    let note = format!(
        "{} was ours, and no grant called for it: it was taken away. A grant was lost, or Rancher was restored from a backup that still had it.",
        orphan.reference()
    );
    ctx.events.publish(object.object_ref(&()), EventType::Warning, "OrphanRemoved", "Sweep", &note);
}

/// Whether this process leads, and the claim on that Rancher is ours: what is nobody's here may be another cluster's.
fn may_sweep(ctx: &Context, integration: &str) -> bool {
    ctx.leader.may_create() && ctx.registry.get(integration).is_some_and(|link| link.may_sweep)
}

/// All bindings that a grant still has to do with.
async fn held(ctx: &Context) -> Result<Vec<Held>, SweepError> {
    // Only what is needed is read, so that a grant which is wrong elsewhere keeps nothing from being swept.
    let kind = ApiResource::erase::<AccessGrant>(&());
    let api: Api<DynamicObject> = Api::all_with(ctx.client.clone(), &kind);
    let mut held = Vec::new();
    for grant in api.list(&ListParams::default()).await.map_err(|error| SweepError::Grants(brief(&error)))? {
        let bindings = grant.data.pointer("/status/bindings").cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        let bindings: Vec<Held> = serde_json::from_value(bindings).map_err(|_| {
            SweepError::Unreadable(format!("{}/{}", grant.namespace().unwrap_or_default(), grant.name_any()))
        })?;
        held.extend(bindings.into_iter().filter(Held::is_unsettled));
    }
    Ok(held)
}

/// As much of a recorded binding as says whether it is held.
#[derive(Deserialize)]
struct Held {
    name: String,
    state: String,
    #[serde(default)]
    role: String,
}

impl Held {
    /// A state that is not known counts as unsettled. What was abandoned is nobody's any more.
    fn is_unsettled(&self) -> bool {
        !matches!(self.state.as_str(), "AlreadyHeld" | "Removed" | "HandedOver" | "Abandoned")
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
