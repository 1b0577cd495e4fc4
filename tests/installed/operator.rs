//! One process of the operator, as a pod would run it.

use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};

use super::until;

/// Waits for a line on standard input. `done` says that the process with the id "$1" is gone; the end of input, that
/// this test process is: then the operator goes too.
const GUARD: &str = r#"read -r word; [ "$word" = done ] || kill -KILL "$1" 2>/dev/null"#;

/// A lease that is given up and taken over within seconds.
pub(crate) const SHORT_LEASE: [&str; 6] = ["--lease-duration", "4", "--lease-renew", "1", "--lease-deadline", "3"];

/// A running operator. Killed when this is dropped, or when the test process ends however it ends.
pub(crate) struct Operator {
    name: String,
    child: Child,
    guard: Option<Child>,
    /// The base of its probes and metrics.
    pub(crate) url: String,
    log: PathBuf,
}

impl Operator {
    /// Starts one; its log goes to `<name>.log` in `dir`.
    pub(crate) fn start(name: &str, kubeconfig: &Path, dir: &Path, args: &[&str]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("a log");
        // Free now; nobody else asks for ports of 127.0.0.1 by number.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let health = format!("127.0.0.1:{port}");
        let child = Command::new(env!("CARGO_BIN_EXE_rancher-access-operator"))
            .args(["run", "--log-format", "text", "--pod-name", name, "--health-addr", &health, "--kubeconfig"])
            .arg(kubeconfig)
            .args(args)
            .env_clear()
            .stdin(Stdio::null())
            .stderr(output.try_clone().expect("a second handle"))
            .stdout(output)
            .spawn()
            .expect("the operator starts");
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh", &child.id().to_string()])
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .expect("sh starts");
        Self { name: name.to_owned(), child, guard: Some(guard), url: format!("http://{health}"), log }
    }

    /// All that it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Kills it as a lost node would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended("the operator has ended after SIGTERM", 30).await
    }

    /// Sends it a signal: `STOP` freezes it, `CONT` lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let kill = r#"kill -"$1" "$2""#;
        let sent = Command::new("sh").args(["-c", kill, "sh", signal, &pid]).status().expect("sh runs");
        assert!(sent.success(), "no process {pid}");
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self, what: &str, seconds: u64) -> ExitStatus {
        until(what, seconds, async || self.child.try_wait().expect("a child")).await.0
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
    }

    fn end(&mut self) {
        // Errors mean that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(mut guard) = self.guard.take() {
            if let Some(mut input) = guard.stdin.take() {
                let _ = input.write_all(b"done\n");
            }
            let _ = guard.wait();
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            print(&self.name, &self.log());
        }
    }
}

/// The end of a log, for a test that failed.
pub(crate) fn print(name: &str, log: &str) {
    let lines: Vec<_> = log.lines().filter(|line| !line.contains(" TRACE ") && !line.contains(" DEBUG ")).collect();
    println!("--- the log of {name} ---");
    lines.iter().skip(lines.len().saturating_sub(120)).for_each(|line| println!("{line}"));
}
