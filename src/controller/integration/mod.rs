//! One Rancher's way: observe, decide, act, record; one task for each, so that none waits for another.
//!
//! What it finds goes to the grants through [`super::connection::Registry`]; when a Rancher comes back, all grants that
//! wait for it are looked at at once.

mod claim;
mod connect;
mod decide;
mod observe;
mod owners;
mod record;
mod risk;
mod rotation;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Context, brief, clusters,
    connection::{Connection, Link},
    discovery::keeper::Keeper,
    drift, grants, sweep, tokens, users,
};
use crate::{
    api::{RancherIntegration, condition, integration::RancherIntegrationStatus, resource::ResourceKind},
    grant::{GrantKey, GrantView, record::whole_seconds},
    runtime::{Backoff, Breaker, CircuitConfig, CircuitState},
};

/// How often a Rancher that is ready is looked at.
const READY: Duration = Duration::from_secs(60);

/// How often one is looked at that is not: at first, and at most. What waits for it goes on as soon as it answers, so
/// this is how late a revocation may be after an outage.
const NOT_READY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Three failures in a row are no accident. The integration's own look probes the server too, and more often.
const CIRCUIT: CircuitConfig = CircuitConfig {
    threshold: 3,
    backoff: Backoff::new(NOT_READY.0, NOT_READY.1, 0),
    probe_timeout: Duration::from_secs(15),
};

/// Keeps one task for each integration of this connector, until `shutdown`. `changed` names integrations that changed;
/// an empty name means all (a Secret or ConfigMap changed).
pub async fn run(
    ctx: Arc<Context>,
    mut changed: mpsc::UnboundedReceiver<String>,
    shutdown: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut tasks = JoinSet::new();
    let mut served: BTreeMap<String, Served> = BTreeMap::new();
    serve(&ctx, &mut served, &mut tasks, &shutdown);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if let Err(error) = ended {
                    // It is started again below: a fault in one integration costs that one only.
                    warn!(%error, "The task of an integration panicked; it is started again");
                    ctx.metrics.reconcile_panicked("integration");
                }
                // One that ended because its integration went may have come back meanwhile.
                served.retain(|_, task| !task.handle.is_finished());
                serve(&ctx, &mut served, &mut tasks, &shutdown);
            }
            name = changed.recv() => match name {
                Some(name) => {
                    serve(&ctx, &mut served, &mut tasks, &shutdown);
                    for (_, task) in served.iter().filter(|(known, _)| name.is_empty() || **known == name) {
                        task.poke.notify_one();
                    }
                }
                None => break,
            },
        }
    }
    tasks.shutdown().await;
    Ok(())
}

/// One integration's task, as its keeper sees it.
struct Served {
    poke: Arc<Notify>,
    stop: CancellationToken,
    handle: tokio::task::AbortHandle,
}

/// Starts what is missing and stops what is gone.
fn serve(
    ctx: &Arc<Context>,
    served: &mut BTreeMap<String, Served>,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) {
    let wanted: Vec<String> = ctx
        .integrations
        .all()
        .iter()
        .filter(|integration| integration.spec.connector == ctx.settings.connector)
        .filter_map(|integration| integration.metadata.name.clone())
        .collect();
    served.retain(|name, task| {
        let stays = wanted.contains(name);
        if !stays {
            task.stop.cancel();
            ctx.registry.remove(name);
            ctx.metrics.forget_integration(name);
            ctx.metrics.forget_discovered(name, ResourceKind::ALL.map(ResourceKind::name));
        }
        stays
    });
    for name in wanted {
        served.entry(name.clone()).or_insert_with(|| {
            let (poke, stop) = (Arc::new(Notify::new()), shutdown.child_token());
            let handle = tasks.spawn(one(ctx.clone(), name, poke.clone(), stop.clone()));
            Served { poke, stop, handle }
        });
    }
}

/// What goes on beside a connection: its watch, its sweep, the probes of clusters that are away, the keepers of its key and of
/// its users, and the look at what people's tokens outlive. Ends when it is dropped.
struct Company {
    connection: Arc<Connection>,
    tasks: [tokio::task::JoinHandle<()>; 6],
    /// Wake those who go by the spec.
    woken: [Arc<Notify>; 3],
    _stop: tokio_util::sync::DropGuard,
}

