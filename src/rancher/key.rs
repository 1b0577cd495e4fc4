//! A Rancher API key, kept out of everything that prints.
use std::fmt;

use bytes::Bytes;
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::plain;

/// Which of Rancher's two token kinds a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    /// The key as Rancher shows it. Only for writing it where it is kept: the credentials Secret.
    pub fn expose(&self) -> &str {
        self.bearer.expose_secret()
    }

    /// The `Authorization` header, marked sensitive, so that no HTTP library prints it. Bearer and not Basic: Rancher
    /// answers a failed Basic login on `/k8s` in plain text, a failed Bearer one with a `Status`.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", self.bearer.expose_secret())).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` without the secret part of this key, should a server or a proxy echo it: neither as it is, nor in pieces that
    /// come together once what nobody sees is dropped.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.scrubbed(text).unwrap_or_else(|| text.to_owned())
    }

    /// A body without it. JSON can write a text in many ways, so it is read first.
    pub(crate) fn scrub_body(&self, body: Bytes) -> Bytes {
        let scrubbed = match serde_json::from_slice::<Value>(&body) {
            Ok(mut value) => self.scrub_value(&mut value).then(|| value.to_string()),
            Err(_) => self.scrubbed(&String::from_utf8_lossy(&body)),
        };
        scrubbed.map_or(body, Bytes::from)
    }

    /// Takes it out of all texts, so none may be passed over; whether it was in any. Names of fields are never shown.
    fn scrub_value(&self, value: &mut Value) -> bool {
        match value {
            Value::String(text) => {
                let scrubbed = self.scrubbed(text);
                let found = scrubbed.is_some();
                *text = scrubbed.unwrap_or_else(|| std::mem::take(text));
                found
            }
            Value::Array(items) => items.iter_mut().filter_map(|item| self.scrub_value(item).then_some(())).count() > 0,
            Value::Object(fields) => {
                fields.values_mut().filter_map(|item| self.scrub_value(item).then_some(())).count() > 0
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => false,
        }
    }

    /// The text without it; `None` where it is not in there.
    fn scrubbed(&self, text: &str) -> Option<String> {
        let (_, secret) = self.bearer.expose_secret().split_once(':')?;
        let visible = plain::visible(text);
        visible.contains(secret).then(|| visible.replace(secret, "[redacted]"))
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

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let key = Key::parse(&format!("token-abcde:{CANARY}")).unwrap();
        let escaped: String = CANARY.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
        let torn = CANARY.replace('4', "4\u{200b}");
        let says = |text: &str| format!(r#"{{"a":[{{"message":"{text}"}}],"b":7}}"#);
        for body in [says(CANARY), says(&escaped), says(&torn), says("c4n4\\u0007ryc4n4ryc4n4ry"), torn.clone()] {
            let scrubbed = String::from_utf8(key.scrub_body(Bytes::from(body.clone())).to_vec()).unwrap();
            let reads = serde_json::from_str::<Value>(&scrubbed).map_or_else(|_| scrubbed.clone(), |v| v.to_string());
            assert!(scrubbed.contains("[redacted]"), "{body}: {scrubbed}");
            assert!(!plain::clean(&reads).contains(CANARY), "{body}: {reads}");
        }
        let harmless = Bytes::from_static(b" { \"kind\" : \"Status\", \"x\\u200b\":\"\\u200b\" }");
        assert_eq!(key.scrub_body(harmless.clone()), harmless, "what has no key in it is left as it is");
    }
}
