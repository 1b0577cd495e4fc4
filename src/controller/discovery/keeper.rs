//! Begins and ends discovery with `spec.discovery`, beside an integration's looks, and tells its status how it goes.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, task::JoinHandle, time::sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use super::{Mirror, Plan, write};
use crate::{
    api::{
        ConditionStatus, RancherIntegration, condition, discovery::DiscoveryStatus,
        integration::RancherIntegrationStatus, resource::ResourceKind,
    },
    controller::{Context, brief, connection::Connection, integration::foreign},
};

/// The condition that says whether all of it is mirrored. Present only where something is to be.
const DISCOVERED: &str = "Discovered";

/// How often it is tried to delete what is not to be mirrored any more.
const AGAIN: Duration = Duration::from_secs(5);

/// What discovery has found out by now.
pub(super) struct Told {
    state: Mutex<State>,
    /// Makes the integration look, and so write its status.
    poke: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// The figures, once everything was listed.
    figures: Option<DiscoveryStatus>,
    error: Option<String>,
    /// Everything that was mirrored is deleted.
    forgotten: bool,
}

impl Told {
    fn new(poke: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), poke })
    }

    /// How many there are, as far as that is known, and what is the matter.
    pub(super) fn figures(&self, figures: Option<DiscoveryStatus>, error: Option<String>) {
        let mut state = self.state();
        // Figures come and go by the hundred where Rancher is busy: they are written with the next look.
        let at_once = state.error != error || (state.figures.is_none() && figures.is_some());
        (state.figures, state.error) = (figures, error);
        if at_once {
            self.poke.notify_one();
        }
    }

    fn forgotten(&self) {
        self.state().forgotten = true;
        self.poke.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What goes on for an integration.
struct Running {
    /// What it mirrors, and from where; `None`: it deletes what was mirrored.
    mirrors: Option<(Plan, Arc<Connection>)>,
    told: Arc<Told>,
    task: JoinHandle<()>,
    _stop: DropGuard,
}

impl Running {
    fn is(&self, wanted: Option<(&Plan, &Arc<Connection>)>) -> bool {
        let same = match (&self.mirrors, wanted) {
            (Some((plan, from)), Some((wanted, connection))) => plan == wanted && Arc::ptr_eq(from, connection),
            (None, None) => true,
            _ => false,
        };
        // One that ended by itself panicked, unless it is done.
        same && (!self.task.is_finished() || self.told.state().forgotten)
    }
}

/// Discovery of one integration. Ends when it is dropped.
#[derive(Default)]
pub struct Keeper(Option<Running>);

impl Keeper {
    /// Has that going on which the integration asks for, over the connection that stands.
    pub fn keep(
        &mut self,
        ctx: &Arc<Context>,
        integration: &RancherIntegration,
        connection: Option<&Arc<Connection>>,
        poke: &Arc<Notify>,
        stop: &CancellationToken,
    ) {
        let (name, plan) = (integration.metadata.name.clone().unwrap_or_default(), Plan::of(integration));
        let mirrored = integration.status.as_ref().is_some_and(|status| status.discovery.is_some());
        let wanted = match (&plan, connection) {
            (Some(plan), Some(connection)) => Some((plan, connection)),
            // What was mirrored stays as it is until there is a way again.
            (Some(_), None) => return self.0 = None,
            (None, _) if mirrored => None,
            (None, _) => return self.0 = None,
        };
        if self.0.as_ref().is_some_and(|running| running.is(wanted)) {
            return;
        }
        let (told, token) = (Told::new(poke.clone()), stop.child_token());
        let task = match wanted {
            Some((plan, connection)) => {
                let mirror = Mirror::new(ctx.clone(), plan.clone(), connection.clone(), told.clone());
                tokio::spawn(Arc::new(mirror).run(token.clone()))
            }
            None => tokio::spawn(forget(ctx.clone(), name, told.clone(), token.clone())),
        };
        let mirrors = wanted.map(|(plan, connection)| (plan.clone(), connection.clone()));
        self.0 = Some(Running { mirrors, told, task, _stop: token.drop_guard() });
    }

    /// Puts into the status how it goes. What it says stands until there is something new: no time alone is news.
    pub fn tell(&self, integration: &RancherIntegration, status: &mut RancherIntegrationStatus, now: Timestamp) {
        let stood = integration.status.as_ref().and_then(|status| status.discovery.clone());
        let state = self.0.as_ref().map(|running| running.told.state());
        if integration.spec.discovery.is_none() {
            condition::unset(&mut status.conditions, DISCOVERED);
            let deleting = !state.is_some_and(|state| state.forgotten);
            status.discovery = stood.filter(|_| deleting);
            return;
        }
        let (figures, error) = state.map_or((None, None), |state| (state.figures.clone(), state.error.clone()));
        let known = figures.is_some() || error.is_some();
        let before = stood.clone().unwrap_or_default();
        let new = if known { DiscoveryStatus { error: error.clone(), ..figures.unwrap_or(before) } } else { before };
        status.discovery = Some(stood.filter(|stood| same(stood, &new)).unwrap_or(new));
        let (holds, reason, message) = match error {
            Some(error) => (ConditionStatus::False, "Incomplete", error),
            None if known => {
                let message =
                    "All that can be asked for there is mirrored as RancherResource objects: kubectl get rres.";
                (ConditionStatus::True, "Mirrored", message.to_owned())
            }
            // What was said before this process began stands until it knows better.
            None if condition::find(&status.conditions, DISCOVERED).is_some() => return,
            None => (ConditionStatus::Unknown, "Listing", "What there is is being listed.".to_owned()),
        };
        let generation = integration.metadata.generation;
        condition::set(&mut status.conditions, now, generation, DISCOVERED, holds, reason, message);
    }
}

/// Whether the two say the same, but for the time.
fn same(one: &DiscoveryStatus, other: &DiscoveryStatus) -> bool {
    let without = |status: &DiscoveryStatus| DiscoveryStatus { last_sync_time: None, ..status.clone() };
    without(one) == without(other)
}

/// Deletes what was mirrored, until a second look finds nothing: a create that was under way may land after the first.
async fn forget(ctx: Arc<Context>, integration: String, told: Arc<Told>, shutdown: CancellationToken) {
    // What another installation mirrors is its own.
    let is_ours = || ctx.integrations.get(&integration).is_some_and(|found| foreign(&ctx, &found).is_none());
    let mut again = false;
    loop {
        let found = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            found = write::forget(&ctx.client, &integration, || ctx.leader.may_create() && is_ours()) => found,
        };
        match found {
            Ok(0) if again => {
                info!(integration, "Nothing of this Rancher is mirrored any more");
                ctx.metrics.forget_discovered(&integration, ResourceKind::ALL.map(ResourceKind::name));
                return told.forgotten();
            }
            Ok(_) => again = true,
            Err(error) => {
                let error = brief(&error);
                warn!(integration, error, "What was mirrored of this Rancher could not be deleted; it is tried again");
            }
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}
