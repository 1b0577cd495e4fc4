//! The time: what it truly is, and what the operator's clock says.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::runtime::Clock;
use tokio::time::Instant;

/// How long a request is on its way inside a process.
const MOMENT: Duration = Duration::from_millis(5);

/// One time for all servers, and one that the operator believes in. Timers follow tokio's, which neither moves.
#[derive(Clone)]
pub struct Sky(Arc<Inner>);

struct Inner {
    start: Timestamp,
    origin: Instant,
    /// How long the machine slept, in seconds.
    slept: AtomicI64,
    /// When it last woke, and after how many seconds.
    woke: Mutex<Option<(Instant, i64)>>,
    /// How far the operator's clock is ahead, in seconds.
    ahead: AtomicI64,
}

impl Sky {
    pub fn new(start: Timestamp) -> Self {
        let (slept, ahead) = (AtomicI64::new(0), AtomicI64::new(0));
        Self(Arc::new(Inner { start, origin: Instant::now(), slept, woke: Mutex::default(), ahead }))
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        let slept = SignedDuration::from_secs(self.0.slept.load(Ordering::Relaxed));
        self.0.start + self.0.origin.elapsed() + slept
    }

    /// The servers' clock.
    pub fn servers(&self) -> Clock {
        let sky = self.clone();
        Clock::new(move || sky.now())
    }

    /// The operator's clock.
    pub fn operators(&self) -> Clock {
        let sky = self.clone();
        Clock::new(move || sky.now() + SignedDuration::from_secs(sky.0.ahead.load(Ordering::Relaxed)))
    }

    /// The operator's machine sleeps: all clocks go on, its timers do not.
    pub fn sleep(&self, seconds: i64) {
        self.0.slept.fetch_add(seconds, Ordering::Relaxed);
        *self.0.woke.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), seconds));
    }

    /// When a request was decided on that leaves now: before the machine slept, where it woke in this very moment.
    pub fn decided(&self) -> Timestamp {
        let woke = *self.0.woke.lock().unwrap_or_else(PoisonError::into_inner);
        let slept = woke.filter(|(woke, _)| woke.elapsed() < MOMENT).map_or(0, |(_, seconds)| seconds);
        self.now() - SignedDuration::from_secs(slept)
    }

    /// Whether the operator's clock is behind: then access ends as much later.
    pub fn is_behind(&self) -> bool {
        self.0.ahead.load(Ordering::Relaxed) < 0
    }

    /// The operator's clock is set wrong by so much, or right again by 0.
    pub fn set_ahead(&self, seconds: i64) {
        self.0.ahead.store(seconds, Ordering::Relaxed);
    }

    /// Whether the operator's clock is wrong.
    pub fn is_wrong(&self) -> bool {
        self.0.ahead.load(Ordering::Relaxed) != 0
    }
}
