//! Local users that the operator makes, for a while: made, disabled and enabled, deleted.
//!
//! Everything that changes a user is bound to the object that was read, by its UID: whoever made another user of that name
//! keeps it.
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{
    absence::{Sighting, Target},
    call::Call,
    client::{MANAGEMENT, Rancher},
    error::Error,
    wire::{ObjectMeta, User, UserAttribute},
};

const RESOURCE: &str = "users";
/// The label by which Rancher finds a user's tokens.
const TOKEN_OF: &str = "authn.management.cattle.io/token-userId";

/// A user to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewUser {
    /// The user's id.
    pub name: String,
    /// The login name. It cannot be changed later.
    pub username: String,
    /// The name people see.
    pub display_name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What is to be different about a user. What is not named stays as it is; `None` takes a label or annotation away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Whether the user may log in.
    pub enabled: Option<bool>,
    /// Annotations to set or to take away.
    pub annotations: BTreeMap<String, Option<String>>,
    /// Labels to set or to take away.
    pub labels: BTreeMap<String, Option<String>>,
}

/// A token, of which nothing but its being there counts.
#[derive(Deserialize)]
struct AnyToken {
    #[serde(rename = "metadata")]
    _meta: ObjectMeta,
}

impl Rancher {
    /// Makes a user who may log in, and need not change a password first. Rancher adds the principal `local://<name>`.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is one of that name: look at it. [`Error::Refused`] with the code 400 where another
    /// user has that login name (by the webhook of 2.13 and later; older ones do not look). After [`Error::Unknown`] there
    /// may be one.
    pub async fn create_user(&self, new: &NewUser) -> Result<User, Error> {
        let body = json!({
            "apiVersion": format!("{MANAGEMENT}/v3"), "kind": "User",
            "metadata": {"name": new.name, "labels": new.labels, "annotations": new.annotations},
            "username": new.username, "displayName": new.display_name, "enabled": true, "mustChangePassword": false,
        });
        let made: User = self.exchange.object(Call::post(self.management(RESOURCE, None, None)?, &body)).await?;
        if made.meta.name != new.name || made.meta.uid.is_empty() {
            return Err(Error::unknown(format!("creating the user {} was answered with another object", new.name)));
        }
        Ok(made)
    }

    /// The users that carry such labels, each of which must be readable.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn users_labelled(&self, selector: &str) -> Result<Vec<User>, Error> {
        self.list_all(&self.management(RESOURCE, None, None)?, Some(selector)).await
    }

    /// Looks at one user: there, or proven to be absent.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn look_at_user(&self, id: &str) -> Result<Sighting<User>, Error> {
        let seen: Sighting<User> = self.exchange.look(self.look_at(RESOURCE, None, id)?).await?;
        match seen {
            Sighting::Found(user) if user.meta.name != id || user.meta.uid.is_empty() => {
                Err(Error::unknown(format!("a look at the user {id} was answered with another object")))
            }
            seen => Ok(seen),
        }
    }

    /// Changes a user, if it is still the object and version that was read.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it changed meanwhile, or where `user` names no version; [`Error::UidMismatch`] where
    /// another has the name by now, [`Error::NotFound`] where it is gone. Else as for every call.
    pub async fn change_user(&self, user: &User, change: &UserChange) -> Result<User, Error> {
        let meta = &user.meta;
        if meta.uid.is_empty() || meta.resource_version.is_empty() {
            // The API server would change whatever is there.
            return Err(Error::Conflict { message: "a change must name the object and version it changes".to_owned() });
        }
        let mut body = json!({"metadata": {
            "uid": meta.uid, "resourceVersion": meta.resource_version,
            "annotations": change.annotations, "labels": change.labels,
        }});
        if let (Some(fields), Some(enabled)) = (body.as_object_mut(), change.enabled) {
            fields.insert("enabled".to_owned(), enabled.into());
        }
        let path = self.management(RESOURCE, None, Some(&meta.name))?;
        let call = Call::patch(path, "application/merge-patch+json", &body).of(target(&meta.name));
        let changed: User = self.exchange.object(call).await.map_err(another)?;
        if changed.meta.name != meta.name || changed.meta.uid != meta.uid {
            return Err(Error::unknown(format!("changing the user {} was answered with another object", meta.name)));
        }
        Ok(changed)
    }

    /// Deletes a user, if it is still that object. Rancher takes along what names its id: bindings, tokens, the password.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone, [`Error::UidMismatch`] where another has the name by now. Else as for every call.
    pub async fn delete_user(&self, user: &User) -> Result<(), Error> {
        let meta = &user.meta;
        if meta.uid.is_empty() {
            // An empty precondition would be none.
            return Err(Error::Unaddressable { name: String::new() });
        }
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta.uid}});
        let path = self.management(RESOURCE, None, Some(&meta.name))?;
        self.exchange.success(&Call::delete(path, &body).of(target(&meta.name))).await.map(drop)
    }

    /// Whether somebody ever logged in as that user. Where Rancher's traces allow both, the answer is yes: only what proves
    /// that nobody did is a no.
    ///
    /// A login writes `lastLogin` into the user's UserAttribute before it makes the session's token (2.11 to 2.15). Releases
    /// before that wrote what the identity provider said of the user, into the same object. An attribute without either
    /// tells of nothing: Rancher writes one too when it refreshes the groups of all users. Tokens are made by users alone.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn has_logged_in(&self, user: &str) -> Result<bool, Error> {
        let kept: Sighting<UserAttribute> = self.exchange.look(self.look_at("userattributes", None, user)?).await?;
        if kept.found().is_some_and(|kept| kept.tells_of_a_login()) {
            return Ok(true);
        }
        let tokens = self.management("tokens", None, None)?;
        let tokens: Vec<AnyToken> = self.list_all(&tokens, Some(&format!("{TOKEN_OF}={user}"))).await?;
        Ok(!tokens.is_empty())
    }
}

fn target(name: &str) -> Target {
    Target { group: MANAGEMENT, resource: RESOURCE, namespace: None, name: name.to_owned() }
}

/// A patch that names another UID is refused as the change of a fixed field.
fn another(error: Error) -> Error {
    match error {
        Error::Refused { code: 422, message, .. } if message.contains("metadata.uid") => Error::UidMismatch { message },
        error => error,
    }
}
