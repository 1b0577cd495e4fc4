//! API keys: Rancher's v3 tokens and the ext tokens that replace them.
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::apiserver::Gvr;

use super::core::{Core, lock, management, meta, stamp, text};

/// `auth-token-max-ttl-minutes`: 90 days.
pub(super) const MAX_TTL: Duration = Duration::from_secs(90 * 86_400);

/// What a token is to be.
#[derive(Clone, Debug, Default)]
pub struct TokenSpec {
    /// How long it lasts; `None`: for ever.
    pub ttl: Option<Duration>,
    /// The cluster it is scoped to.
    pub cluster: Option<String>,
    /// Whether it is an ext token (`ext/token-…`) and not a v3 one.
    pub ext: bool,
    /// Whether it is a login's session and not an API key.
    pub session: bool,
}

impl TokenSpec {
    pub(super) fn session() -> Self {
        Self { ttl: Some(Duration::from_secs(960 * 60)), session: true, ..Self::default() }
    }
}

/// The resource of ext tokens.
pub(super) fn ext() -> Gvr {
    Gvr::new("ext.cattle.io", "v1", "tokens")
}

/// When a token that starts now ends; empty for one that does not.
pub(super) fn expires_at(now: Timestamp, ttl: Option<Duration>) -> String {
    let ttl = ttl.and_then(|ttl| SignedDuration::try_from(ttl).ok());
    let end = ttl.and_then(|ttl| now.checked_add(ttl).ok());
    end.map(stamp).unwrap_or_default()
}

/// Makes a token and answers with its bearer.
pub(super) fn make(core: &Core, user: &str, spec: &TokenSpec) -> String {
    let prefix = if spec.ext { "ext/" } else { "" };
    let (name, secret) = (format!("token-{}", core.random(5)), core.random(54));
    let object = if spec.ext {
        lock(&core.ext_secrets).insert(name.clone(), secret.clone());
        let mut lag = lock(&core.ext_lag);
        let known = Instant::now() + lag.0;
        lag.1.insert(name.clone(), known);
        drop(lag);
        ext_object(core, &name, user, spec)
    } else {
        v3_object(core, &name, &secret, user, spec)
    };
    let gvr = if spec.ext { ext() } else { management("tokens") };
    // The name is fresh, so it is not there yet.
    let _ = core.local.create_unchecked(&gvr, object);
    format!("{prefix}{name}:{secret}")
}

fn millis(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, |ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

fn v3_object(core: &Core, name: &str, secret: &str, user: &str, spec: &TokenSpec) -> Value {
    // Only a login's session and a kubeconfig's token say their kind; one made through the API has no such label.
    let mut labels = json!({"authn.management.cattle.io/token-userId": user});
    if spec.session {
        labels["authn.management.cattle.io/kind"] = "session".into();
    }
    json!({
        "metadata": {"name": name, "labels": labels},
        "token": secret, "userId": user, "authProvider": "local", "ttl": millis(spec.ttl), "description": "",
        "isDerived": !spec.session, "expired": false, "expiresAt": expires_at((core.now)(), spec.ttl),
        "clusterName": spec.cluster.clone().unwrap_or_default(), "enabled": true, "current": false,
        "userPrincipal": {"metadata": {"name": format!("local://{user}")}, "provider": "local"},
    })
}

/// An ext token as it is stored: without its value.
pub(super) fn ext_object(core: &Core, name: &str, user: &str, spec: &TokenSpec) -> Value {
    let kind = if spec.session { "session" } else { "" };
    json!({
        "metadata": {"name": name, "labels": {"cattle.io/user-id": user, "authn.management.cattle.io/kind": kind}},
        "spec": {
            "userID": user, "kind": kind, "ttl": millis(spec.ttl), "enabled": true,
            "clusterName": spec.cluster.clone().unwrap_or_default(), "description": "",
            "userPrincipal": {"name": format!("local://{user}"), "provider": "local"},
        },
        "status": {"current": false, "expired": false, "expiresAt": expires_at((core.now)(), spec.ttl)},
    })
}

/// A token, as far as authentication looks at it.
pub(super) struct Token {
    pub name: String,
    pub is_ext: bool,
    pub user: String,
    pub cluster: String,
    enabled: bool,
    expires_at: String,
}

impl Token {
    /// The token of a bearer, if the secret is right.
    pub fn find(core: &Core, bearer: &str) -> Option<Self> {
        let (is_ext, rest) = match bearer.strip_prefix("ext/") {
            Some(_) if !core.serves_ext_tokens() => return None,
            Some(rest) => (true, rest),
            None => (false, bearer),
        };
        let (name, secret) = rest.split_once(':')?;
        if secret.is_empty() || secret.contains(':') {
            return None;
        }
        let gvr = if is_ext { ext() } else { management("tokens") };
        let object = core.local.peek(&gvr, "", name)?;
        let right = if is_ext {
            let known = lock(&core.ext_lag).1.get(name).is_none_or(|known| *known <= Instant::now());
            known && lock(&core.ext_secrets).get(name).is_some_and(|one| one == secret)
        } else {
            text(&object, "token") == secret
        };
        let (spec, times) = if is_ext { (&object["spec"], &object["status"]) } else { (&*object, &*object) };
        let user = if is_ext { text(spec, "userID") } else { text(spec, "userId") };
        right.then(|| Self {
            name: meta(&object, "name").to_owned(),
            is_ext,
            user: user.to_owned(),
            cluster: text(spec, "clusterName").to_owned(),
            enabled: spec["enabled"] != false,
            expires_at: text(times, "expiresAt").to_owned(),
        })
    }

    /// Whether it may be used now.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        let ended = |at: Timestamp| at <= now;
        let over = !self.expires_at.is_empty() && self.expires_at.parse().is_ok_and(ended);
        self.enabled && !over
    }
}
