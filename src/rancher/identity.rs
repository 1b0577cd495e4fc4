//! Who the server is, and who we are to it.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{
    absence::{Sighting, Target},
    call::{Call, path},
    client::{LOCAL, Rancher},
    error::Error,
    key::{Key, KeyKind},
    wire::{AccessReview, ExtToken, Feature, IdentityReview, NormanToken, Setting, UserAttribute, WhoAmI},
};

/// Rancher's version, as `/rancherversion` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Version {
    /// For example `v2.15.0`.
    pub version: String,
    /// The commit it was built from.
    #[serde(default)]
    pub git_commit: String,
}

impl Version {
    /// Major and minor number, where it has the form of a release.
    pub fn minor(&self) -> Option<(u32, u32)> {
        let mut parts = self.version.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// When a key ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Never.
    Never,
    /// At this time, by Rancher's clock.
    At(Timestamp),
    /// It ends, but Rancher does not say when.
    Unknown,
}

/// What Rancher says about the key in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The token's name.
    pub name: String,
    /// Which kind of token it is.
    pub kind: KeyKind,
    /// Its user's id.
    pub user_id: Option<String>,
    /// When it was made, by Rancher's clock.
    pub created: Option<Timestamp>,
    /// When it ends.
    pub expiry: Expiry,
    /// The one cluster it is good for; `None`: all. A key with a scope works for bindings but fails elsewhere with 401.
    pub cluster_scope: Option<String>,
    /// Whether it is enabled.
    pub enabled: bool,
}

/// One question to the authorizer of Rancher's own cluster. Empty fields mean what they mean in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceAccess {
    /// The verb, for example `create`.
    pub verb: String,
    /// The API group, empty for the core group.
    pub group: String,
    /// The resource, for example `clusterroletemplatebindings`.
    pub resource: String,
    /// The namespace; empty: all of them.
    pub namespace: String,
    /// The object's name; empty: any.
    pub name: String,
}

