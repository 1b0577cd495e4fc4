//! The local users that the operator made, and their credentials.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use testkit::apiserver::{Changed, EventType};

use super::{State, Truth};

/// Local users of ours, by id.
#[derive(Default)]
pub(super) struct Users {
    /// Whether each may log in.
    enabled: BTreeMap<String, bool>,
    /// Those with credentials in the operator's namespace.
    credentials: BTreeSet<String>,
}

impl State {
    /// Whether a grant calls for him.
    fn calls_for(&self, id: &str, now: Timestamp) -> bool {
        let subject = format!("user:{id}");
        self.grants.values().any(|grant| {
            !grant.is_finished()
                && grant.ended(now).is_none()
                && grant.status.bindings.iter().any(|binding| binding.subject == subject)
        })
    }

    /// What is not as it should be at rest.
    pub(super) fn wrong_users(&self, now: Timestamp) -> Vec<String> {
        let called = |id: &str| self.calls_for(id, now);
        let Users { enabled, credentials } = &self.users;
        let mut wrong = Vec::new();
        for (id, enabled) in enabled {
            match (called(id), *enabled) {
                (true, false) => wrong.push(format!("users: a grant calls for {id}, and he may not log in")),
                (false, true) => wrong.push(format!("users: no grant calls for {id}, and he may log in")),
                _ => {}
            }
            if called(id) != credentials.contains(id) {
                let has = if credentials.contains(id) { "has" } else { "lacks" };
                wrong.push(format!("users: {id} {has} credentials"));
            }
        }
        let lost = credentials.iter().filter(|id| !enabled.contains_key(*id));
        wrong.extend(lost.map(|id| format!("users: there are credentials of {id}, who is not there")));
        wrong
    }
}

impl Truth {
    pub(super) fn user_changed(&self, changed: &Changed<'_>) {
        if !changed.name.starts_with("rao-") {
            return;
        }
        let (now, wrong) = (self.now(), self.0.sky.is_wrong());
        let mut state = self.state();
        let id = changed.name.to_owned();
        let enabled = changed.event != EventType::Deleted && changed.object["enabled"] != false;
        let was = match changed.event {
            EventType::Deleted => state.users.enabled.remove(&id),
            _ => state.users.enabled.insert(id.clone(), enabled),
        };
        // By a wrong clock nobody tells when what began ends.
        if was == Some(true) && !enabled && !wrong && state.calls_for(&id, now) {
            state.violations.push(format!("users: a grant calls for {id}, and he is disabled ({now:.3})"));
        }
    }

    pub(super) fn credentials_changed(&self, changed: &Changed<'_>) {
        if changed.namespace != super::NAMESPACE {
            return;
        }
        let users = &mut self.state().users;
        match changed.event {
            EventType::Deleted => drop(users.credentials.remove(changed.name)),
            _ => drop(users.credentials.insert(changed.name.to_owned())),
        }
    }

    /// Whether each local user is as grants call for him.
    pub fn has_tended_users(&self) -> bool {
        let now = self.now();
        self.state().wrong_users(now).is_empty()
    }

    /// Whether there is any local user, or anything of one.
    pub fn has_local_users(&self) -> bool {
        let state = self.state();
        !state.users.enabled.is_empty() || !state.users.credentials.is_empty()
    }

    /// How many local users there are.
    pub fn local_users(&self) -> usize {
        self.state().users.enabled.len()
    }
}
