//! The model check: the real [`decide`](rancher_access_operator::grant::decide) and
//! [`next`](rancher_access_operator::grant::binding::next), in every state that bounded worlds can come to.
//!
//! `cargo test --test model` searches each world of [`worlds`] exhaustively with `stateright`: every order of calls, every
//! answer, a crash anywhere. It prints how many states there were. Then each of [`mutants`] must be caught. What breaks a
//! law is printed as a story, and the run fails. An argument that is part of a world's or a mutant's name runs that alone.
//!
//! - `state`: one state; `core`: the way to the real functions and back; `model`: what can happen.
//! - `shell`, `calls`: the operator around the functions, as `controller::grant` and `controller::memory` are.
//! - `laws`: what must hold in every state; `calm`: what must come of every state.
//!
//! What it leaves out: grants with several bindings or that extend another, a name that is forged, and a watch that lags
//! while the API server can be written to. The random lives of `src/grant/laws/life` go through the first two and the
//! third, and `tests/lives` has the whole operator.

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

use std::{collections::BTreeSet, process::ExitCode, time::Instant};

use stateright::{Checker, HasDiscoveries, Model};

use self::{model::Config, mutants::Mutant, worlds::worlds};

/// What a search found.
struct Found {
    states: usize,
    depth: usize,
    seconds: f32,
    /// The law that is broken, and how it comes to that.
    breach: Option<(&'static str, String)>,
}

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let began = Instant::now();
    let (mut sound, mut all) = (true, 0);
    for config in worlds(None).into_iter().filter(|config| config.title.contains(&filter)) {
        let title = config.title;
        let found = search(config, HasDiscoveries::AnyFailures, |_| true);
        println!("{title}: {} distinct states, depth {}, {:.1} s", found.states, found.depth, found.seconds);
        all += found.states;
        if let Some((law, story)) = found.breach {
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
    let Some((broken, story)) = found.breach else {
        println!("{name}: SURVIVES in {world:?}, {} distinct states", found.states);
        return false;
    };
    println!(
        "{name}: caught by {broken}, in {world:?}, after {} states, {:.1} s\n{story}",
        found.states, found.seconds
    );
    true
}

/// Searches until `enough` is broken, and tells of what `counts`.
fn search(config: Config, enough: HasDiscoveries, counts: impl Fn(&str) -> bool) -> Found {
    let began = Instant::now();
    let checker = config.checker().threads(2).finish_when(enough).spawn_bfs().join();
    let breaches = checker.discoveries().into_iter().filter(|(law, _)| counts(law));
    let breach = breaches.min_by_key(|(_, path)| path.clone().into_actions().len());
    let breach = breach.map(|(law, path)| (law, story::tell(checker.model(), path)));
    Found {
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        seconds: began.elapsed().as_secs_f32(),
        breach,
    }
}
