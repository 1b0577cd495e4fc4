//! Has a grant's bindings brought to where they should be, on the Rancher that the record names.

use std::sync::Arc;

use super::{Pass, act, current::Stood, wait};
use crate::{
    api::status::{BindingRecord, BindingState, End, EndReason},
    controller::connection::Connection,
    grant::{Because, GrantView, Progress, Tried, binding::Goal},
    runtime::CircuitState,
};

impl Pass<'_> {
    pub(super) async fn settle(&mut self, goal: Goal) {
        if goal == Goal::Give && self.is_quiet() {
            self.tried(goal, vec![Progress::Done; self.view.status.bindings.len()]);
            return;
        }
        let (connection, may_grant) = match self.connection() {
            Ok(found) => found,
            Err(because) => {
                // What was not looked at yet since this process started may well be there.
                let name = self.integration();
                self.world.out_of_reach =
                    self.ctx.registry.get(name).is_some() || self.ctx.integrations.get(name).is_none();
                let waiting = wait::Waiting::new(self.ctx, &self.view.key).progress(&because.reason, because.message);
                let progress = |b: &BindingRecord| {
                    if b.is_settled() { Progress::Done } else { waiting.clone() }
                };
                self.tried(goal, self.view.status.bindings.iter().map(progress).collect());
                return;
            }
        };
        let hand = act::Hand {
            ctx: self.ctx,
            grant: &self.view,
            integration: self.integration(),
            connection: &connection,
            may_grant: &may_grant,
            // What yields to another binding clears up from the place that it has.
            clears: self.clears || goal == Goal::Give,
            stood: Some(Stood {
                grant: GrantView::from(self.grant.as_ref()),
                revision: self.grant.metadata.resource_version.as_deref(),
                written: self.written,
            }),
        };
        let act::Settled { bindings, outcome, heard } = hand.settle(goal).await;
        self.world.out_of_reach = !heard || connection.breaker.state() != CircuitState::Closed;
        let progress = match outcome {
            Ok(progress) => progress,
            Err(wait) => {
                self.soon = Some(wait);
                self.keep(bindings);
                return;
            }
        };
        if progress.iter().all(|p| *p == Progress::Done) {
            self.ctx.memory.got_on(&self.view.key);
        }
        self.view.status.bindings = bindings;
        self.tried(goal, progress);
    }

    fn tried(&mut self, goal: Goal, progress: Vec<Progress>) {
        self.world.tried = Some(Tried { goal, progress });
    }

    /// Keeps what got on, and an end that only this pass knows of: that of a grant's time or deletion anybody can tell again,
    /// so it is written only where the way to its end is long.
    fn keep(&mut self, bindings: Vec<BindingRecord>) {
        let stood = self.grant.status.clone().unwrap_or_default();
        let turned = |end: &End| {
            matches!(
                end.reason,
                EndReason::RemovedInRancher
                    | EndReason::Refused
                    | EndReason::ExtendedGrantEnded
                    | EndReason::RevokedByDecision
                    | EndReason::PolicyChanged
            )
        };
        if !self.view.is_late(self.ctx.now())
            && (stood.end.is_some() || !self.view.status.end.as_ref().is_some_and(turned))
        {
            self.view.status = stood;
        }
        self.view.status.bindings = bindings;
    }

    /// Whether all is in force, and nothing was heard that would say otherwise: then Rancher is not asked. What this process
    /// deleted itself, before it knew of this grant, is looked at.
    fn is_quiet(&self) -> bool {
        for binding in self.view.status.bindings.iter().filter(|b| b.state == BindingState::Present) {
            if binding.uid.as_ref().is_some_and(|uid| self.ctx.memory.has_deleted(uid)) {
                self.ctx.memory.suspect(&binding.name, &self.view.key);
            }
        }
        self.view.status.bindings.iter().all(|b| {
            b.is_settled()
                || b.state == BindingState::Present && !self.ctx.memory.is_to_be_seen(&b.name, &self.view.key)
        })
    }

    /// The Rancher that the record names, if it is the one that answers.
    pub(super) fn connection(&self) -> Result<(Arc<Connection>, Result<(), Because>), Because> {
        let name = self.integration();
        let link = self.ctx.registry.get(name);
        let Some(link) = link else {
            let message = match self.ctx.integrations.get(name) {
                Some(_) => format!("The RancherIntegration {name} has not been reached yet."),
                None => format!(
                    "The RancherIntegration {name} is gone, and with it the way to Rancher: create it again, so that this access can be taken away."
                ),
            };
            return Err(Because::new("IntegrationNotReady", message));
        };
        let Some(connection) = link.connection else {
            let why = link.may_grant.err().map_or_else(String::new, |because| because.message);
            return Err(Because::new(
                "IntegrationNotReady",
                format!("The RancherIntegration {name} cannot be reached: {why}"),
            ));
        };
        let recorded = self.view.status.rancher.as_ref().and_then(|r| r.install_uuid.as_deref());
        if recorded.is_some_and(|recorded| recorded != connection.install_uuid) {
            let message = format!(
                "The RancherIntegration {name} leads to another Rancher (install-uuid {}) than the one on which this access was given ({}): point it back, so that the access can be taken away there.",
                connection.install_uuid,
                recorded.unwrap_or_default()
            );
            return Err(Because::new("DifferentRancher", message));
        }
        if !connection.breaker.may_try() {
            let message = format!(
                "The Rancher of integration {name} does not answer; it is probed, and this goes on as soon as it does."
            );
            return Err(Because::new("RancherUnreachable", message));
        }
        Ok((connection, link.may_grant))
    }
}
