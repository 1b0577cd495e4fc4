//! The AccessDecisions that were not answered yet, by the grant that they are about.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::watch::Change;
use crate::{api::AccessDecision, grant::GrantKey};

/// How many grants that are not there are asked for at once, on behalf of those who decided about them.
const ASTRAY: usize = 4;

/// All decisions that wait for an answer. Cheap to clone; clones share.
#[derive(Clone, Debug)]
pub struct Decisions(Arc<Mutex<Inner>>, Arc<Semaphore>);

impl Default for Decisions {
    fn default() -> Self {
        Self(Arc::default(), Arc::new(Semaphore::new(ASTRAY)))
    }
}

#[derive(Debug, Default)]
struct Inner {
    by_grant: HashMap<GrantKey, BTreeMap<String, Arc<AccessDecision>>>,
    /// The grant that each is about, by namespace and name.
    grant_of: HashMap<(String, String), GrantKey>,
    /// Whether all of them have been told once.
    listed: bool,
}

impl Decisions {
    /// Takes in what a watch said; the grants that have something to decide.
    pub fn take(&self, change: Change<AccessDecision>) -> Vec<GrantKey> {
        let mut inner = self.inner();
        match change {
            Change::InList { news: false, .. } => Vec::new(),
            Change::Seen(decision) | Change::InList { object: decision, .. } => {
                inner.seen(*decision).into_iter().collect()
            }
            Change::Gone { namespace, name, .. } => {
                inner.forget(&(namespace, name));
                Vec::new()
            }
            Change::Listed(there) => {
                inner.listed = true;
                let there: std::collections::HashSet<_> = there.into_iter().collect();
                let gone: Vec<_> = inner.grant_of.keys().filter(|at| !there.contains(*at)).cloned().collect();
                for at in gone {
                    inner.forget(&at);
                }
                // What waited for these to be known goes on.
                inner.by_grant.keys().cloned().collect()
            }
        }
    }

    /// Those about that grant.
    pub fn about(&self, grant: &GrantKey) -> Vec<Arc<AccessDecision>> {
        self.inner().by_grant.get(grant).map(|found| found.values().cloned().collect()).unwrap_or_default()
    }

    /// Whether all of them have been told once: until then somebody may have denied what seems to be allowed.
    pub fn is_listed(&self) -> bool {
        self.inner().listed
    }

    /// The grants that have something to decide.
    pub fn grants(&self) -> Vec<GrantKey> {
        self.inner().by_grant.keys().cloned().collect()
    }

    /// A place to look for a grant that is not there.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.1.clone().acquire_owned().await.ok()
    }

    /// One was answered.
    pub fn answered(&self, namespace: &str, name: &str) {
        self.inner().forget(&(namespace.to_owned(), name.to_owned()));
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn seen(&mut self, mut decision: AccessDecision) -> Option<GrantKey> {
        decision.metadata.managed_fields = None;
        let at = (decision.namespace().unwrap_or_default(), decision.name_any());
        self.forget(&at);
        if decision.status.as_ref().is_some_and(|status| status.counted.is_some()) {
            return None;
        }
        let grant = GrantKey { namespace: at.0.clone(), name: decision.spec.grant_ref.name.clone() };
        self.by_grant.entry(grant.clone()).or_default().insert(at.1.clone(), Arc::new(decision));
        self.grant_of.insert(at, grant.clone());
        Some(grant)
    }

    fn forget(&mut self, at: &(String, String)) {
        let Some(grant) = self.grant_of.remove(at) else { return };
        if let Some(about) = self.by_grant.get_mut(&grant) {
            about.remove(&at.1);
            if about.is_empty() {
                self.by_grant.remove(&grant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn decision(name: &str, grant: &str, status: Value) -> Change<AccessDecision> {
        let object = json!({
            "apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessDecision",
            "metadata": {"namespace": "web", "name": name, "uid": format!("uid-{name}")},
            "spec": {"grantRef": {"name": grant}, "decision": "Approve", "decidedBy": {"username": "bob"}},
            "status": status,
        });
        Change::Seen(Box::new(serde_json::from_value(object).unwrap()))
    }

    #[test]
    fn what_was_answered_or_is_gone_waits_no_longer() {
        let decisions = Decisions::default();
        let grant = GrantKey { namespace: "web".into(), name: "g".into() };
        assert_eq!(decisions.take(decision("a", "g", json!({}))), std::slice::from_ref(&grant));
        assert_eq!(decisions.take(decision("b", "g", json!({}))), std::slice::from_ref(&grant));
        assert_eq!(decisions.about(&grant).len(), 2);
        assert!(decisions.take(decision("a", "g", json!({"counted": false}))).is_empty());
        assert_eq!(decisions.about(&grant).len(), 1);
        decisions.take(Change::Listed(Vec::new()));
        assert!(decisions.about(&grant).is_empty() && decisions.grants().is_empty());
    }
}
