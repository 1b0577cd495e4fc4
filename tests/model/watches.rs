//! What the watches on the API server and on Rancher tell, and the sweep: who looks at what.

use crate::{
    model::Config,
    operator::{Due, Pass, Role},
    state::World,
};

pub fn place_is_beside(world: &World, name: usize) -> bool {
    world.places[name].foreign && world.places[name].object.is_some_and(|object| !object.going)
}

/// A sweep saw somebody else's equal binding beside ours: who holds ours looks around it.
pub fn look_around(config: &Config, world: &mut World, name: usize) {
    for op in 0..2 {
        for grant in (0..2).filter(|grant| config.names[*grant] == name) {
            let seen = world.seen(op, grant);
            if world.ops[op].role == Role::Leading && seen.is_concerned() && seen.ended(world.told(op)).is_none() {
                world.ops[op].memory.beside[grant] = true;
                wake(world, op, grant);
            }
        }
    }
}

/// Rancher's watch says something about that name: who counts on the binding looks at it, and who waits goes on.
pub fn wake_name(config: &Config, world: &mut World, name: usize, gone: bool) {
    for op in 0..2 {
        for grant in (0..2).filter(|grant| config.names[*grant] == name) {
            let seen = world.seen(op, grant);
            if world.ops[op].role == Role::Down || !seen.is_concerned() {
                continue;
            }
            if gone && seen.ended(world.told(op)).is_none() {
                world.ops[op].memory.suspect[grant] = true;
            }
            wake(world, op, grant);
        }
    }
}

/// The API server's watch says that a grant changed.
pub fn wake_grant(world: &mut World, grant: usize, except: Option<usize>) {
    for op in (0..2).filter(|op| Some(*op) != except) {
        if world.ops[op].role == Role::Leading {
            wake(world, op, grant);
        }
    }
}

pub fn wake(world: &mut World, op: usize, grant: usize) {
    match &mut world.ops[op].passes[grant] {
        Pass::Idle(due) => *due = Due::Now,
        Pass::Run(run) => run.again = true,
    }
}

impl Config {
    /// A new watch begins with a list, and a new leader with a sweep.
    pub fn list(&self, world: &mut World, op: usize) {
        for grant in 0..2 {
            let place = world.places[self.names[grant]];
            if world.grants[grant].is_present() && place.object.is_none() {
                world.ops[op].memory.suspect[grant] = true;
            }
        }
        for name in 0..2 {
            if place_is_beside(world, name) {
                look_around(self, world, name);
            }
        }
    }
}
