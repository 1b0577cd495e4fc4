//! What a change of a grant may be, given what is there: I5, I6 and I7; and what a delete may take.

use jiff::Timestamp;
use rancher_access_operator::{
    api::status::{BindingRecord, BindingState, EndReason, Phase},
    grant::{GrantView, view::is_terminal},
};

use super::State;

impl State {
    pub(super) fn violate(&mut self, what: String) {
        self.violations.push(what);
    }

    /// I5.
    pub(super) fn is_monotone(&mut self, before: &GrantView, after: &GrantView) {
        let (was, is) = (&before.status, &after.status);
        if was.phase.is_some_and(is_terminal) && was.phase != is.phase {
            self.violate(format!("I5 monotone: {} goes from {:?} to {:?}", after.key, was.phase, is.phase));
        }
        let later = was.expires_time.as_ref().is_some_and(|was| is.expires_time.as_ref().is_none_or(|is| is > was));
        if later {
            self.violate(format!("I5 monotone: the end of {} moves later", after.key));
        }
        if was.end.is_some() && was.end != is.end || was.revoked_time.is_some() && was.revoked_time != is.revoked_time {
            self.violate(format!("I5 monotone: the recorded end of {} changes", after.key));
        }
        let lost = |b: &&BindingRecord| {
            !b.is_settled() && !is.bindings.iter().any(|now| now.kind == b.kind && now.role == b.role)
        };
        if let Some(lost) = was.bindings.iter().find(lost) {
            self.violate(format!("I5 monotone: {} forgets {}", after.key, lost.name));
        }
    }

    /// The grant that is in force by that binding, where another that had it too has ended and takes it away. Who takes away
    /// what nobody else had is right, even if he did not write down yet why.
    pub(super) fn in_force_beside(&self, now: Timestamp, uid: &str) -> Option<String> {
        let has = |b: &BindingRecord| b.state == BindingState::Present && b.uid.as_deref() == Some(uid);
        let mut having = self.grants.values().filter(|grant| grant.status.bindings.iter().any(has));
        let takes = having.clone().any(|grant| grant.ended(now).is_some());
        having.find(|grant| grant.ended(now).is_none()).filter(|_| takes).map(|grant| grant.key.to_string())
    }

    /// I6.
    pub(super) fn is_honest(&mut self, grant: &GrantView, wrong: bool) {
        let status = &grant.status;
        if status.phase == Some(Phase::Active) {
            for record in status.bindings.iter().filter(|b| b.state == BindingState::Present) {
                let uid = record.uid.clone().unwrap_or_default();
                if !self.ours.contains_key(&uid) && !self.went.contains_key(&uid) {
                    self.violate(format!(
                        "I6 honest status: {} is said to be active by {} that never was",
                        grant.key, record.name
                    ));
                }
            }
        }
        let removed = status.end.as_ref().is_some_and(|end| end.reason == EndReason::RemovedInRancher);
        // Who crashed after his delete, and then believes that the end lies ahead, cannot know that it was his.
        if removed && !wrong && !status.bindings.iter().any(|record| self.removed.contains_key(&record.name)) {
            self.violate(format!(
                "I6 honest status: somebody is said to have removed what {} had, and nobody did",
                grant.key
            ));
        }
        if status.revoked_time.is_none() {
            return;
        }
        for record in &status.bindings {
            if !record.is_settled() {
                self.violate(format!(
                    "I6 honest status: {} is said to be revoked with {} unsettled",
                    grant.key, record.name
                ));
            }
            if record.state != BindingState::Removed {
                continue;
            }
            let uid = record.uid.clone().unwrap_or_default();
            if self.ours.contains_key(&uid) {
                self.violate(format!("I6 honest status: {} is said to be gone, and is there", record.name));
            }
            let (went, absent) = (self.went.get(&uid), self.absent.get(&record.name));
            if went.is_some_and(|went| absent.is_none_or(|absent| absent < went)) {
                self.violate(format!(
                    "I6 honest status: {} is said to be gone, and Rancher did not say so",
                    record.name
                ));
            }
        }
    }

    /// I7.
    pub(super) fn went_with_bindings(&mut self, now: Timestamp, gone: &GrantView) {
        let left: Vec<_> = gone
            .status
            .bindings
            .iter()
            .filter(|b| self.ours.values().any(|bound| bound.name == b.name))
            .filter(|b| !matches!(b.state, BindingState::AlreadyHeld | BindingState::HandedOver))
            .filter(|b| !self.grants.values().any(|grant| grant.holds(&b.name, now)))
            .map(|b| b.name.clone())
            .collect();
        if !left.is_empty() && !self.restored {
            self.violate(format!("I7 finalizer: {} is gone while {left:?} is there", gone.key));
        }
    }
}
