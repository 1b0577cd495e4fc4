//! The whole operator, put together: watches feed memory, memory feeds the queue, the queue feeds the workers.

use std::{
    fmt::Debug,
    hash::Hash,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::SelfSubjectReview,
    core::v1::{ConfigMap, Namespace, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{PartialObjectMeta, PostParams},
    core::DeserializeGuard,
};
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Context, Settings, Transports,
    connection::Registry,
    decisions::Decisions,
    due,
    grant::{extended, lasted},
    grants::{self, Grants},
    installation::{self, InstallationError},
    integration,
    memory::Memory,
    pools::Pools,
    proof,
    queue::{Queue, Ready},
    seats::{self, Seats},
    shared::Shared,
    watch::{Change, SILENCE, Signs, watch},
    workers,
};
use crate::{
    api::{AccessGrant, AccessPolicy},
    grant::{GrantKey, GrantView, name::PREFIX},
    policy::PAUSE,
    runtime::{Clock, EventSink, Health, KeyedLocks, LeaderHandle, Metrics, Standing, Supervisor},
};

/// The operator could not be started.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// Its installation Secret cannot be used.
    #[error(transparent)]
    Installation(#[from] InstallationError),
    /// The API server did not say who we are, or which cluster this is.
    #[error("cannot ask the API server for {what}: {source}")]
    Api {
        /// What was asked.
        what: &'static str,
        /// Why not.
        source: Box<kube::Error>,
    },
}

/// What the operator needs to start.
pub struct Operator {
    /// Its own API server.
    pub client: Client,
    /// The one clock.
    pub clock: Clock,
    /// What it was told.
    pub settings: Settings,
    /// Whether it leads.
    pub leader: LeaderHandle,
    /// Figures.
    pub metrics: Metrics,
    /// Events.
    pub events: EventSink,
    /// Where it tells that it lives and is ready.
    pub health: Health,
    /// How a Rancher is reached.
    pub transports: Transports,
}

impl Operator {
    /// Starts all tasks under the supervisor.
    ///
    /// # Errors
    /// See [`OperatorError`]. Nothing was started then.
    pub async fn start(self, supervisor: &mut Supervisor) -> Result<(), OperatorError> {
        let installation = installation::load(&self.client, &self.settings.namespace).await?;
        let (me, cluster_uid) = (who_am_i(&self.client).await?, cluster_uid(&self.client).await?);
        info!(installation = installation.id, cluster = cluster_uid, user = me, "Starting");
        let (queue, ready) = Queue::new();
        let (proven, proof) = watch::channel(proof::unknown());
        let health = self.health.clone();
        let prover = proof::Prover {
            client: self.client.clone(),
            namespace: self.settings.namespace.clone(),
            operator: me,
            clock: self.clock.clone(),
        };
        let ctx = Arc::new(Context {
            client: self.client,
            clock: self.clock,
            settings: self.settings,
            installation,
            cluster_uid,
            leader: self.leader,
            metrics: self.metrics,
            events: self.events,
            grants: Grants::default(),
            decisions: Decisions::default(),
            policies: Shared::default(),
            integrations: Shared::default(),
            queue,
            pools: Pools::default(),
            seats: Seats::default(),
            registry: Registry::default(),
            locks: KeyedLocks::new(),
            memory: Memory::default(),
            proof,
            transports: self.transports,
            latest: Mutex::new(Timestamp::UNIX_EPOCH),
        });
        let (changed, changes) = mpsc::unbounded_channel();
        let listed = watches(&ctx, &health, supervisor, changed);
        supervisor.spawn("proof", |stop| prover.run(proven, stop));
        let beat = health.heartbeat("due list", std::time::Duration::from_secs(60));
        supervisor.spawn("work", |stop| lead(ctx, ready, changes, listed, beat, stop));
        Ok(())
    }
}

