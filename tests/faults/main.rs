//! Nothing leaks, whatever crashes: every scenario with every fault at every request, in virtual time.
//!
//! `cargo test --test faults` runs all families and prints their counts. `cargo test --test faults -- --replay PLAN` plays one
//! run again, with its requests and its log; a run that fails prints its PLAN. `-- --fuzz N --seed S` plays random plans.

mod call;
#[path = "../embedded/mod.rs"]
mod embedded;
mod families;
mod fault;
mod fuzz;
mod run;
mod scenarios;
mod secrecy;
mod sky;
mod stage;
mod tap;
mod traces;
mod truth;

use std::process::ExitCode;

use clap::Parser;

use run::{Manner, Outcome, Plan};

/// Thousands of short lives are mostly a matter of memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Every scenario with every fault at every request.
#[derive(Parser)]
struct Args {
    /// Only families and scenarios whose name contains this.
    filter: Option<String>,
    /// One run again, with its requests and its log.
    #[arg(long)]
    replay: Option<Plan>,
    /// So many random plans, of any number of faults.
    #[arg(long)]
    fuzz: Option<usize>,
    /// Where the random plans begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the reference traces instead of comparing them.
    #[arg(long)]
    bless: bool,
    /// End at the first run that fails.
    #[arg(long)]
    first: bool,
    /// Do not compare with the reference traces: for operators that are broken on purpose.
    #[arg(long)]
    untraced: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    std::panic::set_hook(Box::new(|_| {}));
    stage::prepare();
    if let Some(plan) = &args.replay {
        return replay(plan);
    }
    families::all(&args)
}

fn replay(plan: &Plan) -> ExitCode {
    let outcome = run::run(plan, Manner { log: "debug", ..Manner::BRIEF });
    println!("{}", outcome.log);
    tell(&outcome);
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The requests, what broke, and how it ended.
fn tell(outcome: &Outcome) {
    for entry in outcome.trace.iter().filter(|entry| entry.fault.is_some() || !entry.background && entry.nth > 0) {
        let fault = entry.fault.map(|kind| format!("   <== {kind}")).unwrap_or_default();
        println!(
            "{:>10.3?} process {} {} #{} -> {}{fault}",
            entry.at, entry.process, entry.name, entry.nth, entry.code
        );
    }
    println!("\n{}", outcome.end);
    for violation in &outcome.violations {
        println!("VIOLATED {violation}");
    }
    for fault in &outcome.unused {
        println!("never came to be: {fault}");
    }
}
