//! Brings each binding of a grant to where it should be: what [`crate::grant::binding`] decides is done here, under the
//! binding's lock.

use std::time::Duration;

use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{clear, gone, holders, membership, wait::Waiting};
use crate::{
    api::{
        ANNOTATION_GRANT, LABEL_INSTALLATION, LABEL_INTEGRATION,
        status::{BindingRecord, BindingState},
    },
    controller::{Context, connection::Connection, words},
    grant::{
        Because, GrantView, Progress,
        binding::{self, BindingWorld, Equal, Goal, Holders, Move, Sight, WaitFor},
        name::{SubjectKey, binding_name},
        record::whole_seconds,
    },
    rancher::{Deleted, Error, NewBinding, ProofOfAbsence, wire::Subject},
};

/// How many bindings of one grant are worked on at once.
const AT_ONCE: usize = 8;

/// How long a worker stays with a binding that is about to get on, before it lets others have its place. Rancher needs
/// 0.1 to 0.6 s for a delete (measured on 2.15.0).
const PATIENCE: Duration = Duration::from_secs(2);

/// How often it looks meanwhile.
const GLANCE: Duration = Duration::from_millis(60);

/// What acting on one grant needs.
pub(super) struct Hand<'a> {
    pub ctx: &'a Context,
    pub grant: &'a GrantView,
    pub integration: &'a str,
    pub connection: &'a Connection,
    /// Whether access may be given on that server at present.
    pub may_grant: &'a Result<(), Because>,
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
    /// Rancher's own word that no binding of that name is there.
    pub proof: Option<ProofOfAbsence>,
    /// Whether it was last seen without the finalizers that Rancher cleans up by.
    pub unclean: bool,
    /// Whether equal ones that somebody else made are looked for beside it.
    pub around: bool,
    /// When Rancher says that it was made, where it was seen.
    pub made: Option<Timestamp>,
}

