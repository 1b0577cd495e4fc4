//! What can happen, and what comes of it.

use crate::{
    calls::Weather,
    laws,
    model::Config,
    mutants::Mutant,
    operator::{Due, Memory, Op, Pass, Role},
    rancher,
    shell::{self, Call, Hand},
    state::{Flight, LATE, Tick, World},
    watches,
};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A pass goes on to its next call, which is made.
    Step {
        op: usize,
        grant: usize,
        call: Call,
        weather: Weather,
    },
    Crash(usize),
    Start(usize),
    /// The API server cannot be reached any more.
    Lapse(usize),
    Regain(usize),
    /// It has seen another leader.
    StepDown(usize),
    Land(Flight),
    Finalizers(usize),
    /// Rancher has cleaned up; or not all, where that is said.
    Gone {
        name: usize,
        leaves: bool,
    },
    Leftovers(usize),
    Delete(usize),
    ByHand(usize),
    Foreign(usize),
    Away(usize),
    Back(usize),
    ClockBack,
    /// 30 s pass; in a stall somebody who could have acted did not.
    Tick {
        stall: bool,
    },
}

impl Config {
    pub fn started(&self, op: &Op, now: Tick, grants: Option<&World>) -> Op {
        let timers_only = self.mutant == Some(Mutant::ExpiryByTimerAlone);
        let due = |grant: usize| {
            let active = grants.is_some_and(|world| world.grants[grant].record.granted);
            if self.grants[grant].is_none() || (timers_only && active) { Due::Change } else { Due::Now }
        };
        let memory = Memory { since: Some(now), ..Memory::default() };
        Op { role: Role::Leading, memory, passes: [0, 1].map(|grant| Pass::Idle(due(grant))), ..*op }
    }

    /// The world after that.
    pub fn happen(&self, world: &World, event: Event) -> World {
        let mut next = *world;
        match event {
            Event::Step { op, grant, weather, .. } => {
                if let Some(call) = shell::plan(self, &mut next, op, grant) {
                    Hand { config: self, world: &mut next, op, grant }.make(call, weather);
                }
            }
            Event::Delete(grant) => {
                next.budget.delete -= 1;
                next.grants[grant].deleted = Some(next.wall());
                next.grants[grant].gone = !next.grants[grant].finalizer;
                watches::wake_grant(&mut next, grant, None);
            }
            Event::ClockBack => {
                next.budget.back -= 1;
                for op in 0..2 {
                    next.ops[op].floor = if next.ops[op].role == Role::Down { 0 } else { next.told(op) };
                }
                next.back += 1;
            }
            Event::Tick { stall } => self.tick(&mut next, stall),
            Event::Crash(op) | Event::Start(op) | Event::Lapse(op) | Event::Regain(op) | Event::StepDown(op) => {
                self.to_operator(&mut next, op, event);
            }
            Event::Land(_)
            | Event::Finalizers(_)
            | Event::Gone { .. }
            | Event::Leftovers(_)
            | Event::ByHand(_)
            | Event::Foreign(_)
            | Event::Away(_)
            | Event::Back(_) => self.in_rancher(&mut next, event),
        }
        next
    }

    /// What befalls an operator.
    fn to_operator(&self, next: &mut World, op: usize, event: Event) {
        match event {
            Event::Start(_) => {
                next.ops[op] = self.started(&next.ops[op], next.now, Some(next));
                next.ops[op].cache = None;
                (0..2).filter(|other| *other != op).for_each(|other| self.forget_sent(next, other));
                next.lease = u8::try_from(op).unwrap_or_default();
                self.list(next, op);
            }
            Event::Lapse(_) => {
                next.budget.lapse -= 1;
                next.ops[op].role = Role::Lapsed;
                next.ops[op].cache = Some(next.grants);
            }
            Event::Regain(_) => {
                (next.ops[op].role, next.ops[op].cache) = (Role::Leading, None);
                (0..2).for_each(|grant| watches::wake(next, op, grant));
                self.list(next, op);
            }
            _ => {
                next.budget.crash -= u8::from(matches!(event, Event::Crash(_)));
                self.stop(next, op);
            }
        }
    }

