//! An operator's shell: what `controller::grant` does between two calls, for one grant with one binding.
//!
//! [`plan`] goes on until the next call, or to the end of the pass; `calls` makes the call. Between two calls anything
//! may happen, so what was read may be old when it is acted upon.

use rancher_access_operator::{
    api::status::{EndReason, Phase},
    grant::{Step, binding::Goal},
};

use crate::{
    core::{self, Answer, Question},
    laws::co_holder,
    model::Config,
    mutants::Mutant,
    operator::{Due, Pass, Role, Run, Todo},
    state::{Record, Tick, World},
};

/// What a pass does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Nothing: it is at its end, and the grant is looked at again then.
    End(Due),
    /// It waits for the binding's lock.
    Lock,
    AddFinalizer,
    RemoveFinalizer,
    /// Writes the status; then the pass goes on, or ends.
    Write(Option<Due>),
    /// Reads the co-holder.
    Ask,
    /// Reads the binding, and those equal to it where that is said.
    Look(bool),
    /// Reads the grant itself, right before a create: whether it still is as this pass sees it.
    Current,
    Create,
    Delete(u8),
    /// Looks for what Rancher left behind, and removes it.
    Clear,
}

/// Where one pass is worked on.
pub struct Hand<'a> {
    pub config: &'a Config,
    pub world: &'a mut World,
    pub op: usize,
    pub grant: usize,
}

/// Goes on with a pass until its next call. `None`: it is not its turn.
pub fn plan(config: &Config, world: &mut World, op: usize, grant: usize) -> Option<Call> {
    let mut hand = Hand { config, world, op, grant };
    match hand.world.ops[op].passes[grant] {
        Pass::Idle(Due::Now) => hand.begin(),
        Pass::Idle(_) => None,
        Pass::Run(run) if run.hung => None,
        Pass::Run(_) => hand.go_on(),
    }
}

