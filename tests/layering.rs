//! The layering rule of `src/lib.rs`, held: who may know whom, who may wait, who may read a clock.
//!
//! A breach is told as `file:line: what is named there, and which rule that breaks`.

#[path = "layering/source.rs"]
mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{Mention, mentions};

/// Every layer, and the layers that it may name besides itself. What is not here does not exist.
const LAYERS: [(&str, &[&str]); 7] = [
    ("api", &[]),
    ("policy", &["api"]),
    ("grant", &["api"]),
    ("rancher", &[]),
    ("runtime", &[]),
    ("controller", &["api", "policy", "grant", "rancher", "runtime"]),
    ("cli", &["api", "policy", "grant", "rancher", "runtime", "controller"]),
];

/// Layers without client, runtime and clock.
const PURE: [&str; 3] = ["api", "policy", "grant"];

/// What a pure layer names nowhere: what can wait, reach out, or tell the time.
const IMPURE: [&str; 24] = [
    "kube::Client",
    "kube::client",
    "kube::Api",
    "kube::runtime",
    "kube::Config",
    "kube::config",
    "reqwest",
    "tokio",
    "tokio_util",
    "tower",
    "hyper",
    "hyper_util",
    "axum",
    "futures",
    "getrandom",
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "async",
    "await",
];

/// The clocks, and the one file that may ask them.
const CLOCKS: [&str; 4] =
    ["jiff::Timestamp::now", "jiff::Zoned::now", "std::time::SystemTime::now", "std::time::Instant::now"];
const CLOCK: &str = "runtime/clock.rs";

/// The most lines a file may have: more of them say more than one thing.
const LINES: usize = 400;

