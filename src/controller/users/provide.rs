//! Has a local user ready for a grant: there, with a password that the requester can read, and allowed to log in.

use std::collections::BTreeMap;

use super::{super::words, lock, mark};
use crate::{
    api::{ANNOTATION_UNUSED_SINCE, RancherIntegration},
    controller::{Context, connection::Connection, grant::rancher_reason},
    grant::{Because, GrantView, name::LocalUserKey},
    rancher::{Error, KeyKind, NewUser, UserChange, wire::User},
    runtime::KeyGuard,
};

/// Why a user is not ready.
#[derive(Debug)]
pub enum Trouble {
    /// Not yet: it is tried again.
    Waiting(Because),
    /// For good: in words.
    Refused(String),
}

impl Trouble {
    pub(super) fn waiting(reason: &str, message: String) -> Self {
        Self::Waiting(Because::new(reason, message))
    }
}

/// One local user, while something is done about him under his lock.
pub(super) struct Him<'a> {
    pub ctx: &'a Context,
    pub connection: &'a Connection,
    pub integration: &'a RancherIntegration,
    pub whose: LocalUserKey,
    pub id: String,
    /// Whether something may still be made for him: asked before each write.
    pub may_make: &'a (dyn Fn() -> bool + Send + Sync),
}

/// Has the local user of that grant ready, where it is for one. His lock is held until the guard is dropped: whoever binds
/// something to him keeps it until that is answered.
///
/// # Errors
/// Why he is not ready.
pub async fn ready(
    ctx: &Context,
    connection: &Connection,
    integration: &str,
    grant: &GrantView,
    may_make: &(dyn Fn() -> bool + Send + Sync),
) -> Result<Option<KeyGuard<String>>, Trouble> {
    let Some(local) = &grant.local_user else { return Ok(None) };
    let whose = LocalUserKey {
        integration: integration.to_owned(),
        namespace: grant.key.namespace.clone(),
        requester: grant.requester.clone(),
        username: local.username.clone(),
    };
    let object = ctx.integrations.get(integration).ok_or_else(|| {
        Trouble::waiting("IntegrationNotReady", format!("The RancherIntegration {integration} is gone."))
    })?;
    let id = whose.id(&ctx.installation.key, &connection.install_uuid);
    let held = lock(ctx, connection, &id).await;
    let him = Him { ctx, connection, integration: &object, whose, id, may_make };
    let user = match him.found().await? {
        Some(user) => user,
        None => him.make(local.display_name.as_deref().unwrap_or(&local.username)).await?,
    };
    him.prepare(&user).await?;
    Ok(Some(held))
}

