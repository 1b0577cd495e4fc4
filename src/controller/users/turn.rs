//! One look at all users that are there because of grants, and what follows.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{ResourceExt, runtime::events::EventType};

use super::{
    Told,
    act::{Ended, Hand},
    concerns,
    decide::{self, Known, Move, Password, Rules},
    mark::{self, Mark},
    secret::{self, State},
    unseen,
    wanted::Wanted,
};
use crate::{
    api::{
        RancherIntegration,
        condition::{
            ConditionStatus::{False, True},
            one_line,
        },
        user::{KeptUser, UsersStatus},
    },
    controller::{Context, connection::Connection, grant::rancher_reason},
    grant::Because,
    rancher::{Error, wire::User},
};

/// How soon a process looks again that does not lead, or may not act there yet.
const NOT_YET: Duration = Duration::from_secs(5);

/// How many of those that are kept are named in the status.
const KEPT: usize = 64;

/// The most bytes that are said of one that is kept.
const REASON: usize = 1024;

/// What a keeper remembers from look to look.
#[derive(Default)]
pub(super) struct Seen {
    /// Principals whose users need no further look.
    marked: BTreeSet<String>,
    /// What was told of those that are kept.
    told: BTreeSet<(String, String)>,
}

/// The users cannot be tended at present.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.message)]
pub(super) struct Failure(pub Because);

impl Failure {
    pub(super) fn new(reason: &str, message: String) -> Self {
        Self(Because::new(reason, message))
    }

    pub(super) fn of_rancher(what: String, error: &Error) -> Self {
        Self::new(rancher_reason(error), format!("{what}: {error}"))
    }

    pub(super) fn of_api_server(message: String) -> Self {
        Self::new("ApiServerRefuses", message)
    }

    /// For the integration's status. A moment without the lease is nothing to tell.
    pub(super) fn told(&self) -> Option<Told> {
        let Because { reason, message } = &self.0;
        (reason != "NoLeader").then(|| Told {
            holds: False,
            because: Because::new(
                reason.clone(),
                format!("Users that are there because of grants cannot be tended: {message}. What grants gave them is taken away all the same; this is tried again."),
            ),
            users: None,
        })
    }
}

/// Looks at all, and does what is to be done. Says what to tell, and when to look again at the latest.
pub(super) async fn turn(
    ctx: &Context,
    integration: &RancherIntegration,
    connection: &Connection,
    seen: &mut Seen,
) -> Result<(Option<Told>, Option<Duration>), Failure> {
    let name = integration.name_any();
    let hand = Hand { ctx, integration, connection };
    if !hand.may() || !ctx.registry.get(&name).is_some_and(|link| link.may_sweep) {
        return Ok((None, Some(NOT_YET)));
    }
    let secrets = secret::all(ctx, &name).await;
    let secrets =
        secrets.map_err(|why| Failure::of_api_server(format!("the Secrets of local users cannot be listed: {why}")))?;
    let users = connection.rancher.users_labelled(&mark::selector(ctx, &name)).await;
    let users = users.map_err(|error| Failure::of_rancher("they cannot be listed".to_owned(), &error))?;
    let mut look = Look { hand: &hand, secrets: &secrets, sum: UsersStatus::default(), again: None, failed: None };
    if !secrets.is_empty()
        || !users.is_empty()
        || ctx.grants.of_integration(&name).iter().any(|grant| concerns(integration, grant))
    {
        let wanted = hand.wanted().await?;
        for user in &users {
            look.user(user, &wanted).await;
        }
        for meta in &secrets {
            look.credentials(meta, &wanted).await;
        }
        if integration.spec.user_cleanup_days.is_some() {
            look.unseen(&wanted, seen).await;
        }
    }
    look.tell_kept(seen);
    match look.failed {
        Some(failure) => Err(failure),
        None => {
            let until = |at: Timestamp| Duration::try_from(at.duration_since(ctx.now())).unwrap_or(Duration::ZERO);
            Ok((Some(told(look.sum)), look.again.map(until)))
        }
    }
}

/// One look, as far as it is.
struct Look<'a> {
    hand: &'a Hand<'a>,
    secrets: &'a [ObjectMeta],
    sum: UsersStatus,
    again: Option<Timestamp>,
    /// The first that failed: it holds up no other.
    failed: Option<Failure>,
}

