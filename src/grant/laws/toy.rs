//! A toy Rancher: bindings by name, with finalizers that come late, deletes that take their time, answers that get lost
//! and creates that land when nobody waits for them any more.

use std::collections::{BTreeMap, BTreeSet};

/// How late a create may still land, in seconds: less than what the operator waits for.
const LATEST: u64 = 60;

/// How long Rancher takes to put its finalizers on, and how old a binding without them is deleted none the less.
const FINALIZERS_AFTER: u64 = 1;
pub(super) const WITHOUT_FINALIZERS_AFTER: u64 = 30;

/// A source of faults: the same seed gives the same ones.
pub(super) struct Dice(pub u64);

impl Dice {
    /// A number below `n`.
    pub(super) fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

/// A binding as Rancher has it.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub uid: String,
    pub ours: bool,
    pub created: u64,
    pub finalizers: bool,
    /// When it will be gone, once it is being deleted.
    pub gone_at: Option<u64>,
}

/// What a call came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Is(T),
    /// No clear answer: it may have been done, or not, or be done later.
    Lost,
    /// The process ended before the answer came.
    Crash,
}

/// What a create came to, where it was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Created {
    Made,
    Exists,
    Refused,
}

pub(super) struct Rancher {
    /// Seconds since the start; it never goes back.
    pub time: u64,
    pub up: bool,
    /// Whether calls may fail, creates be refused and processes end: until all is calm.
    pub troubled: bool,
    pub bindings: BTreeMap<String, Bound>,
    /// Names whose access somebody else's binding gives.
    pub foreign: BTreeSet<String>,
    late: Vec<(u64, String)>,
    uids: u64,
    pub dice: Dice,
}

impl Rancher {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            time: 0,
            up: true,
            troubled: true,
            bindings: BTreeMap::new(),
            foreign: BTreeSet::new(),
            late: Vec::new(),
            uids: 0,
            dice: Dice(seed),
        }
    }

    /// Time goes by: what was to land lands, finalizers come, what is being deleted goes.
    pub(super) fn pass(&mut self, seconds: u64) {
        self.time += seconds;
        let (landing, late) = std::mem::take(&mut self.late).into_iter().partition(|(at, _)| *at <= self.time);
        self.late = late;
        let landing: Vec<(u64, String)> = landing;
        for (_, name) in landing {
            self.land(&name, true);
        }
        let time = self.time;
        for bound in self.bindings.values_mut() {
            bound.finalizers |= bound.gone_at.is_none() && time >= bound.created + FINALIZERS_AFTER;
        }
        self.bindings.retain(|_, bound| bound.gone_at.is_none_or(|at| at > time));
    }

    /// Whether a create of that name may still land.
    pub(super) fn may_land(&self, name: &str) -> bool {
        self.late.iter().any(|(_, late)| late == name)
    }

    fn land(&mut self, name: &str, ours: bool) -> bool {
        if self.bindings.contains_key(name) {
            return false;
        }
        self.uids += 1;
        let uid = format!("uid-{}", self.uids);
        let bound = Bound { uid, ours, created: self.time, finalizers: false, gone_at: None };
        self.bindings.insert(name.to_owned(), bound);
        true
    }

    /// What comes of the next call, before it is done.
    fn weather<T>(&mut self) -> Option<Answer<T>> {
        if !self.up {
            return Some(Answer::Lost);
        }
        match self.dice.roll(if self.troubled { 24 } else { u64::MAX }) {
            0 if self.troubled => Some(Answer::Crash),
            1..=3 if self.troubled => Some(Answer::Lost),
            _ => None,
        }
    }

    pub(super) fn get(&mut self, name: &str) -> Answer<Option<Bound>> {
        self.weather().unwrap_or_else(|| Answer::Is(self.bindings.get(name).cloned()))
    }

    pub(super) fn create(&mut self, name: &str) -> Answer<Created> {
        if let Some(trouble) = self.weather() {
            match self.dice.roll(3) {
                0 => {}
                1 if self.up => {
                    self.land(name, true);
                }
                _ => {
                    let at = self.time + 1 + self.dice.roll(LATEST - 1);
                    self.late.push((at, name.to_owned()));
                }
            }
            return trouble;
        }
        if self.troubled && self.dice.roll(12) == 0 {
            return Answer::Is(Created::Refused);
        }
        Answer::Is(if self.land(name, true) { Created::Made } else { Created::Exists })
    }

    /// Deletes the object with that UID. Says whether it was that one.
    pub(super) fn delete(&mut self, name: &str, uid: &str) -> Answer<bool> {
        let trouble = self.weather();
        if trouble.is_some() && (!self.up || self.dice.roll(2) == 0) {
            return trouble.unwrap_or(Answer::Lost);
        }
        let takes = self.dice.roll(20);
        let time = self.time;
        let mut was_it = false;
        if let Some(bound) = self.bindings.get_mut(name).filter(|bound| bound.uid == uid) {
            was_it = true;
            assert!(bound.ours, "a delete of what is not ours: {name}");
            let old = time >= bound.created + WITHOUT_FINALIZERS_AFTER;
            assert!(bound.finalizers || old, "{name} was deleted before Rancher could clean up after it");
            bound.gone_at = bound.gone_at.or(Some(time + takes));
        }
        self.pass(0);
        trouble.unwrap_or(Answer::Is(was_it))
    }

    /// Somebody removes a binding by hand.
    pub(super) fn remove(&mut self, name: &str) {
        self.bindings.remove(name);
    }

    /// Somebody forges a binding under a name of ours.
    pub(super) fn forge(&mut self, name: &str) {
        self.land(name, false);
    }
}
