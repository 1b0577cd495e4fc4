//! Tokens that Rancher's users made for themselves: what an administrator sees of them, and what he can do about them.
//!
//! A v3 token, as an administrator reads it, carries its secret: they are listed by their metadata alone, and of a single one
//! nothing is read but what is said in [`Detail`]. An ext token carries none.
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{
    absence::{Sighting, Target},
    call::Call,
    client::{MANAGEMENT, Rancher},
    error::Error,
    identity::{Expiry, expiry},
    key::KeyKind,
    token::{EXT, KeyName, ext_path},
    wire::{ExtToken, NormanToken, ObjectMeta},
};

/// The labels that say whose a token is (Rancher 2.11 to 2.15).
const USER_OF_V3: &str = "authn.management.cattle.io/token-userId";
const USER_OF_EXT: &str = "cattle.io/user-id";

/// The label of both kinds that a login's session has as `session`: no other token is one.
const KIND: &str = "authn.management.cattle.io/kind";
const SESSION: &str = "session";

/// One user's token, by its metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// Its name and kind.
    pub key: KeyName,
    /// Its UID: what is done to it is done to this one only.
    pub uid: String,
    /// When it was made, by Rancher's clock.
    pub created: Option<Timestamp>,
    /// Whether it is a login's session, by its label.
    pub session: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What only the object says; `None`: it was not looked at.
    pub detail: Option<Detail>,
}

/// What only the whole object says of a token. No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Whose it is.
    pub user: Option<String>,
    /// Whether it is an API key or a kubeconfig's, and not a session.
    pub derived: bool,
    /// Whether it works, as far as nobody disabled it.
    pub enabled: bool,
    /// When it ends.
    pub expiry: Expiry,
    /// What its maker wrote about it.
    pub description: Option<String>,
}

impl Rancher {
    /// A user's tokens: the v3 ones without detail, and the ext ones where `kind` says that this release has them whole.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn tokens_of(&self, kind: KeyKind, user: &str) -> Result<Vec<Issued>, Error> {
        let path = self.management("tokens", None, None)?;
        let listed = self.list_metadata(&path, &format!("{USER_OF_V3}={user}")).await?;
        let is_his = |meta: &ObjectMeta, label: &str| meta.labels.get(label).is_some_and(|of| of == user);
        let v3 = listed.into_iter().filter(|meta| is_his(meta, USER_OF_V3));
        let mut tokens: Vec<_> = v3.map(|meta| issued(KeyKind::V3, meta, None)).collect();
        if kind == KeyKind::Ext {
            let listed: Vec<ExtToken> = self.list_all(&ext_path(None)?, Some(&format!("{USER_OF_EXT}={user}"))).await?;
            let ext = listed.into_iter().filter(|token| is_his(&token.metadata, USER_OF_EXT));
            tokens.extend(ext.map(|token| {
                let detail = of_ext(&token);
                issued(KeyKind::Ext, token.metadata, Some(detail))
            }));
        }
        Ok(tokens)
    }

    /// The detail of a v3 token; `None` where that very token is not there any more.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn token_detail(&self, token: &Issued) -> Result<Option<Detail>, Error> {
        if let Some(known) = &token.detail {
            return Ok(Some(known.clone()));
        }
        let call = Call::get(self.token_path(&token.key)?).of(target(&token.key));
        let seen: Sighting<NormanToken> = self.exchange.look(call).await?;
        Ok(seen.found().filter(|found| found.metadata.uid == token.uid).map(|found| Detail {
            derived: found.is_derived.unwrap_or(false),
            enabled: found.enabled.unwrap_or(true),
            expiry: expiry(found.expires_at.as_deref(), found.ttl, found.metadata.creation_timestamp),
            user: found.user_id,
            description: found.description,
        }))
    }

    /// Disables that very token: it is refused from the next request on.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone; [`Error::Refused`] where another has its name.
    pub async fn disable_token(&self, token: &Issued) -> Result<(), Error> {
        let metadata = json!({"uid": certain(token)?});
        let body = match token.key.kind {
            KeyKind::V3 => json!({"metadata": metadata, "enabled": false}),
            KeyKind::Ext => json!({"metadata": metadata, "spec": {"enabled": false}}),
        };
        let call = Call::patch(self.token_path(&token.key)?, "application/merge-patch+json", &body);
        self.exchange.success(&call.of(target(&token.key))).await.map(drop)
    }

    /// Deletes that very token: it is refused from the next request on.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone; [`Error::UidMismatch`], and from ext tokens [`Error::Unknown`], where another has
    /// its name.
    pub async fn delete_token(&self, token: &Issued) -> Result<(), Error> {
        let body = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": certain(token)?},
        });
        let call = Call::delete(self.token_path(&token.key)?, &body).of(target(&token.key));
        self.exchange.success(&call).await.map(drop)
    }

    fn token_path(&self, key: &KeyName) -> Result<String, Error> {
        match key.kind {
            KeyKind::V3 => self.management("tokens", None, Some(&key.name)),
            KeyKind::Ext => ext_path(Some(&key.name)),
        }
    }
}

