//! What is done about one user who is not needed, or needed again. Each holds his lock and looks at all anew under it: a grant
//! may have begun meanwhile.

use std::collections::BTreeMap;

use kube::{Resource, runtime::events::EventType};
use tracing::info;

use super::{
    holdings::{self, Holdings},
    lock,
    mark::{self, Mark},
    provide::{Him, Trouble},
    secret,
    turn::Failure,
    wanted::Wanted,
};
use crate::{
    api::{
        ANNOTATION_LOCAL_USER, ANNOTATION_UNUSED_SINCE, ANNOTATION_USER_SEAL, LABEL_INSTALLATION, LABEL_USER,
        RancherIntegration,
    },
    controller::{Context, brief, connection::Connection},
    grant::record::whole_seconds,
    rancher::{Error, UserChange, wire::User},
};

/// What tending needs.
pub(super) struct Hand<'a> {
    pub ctx: &'a Context,
    pub integration: &'a RancherIntegration,
    pub connection: &'a Connection,
}

/// What came of somebody whose time has come.
pub(super) enum Ended {
    /// He is gone, or another by now, or needed again.
    Done,
    /// He stays for now, and is looked at again in the next quiet look.
    Later,
    /// He is kept: why, and what to do.
    Kept(String),
}

impl Hand<'_> {
    /// Whether anything may be changed: this process leads. What has ended stays ended, whatever the clock does.
    pub(super) fn may(&self) -> bool {
        self.ctx.leader.may_create()
    }

    /// Whether anything may be made, or a day be over: this process knows what time it is, too.
    fn may_make(&self) -> bool {
        self.may() && !self.ctx.clock_is_behind()
    }

    /// Says on a user that nobody calls for him, and disables him where he is a local one.
    pub(super) async fn retire(&self, user: &User, local: bool) -> Result<(), Failure> {
        let id = &user.meta.name;
        let _held = lock(self.ctx, self.connection, id).await;
        let Some(user) = self.still(user).await? else { return Ok(()) };
        if self.wanted().await?.calls_for(id, &user.principal_ids) {
            return Ok(());
        }
        let since = mark::unused_since(&user).unwrap_or_else(|| whole_seconds(self.ctx.now()));
        let change = UserChange {
            enabled: local.then_some(false),
            annotations: [(ANNOTATION_UNUSED_SINCE.to_owned(), Some(since.to_string()))].into(),
            labels: BTreeMap::new(),
        };
        self.change(&user, &change).await?;
        if !local {
            return Ok(());
        }
        info!(user = id, "No grant calls for this local user any more: he is disabled in Rancher");
        let name = user.username.as_deref().unwrap_or_default();
        self.tell(
            EventType::Normal,
            "UserDisabled",
            &format!("No grant calls for the local user {name} ({id}) any more: he is disabled in Rancher."),
        );
        Ok(())
    }

    /// Takes the credentials of a local user away, if no grant calls for him.
    pub(super) async fn take_credentials(&self, id: &str, uid: &str) -> Result<(), Failure> {
        let _held = lock(self.ctx, self.connection, id).await;
        if self.wanted().await?.calls_for(id, &[]) {
            return Ok(());
        }
        self.check()?;
        let deleted = secret::secrets(self.ctx).delete(id, uid).await;
        deleted.map_err(|error| Failure::of_api_server(format!("the Secret {id} cannot be deleted: {}", brief(&error))))
    }

    /// Says on a user that a grant calls for him again.
    pub(super) async fn needed(&self, user: &User) -> Result<(), Failure> {
        let _held = lock(self.ctx, self.connection, &user.meta.name).await;
        let Some(user) = self.still(user).await? else { return Ok(()) };
        self.change(
            &user,
            &UserChange { annotations: [(ANNOTATION_UNUSED_SINCE.to_owned(), None)].into(), ..UserChange::default() },
        )
        .await
    }

    /// Lets a local user log in again, or gives him a new password: `renew` him in any case.
    pub(super) async fn provide(&self, user: &User, renew: bool) -> Result<(), Failure> {
        let id = &user.meta.name;
        let _held = lock(self.ctx, self.connection, id).await;
        let Some(user) = self.still(user).await? else { return Ok(()) };
        let Some(whose) = mark::whose(&user) else { return Ok(()) };
        if !self.wanted().await?.calls_for(id, &user.principal_ids) {
            return Ok(());
        }
        let him = Him {
            ctx: self.ctx,
            connection: self.connection,
            integration: self.integration,
            whose,
            id: id.clone(),
            may_make: &|| self.may_make(),
        };
        let done = if renew { him.password(&user, Some(self.ctx.now())).await } else { him.prepare(&user).await };
        done.map_err(|trouble| match trouble {
            Trouble::Waiting(because) => Failure(because),
            Trouble::Refused(message) => Failure::new("UserRefused", message),
        })?;
        if renew {
            info!(user = id, "A local user got a new password");
            self.tell(
                EventType::Normal,
                "PasswordRenewed",
                &format!(
                    "The local user {} ({id}) got a new password; it stands in his Secret.",
                    user.username.as_deref().unwrap_or_default()
                ),
            );
        }
        Ok(())
    }

    /// Deletes a user whose time has come, if nobody else gave him anything and nobody logged in as him meanwhile.
    pub(super) async fn delete(&self, user: &User, local: bool) -> Result<Ended, Failure> {
        if !self.may_make() {
            return Ok(Ended::Later);
        }
        let id = &user.meta.name;
        let _held = lock(self.ctx, self.connection, id).await;
        let Some(found) = self.still(user).await? else { return Ok(Ended::Done) };
        if mark::unused_since(&found) != mark::unused_since(user) || (local && found.enabled != Some(false)) {
            return Ok(Ended::Later);
        }
        let wanted = self.wanted().await?;
        if wanted.calls_for(id, &found.principal_ids) || wanted.is_unsettled(id, &found.principal_ids) {
            return Ok(Ended::Later);
        }
        let rancher = &self.connection.rancher;
        let asked = |error: Error| Failure::of_rancher(format!("what the user {id} holds is not known"), &error);
        if !local && rancher.has_logged_in(id).await.map_err(asked)? {
            info!(
                user = id,
                "Somebody logged in as this user whom Rancher made for a grant: he is a person, and not ours to delete"
            );
            return self.let_go(&found).await.map(|()| Ended::Done);
        }
        match holdings::of(self.ctx, self.connection, &found).await.map_err(asked)? {
            Holdings::Ours => return Ok(Ended::Later),
            Holdings::Others(what) => {
                return Ok(Ended::Kept(format!(
                    "No grant has called for him since {}, but somebody else gave him {what}: he is kept. Take that away, or delete him in Rancher.",
                    mark::unused_since(&found).map(|since| since.to_string()).unwrap_or_default()
                )));
            }
            Holdings::Nothing => {}
        }
        self.check()?;
        match rancher.delete_user(&found).await {
            Ok(()) => {
                info!(user = id, "A user that was there because of grants was deleted in Rancher");
                let name = found.username.as_ref().or(found.display_name.as_ref()).unwrap_or(id);
                self.tell(
                    EventType::Normal,
                    "UserDeleted",
                    &format!(
                        "The user {name} ({id}), whom no grant has called for since long, was deleted in Rancher."
                    ),
                );
                Ok(Ended::Done)
            }
            Err(Error::NotFound(_) | Error::UidMismatch { .. }) => Ok(Ended::Done),
            Err(error) => Err(Failure::of_rancher(format!("the user {id} cannot be deleted"), &error)),
        }
    }

    /// Takes our marks off a user.
    async fn let_go(&self, user: &User) -> Result<(), Failure> {
        let none = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), None)).collect();
        let change = UserChange {
            enabled: None,
            annotations: none(&[ANNOTATION_USER_SEAL, ANNOTATION_UNUSED_SINCE, ANNOTATION_LOCAL_USER]),
            labels: none(&[LABEL_INSTALLATION, LABEL_USER]),
        };
        self.change(user, &change).await
    }

    /// The user as he is now, if he is still the one who was seen, and still marked.
    async fn still(&self, user: &User) -> Result<Option<User>, Failure> {
        let id = &user.meta.name;
        let looked = self.connection.rancher.look_at_user(id).await;
        let looked = looked.map_err(|error| Failure::of_rancher(format!("the user {id} cannot be read"), &error))?;
        let same = |found: &User| {
            found.meta.uid == user.meta.uid
                && !found.meta.is_terminating()
                && mark::of(self.ctx, self.connection, found) != Mark::Forged
        };
        Ok(looked.found().filter(same))
    }

    pub(super) async fn change(&self, user: &User, change: &UserChange) -> Result<(), Failure> {
        self.check()?;
        let id = &user.meta.name;
        match self.connection.rancher.change_user(user, change).await {
            Ok(_) | Err(Error::NotFound(_) | Error::UidMismatch { .. }) => Ok(()),
            Err(error) => Err(Failure::of_rancher(format!("the user {id} cannot be changed"), &error)),
        }
    }

    pub(super) async fn wanted(&self) -> Result<Wanted, Failure> {
        let why = |why| {
            Failure::of_api_server(format!("the grants cannot be listed, so nobody knows whom they call for: {why}"))
        };
        Wanted::read(self.ctx).await.map_err(why)
    }

    fn check(&self) -> Result<(), Failure> {
        if self.may() {
            return Ok(());
        }
        Err(Failure::new("NoLeader", "this operator does not hold its lease at the moment".to_owned()))
    }

    pub(super) fn tell(&self, type_: EventType, reason: &'static str, note: &str) {
        self.ctx.events.publish(self.integration.object_ref(&()), type_, reason, "TendUsers", note);
    }
}