/// Waits until this process leads, then works until `stop`. It works on while the lease has lapsed: what has ended is
/// taken away without it. If another leads by then, the process ends (the lease's own task sees to that).
async fn lead(
    ctx: Arc<Context>,
    ready: Ready,
    changes: mpsc::UnboundedReceiver<String>,
    listed: [watch::Receiver<bool>; 2],
    beat: crate::runtime::Heartbeat,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut standing = ctx.leader.watch();
    while *standing.borrow_and_update() != Standing::Leading {
        beat.beat();
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            // An error would mean that the lease's task is gone; then everything ends.
            _ = standing.changed() => {}
            () = tokio::time::sleep(std::time::Duration::from_secs(5)) => {}
        }
    }
    // What is not known yet may hold what seems to be nobody's.
    for mut listed in listed {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            _ = listed.wait_for(|listed| *listed) => {}
        }
    }
    for grant in ctx.grants.all() {
        let view = GrantView::from(grant.as_ref());
        if !view.is_finished() || view.deleted.is_some() {
            ctx.queue.push(view.key);
        }
    }
    for grant in ctx.decisions.grants() {
        ctx.queue.push(grant);
    }
    let (workers, integrations, due) = tokio::join!(
        workers::run(ctx.clone(), ready, stop.clone()),
        integration::run(ctx.clone(), changes, stop.clone()),
        due::run(ctx.clone(), beat, stop.clone()),
    );
    ctx.metrics.leading(false);
    workers.and(integrations).and(due)
}

/// Starts all watches. What comes back tells when the grants and the integrations have been listed.
fn watches(
    ctx: &Arc<Context>,
    health: &Health,
    supervisor: &mut Supervisor,
    changed: mpsc::UnboundedSender<String>,
) -> [watch::Receiver<bool>; 2] {
    let ((grants_listed, grants), (integrations_listed, integrations)) = (watch::channel(false), watch::channel(false));
    let (client, own) = (&ctx.client, &ctx.settings.namespace);
    let mut start = Watches { ctx, health, supervisor };
    let known = ctx.clone();
    start.watch("accessgrants", Api::all(client.clone()), move |change| {
        let listed = matches!(change, Change::Listed(_));
        grant_changed(&known, change);
        if listed {
            grants_listed.send_replace(true);
        }
    });
    let known = ctx.clone();
    start.watch("accesspolicies", Api::all(client.clone()), move |change| policy_changed(&known, change));
    let known = ctx.clone();
    start.watch("accessdecisions", Api::all(client.clone()), move |change| {
        for grant in known.decisions.take(change) {
            known.queue.push(grant);
        }
    });
    let (known, tell) = (ctx.clone(), changed.clone());
    start.watch("rancherintegrations", Api::all(client.clone()), move |change| {
        let listed = matches!(change, Change::Listed(_));
        for name in known.integrations.take(change) {
            judge_again(&known, |grant| grant.spec.integration_ref.name == name);
            let _ = tell.send(name);
        }
        if listed {
            integrations_listed.send_replace(true);
        }
    });
    let tell = changed.clone();
    start.watch("secrets", Api::namespaced(client.clone(), own), move |change: Change<PartialObjectMeta<Secret>>| {
        trust_changed(&tell, change);
    });
    start.watch(
        "configmaps",
        Api::namespaced(client.clone(), own),
        move |change: Change<PartialObjectMeta<ConfigMap>>| {
            trust_changed(&changed, change);
        },
    );
    [grants, integrations]
}

/// Starts watches as supervised tasks.
struct Watches<'a> {
    ctx: &'a Context,
    health: &'a Health,
    supervisor: &'a mut Supervisor,
}

impl Watches<'_> {
    fn watch<K>(
        &mut self,
        plural: &'static str,
        api: Api<DeserializeGuard<K>>,
        tell: impl FnMut(Change<K>) + Send + 'static,
    ) where
        K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
        K::DynamicType: Default + Clone + Debug + Eq + Hash + Send + Sync,
    {
        let signs = Signs {
            heartbeat: self.health.heartbeat(plural, SILENCE),
            gate: self.health.gate(plural, "its objects have not been listed yet"),
            metrics: self.ctx.metrics.clone(),
        };
        self.supervisor.spawn(plural, |stop| watch(api, plural, signs, stop, tell));
    }
}

/// A key or certificate may have changed: every integration reads its own again. The credentials of local users are neither.
fn trust_changed<K: ResourceExt>(tell: &mpsc::UnboundedSender<String>, change: Change<K>) {
    let of_a_user = match &change {
        Change::InList { news: false, .. } => return,
        Change::Seen(object) | Change::InList { object, .. } => object.name_any().starts_with(PREFIX),
        Change::Gone { name, .. } => name.starts_with(PREFIX),
        Change::Listed(_) => false,
    };
    if of_a_user {
        return;
    }
    // The reading end goes only when the process does.
    let _ = tell.send(String::new());
}

