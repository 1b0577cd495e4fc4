//! What an operator knows: what it remembers, and how far each of its passes has got.

use rancher_access_operator::grant::binding::{Goal, Holders};

use crate::state::{Grant, Tick};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    Down,
    Leading,
    /// The API server cannot be reached: what has ended is taken away from memory.
    Lapsed,
}

/// What a process remembers of its own doing: `controller::memory`, for two grants and two names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// When it took the lease, while that matters.
    pub since: Option<Tick>,
    /// When a create of that name was last sent that got no answer.
    pub sent: [Option<Tick>; 2],
    /// When a delete of that name was last sent that got no answer.
    pub deleted: [Option<Tick>; 2],
    pub held: [bool; 2],
    pub released: [bool; 2],
    pub suspect: [bool; 2],
    pub beside: [bool; 2],
    pub clean: [bool; 2],
    pub second: [bool; 2],
    pub cleared: [bool; 2],
}

/// When a grant is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Due {
    Now,
    At(Tick),
    Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Progress {
    Done,
    Waiting,
    Removed,
    Refused,
}

/// What a pass saw of its binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sight {
    NotLooked,
    Unknown,
    There {
        uid: u8,
        going: bool,
        deletable: bool,
    },
    /// None of that name; whether an equal one of somebody else was looked for, and found.
    None(Option<bool>),
}

/// One binding while it is worked on, under its lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    pub goal: Goal,
    pub sight: Sight,
    pub beside: bool,
    pub holders: Holders,
    pub may_land_late: bool,
    pub taken: bool,
    pub created: bool,
    pub around: bool,
    pub unclean: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Todo {
    Decide,
    Record,
    Settle(Goal),
    /// Others have the place first.
    PutOff,
}

/// A pass over one grant, between two calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The grant as this pass sees it, with what was done and is not written yet.
    pub view: Grant,
    /// The grant as the API server last had it.
    pub stood: Grant,
    pub allowed: bool,
    /// Whether this pass itself wrote it down a moment ago: so it stood then.
    pub written: bool,
    /// Whether the grant was read, right before a create, and stood as this pass sees it.
    pub current: bool,
    /// How far it got, and towards what.
    pub tried: Option<(Goal, Progress)>,
    pub todo: Todo,
    pub case: Option<Case>,
    /// Something happened meanwhile, or is to be tried at once: it is looked at again right after.
    pub again: bool,
    /// It waits for an answer that never comes: only where a mutant has no deadlines.
    pub hung: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    Idle(Due),
    Run(Run),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Op {
    pub role: Role,
    /// The latest time that it told: within one process time never goes back.
    pub floor: Tick,
    /// What it last saw of the grants, where that may be old.
    pub cache: Option<[Grant; 2]>,
    pub memory: Memory,
    pub passes: [Pass; 2],
}

impl Op {
    pub const DOWN: Self = Self {
        role: Role::Down,
        floor: 0,
        cache: None,
        memory: Memory {
            since: None,
            sent: [None; 2],
            deleted: [None; 2],
            held: [false; 2],
            released: [false; 2],
            suspect: [false; 2],
            beside: [false; 2],
            clean: [false; 2],
            second: [false; 2],
            cleared: [false; 2],
        },
        passes: [Pass::Idle(Due::Change); 2],
    };
}
