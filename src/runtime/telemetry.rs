//! Logs: one line an event, as JSON or text, on standard error.

use std::{fmt, io, str::FromStr};

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer,
    fmt::{MakeWriter, format::Writer, time::FormatTime},
    layer::SubscriberExt,
    registry,
};

use super::Clock;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line, for machines.
    #[default]
    Json,
    /// For people.
    Text,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            other => Err(TelemetryError::Format(other.to_owned())),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "json",
            Self::Text => "text",
        })
    }
}

/// Logging could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// An unknown format.
    #[error("the log format {0:?} is unknown: use json or text")]
    Format(String),
    /// The filter does not parse.
    #[error("the log level {filter:?} does not parse: use a level (info) or directives (info,kube=warn)")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Logging was set up before.
    #[error("logging was set up already in this process")]
    Twice(#[from] tracing::subscriber::SetGlobalDefaultError),
}

/// Sets logging up for the whole process; call once. `filter` is a level or a list of directives in the syntax of
/// `RUST_LOG`; the environment is not read.
///
/// # Errors
/// The filter does not parse, or logging was set up before.
pub fn init(format: LogFormat, filter: &str, clock: Clock) -> Result<(), TelemetryError> {
    tracing::subscriber::set_global_default(subscriber(format, filter, clock, io::stderr)?)?;
    Ok(())
}

/// What [`init`] installs, writing to `writer`.
///
/// # Errors
/// The filter does not parse.
pub fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    clock: Clock,
    writer: W,
) -> Result<impl Subscriber + Send + Sync, TelemetryError>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let levels = EnvFilter::builder()
        .parse(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_timer(ClockTime(clock));
    let lines = match format {
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        // Colours would put escape codes into whatever collects a container's output.
        LogFormat::Text => lines.with_ansi(false).boxed(),
    };
    Ok(registry().with(levels).with(lines))
}

/// Log lines tell the time of the one clock.
struct ClockTime(Clock);

impl FormatTime for ClockTime {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        write!(w, "{:.6}", self.0.now())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().map_err(|_| io::Error::other("a writer panicked"))?;
            lines.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged while that is done.
    pub(crate) fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let clock = Clock::new(|| "2026-11-22T10:00:00Z".parse().unwrap());
        let writer = {
            let lines = lines.clone();
            move || lines.clone()
        };
        let subscriber = subscriber(format, filter, clock, writer).unwrap();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn json_lines_carry_fields_span_and_the_clocks_time() {
        let out = logged(LogFormat::Json, "info", || {
            let _span = tracing::info_span!("reconcile", namespace = "web").entered();
            tracing::info!(name = "db", "Granted access");
            tracing::debug!("Not shown");
        });
        let line: serde_json::Value = serde_json::from_str(out.trim()).unwrap();
        assert_eq!(line["timestamp"], "2026-11-22T10:00:00.000000Z");
        assert_eq!(line["message"], "Granted access");
        assert_eq!(line["name"], "db");
        assert_eq!(line["span"]["namespace"], "web");
    }

    #[test]
    fn text_has_no_escape_codes_and_directives_filter_by_target() {
        let out = logged(LogFormat::Text, "warn,chatty=info", || {
            tracing::info!("hidden");
            tracing::info!(target: "chatty", "shown");
        });
        assert!(out.contains("shown") && !out.contains("hidden") && !out.contains('\u{1b}'), "{out}");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_said() {
        let Err(error) = subscriber(LogFormat::Json, "kube=loud", Clock::system(), io::sink) else {
            panic!("the filter is wrong");
        };
        assert!(error.to_string().contains("kube=loud"), "{error}");
        assert!("xml".parse::<LogFormat>().is_err());
    }
}
