//! What people made for themselves while they had access, and what outlives it: API keys and kubeconfigs.
//!
//! Bindings are taken away; a token that was made meanwhile stays, and works again whenever its user gets access again, or a
//! role that somebody forgot. So after each end the tokens of that user are looked at: one that was made while a grant gave
//! him access is left over once he has none at all ([`decide`]). A token cannot be made in the past: a user who made none is not
//! asked for again. An integration on which no access of users ended costs no request.
//!
//! - [`window`]: during what time a grant gave access.
//! - `look`: what is known of a user; what is not known leads to nothing being done.
//! - `act`: what is done, and who is told.

mod act;
mod decide;
mod error;
mod look;
pub mod window;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Context, connection::Connection};
use crate::{
    api::{
        AccessGrant, AccessGrantStatus, RancherIntegration,
        integration::RancherIntegrationStatus,
        user::{LeftoverToken, TokenAction},
    },
    runtime::Backoff,
};
use look::Look;
pub use window::Window;

/// How long after an access ended its user's tokens are looked at: all else goes first.
const SETTLES: Duration = Duration::from_secs(30);

/// How often it is looked again while something is left over, or ended a while ago.
const AGAIN: Duration = Duration::from_secs(600);

/// How long after a look that did not get to its end the next one follows, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(15), Duration::from_secs(600));

/// How long after its end an access is remembered here.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);

/// How many tokens status lists.
const LISTED: usize = 64;

/// All that is left over, for the integration's status; `None`: nobody has looked yet.
pub type Told = Option<Vec<LeftoverToken>>;

/// The status of a grant was written: where its access is proven gone by now, its users' tokens are looked at.
pub fn settled(ctx: &Context, grant: &AccessGrant, before: &AccessGrantStatus) {
    let ended = if before.revoked_time.is_none() { window::windows(grant) } else { Vec::new() };
    if !ended.is_empty() {
        let integration = &grant.spec.integration_ref.name;
        ctx.memory.had_access(integration, ended, remembered_since(ctx));
        ctx.memory.token_look_of(integration).notify_one();
    }
}

/// Writes what is left over into a status that is about to be written.
pub fn tell(told: &Told, status: &mut RancherIntegrationStatus) {
    let Some(tokens) = told else { return };
    status.leftover_tokens = tokens.iter().take(LISTED).cloned().collect();
    let more = tokens.len().saturating_sub(LISTED);
    status.more_leftover_tokens = i64::try_from(more).ok().filter(|more| *more > 0);
}

/// Looks after the tokens of one Rancher until `shutdown`: after each end of an access, and while something is left over.
/// `woken` when the spec may have changed.
pub async fn run(
    ctx: Arc<Context>,
    name: String,
    connection: Arc<Connection>,
    woken: Arc<Notify>,
    tell: Arc<watch::Sender<Told>>,
    shutdown: CancellationToken,
) {
    let ended = ctx.memory.token_look_of(&name);
    let mut keeper = Keeper { failures: 0, generation: None, clean: BTreeSet::new(), told: tell };
    let mut next = keeper.is_busy(&ctx, &name).then(|| Instant::now() + SETTLES);
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = ended.notified() => {
                let soon = Instant::now() + SETTLES;
                next = Some(next.map_or(soon, |next| next.min(soon)));
            }
            () = woken.notified() => {
                if keeper.is_news(&ctx, &name) {
                    next = Some(Instant::now());
                }
            }
            () = due(next) => {
                let Some(integration) = ctx.integrations.get(&name) else { return };
                next = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return,
                    wait = keeper.turn(&ctx, &integration, &connection) => wait.map(|wait| Instant::now() + wait),
                };
            }
        }
    }
}

async fn due(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// What the task of one integration knows.
struct Keeper {
    failures: u32,
    /// The spec's generation at the last look.
    generation: Option<i64>,
    /// The users who made nothing during their access, as far as it ended by the last look.
    clean: BTreeSet<(String, Timestamp)>,
    told: Arc<watch::Sender<Told>>,
}

impl Keeper {
    /// One look, where there is anything to look for. In what time the next is due.
    async fn turn(
        &mut self,
        ctx: &Context,
        integration: &RancherIntegration,
        connection: &Connection,
    ) -> Option<Duration> {
        let name = integration.name_any();
        self.generation = integration.metadata.generation;
        let (listed, windows) = (self.listed(ctx, &name), windows(ctx, &name));
        if connection.rancher.is_keyless() || listed.is_empty() && windows.is_empty() {
            return None;
        }
        if !may_act(ctx, integration) {
            return Some(RETRY.0);
        }
        let ends = ends(&windows);
        self.clean.retain(|known| ends.contains(known));
        let clean = self.clean.iter().map(|(user, _)| user.clone()).collect();
        let look = Look { ctx, integration, connection, windows: &windows, listed: &listed, bindings: None };
        let looked = look.all(&clean).await;
        self.clean.extend(ends.into_iter().filter(|(user, _)| looked.clean.contains(user)));
        ctx.metrics.leftover_tokens(&name, looked.tokens.iter().filter(|t| t.action != TokenAction::Deleted).count());
        self.told.send_if_modified(|told| {
            let news = told.as_ref().unwrap_or(&listed) != &looked.tokens;
            *told = Some(looked.tokens);
            news
        });
        if looked.whole {
            self.failures = 0;
            return Some(AGAIN);
        }
        self.failures = self.failures.saturating_add(1);
        Some(Backoff::new(RETRY.0, RETRY.1, 0).delay(self.failures - 1))
    }

    /// What was left over at the last look: by this process, or by the one before it.
    fn listed(&self, ctx: &Context, name: &str) -> Vec<LeftoverToken> {
        let told = self.told.borrow().clone();
        told.unwrap_or_else(|| {
            let integration = ctx.integrations.get(name);
            integration.and_then(|found| found.status.as_ref().map(|s| s.leftover_tokens.clone())).unwrap_or_default()
        })
    }

    fn is_busy(&self, ctx: &Context, name: &str) -> bool {
        !self.listed(ctx, name).is_empty() || !windows(ctx, name).is_empty()
    }

    /// Whether the spec changed since the last look, and there is anything to look at.
    fn is_news(&self, ctx: &Context, name: &str) -> bool {
        let stands = ctx.integrations.get(name).and_then(|now| now.metadata.generation);
        self.generation.is_some() && self.generation != stands && self.is_busy(ctx, name)
    }
}

/// The windows that count, by the grants that are there and by what is remembered of those that are not.
fn windows(ctx: &Context, name: &str) -> Vec<Window> {
    let mut all = ctx.memory.windows_of(name);
    all.extend(ctx.grants.of_integration(name).iter().flat_map(|grant| window::windows(grant)));
    window::recent(all, remembered_since(ctx))
}

/// The users and when the access of each ended last.
fn ends(windows: &[Window]) -> BTreeSet<(String, Timestamp)> {
    let last = |window: &&Window| windows.iter().all(|other| other.user != window.user || other.until <= window.until);
    windows.iter().filter(last).map(|window| (window.user.clone(), window.until)).collect()
}

fn remembered_since(ctx: &Context) -> Timestamp {
    ctx.now().checked_sub(REMEMBERED).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Whether this process leads with a clock that can be believed, and the claim on that Rancher is ours.
fn may_act(ctx: &Context, integration: &RancherIntegration) -> bool {
    let link = integration.metadata.name.as_deref().and_then(|name| ctx.registry.get(name));
    ctx.leader.may_create() && !ctx.clock_is_behind() && link.is_some_and(|link| link.may_sweep)
}
