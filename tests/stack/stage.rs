//! One run under way: who asks, where the fault comes, and what is done in that moment.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rancher_access_operator::api::status::Phase;
use serde_json::Value;
use testkit::proxy::{Asked, Fate, Moment, Point};

use crate::{
    invariants,
    kinds::{Grant, now, since},
    run::{Fault, Place, Run, Scenario},
    until,
    witness::Witness,
    worker::{self, PLACE, Worker},
};

/// How long a server is away.
const AWAY: Duration = Duration::from_secs(2);
/// How late access may be gone: after its end, and after an outage that kept everybody from acting.
const LATE: SignedDuration = SignedDuration::from_secs(5);
const LATE_AFTER_OUTAGE: SignedDuration = SignedDuration::from_secs(60);
/// How long the request to be hit may take to come: a sweep that failed comes again after 15 s.
const COMES: Duration = Duration::from_secs(45);

pub(crate) struct Stage {
    pub(crate) worker: Worker,
    pub(crate) run: Run,
    pub(crate) witness: Witness,
    index: usize,
    foreign: Vec<Value>,
    grants: Vec<Grant>,
    /// Since when somebody can act again, where the fault kept everybody from it.
    recovered: Option<Timestamp>,
    lag: Option<Duration>,
}

impl Stage {
    pub(crate) fn new(worker: Worker, index: usize, run: Run) -> Self {
        let witness = Witness::of(&worker.world.rancher);
        let foreign = worker.world.bindings_of(&worker::person(index, "a"));
        Self { worker, run, witness, index, foreign, grants: Vec::new(), recovered: None, lag: None }
    }

    pub(crate) fn close(self) -> (Worker, Option<Duration>) {
        self.worker.to_api.forget();
        self.worker.to_rancher.forget();
        (self.worker, self.lag)
    }

    /// Somebody of this run; `a` has somebody else's binding too.
    pub(crate) fn person(&self, which: &str) -> String {
        let name = worker::person(self.index, which);
        if which != "a" {
            self.worker.world.person(&name);
        }
        name
    }

    /// The name of a grant of this run.
    pub(crate) fn name(&self, which: &str) -> String {
        format!("{}-{which}", self.run.to_string().to_lowercase().replace('/', "-"))
    }

    /// Has somebody of this run ask.
    pub(crate) async fn ask(&mut self, who: &str, which: &str, spec: Value) -> Grant {
        let grant = self.worker.world.ask(who, PLACE, &self.name(which), spec).await;
        self.grants.push(grant.clone());
        grant
    }

    /// Holds the write to Rancher, or the one to the API server, of which `rancher` or `api` know.
    pub(crate) fn arm(
        &self,
        rancher: impl Fn(&Asked) -> bool + Send + 'static,
        api: impl Fn(&Asked) -> bool + Send + 'static,
    ) -> Point {
        let moment = match (self.run.fault, self.run.place) {
            (Fault::Cut, _) | (Fault::ApiKilled | Fault::EtcdKilled, Place::Api) => Moment::Before,
            _ => Moment::After,
        };
        match self.run.place {
            Place::Rancher => self.worker.to_rancher.stop_at(moment, rancher),
            Place::Api => self.worker.to_api.stop_at(moment, api),
        }
    }

