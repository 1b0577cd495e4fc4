//! The state space: from every state, all that can happen next.

use stateright::{Model, Property};

use crate::{
    calls,
    calm::{self, Well},
    core::Ask,
    events::Event,
    laws::Law,
    mutants::Mutant,
    operator::{Op, Role},
    shell,
    state::{Budget, FRESH, Grant, Place, Tick, World},
};

/// A bounded world.
#[derive(Debug)]
pub struct Config {
    pub title: &'static str,
    /// What each grant asks for; there may be one alone.
    pub grants: [Option<Ask>; 2],
    /// Which binding each calls for.
    pub names: [usize; 2],
    /// How many operators there are.
    pub operators: usize,
    /// Whether somebody else's equal binding is there from the beginning.
    pub foreign: bool,
    /// From when on the API server may be out of reach for one.
    pub lapses_from: Tick,
    /// Whether Rancher refuses a second equal binding with a 409.
    pub refuses_equals: bool,
    pub budget: Budget,
    pub mutant: Option<Mutant>,
    /// States from which all is known to come to its end, by their hash.
    pub well: Well,
}

impl Config {
    pub fn begin(&self) -> World {
        let none = Grant { gone: true, ..FRESH };
        let mut places = [Place::default(); 2];
        places[0].foreign = self.foreign;
        World {
            now: 0,
            back: 0,
            grants: self.grants.map(|ask| if ask.is_some() { FRESH } else { none }),
            places,
            flights: [None; 3],
            ops: [self.started(&Op::DOWN, 0, None), Op::DOWN],
            lease: 0,
            budget: self.budget,
            ended_by_hand: [false; 2],
            broken: None,
        }
    }

    fn may_start(&self, world: &World, op: usize) -> bool {
        op < self.operators && world.ops[op].role == Role::Down && !world.ops.iter().any(|op| op.role == Role::Leading)
    }

    /// Whether the API server may be away for everybody: whoever holds the lease does not reach it.
    fn may_be_away(&self, world: &World) -> bool {
        world.ops[usize::from(world.lease)].role == Role::Lapsed
    }

    /// What somebody could do now and does at once: time passes only when nothing of that is left, or in a stall.
    pub fn urgent(&self, world: &World, events: &mut Vec<Event>) {
        for op in 0..self.operators {
            if self.may_start(world, op) && !self.may_be_away(world) {
                events.push(Event::Start(op));
            }
            for grant in 0..2 {
                let mut planned = *world;
                if let Some(call) = shell::plan(self, &mut planned, op, grant) {
                    let weathers = calls::weathers(&planned, self, op, grant, call);
                    events.extend(weathers.iter().map(|weather| Event::Step { op, grant, call, weather: *weather }));
                }
            }
        }
        for (name, place) in world.places.iter().enumerate() {
            if place.object.is_some_and(|object| object.going) && !place.away {
                events.push(Event::Gone { name, leaves: false });
                if world.budget.trouble > 0 {
                    events.push(Event::Gone { name, leaves: true });
                }
            }
            if place.coming {
                events.push(Event::Leftovers(name));
            }
        }
    }

    /// What may happen, or not.
    pub fn possible(&self, world: &World, events: &mut Vec<Event>) {
        let budget = &world.budget;
        for op in 0..self.operators {
            let role = world.ops[op].role;
            if role != Role::Down && budget.crash > 0 {
                events.push(Event::Crash(op));
            }
            if role == Role::Leading && budget.lapse > 0 && world.now >= self.lapses_from {
                events.push(Event::Lapse(op));
            }
            if role == Role::Lapsed {
                events.push(if usize::from(world.lease) == op { Event::Regain(op) } else { Event::StepDown(op) });
            }
            if self.may_start(world, op) && self.may_be_away(world) {
                events.push(Event::Start(op));
            }
        }
        events.extend(world.flights.iter().flatten().map(|flight| Event::Land(*flight)));
        for name in 0..2 {
            let place = &world.places[name];
            if place.object.is_some_and(|object| !object.finalizers && !object.going) && !place.away {
                events.push(Event::Finalizers(name));
            }
            if place.object.is_some_and(|object| !object.going) && budget.hand > 0 {
                events.push(Event::ByHand(name));
            }
            if name == 0 && budget.foreign > 0 {
                events.push(Event::Foreign(name));
            }
            if place.away {
                events.push(Event::Back(name));
            } else if budget.away > 0 && self.names.contains(&name) {
                events.push(Event::Away(name));
            }
        }
        for grant in 0..2 {
            if budget.delete > 0 && !world.grants[grant].gone && world.grants[grant].deleted.is_none() {
                events.push(Event::Delete(grant));
            }
        }
        if budget.back > 0 && world.now > 0 {
            events.push(Event::ClockBack);
        }
    }

    /// Whether time can still change anything.
    fn goes_on(&self, world: &World) -> bool {
        let open = |grant: &Grant| !grant.gone && grant.record.revoked.is_none();
        let ours = world.places.iter().any(|place| place.object.is_some_and(|object| !object.nobodys));
        (world.grants.iter().any(open) || ours || world.flights.iter().any(Option::is_some)) && world.now < 14
    }
}

impl Model for Config {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![self.begin()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.broken.is_some() {
            return;
        }
        self.urgent(world, events);
        let idle = events.is_empty();
        self.possible(world, events);
        let away = world.places.iter().any(|place| place.away);
        if self.goes_on(world) && (world.budget.away > 0 || !away) {
            if idle {
                events.push(Event::Tick { stall: false });
            } else if world.budget.stall > 0 {
                events.push(Event::Tick { stall: true });
            }
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let next = self.happen(world, event);
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds(world: &World, law: Law) -> bool {
            world.broken != Some(law)
        }
        vec![
            Property::always(Law::Expiry.name(), |_, world| holds(world, Law::Expiry)),
            Property::always(Law::Ownership.name(), |_, world| holds(world, Law::Ownership)),
            Property::always(Law::Authority.name(), |_, world| holds(world, Law::Authority)),
            Property::always(Law::Monotone.name(), |_, world| holds(world, Law::Monotone)),
            Property::always(Law::Honesty.name(), |_, world| holds(world, Law::Honesty)),
            Property::always(Law::Liveness.name(), |config: &Self, world: &World| {
                config.mutant.is_some() || world.broken.is_some() || calm::comes_to_rest(config, world).is_ok()
            }),
        ]
    }
}