fn grant_changed(ctx: &Context, change: Change<AccessGrant>) {
    match change {
        Change::Seen(grant) => {
            let view = GrantView::from(grant.as_ref());
            if ctx.grants.observe(*grant) {
                extended::tell(ctx, &view.key);
                if !view.is_finished() || view.deleted.is_some() {
                    ctx.queue.push(view.key);
                }
            }
        }
        Change::InList { object, began, .. } => {
            let key = grants::key_of(&object);
            if ctx.grants.forget_what_was_undone(&object, began) {
                warn!(grant = %key, "The API server has an older version of this grant than it had before: it was put back to a backup. The grant goes on from there");
                ctx.memory.forget(&key);
            }
            grant_changed(ctx, Change::Seen(object));
        }
        Change::Gone { namespace, name, uid } => gone(ctx, &GrantKey { namespace, name }, uid.as_deref()),
        Change::Listed(there) => {
            let there: std::collections::HashSet<_> = there.into_iter().collect();
            for grant in ctx.grants.all() {
                let key = GrantView::from(grant.as_ref()).key;
                if !there.contains(&(key.namespace.clone(), key.name.clone())) {
                    gone(ctx, &key, None);
                }
            }
        }
    }
}

/// A grant is gone. With something left to take away somebody forced it; then the sweep does.
pub(super) fn gone(ctx: &Context, key: &GrantKey, uid: Option<&str>) {
    let removed = ctx.grants.remove(key, uid);
    extended::tell(ctx, key);
    if !ctx.decisions.about(key).is_empty() {
        // Whoever decided about it is told.
        ctx.queue.push(key.clone());
    }
    let Some(grant) = removed else { return };
    let view = GrantView::from(grant.as_ref());
    remember(ctx, &grant);
    ctx.memory.forget(key);
    ctx.seats.release(key);
    if !grants::counts_under(&grant).is_empty() {
        seats::freed(ctx, &grant);
    }
    if view.is_settled() {
        return;
    }
    warn!(grant = %key, "The grant went before its access was taken away: somebody removed our finalizer. It is swept now");
    for binding in &view.status.bindings {
        ctx.memory.release(&binding.name, key);
    }
    ctx.memory.sweep_of(&grant.spec.integration_ref.name).notify_one();
}

/// How long access lasted counts for what follows it, though its grant is gone.
pub(super) fn remember(ctx: &Context, grant: &AccessGrant) {
    let forgotten = ctx.now().checked_sub(PAUSE).unwrap_or(Timestamp::UNIX_EPOCH);
    for binding in grant.status.iter().flat_map(|status| &status.bindings) {
        if let Some(window) = lasted(grant, &binding.name) {
            ctx.memory.lasted(&binding.name, window, forgotten);
        }
    }
}

fn policy_changed(ctx: &Context, change: Change<AccessPolicy>) {
    let about = match &change {
        // The integration that it is about, and the one that it was about.
        Change::Seen(policy) | Change::InList { object: policy, .. } => {
            let before = ctx.policies.get(&policy.name_any());
            let both = before.iter().map(|before| &before.spec).chain([&policy.spec]);
            Some(both.map(|spec| spec.integration_ref.name.clone()).collect::<Vec<_>>())
        }
        // A list says all at once.
        Change::Gone { .. } | Change::Listed(_) => None,
    };
    let was_listed = ctx.policies.is_listed();
    let changed = ctx.policies.take(change);
    // A list that says nothing new is nobody's concern.
    if !ctx.policies.is_listed() || was_listed && changed.is_empty() {
        return;
    }
    for grant in ctx.grants.all() {
        let concerned = about.as_ref().is_none_or(|about| about.contains(&grant.spec.integration_ref.name));
        let view = GrantView::from(grant.as_ref());
        if concerned && !view.is_finished() {
            ctx.queue.push(view.key);
        }
    }
}

/// Every grant that nothing was recorded for yet is judged again.
fn judge_again(ctx: &Context, concerned: impl Fn(&AccessGrant) -> bool) {
    for grant in ctx.grants.all() {
        let view = GrantView::from(grant.as_ref());
        if !view.is_recorded() && !view.is_finished() && concerned(&grant) {
            ctx.queue.push(view.key);
        }
    }
}

async fn who_am_i(client: &Client) -> Result<String, OperatorError> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await
        .map_err(|source| OperatorError::Api { what: "its own name", source: Box::new(source) })?;
    Ok(review.status.and_then(|s| s.user_info).and_then(|user| user.username).unwrap_or_default())
}

async fn cluster_uid(client: &Client) -> Result<String, OperatorError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let kube_system = api
        .get_metadata("kube-system")
        .await
        .map_err(|source| OperatorError::Api { what: "the UID of namespace kube-system", source: Box::new(source) })?;
    Ok(kube_system.meta().uid.clone().unwrap_or_default())
}
