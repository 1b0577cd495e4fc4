//! Every input of the table, held against the table as it stands in the docs, row by row.

use std::collections::BTreeSet;

use super::{
    BindingWorld, Equal,
    Goal::{self, Give, Take},
    Holders, Move, Object, Sight, WaitFor, next,
};
use crate::api::status::BindingState::{self, AlreadyHeld, HandedOver, Intended, Present, Removed, Yielding};

const STATES: [BindingState; 6] = [Intended, Present, Yielding, AlreadyHeld, Removed, HandedOver];
const OPEN: &[BindingState] = &[Intended, Present, Yielding];
const SETTLED: &[BindingState] = &[AlreadyHeld, Removed, HandedOver];

/// One row: for which goals and states, what was seen and known, and the move.
struct Row {
    what: &'static str,
    goals: &'static [Goal],
    states: &'static [BindingState],
    when: fn(&BindingWorld) -> bool,
    then: fn(&BindingWorld) -> Move,
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
fn proven(world: &BindingWorld) -> bool {
    matches!(world.sight, Sight::None(_))
}

fn alone(world: &BindingWorld) -> bool {
    world.sight == Sight::None(Equal::None)
}

fn foreign(world: &BindingWorld) -> bool {
    matches!(world.sight, Sight::None(Equal::Foreign(_)))
}

fn unknown(world: &BindingWorld) -> bool {
    world.sight == Sight::Unknown
}

fn not_looked(world: &BindingWorld) -> bool {
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
fn give() -> Vec<Row> {
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
fn give_way() -> Vec<Row> {
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
fn take() -> Vec<Row> {
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

fn sights() -> Vec<Sight> {
    let mut sights = vec![Sight::NotLooked, Sight::Unknown];
    for uid in ["uid-1", "uid-2"] {
        for bits in 0..8_u8 {
            let (ours, terminating, deletable) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            sights.push(Sight::There(Object { uid: uid.into(), ours, terminating, deletable }));
        }
    }
    let equals = [
        Equal::NotLooked,
        Equal::None,
        Equal::Terminating,
        Equal::Ours("rao-other".into()),
        Equal::Foreign("c-1/crtb-x".into()),
    ];
    sights.extend(equals.map(Sight::None));
    sights
}

/// Every world that there is.
fn worlds() -> Vec<BindingWorld> {
    let mut worlds = Vec::new();
    for sight in sights() {
        for holders in [Holders::NotAsked, Holders::Nobody, Holders::Another] {
            for bits in 0..32_u8 {
                worlds.push(BindingWorld {
                    sight: sight.clone(),
                    holders,
                    may_create: bits & 1 != 0,
                    may_land_late: bits & 2 != 0,
                    taken_by_co_holder: bits & 4 != 0,
                    created: bits & 8 != 0,
                    beside: bits & 16 != 0,
                });
            }
        }
    }
    worlds
}

/// Every input, with the move that is decided.
fn every(mut check: impl FnMut(Goal, BindingState, &BindingWorld, Move)) {
    for world in worlds() {
        for goal in [Give, Take] {
            for state in STATES {
                check(goal, state, &world, next(goal, state, &world));
            }
        }
    }
}

#[test]
fn every_input_has_one_row_and_moves_as_it_says() {
    let rows: Vec<_> = give().into_iter().chain(give_way()).chain(take()).collect();
    let mut used = BTreeSet::new();
    let mut inputs = 0;
    every(|goal, state, world, made| {
        let fit: Vec<_> =
            rows.iter().filter(|r| r.goals.contains(&goal) && r.states.contains(&state) && (r.when)(world)).collect();
        let [row] = fit.as_slice() else {
            let names: Vec<_> = fit.iter().map(|r| r.what).collect();
            panic!("{goal:?} {state:?} {world:?} has the rows {names:?}");
        };
        assert_eq!(made, (row.then)(world), "{goal:?}, {}: {world:?}", row.what);
        used.insert(row.what);
        inputs += 1;
    });
    assert_eq!(inputs, 2 * 6 * 23 * 3 * 32);
    assert_eq!(used.len(), rows.len(), "a row that no input reaches");
}

#[test]
fn a_create_needs_an_intent_leave_and_proof_that_there_is_none() {
    every(|goal, state, world, made| {
        if made == Move::Create {
            let leave = world.may_create && !world.created;
            let nothing_there = world.sight == Sight::None(Equal::None);
            assert!(goal == Give && state == Intended && leave && nothing_there, "{goal:?} {state:?} {world:?}");
        }
    });
}

#[test]
fn a_delete_names_the_uid_of_an_object_of_ours_that_nobody_else_needs() {
    every(|goal, state, world, made| {
        if let Move::Delete(uid) = made {
            let Sight::There(object) = &world.sight else { panic!("a delete of what was not seen: {world:?}") };
            let ready = object.ours && !object.terminating && object.deletable && object.uid == uid;
            let alone = world.holders == Holders::Nobody;
            // To give, ours is deleted only where somebody else's is seen beside it.
            let why = goal == Take || state == Yielding && world.beside;
            assert!(why && OPEN.contains(&state) && ready && alone, "{goal:?} {state:?} {world:?}");
        }
    });
}

#[test]
fn without_a_clear_answer_nothing_is_made_taken_or_recorded_as_seen() {
    every(|goal, state, world, made| {
        if unknown(world) || not_looked(world) {
            let idle = matches!(made, Move::Done | Move::Look | Move::AskHolders | Move::Wait(WaitFor::Answer));
            // That another holds it is no matter of Rancher's.
            let handed = made == Move::Become(HandedOver, None) && world.holders == Holders::Another && goal == Take;
            assert!(idle || handed, "{goal:?} {state:?} {world:?}: {made:?}");
        }
    });
}

#[test]
fn what_is_settled_stays_and_nothing_is_removed_without_a_look_for_what_was_left() {
    every(|goal, state, world, made| {
        if SETTLED.contains(&state) {
            assert_eq!(made, Move::Done, "{goal:?} {state:?} {world:?}");
        }
        assert!(!matches!(made, Move::Become(Removed, _)), "{goal:?} {state:?} {world:?}");
        if made == Move::ClearLeftovers {
            let why = goal == Take && world.holders == Holders::Nobody || state == Yielding && foreign(world);
            assert!(why && proven(world) && !world.may_land_late, "{state:?} {world:?}");
        }
    });
}

#[test]
fn giving_never_takes_but_where_somebody_else_gives_and_taking_never_gives() {
    every(|goal, state, world, made| {
        if state == Yielding && goal == Give {
            return;
        }
        let taking = matches!(made, Move::Delete(_) | Move::ClearLeftovers | Move::Become(HandedOver, _));
        let giving = matches!(
            made,
            Move::Create | Move::Rename(_) | Move::RemovedInRancher | Move::NameTaken | Move::Become(Present, _)
        );
        assert!(if goal == Give { !taking } else { !giving }, "{goal:?} {state:?} {world:?}: {made:?}");
    });
}