impl Him<'_> {
    /// The user as Rancher has him, if he is there and ours.
    async fn found(&self) -> Result<Option<User>, Trouble> {
        let looked = self.connection.rancher.look_at_user(&self.id).await;
        let looked = looked.map_err(|error| self.rancher_trouble("look at", &error))?;
        let Some(user) = looked.found() else { return Ok(None) };
        if mark::whose(&user).as_ref() != Some(&self.whose) {
            return Err(Trouble::Refused(format!(
                "The user {} in Rancher has the id of the local user {}, but not the operator's mark: somebody made him, or changed him. Nobody is bound to him. Look at who did that, delete him in Rancher, and create another grant.",
                self.id, self.whose.username
            )));
        }
        if user.meta.is_terminating() {
            return Err(Trouble::waiting(
                "UserTerminating",
                format!("The user {} is being deleted in Rancher; he is made anew when he is gone.", self.id),
            ));
        }
        Ok(Some(user))
    }

    async fn make(&self, display_name: &str) -> Result<User, Trouble> {
        self.may()?;
        let login = self.whose.login(&self.ctx.installation.key, &self.connection.install_uuid);
        let new = NewUser {
            name: self.id.clone(),
            username: login.clone(),
            display_name: display_name.to_owned(),
            labels: mark::labels(self.ctx, &self.whose.integration),
            annotations: mark::annotations(&self.whose),
        };
        match self.connection.rancher.create_user(&new).await {
            Ok(user) => {
                tracing::info!(
                    user = self.id,
                    login,
                    namespace = self.whose.namespace,
                    requester = self.whose.requester,
                    "A local user was made in Rancher"
                );
                Ok(user)
            }
            // A request of ours landed late.
            Err(Error::AlreadyExists { .. }) => Err(Trouble::waiting(
                "UserNew",
                format!("The user {} came to be in Rancher meanwhile; he is looked at again.", self.id),
            )),
            Err(Error::Refused { code, message, .. }) => Err(Trouble::Refused(format!(
                "Rancher made no local user {login} ({code}): {message}. Where the name is taken, delete who has it in Rancher, and create another grant."
            ))),
            Err(error) => Err(self.rancher_trouble("make", &error)),
        }
    }

    /// Gives him a password where he needs one, and lets him log in where we forbade it.
    pub(super) async fn prepare(&self, user: &User) -> Result<(), Trouble> {
        let unused_since = mark::unused_since(user);
        if user.enabled == Some(false) && unused_since.is_none() {
            return Err(Trouble::waiting("SubjectDisabled", self.disabled_by_others()));
        }
        self.password(user, unused_since).await?;
        if unused_since.is_none() {
            return Ok(());
        }
        self.forget_tokens().await?;
        self.may()?;
        let change = UserChange {
            enabled: Some(true),
            annotations: [(ANNOTATION_UNUSED_SINCE.to_owned(), None)].into(),
            labels: BTreeMap::new(),
        };
        match self.connection.rancher.change_user(user, &change).await {
            Ok(_) => {
                tracing::info!(user = self.id, "A local user is used again: enabled, with a new password");
                Ok(())
            }
            Err(error) => Err(self.rancher_trouble("enable", &error)),
        }
    }

    /// Deletes the tokens that were made in his name while he was in use before: once he is enabled, Rancher would take the v3
    /// ones again. Ext ones it has disabled or deleted for good (pkg/controllers/management/auth/user.go, 2.12 to 2.15).
    async fn forget_tokens(&self) -> Result<(), Trouble> {
        let rancher = &self.connection.rancher;
        let tokens = rancher.tokens_of(KeyKind::V3, &self.id).await;
        for token in tokens.map_err(|error| self.rancher_trouble("list the tokens of", &error))? {
            self.may()?;
            match rancher.delete_token(&token).await {
                Ok(()) | Err(Error::NotFound(_)) => {}
                Err(error) => return Err(self.rancher_trouble("delete a token of", &error)),
            }
        }
        Ok(())
    }

    pub(super) fn disabled_by_others(&self) -> String {
        format!(
            "The local user {} ({}) was disabled in Rancher by somebody else: nothing more is given to him until he is enabled there.",
            self.whose.username, self.id
        )
    }

    /// Whether it may go on.
    pub(super) fn may(&self) -> Result<(), Trouble> {
        if (self.may_make)() {
            return Ok(());
        }
        Err(Trouble::waiting(
            "NoLeader",
            "This operator does not hold its lease at the moment, its clock is behind, or the grant has ended; nothing is made.".to_owned(),
        ))
    }

    /// Where to log in.
    pub(super) fn url(&self) -> String {
        words::ui_url(&self.integration.spec)
    }

    pub(super) fn rancher_trouble(&self, what: &str, error: &Error) -> Trouble {
        let message = format!(
            "Rancher did not {what} the local user {} ({}): {error}. Tried again.",
            self.whose.username, self.id
        );
        Trouble::waiting(rancher_reason(error), message)
    }

    pub(super) fn secret_trouble(&self, why: &str) -> Trouble {
        Trouble::waiting(
            "CredentialsNotWritten",
            format!(
                "The credentials of the local user {} cannot be kept in the Secret {}/{}: {why}. Tried again.",
                self.whose.username, self.ctx.settings.namespace, self.id
            ),
        )
    }
}
