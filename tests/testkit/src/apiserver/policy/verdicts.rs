//! What policies said, kept: the same policy over what reads the same to it says the same again.
//!
//! A run asks the same of the same policies again and again, and most of what it asks about is new in nothing but its UID and
//! its time. So an answer is kept by the policy itself and by all that its expressions read of the request. An answer for which
//! somebody's rights were asked is not kept: those may change by themselves.
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde_json::Value;

use super::{
    Expressions, Refusal, Variables, check,
    reads::{self, Read},
};

/// How many answers are kept of one policy, and of how many policies: more would only take memory.
const MOST: (usize, usize) = (4096, 64);

/// What policies said.
#[derive(Default)]
pub(in crate::apiserver) struct Verdicts(HashMap<usize, Judge>);

struct Judge {
    /// Kept, so that nothing else can come to lie at its address: by that it is found. What is stored never changes.
    policy: Arc<Value>,
    /// What it reads; `None` where it cannot be read itself.
    reads: Option<Vec<Read>>,
    said: HashMap<String, Option<Refusal>>,
}

impl Judge {
    fn new(policy: &Arc<Value>, expressions: &mut Expressions) -> Self {
        let mut found = BTreeSet::new();
        let mut collect = |source: &str| expressions.read(source).map(|read| reads::collect(&read, &mut found));
        let all = check::expressions(policy).into_iter().try_for_each(|(_, source)| collect(source));
        let reads = all.ok().map(|()| found.into_iter().collect());
        Self { policy: Arc::clone(policy), reads, said: HashMap::new() }
    }

    fn key(&self, variables: &Variables<'_>) -> Option<String> {
        let seen = self.reads.as_ref()?.iter().filter_map(|read| {
            let name = read.path.first()?;
            let (_, root) = variables.iter().find(|(known, _)| known == name)?;
            Some(reads::find(root, read))
        });
        serde_json::to_string(&seen.collect::<Vec<_>>()).ok()
    }
}

impl Verdicts {
    /// Under what an answer of this policy over these variables is kept; `None` if none can be.
    pub(super) fn key(
        &mut self,
        policy: &Arc<Value>,
        variables: &Variables<'_>,
        expressions: &mut Expressions,
    ) -> Option<String> {
        if self.0.len() > MOST.1 {
            self.0.clear();
        }
        let address = Arc::as_ptr(policy).addr();
        self.0.entry(address).or_insert_with(|| Judge::new(policy, expressions)).key(variables)
    }

    /// What it said.
    pub(super) fn said(&self, policy: &Arc<Value>, key: &str) -> Option<Option<Refusal>> {
        self.0.get(&Arc::as_ptr(policy).addr())?.said.get(key).cloned()
    }

    /// Keeps what it said.
    pub(super) fn keep(&mut self, policy: &Arc<Value>, key: String, verdict: Option<Refusal>) {
        let Some(judge) = self.0.get_mut(&Arc::as_ptr(policy).addr()) else { return };
        if judge.said.len() > MOST.0 {
            judge.said.clear();
        }
        debug_assert!(Arc::ptr_eq(&judge.policy, policy), "two policies at one address");
        judge.said.insert(key, verdict);
    }
}