async fn one(ctx: Arc<Context>, name: String, poke: Arc<Notify>, stop: CancellationToken) {
    let breaker = Breaker::new(CIRCUIT);
    let mut kept = connect::Kept::new(breaker.clone());
    let (mut owners, mut discovery) = (owners::Owners::default(), Keeper::default());
    let (mut circuit, mut proof) = (breaker.watch(), ctx.proof.clone());
    let mut company: Option<Company> = None;
    let tell = Tell::default();
    let (mut told, mut left, mut tended) = (tell.rotation.subscribe(), tell.tokens.subscribe(), tell.users.subscribe());
    let (mut ready, mut failures) = (false, 0_u32);
    while let Some(integration) = ctx.integrations.get(&name) {
        circuit.mark_unchanged();
        proof.mark_unchanged();
        let was_ready = ready;
        // What waits for a Rancher that is back goes first: whose things are is looked at in the next pass.
        let at_leisure = was_ready;
        let of_the_key = told.borrow_and_update().clone();
        let (of_tokens, of_users) = (left.borrow_and_update().clone(), tended.borrow_and_update().clone());
        let beside = Beside {
            owners: at_leisure.then_some(&mut owners),
            discovery: &discovery,
            rotation: of_the_key.as_ref(),
            tokens: &of_tokens,
            users: of_users.as_ref(),
        };
        ready = pass(&ctx, &integration, &mut kept, beside).await;
        failures = if ready { 0 } else { failures.saturating_add(1) };
        keep_company(&ctx, &name, &kept, &tell, &mut company, &stop);
        discovery.keep(&ctx, &integration, kept.connection.as_ref(), &poke, &stop);
        if ready && !was_ready {
            recovered(&ctx, &name);
            ctx.memory.sweep_of(&name).notify_one();
        }
        let again = match (ready, was_ready) {
            (true, true) => READY,
            (true, false) => NOT_READY.0,
            (false, _) => NOT_READY.0.saturating_mul(failures).min(NOT_READY.1),
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = poke.notified() => {
                for woken in company.iter().flat_map(|company| &company.woken) {
                    woken.notify_one();
                }
            }
            _ = told.changed() => {}
            _ = left.changed() => {}
            _ = tended.changed() => {}
            // Only what was accepted before: one that is known not to be is asked about in its time.
            () = refused(&kept), if ready => {}
            () = opened(&mut circuit) => {}
            _ = proof.changed() => {}
            () = sleep(again) => {}
        }
    }
}

/// What goes on beside the looks and has a place in the status.
struct Beside<'a> {
    /// `None`: their time is in the next pass.
    owners: Option<&'a mut owners::Owners>,
    discovery: &'a Keeper,
    rotation: Option<&'a rotation::Told>,
    tokens: &'a tokens::Told,
    users: Option<&'a users::Told>,
}

/// By what those beside the looks tell what status is to say.
#[derive(Default)]
struct Tell {
    rotation: Arc<watch::Sender<Option<rotation::Told>>>,
    tokens: Arc<watch::Sender<tokens::Told>>,
    users: Arc<watch::Sender<Option<users::Told>>>,
}

/// One look, its verdict, and what follows. Says whether what waits for this Rancher can go on.
async fn pass(
    ctx: &Arc<Context>,
    integration: &RancherIntegration,
    kept: &mut connect::Kept,
    beside: Beside<'_>,
) -> bool {
    let Beside { owners, discovery, rotation, tokens, users } = beside;
    let name = integration.metadata.name.as_deref().unwrap_or_default();
    let found = observe::look(ctx, integration, kept).await;
    let proof = ctx.proof.borrow().clone().map(drop);
    let other = foreign(ctx, integration);
    let needed_by = record::needed_by(ctx, name);
    let around = decide::Surroundings {
        now: ctx.now(),
        installation: &ctx.installation.id,
        proof: &proof,
        needed_by: &needed_by,
        last: record::ends_last(ctx, name),
        rotation,
        users,
    };
    let mut verdict = decide::verdict(integration, &found, &around);
    if ctx.integrations.get(name).is_none() {
        // It went while it was looked at: what is known of it was forgotten, and stays so.
        return false;
    }
    let usable = found.is_usable();
    ctx.metrics.integration_up(name, usable);
    let expires = verdict.status.key.as_ref().and_then(|key| key.expires_time.as_ref());
    ctx.metrics.key_expiry(name, expires.map(|end| end.0));
    ctx.metrics.key_at_risk(name, condition::find(&verdict.status.conditions, decide::KEY_AT_RISK).is_some());
    // Another Rancher's labels are nobody's here.
    let way = found.connection.clone().filter(|_| usable && verdict.same);
    ctx.registry.set(
        name,
        Link {
            may_sweep: usable && verdict.same && other.is_none() && matches!(found.claimed, Some(Ok(()))),
            may_grant: other
                .map_or(verdict.may_grant, |other| Err(decide::another_installation(other, &ctx.installation.id))),
            connection: found.connection,
            key_ends: verdict.key_ends,
        },
    );
    if let Some(other) = other {
        // Its status is the other's: two who write it would never end.
        record::report_foreign(ctx, integration, &decide::another_installation(other, &ctx.installation.id));
        return usable;
    }
    if let Some(owners) = owners {
        verdict.status.owners = owners.look(ctx, integration, way.as_ref().map(|way| &way.rancher)).await;
    }
    discovery.tell(integration, &mut verdict.status, whole_seconds(ctx.now()));
    tokens::tell(tokens, &mut verdict.status);
    write(ctx, integration, &verdict.status, &needed_by).await;
    usable
}

