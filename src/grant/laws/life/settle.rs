//! One binding, move by move, as the operator works on it under the binding's lock.

use jiff::SignedDuration;

use super::{Crashed, LATE_CREATE, Life, pass::Pass};
use crate::{
    api::status::{BindingRecord, BindingState},
    grant::{
        Because, Progress,
        binding::{BindingWorld, Equal, Goal, Holders, Move, Object, Sight, WaitFor, next},
        laws::toy::{Answer, Bound, Created, WITHOUT_FINALIZERS_AFTER},
        record::whole_seconds,
    },
};

fn wait() -> Progress {
    Progress::Waiting { because: Because::new("Waiting", "It waits."), retry: SignedDuration::from_secs(5) }
}

fn object(bound: &Bound, time: u64) -> Object {
    Object {
        uid: bound.uid.clone(),
        ours: bound.ours,
        terminating: bound.gone_at.is_some(),
        deletable: bound.finalizers || time >= bound.created + WITHOUT_FINALIZERS_AFTER,
    }
}
impl Life {
    fn holders(&self, index: usize, name: &str) -> Holders {
        let other = 1 - index;
        let stored = &self.stored[other];
        let released = self.memory.released.contains(&(other, name.to_owned()));
        // Who took it under its lock holds it, and who gave it up does not, though neither may be written yet.
        let took = self.memory.held.contains(&(other, name.to_owned())) && stored.view.ended(self.now()).is_none();
        let holds = !stored.gone && !released && (took || stored.view.holds(name, self.now()));
        if holds { Holders::Another } else { Holders::Nobody }
    }

    fn taken_by_co_holder(&self, index: usize, record: &BindingRecord) -> bool {
        let other = &self.stored[1 - index].view;
        let kept = |state| matches!(state, BindingState::HandedOver | BindingState::AlreadyHeld);
        let named = other.status.bindings.iter().any(|b| b.name == record.name && !kept(b.state));
        let ended =
            other.ended(self.now()).map(|(_, end)| other.status.revoked_time.as_ref().map_or(end, |t| t.0.max(end)));
        named && ended.is_some_and(|end| end >= record.since.0)
    }

    /// A create of this process that got no answer, or, where the binding was never seen, one of whoever led before.
    fn may_land_late(&self, record: &BindingRecord) -> bool {
        let sent = self.memory.unanswered.get(&record.name).copied();
        let since = (record.state == BindingState::Intended).then_some(self.memory.since);
        sent.max(since).is_some_and(|last| self.rancher.time < last + LATE_CREATE)
    }

    /// Brings one binding to where it should be: as the operator does, under the binding's lock.
    pub(super) fn settle(&mut self, index: usize, pass: &mut Pass, goal: Goal, at: usize) -> Result<Progress, Crashed> {
        let mut record = pass.view.status.bindings[at].clone();
        let mut world = self.nothing_seen(index, &record);
        if goal == Goal::Give && record.state == BindingState::Present && self.rancher.dice.roll(2) == 0 {
            world.sight = self.look(&record.name)?;
        }
        let progress = loop {
            world.beside = self.rancher.foreign.contains(&record.name);
            world.may_create = self.leads && pass.view.ended(self.now()).is_none();
            match next(goal, record.state, &world) {
                Move::Done => break Progress::Done,
                Move::Look => world.sight = self.look(&record.name)?,
                Move::AskHolders => world.holders = self.holders(index, &record.name),
                Move::Create => match self.create(index, &record.name)? {
                    Some(Created::Made) => {
                        world = BindingWorld { created: true, sight: self.look(&record.name)?, ..world }
                    }
                    Some(Created::Exists) => world = BindingWorld { created: true, sight: Sight::NotLooked, ..world },
                    Some(Created::Refused) => break Progress::Refused("Rancher refused it.".into()),
                    None => world = BindingWorld { created: true, sight: Sight::Unknown, ..world },
                },
                Move::Delete(uid) => {
                    world.sight = match self.rancher.delete(&record.name, &uid) {
                        Answer::Is(_) => Sight::NotLooked,
                        Answer::Lost => Sight::Unknown,
                        Answer::Crash => return Err(Crashed),
                    }
                }
                Move::ClearLeftovers => break self.clear(index, &mut record, goal, &world),
                Move::Become(state, uid) => {
                    self.become_state(index, &mut record, state, uid);
                    if state == BindingState::Yielding {
                        // Written down first.
                        break wait();
                    }
                    if state == BindingState::Intended {
                        world.sight = Sight::NotLooked;
                    } else {
                        break Progress::Done;
                    }
                }
                Move::Rename(name) => panic!("nothing is there by another name: {name}"),
                Move::Wait(WaitFor::Gone | WaitFor::Finalizers) if self.rancher.dice.roll(3) == 0 => {
                    self.rancher.pass(1);
                    world.sight = Sight::NotLooked;
                }
                Move::Wait(_) => break wait(),
                Move::RemovedInRancher => break Progress::RemovedInRancher("It was removed.".into()),
                Move::NameTaken => break Progress::Refused("The name is taken.".into()),
            }
        };
        pass.view.status.bindings[at] = record;
        Ok(progress)
    }

