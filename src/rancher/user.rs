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
    /// user has that login name (the webhook of 2.11.0 does not look), or where local logins are hidden. After
    /// [`Error::Unknown`] there may be one.
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rancher::fake::{M, client, empty_list, not_found, rancher};

    const HIM: &str =
        r#"{"metadata":{"name":"u-1","uid":"a","resourceVersion":"7"},"username":"alice","enabled":true}"#;

    fn him() -> User {
        serde_json::from_str(HIM).unwrap()
    }

    fn says(code: u16, message: &str) -> String {
        json!({"kind": "Status", "status": "Failure", "reason": "Invalid", "message": message, "code": code})
            .to_string()
    }

    #[tokio::test]
    async fn a_user_is_made_who_may_log_in() {
        let (server, asked) = client(|_| rancher(201, HIM));
        let labels = BTreeMap::from([("a".to_owned(), "1".to_owned())]);
        let new = NewUser { name: "u-1".to_owned(), username: "alice".to_owned(), labels, ..NewUser::default() };
        assert_eq!(server.create_user(&new).await.unwrap(), him());
        let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
        assert_eq!((&body["enabled"], &body["mustChangePassword"]), (&json!(true), &json!(false)));
        assert_eq!((&body["metadata"]["labels"], &body["username"]), (&json!({"a": "1"}), &json!("alice")));
        assert_eq!(asked.lines(), [format!("POST {M}/users")]);
        let other = NewUser { name: "u-2".to_owned(), ..new };
        assert!(matches!(server.create_user(&other).await, Err(Error::Unknown { .. })), "another one was made");
    }

    #[tokio::test]
    async fn a_look_finds_that_user_or_none() {
        let (server, _) = client(|request| match request.uri().path().rsplit('/').next() {
            Some("u-3") => not_found(MANAGEMENT, "users", "u-3"),
            _ => rancher(200, HIM),
        });
        assert!(matches!(server.look_at_user("u-1").await, Ok(Sighting::Found(user)) if user == him()));
        assert!(matches!(server.look_at_user("u-3").await, Ok(Sighting::Gone(_))));
        assert!(matches!(server.look_at_user("u-2").await, Err(Error::Unknown { .. })), "another one was shown");
    }

    #[tokio::test]
    async fn those_with_a_label_are_read_all_or_none() {
        let odd = r#"{"metadata":{"name":"u-2"},"principalIds":"x"}"#;
        let (server, asked) = client(move |request| {
            let more = if request.uri().query().is_some_and(|query| query.contains("odd")) { odd } else { HIM };
            rancher(200, format!(r#"{{"metadata":{{}},"items":[{HIM},{more}]}}"#))
        });
        assert_eq!(server.users_labelled("a=1").await.unwrap().len(), 2);
        assert_eq!(asked.lines(), [format!("GET {M}/users?limit=500&labelSelector=a%3D1")]);
        assert!(matches!(server.users_labelled("odd=1").await, Err(Error::Unknown { .. })));
    }

    #[tokio::test]
    async fn only_what_was_read_is_changed() {
        let (server, asked) = client(|_| rancher(200, HIM));
        let gone = BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some("2".to_owned()))]);
        let change = UserChange { enabled: Some(false), annotations: gone, ..UserChange::default() };
        server.change_user(&him(), &change).await.unwrap();
        let request = asked.last();
        assert_eq!(request.headers()["content-type"], "application/merge-patch+json");
        let meta = json!({"uid": "a", "resourceVersion": "7", "annotations": {"a": null, "b": "2"}, "labels": {}});
        let body: Value = serde_json::from_slice(request.body()).unwrap();
        assert_eq!(body, json!({"enabled": false, "metadata": meta}));
        server.change_user(&him(), &UserChange::default()).await.unwrap();
        assert!(!String::from_utf8_lossy(asked.last().body()).contains("enabled"), "what is not named stays");
        for drop in ["uid", "version"] {
            let mut user = him();
            if drop == "uid" {
                user.meta.uid.clear()
            } else {
                user.meta.resource_version.clear()
            }
            assert!(matches!(server.change_user(&user, &change).await, Err(Error::Conflict { .. })), "{drop}");
        }
        assert_eq!(asked.lines().len(), 2, "without a version or UID nothing is sent");
    }

    #[tokio::test]
    async fn a_user_of_another_uid_is_told_apart() {
        let refused = r#"User "u-1" is invalid: metadata.uid: Invalid value: "a": field is immutable"#;
        let (server, _) = client(move |_| rancher(422, says(422, refused)));
        let changed = server.change_user(&him(), &UserChange::default()).await;
        assert!(matches!(changed, Err(Error::UidMismatch { .. })), "{changed:?}");
        let (server, _) = client(|_| rancher(422, says(422, "metadata.labels: Invalid value")));
        let changed = server.change_user(&him(), &UserChange::default()).await;
        assert!(matches!(changed, Err(Error::Refused { code: 422, .. })), "{changed:?}");
        let (server, _) = client(|_| rancher(200, HIM.replace(r#""uid":"a""#, r#""uid":"b""#)));
        let changed = server.change_user(&him(), &UserChange::default()).await;
        assert!(matches!(changed, Err(Error::Unknown { .. })), "{changed:?}");
    }

    #[tokio::test]
    async fn only_what_was_read_is_deleted() {
        let (server, asked) = client(|_| rancher(200, HIM));
        server.delete_user(&him()).await.unwrap();
        let body: Value = serde_json::from_slice(asked.last().body()).unwrap();
        assert_eq!(body["preconditions"], json!({"uid": "a"}));
        assert!(server.delete_user(&User::default()).await.is_err());
        assert_eq!(asked.lines(), [format!("DELETE {M}/users/u-1")], "without a UID nothing is sent");
        let (server, _) = client(|_| not_found(MANAGEMENT, "users", "u-1"));
        assert!(matches!(server.delete_user(&him()).await, Err(Error::NotFound(_))));
    }

    /// What `has_logged_in` says of a user with that attribute and those tokens.
    async fn logged_in(attribute: Option<&'static str>, tokens: &'static str) -> Result<bool, Error> {
        let (server, asked) = client(move |request| match (request.uri().path().ends_with("/u-1"), attribute) {
            (true, Some(more)) => rancher(200, format!(r#"{{"metadata":{{"name":"u-1"}}{more}}}"#)),
            (true, None) => not_found(MANAGEMENT, "userattributes", "u-1"),
            (false, _) if tokens.is_empty() => empty_list(),
            (false, _) => rancher(200, tokens),
        });
        let answer = server.has_logged_in("u-1").await;
        let of_his = format!("GET {M}/tokens?limit=500&labelSelector=authn.management.cattle.io%2Ftoken-userId%3Du-1");
        assert!(asked.lines().iter().skip(1).all(|line| *line == of_his), "{:?}", asked.lines());
        answer
    }

    #[tokio::test]
    async fn only_the_lack_of_every_trace_says_that_nobody_logged_in() {
        for nothing in [
            None,
            Some(""),
            Some(
                r#","lastLogin":null,"NeedsRefresh":true,"GroupPrincipals":{"local":{"Items":null}},"ExtraByProvider":null"#,
            ),
            Some(r#","ExtraByProvider":{"okta":{}}"#),
        ] {
            assert!(matches!(logged_in(nothing, "").await, Ok(false)), "{nothing:?}");
            let tokens = r#"{"metadata":{},"items":[{"metadata":{"name":"token-1"},"token":"x"}]}"#;
            assert!(matches!(logged_in(nothing, tokens).await, Ok(true)), "{nothing:?}");
            assert!(matches!(logged_in(nothing, "{}").await, Err(Error::Unknown { .. })), "{nothing:?}");
        }
        for trace in [
            r#","lastLogin":"2026-11-27T10:00:00Z""#,
            r#","ExtraByProvider":{"local":{"username":["alice"]}}"#,
            r#","GroupPrincipals":{"okta":{"Items":[{"metadata":{"name":"okta_group://devs"}}]}}"#,
        ] {
            assert!(matches!(logged_in(Some(trace), "").await, Ok(true)), "{trace}");
        }
        assert!(matches!(logged_in(Some(r#","lastLogin":7"#), "").await, Err(Error::Unknown { .. })));
    }
}
