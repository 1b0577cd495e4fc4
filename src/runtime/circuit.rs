//! A circuit breaker for one server: after failures in a row it is left alone, and probed now and then.
//!
//! [`Circuit`] is pure: results and the time go in. [`Breaker`] shares one and wakes those who wait for it to close.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::Backoff;

/// When a circuit opens and how it is probed.
#[derive(Clone, Copy, Debug)]
pub struct CircuitConfig {
    /// Transport failures in a row that open it.
    pub threshold: u32,
    /// How long to wait before each probe. Its cap bounds how late a server's return is noticed.
    pub backoff: Backoff,
    /// A probe without a result after this long is forgotten (its task was dropped), and another may go.
    pub probe_timeout: Duration,
}

/// Whether calls may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// All may call.
    Closed,
    /// None may call until the next probe is due.
    Open,
    /// One call is out to see whether the server is back.
    HalfOpen,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Closed { failures: u32 },
    Open { probes: u32, until: Instant },
    HalfOpen { probes: u32, until: Instant },
}

/// The breaker itself. Only failures of the transport count (no connection, no answer, 502 to 504): an answer that
/// says no is an answer.
#[derive(Clone, Debug)]
pub struct Circuit {
    config: CircuitConfig,
    inner: Inner,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(config: CircuitConfig) -> Self {
        Self { config, inner: Inner::Closed { failures: 0 } }
    }

    /// Whether a call may be made now. From an open circuit whose probe is due, this hands out the one probe: call it
    /// only to make the call, and report the result.
    pub fn may_try(&mut self, now: Instant) -> bool {
        match self.inner {
            Inner::Closed { .. } => true,
            Inner::Open { probes, until } | Inner::HalfOpen { probes, until } if now >= until => {
                let until = now + self.config.probe_timeout;
                self.inner = Inner::HalfOpen { probes, until };
                true
            }
            Inner::Open { .. } | Inner::HalfOpen { .. } => false,
        }
    }

    /// The server answered: whichever call it was, it is back.
    pub fn succeeded(&mut self) {
        self.inner = Inner::Closed { failures: 0 };
    }

    /// The server was not reached, or did not answer.
    pub fn failed(&mut self, now: Instant) {
        self.inner = match self.inner {
            Inner::Closed { failures } if failures.saturating_add(1) >= self.config.threshold => self.open(0, now),
            Inner::Closed { failures } => Inner::Closed { failures: failures.saturating_add(1) },
            Inner::HalfOpen { probes, .. } => self.open(probes.saturating_add(1), now),
            // A call that began before the circuit opened says nothing new.
            open @ Inner::Open { .. } => open,
        };
    }

    fn open(&self, probes: u32, now: Instant) -> Inner {
        Inner::Open { probes, until: now + self.config.backoff.delay(probes) }
    }

