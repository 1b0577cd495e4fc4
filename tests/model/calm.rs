//! Liveness, as bounded safety: from every state that was reached, nothing goes wrong any more, nobody but the operator
//! does anything, and within a bounded number of steps the world must come to what the grants call for, and stay there.
//!
//! What is on its way arrives at the last moment. The sweep, which in life comes at once or within ten minutes, comes
//! when nobody else has anything to do. The continuation has no choices, and many lead into one: what is known to end
//! well is not gone through twice.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Mutex,
};

use rancher_access_operator::api::status::{BindingState, Phase};

use crate::{
    events::Event,
    model::Config,
    operator::Role,
    shell::Call,
    state::{Budget, World},
};

/// More steps than any way to the end has.
const STEPS: usize = 600;

/// Follows the world to its rest. `Err`: what is wrong, after which events.
pub fn comes_to_rest(config: &Config, from: &World) -> Result<(), (String, Vec<Event>)> {
    let mut world = World { budget: Budget::default(), ..*from };
    let (mut passed, mut told) = (Vec::new(), Vec::new());
    for _ in 0..STEPS {
        let hash = Well::hash(&world);
        if config.well.knows(hash) {
            break;
        }
        passed.push(hash);
        let Some(event) = following(config, &world) else {
            at_rest(config, &world).map_err(|wrong| (wrong, told.clone()))?;
            passed.iter().for_each(|hash| config.well.learn(*hash));
            return Ok(());
        };
        if matches!(event, Event::Tick { .. }) {
            in_force(config, &world).map_err(|wrong| (wrong, told.clone()))?;
        }
        told.push(event);
        world = config.happen(&world, event);
        if let Some(law) = world.broken {
            return Err((format!("{} does not hold", law.name()), told));
        }
    }
    if passed.len() == STEPS {
        return Err(("It never comes to rest".into(), told));
    }
    passed.iter().for_each(|hash| config.well.learn(*hash));
    Ok(())
}

/// The one thing that happens next where nothing goes wrong.
fn following(config: &Config, world: &World) -> Option<Event> {
    let mut events = Vec::new();
    config.possible(world, &mut events);
    let mends =
        |event: &&Event| matches!(event, Event::Back(_) | Event::Regain(_) | Event::StepDown(_) | Event::Finalizers(_));
    if let Some(event) = events.iter().find(mends) {
        return Some(*event);
    }
    events.clear();
    config.urgent(world, &mut events);
    // Of two passes the one that waits for a lock lets the other go on.
    let waits = |event: &&Event| matches!(event, Event::Step { call: Call::Lock, .. });
    if let Some(event) = events.iter().find(|event| !waits(event)).or(events.first()) {
        return Some(*event);
    }
    let last = world.flights.iter().flatten().find(|flight| flight.until == world.now + 1);
    if let Some(flight) = last {
        return Some(Event::Land(*flight));
    }
    // The sweep.
    for (name, place) in world.places.iter().enumerate() {
        let held = |grant: usize| config.names[grant] == name && world.grants[grant].is_concerned();
        let orphan = place.object.filter(|_| !held(0) && !held(1));
        if let Some(object) = orphan.filter(|object| !object.going) {
            return Some(Event::Land(crate::state::Flight {
                name: u8::try_from(name).unwrap_or_default(),
                delete: Some(object.uid),
                until: 0,
                by: None,
                nobodys: true,
            }));
        }
    }
    let open = world.grants.iter().any(|grant| !grant.gone && grant.record.revoked.is_none());
    (open || world.flights.iter().any(Option::is_some)).then_some(Event::Tick { stall: false })
}

/// Before time passes, whoever has a right to access has it.
fn in_force(config: &Config, world: &World) -> Result<(), String> {
    let Some(op) = (0..2).find(|op| world.ops[*op].role == Role::Leading) else { return Err("Nobody leads".into()) };
    let told = world.told(op);
    for grant in 0..2 {
        let (stored, place) = (world.grants[grant], world.places[config.names[grant]]);
        let Some(bound) = stored.record.bound.filter(|_| stored.holds(told)) else { continue };
        // Nothing is polled: one that arrived twice and took the place of the first gives the same access.
        let there = place.object.is_some_and(|object| !object.going);
        // Beside somebody else's equal one nothing is made: that one gives the access. Who yielded, while that has gone
        // again, first waits for what may land late: `binding::give_way`.
        let may_wait = place.foreign || bound.state == BindingState::Yielding;
        if !(there || may_wait) {
            return Err(format!("Grant {} is to be in force and is not: {bound:?}", ["A", "B"][grant]));
        }
    }
    Ok(())
}

/// Nothing is left to do: all has ended, and nothing is left.
fn at_rest(config: &Config, world: &World) -> Result<(), String> {
    for (name, place) in world.places.iter().enumerate() {
        if place.object.is_some() {
            return Err(format!("A binding of ours is left under name {name}"));
        }
    }
    for (grant, stored) in world.grants.iter().enumerate().filter(|(_, grant)| !grant.gone) {
        let record = stored.record;
        let terminal = matches!(record.phase, Some(Phase::Expired | Phase::Revoked | Phase::Failed));
        if config.grants[grant].is_some() && !terminal {
            return Err(format!("Grant {} has not ended: {:?}", ["A", "B"][grant], record.phase));
        }
    }
    Ok(())
}

/// Hashes of states, in shards so that two threads seldom meet.
#[derive(Debug, Default)]
pub struct Well([Mutex<HashSet<u64>>; 16]);

impl Well {
    pub fn hash(world: &World) -> u64 {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    }

    fn shard(&self, hash: u64) -> &Mutex<HashSet<u64>> {
        &self.0[usize::try_from(hash % 16).unwrap_or_default()]
    }

    pub fn knows(&self, hash: u64) -> bool {
        self.shard(hash).lock().expect("no thread panicked").contains(&hash)
    }

    pub fn learn(&self, hash: u64) {
        self.shard(hash).lock().expect("no thread panicked").insert(hash);
    }
}
