//! Named tasks under one token: if one ends that should not, all end, and the process with them.

use std::{collections::HashMap, fmt::Display, future::Future, io, time::Duration};

use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How long the last stage may take after the first has ended: a lease to release, a last scrape to answer.
const LAST_STAGE: Duration = Duration::from_secs(5);

/// How long tasks that are aborted may take to notice.
const ABORT: Duration = Duration::from_millis(500);

/// Why the process must end with an error.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SuperviseError {
    /// A task ended though nobody asked it to.
    #[error("the task {0} ended unexpectedly")]
    Ended(String),
    /// A task failed.
    #[error("the task {task} failed: {error}")]
    Failed {
        /// Its name.
        task: String,
        /// What it said.
        error: String,
    },
    /// A task panicked. The panic's own message is in the log.
    #[error("the task {0} panicked")]
    Panicked(String),
    /// Tasks that had not finished when the time to drain was over.
    #[error("these tasks had to be abandoned after {budget:?}: {tasks}")]
    Abandoned {
        /// The time they had.
        budget: Duration,
        /// Their names.
        tasks: String,
    },
    /// A second signal came while draining.
    #[error("a second signal ended the process at once")]
    Impatient,
}

/// Owns the process's tasks. Dropping it aborts them.
pub struct Supervisor {
    drain: Duration,
    first: Stage,
    last: Stage,
}

#[derive(Default)]
struct Stage {
    token: CancellationToken,
    tasks: JoinSet<Result<(), String>>,
    names: HashMap<Id, String>,
}

impl Supervisor {
    /// No tasks yet. `drain` is how long tasks may take to finish once asked to stop.
    pub fn new(drain: Duration) -> Self {
        Self { drain, first: Stage::default(), last: Stage::default() }
    }

    /// Cancelled when the process begins to stop. Cancelling it stops the process in good order.
    pub fn token(&self) -> CancellationToken {
        self.first.token.clone()
    }

    /// Starts a task. It gets the token that asks it to stop, and must run until then.
    pub fn spawn<F, E>(&mut self, name: &str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.first.spawn(name, task);
    }

    /// Starts a task that is asked to stop only after all of [`Supervisor::spawn`]'s have: the lease, which may be given
    /// back only when nothing creates any more, and the health server, which answers until the end.
    pub fn spawn_last<F, E>(&mut self, name: &str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        self.last.spawn(name, task);
    }

    /// Runs until a signal, or until a task ends that should not; then stops the rest within the drain budget.
    /// Each item of `signals` is one signal's name: see [`signals`].
    ///
    /// # Errors
    /// Anything but an orderly end on request. The process must then exit non-zero, and at once.
    pub async fn run(mut self, mut signals: mpsc::Receiver<&'static str>) -> Result<(), SuperviseError> {
        let cause = self.serve(&mut signals).await;
        let stopped = tokio::select! {
            stopped = self.stop() => stopped,
            name = asked(&mut signals) => {
                warn!(signal = name, "Stopping at once");
                return Err(SuperviseError::Impatient);
            }
        };
        cause.and(stopped)
    }

    /// Until the first reason to stop.
    async fn serve(&mut self, signals: &mut mpsc::Receiver<&'static str>) -> Result<(), SuperviseError> {
        let stop = self.first.token.clone();
        let (first, last) = (&mut self.first, &mut self.last);
        let cause = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            name = asked(signals) => {
                info!(signal = name, "Stopping");
                return Ok(());
            }
            cause = first.ended() => cause,
            cause = last.ended() => cause,
        };
        error!(%cause, "Stopping all tasks");
        Err(cause)
    }

    async fn stop(&mut self) -> Result<(), SuperviseError> {
        let first = self.first.drain(self.drain).await;
        let last = self.last.drain(LAST_STAGE).await;
        first.and(last)
    }
}

impl Stage {
    fn spawn<F, E>(&mut self, name: &str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let work = task(self.token.clone());
        let handle = self.tasks.spawn(async move { work.await.map_err(|error| error.to_string()) });
        self.names.insert(handle.id(), name.to_owned());
    }

    /// The first task to end, for a reason that is never good: nobody asked it to. Waits for ever without tasks.
    async fn ended(&mut self) -> SuperviseError {
        match self.tasks.join_next_with_id().await {
            Some(joined) => {
                let (name, result) = self.outcome(joined);
                result.err().unwrap_or(SuperviseError::Ended(name))
            }
            None => std::future::pending().await,
        }
    }

    /// Asks all to stop, waits until `budget` is used, and abandons the rest. Answers the first failure.
    async fn drain(&mut self, budget: Duration) -> Result<(), SuperviseError> {
        self.token.cancel();
        let until = Instant::now() + budget;
        let mut result = Ok(());
        while let Ok(joined) = timeout_at(until, self.tasks.join_next_with_id()).await {
            let Some(joined) = joined else { return result };
            let (_, outcome) = self.outcome(joined);
            if let Err(error) = &outcome {
                error!(%error, "A task failed while stopping");
            }
            result = result.and(outcome);
        }
        // Awaited, so that what may be aborted has ended before the lease is given back; what blocks its thread has not.
        let _ = timeout_at(Instant::now() + ABORT, self.tasks.shutdown()).await;
        let mut tasks: Vec<_> = self.names.drain().map(|(_, name)| name).collect();
        tasks.sort();
        let abandoned = SuperviseError::Abandoned { budget, tasks: tasks.join(", ") };
        error!(error = %abandoned, "Stopped without them");
        result.and(Err(abandoned))
    }

    fn outcome(&mut self, joined: Result<(Id, Result<(), String>), JoinError>) -> (String, Result<(), SuperviseError>) {
        let id = joined.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or_else(|| "unnamed".to_owned());
        let result = match joined {
            Ok((_, Ok(()))) => Ok(()),
            Ok((_, Err(error))) => Err(SuperviseError::Failed { task: name.clone(), error }),
            Err(_) => Err(SuperviseError::Panicked(name.clone())),
        };
        (name, result)
    }
}

/// The next signal; waits for ever where none can come.
async fn asked(signals: &mut mpsc::Receiver<&'static str>) -> &'static str {
    match signals.recv().await {
        Some(name) => name,
        None => std::future::pending().await,
    }
}

/// The signals that ask this process to stop: SIGTERM (the kubelet) and SIGINT (a terminal).
///
/// # Errors
/// The handlers cannot be installed.
pub fn signals() -> io::Result<mpsc::Receiver<&'static str>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                Some(()) = term.recv() => "SIGTERM",
                Some(()) = int.recv() => "SIGINT",
                else => return,
            };
            if sender.send(name).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests;
