//! Reference traces: which requests a scenario takes when nothing goes wrong, each once, in alphabetical order: how often a look
//! is repeated, and what of several things comes first, may differ from run to run.
//!
//! They stand in `traces/`, one file a scenario. A new request changes one of them, where a reader sees it, and brings its own
//! faults with it. `cargo test --test faults -- --bless` writes them.

use std::{collections::BTreeSet, fs, path::PathBuf};

use crate::scenarios::Scenario;

/// What differs from the trace that stands, if anything does.
pub fn compare(scenario: &Scenario, calls: &[(String, u32)], bless: bool) -> Option<String> {
    let file: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests/faults/traces", &format!("{}.txt", scenario.name)].iter().collect();
    let mut found = format!("# {}\n", scenario.about);
    let names: BTreeSet<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
    for name in names {
        found.push_str(name);
        found.push('\n');
    }
    if bless {
        return fs::write(&file, found).err().map(|error| format!("cannot write {}: {error}", file.display()));
    }
    let stands = fs::read_to_string(&file).unwrap_or_default();
    if stands == found {
        return None;
    }
    let at = stands.lines().zip(found.lines()).position(|(a, b)| a != b);
    let at = at.unwrap_or_else(|| stands.lines().count().min(found.lines().count()));
    let line = |text: &str| text.lines().nth(at).unwrap_or("the end").to_owned();
    Some(format!(
        "the trace differs in line {}: {} instead of {}; if it should, write it anew: cargo test --test faults -- --bless",
        at + 1,
        line(&found),
        line(&stands)
    ))
}
