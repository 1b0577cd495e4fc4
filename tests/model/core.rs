//! The way to the real core and back: a compressed grant is expanded to what [`decide`] reads, and what it says is
//! compressed again. What was decided once is remembered, for the same is asked a million times.
//!
//! Nothing that `decide` reads is lost: what comes back is expanded and compressed again, and compared; and what a
//! decision leaves to do is compared with what the compressed one leaves to do.

use std::{cell::RefCell, collections::HashMap};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use rancher_access_operator::{
    api::{
        AccessGrantStatus,
        integration::RancherStatus,
        policy::OnPolicyChange,
        status::{AccessDetails, BindingKind, BindingRecord, BindingState, End, IdentityProof, PolicyRecord},
    },
    grant::{
        Approval, Because, Decision, GrantKey, GrantView, Judged, Limits, Observed, Progress as Got, Step, Terms,
        Tried, Wake,
        binding::{self, BindingWorld, Equal, Goal, Move, Object, Sight as Seen},
        decide,
        view::Summary,
    },
};

use crate::{
    operator::{Case, Due, Progress, Sight},
    state::{Bound, Grant, Record, Tick},
};

/// When it begins: 2026-06-01T00:00:00Z.
const BEGIN: i64 = 1_780_272_000;

/// A tick in seconds.
pub const TICK: i64 = 30;

/// What a grant asks for, besides its binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    pub start: Tick,
    pub lasts: Tick,
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    pub now: Tick,
    pub ask: Ask,
    pub grant: Grant,
    pub may_create: bool,
    pub allowed: bool,
    pub tried: Option<(Goal, Progress)>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub steps: Vec<Step>,
    pub record: Record,
    pub wake: Due,
    /// Whether its end came more than 2 s ago.
    pub late: bool,
    pub finished: bool,
}

thread_local! {
    static KNOWN: RefCell<HashMap<Question, Answer>> = RefCell::default();
}

/// What the real [`decide`] says.
pub fn decided(question: Question) -> Answer {
    KNOWN.with_borrow_mut(|known| known.entry(question).or_insert_with(|| ask(&question)).clone())
}

/// What the real [`binding::next`] says.
pub fn next(case: &Case, state: BindingState, may_create: bool) -> Move {
    let sight = match case.sight {
        Sight::NotLooked => Seen::NotLooked,
        Sight::Unknown => Seen::Unknown,
        Sight::There { uid, going, deletable } => {
            Seen::There(Object { uid: uid.to_string(), ours: true, terminating: going, deletable })
        }
        Sight::None(None) => Seen::None(Equal::NotLooked),
        Sight::None(Some(false)) => Seen::None(Equal::None),
        Sight::None(Some(true)) => Seen::None(Equal::Foreign("c-1/crtb-x".into())),
    };
    let world = BindingWorld {
        sight,
        beside: case.beside,
        holders: case.holders,
        may_create,
        may_land_late: case.may_land_late,
        taken_by_co_holder: case.taken,
        created: case.created,
    };
    binding::next(case.goal, state, &world)
}

fn ask(question: &Question) -> Answer {
    let view = expand(&question.grant, question.ask);
    let (answer, decision) = ask_of(question, &view);
    let expanded = expand(&Grant { record: answer.record, ..question.grant }, question.ask);
    assert_eq!(compress(&expanded.status), answer.record, "a status does not survive: {:?}", decision.status);
    // Decided on the status itself and on what is kept of it: the same follows.
    let then = GrantView { status: decision.status, ..view };
    assert_eq!(ask_of(question, &then).0, ask_of(question, &expanded).0, "something that counts was lost of {then:?}");
    answer
}

fn ask_of(question: &Question, view: &GrantView) -> (Answer, Decision) {
    let now = time(question.now, 250);
    let request =
        if question.allowed { Judged::Allowed(Box::new(terms(question.ask.lasts))) } else { Judged::NotAsked };
    let tried = question.tried.map(|(goal, progress)| Tried { goal, progress: vec![got(progress)] });
    let world = Observed { request, tried, ..Observed::nothing(question.may_create) };
    let decision = decide(now, view, &world, &Limits::default());
    let then = GrantView { status: decision.status.clone(), ..view.clone() };
    let answer = Answer {
        steps: decision.steps.clone(),
        record: compress(&decision.status),
        wake: match decision.wake {
            Wake::OnChange => Due::Change,
            Wake::At(at) if at <= now => Due::Now,
            Wake::At(at) => Due::At(tick_after(at)),
        },
        late: then.is_late(now),
        finished: then.is_finished(),
    };
    (answer, decision)
}

