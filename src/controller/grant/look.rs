//! Looks at one binding in Rancher.

use std::time::Duration;

use crate::{
    api::status::{BindingKind, BindingState},
    controller::words,
    grant::binding::{Equal, Goal, Object, Sight},
    rancher::{
        Error, ProofOfAbsence, Sighting, finalizers,
        wire::{Binding, Subject},
    },
};

use super::act::{Case, Hand};

/// How long Rancher is given to put its finalizers on a new binding. It needs 0.3 to 0.6 s (measured on 2.15.0); what
/// has none by then will not get them.
const FINALIZERS_WITHIN: Duration = Duration::from_secs(30);

impl Hand<'_> {
    /// Looks, and puts what was seen into the case.
    ///
    /// Before a create, one list shows both the binding itself and any equal one. Otherwise one GET shows the binding,
    /// or proves that it is not there. Both are needed where ours may have to yield to an equal one.
    pub(super) async fn look(&self, goal: Goal, case: &mut Case) {
        (case.trouble, case.heard) = (None, true);
        let looked = match goal {
            _ if !self.answers(case) => Err(Error::Unavailable {
                what: format!("cluster {} did not answer, and is probed until it does", case.record.cluster),
            }),
            Goal::Give if case.around || case.record.uid.is_none() || case.record.state == BindingState::Intended => {
                self.look_around(case).await
            }
            Goal::Give | Goal::Take => self.look_at(case).await,
        };
        if let Err(error) = looked {
            if case.record.kind == BindingKind::RoleBinding && error.is_silence() {
                self.connection.clusters.failed(&case.record.cluster);
            }
            // What lived on a cluster that Rancher does not know any more is out of reach with it.
            let cluster = match goal {
                Goal::Take if case.record.kind == BindingKind::RoleBinding => {
                    Some(self.connection.rancher.cluster(&case.record.cluster).await)
                }
                _ => None,
            };
            case.heard = cluster
                .as_ref()
                .map_or_else(|| error.is_of_rancher(), |c| c.as_ref().err().is_none_or(Error::is_of_rancher));
            match cluster {
                Some(Ok(Sighting::Gone(proof))) => self.gone(case, proof, Equal::NotLooked).await,
                _ => {
                    case.world.sight = Sight::Unknown;
                    case.trouble = Some(error);
                }
            }
        }
    }

    /// Whether the cluster that keeps the binding answers: Rancher's own, but for a RoleBinding.
    fn answers(&self, case: &Case) -> bool {
        case.record.kind != BindingKind::RoleBinding || self.connection.clusters.answers(&case.record.cluster)
    }

    async fn look_around(&self, case: &mut Case) -> Result<(), Error> {
        let reference = words::reference(&case.record);
        let all = self.connection.rancher.beside(&reference).await?;
        let own = all.iter().find(|b| b.meta.name == reference.name);
        if let Some(binding) = own {
            self.there(case, binding);
        }
        let equal = self.equal(case, &all);
        // Only of Rancher's templates' bindings could it lose somebody what he has: no release deletes equals of others.
        let at_risk = matches!(
            case.record.kind,
            BindingKind::ClusterRoleTemplateBinding | BindingKind::ProjectRoleTemplateBinding
        );
        case.world.beside = at_risk && matches!(equal, Equal::Foreign(_));
        match own {
            Some(_) => {}
            None if case.record.state == BindingState::Intended => case.world.sight = Sight::None(equal),
            // A list proves nothing of what was there.
            None => match self.connection.rancher.binding(&reference).await? {
                Sighting::Found(binding) => self.there(case, &binding),
                Sighting::Gone(proof) => self.gone(case, proof, equal).await,
            },
        }
        Ok(())
    }

    /// Whether any other of those bindings gives the same access.
    fn equal(&self, case: &Case, all: &[Binding]) -> Equal {
        let access = words::access(&case.record);
        let equals = all
            .iter()
            .filter(|b| b.meta.name != case.record.name && words::access_of(b) == access && case.named.is_of(b));
        let mut found = Equal::None;
        for equal in equals {
            let ours = words::is_ours(&self.ctx.installation.key, &self.connection.install_uuid, equal);
            found = match found {
                // Somebody else's permanent binding counts before all; one that is going counts as long as it is there.
                Equal::Foreign(_) => break,
                _ if equal.meta.is_terminating() => Equal::Terminating,
                _ if !ours => Equal::Foreign(words::place_of(&equal.meta.namespace, &equal.meta.name)),
                Equal::Terminating => Equal::Terminating,
                _ => Equal::Ours(equal.meta.name.clone()),
            };
        }
        found
    }

    async fn look_at(&self, case: &mut Case) -> Result<(), Error> {
        match self.connection.rancher.binding(&words::reference(&case.record)).await? {
            Sighting::Found(binding) => self.there(case, &binding),
            Sighting::Gone(proof) => self.gone(case, proof, Equal::NotLooked).await,
        }
        Ok(())
    }

    /// An object of that name is there.
    pub(super) fn there(&self, case: &mut Case, binding: &Binding) {
        // What is there again was not cleared.
        self.ctx.memory.forget_cleared(&case.record.name);
        let recorded = case.record.uid.as_deref() == Some(binding.meta.uid.as_str());
        let ours = recorded || words::is_ours(&self.ctx.installation.key, &self.connection.install_uuid, binding);
        if ours {
            merge(&mut case.named, Subject::of(binding));
            case.made = binding.meta.creation_timestamp;
        }
        case.finalizers.clone_from(&binding.meta.finalizers);
        let ready = finalizers::ready_to_delete(binding, &case.record.cluster, &self.connection.release);
        let old = self.age(case, binding) >= FINALIZERS_WITHIN;
        if ours && !binding.meta.is_terminating() {
            // As it was last seen before the delete: a young one still gets its finalizers. An old one without them
            // was never seen by Rancher, or somebody stripped them.
            case.unclean = !ready;
        }
        case.world.sight = Sight::There(Object {
            uid: binding.meta.uid.clone(),
            ours,
            terminating: binding.meta.is_terminating(),
            deletable: ready || old,
        });
    }

    /// Rancher says that no binding of that name is there. It counts only if it is still the same Rancher that says so.
    pub(super) async fn gone(&self, case: &mut Case, proof: ProofOfAbsence, equal: Equal) {
        match self.connection.verify().await {
            Ok(()) => {
                case.world.sight = Sight::None(equal);
                case.proof = Some(proof);
            }
            Err(error) => {
                case.world.sight = Sight::Unknown;
                case.trouble = Some(error);
            }
        }
    }

    /// How old the object is at least. Rancher's clock and our own record both say so; where Rancher's runs ahead of
    /// ours, only the record does. What this process made itself is no older than that was ago, whatever the clocks say.
    fn age(&self, case: &Case, binding: &Binding) -> Duration {
        let now = self.ctx.now();
        let age = |since: jiff::Timestamp| Duration::try_from(now.duration_since(since)).ok();
        let recorded = age(case.record.since.0).unwrap_or_default();
        let told = binding.meta.creation_timestamp.and_then(age).map_or(recorded, |told| told.min(recorded));
        self.ctx.memory.since_sent(&binding.meta.name).map_or(told, |sent| told.min(sent))
    }
}

/// Adds the forms of a subject that were seen.
fn merge(named: &mut Subject, seen: Subject) {
    named.user = named.user.take().or(seen.user);
    named.user_principal = named.user_principal.take().or(seen.user_principal);
    named.group = named.group.take().or(seen.group);
}
