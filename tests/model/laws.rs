//! The invariants of the model, and where each is looked at.
//!
//! What excuses a breach is said where it does, with the rule of the protocol that it comes from. Each of these excuses is needed:
//! without it some world has a story in which that rule is followed and the law is not.
//!
//! What is wrong about a request is known when it is made, so most laws are looked at there, and the breach stays in the
//! state. A law that is about time is looked at when time passes.

use rancher_access_operator::api::status::{BindingState, EndReason, Phase};

use crate::{
    model::Config,
    operator::Pass,
    state::{Grant, Place, World},
};

/// What must hold in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Law {
    /// I1: no binding of ours is there for a tick (30 s) without an unexpired grant that holds it. It may wait for
    /// Rancher's finalizers (30 s) and for Rancher, where that is away or slow. What nobody can know of is the sweep's.
    Expiry,
    /// I3: a request takes away only the object it was meant for, never somebody else's, and none that another grant
    /// counts on.
    Ownership,
    /// I4: a create finds its intent recorded, the finalizer on, the end ahead; and nothing is made again that somebody
    /// removed.
    Authority,
    /// I5: an end stands, an expiry never grows, a terminal phase is never left.
    Monotone,
    /// I6: `Removed` is written only of what is gone with all it left behind; that somebody removed it, only if he did,
    /// or a process of ours that is heard no more.
    Honesty,
    /// From here, with faults over, the world comes to what the grants call for, and stays there.
    Liveness,
}

impl Law {
    pub fn name(self) -> &'static str {
        match self {
            Self::Expiry => "I1 expiry",
            Self::Ownership => "I3 ownership",
            Self::Authority => "I4 authority",
            Self::Monotone => "I5 monotone",
            Self::Honesty => "I6 honest status",
            Self::Liveness => "liveness",
        }
    }
}

/// A tick is about to pass, `excused` where something else than the operator is to blame for what was not done in it.
///
/// Two more excuses. A binding waits for Rancher's finalizers until it is 30 s old by Rancher's clock and by our record
/// (`look::age`), for what is deleted before them is never cleaned up. And one on a cluster that is away waits for that.
pub fn before_a_tick(config: &Config, world: &mut World, excused: bool) {
    for name in 0..2 {
        let place = world.places[name];
        let Some(object) = place.object.filter(|object| !object.going && !object.nobodys) else { continue };
        let young = !object.finalizers && (object.born >= world.wall() || recorded_now(config, world, name));
        let held = (0..2).any(|grant| config.names[grant] == name && world.grants[grant].holds(world.wall()));
        if !(held || young || excused || place.away) {
            world.breach(Law::Expiry);
        }
    }
}

/// Whether a binding of that name was recorded, or seen, in this tick.
fn recorded_now(config: &Config, world: &World, name: usize) -> bool {
    let views = world.ops.iter().flat_map(|op| op.passes.iter().enumerate()).filter_map(|(grant, pass)| match pass {
        Pass::Run(run) => Some((grant, run.view)),
        Pass::Idle(_) => None,
    });
    let mut all = world.grants.into_iter().enumerate().chain(views);
    all.any(|(grant, seen)| {
        config.names[grant] == name && seen.record.bound.is_some_and(|bound| bound.since >= world.wall())
    })
}

/// A create is about to be sent.
///
/// What somebody removed is made again only where a co-holder's end has come since: then that counts as his delete
/// (`holders::taken_by_co_holder`), for a record tells of no time between two writes.
pub fn before_a_create(config: &Config, world: &mut World, op: usize, grant: usize) {
    let stored = world.grants[grant];
    let intent = stored.is_concerned() && stored.finalizer && stored.record.end.is_none();
    let ahead = stored.record.expires.is_some_and(|end| end > world.told(op));
    let co_holder_ended =
        co_holder(config, grant).is_some_and(|other| world.grants[other].ended(world.told(op)).is_some());
    let ended = world.ended_by_hand[grant] && !co_holder_ended;
    if !(intent && ahead) || ended {
        world.breach(Law::Authority);
    }
}

/// A delete is about to be sent: no other grant counts on that object.
pub fn before_a_delete(config: &Config, world: &mut World, op: usize, grant: usize, uid: u8) {
    let Some(other) = co_holder(config, grant) else { return };
    let other = world.grants[other];
    let same = other.record.bound.is_some_and(|bound| bound.uid == Some(uid));
    if same && other.is_present() && other.holds(world.told(op)) {
        world.breach(Law::Ownership);
    }
}

/// A binding is taken for removed.
pub fn on_removed(config: &Config, world: &mut World, op: usize, grant: usize) {
    // Where another has taken the lease since, its writes are what count: this one reaches the API server no more, and what it
    // remembers of the binding is never written. It may not know of a create that the other one sent.
    if usize::from(world.lease) != op {
        return;
    }
    let Place { object, leftovers, coming, .. } = world.places[config.names[grant]];
    // What nobody can know of is not what was removed.
    let there = object.is_some_and(|object| !object.nobodys);
    if there || (object.is_none() && (leftovers || coming)) {
        world.breach(Law::Honesty);
    }
}

/// A grant was written.
pub fn on_write(config: &Config, world: &mut World, grant: usize, was: &Grant) {
    let is = world.grants[grant];
    let terminal = |grant: &Grant| {
        matches!(
            grant.record.phase,
            Some(Phase::Expired | Phase::Revoked | Phase::Failed | Phase::TimedOut | Phase::Denied)
        )
    };
    let moved = was.record.end.is_some() && was.record.end != is.record.end;
    let grew = was.record.expires.is_some_and(|was| is.record.expires.is_none_or(|is| is > was));
    let left = terminal(was) && was.record.phase != is.record.phase;
    if moved || grew || left {
        world.breach(Law::Monotone);
    }
    let unsettled = is.record.bound.is_some_and(|bound| !bound.is_settled());
    if unsettled && (terminal(&is) || is.gone) {
        world.breach(Law::Honesty);
    }
    // A process of ours that is heard no more cannot be told from somebody: `Place::by_hand` has both.
    let somebody = matches!(is.record.end, Some((EndReason::RemovedInRancher, _))) && was.record.end.is_none();
    if somebody && !world.places[config.names[grant]].by_hand {
        world.breach(Law::Honesty);
    }
    let active = is.record.phase == Some(Phase::Active) && was.record.phase != Some(Phase::Active);
    let stands = is.record.bound.is_some_and(|b| matches!(b.state, BindingState::AlreadyHeld) || b.uid.is_some());
    if active && !stands {
        world.breach(Law::Honesty);
    }
}

/// The other grant, where it calls for the same binding.
pub fn co_holder(config: &Config, grant: usize) -> Option<usize> {
    let other = 1 - grant;
    (config.grants[other].is_some() && config.names[grant] == config.names[other]).then_some(other)
}
