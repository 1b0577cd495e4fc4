//! Creates and deletes one binding in Rancher.

use tracing::warn;

use super::{
    act::{Case, Hand},
    membership,
    wait::Waiting,
};
use crate::{
    api::{ANNOTATION_GRANT, LABEL_INSTALLATION, LABEL_INTEGRATION},
    controller::{discovery, users, words},
    grant::{
        Progress,
        binding::{Equal, Goal, Sight, WaitFor},
    },
    rancher::{Deleted, Error, NewBinding},
};

impl Hand<'_> {
    pub(super) async fn create(&self, case: &mut Case) -> Option<Progress> {
        let record = &case.record;
        let new = NewBinding {
            name: record.name.clone(),
            namespace: record.namespace.clone(),
            subject: words::new_subject(&case.subject),
            scope: words::scope(record),
            role: record.role.clone(),
            labels: [
                (LABEL_INSTALLATION, self.ctx.installation.id.clone()),
                (LABEL_INTEGRATION, discovery::label(self.integration)),
            ]
            .map(|(k, v)| (k.to_owned(), v))
            .into(),
            annotations: [(ANNOTATION_GRANT.to_owned(), self.grant.key.to_string())].into(),
        };
        // Each held until the create is answered: whoever retires the user, or removes the role, waits for that.
        let (ctx, connection) = (self.ctx, self.connection);
        let _user = match users::ready(ctx, connection, self.integration, self.grant, &|| self.may_create()).await {
            Ok(held) => held,
            Err(users::Trouble::Waiting(because)) => return Some(self.waiting(&because.reason, because.message)),
            Err(users::Trouble::Refused(message)) => return Some(Progress::Refused(message)),
        };
        let role = match membership::ensure(self, record).await {
            Ok(held) => held,
            Err(because) => return Some(self.waiting(&because.reason, because.message)),
        };
        // What was looked up meanwhile took its time, and a machine may have slept through the grant's end.
        if !self.may_create() {
            return Some(self.wait(WaitFor::Leadership, Goal::Give, case).await);
        }
        let record = &case.record;
        case.world.created = true;
        let earlier = self.ctx.memory.attempting(&record.name);
        let answer = self.connection.rancher.create_binding(&new).await;
        if answer.as_ref().err().is_none_or(Error::is_clear) {
            self.ctx.memory.answered(&record.name, earlier);
        }
        match answer {
            Ok(made) => {
                self.there(case, &made);
                None
            }
            Err(Error::AlreadyExists { .. } | Error::Duplicate { .. }) => {
                case.world.sight = Sight::NotLooked;
                None
            }
            // Rancher's webhook learns of a role a moment after it was made.
            Err(Error::Refused { message, .. }) if role.is_some() && message.contains("not found") => {
                let message = format!("Rancher does not know the role {} yet: {message}", case.record.role);
                Some(self.waiting("MembershipRoleNew", message))
            }
            Err(Error::Refused { code, reason, message }) => {
                let target = words::access(&case.record).target;
                Some(Progress::Refused(format!(
                    "Rancher refused role {} on {target} ({code} {reason}): {message}",
                    case.record.role
                )))
            }
            Err(error) => {
                case.world.sight = Sight::Unknown;
                case.trouble = Some(error);
                None
            }
        }
    }

    fn waiting(&self, reason: &str, message: String) -> Progress {
        Waiting::new(self.ctx, &self.grant.key).progress(reason, message)
    }

    pub(super) async fn delete(&self, case: &mut Case, uid: &str) {
        let name = &case.record.name;
        self.ctx.memory.forget_cleared(name);
        if case.unclean {
            self.ctx.memory.take_clean_delete(name);
            case.record.lacked_finalizers = true;
            warn!(grant = %self.grant.key, binding = name, "This binding lacks finalizers that Rancher cleans up by: Rancher never put them on, or somebody stripped them. What it leaves behind is looked for twice");
        } else {
            self.ctx.memory.deleted_cleanly(name);
        }
        case.record.uid = Some(uid.to_owned());
        self.ctx.memory.deleting(uid);
        match self.connection.rancher.delete_binding(&words::reference(&case.record), uid).await {
            Ok(Deleted::Gone(proof)) => self.gone(case, proof, Equal::NotLooked).await,
            Ok(Deleted::Terminating(object)) => self.there(case, &object),
            Ok(Deleted::Accepted | Deleted::UidMismatch) => case.world.sight = Sight::NotLooked,
            Err(error) => {
                if !error.is_clear() {
                    self.ctx.memory.delete_is_unanswered(&case.record.name);
                }
                case.world.sight = Sight::Unknown;
                case.trouble = Some(error);
            }
        }
    }
}