#[test]
fn the_layers_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root);
    assert!(files.len() > 50, "only {} files below {}: the test looks in the wrong place", files.len(), root.display());
    let mut breaches = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).expect("it was found there").to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
        breaches.extend(check(&name, &text));
    }
    assert!(breaches.is_empty(), "the layering rule of src/lib.rs is broken:\n{}", breaches.join("\n"));
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
        let path = entry.expect("the directory can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Every breach in one file, whose name is relative to `src`.
fn check(name: &str, text: &str) -> Vec<String> {
    let module = module_of(name);
    let mut breaches = Vec::new();
    let lines = text.lines().count();
    if lines > LINES {
        breaches.push(format!("src/{name}:{lines}: a file has at most {LINES} lines; split it by what it says"));
    }
    let path: Vec<&str> = module.iter().map(String::as_str).collect();
    for Mention { line, path } in mentions(&path, text) {
        if let Some(rule) = breach(name, module.get(1).map(String::as_str), &path) {
            breaches.push(format!("src/{name}:{line}: {path}: {rule}"));
        }
    }
    breaches.dedup();
    breaches
}

/// Which rule it breaks that the layer names this path.
fn breach(name: &str, layer: Option<&str>, path: &str) -> Option<String> {
    if name != CLOCK && CLOCKS.iter().any(|clock| below(path, clock)) {
        return Some(format!("only src/{CLOCK} asks a clock: take the time as a value, or ask runtime::Clock"));
    }
    let Some(layer) = layer else {
        // lib.rs declares the layers, main.rs starts the command line.
        return None;
    };
    let Some((_, may)) = LAYERS.iter().find(|(known, _)| *known == layer) else {
        return Some(format!("{layer} is no layer: say in tests/layering.rs which layers it may name"));
    };
    let mut named = LAYERS.iter().map(|(other, _)| *other).filter(|other| below(path, &format!("crate::{other}")));
    if let Some(other) = named.find(|other| *other != layer && !may.contains(other)) {
        return Some(format!("{layer} does not know {other}"));
    }
    let pure = PURE.contains(&layer);
    let impure = IMPURE.iter().find(|impure| below(path, impure)).filter(|_| pure);
    impure.map(|impure| format!("{layer} is pure: no {impure} there; take what was seen as a value"))
}

/// Whether a path is this one or lies below it, or is a `*` that takes it in.
fn below(path: &str, this: &str) -> bool {
    let lies_below =
        |path: &str, this: &str| path.strip_prefix(this).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    lies_below(path, this) || path.strip_suffix("::*").is_some_and(|all_of| lies_below(this, all_of))
}

/// `grant/decide.rs` is `crate::grant::decide`, `grant/mod.rs` is `crate::grant`, `lib.rs` and `main.rs` are `crate`.
fn module_of(name: &str) -> Vec<String> {
    let mut module = vec!["crate".to_owned()];
    let parts = name.trim_end_matches(".rs").split('/');
    module.extend(parts.filter(|part| !matches!(*part, "mod" | "lib" | "main")).map(str::to_owned));
    module
}

/// The lines at which a snippet breaks a rule: for the tests of the test.
fn caught(name: &str, text: &str) -> Vec<usize> {
    let lines = check(name, text).into_iter().map(|breach| {
        let line = breach.split(':').nth(1).and_then(|line| line.parse().ok());
        line.unwrap_or_else(|| panic!("no line in {breach:?}"))
    });
    lines.collect()
}

#[test]
fn a_pure_layer_that_waits_or_reaches_out_is_caught() {
    for bad in [
        "use kube::Client;",
        "use kube::{Resource, Api};",
        "use kube::{runtime::{watcher, WatchStreamExt}};",
        "fn f(c: &kube::Client) {}",
        "use kube as k; fn f(c: k::Client) {}",
        "use tokio::time::sleep;",
        "use tower::Service as _;",
        "fn f() -> reqwest::Client { todo!() }",
        "async fn f() {}",
        "fn f() { g().await }",
        "use std::time::SystemTime;",
        "use kube::*;",
        "use std::{time, fmt}; fn f() { time::Instant::now(); }",
        "fn f() { let s = format!(\"{}\", std::env::var(\"X\")); }",
    ] {
        for layer in ["api/grant.rs", "grant/decide.rs", "policy/privilege/mod.rs"] {
            assert!(!caught(layer, bad).is_empty(), "{layer}: {bad}");
        }
    }
    assert!(caught("controller/due.rs", "use tokio::time::sleep; async fn f() { sleep(D).await }").is_empty());
}

#[test]
fn a_layer_that_names_one_above_it_or_beside_it_is_caught() {
    for (file, bad) in [
        ("grant/decide.rs", "use crate::policy::judge;"),
        ("grant/decide.rs", "use crate::{api::AccessGrant, rancher::Rancher};"),
        ("grant/decide.rs", "fn f() { super::super::controller::go() }"),
        ("policy/mod.rs", "use super::grant::GrantView;"),
        ("policy/privilege/mod.rs", "mod tests { use super::super::super::runtime::Clock; }"),
        ("api/mod.rs", "use crate::grant::GrantView;"),
        ("rancher/client.rs", "use crate::api::AccessGrant;"),
        ("rancher/client.rs", "use crate::runtime::Clock;"),
        ("runtime/leader/mod.rs", "use crate::rancher::Rancher;"),
        ("runtime/leader/mod.rs", "use crate::*;"),
        ("controller/mod.rs", "fn f() { crate::cli::main(); }"),
        ("helpers/mod.rs", "use std::fmt;"),
    ] {
        assert_eq!(caught(file, bad), [1], "{file}: {bad}");
    }
}

#[test]
fn a_clock_is_caught_under_whatever_name() {
    for bad in [
        "fn f() { jiff::Timestamp::now(); }",
        "use jiff::Timestamp;\nfn f() { Timestamp::now(); }",
        "use jiff::{SignedDuration, Timestamp as T};\nfn f() { T::now(); }",
        "use std::time::{Duration, Instant};\nfn f() -> Instant { Instant::now() }",
        "use std::time::SystemTime;\nfn f() { let tell = SystemTime::now; }",
        "\nuse std::time::*;",
    ] {
        assert_eq!(caught("controller/due.rs", bad), [bad.lines().count()], "{bad}");
        assert!(caught(CLOCK, bad).is_empty(), "{bad}");
    }
    assert!(caught("controller/due.rs", "use tokio::time::Instant; fn f() { Instant::now(); }").is_empty());
}

#[test]
fn a_long_file_is_caught() {
    assert!(caught("cli/run.rs", &"\n".repeat(LINES)).is_empty());
    assert_eq!(caught("cli/run.rs", &"\n".repeat(LINES + 1)), [LINES + 1]);
}

#[test]
fn what_is_only_talked_about_is_not_caught() {
    let text = "//! Says `crate::controller` and kube::Client; /* tokio */\n\
        /* use tokio::time; /* nested: async */ still */\n\
        const A: &str = \"use crate::cli::run; \\\" async\";\n\
        const B: &str = r#\"std::time::Instant::now() \" async\"#;\n\
        fn f<'a>(c: char, x: &'a str) -> bool { c == '\"' || c == '\\'' || x == \"await\" }\n\
        use kube::{CustomResource, KubeSchema, core::ObjectMeta};\n\
        use super::{binding::Goal, record};\n\
        mod tests { use super::*; use crate::api::AccessGrant; }\n\
        struct Tokio { asynchronous: u8 }\n";
    assert_eq!(check("grant/decide.rs", text), Vec::<String>::new());
}

#[test]
fn lines_are_counted_through_what_is_skipped() {
    let text = "/*\n\n*/\nconst A: &str = \"\n\n\";\nconst B: &str = r\"\n\";\nuse tokio::time;\n";
    assert_eq!(caught("grant/decide.rs", text), [9]);
}