    fn nothing_seen(&self, index: usize, record: &BindingRecord) -> BindingWorld {
        BindingWorld {
            sight: Sight::NotLooked,
            beside: false,
            holders: Holders::NotAsked,
            may_create: false,
            may_land_late: self.may_land_late(record),
            taken_by_co_holder: self.taken_by_co_holder(index, record),
            created: false,
        }
    }

    fn clear(&mut self, index: usize, record: &mut BindingRecord, goal: Goal, world: &BindingWorld) -> Progress {
        let forged = matches!(&world.sight, Sight::There(object) if !object.ours);
        assert!(forged || matches!(world.sight, Sight::None(_)), "removed without proof");
        let yielded = goal == Goal::Give;
        assert!(!yielded || self.rancher.foreign.contains(&record.name), "given up for nobody");
        let settled = if yielded { BindingState::AlreadyHeld } else { BindingState::Removed };
        self.become_state(index, record, settled, None);
        record.touch_pending = self.rancher.dice.roll(4) == 0;
        Progress::Done
    }

    fn become_state(&mut self, index: usize, record: &mut BindingRecord, state: BindingState, uid: Option<String>) {
        if record.state != state {
            record.since = whole_seconds(self.now()).into();
        }
        record.state = state;
        if matches!(state, BindingState::Present | BindingState::Yielding | BindingState::Intended) {
            record.uid = uid;
        }
        let name = record.name.clone();
        let forgotten = self.memory.forgotten.contains(&name) && state == BindingState::Present;
        if self.rancher.may_land(&name) && (forgotten || state == BindingState::AlreadyHeld) {
            self.for_the_sweep.insert(name.clone());
        }
        if record.is_settled() {
            self.memory.held.remove(&(index, name.clone()));
            self.memory.released.insert((index, name));
        } else if state == BindingState::Present {
            self.memory.released.remove(&(index, name.clone()));
            self.memory.held.insert((index, name));
        }
    }

    fn look(&mut self, name: &str) -> Result<Sight, Crashed> {
        match self.rancher.get(name) {
            Answer::Is(Some(bound)) => Ok(Sight::There(object(&bound, self.rancher.time))),
            Answer::Is(None) if self.rancher.foreign.contains(name) => {
                Ok(Sight::None(Equal::Foreign("c-1/crtb-x".into())))
            }
            Answer::Is(None) => Ok(Sight::None(Equal::None)),
            Answer::Lost => Ok(Sight::Unknown),
            Answer::Crash => Err(Crashed),
        }
    }

    /// Creates, and holds the operator to what must be so at that moment. `None`: no answer.
    fn create(&mut self, index: usize, name: &str) -> Result<Option<Created>, Crashed> {
        let stored = &self.stored[index].view;
        let now = self.now();
        let intent = stored.status.bindings.iter().find(|b| b.name == name);
        assert!(intent.is_some_and(|b| !b.is_settled()), "a create of {name} without a recorded intent");
        assert!(stored.finalizer, "a create for a grant that may go at any time");
        assert!(stored.status.end.is_none(), "a create after a recorded end");
        assert!(stored.status.expires_time.as_ref().is_some_and(|end| end.0 > now), "a create past the end");
        match self.rancher.create(name) {
            Answer::Is(made) => Ok(Some(made)),
            Answer::Lost => {
                self.memory.unanswered.insert(name.to_owned(), self.rancher.time);
                Ok(None)
            }
            Answer::Crash => Err(Crashed),
        }
    }
}