    /// Waits for that write, lets the fault come, and mends what it broke.
    pub(crate) async fn inflict(&mut self, point: Point) {
        let held = point.reached(COMES).await;
        let plane = &self.worker.world.plane;
        match self.run.fault {
            Fault::ReplyLost => held.release(Fate::Cut),
            Fault::Cut => {
                held.release(Fate::Cut);
                match self.run.place {
                    Place::Rancher => self.worker.to_rancher.cut(),
                    Place::Api => self.worker.to_api.cut(),
                }
            }
            Fault::Killed => {
                self.worker.operator.signal("KILL");
                held.release(Fate::Cut);
                self.worker.another().kill();
                self.recovered = Some(self.worker.world.led_by(&self.worker.leader()).await);
            }
            Fault::Frozen => {
                self.worker.operator.signal("STOP");
                held.release(Fate::GoOn);
                let mut frozen = self.worker.another();
                self.recovered = Some(self.worker.world.led_by(&self.worker.leader()).await);
                frozen.signal("CONT");
                let ended = frozen.ended("who was frozen past his lease has ended", 30).await;
                assert!(!ended.success(), "it says that it was deposed");
                invariants::silent(&self.worker.world, &frozen.log());
            }
            Fault::ApiKilled => {
                plane.stop_api_server().await;
                held.release(Fate::GoOn);
                tokio::time::sleep(AWAY).await;
                plane.start_api_server().await.expect("the API server starts again");
            }
            Fault::EtcdKilled => {
                plane.stop_etcd().await;
                held.release(Fate::GoOn);
                tokio::time::sleep(AWAY).await;
                plane.start_etcd().await.expect("etcd starts again");
            }
        }
    }

    /// Holds that a binding was gone in time for this end of its access, and not before. Without a server the operator lives on its
    /// memory, so only its own absence excuses it.
    pub(crate) async fn gone_in_time(&mut self, binding: &str, end: Timestamp) {
        let bound = self.recovered.map_or(end + LATE, |recovered| (end + LATE).max(recovered + LATE_AFTER_OUTAGE));
        let left = SignedDuration::from_secs(3) + bound.duration_since(now());
        let seconds = u64::try_from(left.as_secs()).unwrap_or_default();
        let gone = until(&format!("{binding} is gone"), seconds, async || self.witness.gone(binding)).await.0;
        assert!(gone <= bound, "{binding} was gone at {gone}, its access ended at {end}, the bound is {bound}");
        assert!(gone >= end, "{binding} was gone at {gone}, before its access ended at {end}");
        let from = self.recovered.map_or(end, |recovered| recovered.max(end));
        let lag = Duration::try_from(gone.duration_since(from)).unwrap_or_default();
        self.lag = self.lag.max(Some(lag));
    }

    /// The binding's time begins to count from this start of an operator.
    pub(crate) fn recovered(&mut self, at: Timestamp) {
        self.recovered = self.recovered.max(Some(at));
    }

    /// Deletes what is there, and holds what must hold in every run.
    pub(crate) async fn finish(&mut self, creates: usize) {
        assert!(self.worker.operator.runs(), "the operator ended by itself");
        if self.is_patient() {
            self.worker.restart().await;
        }
        for grant in &self.grants {
            grant.try_delete(20).await;
        }
        for grant in &self.grants {
            grant.until_gone(60).await;
        }
        invariants::hold(&self.worker, &self.witness, &self.foreign, &worker::person(self.index, "a"), creates).await;
        self.worker.leads().await;
    }

    /// Whether the operator now has reasons to take its time over what is deleted, which the run is not about: watches come back
    /// with a backoff after an outage, and a create that it knows no answer to keeps a grant's finalizer for 90 s.
    fn is_patient(&self) -> bool {
        let Run { scenario, place, fault } = self.run;
        let unanswered = (scenario, place) == (Scenario::S1, Place::Rancher);
        match fault {
            Fault::ApiKilled | Fault::EtcdKilled => true,
            Fault::ReplyLost | Fault::Cut => unanswered,
            Fault::Killed | Fault::Frozen => false,
        }
    }

    /// A grant that was given at last, and its binding's name.
    pub(crate) async fn given(&self, grant: &Grant) -> (String, Timestamp) {
        let active = grant.until(Phase::Active, 90).await;
        self.worker.finalizers.held(&grant.name, &active.bindings[0].name);
        invariants::in_force(&self.worker.world, &active);
        (active.bindings[0].name.clone(), crate::kinds::end(&active))
    }

    /// Waits until a time is past by this much.
    pub(crate) async fn past(&self, time: Timestamp) {
        until("an end is past", 30, async || (since(time) > Duration::from_millis(500)).then_some(())).await;
    }
}
