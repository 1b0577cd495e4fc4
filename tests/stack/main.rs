//! The real stack under faults: the operator's own binary between a real control plane and the Rancher simulator, with a
//! proxy on each way, and one fault at one write of each life.
//!
//! Five lives × six faults × two places, shared out among a few workers with a control plane each. Every run checks the same
//! invariants (`invariants.rs`). It prints a table; a run that fails prints what broke, every request that the operator made, and the
//! command that does it again:
//!
//! ```text
//! cargo test --test stack -- S3/api/etcd-killed
//! ```
//!
//! A name may be a part of one: `sigstop`, `S13/`.

#[path = "../installed/mod.rs"]
mod installed;
mod invariants;
mod run;
mod scenarios;
mod stage;
mod table;
mod witness;
mod worker;

use std::{
    collections::VecDeque,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
};

use installed::{kinds, operator, until, world};
use tokio::{runtime::Runtime, time::Instant};

use run::Run;
use table::Row;
use worker::Worker;

/// Control planes at once: each is half idle, and there are two cores.
const WORKERS: usize = 3;

type Queue = Arc<Mutex<VecDeque<(usize, Run)>>>;

fn main() -> ExitCode {
    let asked = Run::asked(std::env::args().skip(1));
    if asked.is_empty() {
        return ExitCode::SUCCESS;
    }
    let runtime = Runtime::new().expect("a runtime");
    let (began, total) = (Instant::now(), asked.len());
    let queue: Queue = Arc::new(Mutex::new(asked.into_iter().enumerate().collect()));
    let rows = runtime.block_on(async {
        let workers = (0..WORKERS.min(total)).map(|_| work(queue.clone(), total));
        futures::future::join_all(workers).await.concat()
    });
    table::close(&rows, total, began.elapsed())
}

/// Does what is left to do, one run after the other, in a world that is made anew after a run that failed.
async fn work(queue: Queue, total: usize) -> Vec<Row> {
    let (mut rows, mut worker) = (Vec::new(), None);
    loop {
        let Some((index, run)) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
            return rows;
        };
        let ready = match worker.take() {
            Some(ready) => ready,
            None => Worker::start(total).await,
        };
        let (row, left) = ready.perform(index, run).await;
        table::tell(&row);
        rows.push(row);
        worker = left;
    }
}