fn issued(kind: KeyKind, meta: ObjectMeta, detail: Option<Detail>) -> Issued {
    Issued {
        key: KeyName { kind, name: meta.name },
        uid: meta.uid,
        created: meta.creation_timestamp,
        session: meta.labels.get(KIND).is_some_and(|kind| kind == SESSION),
        labels: meta.labels,
        detail,
    }
}

fn of_ext(token: &ExtToken) -> Detail {
    let (spec, status) = (&token.spec, &token.status);
    Detail {
        user: spec.user_id.clone(),
        derived: spec.kind.as_deref() != Some(SESSION),
        enabled: spec.enabled.unwrap_or(true),
        expiry: expiry(status.expires_at.as_deref(), spec.ttl, token.metadata.creation_timestamp),
        description: spec.description.clone(),
    }
}

/// An empty precondition would be none.
fn certain(token: &Issued) -> Result<&str, Error> {
    if token.uid.is_empty() { Err(Error::Unaddressable { name: String::new() }) } else { Ok(&token.uid) }
}

fn target(key: &KeyName) -> Target {
    let group = match key.kind {
        KeyKind::V3 => MANAGEMENT,
        KeyKind::Ext => EXT,
    };
    Target { group, resource: "tokens", namespace: None, name: key.name.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rancher::fake::{self, CANARY, M, not_found, rancher};

    const E: &str = "/ext/apis/ext.cattle.io/v1/tokens";

    fn v3(name: &str) -> Issued {
        let meta = ObjectMeta { name: name.to_owned(), uid: "uid-1".to_owned(), ..ObjectMeta::default() };
        issued(KeyKind::V3, meta, None)
    }

    fn ext(name: &str) -> Issued {
        let detail = Detail { user: None, derived: true, enabled: true, expiry: Expiry::Never, description: None };
        Issued { key: KeyName { kind: KeyKind::Ext, name: name.to_owned() }, detail: Some(detail), ..v3(name) }
    }

    #[tokio::test]
    async fn v3_tokens_are_listed_by_their_metadata_and_ext_ones_as_they_are() {
        let (server, asked) = fake::client(|request| match request.uri().path() {
            E => rancher(
                200,
                r#"{"items":[{"metadata":{"name":"token-e","uid":"e","creationTimestamp":"2026-12-01T08:00:00Z",
                "labels":{"cattle.io/user-id":"u-a"}},"spec":{"userID":"u-a","kind":"kubeconfig","ttl":60000},"status":{}},
                {"metadata":{"name":"token-s","labels":{"cattle.io/user-id":"u-a","authn.management.cattle.io/kind":"session"}},
                "spec":{"userID":"u-a","kind":"session","enabled":false}}]}"#,
            ),
            _ => rancher(
                200,
                r#"{"kind":"PartialObjectMetadataList","metadata":{},"items":[
                {"metadata":{"name":"token-1","uid":"1","labels":{"authn.management.cattle.io/token-userId":"u-a"}}},
                {"metadata":{"name":"token-2","labels":{"authn.management.cattle.io/token-userId":"u-a",
                "authn.management.cattle.io/kind":"session"}}},
                {"metadata":{"name":"token-3","labels":{"authn.management.cattle.io/token-userId":"u-b"}}}]}"#,
            ),
        });
        let found = server.tokens_of(KeyKind::Ext, "u-a").await.unwrap();
        let names: Vec<_> = found.iter().map(|t| (t.key.to_string(), t.session)).collect();
        let expected = [("token-1", false), ("token-2", true), ("ext/token-e", false), ("ext/token-s", true)];
        assert_eq!(names, expected.map(|(name, session)| (name.to_owned(), session)), "and nobody else's");
        assert_eq!((&found[0].detail, found[0].uid.as_str()), (&None, "1"));
        let detail = found[2].detail.clone().unwrap();
        assert!(detail.derived && detail.enabled && matches!(detail.expiry, Expiry::At(_)), "{detail:?}");
        let session = found[3].detail.clone().unwrap();
        assert!(!session.derived && !session.enabled);
        let lines = [
            format!("GET {M}/tokens?limit=500&labelSelector=authn.management.cattle.io%2Ftoken-userId%3Du-a"),
            format!("GET {E}?limit=500&labelSelector=cattle.io%2Fuser-id%3Du-a"),
        ];
        assert_eq!(asked.lines(), lines);
        assert_eq!(asked.all()[0].headers()["accept"], crate::rancher::call::METADATA);
        assert_eq!(asked.all()[1].headers()["accept"], "application/json");
        server.tokens_of(KeyKind::V3, "u-a").await.unwrap();
        assert_eq!(asked.lines().len(), 3, "an older Rancher has no ext tokens worth the name");
    }

    #[tokio::test]
    async fn of_a_v3_token_no_secret_is_read() {
        let (server, asked) = fake::client(|request| match request.uri().path().rsplit('/').next().unwrap() {
            "token-1" => rancher(
                200,
                format!(
                    r#"{{"metadata":{{"name":"token-1","uid":"uid-1"}},"token":"{CANARY}2","isDerived":true,"userId":"u-a",
                    "enabled":null,"expiresAt":"2026-12-02T08:00:00Z","description":"mine"}}"#
                ),
            ),
            "token-2" => rancher(200, r#"{"metadata":{"name":"token-2","uid":"another"},"isDerived":true}"#),
            "token-3" => rancher(200, format!(r#"{{"metadata":{{"uid":"uid-1"}},"token":"{CANARY}2","ttl":"odd"}}"#)),
            name => not_found("management.cattle.io", "tokens", name),
        });
        let detail = server.token_detail(&v3("token-1")).await.unwrap().unwrap();
        assert!(detail.derived && detail.enabled && detail.user.as_deref() == Some("u-a"));
        assert!(!format!("{detail:?}").contains(CANARY));
        assert_eq!(server.token_detail(&v3("token-2")).await.unwrap(), None, "another one by that name");
        assert_eq!(server.token_detail(&v3("token-4")).await.unwrap(), None);
        let odd = server.token_detail(&v3("token-3")).await.unwrap_err();
        assert!(!odd.to_string().contains(CANARY), "{odd}");
        let calls = asked.lines().len();
        server.token_detail(&ext("token-e")).await.unwrap().unwrap();
        assert_eq!(asked.lines().len(), calls, "of an ext token all is known");
    }

    #[tokio::test]
    async fn what_is_done_is_done_to_that_very_token() {
        let (server, asked) = fake::client(|_| rancher(200, "{}"));
        for token in [v3("token-1"), ext("token-e")] {
            server.disable_token(&token).await.unwrap();
            server.delete_token(&token).await.unwrap();
            let nameless = Issued { uid: String::new(), ..token };
            assert!(matches!(server.disable_token(&nameless).await, Err(Error::Unaddressable { .. })));
            assert!(matches!(server.delete_token(&nameless).await, Err(Error::Unaddressable { .. })));
        }
        let said: Vec<_> = asked.all().iter().map(|r| String::from_utf8_lossy(r.body()).into_owned()).collect();
        assert_eq!(said[0], r#"{"enabled":false,"metadata":{"uid":"uid-1"}}"#);
        assert_eq!(said[2], r#"{"metadata":{"uid":"uid-1"},"spec":{"enabled":false}}"#);
        assert!(said[1].contains(r#""preconditions":{"uid":"uid-1"}"#) && said[1] == said[3], "{said:?}");
        let lines = [
            format!("PATCH {M}/tokens/token-1"),
            format!("DELETE {M}/tokens/token-1"),
            format!("PATCH {E}/token-e"),
            format!("DELETE {E}/token-e"),
        ];
        assert_eq!(asked.lines(), lines);
    }
}
