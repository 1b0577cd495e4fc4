//! Users in Rancher that are there because of grants, from the first grant to the last.
//!
//! Two kinds: local users, whom the operator makes for grants that ask for one (`subject.localUser`), and users that Rancher
//! itself made because a grant bound a principal that it had never seen.
//!
//! - `provide` has a local user ready before anything is bound to him; the grant's own pass does that.
//! - A keeper beside each connection tends them all ([`run`]): disables a local user once no grant calls for him (`wanted`),
//!   takes his password away (`password`), and deletes users whose time has come, if nobody else gave them anything
//!   (`holdings`). What to do is decided in `decide`, from what stands on the user in Rancher (`mark`): so nothing is lost
//!   with a process, or with the grants.
//!
//! Whoever provides or retires a user holds his lock ([`lock`]).

mod act;
mod decide;
mod holdings;
mod mark;
mod password;
mod provide;
mod secret;
mod turn;
mod unseen;
mod wanted;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Context, connection::Connection};
use crate::{
    api::{
        AccessGrant, AccessGrantSpec, RancherIntegration, condition::ConditionStatus, grant::LocalUser,
        user::UsersStatus,
    },
    grant::{
        Because,
        name::{LocalUserKey, PREFIX},
    },
    rancher::wire::User,
    runtime::{Backoff, KeyGuard},
};

pub use provide::{Trouble, ready};

/// How often they are looked at in quiet times: clocks jump, and requests land late.
const QUIET: Duration = Duration::from_secs(600);

/// The least time from one look to the next.
const LEAST: Duration = Duration::from_secs(2);

/// How long after a look that failed the next one follows, at first and at most. A user whose access ended has no binding any
/// more, but may still log in.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What the integration's status is to say of users.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// Of the condition `UsersTended`.
    pub holds: ConditionStatus,
    /// Why.
    pub because: Because,
    /// How many there are; `None` where that was not seen.
    pub users: Option<UsersStatus>,
}

/// Whose local user a grant asks for.
pub fn whose(namespace: &str, spec: &AccessGrantSpec, local: &LocalUser) -> LocalUserKey {
    LocalUserKey {
        integration: spec.integration_ref.name.clone(),
        namespace: namespace.to_owned(),
        requester: spec.requested_by.username.clone(),
        username: local.username.clone(),
    }
}

/// Whether a user in Rancher may be a local user that was made for grants: by his id, which nobody else's begins like. So that
/// no grant binds him by another way than that, he counts as one though somebody stripped his mark.
pub fn may_be_local(user: &User) -> bool {
    user.meta.name.starts_with(PREFIX)
}

/// Has the users looked at, where that grant is about one that is tended.
pub fn call_on(ctx: &Context, grant: &AccessGrant) {
    let name = &grant.spec.integration_ref.name;
    if ctx.integrations.get(name).is_some_and(|integration| concerns(&integration, grant)) {
        ctx.memory.users_of(name).notify_one();
    }
}

/// Whether a grant has to do with a user that is tended: where it is about a local user; or where it bound a principal, and
/// whoever Rancher makes for that is to be deleted some day.
fn concerns(integration: &RancherIntegration, grant: &AccessGrant) -> bool {
    let local = grant.spec.subject.as_ref().is_some_and(|subject| subject.local_user.is_some());
    let cleans_up = integration.spec.user_cleanup_days.is_some();
    let mut bindings = grant.status.iter().flat_map(|status| &status.bindings);
    bindings.any(|binding| local || (cleans_up && binding.subject.starts_with("principal:")))
}

/// The lock of a user: held while he is made ready and bound, and while he is retired.
async fn lock(ctx: &Context, connection: &Connection, id: &str) -> KeyGuard<String> {
    ctx.locks.lock(format!("{}/user/{id}", connection.install_uuid)).await
}

/// Tends the users of one Rancher until `shutdown`: when grants ended, when somebody's time has come, and every ten minutes.
/// `woken` when the spec may have changed.
pub async fn run(
    ctx: Arc<Context>,
    name: String,
    connection: Arc<Connection>,
    woken: Arc<Notify>,
    tell: Arc<watch::Sender<Option<Told>>>,
    shutdown: CancellationToken,
) {
    let called = ctx.memory.users_of(&name);
    let generation = || ctx.integrations.get(&name).and_then(|integration| integration.metadata.generation);
    let (mut failures, mut seen, mut judged_by) = (0_u32, turn::Seen::default(), generation());
    // Where nothing says that there is anybody, there is no hurry to look.
    let mut next = Instant::now() + if is_known(&ctx, &name) { Duration::ZERO } else { QUIET };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = called.notified() => {}
            () = woken.notified() => {
                if generation() == judged_by {
                    continue;
                }
            }
            () = sleep_until(next) => {}
        }
        let Some(integration) = ctx.integrations.get(&name) else { return };
        let began = Instant::now();
        judged_by = integration.metadata.generation;
        let turn = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            turn = turn::turn(&ctx, &integration, &connection, &mut seen) => turn,
        };
        let wait = match turn {
            Ok((told, again)) => {
                failures = 0;
                say(&tell, told);
                again.map_or(QUIET, |again| again.min(QUIET))
            }
            Err(failure) => {
                failures = failures.saturating_add(1);
                warn!(integration = name, error = %failure, "Users that are there because of grants cannot be tended; it is tried again");
                say(&tell, failure.told());
                Backoff::new(RETRY.0, RETRY.1, 0).delay(failures - 1)
            }
        };
        next = Instant::now() + wait;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = sleep_until(began + LEAST) => {}
        }
    }
}

/// Whether there may be any users to tend, as far as is known without asking.
fn is_known(ctx: &Context, name: &str) -> bool {
    let Some(integration) = ctx.integrations.get(name) else { return false };
    integration.status.as_ref().is_some_and(|status| status.users.is_some())
        || ctx.grants.of_integration(name).iter().any(|grant| concerns(&integration, grant))
}

/// What is not known at present does not change what was told of how many there are.
fn say(tell: &watch::Sender<Option<Told>>, told: Option<Told>) {
    tell.send_if_modified(|before| {
        let told = told.map(|told| Told { users: told.users.or_else(|| before.as_ref()?.users.clone()), ..told });
        let news = told.is_some() && *before != told;
        if news {
            *before = told;
        }
        news
    });
}
