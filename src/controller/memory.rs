//! What this process remembers of its own doing, beyond what stands in any status. Losing it costs time, never safety.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio::{sync::Notify, time::Instant};

use super::tokens::Window;
use crate::{
    grant::{GrantKey, Standing},
    rancher::wire::Subject,
};

mod in_flight;

pub use in_flight::LANDS_WITHIN;

/// What this process remembers.
#[derive(Debug, Default)]
pub struct Memory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// When a create of that binding was last sent.
    attempts: HashMap<String, Instant>,
    /// When a create of that binding was last sent, answered or not.
    sent: HashMap<String, Instant>,
    /// When a delete of that binding was last sent that got no clear answer.
    deletes: HashMap<String, Instant>,
    /// When a delete of the binding with that UID was last sent.
    deleted: HashMap<String, Instant>,
    /// Bindings after which a second look for left-overs is due, and when.
    second_looks: HashMap<String, Instant>,
    /// Bindings that this process deleted when Rancher could clean up after them.
    clean_deletes: HashSet<String>,
    /// Bindings that were seen without the finalizers that Rancher cleans up by, when they should have had them.
    lacking: HashSet<String>,
    /// On which clusters a binding's left-overs were looked for, and there were none.
    clean_clusters: HashMap<String, HashSet<String>>,
    /// Bindings that are proven gone with all that Rancher made for them, though it could not be written down yet.
    cleared: HashSet<String>,
    /// Bindings that are proven gone, with what they left behind still to be looked for.
    to_clear: HashSet<String>,
    /// Since when a grant has been waiting for Rancher to get on with a binding.
    going: HashMap<(String, GrantKey), Instant>,
    /// Whom a binding that is being taken away was seen to be for, in every form.
    subjects: HashMap<String, Subject>,
    /// Who holds which binding until when, as decided under that binding's lock.
    holders: HashMap<String, BTreeMap<GrantKey, Timestamp>>,
    /// Who let go of which binding under its lock, and has not written that down yet.
    released: HashSet<(String, GrantKey)>,
    /// Bindings that a watch said something about, and which grant has not looked at them since.
    suspects: HashSet<(String, GrantKey)>,
    /// Bindings beside which a sweep saw somebody else's equal one, and which grant has not looked at them since.
    besides: HashSet<(String, GrantKey)>,
    /// How often in a row a grant's work had to wait.
    waits: HashMap<GrantKey, u32>,
    /// Asks for a sweep of an integration's Rancher.
    sweeps: HashMap<String, Arc<Notify>>,
    /// Asks for a look at the users in an integration's Rancher.
    users: HashMap<String, Arc<Notify>>,
    /// How often in a row a pass over a grant failed.
    failures: HashMap<GrantKey, u32>,
    /// Whether a grant's policy still allowed it, as the policies stood when that was asked.
    standings: HashMap<GrantKey, (String, Standing)>,
    /// Since when, and until when, access lasted by bindings whose grants are gone.
    lasted: HashMap<String, (Timestamp, Timestamp)>,
    /// During what access users may have made tokens, by integration: of grants that ended.
    windows: HashMap<String, Vec<Window>>,
    /// Asks for a look at the tokens of an integration's Rancher.
    token_looks: HashMap<String, Arc<Notify>>,
}

impl Memory {
    /// When the second look for left-overs of that binding is due.
    pub fn second_look(&self, binding: &str) -> Option<Instant> {
        self.inner().second_looks.get(binding).copied()
    }

    /// Asks for a second look, or says that none is needed any more.
    pub fn set_second_look(&self, binding: &str, at: Option<Instant>) {
        let mut inner = self.inner();
        match at {
            Some(at) => inner.second_looks.insert(binding.to_owned(), at),
            None => inner.second_looks.remove(binding),
        };
    }

    /// That binding is being deleted by this process, and Rancher can clean up after it.
    pub fn deleted_cleanly(&self, binding: &str) {
        self.inner().clean_deletes.insert(binding.to_owned());
    }

    /// Whether it was; asking clears it.
    pub fn take_clean_delete(&self, binding: &str) -> bool {
        self.inner().clean_deletes.remove(binding)
    }

    /// That binding was seen without the finalizers that Rancher cleans up by, when it should have had them.
    pub fn lacked_finalizers(&self, binding: &str) {
        self.inner().lacking.insert(binding.to_owned());
    }

    /// Whether it was.
    pub fn has_lacked_finalizers(&self, binding: &str) -> bool {
        self.inner().lacking.contains(binding)
    }

    /// Nothing of that binding is left on that cluster.
    pub fn cluster_is_clean(&self, binding: &str, cluster: &str) {
        self.inner().clean_clusters.entry(binding.to_owned()).or_default().insert(cluster.to_owned());
    }

    /// Whether that was found before.
    pub fn is_clean_cluster(&self, binding: &str, cluster: &str) -> bool {
        self.inner().clean_clusters.get(binding).is_some_and(|clean| clean.contains(cluster))
    }

