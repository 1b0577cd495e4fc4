//! Whole lives: two grants that share a binding, the second of which may extend the first, driven by the real [`decide`](crate::grant::decide) and
//! [`next`](crate::grant::binding::next) on a toy Rancher, with crashes, lost answers, lost writes, creates that land
//! late, and people who interfere.
//!
//! - `pass`: one pass over a grant, step by step, as the operator goes through it.
//! - `settle`: one binding, move by move, under its lock.

mod pass;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*};

use self::pass::Pass;
use super::toy::Rancher;
use crate::{
    api::{
        AccessGrantStatus,
        integration::RancherStatus,
        policy::OnPolicyChange,
        status::{AccessDetails, BindingKind, BindingRecord, BindingState, EndReason, IdentityProof, PolicyRecord},
    },
    grant::{Extended, GrantKey, GrantView, Seen, Terms, Wake, record::whole_seconds, view::Summary},
};

/// How long after it was sent, or after this process took over, a create may still land, in seconds.
const LATE_CREATE: u64 = 90;

/// When it begins: 2026-06-01T00:00:00Z.
const BEGIN: i64 = 1_780_272_000;

/// What both grants call for, and what only the first does.
const SHARED: &str = "rao-shared";
const OWN: &str = "rao-own";

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// A grant gets its turn.
    Work(usize),
    /// Time passes, in seconds.
    Pass(u64),
    /// Our clock is set back, in seconds.
    Back(i64),
    /// The process ends and is started again.
    Crash,
    /// The lease is lost or taken.
    Lead(bool),
    /// Rancher goes or comes.
    Up(bool),
    /// The user deletes his grant.
    Delete(usize),
    /// The user moves its end to in so many seconds.
    EndEarlier(usize, i64),
    /// Somebody removes, forges, or makes an equal of a binding.
    Remove(bool),
    Forge(bool),
    Equal(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        30 => (0..2_usize).prop_map(Event::Work),
        10 => (1..40_u64).prop_map(Event::Pass),
        1 => (1..100_i64).prop_map(Event::Back),
        2 => Just(Event::Crash),
        1 => any::<bool>().prop_map(Event::Lead),
        2 => any::<bool>().prop_map(Event::Up),
        1 => (0..2_usize).prop_map(Event::Delete),
        1 => (0..2_usize, 0..200_i64).prop_map(|(grant, seconds)| Event::EndEarlier(grant, seconds)),
        1 => any::<bool>().prop_map(Event::Remove),
        1 => any::<bool>().prop_map(Event::Forge),
        1 => any::<bool>().prop_map(Event::Equal),
    ]
}

/// A grant as the API server has it.
struct Stored {
    view: GrantView,
    version: u64,
    gone: bool,
}

/// What a process remembers; a crash takes it.
#[derive(Default)]
struct Memory {
    passes: BTreeMap<usize, Pass>,
    /// When a create of that binding was last sent that got no answer.
    unanswered: BTreeMap<String, u64>,
    /// Not remembered, but true: which creates were on their way when this process began.
    forgotten: BTreeSet<String>,
    /// Who took a binding under its lock, before that was written.
    held: BTreeSet<(usize, String)>,
    /// Who gave a binding up under its lock, before that was written.
    released: BTreeSet<(usize, String)>,
    since: u64,
}

struct Life {
    rancher: Rancher,
    stored: Vec<Stored>,
    memory: Memory,
    leads: bool,
    /// What our clock was set back by, in seconds.
    back: i64,
    /// What the sweep takes. Bindings that were seen while a create of an earlier process was still on its way, which
    /// this one knows nothing of; and those left to somebody else meanwhile, which are never looked at again.
    for_the_sweep: BTreeSet<String>,
}

/// The process ended.
struct Crashed;

fn record(name: &str) -> BindingRecord {
    BindingRecord {
        kind: BindingKind::ClusterRoleTemplateBinding,
        cluster: "c-1".into(),
        project: None,
        namespace: "c-1".into(),
        name: name.into(),
        uid: None,
        subject: "user:u-1".into(),
        subject_uid: None,
        role: "cluster-member".into(),
        reaches_clusters: false,
        state: BindingState::Intended,
        since: Timestamp::UNIX_EPOCH.into(),
        touch_pending: false,
        unverified: false,
        lacked_finalizers: false,
        residual: None,
    }
}

