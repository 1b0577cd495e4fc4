//! The one request that a test waits for.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::Asked;

/// Where a request is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// The server has not seen it.
    Before,
    /// The server has answered, and nobody has the answer yet.
    After,
}

/// How it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As if nothing had been.
    GoOn,
    /// Its connection is cut.
    Cut,
}

/// Tells when the request comes.
#[derive(Debug)]
pub struct Point(oneshot::Receiver<Held>);

impl Point {
    /// Waits until the request is there, and is held.
    ///
    /// # Panics
    /// Where it does not come within that time: then the test is not about what it says.
    pub async fn reached(self, within: Duration) -> Held {
        match timeout(within, self.0).await {
            Ok(Ok(held)) => held,
            _ => panic!("the request to be hit did not come within {within:?}"),
        }
    }
}

/// A request that waits. Dropping this lets it go on.
#[derive(Debug)]
pub struct Held(oneshot::Sender<Fate>);

impl Held {
    /// Ends the wait.
    pub fn release(self, fate: Fate) {
        // Whoever asked may be gone.
        let _ = self.0.send(fate);
    }
}

type Matches = Box<dyn Fn(&Asked) -> bool + Send>;

/// What is watched for.
pub(super) struct Rule {
    pub(super) moment: Moment,
    matches: Matches,
    tell: oneshot::Sender<Held>,
}

impl Rule {
    pub(super) fn new(moment: Moment, matches: Matches) -> (Self, Point) {
        let (tell, told) = oneshot::channel();
        (Self { moment, matches, tell }, Point(told))
    }

    /// Tells that the request is here, and waits for what becomes of it.
    pub(super) async fn hold(self) -> Fate {
        let (fate, decided) = oneshot::channel();
        // Nobody waits for it any more: it passes.
        if self.tell.send(Held(fate)).is_err() {
            return Fate::GoOn;
        }
        decided.await.unwrap_or(Fate::GoOn)
    }
}

/// The rule that is about this request, which is about no other then.
pub(super) fn hit(rules: &mut Vec<Rule>, asked: &Asked) -> Option<Rule> {
    let index = rules.iter().position(|rule| (rule.matches)(asked))?;
    Some(rules.remove(index))
}
