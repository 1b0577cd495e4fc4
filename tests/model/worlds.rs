//! The bounded worlds: what the grants ask for, who is there, and how much may go wrong.

use crate::{calm::Well, core::Ask, model::Config, mutants::Mutant, state::Budget};

const A: Option<Ask> = Some(Ask { start: 0, lasts: 2 });

/// Nothing goes wrong.
const NONE: Budget =
    Budget { trouble: 0, crash: 0, stall: 0, lapse: 0, away: 0, back: 0, delete: 0, hand: 0, foreign: 0 };

/// All of them.
pub fn worlds(mutant: Option<Mutant>) -> Vec<Config> {
    let one = Config {
        title: "one grant",
        grants: [A, None],
        names: [0, 1],
        operators: 1,
        foreign: false,
        lapses_from: 0,
        refuses_equals: false,
        budget: Budget { trouble: 1, crash: 1, back: 1, delete: 1, hand: 1, ..NONE },
        mutant,
        well: Well::default(),
    };
    [of_one_grant(&one), of_two_grants(&one), beside_others(&one), of_two_operators(&one)]
        .into_iter()
        .flatten()
        .collect()
}

fn of_one_grant(one: &Config) -> Vec<Config> {
    let many = Budget { trouble: 2, crash: 1, stall: 1, away: 1, ..NONE };
    vec![one.but("one grant", |_| {}), one.but("one grant, many faults", |world| world.budget = many)]
}

fn of_two_grants(one: &Config) -> Vec<Config> {
    let and = |start, lasts| [A, Some(Ask { start, lasts })];
    vec![
        one.but("two grants, one binding", |world| {
            (world.grants, world.names) = (and(2, 2), [0, 0]);
            world.budget = Budget { trouble: 2, stall: 1, ..NONE };
        }),
        one.but("two grants, one binding, together", |world| {
            (world.grants, world.names) = (and(0, 3), [0, 0]);
            world.budget = Budget { trouble: 1, crash: 1, stall: 1, ..NONE };
        }),
        one.but("two grants, one binding, one hand", |world| {
            (world.grants, world.names) = (and(0, 3), [0, 0]);
            world.budget = Budget { trouble: 1, crash: 1, hand: 1, ..NONE };
        }),
        one.but("two grants, two clusters", |world| {
            world.grants = and(2, 2);
            world.budget = Budget { away: 1, crash: 1, ..NONE };
        }),
    ]
}

fn beside_others(one: &Config) -> Vec<Config> {
    vec![
        one.but("somebody else's binding", |world| {
            world.budget = Budget { trouble: 1, crash: 1, stall: 1, hand: 1, foreign: 2, ..NONE };
        }),
        one.but("somebody else's binding, equals refused", |world| {
            (world.foreign, world.refuses_equals) = (true, true);
            world.budget = Budget { trouble: 2, crash: 1, stall: 1, foreign: 2, ..NONE };
        }),
    ]
}

fn of_two_operators(one: &Config) -> Vec<Config> {
    let one = one.but("", |world| world.operators = 2);
    vec![
        one.but("two operators", |world| world.budget = Budget { trouble: 1, lapse: 1, ..NONE }),
        one.but("two operators that crash", |world| world.budget = Budget { crash: 2, lapse: 1, ..NONE }),
        one.but("two operators, two grants", |world| {
            (world.grants, world.names) = ([Some(Ask { start: 0, lasts: 1 }); 2], [0, 0]);
            // What is cut off before an end comes is in the other two.
            world.lapses_from = 1;
            world.budget = Budget { lapse: 1, ..NONE };
        }),
    ]
}

impl Config {
    /// The same, but for that.
    fn but(&self, title: &'static str, change: impl FnOnce(&mut Self)) -> Self {
        let mut world = Self { title, well: Well::default(), ..*self };
        change(&mut world);
        world
    }
}
