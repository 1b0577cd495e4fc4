//! One binding's life: what to do next for it, given the record and what was seen.
//!
//! # The table
//!
//! To give access ([`Goal::Give`]). Where Rancher allows equals, or did before an upgrade, ours yields to any that
//! somebody else made: else Rancher takes that one for the duplicate, and the end of ours takes what was to stay.
//!
//! | record | seen in Rancher | move |
//! |---|---|---|
//! | Intended | not looked | look |
//! | Intended | unknown | wait, then look |
//! | Intended, Present | ours, in place, and somebody else's equal one beside it | Yielding |
//! | Intended | ours, in place | Present, with its UID (made by us earlier, or shared) |
//! | Intended | one of that name, or an equal one, being deleted | wait for its 404 |
//! | Intended | the name taken by what is not ours | refuse |
//! | Intended | none, but somebody else's equal one | AlreadyHeld: nothing now or later |
//! | Intended | none, but an equal one of ours under another name | take that name, look again |
//! | Intended | none | create, if this process may and has not in this pass; else wait |
//! | Present | not looked | done: nothing is polled |
//! | Present | unknown | wait, then look |
//! | Present | ours, in place | done, with the UID just seen |
//! | Present | ours, being deleted | wait for its 404 |
//! | Present | none, or the name taken by what is not ours | Intended again if a co-holder's end took it, else RemovedInRancher |
//! | Yielding | not looked, or equal ones not looked for | look |
//! | Yielding | unknown | wait, then look |
//! | Yielding | ours or an equal one, being deleted | wait for its 404 |
//! | Yielding | ours, in place, no other beside it any more | Present |
//! | Yielding | ours, in place, co-holders not asked | ask |
//! | Yielding | ours, in place, another holds it | AlreadyHeld: who holds it yields too, and the last takes it away |
//! | Yielding | ours, Rancher's finalizers on it or too old to wait for them | delete with that UID |
//! | Yielding | ours, Rancher's finalizers not on it yet | wait |
//! | Yielding | the name taken by what is not ours | RemovedInRancher |
//! | Yielding | none, but a create may still land | wait |
//! | Yielding | none, and somebody else's equal one | clear what was left behind; then it is AlreadyHeld |
//! | Yielding | none, and no other | Intended again: we took it ourselves |
//! | settled | anything | done |
//!
//! To take it away ([`Goal::Take`]):
//!
//! | record | seen in Rancher | move |
//! |---|---|---|
//! | unsettled | co-holders not asked | ask |
//! | unsettled | another holds it for longer | HandedOver |
//! | unsettled | not looked | look |
//! | unsettled | unknown | wait, then look |
//! | unsettled | ours, being deleted | wait for its 404 |
//! | unsettled | ours, Rancher's finalizers on it or too old to wait for them | delete with that UID |
//! | unsettled | ours, Rancher's finalizers not on it yet | wait |
//! | unsettled | the name taken by what is not ours | wait: without a 404 nothing is proven |
//! | unsettled | none, but a create may still land | wait |
//! | unsettled | none | clear what was left behind |
//! | settled | anything | done |

use crate::api::status::BindingState;

/// Where a binding should go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Goal {
    /// The access should be in force.
    Give,
    /// The access should be gone.
    Take,
}

/// What is known of one binding's place in Rancher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Rancher was not asked.
    NotLooked,
    /// Rancher was asked and gave no clear answer.
    Unknown,
    /// An object of that name is there.
    There(Object),
    /// Rancher has proven that there is none of that name.
    None(Equal),
}

/// An object that was seen under a binding's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its UID.
    pub uid: String,
    /// Whether it is ours: its name recomputes, or its UID is the one that was recorded.
    pub ours: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Whether Rancher can clean up after it: its finalizers are on it, or it is too old to wait for them.
    pub deletable: bool,
}

/// Whether the same access is there by another binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Equal {
    /// It was not looked for: only a look before a create needs it.
    NotLooked,
    /// There is none.
    None,
    /// One is being deleted: it is neither, until it is gone.
    Terminating,
    /// One of ours, under this name.
    Ours(String),
    /// Somebody else's: `namespace/name`.
    Foreign(String),
}

/// Whether another grant calls for the same binding beyond now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holders {
    /// It was not asked.
    NotAsked,
    /// No other grant does.
    Nobody,
    /// Another one does.
    Another,
}

/// All that is known of one binding when its next move is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingWorld {
    /// What was seen in Rancher.
    pub sight: Sight,
    /// Whether somebody else's equal binding was seen beside the object of that name.
    pub beside: bool,
    /// Whether another grant needs it for longer.
    pub holders: Holders,
    /// Whether this process may create: it leads, and its claim on that Rancher stands.
    pub may_create: bool,
    /// Whether a create that was sent earlier could still land.
    pub may_land_late: bool,
    /// Whether a co-holder's end has come since the binding was seen, so that his delete may have taken it.
    pub taken_by_co_holder: bool,
    /// Whether the binding was already created anew in this pass: one 409 sends back to the look, not to another create.
    pub created: bool,
}

