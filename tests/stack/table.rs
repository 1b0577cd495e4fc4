//! What is printed.

use std::{process::ExitCode, time::Duration};

use crate::run::Run;

/// What came of one run.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) run: Run,
    pub(crate) took: Duration,
    /// The latest that any access was gone, from its end or from when somebody could act again; `None` where none ended.
    pub(crate) lag: Option<Duration>,
    /// What broke, and all that happened; `None` where nothing did.
    pub(crate) broke: Option<String>,
}

/// As a run is done with.
pub(crate) fn tell(row: &Row) {
    let lag = row.lag.map_or_else(|| "-".to_owned(), |lag| format!("{:.2} s", lag.as_secs_f64()));
    let word = if row.broke.is_some() { "FAILED" } else { "ok" };
    println!("{word:<7}{:<30} took {:>5.1} s   gone after {lag:>7}", row.run.to_string(), row.took.as_secs_f64());
    if let Some(broke) = &row.broke {
        println!("\n{broke}\nagain: cargo test --test stack -- {}\n", row.run);
    }
}

/// When all are.
pub(crate) fn close(rows: &[Row], total: usize, took: Duration) -> ExitCode {
    let failed: Vec<_> = rows.iter().filter(|row| row.broke.is_some()).collect();
    let worst = rows.iter().filter_map(|row| row.lag).max().unwrap_or_default();
    println!(
        "\nFIGURE {} of {total} runs on the real stack hold, in {:.0} s; the latest that access was gone: {:.2} s",
        rows.len() - failed.len(),
        took.as_secs_f64(),
        worst.as_secs_f64()
    );
    failed.iter().for_each(|row| println!("FAILED {}: cargo test --test stack -- {}", row.run, row.run));
    if failed.is_empty() && rows.len() == total { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
