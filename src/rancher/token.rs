//! Making and deleting API keys of the user whom the key in use belongs to.
//!
//! Rancher gives every key its name and secret itself, so a create that is not answered may have made a key that nobody
//! knows. That is why each carries a [`Mark`]: whoever made it finds it again, and can delete it.
use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;
use serde_json::json;

use super::{
    absence::Target,
    answer::Answer,
    call::{Call, path},
    client::Rancher,
    error::Error,
    key::{Key, KeyKind},
    wire::{ExtToken, filled, nullable},
};

/// Rancher's first release whose ext tokens say all that is needed: their whole value, and their scope.
const EXT_SINCE: (u32, u32) = (2, 13);

/// The API group of ext tokens.
pub(super) const EXT: &str = "ext.cattle.io";

/// By what a key that we made is known: its description, and labels by which it is found where it can have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// For ext tokens: what is looked for.
    pub labels: BTreeMap<String, String>,
    /// What says that it is one of these, to us and to people.
    pub description: String,
}

/// The name of a key, and its kind: as Rancher writes it before the colon, `token-xxxxx` or `ext/token-xxxxx`. No secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName {
    pub(super) kind: KeyKind,
    pub(super) name: String,
}

impl KeyName {
    /// The name of that key.
    pub fn of(key: &Key) -> Self {
        Self { kind: key.kind(), name: key.name().to_owned() }
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            KeyKind::V3 => f.write_str(&self.name),
            KeyKind::Ext => write!(f, "ext/{}", self.name),
        }
    }
}

impl FromStr for KeyName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix("ext/") {
            Some(name) => Self { kind: KeyKind::Ext, name: name.to_owned() },
            None => Self { kind: KeyKind::V3, name: text.to_owned() },
        })
    }
}

#[derive(Deserialize)]
struct MadeV3 {
    token: String,
}

#[derive(Deserialize)]
struct MadeExt {
    status: MadeExtStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadeExtStatus {
    bearer_token: String,
}

#[derive(Deserialize)]
struct Collection {
    #[serde(default, deserialize_with = "nullable")]
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    #[serde(default, deserialize_with = "filled")]
    description: Option<String>,
}

impl Rancher {
    /// The name of the key in use; `None` without one.
    pub fn key_name(&self) -> Option<KeyName> {
        self.exchange.key.as_ref().map(KeyName::of)
    }

    /// The same Rancher, on the same connections, with another key.
    pub fn with_key(&self, key: Key) -> Self {
        let mut other = self.clone();
        other.exchange.key = Some(key);
        other
    }

    /// Makes a key of the kind that this release is best served with, for the user whom the key in use belongs to, without a
    /// cluster scope, and for as long as Rancher allows (its setting `auth-token-max-ttl-minutes`).
    ///
    /// # Errors
    /// As for every call: see [`Error`]. After [`Error::Unknown`] there may be a key with that mark.
    pub async fn create_key(&self, kind: KeyKind, mark: &Mark) -> Result<Key, Error> {
        let bearer = match kind {
            KeyKind::Ext => {
                let body = json!({
                    "apiVersion": format!("{EXT}/v1"), "kind": "Token", "metadata": {"labels": mark.labels},
                    "spec": {"description": mark.description},
                });
                let made: MadeExt = self.exchange.object(Call::post(ext_path(None)?, &body)).await?;
                made.status.bearer_token
            }
            KeyKind::V3 => {
                let body = json!({"type": "token", "description": mark.description, "ttl": 0});
                let made: MadeV3 = self.exchange.object(Call::post(path(&["v3", "tokens"])?, &body)).await?;
                made.token
            }
        };
        Key::parse(&bearer).map_err(|error| Error::unknown(format!("the new key is {error}")))
    }

