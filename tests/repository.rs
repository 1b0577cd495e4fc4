//! What is written about the operator is there, and what is there is written about.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use jiff::Timestamp;
use rancher_access_operator::runtime::{Clock, Metrics};

const OPERATIONS: &str = "docs/operations.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The pages that people read.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "config/README.md"].map(PathBuf::from).into();
    for entry in fs::read_dir(root().join("docs")).expect("docs can be read") {
        let name = entry.expect("docs can be read").file_name();
        pages.push(Path::new("docs").join(name));
    }
    pages
}

/// The targets of all links to files: `[text](target)`, without the part after `#`.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty())
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut dead = Vec::new();
    let mut count = 0;
    for page in pages() {
        let text = read(&page.to_string_lossy());
        for target in links(&text) {
            count += 1;
            let there = root().join(page.parent().unwrap_or(Path::new(""))).join(target);
            if !there.exists() {
                dead.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(count > 10, "only {count} links were found: the test reads them wrongly");
}

#[test]
fn links_are_read_as_markdown_has_them() {
    let page = "See [a](docs/a.md), [b](b.md#part), [c](https://example.com/c) and [d](#here).";
    assert_eq!(links(page), ["docs/a.md", "b.md"]);
}

#[test]
fn every_flag_and_its_variable_is_told() {
    let help = Command::new(env!("CARGO_BIN_EXE_rancher-access-operator")).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let flags =
        help.split_whitespace().filter(|word| word.starts_with("--") && !matches!(*word, "--help" | "--version"));
    let variables = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
    let wanted: Vec<&str> = flags.chain(variables).collect();
    assert!(wanted.len() > 20, "{wanted:?}");
    missing(&wanted);
}

#[test]
fn every_metric_is_told() {
    let metrics = Metrics::new(Clock::new(|| Timestamp::UNIX_EPOCH));
    // A family is told only once it has a member.
    metrics.grants("Active", 1);
    metrics.observe_call("prod", "read", "ok", Duration::ZERO);
    metrics.integration_up("prod", true);
    metrics.key_expiry("prod", Some(Timestamp::UNIX_EPOCH));
    metrics.discovered("prod", "Project", 1);
    metrics.observe_reconcile("grant", Some("Conflict"), Duration::ZERO);
    metrics.reconcile_panicked("grant");
    metrics.undecodable("AccessGrant");
    let text = metrics.encode().unwrap();
    let names = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next());
    // What explains itself.
    let told = |name: &&str| *name != "rancher_access_build";
    let wanted: Vec<&str> =
        names.filter(told).map(|name| name.rsplit_once("_access_").map_or(name, |(_, n)| n)).collect();
    assert!(wanted.len() > 10, "{wanted:?}");
    missing(&wanted);
}

#[test]
fn every_reason_of_a_refusal_is_told() {
    let source = read("src/policy/refusal.rs");
    let reasons = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split(" => ").next());
    let wanted: Vec<&str> = reasons.collect();
    assert!(wanted.len() > 15, "{wanted:?}");
    missing(&wanted);
}

/// Fails where one of these is not in the page for operators.
fn missing(wanted: &[&str]) {
    let page = read(OPERATIONS);
    let missing: Vec<_> = wanted.iter().filter(|word| !page.contains(**word)).collect();
    assert!(missing.is_empty(), "{OPERATIONS} does not mention {missing:?}");
}

/// The faults that are put into the operator to see that the harness finds them fit the operator as it is.
#[test]
fn the_mutants_still_apply() {
    let checked =
        Command::new("git").args(["apply", "--check", "tests/faults/mutants.patch"]).current_dir(root()).output();
    let checked = checked.expect("git is there");
    let told = String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success(), "write tests/faults/mutants.patch anew, for it does not fit any more:\n{told}");
}