async fn write(
    ctx: &Context,
    integration: &RancherIntegration,
    status: &RancherIntegrationStatus,
    needed_by: &[GrantKey],
) {
    let name = integration.metadata.name.as_deref();
    match record::record(ctx, integration, status, needed_by).await {
        Ok(()) => {}
        // Somebody changed it meanwhile: the echo of that is on its way.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            debug!(integration = name, "The integration changed meanwhile");
        }
        Err(error) => {
            let error = brief(&error);
            warn!(integration = name, error, "The integration's status could not be written; it is tried again");
        }
    }
}

/// The other installation that serves this integration, if one does.
pub(super) fn foreign<'a>(ctx: &Context, integration: &'a RancherIntegration) -> Option<&'a str> {
    let serving = integration.status.as_ref()?.installation.as_deref()?;
    (serving != ctx.installation.id).then_some(serving)
}

fn keep_company(
    ctx: &Arc<Context>,
    name: &str,
    kept: &connect::Kept,
    tell: &Tell,
    company: &mut Option<Company>,
    stop: &CancellationToken,
) {
    let Some(connection) = &kept.connection else {
        *company = None;
        return;
    };
    // One that ended by itself panicked: it is begun again.
    let keeps = |company: &Company| {
        Arc::ptr_eq(&company.connection, connection) && !company.tasks.iter().any(|task| task.is_finished())
    };
    if company.as_ref().is_some_and(keeps) {
        return;
    }
    let (token, asked) = (stop.child_token(), ctx.memory.sweep_of(name));
    let woken: [Arc<Notify>; 3] = Default::default();
    let [rotate, look, tend] = woken.clone();
    let (ctx, name, to, stop) = (|| ctx.clone(), || name.to_owned(), || connection.clone(), || token.clone());
    let tasks = [
        tokio::spawn(clusters::run(ctx(), name(), to(), stop())),
        tokio::spawn(drift::run(ctx(), name(), to(), stop())),
        tokio::spawn(sweep::run(ctx(), name(), to(), asked, stop())),
        tokio::spawn(rotation::run(ctx(), name(), to(), rotate, tell.rotation.clone(), stop())),
        tokio::spawn(tokens::run(ctx(), name(), to(), look, tell.tokens.clone(), stop())),
        tokio::spawn(users::run(ctx(), name(), to(), tend, tell.users.clone(), stop())),
    ];
    *company = Some(Company { connection: to(), tasks, woken, _stop: token.drop_guard() });
}

/// Everything that waits for that Rancher is looked at at once.
fn recovered(ctx: &Context, name: &str) {
    let mut waiting = 0;
    for grant in ctx.grants.of_integration(name) {
        if !GrantView::from(grant.as_ref()).is_finished() {
            waiting += 1;
            ctx.queue.push(grants::key_of(&grant));
        }
    }
    info!(integration = name, waiting, "Rancher is ready");
}

/// Waits until Rancher does not accept the key any more.
async fn refused(kept: &connect::Kept) {
    match &kept.connection {
        Some(connection) => connection.refused.notified().await,
        None => std::future::pending().await,
    }
}

/// Waits until calls begin to fail in a row, or until they go through again.
async fn opened(circuit: &mut watch::Receiver<CircuitState>) {
    while circuit.changed().await.is_ok() {
        if *circuit.borrow_and_update() != CircuitState::HalfOpen {
            return;
        }
    }
    std::future::pending().await
}