    /// All clusters are to be looked at again.
    pub fn forget_clean_clusters(&self, binding: &str) {
        self.inner().clean_clusters.remove(binding);
    }

    /// That binding is settled: where it left something no longer matters.
    pub fn forget_traces(&self, binding: &str) {
        let mut inner = self.inner();
        inner.clean_clusters.remove(binding);
        inner.lacking.remove(binding);
        inner.subjects.remove(binding);
        inner.to_clear.remove(binding);
    }

    /// That binding is proven gone, with all that Rancher made for it.
    pub fn cleared(&self, binding: &str) {
        let mut inner = self.inner();
        inner.cleared.insert(binding.to_owned());
        inner.to_clear.remove(binding);
        inner.subjects.remove(binding);
    }

    /// Whether it was, and was not asked for since.
    pub fn is_cleared(&self, binding: &str) -> bool {
        self.inner().cleared.contains(binding)
    }

    /// That it was is written down, or no longer matters.
    pub fn forget_cleared(&self, binding: &str) {
        let mut inner = self.inner();
        inner.cleared.remove(binding);
        inner.to_clear.remove(binding);
    }

    /// That binding is proven gone; what it left behind is to be looked for.
    pub fn to_clear(&self, binding: &str) {
        self.inner().to_clear.insert(binding.to_owned());
    }

    /// Whether what it left behind is to be looked for.
    pub fn is_to_clear(&self, binding: &str) -> bool {
        self.inner().to_clear.contains(binding)
    }

    /// How long that grant has been waiting for Rancher to get on with the binding; from now on, if it has not.
    pub fn going(&self, binding: &str, grant: &GrantKey) -> Duration {
        self.inner().going.entry((binding.to_owned(), grant.clone())).or_insert_with(Instant::now).elapsed()
    }

    /// Rancher got on with the binding.
    pub fn got_going(&self, binding: &str, grant: &GrantKey) {
        self.inner().going.remove(&(binding.to_owned(), grant.clone()));
    }

    /// Whom a binding is for, as it was seen before it went: what is left behind names him in forms that the record may lack.
    pub fn seen_for(&self, binding: &str, subject: Subject) {
        self.inner().subjects.insert(binding.to_owned(), subject);
    }

    /// Whom that binding was seen to be for.
    pub fn subject_of(&self, binding: &str) -> Option<Subject> {
        self.inner().subjects.get(binding).cloned()
    }

    /// That grant holds the binding until then. Said under the binding's lock.
    pub fn hold(&self, binding: &str, grant: &GrantKey, until: Timestamp) {
        let mut inner = self.inner();
        inner.cleared.remove(binding);
        inner.released.remove(&(binding.to_owned(), grant.clone()));
        inner.holders.entry(binding.to_owned()).or_default().insert(grant.clone(), until);
    }

    /// That grant holds the binding no longer. Said under the binding's lock.
    pub fn release(&self, binding: &str, grant: &GrantKey) {
        let mut inner = self.inner();
        inner.released.insert((binding.to_owned(), grant.clone()));
        if let Some(holders) = inner.holders.get_mut(binding) {
            holders.remove(grant);
            if holders.is_empty() {
                inner.holders.remove(binding);
            }
        }
    }

    /// Whether that grant let go of the binding, whatever its record still says.
    pub fn has_released(&self, binding: &str, grant: &GrantKey) -> bool {
        self.inner().released.contains(&(binding.to_owned(), grant.clone()))
    }

    /// That grant's record says by now what it let go of.
    pub fn released_is_written(&self, binding: &str, grant: &GrantKey) {
        self.inner().released.remove(&(binding.to_owned(), grant.clone()));
    }

    /// Who holds the binding, and until when, by what was decided under its lock.
    pub fn holders(&self, binding: &str) -> BTreeMap<GrantKey, Timestamp> {
        self.inner().holders.get(binding).cloned().unwrap_or_default()
    }

    /// A watch said something about that binding: that grant is to look at it.
    pub fn suspect(&self, binding: &str, grant: &GrantKey) {
        self.inner().suspects.insert((binding.to_owned(), grant.clone()));
    }

    /// Whether that grant is to look at the binding, or around it.
    pub fn is_to_be_seen(&self, binding: &str, grant: &GrantKey) -> bool {
        let (inner, key) = (self.inner(), (binding.to_owned(), grant.clone()));
        inner.suspects.contains(&key) || inner.besides.contains(&key)
    }

    /// Somebody else's equal binding was seen beside that one: that grant is to look around it.
    pub fn beside(&self, binding: &str, grant: &GrantKey) {
        self.inner().besides.insert((binding.to_owned(), grant.clone()));
    }

