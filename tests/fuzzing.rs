//! The fuzz targets within bounds: what is in their corpora, and a fixed number of mutations of that, the same ones each time.
//!
//! What fails is written to a file, and the command that runs it again is printed. `just fuzz <target>` looks on, guided by
//! coverage.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

// Not everything in there is for the bounded run.
#[allow(dead_code)]
#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{
    TARGETS, Target,
    mutate::{Dice, mutated},
};

/// Names a file whose bytes are the one input to run.
const ONE: &str = "FUZZ_INPUT";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The seeds of a target, by name.
fn corpus(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = root().join("fuzz/corpus").join(target.name);
    let entries = fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target of that name");
    if let Some(one) = std::env::var_os(ONE) {
        return (target.check)(&fs::read(one).unwrap());
    }
    let seeds = corpus(target);
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    for (path, seed) in &seeds {
        tried(target, seed, || path.clone());
    }
    for number in 0..target.inputs {
        let mut dice = Dice::new(number);
        let (seed, other) = (dice.below(seeds.len()), dice.below(seeds.len()));
        let input = mutated(&seeds[seed].1, &seeds[other].1, &mut dice);
        tried(target, &input, || {
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{number}"));
            fs::write(&path, &input).unwrap();
            path
        });
    }
}

/// Tries one input; says where it is kept and how to run it again, where it fails.
fn tried(target: &Target, input: &[u8], kept: impl Fn() -> PathBuf) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.check)(input))) {
        let (path, name) = (kept(), target.name);
        eprintln!("Run it again: {ONE}={} cargo test --test fuzzing {name}", path.display());
        eprintln!("Keep it, once that is mended: cp {} fuzz/corpus/{name}/", path.display());
        std::panic::resume_unwind(panic);
    }
}

macro_rules! targets {
    ($($name:ident),*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name));
        })*

        #[test]
        fn every_target_is_run_and_has_its_binary() {
            let run = [$(stringify!($name)),*];
            assert_eq!(TARGETS.map(|target| target.name), run);
            let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
            for name in run {
                assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "fuzz/Cargo.toml lacks {name}");
                assert!(root().join(format!("fuzz/fuzz_targets/{name}.rs")).exists(), "{name} has no binary");
            }
        }
    };
}

targets![answers, certificates, credentials, installation, lease, objects, records, watches, words];

#[test]
fn the_same_seed_makes_the_same_changes() {
    let of = |seed| mutated(br#"{"a":[1,{"b":"c"}]}"#, b"x", &mut Dice::new(seed));
    let all: std::collections::BTreeSet<_> = (0..500).map(of).collect();
    assert_eq!(all, (0..500).map(of).collect());
    assert!(all.len() > 250, "{} different ones of 500", all.len());
    let json = all.iter().filter(|input| serde_json::from_slice::<serde_json::Value>(input).is_ok()).count();
    assert!(json > 100, "{json} of {} are JSON still", all.len());
}
