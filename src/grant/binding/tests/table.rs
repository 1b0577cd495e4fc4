//! The table as it stands in the docs of [`next`](super::super::next), row by row.

use super::super::{
    BindingWorld, Equal,
    Goal::{self, Give, Take},
    Holders, Move, Object, Sight, WaitFor,
};
use crate::api::status::BindingState::{self, AlreadyHeld, HandedOver, Intended, Present, Removed, Yielding};

pub(super) const OPEN: &[BindingState] = &[Intended, Present, Yielding];
pub(super) const SETTLED: &[BindingState] = &[AlreadyHeld, Removed, HandedOver];

/// One row: for which goals and states, what was seen and known, and the move.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) goals: &'static [Goal],
    pub(super) states: &'static [BindingState],
    pub(super) when: fn(&BindingWorld) -> bool,
    pub(super) then: fn(&BindingWorld) -> Move,
}

fn row(
    what: &'static str,
    goals: &'static [Goal],
    states: &'static [BindingState],
    when: fn(&BindingWorld) -> bool,
    then: fn(&BindingWorld) -> Move,
) -> Row {
    Row { what, goals, states, when, then }
}

/// What stands under the name: `None` where nothing does or nobody knows.
fn seen(world: &BindingWorld) -> Option<&Object> {
    match &world.sight {
        Sight::There(object) => Some(object),
        _ => None,
    }
}

fn ours(world: &BindingWorld) -> Option<&Object> {
    seen(world).filter(|object| object.ours)
}

fn in_place(world: &BindingWorld) -> bool {
    ours(world).is_some_and(|object| !object.terminating)
}

fn going(world: &BindingWorld) -> bool {
    ours(world).is_some_and(|object| object.terminating)
}

/// Proven: nothing of ours is under that name.
fn absent(world: &BindingWorld) -> bool {
    matches!(world.sight, Sight::None(_)) || seen(world).is_some_and(|object| !object.ours)
}

/// Rancher has proven that there is none of that name.
pub(super) fn proven(world: &BindingWorld) -> bool {
    matches!(world.sight, Sight::None(_))
}

fn alone(world: &BindingWorld) -> bool {
    world.sight == Sight::None(Equal::None)
}

pub(super) fn foreign(world: &BindingWorld) -> bool {
    matches!(world.sight, Sight::None(Equal::Foreign(_)))
}

pub(super) fn unknown(world: &BindingWorld) -> bool {
    world.sight == Sight::Unknown
}

pub(super) fn not_looked(world: &BindingWorld) -> bool {
    world.sight == Sight::NotLooked
}

fn uid(world: &BindingWorld) -> String {
    seen(world).map(|object| object.uid.clone()).unwrap()
}

fn of_others(world: &BindingWorld) -> bool {
    world.beside && in_place(world)
}

fn only_ours(world: &BindingWorld) -> bool {
    !world.beside && in_place(world)
}

fn yielding(world: &BindingWorld) -> Move {
    Move::Become(Yielding, Some(uid(world)))
}

fn present(world: &BindingWorld) -> Move {
    Move::Become(Present, Some(uid(world)))
}

/// The table's first half.
pub(super) fn give() -> Vec<Row> {
    const I: &[BindingState] = &[Intended];
    const P: &[BindingState] = &[Present];
    vec![
        row("intended, not looked", &[Give], I, not_looked, |_| Move::Look),
        row("intended, unknown", &[Give], I, unknown, |_| Move::Wait(WaitFor::Answer)),
        row("somebody else's beside ours", &[Give], &[Intended, Present], of_others, yielding),
        row("intended, ours in place", &[Give], I, only_ours, present),
        row(
            "intended, being deleted",
            &[Give],
            I,
            |w| seen(w).is_some_and(|o| o.terminating),
            |_| Move::Wait(WaitFor::Gone),
        ),
        row(
            "intended, equal one being deleted",
            &[Give],
            I,
            |w| w.sight == Sight::None(Equal::Terminating),
            |_| Move::Wait(WaitFor::Gone),
        ),
        row(
            "intended, name taken",
            &[Give],
            I,
            |w| seen(w).is_some_and(|o| !o.ours && !o.terminating),
            |_| Move::NameTaken,
        ),
        row(
            "intended, equal ones not looked for",
            &[Give],
            I,
            |w| w.sight == Sight::None(Equal::NotLooked),
            |_| Move::Look,
        ),
        row("intended, somebody else's", &[Give], I, foreign, |_| Move::Become(AlreadyHeld, None)),
        row(
            "intended, ours by another name",
            &[Give],
            I,
            |w| matches!(w.sight, Sight::None(Equal::Ours(_))),
            |_| Move::Rename("rao-other".into()),
        ),
        row("intended, none, created already", &[Give], I, |w| alone(w) && w.created, |_| Move::Wait(WaitFor::Answer)),
        row("intended, none", &[Give], I, |w| alone(w) && !w.created && w.may_create, |_| Move::Create),
        row(
            "intended, none, may not",
            &[Give],
            I,
            |w| alone(w) && !w.created && !w.may_create,
            |_| Move::Wait(WaitFor::Leadership),
        ),
        row("present, not looked", &[Give], P, not_looked, |_| Move::Done),
        row("present, unknown", &[Give], P, unknown, |_| Move::Wait(WaitFor::Answer)),
        row("present, in place", &[Give], P, only_ours, present),
        row("present, being deleted", &[Give], P, going, |_| Move::Wait(WaitFor::Gone)),
        row(
            "present, taken by a co-holder",
            &[Give],
            P,
            |w| absent(w) && w.taken_by_co_holder,
            |_| Move::Become(Intended, None),
        ),
        row("present, removed", &[Give], P, |w| absent(w) && !w.taken_by_co_holder, |_| Move::RemovedInRancher),
    ]
}

