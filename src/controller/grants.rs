//! Every grant that this process knows, by name and by binding.
//!
//! Fed by the watch and by the operator's own writes: what was written last counts at once, however late the watch
//! echoes it. While the API server is away this is the memory that revoking works from.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, HashMap},
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

use kube::ResourceExt;
use tokio::time::Instant;

use crate::{
    api::AccessGrant,
    grant::{GrantKey, GrantView, view::is_finished},
};

/// All known grants. Cheap to clone; clones share.
#[derive(Clone, Debug, Default)]
pub struct Grants(Arc<RwLock<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    grants: HashMap<GrantKey, Arc<AccessGrant>>,
    /// Since when each is known as it is.
    known_since: HashMap<GrantKey, Instant>,
    by_binding: HashMap<String, BTreeSet<GrantKey>>,
    /// By the grant that they extend.
    by_extended: HashMap<GrantKey, BTreeSet<GrantKey>>,
    /// Those that count under a policy, by its name.
    by_policy: HashMap<String, BTreeSet<GrantKey>>,
}

impl Grants {
    /// Takes in what a watch or a write said, unless something newer is known. Says whether anything changed.
    pub fn observe(&self, mut grant: AccessGrant) -> bool {
        grant.metadata.managed_fields = None;
        let key = key_of(&grant);
        if grant.metadata.deletion_timestamp.is_some() && grant.finalizers().is_empty() {
            // Whoever took the last finalizer off is told of it, but the object is gone.
            return self.remove(&key, grant.metadata.uid.as_deref()).is_some();
        }
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = inner.grants.get(&key) {
            let same = known.uid() == grant.uid();
            if same && version(known) >= version(&grant) && version(&grant).is_some() {
                return false;
            }
        }
        inner.forget(&key);
        for binding in grant.status.iter().flat_map(|s| &s.bindings) {
            inner.by_binding.entry(binding.name.clone()).or_default().insert(key.clone());
        }
        if let Some(extended) = extended_by(&grant) {
            inner.by_extended.entry(extended).or_default().insert(key.clone());
        }
        for policy in counts_under(&grant) {
            inner.by_policy.entry(policy.to_owned()).or_default().insert(key.clone());
        }
        inner.known_since.insert(key.clone(), Instant::now());
        inner.grants.insert(key, Arc::new(grant));
        true
    }

    /// Forgets a grant of which the API server, in a list that began then, has an older version than was known before: it was
    /// put back to a backup. Says whether that is so.
    pub fn forget_what_was_undone(&self, listed: &AccessGrant, began: Instant) -> bool {
        let key = key_of(listed);
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known =
            inner.grants.get(&key).filter(|known| version(listed) < version(known) && version(listed).is_some());
        let undone = known.is_some() && inner.known_since.get(&key).is_some_and(|since| *since < began);
        if undone {
            inner.forget(&key);
        }
        undone
    }

    /// Forgets a grant that is gone; an object of that name with another UID stays.
    pub fn remove(&self, key: &GrantKey, uid: Option<&str>) -> Option<Arc<AccessGrant>> {
        let mut inner = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = inner.grants.get(key)?;
        if uid.is_some_and(|uid| known.metadata.uid.as_deref() != Some(uid)) {
            return None;
        }
        inner.forget(key)
    }

    /// The grant of that name.
    pub fn get(&self, key: &GrantKey) -> Option<Arc<AccessGrant>> {
        self.read().grants.get(key).cloned()
    }

    /// All grants, in no order.
    pub fn all(&self) -> Vec<Arc<AccessGrant>> {
        self.read().grants.values().cloned().collect()
    }

    /// All grants of an integration, in no order.
    pub fn of_integration(&self, integration: &str) -> Vec<Arc<AccessGrant>> {
        self.read().grants.values().filter(|g| g.spec.integration_ref.name == integration).cloned().collect()
    }

    /// The grants whose record names that binding.
    pub fn naming(&self, binding: &str) -> Vec<Arc<AccessGrant>> {
        let inner = self.read();
        inner.by_binding.get(binding).into_iter().flatten().filter_map(|key| inner.grants.get(key).cloned()).collect()
    }

    /// The grants that extend that one.
    pub fn extending(&self, key: &GrantKey) -> Vec<Arc<AccessGrant>> {
        let inner = self.read();
        inner.by_extended.get(key).into_iter().flatten().filter_map(|key| inner.grants.get(key).cloned()).collect()
    }