    /// Where it stands.
    pub fn state(&self) -> CircuitState {
        match self.inner {
            Inner::Closed { .. } => CircuitState::Closed,
            Inner::Open { .. } => CircuitState::Open,
            Inner::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// When the next probe may go; `None` while closed.
    pub fn next_probe(&self) -> Option<Instant> {
        match self.inner {
            Inner::Closed { .. } => None,
            Inner::Open { until, .. } | Inner::HalfOpen { until, .. } => Some(until),
        }
    }
}

/// A [`Circuit`] shared by everyone who calls one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Breaker {
    circuit: Arc<Mutex<Circuit>>,
    state: watch::Sender<CircuitState>,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(config: CircuitConfig) -> Self {
        Self { circuit: Arc::new(Mutex::new(Circuit::new(config))), state: watch::Sender::new(CircuitState::Closed) }
    }

    /// As [`Circuit::may_try`], now.
    pub fn may_try(&self) -> bool {
        self.with(|circuit| circuit.may_try(Instant::now()))
    }

    /// As [`Circuit::succeeded`]. Wakes all who wait in [`Breaker::closed`].
    pub fn succeeded(&self) {
        self.with(Circuit::succeeded);
    }

    /// As [`Circuit::failed`], now.
    pub fn failed(&self) {
        self.with(|circuit| circuit.failed(Instant::now()));
    }

    /// As [`Circuit::next_probe`].
    pub fn next_probe(&self) -> Option<Instant> {
        self.with(|circuit| circuit.next_probe())
    }

    /// Where it stands.
    pub fn state(&self) -> CircuitState {
        *self.state.borrow()
    }

    /// Tells each change of state: when it closes, what waited is due at once.
    pub fn watch(&self) -> watch::Receiver<CircuitState> {
        self.state.subscribe()
    }

    /// Waits until calls may be made freely again.
    pub async fn closed(&self) {
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = self.watch().wait_for(|state| *state == CircuitState::Closed).await;
    }

    fn with<T>(&self, act: impl FnOnce(&mut Circuit) -> T) -> T {
        // Nothing under this lock can panic, and a circuit is whole after each assignment.
        let mut circuit = self.circuit.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut circuit);
        let now = circuit.state();
        // Published under the lock, so that two changes are told in the order in which they happened.
        self.state.send_if_modified(|was| std::mem::replace(was, now) != now);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CircuitConfig {
        CircuitConfig {
            threshold: 3,
            backoff: Backoff::new(Duration::from_secs(1), Duration::from_secs(30), 1),
            probe_timeout: Duration::from_secs(15),
        }
    }

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(config());
        for _ in 0..3 {
            assert!(circuit.may_try(now));
            circuit.failed(now);
        }
        assert_eq!(circuit.state(), CircuitState::Open);
        circuit
    }

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let (mut circuit, now) = (Circuit::new(config()), Instant::now());
        for _ in 0..10 {
            circuit.failed(now);
            circuit.failed(now);
            circuit.succeeded();
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
        assert_eq!(circuit.next_probe(), None);
    }

    #[test]
    fn lets_one_probe_through_when_due() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let due = circuit.next_probe().unwrap();
        assert!(due > now && !circuit.may_try(due - Duration::from_millis(1)));
        assert!(circuit.may_try(due));
        assert!(!circuit.may_try(due), "the second caller waits for the probe's result");
        circuit.succeeded();
        assert!(circuit.may_try(due) && circuit.may_try(due));
    }

    #[test]
    fn a_failed_probe_waits_longer_and_never_past_the_cap() {
        let mut circuit = opened(Instant::now());
        let mut longest = Duration::ZERO;
        for _ in 0..20 {
            let due = circuit.next_probe().unwrap();
            assert!(circuit.may_try(due));
            circuit.failed(due);
            longest = longest.max(circuit.next_probe().unwrap() - due);
        }
        assert!(longest > Duration::from_secs(15) && longest <= Duration::from_secs(30));
    }

    #[test]
    fn a_probe_that_was_dropped_does_not_shut_it_for_ever() {
        let mut circuit = opened(Instant::now());
        let due = circuit.next_probe().unwrap();
        assert!(circuit.may_try(due));
        assert!(circuit.may_try(due + Duration::from_secs(15)));
    }

    #[test]
    fn late_results_of_earlier_calls() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let due = circuit.next_probe();
        circuit.failed(now + Duration::from_millis(500));
        assert_eq!(circuit.next_probe(), due, "a late failure does not put the probe off");
        circuit.succeeded();
        assert_eq!(circuit.state(), CircuitState::Closed, "a late success is proof that the server is back");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_wakes_those_who_wait() {
        let breaker = Breaker::new(config());
        (0..3).for_each(|_| breaker.failed());
        assert!(!breaker.may_try());
        let waiter = tokio::spawn({
            let breaker = breaker.clone();
            async move { breaker.closed().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        tokio::time::sleep_until(breaker.next_probe().unwrap()).await;
        assert!(breaker.may_try());
        assert_eq!(breaker.state(), CircuitState::HalfOpen);
        breaker.succeeded();
        waiter.await.unwrap();
        assert_eq!(breaker.state(), CircuitState::Closed);
    }
}
