//! The one clock.
//!
//! Wall time (expiry, status) comes from [`Clock::now`]; monotonic time (deadlines, backoff) is
//! [`tokio::time::Instant`], which tests pause and move. Nothing else in the operator reads a clock.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// Tells wall-clock time. Cheap to clone; all clones tell the same time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's own clock.
    pub fn system() -> Self {
        #[allow(clippy::disallowed_methods)] // the one place that may
        Self(Arc::new(Timestamp::now))
    }

    /// A clock that tells what `tell` says: for tests.
    pub fn new(tell: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The wall-clock time now.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Clock").field(&self.now()).finish()
    }
}
