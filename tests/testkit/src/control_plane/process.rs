//! Servers that cannot outlive the test process.
//!
//! Each server runs under a small shell that holds the read end of a pipe whose only write end is in this
//! process. When this process ends, however it ends, the kernel closes the pipe and the shell kills the server.
//! (`PR_SET_PDEATHSIG` would not do: it fires when the *thread* that spawned ends, and test threads end early.)

use std::{
    fs::{File, OpenOptions},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::Error;

/// Runs "$@" until it ends or the pipe on standard input closes; ends with its status.
const SUPERVISE: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
(read -r _ <&3; kill -KILL "$server") >/dev/null 2>&1 &
guard=$!
exec 3<&-
wait "$server"
status=$?
kill -KILL "$guard" 2>/dev/null
exit "$status"
"#;

/// Removes the directory "$1" when the pipe on standard input closes. Servers that are being killed may still
/// write into it, hence the repetition.
const SWEEP: &str = r#"
read -r _
tries=0
while [ -e "$1" ] && [ "$tries" -lt 100 ]; do
  rm -rf "$1" 2>/dev/null || sleep 0.1
  tries=$((tries + 1))
done
"#;

/// A server that runs until this is dropped or the test process ends.
#[derive(Debug)]
pub(super) struct Server {
    component: &'static str,
    shell: Child,
    log: PathBuf,
}

impl Server {
    /// Starts `program` in `dir`, its output appended to `<component>.log` there.
    pub(super) fn start(component: &'static str, program: &Path, args: &[String], dir: &Path) -> Result<Self, Error> {
        let log = dir.join(format!("{component}.log"));
        let output = append(&log)?;
        let errors = output.try_clone().map_err(Error::io("cannot share the log", &log))?;
        let shell = shell(SUPERVISE)
            .arg(program)
            .args(args)
            .current_dir(dir)
            // Else the servers would write their caches into the home directory of whoever runs the tests.
            .env("HOME", dir)
            .stdout(output)
            .stderr(errors)
            .spawn()
            .map_err(Error::io("cannot start", program))?;
        Ok(Self { component, shell, log })
    }

    /// An error, with the end of its log, if the server has ended.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.shell.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                Err(Error::Exited { component: self.component, status: status.to_string(), log: self.log_end() })
            }
            Err(source) => Err(Error::io("cannot ask after", self.component)(source)),
        }
    }

    /// The error for a server that did not become ready, with the end of its log.
    pub(super) fn not_ready(&self, seconds: u64, answer: String) -> Error {
        Error::NotReady { component: self.component, seconds, answer, log: self.log_end() }
    }

    fn log_end(&self) -> String {
        last_lines(&self.log, 25)
    }
}

impl Drop for Server {
    /// Kills the server (it gets no chance to tidy up: that is what tests of crashes want) and waits for its end.
    fn drop(&mut self) {
        end(&mut self.shell);
    }
}

/// A directory that is removed when this is dropped or the test process ends.
#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    shell: Child,
}

impl Scratch {
    /// Makes the directory in the system's temporary directory.
    pub(super) fn new() -> Result<Self, Error> {
        let path = tempfile::Builder::new()
            .prefix("control-plane-")
            .tempdir()
            .map_err(Error::io("cannot make a directory", std::env::temp_dir()))?
            .keep();
        let shell = shell(SWEEP)
            .arg(&path)
            .current_dir("/")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::io("cannot start", "sh"))?;
        Ok(Self { path, shell })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        end(&mut self.shell);
    }
}

/// A shell of its own process group (so that Ctrl-C at the terminal does not end it before its work), whose
/// arguments start at "$1".
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).stdin(Stdio::piped()).process_group(0);
    command
}

fn end(shell: &mut Child) {
    drop(shell.stdin.take());
    // The only error is that it was waited for already.
    let _ = shell.wait();
}

fn append(path: &Path) -> Result<File, Error> {
    OpenOptions::new().create(true).append(true).open(path).map_err(Error::io("cannot open the log", path))
}

/// The last `count` lines of a file; empty if it cannot be read.
pub(super) fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect::<Vec<_>>().join("\n")
}
