//! What a grant waits for, in words, and for how long.

use std::time::Duration;

use jiff::SignedDuration;

use super::{
    act::{Case, Hand},
    clear, membership,
};
use crate::{
    api::status::BindingKind,
    controller::{Context, words},
    grant::{
        Because, GrantKey, Progress,
        binding::{Goal, WaitFor},
    },
    rancher::{Error, finalizers},
    runtime::Backoff,
};

/// The longest time between two tries: nobody waits longer than this after what was away is back.
const LONGEST: Duration = Duration::from_secs(30);

/// The first time between two tries.
const FIRST: Duration = Duration::from_millis(500);

/// Counts how often a grant had to wait, and says how long next.
pub(super) struct Waiting<'a> {
    ctx: &'a Context,
    grant: &'a GrantKey,
}

impl<'a> Waiting<'a> {
    pub(super) fn new(ctx: &'a Context, grant: &'a GrantKey) -> Self {
        Self { ctx, grant }
    }

    /// Not yet, for this reason.
    pub(super) fn progress(&self, reason: &str, message: String) -> Progress {
        let attempt = self.ctx.memory.waited(self.grant);
        let wait = Backoff::new(FIRST, LONGEST, seed(self.grant)).delay(attempt.saturating_sub(1));
        self.in_(wait, reason, message)
    }

    /// Not yet, for this reason; again in that time.
    pub(super) fn in_(&self, wait: Duration, reason: &str, message: String) -> Progress {
        let retry = SignedDuration::try_from(wait).unwrap_or(SignedDuration::from_secs(1));
        Progress::Waiting { because: Because::new(reason, message), retry }
    }
}

impl Hand<'_> {
    /// Why a binding waits, for people.
    pub(super) async fn wait(&self, wait: WaitFor, goal: Goal, case: &mut Case) -> Progress {
        let waiting = Waiting::new(self.ctx, &self.grant.key);
        let target = words::access(&case.record).target;
        match wait {
            WaitFor::Answer => {
                let what = case.trouble.as_ref().map_or_else(|| "no clear answer".to_owned(), Error::to_string);
                let reason = case.trouble.as_ref().map_or("RancherUnknown", reason);
                self.ctx.memory.suspect(&case.record.name, &self.grant.key);
                if case.around {
                    self.ctx.memory.beside(&case.record.name, &self.grant.key);
                }
                waiting.progress(reason, format!("{target}: {what}. Tried again until it is clear, every 30 s at least."))
            }
            WaitFor::Name => waiting.progress(
                "NameTaken",
                format!(
                    "{target}: a binding that is not ours stands under the name {}, so that ours is gone cannot be proven: somebody put it there. Look at it in Rancher, and remove it.",
                    words::place(&case.record)
                ),
            ),
            WaitFor::Gone => self.still_there(&waiting, goal, case).await,
            WaitFor::Finalizers => waiting.in_(
                FIRST,
                "AwaitingFinalizers",
                format!("{target}: the binding is so new that Rancher could not clean up after it; it is deleted as soon as Rancher can, within 30 s."),
            ),
            WaitFor::Leadership => {
                let because = self.may_grant.clone().err().unwrap_or_else(|| {
                    Because::new("NoLeader", "This operator does not hold its lease at the moment, its clock is behind, or the grant has ended; nothing is created.")
                });
                waiting.progress(&because.reason, format!("{target}: {}", because.message))
            }
            WaitFor::LateCreates => waiting.in_(
                Duration::from_secs(5),
                "AwaitingLateCreates",
                format!("{target}: a request to create the binding got no answer and may still land; it is looked for until 90 s after the last one."),
            ),
        }
    }

    /// What a binding that cannot go still gives, as a look at its objects shows it. Nothing is removed: while the binding
    /// is there they are Rancher's to keep.
    async fn downstream(&self, case: &Case) -> String {
        let cluster = &case.record.cluster;
        let looked =
            self.connection.rancher.leftovers(&clear::trace(self, case, vec![cluster.clone()], false).await).await;
        let (there, here): (Vec<_>, Vec<_>) = looked.found.iter().partition(|left| left.cluster == *cluster);
        let views = match here.len() {
            0 => String::new(),
            n => format!(" On Rancher's own cluster {n} of its role bindings stay until then."),
        };
        if let Some(place) = looked.unreadable.iter().find(|place| place.cluster == *cluster) {
            format!("Whether the access still works on cluster {cluster} is not known: {}.{views}", place.error)
        } else if let Some(first) = there.first() {
            let more = match there.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            format!("Until then the access still works on cluster {cluster}, by {first}{more}.{views}")
        } else {
            format!("The access on cluster {cluster} is gone already: none of its role bindings is left there.{views}")
        }
    }

    /// An object that is being deleted, longer than Rancher needs by itself.
    async fn still_there(&self, waiting: &Waiting<'_>, goal: Goal, case: &Case) -> Progress {
        if goal == Goal::Give {
            self.ctx.memory.suspect(&case.record.name, &self.grant.key);
        }
        let (target, place, role) = (words::access(&case.record).target, words::place(&case.record), &case.record.role);
        let of_a_template =
            case.record.kind != BindingKind::RoleBinding && case.record.kind != BindingKind::GlobalRoleBinding;
        if goal == Goal::Take
            && of_a_template
            && matches!(self.connection.rancher.role_template(role).await, Ok(None))
            // Our own role is made again.
            && !matches!(membership::ensure(self, &case.record).await, Ok(Some(_)))
        {
            let truth = self.downstream(case).await;
            return waiting.progress(
                "RoleTemplateGone",
                format!(
                    "{target}: Rancher cannot remove the binding {place}, for its RoleTemplate {role} was deleted (every update of it fails). Create a RoleTemplate named {role} of the same context, even without rules; the binding then goes within 20 s, and the RoleTemplate may go too. {truth}"
                ),
            );
        }
        let (kind, held) = (words::reference(&case.record).kind, case.finalizers.join(", "));
        let foreign = finalizers::foreign(&case.finalizers, kind, &case.record.cluster, &self.connection.release);
        if foreign.is_empty() || foreign.len() < case.finalizers.len() {
            return waiting.progress(
                "AwaitingRemoval",
                format!("{target}: the binding {place} is being deleted, but Rancher has not cleaned up after it yet (finalizers: {held}): the cluster or Rancher's webhook may be away."),
            );
        }
        let truth = self.downstream(case).await;
        waiting.progress(
            "ForeignFinalizer",
            format!("{target}: the binding {place} is being deleted, and Rancher has done its part; what keeps it is {held}, which this Rancher never takes off: an older release or somebody else put it there. Find out who waits by it; if nobody does, take it off in Rancher (kubectl edit). {truth}"),
        )
    }
}

/// A reason for the condition, from what went wrong.
pub(in crate::controller) fn reason(error: &Error) -> &'static str {
    match error {
        Error::Unauthenticated { .. } => "KeyRefused",
        Error::Unavailable { .. } => "RancherUnreachable",
        Error::Throttled { .. } => "RancherThrottles",
        Error::Refused { .. } => "RancherRefuses",
        _ => "RancherUnknown",
    }
}

/// Spreads the tries of many grants: each has its own, always the same.
fn seed(grant: &GrantKey) -> u64 {
    grant
        .namespace
        .bytes()
        .chain(grant.name.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
