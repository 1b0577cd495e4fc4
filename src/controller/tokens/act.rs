//! What is done about one token that is left over, and who is told.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt, runtime::events::EventType};
use tracing::{info, warn};

use super::{
    decide::{Act, Finding},
    look::Look,
};
use crate::{
    api::integration::{LeftoverToken, TokenAction},
    grant::{GrantKey, record::whole_seconds},
    rancher::Error,
};

/// What became of a token.
pub(super) struct Done {
    /// How it is listed from now on; `None`: it is gone.
    pub entry: Option<LeftoverToken>,
    /// Whether that is all there was to do.
    pub is_whole: bool,
}

impl Look<'_> {
    /// Does what is to be done, unless that user came to have access meanwhile, or somebody else is the one to do it.
    pub(super) async fn act(&self, finding: Finding, user: &str) -> Done {
        let Finding { token, entry, known, act } = finding;
        let still = super::may_act(self.ctx, self.integration) && !self.holds(user, &[]);
        let (done, action) = match act {
            Act::Nothing => return Done { entry: Some(entry), is_whole: true },
            Act::Tell => (Ok(()), TokenAction::Reported),
            _ if !still => return Done { entry: known.then_some(entry), is_whole: false },
            Act::Disable => (self.connection.rancher.disable_token(&token).await, TokenAction::Disabled),
            Act::Delete => (self.connection.rancher.delete_token(&token).await, TokenAction::Deleted),
        };
        match done {
            Ok(()) => {
                let entry = LeftoverToken { action, time: Time(whole_seconds(self.ctx.now())), ..entry };
                self.tell(&entry);
                Done { entry: Some(entry), is_whole: true }
            }
            // Its user or somebody else was faster.
            Err(Error::NotFound(_)) => Done { entry: None, is_whole: true },
            Err(error) => {
                let integration = self.integration.name_any();
                warn!(integration, token = entry.name, user, %error, "A token that is left over could not be dealt with; it is tried again. Disable or delete it in Rancher if that lasts");
                if !known {
                    self.tell(&entry);
                }
                Done { entry: Some(entry), is_whole: false }
            }
        }
    }

    /// One log line, and an Event on the integration and on the grant, as far as that is there.
    fn tell(&self, entry: &LeftoverToken) {
        let LeftoverToken { name, user, grant, created_time, action, .. } = entry;
        let (type_, reason, what) = match action {
            TokenAction::Reported => (
                EventType::Warning,
                "LeftoverTokenReported",
                "nothing was done about it. Delete it in Rancher, or set spec.leftoverTokens of the integration",
            ),
            TokenAction::Disabled => (EventType::Normal, "LeftoverTokenDisabled", "it is disabled"),
            TokenAction::Deleted => (EventType::Normal, "LeftoverTokenDeleted", "it was deleted"),
        };
        let integration = self.integration.name_any();
        info!(integration, token = name, user, grant, ?action, "A token was left over");
        let note = format!(
            "The user {user} made the token {name} at {} during the grant {grant}, and has no access left: {what}.",
            created_time.0
        );
        self.ctx.events.publish(self.integration.object_ref(&()), type_.clone(), reason, "LookAtTokens", &note);
        let Some((namespace, of)) = grant.split_once('/') else { return };
        let key = GrantKey { namespace: namespace.to_owned(), name: of.to_owned() };
        if let Some(grant) = self.ctx.grants.get(&key) {
            self.ctx.events.publish(grant.object_ref(&()), type_, reason, "LookAtTokens", &note);
        }
    }
}