    /// The grants that count under the policy of that name: allowed by it, and not finished.
    pub fn counted_under(&self, policy: &str) -> Vec<Arc<AccessGrant>> {
        let inner = self.read();
        inner.by_policy.get(policy).into_iter().flatten().filter_map(|key| inner.grants.get(key).cloned()).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget(&mut self, key: &GrantKey) -> Option<Arc<AccessGrant>> {
        let old = self.grants.remove(key)?;
        self.known_since.remove(key);
        for binding in old.status.iter().flat_map(|s| &s.bindings) {
            take_out(&mut self.by_binding, &binding.name, key);
        }
        if let Some(extended) = extended_by(&old) {
            take_out(&mut self.by_extended, &extended, key);
        }
        for policy in counts_under(&old) {
            take_out(&mut self.by_policy, policy, key);
        }
        Some(old)
    }
}

/// Takes a grant out of an index.
fn take_out<K, Q>(index: &mut HashMap<K, BTreeSet<GrantKey>>, at: &Q, key: &GrantKey)
where
    K: Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    if let Some(keys) = index.get_mut(at) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}

/// The grant that this one extends.
fn extended_by(grant: &AccessGrant) -> Option<GrantKey> {
    let name = grant.spec.extends.as_ref()?.name.clone();
    Some(GrantKey { namespace: grant.metadata.namespace.clone().unwrap_or_default(), name })
}

/// The policies under which a grant counts: those that allowed it or demanded something, until it is finished.
pub fn counts_under(grant: &AccessGrant) -> Vec<&str> {
    let status = grant.status.as_ref().filter(|status| !grant.spec.dry_run && !is_finished(status));
    let policies = status.into_iter().flat_map(|status| status.policy.iter().chain(&status.required_by));
    policies.map(|policy| policy.name.as_str()).collect()
}

/// Namespace and name of a grant.
pub fn key_of(grant: &AccessGrant) -> GrantKey {
    GrantView::from(grant).key
}

/// The resourceVersion as a number: the API server promises since 1.35 that they can be compared so.
fn version(grant: &AccessGrant) -> Option<u128> {
    grant.metadata.resource_version.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn grant(name: &str, version: &str, bindings: &[&str]) -> AccessGrant {
        let bindings: Vec<_> = bindings
            .iter()
            .map(|name| {
                serde_json::json!({"kind": "ClusterRoleTemplateBinding", "cluster": "c", "namespace": "c", "name": name,
                    "subject": "user:u-1", "role": "r", "state": "Present", "since": "2026-01-01T00:00:00Z"})
            })
            .collect();
        serde_json::from_value(serde_json::json!({
            "apiVersion": "rancheraccess.io/v1alpha1", "kind": "AccessGrant",
            "metadata": {"namespace": "web", "name": name, "uid": format!("uid-{name}"), "resourceVersion": version},
            "spec": {"integrationRef": {"name": "prod"}, "requestedBy": {"username": "a"}, "access": []},
            "status": {"bindings": bindings},
        }))
        .unwrap()
    }

    #[test]
    fn an_older_echo_does_not_undo_what_was_written() {
        let grants = Grants::default();
        assert!(grants.observe(grant("a", "10", &["rao-1"])));
        assert!(!grants.observe(grant("a", "9", &[])));
        assert_eq!(grants.naming("rao-1").len(), 1);
        assert!(grants.observe(grant("a", "11", &["rao-2"])));
        assert!(grants.naming("rao-1").is_empty());
        assert_eq!(grants.naming("rao-2").len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_backup_undid_is_forgotten_and_what_was_written_meanwhile_is_not() {
        let grants = Grants::default();
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        grants.observe(grant("a", "10", &["rao-1"]));
        let older = grant("a", "9", &[]);
        assert!(!grants.forget_what_was_undone(&older, before), "written while the list was under way");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!grants.forget_what_was_undone(&grant("a", "10", &["rao-1"]), Instant::now()));
        assert!(grants.forget_what_was_undone(&older, Instant::now()));
        assert!(grants.observe(older));
    }

    #[test]
    fn removing_needs_the_same_uid() {
        let grants = Grants::default();
        let a = grant("a", "10", &["rao-1"]);
        let key = key_of(&a);
        grants.observe(a);
        assert!(grants.remove(&key, Some("other")).is_none());
        assert!(grants.remove(&key, Some("uid-a")).is_some());
        assert!(grants.naming("rao-1").is_empty());
    }
}
