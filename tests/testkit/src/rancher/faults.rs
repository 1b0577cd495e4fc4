//! Faults by request: what a network, a load balancer or a bad day does to them.
use std::{fmt, time::Duration};

use http::Method;

/// What happens to a request that a rule matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultAction {
    /// It is looked at only after this long.
    Delay(Duration),
    /// The connection is cut before it is looked at.
    DropBefore,
    /// It is carried out, and the connection is cut instead of an answer.
    DropAfter,
    /// It is carried out, and the answer comes this much later.
    DelayAnswer(Duration),
    /// It is not looked at; the answer has this code and body, as text.
    Status(u16, String),
    /// It never gets an answer; it is not looked at.
    Hang,
}

type Matches = Box<dyn Fn(&Method, &str) -> bool + Send + Sync>;

/// Which requests are hit, and by what.
pub struct FaultRule {
    matches: Matches,
    skip: usize,
    times: usize,
    action: FaultAction,
}

impl fmt::Debug for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultRule")
            .field("skip", &self.skip)
            .field("times", &self.times)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

impl FaultRule {
    /// Every request that a predicate of method and path (with its query) picks.
    pub fn new(matches: impl Fn(&Method, &str) -> bool + Send + Sync + 'static, action: FaultAction) -> Self {
        Self { matches: Box::new(matches), skip: 0, times: usize::MAX, action }
    }

    /// Every request of a method (empty: any) whose path contains a text.
    pub fn on(method: &str, contains: &str, action: FaultAction) -> Self {
        let (method, contains) = (method.to_owned(), contains.to_owned());
        let matches = move |asked: &Method, path: &str| {
            (method.is_empty() || asked.as_str() == method) && path.contains(&contains)
        };
        Self::new(matches, action)
    }

    /// Lets the first `count` pass.
    #[must_use]
    pub fn after(mut self, count: usize) -> Self {
        self.skip = count;
        self
    }

    /// Hits only so many.
    #[must_use]
    pub fn times(mut self, count: usize) -> Self {
        self.times = count;
        self
    }

    /// What to do to this request, if the rule is about it; counts it.
    pub(super) fn hit(&mut self, method: &Method, path: &str) -> Option<FaultAction> {
        if self.times == 0 || !(self.matches)(method, path) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.action.clone())
    }
}
