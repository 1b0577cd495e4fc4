//! One grant's way: observe, decide, act, record.
//!
//! - `observe` holds a request against policies and Rancher (`resolve`), with its `terms`; [`extended`] looks at the grant that it
//!   extends, `standing` at its policy while access is in force, `ballots` at what people decided.
//! - [`crate::grant::decide`] decides.
//! - `settle` and `act` bring bindings to where they should be (`look`, `holders`, `membership`, `write`, `clear` with `reach`, `gone`,
//!   `wait`); [`orphan`] does so for a binding that has no grant.
//! - `record` writes it down, `report` tells it, and `answer` tells those who decided.

mod act;
mod answer;
mod ballots;
mod clear;
mod current;
pub mod extended;
mod gone;
mod holders;
mod look;
pub mod membership;
mod observe;
pub mod orphan;
mod reach;
mod record;
mod report;
mod resolve;
mod settle;
mod standing;
mod terms;
mod wait;
mod write;

pub(super) use ballots::revoke as revoked;
pub(super) use terms::lasted;
pub(super) use wait::reason as rancher_reason;

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::time::Instant;
use tracing::{debug, info};

use super::{Context, brief, grants, is_absent, operator, pools::Work, seats, tokens, users};
use crate::{
    api::{AccessGrant, AccessGrantStatus},
    grant::{
        Answer, Decision, GrantKey, GrantView, Judged, Lane, Observed, Step, Wake, binding::Goal, decide, extension,
        view,
    },
    runtime::Standing,
};

/// Rounds of deciding and acting in one pass. A grant's longest way has five; more means that something changes all the
/// time, and others should have their turn.
const ROUNDS: usize = 12;

/// How long after a pass that did not get to its end the next one follows.
const AGAIN: SignedDuration = SignedDuration::from_secs(1);

/// How long after a grant was found not to be this process's business it is looked at again.
const UNSERVED: SignedDuration = SignedDuration::from_secs(10);

/// How long after the access is gone the survivors of a revoke are touched. What fails for longer will not succeed:
/// Rancher looks at all its bindings anew every ten hours.
const TOUCH_FOR: SignedDuration = SignedDuration::from_mins(10);

/// A pass over one grant failed; it is repeated.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// The API server did not take a write. A conflict is normal: somebody else changed the grant.
    #[error("cannot write grant {grant}: {}", brief(source))]
    Write {
        /// Which grant.
        grant: GrantKey,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

impl GrantError {
    /// Whether somebody else changed the grant meanwhile: that is no fault.
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// A word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Write { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code == 409 => "Conflict",
                _ => "ApiServer",
            },
        }
    }
}

/// Looks at one grant and does what is to be done, as far as the place that it has is for that. Says when to look again.
///
/// # Errors
/// See [`GrantError`].
pub async fn reconcile(ctx: &Context, key: &GrantKey, work: Work) -> Result<Wake, GrantError> {
    let Some(grant) = ctx.grants.get(key) else {
        if ctx.leader.standing() == Standing::Leading {
            answer::nobody(ctx, key).await;
        }
        return Ok(Wake::OnChange);
    };
    let mut pass = Pass {
        ctx,
        view: GrantView::from(grant.as_ref()),
        world: Observed::nothing(false),
        grant,
        written: None,
        serves: true,
        clears: work == Work::Clear,
        soon: None,
        answers: Vec::new(),
    };
    pass.serves = pass.is_served();
    if !pass.serves {
        // A lease that lapsed may come back: what waits for it is looked at again.
        let waits = ctx.leader.standing() != Standing::Standby;
        return Ok(if waits { Wake::after(ctx.now(), UNSERVED) } else { Wake::OnChange });
    }
    let wake = pass.run().await?;
    // What was judged is written down by now, or came to nothing. After a failure the seat is kept: the write may have
    // landed, and the next pass will know.
    if ctx.seats.release(key) && grants::counts_under(&pass.grant).is_empty() {
        seats::freed(ctx, &pass.grant);
    }
    Ok(wake)
}

struct Pass<'a> {
    ctx: &'a Context,
    /// The grant as the API server last had it.
    grant: Arc<AccessGrant>,
    /// When this pass last wrote it: so it stood then.
    written: Option<Instant>,
    /// The grant as this pass sees it: with what was done, but is not written yet.
    view: GrantView,
    world: Observed,
    serves: bool,
    /// Whether it may look downstream.
    clears: bool,
    /// Something is about to get on: in what time to look again.
    soon: Option<Duration>,
    /// What is to be told to those who decided, once the status is written.
    answers: Vec<Answer>,
}

