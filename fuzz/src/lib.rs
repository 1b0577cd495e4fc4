//! What decodes bytes that others wrote, one target a family, and what must hold whatever these bytes are.
//!
//! `fuzz_targets/` lets libFuzzer loose on each; `tests/fuzzing.rs` of the operator runs the same ones on the corpus and on
//! a fixed number of mutations of it. An input is text as far as it can be: what answers, line by line.

pub mod answers;
pub mod certificates;
pub mod credentials;
pub mod installation;
pub mod lease;
pub mod mutate;
pub mod objects;
pub mod records;
pub mod said;
pub mod server;
pub mod watches;
pub mod words;

/// One family of decoders.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its corpus and of its binary.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub check: fn(&[u8]),
    /// How many mutations of the corpus are tried where time is short.
    pub inputs: u64,
}

/// All of them.
pub const TARGETS: [Target; 9] = [
    Target { name: "answers", check: answers::check, inputs: 12_000 },
    Target { name: "certificates", check: certificates::check, inputs: 100 },
    Target { name: "credentials", check: credentials::check, inputs: 20_000 },
    Target { name: "installation", check: installation::check, inputs: 8_000 },
    Target { name: "lease", check: lease::check, inputs: 1_500 },
    Target { name: "objects", check: objects::check, inputs: 6_000 },
    Target { name: "records", check: records::check, inputs: 15_000 },
    Target { name: "watches", check: watches::check, inputs: 2_500 },
    Target { name: "words", check: words::check, inputs: 25_000 },
];
