//! Somebody who looks at Rancher all the time.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use testkit::rancher::Rancher;
use tokio::task::AbortHandle;

use crate::kinds::now;

/// How often it looks.
const GLANCE: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Seen {
    /// The bindings of ours that are there, and when those that were are gone.
    gone: BTreeMap<String, Option<Timestamp>>,
    broke: Vec<String>,
}

/// What it has seen; it stops looking when this is dropped.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    looking: AbortHandle,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Witness {
    pub(crate) fn of(rancher: &Rancher) -> Self {
        let (seen, rancher) = (Arc::new(Mutex::new(Seen::default())), rancher.clone());
        let tell = seen.clone();
        let looking = tokio::spawn(async move {
            loop {
                lock(&tell).look(&ours(&rancher));
                tokio::time::sleep(GLANCE).await;
            }
        });
        Self { seen, looking: looking.abort_handle() }
    }

    /// When a binding that was there was first seen to be gone.
    pub(crate) fn gone(&self, binding: &str) -> Option<Timestamp> {
        lock(&self.seen).gone.get(binding).copied().flatten()
    }

    /// What was seen that may never be.
    pub(crate) fn broke(&self) -> Vec<String> {
        lock(&self.seen).broke.clone()
    }
}

impl Seen {
    fn look(&mut self, ours: &[Value]) {
        let mut subjects: Vec<_> = ours.iter().map(|one| one["userName"].to_string()).collect();
        subjects.sort();
        if let Some(two) = subjects.windows(2).find(|two| two[0] == two[1]) {
            self.broke.push(format!("{} has two bindings of ours at once: {ours:#?}", two[0]));
        }
        let there: Vec<_> = ours.iter().map(name).collect();
        for (known, gone) in &mut self.gone {
            if gone.is_none() && !there.contains(known) {
                *gone = Some(now());
            }
        }
        for name in there {
            self.gone.insert(name, None);
        }
    }
}

/// The bindings that are ours, which their names say.
pub(crate) fn ours(rancher: &Rancher) -> Vec<Value> {
    rancher.bindings().into_iter().filter(|one| name(one).starts_with("rao-")).collect()
}

pub(crate) fn name(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