impl Pass<'_> {
    /// Whether this process is the one to work on it: its integration is of this connector (or is gone, and the grant
    /// has been ours), and this process leads, or led and takes away what has ended.
    fn is_served(&self) -> bool {
        let integration = self.ctx.integrations.get(self.integration());
        let (ours, foreign) = match &integration {
            Some(integration) => (
                integration.spec.connector == self.ctx.settings.connector,
                super::integration::foreign(self.ctx, integration).is_some(),
            ),
            None => (true, false),
        };
        let revokes = self.view.lane(self.ctx.now()) == Lane::Revoke;
        ours && match self.ctx.leader.standing() {
            // What another installation serves is only ever taken away, by what the record says.
            Standing::Leading => !foreign || revokes,
            Standing::Lapsed => revokes,
            Standing::Standby => false,
        }
    }

    fn integration(&self) -> &str {
        &self.grant.spec.integration_ref.name
    }

    async fn run(&mut self) -> Result<Wake, GrantError> {
        if let Ok(since) = *self.ctx.proof.borrow() {
            self.view.judge_identity(since);
        }
        self.world.ballots = ballots::look(self.ctx, &self.grant, &self.view).await;
        // Where somebody revokes it, nothing else has to be known first.
        if !ballots::revoke(self.ctx, &self.grant, &self.view) {
            self.world.extended = extended::look(self.ctx, &self.grant, &self.view).await;
            self.world.policy = standing::look(self.ctx, &self.grant, &self.view).await;
        }
        for _ in 0..ROUNDS {
            let now = self.ctx.now();
            self.world.may_create = self.ctx.leader.may_create() && !self.ctx.clock_is_behind();
            let Decision { steps, status, wake, answers } =
                decide(now, &self.view, &self.world, &self.ctx.settings.limits);
            self.view.status = status;
            self.answers.extend(answers);
            if steps.is_empty() {
                if self.write_status().await? {
                    continue;
                }
                return Ok(self.answer().await.map_or(wake, |again| wake.or_at(Some(again))));
            }
            for step in steps {
                if self.step(step).await? {
                    return Ok(Wake::OnChange);
                }
                if let Some(wait) = self.soon.take() {
                    return self.put_off(wait).await;
                }
            }
        }
        debug!(grant = %self.view.key, "Still changing after many rounds; others have their turn first");
        Ok(Wake::after(self.ctx.now(), AGAIN))
    }

    /// Does one step. Says whether that was the last for this grant.
    async fn step(&mut self, step: Step) -> Result<bool, GrantError> {
        match step {
            Step::Judge => {
                if let Ok(since) = *self.ctx.proof.borrow() {
                    self.view.judge_identity(since);
                }
                let now = self.ctx.now();
                let from = extension::from(now, &self.view, &self.world.extended);
                self.world.request = observe::judge(self.ctx, &self.grant, &self.world.extended, from, now).await;
            }
            Step::AddFinalizer => {
                let written = record::add_finalizer(self.ctx, &self.grant).await.map_err(|e| self.unwritten(e))?;
                self.view.finalizer = true;
                self.grant = Arc::new(written);
            }
            Step::Record => {
                self.write_status().await?;
                self.world.request = Judged::NotAsked;
                self.world.tried = None;
            }
            Step::Settle(goal) => {
                if goal == Goal::Take {
                    users::call_on(self.ctx, &self.grant);
                }
                self.settle(goal).await;
            }
            Step::Touch => return self.touch().await,
            Step::RemoveFinalizer => {
                if extended::is_waited_for(self.ctx, &self.view) {
                    let again = Wake::after(self.ctx.now(), AGAIN);
                    if let Wake::At(again) = again {
                        self.ctx.queue.push_at(self.view.key.clone(), again);
                    }
                    return Ok(true);
                }
                operator::remember(self.ctx, &self.grant);
                record::remove_finalizer(self.ctx, &self.grant).await.map_err(|e| self.unwritten(e))?;
                self.ctx.memory.forget(&self.view.key);
                report::released(&self.grant);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Answers those who decided, now that what counts is written down. When to try again, where that failed.
    async fn answer(&mut self) -> Option<jiff::Timestamp> {
        const AT_ONCE: usize = 32;
        let mut answers = std::mem::take(&mut self.answers);
        answers.reverse();
        answers.sort_by(|a, b| a.uid.cmp(&b.uid));
        // Of several rounds the last one knows best.
        answers.dedup_by(|later, first| later.uid == first.uid);
        // What counted first; who makes many at once waits for others' turns.
        answers.sort_by_key(|answer| answer.status.counted != Some(true));
        answers.truncate(AT_ONCE);
        let given = answer::give(self.ctx, &self.grant, &self.view.key, &answers).await;
        let more = !answers.is_empty() && !self.ctx.decisions.about(&self.view.key).is_empty();
        if given && !more { None } else { self.ctx.now().checked_add(AGAIN).ok() }
    }

    /// Lets others have the place for a moment. What did get on is written; that something is under way is not worth it.
    async fn put_off(&mut self, wait: Duration) -> Result<Wake, GrantError> {
        self.write_status().await?;
        let wait = SignedDuration::try_from(wait).unwrap_or(AGAIN);
        Ok(Wake::after(self.ctx.now(), wait))
    }

    /// Touches what is still to be touched. Says whether to stop here: a touch that fails is tried again later.
    async fn touch(&mut self) -> Result<bool, GrantError> {
        let Ok((connection, _)) = self.connection() else {
            return Ok(self.touch_failed());
        };
        let now = self.ctx.now();
        let gone = self.view.status.revoked_time.as_ref().map_or(now, |gone| gone.0);
        let given_up = now.duration_since(gone) > TOUCH_FOR;
        let time = now.to_string();
        let mut failed = false;
        for index in 0..self.view.status.bindings.len() {
            let Some(record) = self.view.status.bindings.get_mut(index).filter(|b| b.touch_pending) else { continue };
            if clear::touch_later(&connection, record, &time).await.is_ok() || given_up {
                record.touch_pending = false;
            } else {
                failed = true;
            }
        }
        self.write_status().await?;
        Ok(failed && self.touch_failed())
    }

    /// A touch keeps nobody's finalizer; a grant that stays is looked at again.
    fn touch_failed(&self) -> bool {
        if self.view.deleted.is_some() {
            return false;
        }
        let again = self.ctx.now().checked_add(SignedDuration::from_secs(30)).unwrap_or_else(|_| self.ctx.now());
        self.ctx.queue.push_at(self.view.key.clone(), again);
        true
    }

    /// Writes the status where it differs from what stands. Says whether it did.
    async fn write_status(&mut self) -> Result<bool, GrantError> {
        let stood = self.grant.status.clone().unwrap_or_default();
        if self.view.status == stood {
            return Ok(false);
        }
        let written = record::status(self.ctx, &self.grant, &self.view.status).await.map_err(|e| self.unwritten(e))?;
        self.written = Some(Instant::now());
        let now_stands: AccessGrantStatus = written.status.clone().unwrap_or_default();
        let before = std::mem::replace(&mut self.grant, Arc::new(written));
        if !grants::counts_under(&before).is_empty() && grants::counts_under(&self.grant).is_empty() {
            seats::freed(self.ctx, &self.grant);
        }
        extended::tell(self.ctx, &self.view.key);
        report::changed(self.ctx, &self.grant, &stood, &now_stands);
        tokens::settled(self.ctx, &self.grant, &stood);
        let finished = now_stands.phase.is_some_and(view::is_terminal);
        for settled in now_stands.bindings.iter().filter(|b| b.is_settled()) {
            self.ctx.memory.forget_cleared(&settled.name);
            self.ctx.memory.released_is_written(&settled.name, &self.view.key);
        }
        self.view.status = now_stands;
        // A finished grant that is to be deleted has one step left; all else waits for its time.
        Ok(finished && self.view.deleted.is_some())
    }

    fn unwritten(&self, source: kube::Error) -> GrantError {
        if is_absent(&source) {
            operator::gone(self.ctx, &self.view.key, self.grant.metadata.uid.as_deref());
            info!(grant = %self.view.key, "The grant is gone from the API server");
        }
        GrantError::Write { grant: self.view.key.clone(), source: Box::new(source) }
    }
}

/// The reference that events about a grant carry.
fn reference(grant: &AccessGrant) -> k8s_openapi::api::core::v1::ObjectReference {
    kube::Resource::object_ref(grant, &())
}
