//! One binding's way through a pass, as `controller::grant::act` goes it: under its lock, from one call to the next.

use rancher_access_operator::{
    api::status::BindingState,
    grant::binding::{Goal, Holders, Move, WaitFor},
};

use crate::{
    core, laws,
    mutants::Mutant,
    operator::{Case, Due, Progress, Sight, Todo},
    shell::{Call, Hand},
    state::{LATE, Tick},
};

impl Hand<'_> {
    /// Begins to work on the binding, under its lock.
    pub fn open(&mut self, goal: Goal) {
        let (name, grant, now) = (self.name(), self.grant, self.world.now);
        let view = self.run().view;
        let bound = view.record.bound.expect("what is settled was recorded");
        let taken = self.taken_by_co_holder(bound.since) || self.is(Mutant::MissingMadeAgain);
        let memory = &mut self.world.ops[self.op].memory;
        let recent = |at: Option<Tick>| at.is_some_and(|at| now < at + LATE);
        let since = memory.since.filter(|_| bound.state == BindingState::Intended);
        let late = recent(memory.sent[name]) || recent(since);
        let mut case = Case {
            goal,
            sight: Sight::NotLooked,
            beside: false,
            holders: Holders::NotAsked,
            may_land_late: late && self.config.mutant != Some(Mutant::TerminalBeforeLateCreates),
            taken,
            created: false,
            around: bound.state == BindingState::Yielding,
            unclean: false,
        };
        if goal == Goal::Give && bound.state == BindingState::Present {
            case.around = std::mem::take(&mut memory.beside[grant]);
            let suspect = std::mem::take(&mut memory.suspect[grant]) || case.around;
            if !suspect {
                let run = self.run();
                (run.todo, run.tried) = (Todo::Decide, Some((goal, Progress::Done)));
                return;
            }
            // It is looked at, whatever the table says of what was not looked at.
            memory.suspect[grant] = true;
        }
        let run = self.run();
        (run.todo, run.case) = (Todo::Decide, Some(case));
    }

    /// One move of the binding.
    pub fn settle(&mut self, mut case: Case) -> Option<Call> {
        let (name, grant) = (self.name(), self.grant);
        let told = self.told();
        let view = self.run().view;
        let bound = view.record.bound.expect("it is being settled");
        if case.goal == Goal::Give && bound.state == BindingState::Present && case.sight == Sight::NotLooked {
            let memory = &mut self.world.ops[self.op].memory;
            if std::mem::take(&mut memory.suspect[grant]) || case.around {
                return Some(Call::Look(case.around));
            }
        }
        if self.is(Mutant::DeleteBeforeFinalizers)
            && let Sight::There { deletable, .. } = &mut case.sight
        {
            *deletable = true;
        }
        let may_create = self.world.leads(self.op)
            && !self.world.clock_is_behind(self.op)
            && (view.ended(told).is_none() || self.is(Mutant::CreateBeforeIntent));
        match core::next(&case, bound.state, may_create) {
            Move::Done => self.close(Progress::Done),
            Move::Look => {
                let around = case.around || bound.uid.is_none() || bound.state == BindingState::Intended;
                return Some(Call::Look(case.goal == Goal::Give && around));
            }
            Move::AskHolders => return Some(Call::Ask),
            Move::Create => return Some(self.make_it()),
            // Not by what only this pass knows: `act::may_delete`.
            Move::Delete(_) if !self.world.leads(self.op) && self.run().stood.ended(told).is_none() => self.changed(),
            Move::Delete(uid) => return Some(Call::Delete(uid.parse().expect("the model made it"))),
            Move::ClearLeftovers if self.is(Mutant::NoLookForLeftovers) => self.removed(case.goal),
            Move::ClearLeftovers if self.world.ops[self.op].memory.cleared[name] => self.removed(case.goal),
            Move::ClearLeftovers => return Some(Call::Clear),
            // A create of ours without an answer may still land beside it.
            Move::Become(BindingState::AlreadyHeld, _) if self.is_unanswered() => self.wait(false),
            Move::Become(state, uid) => {
                self.become_state(state, uid.map(|uid| uid.parse().expect("the model made it")))
            }
            Move::Wait(WaitFor::Gone | WaitFor::Finalizers) => return self.soon(case.goal),
            Move::Wait(WaitFor::Answer) => {
                let memory = &mut self.world.ops[self.op].memory;
                memory.suspect[grant] = true;
                memory.beside[grant] |= case.around;
                self.wait(!self.world.places[name].away);
            }
            Move::Wait(_) => self.wait(false),
            Move::RemovedInRancher => self.close(Progress::Removed),
            Move::NameTaken | Move::Rename(_) => panic!("nobody forges in this model"),
        }
        None
    }

    /// Creates it; but what this pass did not write down itself a moment ago is read before: `act::make`.
    fn make_it(&mut self) -> Call {
        let run = self.run();
        let current = std::mem::take(&mut run.current);
        if run.written || current { Call::Create } else { Call::Current }
    }

    fn is_unanswered(&self) -> bool {
        let sent = self.world.ops[self.op].memory.sent[self.name()];
        sent.is_some_and(|at| self.world.now < at + LATE)
    }

    /// The grant is not as it was read: it is looked at as it stands.
    pub fn changed(&mut self) {
        let run = self.run();
        (run.case, run.todo) = (None, Todo::PutOff);
    }

    /// The lock is given back.
    pub fn close(&mut self, progress: Progress) {
        let run = self.run();
        let goal = run.case.map_or(Goal::Take, |case| case.goal);
        (run.case, run.tried) = (None, Some((goal, progress)));
    }

    /// It waits: until its time, or is tried again at once.
    pub fn wait(&mut self, again: bool) {
        self.run().again |= again;
        self.close(Progress::Waiting);
    }

    /// Rancher is at work on it: it is looked at again when that is done.
    fn soon(&mut self, goal: Goal) -> Option<Call> {
        let (grant, told) = (self.grant, self.told());
        if goal == Goal::Give {
            self.world.ops[self.op].memory.suspect[grant] = true;
        }
        Some(self.put_off(Due::At(told + 1)))
    }

    /// A new state is recorded: `act::settle_in`.
    pub fn become_state(&mut self, state: BindingState, uid: Option<u8>) {
        let (name, grant, op, told) = (self.name(), self.grant, self.op, self.told());
        let run = self.run();
        let bound = run.view.record.bound.as_mut().expect("it is being settled");
        if bound.state != state || bound.uid != uid {
            bound.since = told;
        }
        bound.state = state;
        if matches!(state, BindingState::Present | BindingState::Yielding | BindingState::Intended) {
            bound.uid = uid;
        }
        if state != BindingState::HandedOver {
            // Who counts on what is there looks for no more that an earlier process may have sent.
            let forgotten = self.world.flights.iter_mut().flatten();
            forgotten
                .filter(|f| usize::from(f.name) == name && f.delete.is_none() && f.by != u8::try_from(op).ok())
                .for_each(|f| f.nobodys |= state != BindingState::Intended);
        }
        let place = &mut self.world.places[name];
        if let Some(object) = place.object.as_mut().filter(|_| state == BindingState::AlreadyHeld) {
            // A create that another process sent landed after the look: what is `AlreadyHeld` is left alone, now and later.
            object.nobodys = true;
        }
        let memory = &mut self.world.ops[op].memory;
        match state {
            BindingState::Present => {
                (memory.held[grant], memory.released[grant], memory.cleared[name]) = (true, false, false);
                self.close(Progress::Done);
            }
            // Written down first.
            BindingState::Yielding => self.wait(true),
            BindingState::Intended => {
                if let Some(case) = &mut self.run().case {
                    case.sight = Sight::NotLooked;
                }
            }
            _ => {
                (memory.held[grant], memory.released[grant]) = (false, true);
                self.close(Progress::Done);
            }
        }
    }

    /// It is proven gone, with all it left behind.
    pub fn removed(&mut self, goal: Goal) {
        let (config, op, grant) = (self.config, self.op, self.grant);
        match goal {
            Goal::Take => {
                laws::on_removed(config, self.world, op, grant);
                self.become_state(BindingState::Removed, None);
            }
            // It yielded.
            Goal::Give => self.become_state(BindingState::AlreadyHeld, None),
        }
    }
}
