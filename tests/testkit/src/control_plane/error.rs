//! What can go wrong around the control plane, each with what to do about it.

use std::{fmt, io, path::PathBuf};

/// Why the control plane could not be had, or did not answer as asked.
#[derive(thiserror::Error)]
pub enum Error {
    /// A file, directory or process could not be handled.
    #[error("{what} ({path}): {source}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no Go toolchain to build the control plane with.
    #[error(
        "the control plane for tests is built from Go modules, and `go` was not found: install Go 1.26 or newer \
         (https://go.dev/dl), or point KUBEBUILDER_ASSETS at a directory with {missing}"
    )]
    GoMissing {
        /// The programs that would have had to be built.
        missing: String,
    },
    /// `go build` failed.
    #[error(
        "`go build` of {program} failed (are the Go module proxy or a filled module cache, and 6 GB of disk, there?):\n{log}"
    )]
    Build {
        /// The program that was being built.
        program: &'static str,
        /// The end of the build's output.
        log: String,
    },
    /// The list of pinned modules does not say which Kubernetes it builds.
    #[error("{path} does not pin k8s.io/kubernetes: run `go get k8s.io/kubernetes@v1.37.2` there")]
    NoVersion {
        /// The go.mod that was read.
        path: PathBuf,
    },
    /// A server ended by itself.
    #[error("{component} ended by itself ({status}); the end of its log:\n{log}")]
    Exited {
        /// Which server.
        component: &'static str,
        /// How it ended.
        status: String,
        /// The end of its log.
        log: String,
    },
    /// A server did not become ready in time.
    #[error("{component} was not ready within {seconds} s ({answer}); the end of its log:\n{log}")]
    NotReady {
        /// Which server.
        component: &'static str,
        /// How long was waited, in seconds.
        seconds: u64,
        /// What it answered last.
        answer: String,
        /// The end of its log.
        log: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the test certificates: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The API server refused.
    #[error("the API server refused {what}: {source}")]
    Api {
        /// What was asked.
        what: String,
        /// Its answer.
        source: Box<kube::Error>,
    },
    /// The audit log was asked for and not kept.
    #[error("no audit log is kept: start the control plane with `Options {{ audit: true, .. }}`")]
    NoAudit,
    /// A line of the audit log is not an audit event.
    #[error("the audit log has a line that is no event: {0}")]
    AuditLine(#[from] serde_json::Error),
}

/// As people read it: most tests `unwrap`, and that prints this.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    /// For `map_err`: what was attempted, and on what.
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
