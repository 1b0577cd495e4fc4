//! Every input of the table, held against it.

mod table;

use std::collections::BTreeSet;

use table::{OPEN, SETTLED, foreign, give, give_way, not_looked, proven, take, unknown};

use super::{
    BindingWorld, Equal,
    Goal::{self, Give, Take},
    Holders, Move, Object, Sight, WaitFor, next,
};
use crate::api::status::BindingState::{self, AlreadyHeld, HandedOver, Intended, Present, Removed, Yielding};

const STATES: [BindingState; 6] = [Intended, Present, Yielding, AlreadyHeld, Removed, HandedOver];

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