impl Rancher {
    /// Rancher's version. Without a key it is the setting `server-version`, which says `dev` in builds from source.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn version(&self) -> Result<Version, Error> {
        if self.is_keyless() {
            let version = self.setting("server-version").await?;
            return Ok(Version { version, git_commit: String::new() });
        }
        self.exchange.object(Call::get("/rancherversion".to_owned())).await
    }

    /// Whom the key belongs to. Works on every version, and costs one call.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn whoami(&self) -> Result<WhoAmI, Error> {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
        let path = self.cluster_path(LOCAL, &["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"])?;
        let review: IdentityReview = self.exchange.object(Call::post(path, &body)).await?;
        Ok(review.into())
    }

    /// Whether the key may do this on Rancher's own cluster.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn allowed(&self, access: &ResourceAccess) -> Result<bool, Error> {
        let body = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "verb": access.verb, "group": access.group, "resource": access.resource,
                "namespace": access.namespace, "name": access.name,
            }},
        });
        let path = self.cluster_path(LOCAL, &["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"])?;
        let review: AccessReview = self.exchange.object(Call::post(path, &body)).await?;
        Ok(review.status.allowed)
    }

    /// The identity of this Rancher installation: it survives upgrades and restores, and differs from every other.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn install_uuid(&self) -> Result<String, Error> {
        self.setting("install-uuid").await
    }

    /// The namespaces of Rancher and of Kubernetes itself, on every cluster, by Rancher's setting `system-namespaces`.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn system_namespaces(&self) -> Result<Vec<String>, Error> {
        let listed = self.setting("system-namespaces").await?;
        Ok(listed.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Whether Rancher makes role bindings in the aggregated way (feature `aggregated-roletemplates`; off by default up to
    /// 2.15).
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn aggregated_roletemplates(&self) -> Result<bool, Error> {
        let look = self.look_at("features", None, "aggregated-roletemplates")?;
        let feature: Sighting<Feature> = self.exchange.look(look).await?;
        Ok(feature.found().is_some_and(|f| f.is_on()))
    }

    /// What Rancher says about the key in use; `None` without a key.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A dead key cannot ask about itself: [`Error::Unauthenticated`].
    pub async fn key_info(&self) -> Result<Option<KeyInfo>, Error> {
        match &self.exchange.key {
            None => Ok(None),
            Some(key) if key.kind() == KeyKind::Ext => self.ext_key_info(key).await.map(Some),
            Some(key) => self.v3_key_info(key).await.map(Some),
        }
    }

    async fn v3_key_info(&self, key: &Key) -> Result<KeyInfo, Error> {
        let own = self.exchange.object(Call::get(path(&["v3", "tokens", key.name()])?)).await;
        let token: NormanToken = match own {
            // A key for one cluster may not use /v3, but reads itself in Rancher's own cluster if it is for that one.
            Err(Error::Unauthenticated { .. } | Error::Refused { .. }) => {
                let call = Call::get(self.management("tokens", None, Some(key.name()))?);
                self.exchange.object(call).await?
            }
            other => other?,
        };
        let created = token.created.or(token.metadata.creation_timestamp);
        Ok(KeyInfo {
            name: key.name().to_owned(),
            kind: KeyKind::V3,
            user_id: token.user_id,
            created,
            expiry: expiry(token.expires_at.as_deref(), token.ttl, created),
            cluster_scope: token.cluster_id.or(token.cluster_name),
            enabled: token.enabled.unwrap_or(true),
        })
    }

    async fn ext_key_info(&self, key: &Key) -> Result<KeyInfo, Error> {
        let path = path(&["ext", "apis", "ext.cattle.io", "v1", "tokens", key.name()])?;
        let target =
            Target { group: "ext.cattle.io", resource: "tokens", namespace: None, name: key.name().to_owned() };
        let token: ExtToken = self.exchange.object(Call::get(path).of(target)).await?;
        Ok(KeyInfo {
            name: key.name().to_owned(),
            kind: KeyKind::Ext,
            user_id: token.spec.user_id,
            created: token.metadata.creation_timestamp,
            expiry: expiry(token.status.expires_at.as_deref(), token.spec.ttl, token.metadata.creation_timestamp),
            cluster_scope: token.spec.cluster_name,
            enabled: token.spec.enabled.unwrap_or(true),
        })
    }

    /// Whether the key may do everything on Rancher's own cluster.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn is_administrator(&self) -> Result<bool, Error> {
        let all = || "*".to_owned();
        self.allowed(&ResourceAccess { verb: all(), group: all(), resource: all(), ..ResourceAccess::default() }).await
    }

    /// Whether Rancher's user retention may disable or delete this user, who never logs in: API calls do not count as logins.
    /// The user `admin` is spared, and whoever has its own limits set to zero in its UserAttribute.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn retention_may_take(&self, who: &WhoAmI) -> Result<bool, Error> {
        if who.username.as_deref() == Some("admin") || self.optional_setting("user-retention-cron").await?.is_none() {
            return Ok(false);
        }
        let mut limits = Vec::new();
        for setting in ["disable-inactive-user-after", "delete-inactive-user-after"] {
            limits.push(self.optional_setting(setting).await?);
        }
        if !limits.iter().any(is_a_limit) {
            return Ok(false);
        }
        let own: Sighting<UserAttribute> =
            self.exchange.look(self.look_at("userattributes", None, &who.user_id)?).await?;
        let own = own.found().map(|own| [own.disable_after, own.delete_after]).unwrap_or_default();
        Ok(own.into_iter().zip(limits).any(|(own, general)| is_a_limit(&own.or(general))))
    }

    /// A setting that an older Rancher does not have, or that is empty: `None`.
    async fn optional_setting(&self, name: &str) -> Result<Option<String>, Error> {
        let seen: Sighting<Setting> = self.exchange.look(self.look_at("settings", None, name)?).await?;
        Ok(seen.found().and_then(|setting| setting.value.or(setting.default)))
    }

    /// A setting's value, or its default where it has none.
    async fn setting(&self, name: &str) -> Result<String, Error> {
        let setting: Setting = self.exchange.object(self.look_at("settings", None, name)?).await?;
        setting.value.or(setting.default).ok_or_else(|| Error::unknown(format!("the setting {name} is empty")))
    }
}

/// Whether a duration, as Go writes it, is one of retention's limits: zero means none.
fn is_a_limit(duration: &Option<String>) -> bool {
    duration.as_ref().is_some_and(|text| text.chars().any(|c| ('1'..='9').contains(&c)))
}

/// `expires_at` is empty for a key that never ends, and for a fresh one until a controller has filled it in: then the lifetime
/// (milliseconds, 0 for ever) and the time it was made tell.
pub(super) fn expiry(expires_at: Option<&str>, ttl: i64, created: Option<Timestamp>) -> Expiry {
    match (expires_at, ttl, created) {
        (Some(at), ..) => at.parse().map_or(Expiry::Unknown, Expiry::At),
        (None, ..=0, _) => Expiry::Never,
        (None, ttl, Some(created)) => {
            created.checked_add(SignedDuration::from_millis(ttl)).map_or(Expiry::Unknown, Expiry::At)
        }
        (None, _, None) => Expiry::Unknown,
    }
}

#[cfg(test)]
mod tests;
