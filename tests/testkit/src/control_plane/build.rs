//! Building the control plane from the pinned Go modules, once.
//!
//! The cache's name is a hash of everything that decides the outcome, so that a changed pin builds anew and an
//! unchanged one never does. A file lock makes parallel test processes wait for one build instead of racing.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Error, binaries::Program, process::last_lines};

/// How often progress is shown.
const PROGRESS: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(100);

/// Where the pinned modules are listed.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("controlplane")
}

/// Builds those of `programs` that are not in the cache below `target`; the cache's directory.
pub(super) fn ensure(programs: &[Program], target: &Path) -> Result<PathBuf, Error> {
    let cache = cache_directory(target)?;
    if programs.iter().all(|program| cache.join(program.name).is_file()) {
        return Ok(cache);
    }
    fs::create_dir_all(&cache).map_err(Error::io("cannot make the cache", &cache))?;
    let _lock = lock(&cache.join("lock"))?;
    let missing: Vec<&Program> = programs.iter().filter(|program| !cache.join(program.name).is_file()).collect();
    if missing.is_empty() {
        return Ok(cache);
    }
    if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        let missing: Vec<&str> = missing.iter().map(|program| program.name).collect();
        return Err(Error::GoMissing { missing: missing.join(", ") });
    }
    say("building the control plane for tests from Go modules: minutes the first time, never again");
    for (done, program) in missing.iter().enumerate() {
        build(program, &cache, &format!("{}/{}", done + 1, missing.len()))?;
    }
    Ok(cache)
}

/// `<target>/control-plane/<hash of the pins and the flags>`.
fn cache_directory(target: &Path) -> Result<PathBuf, Error> {
    let mut hash = Sha256::new();
    for file in ["go.mod", "go.sum"] {
        let path = modules().join(file);
        hash.update(fs::read(&path).map_err(Error::io("cannot read the pinned modules", path))?);
    }
    hash.update(linker_flags()?);
    hash.update(std::env::consts::OS);
    hash.update(std::env::consts::ARCH);
    let name: String = hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(target.join("control-plane").join(name))
}

/// Without a version the API server calls itself v0.0.0, and clients and feature gates go astray.
fn linker_flags() -> Result<String, Error> {
    let path = modules().join("go.mod");
    let text = fs::read_to_string(&path).map_err(Error::io("cannot read the pinned modules", &path))?;
    let version = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes v"))
        .and_then(|rest| rest.split_whitespace().next());
    let Some((version, (major, rest))) = version.and_then(|version| Some((version, version.split_once('.')?))) else {
        return Err(Error::NoVersion { path });
    };
    let minor = rest.split('.').next().unwrap_or(rest);
    let set = "-X k8s.io/component-base/version";
    Ok(format!("-s -w {set}.gitVersion=v{version} {set}.gitMajor={major} {set}.gitMinor={minor}"))
}

/// Waits until this process alone holds the lock; it goes with the file handle, also when the process is killed.
fn lock(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::io("cannot make the lock", path))?;
    let begun = Instant::now();
    let mut shown = begun;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(POLL),
            Err(TryLockError::Error(source)) => {
                return Err(Error::io("cannot take the lock", path)(source));
            }
        }
        if shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            say(&format!("another process builds the control plane; waiting, {} s", begun.elapsed().as_secs()));
        }
    }
}

/// Builds one program beside its place and moves it there, so that the cache never holds half a program.
fn build(program: &Program, cache: &Path, count: &str) -> Result<(), Error> {
    let begun = Instant::now();
    let half = cache.join(format!("{}.half", program.name));
    let log = cache.join(format!("{}.log", program.name));
    say(&format!("[{count}] {}: started", program.name));
    let mut child = go_build(program, &half, &log)?;
    let mut shown = begun;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(Error::io("cannot ask after", "go"))? {
            break status;
        }
        if shown.elapsed() >= PROGRESS {
            shown = Instant::now();
            say(&progress(program, &log, count, begun));
        }
        thread::sleep(POLL);
    };
    if !status.success() {
        return Err(Error::Build { program: program.name, log: last_lines(&log, 25) });
    }
    let place = cache.join(program.name);
    fs::rename(&half, &place).map_err(Error::io("cannot move the program", &place))?;
    say(&format!("[{count}] {}: built in {} s", program.name, begun.elapsed().as_secs()));
    Ok(())
}

/// `-v` prints each package as it is compiled: that is the progress.
fn go_build(program: &Program, half: &Path, log: &Path) -> Result<Child, Error> {
    let output = File::create(log).map_err(Error::io("cannot write the build log", log))?;
    let mut ldflags = OsString::from("-ldflags=");
    ldflags.push(linker_flags()?);
    Command::new("go")
        .args(["build", "-v", "-mod=readonly", "-buildvcs=false"])
        .arg(ldflags)
        .arg("-o")
        .arg(half)
        .arg(program.package)
        .current_dir(modules())
        // A workspace above, or flags of the person who runs the tests, must not change what is built.
        .env("GOWORK", "off")
        .env("GOFLAGS", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output)
        .spawn()
        .map_err(Error::io("cannot start", "go"))
}

fn progress(program: &Program, log: &Path, count: &str, begun: Instant) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let now = text.lines().last().unwrap_or("reading modules or linking");
    let compiled = text.lines().count();
    format!("[{count}] {}: {} s, {compiled} packages, now {now}", program.name, begun.elapsed().as_secs())
}

/// A line on the terminal. The test harness captures the print macros, not the handle.
fn say(line: &str) {
    // A closed terminal is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "control plane: {line}");
}