impl Hand<'_> {
    /// Brings all bindings to where they should be. The records come back as they then stand, in their order.
    pub(super) async fn settle(&self, goal: Goal) -> (Vec<BindingRecord>, Vec<Progress>) {
        let settled: Vec<_> = stream::iter(self.grant.status.bindings.clone())
            .map(|record| self.settle_one(goal, record))
            .buffered(AT_ONCE)
            .collect()
            .await;
        settled.into_iter().unzip()
    }

    async fn settle_one(&self, goal: Goal, record: BindingRecord) -> (BindingRecord, Progress) {
        if record.is_settled() {
            return (record, Progress::Done);
        }
        let Ok(subject) = record.subject.parse::<SubjectKey>() else {
            let message = format!(
                "The recorded subject {:?} cannot be read: restore the grant's status from a backup.",
                record.subject
            );
            return (record, self.waiting("RecordUnreadable", message));
        };
        let lock = self.ctx.locks.lock(format!("{}/{}", self.connection.install_uuid, record.name)).await;
        let mut case = self.open(record, subject);
        let progress = self.under_lock(goal, &mut case).await;
        drop(lock);
        (case.record, progress)
    }

    fn open(&self, record: BindingRecord, subject: SubjectKey) -> Case {
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
        let named = words::subject(&subject);
        let around = record.state == BindingState::Yielding;
        Case { record, subject, named, world, trouble: None, proof: None, unclean: false, around, made: None }
    }

    async fn under_lock(&self, goal: Goal, case: &mut Case) -> Progress {
        if goal == Goal::Give && case.record.state == BindingState::Present {
            // What is in force is looked at only when a watch or a sweep said something about it.
            let (name, key) = (&case.record.name, &self.grant.key);
            case.around = self.ctx.memory.take_beside(name, key);
            if !self.ctx.memory.take_suspect(name, key) && !case.around {
                return Progress::Done;
            }
            self.look(goal, case).await;
        }
        let began = Instant::now();
        loop {
            case.world.may_create = self.may_create();
            let refused = match binding::next(goal, case.record.state, &case.world) {
                Move::Done => return Progress::Done,
                Move::Look => {
                    self.look(goal, case).await;
                    None
                }
                Move::AskHolders => {
                    case.world.holders = holders::ask(self.ctx, self.grant, &case.record.name).await;
                    None
                }
                Move::Create => match self.own_name(case) {
                    Some(name) => return self.renamed(case, name),
                    None => match gone::subject(self, case).await {
                        Ok(()) => self.create(case).await,
                        Err(progress) => Some(progress),
                    },
                },
                Move::Delete(uid) => {
                    self.delete(case, &uid).await;
                    None
                }
                Move::ClearLeftovers => return clear::clear(self, goal, case).await,
                // A create of ours without an answer may still land beside it: then there is something to take away.
                Move::Become(BindingState::AlreadyHeld, _) if self.ctx.memory.is_unanswered(&case.record.name) => {
                    return self.wait(WaitFor::LateCreates, goal, case).await;
                }
                Move::Become(BindingState::Yielding, uid) => {
                    self.settle_in(case, BindingState::Yielding, uid);
                    return self.yields(case);
                }
                Move::Become(state, uid) => {
                    if self.settle_in(case, state, uid) {
                        return Progress::Done;
                    }
                    None
                }
                Move::Rename(name) => return self.renamed(case, name),
                Move::RemovedInRancher => return gone::removed(self, case).await,
                Move::NameTaken => return name_taken(&case.record),
                Move::Wait(WaitFor::Gone | WaitFor::Finalizers) if began.elapsed() < PATIENCE => {
                    sleep(GLANCE).await;
                    self.look(goal, case).await;
                    None
                }
                Move::Wait(wait) => return self.wait(wait, goal, case).await,
            };
            if let Some(refused) = refused {
                return refused;
            }
        }
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
    fn may_create(&self) -> bool {
        self.ctx.leader.may_create()
            && !self.ctx.clock_is_behind()
            && self.may_grant.is_ok()
            && self.grant.ended(self.ctx.now()).is_none()
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
            BindingState::AlreadyHeld | BindingState::Removed | BindingState::HandedOver => {
                self.ctx.memory.release(&record.name, &self.grant.key);
                true
            }
        }
    }

    async fn create(&self, case: &mut Case) -> Option<Progress> {
        let record = &case.record;
        let new = NewBinding {
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            subject: words::new_subject(&case.subject),
            scope: words::scope(record),
            role: record.role.clone(),
            labels: [(LABEL_INSTALLATION, self.ctx.installation.id.as_str()), (LABEL_INTEGRATION, self.integration)]
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .into(),
            annotations: [(ANNOTATION_GRANT.to_owned(), self.grant.key.to_string())].into(),
        };
        // Held until the create is answered: whoever removes the role waits for that.
        let role = match membership::ensure(self, record).await {
            Ok(held) => held,
            Err(because) => return Some(self.waiting(&because.reason, because.message)),
        };
        case.world.created = true;
        let earlier = self.ctx.memory.attempting(&record.name);
        let answer = self.connection.rancher.create_binding(&new).await;
        if answer.as_ref().err().is_none_or(Error::is_clear) {
            self.ctx.memory.answered(&record.name, earlier);
        }
        match answer {
            Ok(made) => {
                self.there(case, &made);
                None
            }
            Err(Error::AlreadyExists { .. } | Error::Duplicate { .. }) => {
                case.world.sight = Sight::NotLooked;
                None
            }
            // Rancher's webhook learns of a role a moment after it was made.
            Err(Error::Refused { message, .. }) if role.is_some() && message.contains("not found") => {
                Some(self.waiting(
                    "MembershipRoleNew",
                    format!("Rancher does not know the role {} yet: {message}", case.record.role),
                ))
            }
            Err(Error::Refused { code, reason, message }) => {
                let target = words::access(&case.record).target;
                Some(Progress::Refused(format!(
                    "Rancher refused role {} on {target} ({code} {reason}): {message}",
                    case.record.role
                )))
            }
            Err(error) => {
                case.world.sight = Sight::Unknown;
                case.trouble = Some(error);
                None
            }
        }
    }

    async fn delete(&self, case: &mut Case, uid: &str) {
        let name = &case.record.name;
        self.ctx.memory.forget_cleared(name);
        if case.unclean {
            self.ctx.memory.take_clean_delete(name);
            warn!(grant = %self.grant.key, binding = name, "This binding lacks finalizers that Rancher cleans up by: Rancher never put them on, or somebody stripped them. What it leaves behind is looked for twice");
        } else {
            self.ctx.memory.deleted_cleanly(name);
        }
        case.record.uid = Some(uid.to_owned());
        match self.connection.rancher.delete_binding(&words::reference(&case.record), uid).await {
            Ok(Deleted::Gone(proof)) => self.gone(case, proof, Equal::NotLooked).await,
            Ok(Deleted::Terminating(object)) => self.there(case, &object),
            Ok(Deleted::Accepted | Deleted::UidMismatch) => case.world.sight = Sight::NotLooked,
            Err(error) => {
                case.world.sight = Sight::Unknown;
                case.trouble = Some(error);
            }
        }
    }

    pub(super) fn waiting(&self, reason: &str, message: String) -> Progress {
        Waiting::new(self.ctx, &self.grant.key).progress(reason, message)
    }
}

fn name_taken(record: &BindingRecord) -> Progress {
    Progress::Refused(format!(
        "The name {} is taken in Rancher by a binding that is not ours: somebody forged it. Look at it there, and remove it.",
        words::place(record)
    ))
}
