//! How it went with a behaviour.
use std::fmt;

/// Why a behaviour did not just hold.
#[derive(Clone, Debug)]
pub enum Instead {
    /// Something else was seen.
    Failed(String),
    /// This release does not do that, as it should not: what it does instead was seen.
    NotThere(&'static str),
    /// It cannot be asked this way.
    Skipped(&'static str),
}

/// What was asked for, or what came instead.
pub type Seen<T> = Result<T, Instead>;
/// Whether a behaviour holds.
pub type Outcome = Seen<()>;

impl From<String> for Instead {
    fn from(seen: String) -> Self {
        Self::Failed(seen)
    }
}

impl fmt::Display for Instead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(seen) => f.write_str(seen),
            Self::NotThere(what) => write!(f, "not there: {what}"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
        }
    }
}

/// Fails a behaviour, with what was seen.
macro_rules! ensure {
    ($holds:expr, $($seen:tt)*) => {
        if !$holds {
            let seen = format!("{} does not hold: {}", stringify!($holds), format!($($seen)*));
            return Err(crate::outcome::Instead::Failed(seen));
        }
    };
}
pub(crate) use ensure;

/// One Rancher's results, in the order of the behaviours.
pub struct Column {
    pub title: String,
    pub results: Vec<(&'static str, Outcome)>,
}

impl Column {
    /// What failed, and how.
    pub fn failures(&self) -> Vec<String> {
        let failed = self.results.iter().filter_map(|(name, outcome)| match outcome {
            Err(Instead::Failed(seen)) => Some(format!("{}: {name}: {seen}", self.title)),
            _ => None,
        });
        failed.collect()
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(()) => "ok",
        Err(Instead::Failed(_)) => "FAILED",
        Err(Instead::NotThere(_)) => "not there",
        Err(Instead::Skipped(_)) => "skipped",
    }
}

/// Prints behaviours by Rancher, and what the words that are not `ok` stand for.
pub fn print(columns: &[Column]) {
    let Some(first) = columns.first() else {
        return;
    };
    let width = first.results.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let titles: Vec<String> = columns.iter().map(|column| format!("{:<10}", column.title)).collect();
    println!("{:<width$} {}", "behaviour", titles.join(" "));
    for (row, (name, _)) in first.results.iter().enumerate() {
        let words: Vec<String> = columns.iter().map(|column| format!("{:<10}", word(&column.results[row].1))).collect();
        println!("{name:<width$} {}", words.join(" "));
    }
    for column in columns {
        for (name, outcome) in &column.results {
            if let Err(instead) = outcome {
                println!("{} {name}: {instead}", column.title);
            }
        }
    }
}

/// Fails if any behaviour of any Rancher failed.
pub fn judge(columns: &[Column]) {
    print(columns);
    let failures: Vec<String> = columns.iter().flat_map(Column::failures).collect();
    assert!(failures.is_empty(), "not as relied upon:\n{}", failures.join("\n"));
}