/// What yields.
pub(super) fn give_way() -> Vec<Row> {
    const Y: &[BindingState] = &[Yielding];
    fn none(world: &BindingWorld, equal: fn(&Equal) -> bool) -> bool {
        matches!(&world.sight, Sight::None(found) if !world.may_land_late && equal(found))
    }
    fn alone(world: &BindingWorld) -> bool {
        of_others(world) && world.holders == Holders::Nobody
    }
    vec![
        row("yielding, not looked", &[Give], Y, not_looked, |_| Move::Look),
        row("yielding, unknown", &[Give], Y, unknown, |_| Move::Wait(WaitFor::Answer)),
        row("yielding, being deleted", &[Give], Y, going, |_| Move::Wait(WaitFor::Gone)),
        row("yielding, to nobody any more", &[Give], Y, only_ours, present),
        row(
            "yielding, not asked",
            &[Give],
            Y,
            |w| of_others(w) && w.holders == Holders::NotAsked,
            |_| Move::AskHolders,
        ),
        row(
            "yielding, another holds it",
            &[Give],
            Y,
            |w| of_others(w) && w.holders == Holders::Another,
            |_| Move::Become(AlreadyHeld, None),
        ),
        row("yielding, deletable", &[Give], Y, |w| alone(w) && ours(w).unwrap().deletable, |w| Move::Delete(uid(w))),
        row(
            "yielding, too new",
            &[Give],
            Y,
            |w| alone(w) && !ours(w).unwrap().deletable,
            |_| Move::Wait(WaitFor::Finalizers),
        ),
        row("yielding, name taken", &[Give], Y, |w| seen(w).is_some_and(|o| !o.ours), |_| Move::RemovedInRancher),
        row(
            "yielding, gone, may land",
            &[Give],
            Y,
            |w| proven(w) && w.may_land_late,
            |_| Move::Wait(WaitFor::LateCreates),
        ),
        row("yielding, equals not looked for", &[Give], Y, |w| none(w, |e| *e == Equal::NotLooked), |_| Move::Look),
        row(
            "yielding, gone, the equal one being deleted",
            &[Give],
            Y,
            |w| none(w, |e| *e == Equal::Terminating),
            |_| Move::Wait(WaitFor::Gone),
        ),
        row(
            "yielding, gone, held by somebody else",
            &[Give],
            Y,
            |w| none(w, |e| matches!(e, Equal::Foreign(_))),
            |_| Move::ClearLeftovers,
        ),
        row(
            "yielding, gone, held by nobody else",
            &[Give],
            Y,
            |w| none(w, |e| matches!(e, Equal::None | Equal::Ours(_))),
            |_| Move::Become(Intended, None),
        ),
    ]
}

/// The table's second half, and what is settled.
pub(super) fn take() -> Vec<Row> {
    fn nobody(world: &BindingWorld) -> bool {
        world.holders == Holders::Nobody
    }
    vec![
        row("settled", &[Give, Take], SETTLED, |_| true, |_| Move::Done),
        row("holders not asked", &[Take], OPEN, |w| w.holders == Holders::NotAsked, |_| Move::AskHolders),
        row("another holds it", &[Take], OPEN, |w| w.holders == Holders::Another, |_| Move::Become(HandedOver, None)),
        row("not looked", &[Take], OPEN, |w| nobody(w) && not_looked(w), |_| Move::Look),
        row("unknown", &[Take], OPEN, |w| nobody(w) && unknown(w), |_| Move::Wait(WaitFor::Answer)),
        row("being deleted", &[Take], OPEN, |w| nobody(w) && going(w), |_| Move::Wait(WaitFor::Gone)),
        row(
            "there, deletable",
            &[Take],
            OPEN,
            |w| nobody(w) && in_place(w) && ours(w).unwrap().deletable,
            |w| Move::Delete(uid(w)),
        ),
        row(
            "there, too new",
            &[Take],
            OPEN,
            |w| nobody(w) && in_place(w) && !ours(w).unwrap().deletable,
            |_| Move::Wait(WaitFor::Finalizers),
        ),
        row(
            "the name taken by what is not ours",
            &[Take],
            OPEN,
            |w| nobody(w) && seen(w).is_some_and(|o| !o.ours),
            |_| Move::Wait(WaitFor::Name),
        ),
        row(
            "gone, may land",
            &[Take],
            OPEN,
            |w| nobody(w) && proven(w) && w.may_land_late,
            |_| Move::Wait(WaitFor::LateCreates),
        ),
        row("gone", &[Take], OPEN, |w| nobody(w) && proven(w) && !w.may_land_late, |_| Move::ClearLeftovers),
    ]
}