fn terms(index: usize, duration: i64) -> Terms {
    let names: &[&str] = if index == 0 { &[SHARED, OWN] } else { &[SHARED] };
    Terms {
        policy: PolicyRecord {
            name: "web".into(),
            uid: "policy".into(),
            generation: 1,
            on_policy_change: OnPolicyChange::Keep,
        },
        required_by: Vec::new(),
        approval: super::arbitrary::approval(0, SignedDuration::from_hours(1)),
        digest: "digest".into(),
        resolved: Vec::new(),
        continuous_since: None,
        duration: SignedDuration::from_secs(duration),
        rancher: RancherStatus { version: None, install_uuid: Some("install".into()), rbac_model: None },
        bindings: names.iter().copied().map(record).collect(),
        details: AccessDetails { instructions: None, targets: Vec::new(), credentials: None },
    }
}

fn fresh(index: usize) -> Stored {
    let view = GrantView {
        key: GrantKey { namespace: "web".into(), name: format!("grant-{index}") },
        uid: format!("grant-{index}"),
        generation: Some(1),
        created: Timestamp::from_second(BEGIN).unwrap(),
        deleted: None,
        finalizer: false,
        start_time: None,
        end_time: None,
        extends: None,
        local_user: None,
        requester: String::new(),
        dry_run: false,
        abandoned: false,
        summary: Summary::default(),
        status: AccessGrantStatus { identity: Some(IdentityProof::Proven), ..AccessGrantStatus::default() },
    };
    Stored { view, version: 1, gone: false }
}

impl Life {
    fn new(seed: u64, extends: bool) -> Self {
        let (rancher, mut stored) = (Rancher::new(seed), vec![fresh(0), fresh(1)]);
        if extends {
            stored[1].view.extends = Some(stored[0].view.key.name.clone());
        }
        Self { rancher, stored, memory: Memory::default(), leads: true, back: 0, for_the_sweep: BTreeSet::new() }
    }

    /// What the grant that this one extends looks like, to whoever asks now.
    fn extended(&self, index: usize) -> Extended {
        let other = &self.stored[1 - index];
        match &self.stored[index].view.extends {
            None => Extended::NotLooked,
            Some(_) if other.gone => Extended::Missing,
            Some(_) => Extended::Seen(Box::new(Seen { grant: other.view.clone(), differs: None })),
        }
    }

    fn now(&self) -> Timestamp {
        let seconds = i64::try_from(self.rancher.time).unwrap();
        // Between two seconds, as clocks are.
        Timestamp::from_millisecond((BEGIN + seconds - self.back) * 1000 + 250).unwrap()
    }

    fn happen(&mut self, event: &Event, durations: [i64; 2]) {
        let name = |own: bool| if own { OWN } else { SHARED };
        match event {
            Event::Work(grant) => {
                self.work(*grant, durations);
            }
            Event::Pass(seconds) => self.rancher.pass(*seconds),
            Event::Back(seconds) => self.back += seconds,
            Event::Crash => self.crash(),
            Event::Lead(leads) => {
                // Whoever takes the lease knows nothing of what the last one sent.
                self.crash();
                self.leads = *leads;
            }
            Event::Up(up) => self.rancher.up = *up,
            Event::Delete(grant) => self.delete(*grant),
            Event::EndEarlier(grant, seconds) => {
                let end = self.now().checked_add(SignedDuration::from_secs(*seconds)).unwrap();
                let stored = &mut self.stored[*grant];
                stored.view.end_time = Some(stored.view.end_time.map_or(end, |held| held.min(end)));
                stored.version += 1;
            }
            Event::Remove(own) => self.rancher.remove(name(*own)),
            Event::Forge(own) => self.rancher.forge(name(*own)),
            Event::Equal(own) => {
                // Made, or taken back.
                if !self.rancher.foreign.remove(name(*own)) {
                    self.rancher.foreign.insert(name(*own).to_owned());
                }
            }
        }
    }

    fn delete(&mut self, grant: usize) {
        let now = whole_seconds(self.now());
        let stored = &mut self.stored[grant];
        stored.view.deleted.get_or_insert(now);
        stored.version += 1;
        stored.gone |= !stored.view.finalizer;
    }