    /// Whether that grant is to look around the binding; asking clears it.
    pub fn take_beside(&self, binding: &str, grant: &GrantKey) -> bool {
        self.inner().besides.remove(&(binding.to_owned(), grant.clone()))
    }

    /// Whether that grant is to look at the binding; asking clears it.
    pub fn take_suspect(&self, binding: &str, grant: &GrantKey) -> bool {
        self.inner().suspects.remove(&(binding.to_owned(), grant.clone()))
    }

    /// How often in a row that grant had to wait, this time included.
    pub fn waited(&self, grant: &GrantKey) -> u32 {
        let mut inner = self.inner();
        let waits = inner.waits.entry(grant.clone()).or_default();
        *waits = waits.saturating_add(1);
        *waits
    }

    /// That grant got on.
    pub fn got_on(&self, grant: &GrantKey) {
        self.inner().waits.remove(grant);
    }

    /// That grant is gone: nothing about it is kept.
    pub fn forget(&self, grant: &GrantKey) {
        let mut inner = self.inner();
        inner.waits.remove(grant);
        inner.failures.remove(grant);
        inner.standings.remove(grant);
        inner.going.retain(|(_, of), _| of != grant);
        inner.released.retain(|(_, by)| by != grant);
        inner.suspects.retain(|(_, of)| of != grant);
        inner.besides.retain(|(_, of)| of != grant);
    }

    /// Whether that grant's policy still allowed it, if that was asked while the policies stood like this.
    pub fn standing(&self, grant: &GrantKey, policies: &str) -> Option<Standing> {
        let inner = self.inner();
        inner.standings.get(grant).filter(|(stood, _)| stood == policies).map(|(_, standing)| standing.clone())
    }

    /// Whether that grant's policy still allows it, while the policies stand like this.
    pub fn stands(&self, grant: &GrantKey, policies: String, standing: Standing) {
        self.inner().standings.insert(grant.clone(), (policies, standing));
    }

    /// Access lasted by that binding since then until then; its grant is gone. What ended before `forgotten` is.
    pub fn lasted(&self, binding: &str, (since, until): (Timestamp, Timestamp), forgotten: Timestamp) {
        let mut inner = self.inner();
        inner.lasted.retain(|_, (_, until)| *until >= forgotten);
        let window = inner.lasted.entry(binding.to_owned()).or_insert((since, until));
        *window = (window.0.min(since), window.1.max(until));
    }

    /// Since when and until when access lasted by that binding, of grants that are gone.
    pub fn lasted_by(&self, binding: &str) -> Option<(Timestamp, Timestamp)> {
        self.inner().lasted.get(binding).copied()
    }

    /// What asks for a sweep of that integration's Rancher.
    pub fn sweep_of(&self, integration: &str) -> Arc<Notify> {
        self.inner().sweeps.entry(integration.to_owned()).or_default().clone()
    }

    /// What asks for a look at the users of that integration that are there because of grants.
    pub fn users_of(&self, integration: &str) -> Arc<Notify> {
        self.inner().users.entry(integration.to_owned()).or_default().clone()
    }

    /// Somebody had access by a grant that ended: he may have made tokens. What ended before `forgotten` is.
    pub fn had_access(&self, integration: &str, ended: Vec<Window>, forgotten: Timestamp) {
        let mut inner = self.inner();
        let windows = inner.windows.entry(integration.to_owned()).or_default();
        windows.retain(|window| window.until >= forgotten && !ended.contains(window));
        windows.extend(ended);
    }

    /// During what access users may have made tokens, as far as this process saw it end.
    pub fn windows_of(&self, integration: &str) -> Vec<Window> {
        self.inner().windows.get(integration).cloned().unwrap_or_default()
    }

    /// What asks for a look at the tokens of that integration's Rancher.
    pub fn token_look_of(&self, integration: &str) -> Arc<Notify> {
        self.inner().token_looks.entry(integration.to_owned()).or_default().clone()
    }

    /// How often in a row a pass over that grant failed, this time included.
    pub fn failed(&self, grant: &GrantKey) -> u32 {
        let mut inner = self.inner();
        let failures = inner.failures.entry(grant.clone()).or_default();
        *failures = failures.saturating_add(1);
        *failures
    }

    /// A pass over that grant did not fail.
    pub fn succeeded(&self, grant: &GrantKey) {
        self.inner().failures.remove(grant);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_of_one_binding_says_nothing_of_the_next_of_its_name() {
        let memory = Memory::default();
        memory.cluster_is_clean("rao-1", "c-1");
        memory.deleted_cleanly("rao-1");
        memory.set_second_look("rao-1", Some(Instant::now()));
        memory.to_clear("rao-1");
        memory.attempting("rao-1");
        assert!(!memory.is_clean_cluster("rao-1", "c-1"));
        assert!(!memory.take_clean_delete("rao-1"));
        assert_eq!(memory.second_look("rao-1"), None);
        assert!(!memory.is_to_clear("rao-1"));
    }
}