fn got(progress: Progress) -> Got {
    match progress {
        Progress::Done => Got::Done,
        Progress::Waiting => {
            Got::Waiting { because: Because::new("Waiting", "It waits."), retry: SignedDuration::from_secs(5) }
        }
        Progress::Removed => Got::RemovedInRancher("It was removed.".into()),
        Progress::Refused => Got::Refused("Rancher refused it.".into()),
    }
}

fn time(tick: Tick, millis: i64) -> Timestamp {
    Timestamp::from_millisecond((BEGIN + i64::from(tick) * TICK) * 1000 + millis).expect("it is near")
}

fn tick(time: Timestamp) -> Tick {
    Tick::try_from((time.as_second() - BEGIN) / TICK).expect("it is near")
}

/// The first tick at which that time has come. Days ahead is as far as ever.
fn tick_after(at: Timestamp) -> Tick {
    Tick::try_from((at.as_second() - BEGIN + TICK - 1) / TICK).unwrap_or(Tick::MAX)
}

fn expand(grant: &Grant, ask: Ask) -> GrantView {
    let Record { phase, bound, expires, end, granted, revoked } = grant.record;
    let stamp = |tick: Tick| Time(time(tick, 0));
    let status = AccessGrantStatus {
        identity: Some(IdentityProof::Proven),
        phase,
        bindings: bound.map(binding).into_iter().collect(),
        expires_time: expires.map(stamp),
        end: end.map(|(reason, at)| End { reason, time: stamp(at) }),
        granted_time: granted.then(|| stamp(0)),
        revoked_time: revoked.map(stamp),
        ..AccessGrantStatus::default()
    };
    GrantView {
        key: GrantKey { namespace: "web".into(), name: "grant".into() },
        uid: "grant".into(),
        generation: Some(1),
        created: time(0, 0),
        deleted: grant.deleted.map(|at| time(at, 0)),
        finalizer: grant.finalizer,
        start_time: (ask.start > 0).then(|| time(ask.start, 0)),
        end_time: None,
        extends: None,
        local_user: None,
        requester: String::new(),
        dry_run: false,
        abandoned: false,
        summary: Summary::default(),
        status,
    }
}

fn compress(status: &AccessGrantStatus) -> Record {
    Record {
        phase: status.phase,
        bound: status.bindings.first().map(|b| Bound {
            state: b.state,
            uid: b.uid.as_ref().map(|uid| uid.parse().expect("the model made it")),
            since: tick(b.since.0),
        }),
        expires: status.expires_time.as_ref().map(|t| tick(t.0)),
        end: status.end.as_ref().map(|end| (end.reason, tick(end.time.0))),
        granted: status.granted_time.is_some(),
        revoked: status.revoked_time.as_ref().map(|t| tick(t.0)),
    }
}

fn binding(bound: Bound) -> BindingRecord {
    BindingRecord {
        kind: BindingKind::ClusterRoleTemplateBinding,
        cluster: "c-1".into(),
        project: None,
        namespace: "c-1".into(),
        name: "rao-1".into(),
        uid: bound.uid.map(|uid| uid.to_string()),
        subject: "user:u-1".into(),
        subject_uid: None,
        role: "cluster-member".into(),
        reaches_clusters: false,
        state: bound.state,
        since: Time(time(bound.since, 0)),
        touch_pending: false,
        unverified: false,
        lacked_finalizers: false,
        residual: None,
    }
}

fn terms(lasts: Tick) -> Terms {
    Terms {
        policy: PolicyRecord {
            name: "web".into(),
            uid: "policy".into(),
            generation: 1,
            on_policy_change: OnPolicyChange::Keep,
        },
        required_by: Vec::new(),
        approval: Approval {
            sets: Vec::new(),
            timeout: SignedDuration::from_hours(1),
            self_approval: false,
            contact: None,
        },
        digest: "digest".into(),
        resolved: Vec::new(),
        continuous_since: None,
        duration: SignedDuration::from_secs(i64::from(lasts) * TICK),
        rancher: RancherStatus { version: None, install_uuid: Some("install".into()), rbac_model: None },
        bindings: vec![binding(Bound { state: BindingState::Intended, uid: None, since: 0 })],
        details: AccessDetails { instructions: None, targets: Vec::new(), credentials: None },
    }
}