    fn crash(&mut self) {
        let on_their_way = [SHARED, OWN].into_iter().filter(|name| self.rancher.may_land(name));
        let forgotten: BTreeSet<_> = on_their_way.map(str::to_owned).collect();
        let seen = |b: &&BindingRecord| b.state == BindingState::Present && forgotten.contains(&b.name);
        let all = self.stored.iter().flat_map(|stored| &stored.view.status.bindings);
        self.for_the_sweep.extend(all.filter(seen).map(|b| b.name.clone()));
        self.memory = Memory { since: self.rancher.time, forgotten, ..Memory::default() };
    }

    /// From here on nothing goes wrong any more, and nobody but the operator does anything. Every grant is looked at when
    /// its decision says so, and at no other time.
    fn calm(&mut self, durations: [i64; 2]) {
        (self.rancher.troubled, self.rancher.up, self.leads) = (false, true, true);
        self.memory.passes.clear();
        // What was forged was said in the status, and somebody removed it.
        self.rancher.bindings.retain(|_, bound| bound.ours);
        let mut wakes = [Some(Wake::At(self.now())); 2];
        let over = self.rancher.time + 10_000;
        while self.rancher.time < over {
            let due = |wake: &Option<Wake>| match wake {
                Some(Wake::At(at)) => Some(*at),
                _ => None,
            };
            let Some(first) = wakes.iter().filter_map(due).min() else { break };
            let ahead = first.duration_since(self.now()).as_millis().max(0);
            self.rancher.pass(u64::try_from(ahead).unwrap().div_ceil(1000));
            for (index, wake) in wakes.iter_mut().enumerate() {
                if due(wake).is_some_and(|at| at <= self.now()) {
                    *wake = self.pass_to_its_end(index, durations);
                }
            }
        }
        assert!(self.rancher.time < over, "it never comes to rest");
    }

    fn pass_to_its_end(&mut self, index: usize, durations: [i64; 2]) -> Option<Wake> {
        for _ in 0..40 {
            if let Some(wake) = self.work(index, durations) {
                return Some(wake);
            }
            if self.stored[index].gone {
                return None;
            }
        }
        panic!("a pass without an end: {:?}", self.stored[index].view);
    }

    /// What is ours, is nobody's, and is not the sweep's part.
    fn nobodys(&self) -> Vec<&String> {
        self.rancher
            .bindings
            .iter()
            .filter(|(_, bound)| bound.ours && bound.gone_at.is_none())
            .filter(|(name, _)| !self.for_the_sweep.contains(*name))
            .map(|(name, _)| name)
            .collect()
    }
}

fn durations() -> impl Strategy<Value = [i64; 2]> {
    [20..400_i64, 20..400_i64]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_life_ends_and_leaves_nothing(
        seed: u64, extends: bool, events in vec(event(), 0..160), durations in durations(),
    ) {
        let mut life = Life::new(seed, extends);
        for event in &events {
            life.happen(event, durations);
        }
        // Who is in force when all works again, and goes on from one that ended early, is looked at in time.
        let lives = life.stored[1].view.ended(life.now()).is_none();
        life.calm(durations);
        for stored in life.stored.iter().filter(|stored| !stored.gone) {
            prop_assert!(stored.view.is_finished(), "not finished: {:?}", stored.view.status);
        }
        let (first, second) = (&life.stored[0], &life.stored[1].view.status);
        if let (Some(planned), Some(end)) = (&second.extends, second.end.as_ref().filter(|_| lives && !life.stored[1].gone)) {
            // Whoever went on from another ran beyond that one's planned end only if it came.
            let beyond = end.time.0 > planned.end_time.0;
            let early = first.view.status.end.as_ref().is_some_and(|end| end.time.0 < planned.end_time.0);
            prop_assert!(!(beyond && early && end.reason == EndReason::Expired), "{second:?} after {:?}", first.view.status);
        }
        life.rancher.pass(LATE_CREATE);
        let nobodys = life.nobodys();
        prop_assert!(nobodys.is_empty(), "left behind: {nobodys:?}, {:?}", life.stored.iter().map(|s| &s.view.status.bindings).collect::<Vec<_>>());
    }
}