    /// What happens in Rancher.
    fn in_rancher(&self, next: &mut World, event: Event) {
        match event {
            Event::Land(flight) => self.arrives(next, flight),
            Event::Finalizers(name) => {
                if let Some(object) = &mut next.places[name].object {
                    object.finalizers = true;
                }
                watches::wake_name(self, next, name, false);
            }
            Event::Gone { name, leaves } => {
                next.budget.trouble -= u8::from(leaves);
                (next.places[name].object, next.places[name].leftovers) = (None, leaves);
                watches::wake_name(self, next, name, true);
            }
            Event::Leftovers(name) => {
                (next.places[name].coming, next.places[name].leftovers) = (false, true);
            }
            Event::ByHand(name) => self.by_hand(next, name),
            Event::Foreign(name) => {
                next.budget.foreign -= 1;
                next.places[name].foreign ^= true;
                watches::wake_name(self, next, name, false);
                if watches::place_is_beside(next, name) {
                    watches::look_around(self, next, name);
                }
            }
            Event::Away(name) => next.places[name].away = true,
            Event::Back(name) => {
                next.places[name].away = false;
                watches::wake_name(self, next, name, false);
            }
            _ => {}
        }
    }

    /// What was on its way arrives.
    fn arrives(&self, next: &mut World, flight: Flight) {
        if let Some(landed) = next.flights.iter_mut().find(|f| **f == Some(flight)) {
            *landed = None;
        }
        next.flights.sort();
        let name = usize::from(flight.name);
        match flight.delete {
            None => rancher::land(self, next, name, flight.nobodys, None),
            Some(uid) => {
                // The one that sent it may have known of an end that was never written.
                next.places[name].by_hand |= flight.by.is_none();
                rancher::arrive(self, next, name, uid);
            }
        }
    }

    /// A process ends: what it knew is gone, what it sent is not.
    fn stop(&self, world: &mut World, op: usize) {
        world.ops[op] = Op::DOWN;
        // An end that was not written dies with it: where the clock went back, or Rancher refused, its successor sees the
        // grant in force, and its binding gone.
        for place in world.places.iter_mut().filter(|place| place.object.is_none_or(|object| object.going)) {
            place.by_hand = true;
        }
        self.forget_sent(world, op);
    }

    /// Nobody remembers what that operator sent.
    fn forget_sent(&self, world: &mut World, op: usize) {
        for flight in world.flights.iter_mut().flatten().filter(|f| f.by == u8::try_from(op).ok()) {
            flight.by = None;
            let seen = |grant: usize| {
                self.names[grant] == usize::from(flight.name)
                    && world.grants[grant].record.bound.is_some_and(|b| b.uid.is_some())
            };
            // What was seen once is looked for no longer than this process itself has something unanswered: `act::open`.
            flight.nobodys |= flight.delete.is_none() && (seen(0) || seen(1));
        }
        world.flights.sort();
    }

    fn by_hand(&self, world: &mut World, name: usize) {
        world.budget.hand -= 1;
        // Who just saw somebody else's beside it records `Yielding`, and what yields is made again when the other one goes, whoever
        // took it; so is what a delete of ours without an answer may have taken.
        let saw = |pass: &Pass| matches!(pass, Pass::Run(run) if run.case.is_some_and(|case| case.beside));
        let deletes = world.ops.iter().any(|op| op.memory.deleted[name].is_some());
        let yields = world.ops.iter().any(|op| op.passes.iter().any(saw)) || deletes;
        for grant in (0..2).filter(|grant| self.names[*grant] == name) {
            world.ended_by_hand[grant] |= world.grants[grant].is_present() && !yields;
        }
        let place = &mut world.places[name];
        (place.object, place.by_hand) = (None, true);
        watches::wake_name(self, world, name, true);
    }

    fn tick(&self, world: &mut World, stall: bool) {
        laws::before_a_tick(self, world, stall);
        world.budget.stall -= u8::from(stall);
        if world.places.iter().any(|place| place.away) {
            world.budget.away = world.budget.away.saturating_sub(1);
        }
        world.now += 1;
        let now = world.now;
        for flight in &mut world.flights {
            *flight = flight.filter(|flight| flight.until > now);
        }
        world.flights.sort();
        for op in 0..2 {
            // What is long ago is as good as never.
            let old = |at: &Tick| now < at + LATE;
            let memory = &mut world.ops[op].memory;
            memory.since = memory.since.filter(old);
            memory.sent = memory.sent.map(|at| at.filter(old));
            memory.deleted = memory.deleted.map(|at| at.filter(old));
            if world.ops[op].floor <= world.wall() {
                world.ops[op].floor = 0;
            }
            let told = world.told(op);
            let back = world.back;
            for pass in &mut world.ops[op].passes {
                if let Pass::Run(run) = pass {
                    // What it is about to wait for is less than what has passed.
                    run.again = true;
                    run.written = false;
                }
                // What waits to try again does so by another clock than that on the wall.
                if matches!(pass, Pass::Idle(Due::At(at)) if *at <= told || back > 0) {
                    *pass = Pass::Idle(Due::Now);
                }
            }
        }
    }
}
