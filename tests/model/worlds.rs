//! The bounded worlds: what the grants ask for, who is there, and how much may go wrong.

use crate::{calm::Well, core::Ask, model::Config, mutants::Mutant, state::Budget};

const A: Option<Ask> = Some(Ask { start: 0, lasts: 2 });

/// All of them.
pub fn worlds(mutant: Option<Mutant>) -> Vec<Config> {
    let budget = Budget { trouble: 1, crash: 1, stall: 1, ..Budget::default() };
    let one = || Config {
        title: "one grant",
        grants: [A, None],
        names: [0, 1],
        operators: 1,
        foreign: false,
        lapses_from: 0,
        refuses_equals: false,
        budget: Budget { back: 1, delete: 1, hand: 1, stall: 0, ..budget },
        mutant,
        well: Well::default(),
    };
    let other = |start, lasts| [A, Some(Ask { start, lasts })];
    vec![
        one(),
        Config { title: "one grant, many faults", budget: Budget { trouble: 2, away: 1, ..budget }, ..one() },
        Config {
            title: "two grants, one binding",
            grants: other(2, 2),
            names: [0, 0],
            budget: Budget { trouble: 2, stall: 1, ..Budget::default() },
            ..one()
        },
        Config { title: "two grants, one binding, together", grants: other(0, 3), names: [0, 0], budget, ..one() },
        Config {
            title: "two grants, two clusters",
            grants: other(2, 2),
            names: [0, 1],
            budget: Budget { away: 1, crash: 1, ..Budget::default() },
            ..one()
        },
        Config {
            title: "somebody else's binding",
            budget: Budget { trouble: 1, foreign: 2, stall: 1, crash: 1, hand: 1, ..budget },
            ..one()
        },
        Config {
            title: "somebody else's binding, equals refused",
            foreign: true,
            refuses_equals: true,
            budget: Budget { trouble: 2, foreign: 2, ..budget },
            ..one()
        },
        Config {
            title: "two operators",
            operators: 2,
            budget: Budget { trouble: 1, lapse: 1, ..Budget::default() },
            ..one()
        },
        Config {
            title: "two operators that crash",
            operators: 2,
            budget: Budget { crash: 2, lapse: 1, ..Budget::default() },
            ..one()
        },
        Config {
            title: "two operators, two grants",
            grants: [Some(Ask { start: 0, lasts: 1 }); 2],
            names: [0, 0],
            operators: 2,
            lapses_from: 1,
            budget: Budget { lapse: 1, ..Budget::default() },
            ..one()
        },
    ]
}