/// What to do next for a binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing: it is where it should be.
    Done,
    /// Look in Rancher.
    Look,
    /// Ask whether another grant holds it.
    AskHolders,
    /// Create it.
    Create,
    /// Delete the object with that UID.
    Delete(String),
    /// Look for what Rancher left behind, clear it, touch the survivors; then it is `Removed`, or, where it yielded,
    /// `AlreadyHeld`.
    ClearLeftovers,
    /// Record that it is so.
    Become(BindingState, Option<String>),
    /// Take this name, for ours is there under it.
    Rename(String),
    /// Nothing can be done now.
    Wait(WaitFor),
    /// The grant ends: somebody removed the binding in Rancher.
    RemovedInRancher,
    /// It cannot be: the name is taken.
    NameTaken,
}

/// What a binding waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitFor {
    /// A clear answer from Rancher.
    Answer,
    /// The 404 of an object that is being deleted.
    Gone,
    /// Rancher's finalizers, without which nobody would clean up.
    Finalizers,
    /// Its name, which is taken by what is not ours.
    Name,
    /// The right to create.
    Leadership,
    /// The time after which no create can land late.
    LateCreates,
}

/// What to do next for one binding. Pure; see the table above.
pub fn next(goal: Goal, state: BindingState, world: &BindingWorld) -> Move {
    match (goal, state) {
        (_, BindingState::AlreadyHeld | BindingState::Removed | BindingState::HandedOver | BindingState::Abandoned) => {
            Move::Done
        }
        (Goal::Give, BindingState::Intended) => give(world),
        (Goal::Give, BindingState::Present) => keep(world),
        (Goal::Give, BindingState::Yielding) => give_way(world),
        (Goal::Take, BindingState::Intended | BindingState::Present | BindingState::Yielding) => take(world),
    }
}

fn give(world: &BindingWorld) -> Move {
    match &world.sight {
        Sight::NotLooked => Move::Look,
        Sight::Unknown => Move::Wait(WaitFor::Answer),
        Sight::There(object) if object.terminating => Move::Wait(WaitFor::Gone),
        Sight::There(object) if object.ours => in_place(world, object),
        Sight::There(_) => Move::NameTaken,
        Sight::None(equal) => match equal {
            Equal::NotLooked => Move::Look,
            Equal::Terminating => Move::Wait(WaitFor::Gone),
            Equal::Foreign(_) => Move::Become(BindingState::AlreadyHeld, None),
            Equal::Ours(name) => Move::Rename(name.clone()),
            Equal::None if world.created => Move::Wait(WaitFor::Answer),
            Equal::None if world.may_create => Move::Create,
            Equal::None => Move::Wait(WaitFor::Leadership),
        },
    }
}

fn keep(world: &BindingWorld) -> Move {
    match &world.sight {
        Sight::NotLooked => Move::Done,
        Sight::Unknown => Move::Wait(WaitFor::Answer),
        Sight::There(object) if object.ours && object.terminating => Move::Wait(WaitFor::Gone),
        Sight::There(object) if object.ours => in_place(world, object),
        Sight::There(_) | Sight::None(_) if world.taken_by_co_holder => Move::Become(BindingState::Intended, None),
        Sight::There(_) | Sight::None(_) => Move::RemovedInRancher,
    }
}

/// Ours is there: it is what gives the access, unless somebody else's does too.
fn in_place(world: &BindingWorld, object: &Object) -> Move {
    let state = if world.beside { BindingState::Yielding } else { BindingState::Present };
    Move::Become(state, Some(object.uid.clone()))
}

fn give_way(world: &BindingWorld) -> Move {
    match &world.sight {
        Sight::NotLooked => Move::Look,
        Sight::Unknown => Move::Wait(WaitFor::Answer),
        Sight::There(object) if object.ours && object.terminating => Move::Wait(WaitFor::Gone),
        Sight::There(object) if object.ours && !world.beside => in_place(world, object),
        Sight::There(object) if object.ours => match world.holders {
            Holders::NotAsked => Move::AskHolders,
            Holders::Another => Move::Become(BindingState::AlreadyHeld, None),
            Holders::Nobody if object.deletable => Move::Delete(object.uid.clone()),
            Holders::Nobody => Move::Wait(WaitFor::Finalizers),
        },
        Sight::There(_) => Move::RemovedInRancher,
        Sight::None(_) if world.may_land_late => Move::Wait(WaitFor::LateCreates),
        Sight::None(equal) => match equal {
            Equal::NotLooked => Move::Look,
            Equal::Terminating => Move::Wait(WaitFor::Gone),
            Equal::Foreign(_) => Move::ClearLeftovers,
            Equal::Ours(_) | Equal::None => Move::Become(BindingState::Intended, None),
        },
    }
}

fn take(world: &BindingWorld) -> Move {
    match world.holders {
        Holders::NotAsked => return Move::AskHolders,
        Holders::Another => return Move::Become(BindingState::HandedOver, None),
        Holders::Nobody => {}
    }
    match &world.sight {
        Sight::NotLooked => Move::Look,
        Sight::Unknown => Move::Wait(WaitFor::Answer),
        Sight::There(object) if object.ours && object.terminating => Move::Wait(WaitFor::Gone),
        Sight::There(object) if object.ours && object.deletable => Move::Delete(object.uid.clone()),
        Sight::There(object) if object.ours => Move::Wait(WaitFor::Finalizers),
        Sight::There(_) => Move::Wait(WaitFor::Name),
        Sight::None(_) if world.may_land_late => Move::Wait(WaitFor::LateCreates),
        Sight::None(_) => Move::ClearLeftovers,
    }
}

#[cfg(test)]
mod tests;