impl Hand<'_> {
    pub fn run(&mut self) -> &mut Run {
        match &mut self.world.ops[self.op].passes[self.grant] {
            Pass::Run(run) => run,
            Pass::Idle(_) => panic!("no pass is under way"),
        }
    }

    pub fn name(&self) -> usize {
        self.config.names[self.grant]
    }

    pub fn told(&self) -> Tick {
        self.world.told(self.op)
    }

    pub fn is(&self, mutant: Mutant) -> bool {
        self.config.mutant == Some(mutant)
    }

    fn begin(&mut self) -> Option<Call> {
        let view = self.world.seen(self.op, self.grant);
        if view.gone {
            return Some(Call::End(Due::Change));
        }
        let revokes = view.record.bound.is_some() && view.ended(self.told()).is_some();
        let serves = match self.world.ops[self.op].role {
            Role::Leading => true,
            Role::Lapsed => revokes && !self.is(Mutant::DeletesGatedByLease),
            Role::Down => false,
        };
        if !serves {
            return Some(Call::End(Due::At(self.told() + 1)));
        }
        if self.is(Mutant::RevokeBehindCreations) && revokes {
            let other = self.world.seen(self.op, 1 - self.grant);
            let given = other.record.phase == Some(Phase::Activating);
            if given && self.config.grants[1 - self.grant].is_some() {
                return Some(Call::End(Due::At(self.told() + 1)));
            }
        }
        let run = Run {
            view,
            stood: view,
            allowed: false,
            written: false,
            current: false,
            tried: None,
            todo: Todo::Decide,
            case: None,
            again: false,
            hung: false,
        };
        self.world.ops[self.op].passes[self.grant] = Pass::Run(run);
        self.go_on()
    }

    fn go_on(&mut self) -> Option<Call> {
        // A grant's longest way between two calls has a handful of rounds.
        for round in 0..40 {
            let run = *self.run();
            let call = match (run.case, run.todo) {
                (Some(case), _) => self.settle(case),
                // What it saw before it waits for the lock is what it acts upon then.
                (None, Todo::Settle(_)) if self.is_locked() => return (round > 0).then_some(Call::Lock),
                (None, Todo::Settle(goal)) => {
                    self.open(goal);
                    None
                }
                (None, Todo::Record) => {
                    let run = self.run();
                    (run.todo, run.allowed, run.tried) = (Todo::Decide, false, None);
                    (run.view.record != run.stood.record).then_some(Call::Write(None))
                }
                (None, Todo::PutOff) => Some(self.put_off(Due::Now)),
                (None, Todo::Decide) => self.decide(run),
            };
            if call.is_some() {
                return call;
            }
        }
        panic!("a pass without an end: {:?}", self.run());
    }

    /// One round of deciding, and the steps that need no call.
    fn decide(&mut self, run: Run) -> Option<Call> {
        let question = Question {
            now: self.told(),
            ask: self.config.grants[self.grant]?,
            grant: run.view,
            may_create: self.world.leads(self.op) && !self.world.clock_is_behind(self.op),
            allowed: run.allowed,
            tried: run.tried,
        };
        let Answer { steps, record, wake, finished, .. } = core::decided(question);
        let early = self.is(Mutant::CreateBeforeIntent) && steps.contains(&Step::AddFinalizer);
        let run = self.run();
        run.view.record = record;
        match steps.first() {
            _ if early => run.todo = Todo::Settle(Goal::Give),
            None if record == run.stood.record => return Some(Call::End(wake)),
            // A finished grant that is to be deleted has one step left; all else waits for its time.
            None if finished && run.view.deleted.is_some() => return Some(Call::Write(None)),
            None => return Some(Call::Write(Some(wake))),
            Some(Step::Judge) => run.allowed = true,
            Some(Step::AddFinalizer) => {
                run.todo = Todo::Record;
                return Some(Call::AddFinalizer);
            }
            Some(Step::Record) => run.todo = Todo::Record,
            Some(Step::Settle(goal)) => run.todo = Todo::Settle(*goal),
            Some(Step::RemoveFinalizer) => return Some(Call::RemoveFinalizer),
            Some(Step::Touch) => panic!("nothing in the model is to be touched"),
        }
        None
    }

    /// Whether the other grant's pass is working on the same binding.
    fn is_locked(&self) -> bool {
        let other = self.world.ops[self.op].passes[1 - self.grant];
        let works = matches!(other, Pass::Run(Run { case: Some(_), .. }));
        works && co_holder(self.config, self.grant).is_some() && !self.is(Mutant::CoHoldersWithoutLock)
    }

    /// Others have the place meanwhile. What got on is written: `settle::keep`.
    pub fn put_off(&mut self, wake: Due) -> Call {
        let told = self.told();
        let run = self.run();
        run.case = None;
        let turned = |reason| !matches!(reason, EndReason::Expired | EndReason::Deleted);
        let known = run.stood.record.end.is_some() || !run.view.record.end.is_some_and(|(reason, _)| turned(reason));
        if known && run.view.ended(told).is_none_or(|end| end >= told) {
            run.view.record = Record { bound: run.view.record.bound, ..run.stood.record };
        }
        run.todo = Todo::Decide;
        if run.view.record == run.stood.record { Call::End(wake) } else { Call::Write(Some(wake)) }
    }

    /// The pass is at its end.
    pub fn end(&mut self, due: Due) {
        let told = self.told();
        let (op, grant) = (self.op, self.grant);
        let again = matches!(self.world.ops[op].passes[grant], Pass::Run(Run { again: true, .. }));
        let due = match due {
            Due::At(at) if at <= told || again => Due::Now,
            due => due,
        };
        self.world.ops[op].passes[grant] = Pass::Idle(due);
    }

    /// The pass failed: it is repeated, and what it saw is seen again.
    pub fn fail(&mut self) {
        let (op, grant, told) = (self.op, self.grant, self.told());
        self.world.ops[op].memory.suspect[grant] |= self.world.seen(op, grant).is_concerned();
        // While nothing can be written, it is tried again soon, but not all the time.
        let patient = self.world.ops[op].role == Role::Lapsed && !self.run().again;
        let due = if patient { Due::At(told + 1) } else { Due::Now };
        self.world.ops[op].passes[grant] = Pass::Idle(due);
    }
}
