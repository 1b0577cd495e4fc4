//! A Rancher API key, kept out of everything that prints.
use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

/// Which of Rancher's two token kinds a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// `token-xxxxx:…`: a `tokens.management.cattle.io`.
    V3,
    /// `ext/token-xxxxx:…`: a `tokens.ext.cattle.io` (Rancher 2.13 and later).
    Ext,
}

/// An API key: its name may be shown, the rest never is. `Debug` shows the name only.
#[derive(Clone)]
pub struct Key {
    kind: KeyKind,
    name: String,
    bearer: SecretString,
}

/// The text is not a Rancher API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Rancher API key: expected `token-xxxxx:…` or `ext/token-xxxxx:…`, in ASCII and with one colon")]
pub struct NotAKey;

impl Key {
    /// Reads a bearer token as Rancher shows it: `token-xxxxx:secret` or `ext/token-xxxxx:secret`.
    ///
    /// # Errors
    /// [`NotAKey`] where it has another form. The error does not repeat the text.
    pub fn parse(bearer: &str) -> Result<Self, NotAKey> {
        let bearer = bearer.trim();
        let (access, secret) = bearer.split_once(':').ok_or(NotAKey)?;
        let (kind, name) = match access.strip_prefix("ext/") {
            Some(name) => (KeyKind::Ext, name),
            None => (KeyKind::V3, access),
        };
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        let secret_fits = !secret.is_empty() && secret.chars().all(|c| c.is_ascii_graphic() && c != ':');
        if !named || !secret_fits {
            return Err(NotAKey);
        }
        Ok(Self { kind, name: name.to_owned(), bearer: SecretString::from(bearer.to_owned()) })
    }

    /// The access key: the name of the token object, which is no secret.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which kind of token it is.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The `Authorization` header, marked sensitive, so that no HTTP library prints it. Bearer and not Basic: Rancher
    /// answers a failed Basic login on `/k8s` in plain text, a failed Bearer one with a `Status`.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.bearer.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` without the secret part of this key, should a server or a proxy echo it.
    pub(crate) fn scrub(&self, text: &str) -> String {
        match self.bearer.expose_secret().split_once(':') {
            Some((_, secret)) => text.replace(secret, "[redacted]"),
            None => String::new(),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("kind", &self.kind).field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "c4n4ryc4n4ryc4n4ry";

    #[test]
    fn both_forms_are_read() {
        let v3 = Key::parse(&format!(" token-abcde:{CANARY}\n")).unwrap();
        assert_eq!((v3.kind(), v3.name()), (KeyKind::V3, "token-abcde"));
        let ext = Key::parse(&format!("ext/token-zz9:{CANARY}")).unwrap();
        assert_eq!((ext.kind(), ext.name()), (KeyKind::Ext, "token-zz9"));
        assert_eq!(ext.authorization().unwrap().as_bytes(), format!("Bearer ext/token-zz9:{CANARY}").as_bytes());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "token", "token:", ":x", "a:b:c", "a b:c", "a:b c", "a:\u{e9}", "x/token:b", "a:b\nc"] {
            assert_eq!(Key::parse(text).unwrap_err(), NotAKey, "{text:?}");
        }
    }

    #[test]
    fn nothing_prints_the_secret() {
        let key = Key::parse(&format!("token-abcde:{CANARY}")).unwrap();
        assert!(!format!("{key:?} {:?}", key.authorization()).contains(CANARY));
        assert_eq!(key.scrub(&format!("got token-abcde:{CANARY}!")), "got token-abcde:[redacted]!");
    }
}
