//! What is done about one token that is left over, and who is told.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Resource, ResourceExt, runtime::events::EventType};
use tracing::{info, warn};

use super::{
    decide::{Act, Finding},
    look::Look,
};
use crate::{
    api::user::{LeftoverToken, TokenAction},
    grant::{GrantKey, record::whole_seconds},
    rancher::Error,
};

/// What became of a token.
pub(super) struct Done {
    /// How it is listed from now on; `None`: it is gone.
    pub entry: Option<LeftoverToken>,
    /// Whether that is news, to be told of.
    pub is_news: bool,
    /// Whether that is all there was to do.
    pub is_whole: bool,
}

/// How many tokens an Event names.
const NAMED: usize = 5;

impl Look<'_> {
    /// Does what is to be done, unless that user came to have access meanwhile, or somebody else is the one to do it.
    pub(super) async fn act(&self, finding: Finding, user: &str) -> Done {
        let Finding { token, entry, known, act } = finding;
        let still = super::may_act(self.ctx, self.integration) && !self.holds(user, &[]);
        let (done, action) = match act {
            Act::Nothing => return Done { entry: Some(entry), is_news: false, is_whole: true },
            Act::Tell => (Ok(()), TokenAction::Reported),
            _ if !still => return Done { entry: known.then_some(entry), is_news: false, is_whole: false },
            Act::Disable => (self.connection.rancher.disable_token(&token).await, TokenAction::Disabled),
            Act::Delete => (self.connection.rancher.delete_token(&token).await, TokenAction::Deleted),
        };
        match done {
            Ok(()) => {
                let entry = LeftoverToken { action, time: Time(whole_seconds(self.ctx.now())), ..entry };
                Done { entry: Some(entry), is_news: true, is_whole: true }
            }
            // Its user or somebody else was faster.
            Err(Error::NotFound(_)) => Done { entry: None, is_news: false, is_whole: true },
            Err(error) => {
                let integration = self.integration.name_any();
                warn!(integration, token = entry.name, user, %error, "A token that is left over could not be dealt with; it is tried again. Disable or delete it in Rancher if that lasts");
                Done { entry: Some(entry), is_news: !known, is_whole: false }
            }
        }
    }

    /// One log line for each token; and for each grant and what was done one Event on the integration and one on the grant, as
    /// far as that is there. Of Events that differ in their words alone only the first is kept.
    pub(super) fn tell(&self, news: &[LeftoverToken]) {
        let integration = self.integration.name_any();
        let mut told: BTreeMap<(&str, &str), Vec<&LeftoverToken>> = BTreeMap::new();
        for entry in news {
            let LeftoverToken { name, user, grant, action, .. } = entry;
            info!(integration, token = name, user, grant, ?action, "A token was left over");
            told.entry((grant, reason(*action).1)).or_default().push(entry);
        }
        for ((grant, _), entries) in told {
            let Some(LeftoverToken { user, action, .. }) = entries.first() else { continue };
            let (type_, reason, what) = reason(*action);
            let names: Vec<_> = entries.iter().take(NAMED).map(|entry| entry.name.as_str()).collect();
            let more = match entries.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let note = format!(
                "The user {user} made tokens during the grant {grant}, and has no access left. {what}: {}{more}.",
                names.join(", ")
            );
            self.ctx.events.publish(self.integration.object_ref(&()), type_, reason, "LookAtTokens", &note);
            let Some((namespace, of)) = grant.split_once('/') else { continue };
            let key = GrantKey { namespace: namespace.to_owned(), name: of.to_owned() };
            if let Some(grant) = self.ctx.grants.get(&key) {
                self.ctx.events.publish(grant.object_ref(&()), type_, reason, "LookAtTokens", &note);
            }
        }
    }
}

/// Of an Event about that: its type, its reason, and what was done in words.
fn reason(action: TokenAction) -> (EventType, &'static str, &'static str) {
    match action {
        TokenAction::Reported => (
            EventType::Warning,
            "LeftoverTokenReported",
            "Delete them in Rancher, or set spec.leftoverTokens of the integration",
        ),
        TokenAction::Disabled => (EventType::Normal, "LeftoverTokenDisabled", "Disabled"),
        TokenAction::Deleted => (EventType::Normal, "LeftoverTokenDeleted", "Deleted"),
    }
}
