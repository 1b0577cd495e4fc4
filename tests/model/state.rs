//! One state of the world, small enough to be kept a million times: what the API server has, what Rancher has, what is
//! on its way, and what each operator knows. Times are ticks of 30 s: no shorter one matters to any rule but as "at once".

use rancher_access_operator::api::status::{BindingState, EndReason, Phase};

use crate::{
    laws::Law,
    operator::{Op, Role},
};

pub type Tick = u8;

/// How long after it was sent a create may still land, in ticks: 90 s.
pub const LATE: Tick = 3;

/// Stands for the UID of somebody else's binding.
pub const FOREIGN: u8 = u8::MAX;

/// A grant's status: as much of it as `decide` and the operator read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub phase: Option<Phase>,
    pub bound: Option<Bound>,
    pub expires: Option<Tick>,
    pub end: Option<(EndReason, Tick)>,
    pub granted: bool,
    pub revoked: Option<Tick>,
}

/// The one binding that a grant of the model calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bound {
    pub state: BindingState,
    /// None: it was never seen.
    pub uid: Option<u8>,
    pub since: Tick,
}

impl Bound {
    pub fn is_settled(self) -> bool {
        !matches!(self.state, BindingState::Intended | BindingState::Present | BindingState::Yielding)
    }
}

/// A grant as the API server has it, or as somebody last saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Grant {
    pub record: Record,
    pub deleted: Option<Tick>,
    pub finalizer: bool,
    pub gone: bool,
}

impl Grant {
    /// Whether its record names a binding with something left to do about it.
    pub fn is_concerned(&self) -> bool {
        !self.gone && self.record.bound.is_some_and(|bound| !bound.is_settled())
    }

    pub fn is_present(&self) -> bool {
        !self.gone && self.record.bound.is_some_and(|bound| bound.state == BindingState::Present)
    }

    /// Whether and when its access ended, by what stands in it.
    pub fn ended(&self, now: Tick) -> Option<Tick> {
        if let Some((_, at)) = self.record.end {
            return Some(at);
        }
        let expired = self.record.expires.filter(|end| *end <= now);
        expired.into_iter().chain(self.deleted).min()
    }

    /// Whether it calls for its binding beyond now.
    pub fn holds(&self, now: Tick) -> bool {
        self.is_concerned() && self.ended(now).is_none() && self.record.expires.is_some()
    }
}

/// A binding of ours in Rancher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    pub uid: u8,
    pub born: Tick,
    pub finalizers: bool,
    pub going: bool,
    /// It landed when nobody could know of it any more. The protocol leaves that to the sweep: what is ours by name and no
    /// unsettled grant holds.
    pub nobodys: bool,
}

/// What Rancher has under one name, and beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    pub object: Option<Object>,
    /// Objects that give the access though their binding is gone.
    pub leftovers: bool,
    /// Rancher is about to make such, for a binding that was deleted before it had its finalizers.
    pub coming: bool,
    /// Somebody else's binding gives the same access.
    pub foreign: bool,
    /// It does not answer.
    pub away: bool,
    /// How many objects there have been.
    pub uids: u8,
    /// Somebody has removed ours by hand; or a process of ours has that is heard no more: that died before it wrote its end
    /// down, or was cut off. Whoever looks next cannot tell these apart.
    pub by_hand: bool,
}

/// A request that was sent and has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flight {
    pub name: u8,
    /// `None`: a create. Else a delete of the object with that UID.
    pub delete: Option<u8>,
    /// When it cannot arrive any more.
    pub until: Tick,
    /// The operator that remembers it.
    pub by: Option<u8>,
    /// Nobody can know of it any more: what it makes is the sweep's part.
    pub nobodys: bool,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Calls without a clear answer, or with a wrong one.
    pub trouble: u8,
    pub crash: u8,
    /// Ticks in which somebody who could act did not.
    pub stall: u8,
    pub lapse: u8,
    /// Ticks for which Rancher, or a cluster, is away.
    pub away: u8,
    pub back: u8,
    /// Deletions by the user.
    pub delete: u8,
    /// Removals in Rancher by hand.
    pub hand: u8,
    /// How often somebody else's equal binding comes or goes.
    pub foreign: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// Ticks since the beginning; they never go back.
    pub now: Tick,
    /// What the clock on the wall was set back by.
    pub back: Tick,
    pub grants: [Grant; 2],
    pub places: [Place; 2],
    pub flights: [Option<Flight>; 3],
    pub ops: [Op; 2],
    /// Who last held the lease.
    pub lease: u8,
    pub budget: Budget,
    /// From under which grant, that counted on it, somebody removed the binding by hand.
    pub ended_by_hand: [bool; 2],
    pub broken: Option<Law>,
}

impl World {
    /// What the clock on the wall says.
    pub fn wall(&self) -> Tick {
        self.now.saturating_sub(self.back)
    }

    /// What an operator takes for now.
    pub fn told(&self, op: usize) -> Tick {
        self.wall().max(self.ops[op].floor)
    }

    pub fn clock_is_behind(&self, op: usize) -> bool {
        self.told(op) > self.wall()
    }

    pub fn leads(&self, op: usize) -> bool {
        self.ops[op].role == Role::Leading
    }

    /// A grant as that operator last saw it.
    pub fn seen(&self, op: usize, grant: usize) -> Grant {
        self.ops[op].cache.map_or(self.grants[grant], |cache| cache[grant])
    }

    /// The first law that is broken is the one that counts.
    pub fn breach(&mut self, law: Law) {
        self.broken.get_or_insert(law);
    }

    /// Sends what has not arrived yet. Says whether there was room for it.
    pub fn send(&mut self, flight: Flight) -> bool {
        let Some(free) = self.flights.iter_mut().find(|flight| flight.is_none()) else { return false };
        *free = Some(flight);
        self.flights.sort();
        true
    }
}

/// A grant as nobody has worked on it yet.
pub const FRESH: Grant = Grant {
    record: crate::state::Record { phase: None, bound: None, expires: None, end: None, granted: false, revoked: None },
    deleted: None,
    finalizer: false,
    gone: false,
};
