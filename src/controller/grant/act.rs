//! Brings each binding of a grant to where it should be: what [`crate::grant::binding`] decides is done here, under the
//! binding's lock.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;

use super::{
    clear,
    current::{self, Current, Stood},
    gone, holders,
    wait::Waiting,
};
use crate::{
    api::status::{BindingKind, BindingRecord, BindingState},
    controller::{Context, connection::Connection, words},
    grant::{
        Because, GrantView, Progress,
        binding::{self, BindingWorld, Goal, Holders, Move, Sight, WaitFor},
        name::{SubjectKey, binding_name},
        record::whole_seconds,
    },
    rancher::{Error, ProofOfAbsence, wire::Subject},
    runtime::Standing,
};

/// How many bindings of one grant are worked on at once.
const AT_ONCE: usize = 8;

/// How long a binding that is about to get on is looked at often, before it is said that it waits. Rancher needs 0.1 to
/// 0.6 s for a delete (measured on 2.15.0). Nobody keeps his place meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often then: at first, and at last.
const GLANCE: (Duration, Duration) = (Duration::from_millis(60), Duration::from_millis(400));

/// What acting on one grant needs.
pub(super) struct Hand<'a> {
    pub ctx: &'a Context,
    pub grant: &'a GrantView,
    pub integration: &'a str,
    pub connection: &'a Connection,
    /// Whether access may be given on that server at present.
    pub may_grant: &'a Result<(), Because>,
    /// Whether it may be looked downstream for what was left behind: that has places of its own.
    pub clears: bool,
    /// The grant as the API server last had it; `None` where there is none.
    pub stood: Option<Stood<'a>>,
}

/// Why a binding gets no further at the moment, though nothing is wrong.
enum Later {
    /// Rancher has begun something and will end it by itself.
    Going(WaitFor),
    /// It is gone, and what it left behind is to be looked for: from a place for that.
    Clear,
    /// The grant is not as it was read: it is looked at as it stands.
    Changed,
}

/// How far a binding got.
pub(super) enum Outcome {
    /// So far, in this pass.
    So(Progress),
    /// It is about to get on: it is looked at again in this time, and until then others have the place.
    Soon(Duration),
}

/// What settling came to.
pub(super) struct Settled {
    /// The records as they now stand, in their order.
    pub bindings: Vec<BindingRecord>,
    /// How far each got, unless one is about to get on.
    pub outcome: Result<Vec<Progress>, Duration>,
    /// Whether Rancher said something of at least one that is not settled.
    pub heard: bool,
}

/// One binding, while it is worked on under its lock.
pub(super) struct Case {
    pub record: BindingRecord,
    /// Whom it is for, as recorded.
    pub subject: SubjectKey,
    /// Whom it is for, in every form that was seen.
    pub named: Subject,
    pub world: BindingWorld,
    /// What went wrong last.
    pub trouble: Option<Error>,
    /// Whether Rancher itself was heard: also of a cluster of its own that is away.
    pub heard: bool,
    /// Rancher's own word that no binding of that name is there.
    pub proof: Option<ProofOfAbsence>,
    /// Whether it was last seen without the finalizers that Rancher cleans up by.
    pub unclean: bool,
    /// The finalizers that it was last seen with.
    pub finalizers: Vec<String>,
    /// Whether equal ones that somebody else made are looked for beside it.
    pub around: bool,
    /// When Rancher says that it was made, where it was seen.
    pub made: Option<Timestamp>,
}

