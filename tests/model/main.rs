//! The model check: the real [`decide`](rancher_access_operator::grant::decide) and
//! [`next`](rancher_access_operator::grant::binding::next), in every state that bounded worlds can come to.
//!
//! `cargo test --test model` searches each world of [`worlds`] exhaustively with `stateright`: every order of calls, every
//! answer, a crash anywhere. It prints how many states there were. Then each of [`mutants`] must be caught. What breaks a
//! law is printed as a story, and the run fails. An argument that is a world's name, or part of
//! a world's or a mutant's, runs that alone.
//!
//! # What is real, and what is a likeness
//!
//! | here | stands for | |
//! |---|---|---|
//! | `core` | `grant::decide`, `grant::binding` | the functions themselves; each status that they write is checked to survive being compressed |
//! | `shell` | `controller::grant` (`mod`, `settle`), `controller::workers` | a likeness: the rounds of a pass, what is put off, what fails |
//! | `act`, `holders` | `controller::grant::{act, holders}` | a likeness, move by move |
//! | `calls` | `controller::grant::{look, write, clear, current}`, `controller::memory` | a likeness: what a call does, and what is remembered of it |
//! | `watches` | `controller::{watch, drift, sweep}` | in short: they tell of everything, and at once; or with the next list |
//! | `rancher`, `events` | Rancher, the API server, time, people | what they were seen to do |
//!
//! Nothing but these names holds the likenesses to the code: who changes a rule there changes it here, and
//! `docs/architecture.md` says so. The whole operator itself is played by `tests/faults`, along fewer ways. Where the two
//! differ on purpose: a tick is 30 s, so every shorter wait is "at once" or "with the next tick"; a call is one event, and its
//! answer is there when it ends; a pass that gives is not broken off when its end comes, but goes on to its next call; of
//! left-overs there are some or none, and nobody is touched.
//!
//! Left out: grants with several bindings or that extend another, approvals and policies (`decide` is told that all is allowed),
//! names that are forged, clusters that go for good, abandoned grants, and a watch that lags while the API server can be written to.
//! The random lives of `src/grant/laws` go through most of these, and `tests/faults` through the last.
//!
//! - `state`, `operator`: one state of the world, and of an operator in it; `model`: what can happen next, and `events`: what comes of it.
//! - `laws`: what must hold in every state; `calm`: what must come of every state; `story`: how it is told.

mod act;
mod calls;
mod calm;
mod core;
mod events;
mod holders;
mod laws;
mod model;
mod mutants;
mod operator;
mod rancher;
mod shell;
mod state;
mod story;
mod watches;
mod worlds;

use std::{collections::BTreeSet, process::ExitCode};

use rancher_access_operator::controller::memory::LANDS_WITHIN;
use stateright::{Checker, HasDiscoveries, Model};
use tokio::time::Instant;

use self::{model::Config, mutants::Mutant, worlds::worlds};

/// What a search found.
struct Found {
    states: usize,
    depth: usize,
    seconds: f32,
    /// The law that is broken, how it comes to that, and in how many events.
    breach: Option<(&'static str, String, usize)>,
}

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    assert_eq!(
        LANDS_WITHIN.as_secs(),
        u64::from(state::LATE) * core::TICK.unsigned_abs(),
        "a request lands as late as there"
    );
    let began = Instant::now();
    let (mut sound, mut all) = (true, 0);
    let exact = worlds(None).iter().any(|config| config.title == filter);
    let chosen = |title: &str| if exact { title == filter } else { title.contains(&filter) };
    for config in worlds(None).into_iter().filter(|config| chosen(config.title)) {
        let title = config.title;
        let found = search(config, HasDiscoveries::AnyFailures, |_| true);
        println!("{title}: {} distinct states, depth {}, {:.1} s", found.states, found.depth, found.seconds);
        all += found.states;
        if let Some((law, story, _)) = found.breach {
            println!("  BROKEN: {law}\n{story}");
            sound = false;
        }
    }
    println!("{all} distinct states in all, {:.1} s\n", began.elapsed().as_secs_f32());
    for (mutant, law, world) in Mutant::ALL {
        let name = format!("mutants: {mutant:?}");
        if name.contains(&filter) {
            sound &= is_caught(&name, mutant, law.name(), world);
        }
    }
    println!("{:.1} s", began.elapsed().as_secs_f32());
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn is_caught(name: &str, mutant: Mutant, law: &'static str, world: &str) -> bool {
    let Some(config) = worlds(Some(mutant)).into_iter().find(|config| config.title == world) else {
        println!("{name}: there is no world {world:?}");
        return false;
    };
    let found = search(config, HasDiscoveries::AnyOf(BTreeSet::from([law])), |broken| broken == law);
    let Some((broken, story, length)) = found.breach else {
        println!("{name}: SURVIVES in {world:?}, {} distinct states", found.states);
        return false;
    };
    println!(
        "{name}: caught by {broken} in {world:?}, a story of {length}, after {} states, {:.1} s\n{story}",
        found.states, found.seconds
    );
    true
}

/// Searches until `enough` is broken, and tells of what `counts`.
fn search(config: Config, enough: HasDiscoveries, counts: impl Fn(&str) -> bool) -> Found {
    let began = Instant::now();
    let checker = config.checker().threads(2).finish_when(enough).spawn_bfs().join();
    let breaches = checker.discoveries().into_iter().filter(|(law, _)| counts(law));
    let breaches = breaches.map(|(law, path)| (path.clone().into_actions().len(), law, path));
    let breach = breaches.min_by_key(|(length, ..)| *length);
    let breach = breach.map(|(length, law, path)| (law, story::tell(checker.model(), path), length));
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: began.elapsed().as_secs_f32(),
        breach,
    }
}