    /// The keys that carry that mark, of the user whom the key in use belongs to. v3 tokens are looked for only with a v3
    /// key: before 2.15 Rancher answers an ext one with 500 there (rancher/rancher#54338).
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn marked_keys(&self, kind: KeyKind, mark: &Mark) -> Result<Vec<KeyName>, Error> {
        let mut found = Vec::new();
        if kind == KeyKind::Ext {
            let selector: Vec<_> = mark.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let tokens: Vec<ExtToken> = self.list_all(&ext_path(None)?, Some(&selector.join(","))).await?;
            let ours = tokens.into_iter().filter(|t| t.spec.description.as_deref() == Some(&mark.description));
            found.extend(ours.map(|token| KeyName { kind: KeyKind::Ext, name: token.metadata.name }));
        }
        if self.exchange.key.as_ref().is_some_and(|key| key.kind() == KeyKind::V3) {
            let listed: Collection = self.exchange.object(Call::list(path(&["v3", "tokens"])?)).await?;
            let marked = listed.data.into_iter().filter(|t| t.description.as_deref() == Some(&mark.description));
            found.extend(marked.map(|token| KeyName { kind: KeyKind::V3, name: token.id }));
        }
        Ok(found)
    }

    /// Deletes a key of that user. One that is gone already is fine. It is dead at the next request (recorded on 2.15.0).
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn delete_key(&self, key: &KeyName) -> Result<(), Error> {
        let v3_speaks = self.exchange.key.as_ref().is_some_and(|own| own.kind() == KeyKind::V3);
        let path = match key.kind {
            KeyKind::Ext => ext_path(Some(&key.name))?,
            KeyKind::V3 if v3_speaks => path(&["v3", "tokens", &key.name])?,
            // With an ext key, Rancher before 2.15 fails on /v3/tokens.
            KeyKind::V3 => self.management("tokens", None, Some(&key.name))?,
        };
        let target = match key.kind {
            KeyKind::Ext => Target { group: EXT, resource: "tokens", namespace: None, name: key.name.clone() },
            KeyKind::V3 => {
                Target { group: super::client::MANAGEMENT, resource: "tokens", namespace: None, name: key.name.clone() }
            }
        };
        let call = Call::delete(path, &json!({"apiVersion": "v1", "kind": "DeleteOptions"})).of(target);
        let answer = self.exchange.send(&call).await?;
        if answer.is_success() || is_gone(&answer, key) {
            return Ok(());
        }
        Err(answer.error(call.intent, call.target.as_ref(), self.exchange.through_rancher()))
    }
}

/// The kind of key that is made on a release. One that is not known (builds from source say `dev`) counts as the newest.
pub fn kind_for(minor: Option<(u32, u32)>) -> KeyKind {
    if minor.is_none_or(|minor| minor >= EXT_SINCE) { KeyKind::Ext } else { KeyKind::V3 }
}

/// Whether Rancher itself says that there is no such key: `/v3` says so in its own dialect.
fn is_gone(answer: &Answer, key: &KeyName) -> bool {
    let said = String::from_utf8_lossy(&answer.body);
    answer.code == 404 && answer.rancher_authenticated && said.contains("NotFound") && said.contains(&key.name)
}

pub(super) fn ext_path(name: Option<&str>) -> Result<String, Error> {
    let mut segments = vec!["ext", "apis", EXT, "v1", "tokens"];
    segments.extend(name);
    path(&segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rancher::fake::{CANARY, M, client, rancher};

    fn mark() -> Mark {
        Mark { labels: [("a".to_owned(), "1".to_owned())].into(), description: "ours".to_owned() }
    }

    fn key(bearer: &str) -> Key {
        Key::parse(bearer).unwrap()
    }

    #[tokio::test]
    async fn a_new_key_is_read_from_the_answer_and_never_printed() {
        let (server, asked) = client(|request| match request.uri().path() {
            "/v3/tokens" => rancher(201, format!(r#"{{"id":"token-new","token":"token-new:{CANARY}2"}}"#)),
            _ => rancher(
                201,
                format!(
                    r#"{{"metadata":{{"name":"token-ext"}},"status":{{"bearerToken":"ext/token-ext:{CANARY}3"}}}}"#
                ),
            ),
        });
        let v3 = server.create_key(KeyKind::V3, &mark()).await.unwrap();
        let body = asked.last().body().clone();
        assert!(body.windows(7).any(|part| part == b"\"ttl\":0") && body.windows(6).any(|part| part == b"\"ours\""));
        let ext = server.create_key(KeyKind::Ext, &mark()).await.unwrap();
        assert_eq!([&v3, &ext].map(|key| KeyName::of(key).to_string()), ["token-new", "ext/token-ext"]);
        assert!(!format!("{v3:?} {ext:?} {:?}", server.with_key(ext.clone())).contains(CANARY));
        assert_eq!(asked.lines(), ["POST /v3/tokens", "POST /ext/apis/ext.cattle.io/v1/tokens"]);
    }

    #[tokio::test]
    async fn an_answer_without_a_key_is_no_clear_answer() {
        for body in [r#"{"status":{"value":"x"}}"#, r#"{"status":{"bearerToken":"nonsense"}}"#, "{}"] {
            let (server, _) = client(move |_| rancher(201, body));
            assert!(matches!(server.create_key(KeyKind::Ext, &mark()).await, Err(Error::Unknown { .. })), "{body}");
        }
    }

    #[tokio::test]
    async fn only_what_carries_the_whole_mark_is_found() {
        let (server, asked) = client(|request| match request.uri().path() {
            "/v3/tokens" => rancher(
                200,
                r#"{"data":[{"id":"token-1","description":"ours"},{"id":"token-2","description":"ours too"},{"id":"token-3"}]}"#,
            ),
            _ => rancher(
                200,
                r#"{"metadata":{},"items":[{"metadata":{"name":"token-4"},"spec":{"description":"ours"}},{"metadata":{"name":"token-5"},"spec":{}}]}"#,
            ),
        });
        let names = |found: Vec<KeyName>| found.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(server.marked_keys(KeyKind::Ext, &mark()).await.unwrap()), ["ext/token-4", "token-1"]);
        assert_eq!(names(server.marked_keys(KeyKind::V3, &mark()).await.unwrap()), ["token-1"]);
        let ext = server.with_key(key("ext/token-9:x"));
        assert_eq!(
            names(ext.marked_keys(KeyKind::Ext, &mark()).await.unwrap()),
            ["ext/token-4"],
            "an ext key does not ask /v3"
        );
        assert_eq!(asked.lines()[0], "GET /ext/apis/ext.cattle.io/v1/tokens?limit=500&labelSelector=a%3D1");
    }

    #[tokio::test]
    async fn a_key_that_is_gone_is_deleted() {
        let norman =
            r#"{"baseType":"error","code":"NotFound","message":"token-1 not found","status":404,"type":"error"}"#;
        let (server, asked) = client(move |_| rancher(404, norman));
        let name = |text: &str| text.parse::<KeyName>().unwrap();
        server.delete_key(&name("token-1")).await.unwrap();
        assert!(server.delete_key(&name("token-2")).await.is_err(), "another one is not there");
        let ext = server.with_key(key("ext/token-9:x"));
        ext.delete_key(&name("token-1")).await.unwrap();
        ext.delete_key(&name("ext/token-1")).await.unwrap();
        let paths = [
            "/v3/tokens/token-1",
            "/v3/tokens/token-2",
            &format!("{M}/tokens/token-1"),
            "/ext/apis/ext.cattle.io/v1/tokens/token-1",
        ];
        assert_eq!(asked.lines(), paths.map(|path| format!("DELETE {path}")));
        // What stands in front of Rancher does not know.
        let (front, _) = client(|_| {
            let page = http::Response::builder().status(404);
            page.body(kube::client::Body::from(b"NotFound: token-1".to_vec())).unwrap()
        });
        assert!(front.delete_key(&name("token-1")).await.is_err());
    }

    #[test]
    fn ext_tokens_are_made_where_they_say_their_whole_value() {
        assert_eq!(kind_for(Some((2, 12))), KeyKind::V3);
        assert_eq!(kind_for(Some((2, 13))), KeyKind::Ext);
        assert_eq!(kind_for(None), KeyKind::Ext);
    }
}