impl Hand<'_> {
    /// Brings all bindings to where they should be.
    pub(super) async fn settle(&self, goal: Goal) -> Settled {
        let settled: Vec<_> = stream::iter(self.grant.status.bindings.clone())
            .map(|record| self.settle_one(goal, record))
            .buffered(AT_ONCE)
            .collect()
            .await;
        let heard = settled.iter().any(|(_, _, heard)| *heard);
        let (bindings, outcomes): (Vec<_>, Vec<_>) =
            settled.into_iter().map(|(record, outcome, _)| (record, outcome)).unzip();
        let ends = |o: &Outcome| matches!(o, Outcome::So(Progress::Refused(_) | Progress::RemovedInRancher(_)));
        let soonest =
            outcomes.iter().filter_map(|o| if let Outcome::Soon(wait) = o { Some(*wait) } else { None }).min();
        let outcome = match soonest {
            // What ends the grant is not put off for what gets on.
            Some(wait) if !outcomes.iter().any(ends) => Err(wait),
            _ => Ok(outcomes.into_iter().map(|outcome| self.said(outcome)).collect()),
        };
        Settled { bindings, outcome, heard }
    }

    fn said(&self, outcome: Outcome) -> Progress {
        match outcome {
            Outcome::So(progress) => progress,
            Outcome::Soon(wait) => {
                Waiting::new(self.ctx, &self.grant.key).in_(wait, "InProgress", "Rancher is at work on it.".to_owned())
            }
        }
    }

    async fn settle_one(&self, goal: Goal, record: BindingRecord) -> (BindingRecord, Outcome, bool) {
        if record.is_settled() {
            return (record, Outcome::So(Progress::Done), false);
        }
        let Ok(subject) = record.subject.parse::<SubjectKey>() else {
            let message = format!(
                "The recorded subject {:?} cannot be read: restore the grant's status from a backup.",
                record.subject
            );
            return (
                record,
                Outcome::So(Waiting::new(self.ctx, &self.grant.key).progress("RecordUnreadable", message)),
                true,
            );
        };
        let lock = self.ctx.locks.lock(format!("{}/{}", self.connection.install_uuid, record.name)).await;
        let mut case = self.open(record, subject);
        let outcome = match self.under_lock(goal, &mut case).await {
            Ok(progress) => {
                self.ctx.memory.got_going(&case.record.name, &self.grant.key);
                Outcome::So(progress)
            }
            Err(Later::Going(wait)) => self.soon(goal, wait, &mut case).await,
            Err(Later::Clear) => {
                self.ctx.memory.to_clear(&case.record.name);
                self.ctx.memory.seen_for(&case.record.name, case.named);
                Outcome::Soon(Duration::ZERO)
            }
            Err(Later::Changed) => Outcome::Soon(Duration::ZERO),
        };
        drop(lock);
        (case.record, outcome, case.heard)
    }

    fn open(&self, mut record: BindingRecord, subject: SubjectKey) -> Case {
        record.lacked_finalizers |= self.ctx.memory.has_lacked_finalizers(&record.name);
        let world = BindingWorld {
            sight: Sight::NotLooked,
            beside: false,
            holders: Holders::NotAsked,
            may_create: false,
            may_land_late: match record.state {
                BindingState::Intended => self.ctx.memory.may_land_late(&record.name, self.ctx.leader.since()),
                _ => self.ctx.memory.is_unanswered(&record.name),
            },
            taken_by_co_holder: holders::taken_by_co_holder(self.ctx, self.grant, &record.name, record.since.0),
            created: false,
        };
        let seen = self.ctx.memory.subject_of(&record.name);
        let named = seen.unwrap_or_else(|| words::subject(&subject));
        let around = record.state == BindingState::Yielding;
        Case {
            record,
            subject,
            named,
            world,
            trouble: None,
            heard: true,
            proof: None,
            unclean: false,
            finalizers: Vec::new(),
            around,
            made: None,
        }
    }

    /// Waits for what Rancher has begun: with patience at first, and without keeping the place.
    async fn soon(&self, goal: Goal, wait: WaitFor, case: &mut Case) -> Outcome {
        let memory = &self.ctx.memory;
        match goal {
            Goal::Give => memory.suspect(&case.record.name, &self.grant.key),
            Goal::Take => memory.seen_for(&case.record.name, case.named.clone()),
        }
        let waited = memory.going(&case.record.name, &self.grant.key);
        // Of a cluster that is away nothing is to be expected soon.
        if waited >= PATIENCE || !self.connection.clusters.answers(&case.record.cluster) {
            return Outcome::So(self.wait(wait, goal, case).await);
        }
        Outcome::Soon((waited / 2).clamp(GLANCE.0, GLANCE.1))
    }

    /// As far as it gets now.
    async fn under_lock(&self, goal: Goal, case: &mut Case) -> Result<Progress, Later> {
        if goal == Goal::Give && case.record.state == BindingState::Present {
            // What is in force is looked at only when a watch or a sweep said something about it.
            let (name, key) = (&case.record.name, &self.grant.key);
            case.around = self.ctx.memory.take_beside(name, key);
            if !self.ctx.memory.take_suspect(name, key) && !case.around {
                return Ok(Progress::Done);
            }
            self.look(goal, case).await;
        }
        loop {
            case.world.may_create = self.may_create();
            let refused = match binding::next(goal, case.record.state, &case.world) {
                Move::Done => return Ok(Progress::Done),
                Move::Look => {
                    self.look(goal, case).await;
                    None
                }
                Move::AskHolders => {
                    case.world.holders = holders::ask(self.ctx, self.grant, &case.record.name).await;
                    None
                }
                Move::Create => self.make(case).await?,
                Move::Delete(_) if !self.may_delete() => return Err(Later::Changed),
                Move::Delete(uid) => {
                    self.delete(case, &uid).await;
                    None
                }
                Move::ClearLeftovers if self.may_clear(case) => return Ok(clear::clear(self, goal, case).await),
                Move::ClearLeftovers => return Err(Later::Clear),
                // A create of ours without an answer may still land beside it: then there is something to take away.
                Move::Become(BindingState::AlreadyHeld, _) if self.ctx.memory.is_unanswered(&case.record.name) => {
                    return Ok(self.wait(WaitFor::LateCreates, goal, case).await);
                }
                Move::Become(BindingState::Yielding, uid) => {
                    self.settle_in(case, BindingState::Yielding, uid);
                    return Ok(self.yields(case));
                }
                Move::Become(state, uid) => {
                    if self.settle_in(case, state, uid) {
                        return Ok(Progress::Done);
                    }
                    None
                }
                Move::Rename(name) => return Ok(self.renamed(case, name)),
                Move::RemovedInRancher => return Ok(gone::removed(self, case).await),
                Move::NameTaken => return Ok(name_taken(&case.record)),
                Move::Wait(wait @ (WaitFor::Gone | WaitFor::Finalizers)) => return Err(Later::Going(wait)),
                Move::Wait(wait) => return Ok(self.wait(wait, goal, case).await),
            };
            if let Some(refused) = refused {
                return Ok(refused);
            }
        }
    }

    /// Creates it, if the grant and the person are still who they were. Says why not, or what Rancher refused.
    async fn make(&self, case: &mut Case) -> Result<Option<Progress>, Later> {
        if let Some(name) = self.own_name(case) {
            return Ok(Some(self.renamed(case, name)));
        }
        match current::look(self).await {
            Current::Same => {}
            Current::Changed => return Err(Later::Changed),
            Current::Unknown(progress) => return Ok(Some(progress)),
        }
        match gone::subject(self, case).await {
            Ok(()) => Ok(self.create(case).await),
            Err(progress) => Ok(Some(progress)),
        }
    }

    /// Whether it may be looked for left-overs from this place: where there are any to look for.
    fn may_clear(&self, case: &Case) -> bool {
        self.clears || case.record.kind == BindingKind::RoleBinding || self.ctx.memory.is_cleared(&case.record.name)
    }

    /// The name to create under, where the record has another: that of an equal binding which is gone by now.
    fn own_name(&self, case: &Case) -> Option<String> {
        let own = binding_name(
            &self.ctx.installation.key,
            &self.connection.install_uuid,
            &case.subject,
            &words::access(&case.record),
        );
        (own != case.record.name).then_some(own)
    }

    /// Goes on under another name: but only once that is written down, and under that name's lock.
    fn renamed(&self, case: &mut Case, name: String) -> Progress {
        let place = words::place_of(&case.record.namespace, &name);
        let message = format!("The access is recorded as {place} from now on.");
        case.record.name = name;
        let waiting = Waiting::new(self.ctx, &self.grant.key);
        waiting.in_(Duration::ZERO, "Activating", message)
    }

    /// Takes ours away, for somebody else's equal one: but only once that is written down, so that whoever goes on
    /// after a crash knows who took it.
    fn yields(&self, case: &Case) -> Progress {
        let BindingRecord { namespace, name, .. } = &case.record;
        let message = format!(
            "Somebody else made a binding that gives the same access beside {namespace}/{name}. Ours is being taken away, so that theirs stays whatever Rancher does about duplicates; the access goes on by theirs."
        );
        Waiting::new(self.ctx, &self.grant.key).in_(Duration::ZERO, "Yielding", message)
    }

    /// Asked at the moment of each create: this process leads, the server may be granted on, and the end lies ahead.
    pub(super) fn may_create(&self) -> bool {
        self.ctx.leader.may_create()
            && !self.ctx.clock_is_behind()
            && self.may_grant.is_ok()
            && self.grant.ended(self.ctx.now()).is_none()
    }

    /// Asked at the moment of each delete: this process leads, or an end that stands in the record has come. What only this
    /// pass knows to have ended may be in force by what the next leader did.
    fn may_delete(&self) -> bool {
        let ended = |stood: &Stood<'_>| stood.grant.ended(self.ctx.now()).is_some();
        self.ctx.leader.standing() == Standing::Leading || self.stood.as_ref().is_some_and(ended)
    }

    /// Records a new state. Says whether that is the end of it for now.
    fn settle_in(&self, case: &mut Case, state: BindingState, uid: Option<String>) -> bool {
        let now = self.ctx.now();
        let record = &mut case.record;
        if record.state != state || record.uid != uid {
            record.since = whole_seconds(now).into();
        }
        record.state = state;
        match state {
            BindingState::Present => {
                record.uid = uid;
                if let Some(end) = self.grant.recorded_end() {
                    self.ctx.memory.hold(&record.name, &self.grant.key, end);
                }
                true
            }
            BindingState::Yielding => {
                record.uid = uid;
                true
            }
            BindingState::Intended => {
                // A co-holder's end took it, or it yielded to what is gone by now: it is made again for this one.
                record.uid = None;
                case.world.sight = Sight::NotLooked;
                false
            }
            BindingState::AlreadyHeld | BindingState::Removed | BindingState::HandedOver | BindingState::Abandoned => {
                self.ctx.memory.release(&record.name, &self.grant.key);
                true
            }
        }
    }
}

fn name_taken(record: &BindingRecord) -> Progress {
    Progress::Refused(format!(
        "The name {} is taken in Rancher by a binding that is not ours: somebody forged it. Look at it there, and remove it.",
        words::place(record)
    ))
}
