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
    /// [`Rancher::password_version`]. Rancher's webhook puts a hash in its place.
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::rancher::fake::{CANARY, client, over, rancher, transport};

    const SECRETS: &str = "/k8s/clusters/local/api/v1/namespaces/cattle-local-user-passwords/secrets";

    fn password() -> Password {
        Password::new(format!("secret {CANARY}"))
    }

    fn says(code: u16, reason: &str, message: &str) -> String {
        json!({"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}).to_string()
    }

    #[tokio::test]
    async fn a_password_is_set_where_none_stood_or_in_place_of_that_which_did() {
        let (server, asked) = client(|_| rancher(200, "{}"));
        server.set_password("u-1", &password(), None).await.unwrap();
        server.set_password("u-1", &password(), Some("7")).await.unwrap();
        let data = json!({"password": STANDARD.encode(password().expose())});
        let bodies: Vec<Value> = asked.all().iter().map(|one| serde_json::from_slice(one.body()).unwrap()).collect();
        assert_eq!((&bodies[0]["data"], &bodies[0]["metadata"]["name"]), (&data, &json!("u-1")));
        let metadata = json!({"resourceVersion": "7", "annotations": {"cattle.io/password-hash": null}});
        assert_eq!(bodies[1], json!({"metadata": metadata, "data": data}));
        let unnamed = server.set_password("u-1", &password(), Some("")).await;
        assert!(matches!(unnamed, Err(Error::Conflict { .. })), "{unnamed:?}");
        assert_eq!(asked.lines(), [format!("POST {SECRETS}"), format!("PATCH {SECRETS}/u-1")]);
    }

    #[tokio::test]
    async fn of_what_is_kept_the_version_is_read() {
        let kept = r#"{"metadata":{"name":"u-1","resourceVersion":"7"},"data":{"password":"aGFzaA==","salt":"eA=="}}"#;
        let (server, _) = client(move |_| rancher(200, kept));
        assert_eq!(server.password_version("u-1").await.unwrap().as_deref(), Some("7"));
        assert!(matches!(server.password_version("u-2").await, Err(Error::Unknown { .. })), "another one was shown");
        let (server, _) = client(|_| {
            let details = json!({"name": "u-1", "kind": "secrets"});
            let status = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "details": details});
            rancher(404, status.to_string())
        });
        assert_eq!(server.password_version("u-1").await.unwrap(), None);
        let gone = server.set_password("u-1", &password(), Some("7")).await;
        assert!(matches!(gone, Err(Error::NotFound(_))), "{gone:?}");
    }

    #[tokio::test]
    async fn what_rancher_has_against_a_password_is_said_in_our_own_words() {
        let denied = |why: &str| format!("admission webhook \"rancher.cattle.io.secrets\" denied the request: {why}");
        for (why, expected) in [
            ("password must be at least 12 characters", "password must be at least 12 characters"),
            ("password cannot be the same as username", "password cannot be the same as username"),
            (
                "user u-1 does not exist. User must be created before the secret",
                "User must be created before the secret",
            ),
            ("something else", UNSAID),
            ("password must be at least 1234567890 characters", UNSAID),
        ] {
            let body = says(400, "BadRequest", &denied(why));
            let (server, _) = client(move |_| rancher(400, body.clone()));
            match server.set_password("u-1", &password(), None).await {
                Err(Error::Refused { code: 400, reason, message }) => {
                    assert_eq!((reason.as_str(), message.as_str()), ("BadRequest", expected));
                }
                other => panic!("{other:?}"),
            }
        }
        let (server, _) = client(|_| rancher(409, says(409, "AlreadyExists", "there")));
        assert!(matches!(server.set_password("u-1", &password(), None).await, Err(Error::AlreadyExists { .. })));
        let (server, _) = client(|_| rancher(409, says(409, "Conflict", "modified")));
        assert!(matches!(server.set_password("u-1", &password(), Some("7")).await, Err(Error::Conflict { .. })));
    }

    /// Whether a text has as much of the password, clear or as it was sent, as somebody could use.
    fn tells(text: &str) -> bool {
        let (clear, sent) = (password().expose().to_owned(), STANDARD.encode(password().expose()));
        let part = |of: &str| of.as_bytes().windows(6).any(|part| text.contains(&*String::from_utf8_lossy(part)));
        part(CANARY) || part(&sent) || text.contains(&clear)
    }

    #[tokio::test]
    async fn no_error_repeats_a_password_whoever_echoes_it() {
        let (clear, sent) = (password().expose().to_owned(), STANDARD.encode(password().expose()));
        assert!(tells(&clear[..18]) && tells(&sent[..10]), "the search finds it");
        for echo in [clear.clone(), sent.clone(), sent[..12].to_owned(), sent.replace('c', "c\u{200b}")] {
            for code in [200, 302, 400, 401, 403, 404, 409, 410, 422, 429, 500, 502] {
                for body in [
                    echo.clone(),
                    says(code, &echo, &echo),
                    says(code, "AlreadyExists", &echo),
                    json!({"type": "error", "code": echo, "message": format!("{{\"password\":{echo:?}}}")}).to_string(),
                    format!("<html><title>{echo}</title>"),
                ] {
                    let (server, _) = client(move |_| rancher(code, body.clone()));
                    for stood in [None, Some("7")] {
                        let failed = server.set_password("u-1", &password(), stood).await;
                        let shown = failed.as_ref().map_or_else(ToString::to_string, |()| String::new());
                        assert!(!tells(&format!("{shown} {failed:?}")), "{code} {failed:?}");
                        assert_eq!(failed.is_ok(), code == 200, "{code}");
                    }
                    let version = server.password_version("u-1").await;
                    assert!(!tells(&format!("{version:?}")), "{code} {version:?}");
                }
            }
            let (torn, _) = transport(move |_| Err(format!("torn after {echo}").into()));
            let failed = over(torn).set_password("u-1", &password(), None).await.unwrap_err();
            assert!(!tells(&format!("{failed} {failed:?}")) && !failed.is_clear(), "{failed:?}");
        }
        assert!(!tells(&format!("{:?} {:#?}", password(), [password()])));
    }
}
