//! Passwords of local users: Rancher keeps a hash, in a Secret named as the user (2.13 and later).
//!
//! Whoever answers may echo what he was sent, whole, in part, or written otherwise. So nothing he says to a password is
//! repeated, other than what is known to be no part of one.
use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{
    absence::Target,
    answer::Answer,
    call::Call,
    client::{LOCAL, Rancher},
    error::Error,
    wire::ObjectMeta,
};

const NAMESPACE: &str = "cattle-local-user-passwords";
/// Says how the password was hashed; without it, Rancher's webhook takes it for clear text and hashes it.
const HASHED: &str = "cattle.io/password-hash";
/// Stands for what was said.
const UNSAID: &str = "what was said to a password is not repeated";

/// A password in clear. Nothing prints it.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// That password.
    pub fn new(clear: String) -> Self {
        Self(SecretString::from(clear))
    }

    /// The clear text. Only for writing it where it is kept.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// The Secret, without what is in it.
#[derive(Deserialize)]
struct Kept {
    metadata: ObjectMeta,
}

impl Rancher {
    /// The version of what Rancher keeps of a user's password; `None` where it keeps none. Hash and salt are not read.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. No error repeats what was answered.
    pub async fn password_version(&self, user: &str) -> Result<Option<String>, Error> {
        let call = Call::get(self.password_path(Some(user))?).of(target(user));
        let answer = match self.ask_of_password(&call).await {
            Ok(answer) => answer,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Kept { metadata } = self.exchange.decode(&call, &answer)?;
        if metadata.name != user || metadata.resource_version.is_empty() {
            return Err(Error::unknown(format!("a look at the password of {user} was answered with another object")));
        }
        Ok(Some(metadata.resource_version))
    }

    /// Sets a user's password, if what Rancher keeps is still of the version that was read: see
    /// [`Rancher::password_version`]. Rancher's webhook keeps a hash of it; without the webhook nothing is kept at all.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is one though none stood, [`Error::Conflict`] where it changed meanwhile,
    /// [`Error::NotFound`] where it is gone. [`Error::Refused`] says what the webhook has against it: too short, the same as the
    /// login name, or no such user. No error repeats anything else that was answered.
    pub async fn set_password(&self, user: &str, password: &Password, stood: Option<&str>) -> Result<(), Error> {
        let data = json!({"password": STANDARD.encode(password.expose())});
        let call = match stood {
            None => {
                let metadata = json!({"name": user, "namespace": NAMESPACE});
                let body = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data});
                Call::post(self.password_path(None)?, &body)
            }
            // The API server would overwrite whatever is there.
            Some("") => {
                return Err(Error::Conflict { message: "a password must name the version it replaces".to_owned() });
            }
            Some(version) => {
                let metadata = json!({"resourceVersion": version, "annotations": {HASHED: null}});
                let body = json!({"metadata": metadata, "data": data});
                let path = self.password_path(Some(user))?;
                Call::patch(path, "application/merge-patch+json", &body).of(target(user))
            }
        };
        self.ask_of_password(&call).await.map(drop)
    }

    /// Sends a call whose answer must be a success, and whose failure nobody may read in the answer's words.
    async fn ask_of_password(&self, call: &Call) -> Result<Answer, Error> {
        let answer = self.exchange.send(call).await.map_err(|error| unsaid(error, "no whole answer"))?;
        if answer.is_success() {
            return Ok(answer);
        }
        let error = answer.error(call.intent, call.target.as_ref(), self.exchange.through_rancher());
        Err(unsaid(error, &format!("HTTP {}", answer.code)))
    }

    fn password_path(&self, user: Option<&str>) -> Result<String, Error> {
        let mut segments = vec!["api", "v1", "namespaces", NAMESPACE, "secrets"];
        segments.extend(user);
        self.cluster_path(LOCAL, &segments)
    }
}

fn target(user: &str) -> Target {
    Target { group: "", resource: "secrets", namespace: Some(NAMESPACE.to_owned()), name: user.to_owned() }
}

/// The same error without a word of whoever answered, and with what came in place of an answer in our own words.
fn unsaid(error: Error, came: &str) -> Error {
    let message = UNSAID.to_owned();
    match error {
        Error::Refused { code, message: said, .. } => {
            Error::Refused { code, reason: named(code), message: known(&said) }
        }
        Error::Unauthenticated { .. } => Error::Unauthenticated { message },
        Error::AlreadyExists { .. } => Error::AlreadyExists { message },
        Error::Duplicate { .. } => Error::Duplicate { message },
        Error::UidMismatch { .. } => Error::UidMismatch { message },
        Error::Conflict { .. } => Error::Conflict { message },
        Error::Throttled { retry_after, .. } => Error::Throttled { retry_after, message },
        Error::Unknown { .. } => Error::Unknown { what: format!("{came}; {UNSAID}") },
        // Nothing was sent, so nobody can have echoed it.
        error @ (Error::NotFound(_) | Error::Unavailable { .. } | Error::Unaddressable { .. }) => error,
    }
}

/// The code's own name: a reason could be an echo.
fn named(code: u16) -> String {
    let known = http::StatusCode::from_u16(code).ok();
    known.and_then(|code| code.canonical_reason()).unwrap_or("unnamed").replace(' ', "")
}

/// What the webhook is known to say, in our own words.
fn known(said: &str) -> String {
    if let Some(least) = least(said) {
        return format!("password must be at least {least} characters");
    }
    for sentence in ["password cannot be the same as username", "User must be created before the secret"] {
        if said.contains(sentence) {
            return sentence.to_owned();
        }
    }
    UNSAID.to_owned()
}

/// The least length of a password, by the webhook's word.
fn least(said: &str) -> Option<u8> {
    let (_, rest) = said.split_once("password must be at least ")?;
    rest.split_once(" characters")?.0.parse().ok()
}