impl Look<'_> {
    async fn user(&mut self, user: &User, wanted: &Wanted) {
        let (hand, id) = (self.hand, &user.meta.name);
        let mark = mark::of(hand.ctx, hand.connection, user);
        let operator = hand.integration.status.as_ref().and_then(|status| status.key.as_ref()?.user.clone());
        let local = match mark {
            Mark::Forged => {
                return self.keep(id, "He carries the operator's label, but his id or seal does not prove that he is there because of a grant: he is not touched. Look at who put it there.".to_owned());
            }
            _ if operator.as_ref() == Some(id) => {
                return self.keep(
                    id,
                    "The operator's own key is his: he is not touched. Give the operator a key of another user."
                        .to_owned(),
                );
            }
            Mark::Local(_) => true,
            Mark::Unseen => false,
        };
        if user.meta.is_terminating() {
            return;
        }
        let state = self.secrets.iter().find(|meta| meta.name.as_ref() == Some(id)).and_then(State::of);
        let known = Known {
            local,
            called: wanted.calls_for(id, &user.principal_ids),
            unsettled: wanted.is_unsettled(id, &user.principal_ids),
            enabled: user.enabled != Some(false),
            unused_since: mark::unused_since(user),
            password: state
                .filter(|state| state.user == user.meta.uid)
                .and_then(|state| state.set)
                .map_or(Password::Missing, Password::Set),
        };
        self.count(local, known.called);
        let spec = &hand.integration.spec;
        let rules = Rules { cleanup_days: spec.user_cleanup_days, rotation_days: spec.credential_rotation_days };
        let done = match decide::next(hand.ctx.now(), &known, &rules) {
            Move::Rest(until) => {
                self.again = self.again.into_iter().chain(until).min();
                return;
            }
            Move::DisabledByOthers => {
                return self.keep(id, "Somebody else disabled him in Rancher while a grant calls for him: he is not enabled by the operator. Enable him there, or end the grant.".to_owned());
            }
            Move::Use => hand.provide(user, false).await,
            Move::Renew => hand.provide(user, true).await,
            Move::Needed => hand.needed(user).await,
            Move::Retire => hand.retire(user, local).await,
            Move::Delete => match hand.delete(user, local).await {
                Ok(Ended::Done) => {
                    self.uncount(local);
                    return;
                }
                Ok(Ended::Later) => return,
                Ok(Ended::Kept(why)) => return self.keep(id, why),
                Err(failure) => Err(failure),
            },
        };
        match done {
            // What was begun now has its own time.
            Ok(()) => self.soon(),
            Err(failure) => self.fail(failure),
        }
    }

    /// Credentials that nobody calls for, whatever became of their user.
    async fn credentials(&mut self, meta: &ObjectMeta, wanted: &Wanted) {
        let (Some(id), Some(uid)) = (&meta.name, &meta.uid) else { return };
        if wanted.calls_for(id, &[]) {
            return;
        }
        if let Err(failure) = self.hand.take_credentials(id, uid).await {
            self.fail(failure);
        }
    }

    /// Marks those whom Rancher made for grants.
    async fn unseen(&mut self, wanted: &Wanted, seen: &mut Seen) {
        let here =
            |rancher: &Option<String>| rancher.as_ref().is_some_and(|uuid| *uuid == self.hand.connection.install_uuid);
        let bound: Vec<_> = wanted.bound.iter().filter(|bound| here(&bound.rancher)).cloned().collect();
        seen.marked.retain(|known| bound.iter().any(|bound| bound.principal == *known));
        for bound in bound {
            if seen.marked.contains(&bound.principal) {
                continue;
            }
            match unseen::mark(self.hand, &bound).await {
                Ok(true) => {
                    seen.marked.insert(bound.principal);
                    self.soon();
                }
                Ok(false) => {}
                Err(failure) => self.fail(failure),
            }
        }
    }

    fn count(&mut self, local: bool, called: bool) {
        let which = match (local, called) {
            (true, true) => &mut self.sum.enabled,
            (true, false) => &mut self.sum.disabled,
            (false, _) => &mut self.sum.unseen,
        };
        *which = which.saturating_add(1);
    }

    fn uncount(&mut self, local: bool) {
        let which = if local { &mut self.sum.disabled } else { &mut self.sum.unseen };
        *which = which.saturating_sub(1);
    }

    fn keep(&mut self, id: &str, why: String) {
        if self.sum.kept.len() < KEPT {
            self.sum.kept.push(KeptUser { user: id.to_owned(), reason: one_line(&why, REASON) });
        }
    }

    /// Tells once of each that is kept.
    fn tell_kept(&self, seen: &mut Seen) {
        let kept: BTreeSet<_> = self.sum.kept.iter().map(|kept| (kept.user.clone(), kept.reason.clone())).collect();
        for (user, reason) in kept.difference(&seen.told) {
            self.hand.tell(EventType::Warning, "UserKept", &format!("User {user}: {reason}"));
        }
        seen.told = kept;
    }

    fn soon(&mut self) {
        let now = self.hand.ctx.now();
        self.again = Some(self.again.map_or(now, |again| again.min(now)));
    }

    fn fail(&mut self, failure: Failure) {
        if self.failed.is_none() {
            self.failed = Some(failure);
        } else {
            tracing::warn!(error = %failure, "Another user cannot be tended either");
        }
    }
}

fn told(users: UsersStatus) -> Told {
    let UsersStatus { enabled, disabled, unseen, kept } = &users;
    let count = |count: i64, one: &str, many: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}.")),
        n => Some(format!("{n} {many}.")),
    };
    let parts = [
        count((*enabled).into(), "local user is enabled for grants", "local users are enabled for grants"),
        count(
            (*disabled).into(),
            "local user is disabled, for no grant calls for him",
            "local users are disabled, for no grant calls for them",
        ),
        count(
            (*unseen).into(),
            "user was made by Rancher for a principal that a grant bound",
            "users were made by Rancher for principals that grants bound",
        ),
        count(
            i64::try_from(kept.len()).unwrap_or(i64::MAX),
            "is kept, or not touched: see status.users.kept",
            "are kept, or not touched: see status.users.kept",
        ),
    ];
    let message = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let reason = if kept.is_empty() { "Tended" } else { "UsersKept" };
    Told { holds: True, because: Because::new(reason, message), users: Some(users) }
}
