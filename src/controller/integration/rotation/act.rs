//! What is done about the key: made, proven, written, deleted.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Resource, ResourceExt, runtime::events::EventType};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    error::{IN_A_ROW, RotationError, failed},
    record::{ANNOTATION, Record, Switch},
};
use crate::{
    api::{LABEL_INSTALLATION, LABEL_INTEGRATION, RancherIntegration},
    controller::{Context, brief, discovery, secrets::Secrets, words::KEY_MARK},
    grant::record::whole_seconds,
    rancher::{Key, KeyKind, KeyName, Mark, Rancher, identity::KeyInfo},
};

/// The time between two tries of a fresh key, and how many there are at most.
const TRIES: (Duration, u32) = (Duration::from_millis(500), 60);

/// Everything that one turn needs.
pub(super) struct Hand<'a> {
    pub ctx: &'a Context,
    pub integration: &'a RancherIntegration,
    /// With the key that the Secret holds.
    pub rancher: Rancher,
    pub secret: Secret,
    pub secrets: Secrets,
    pub current: KeyName,
    pub info: KeyInfo,
    pub kind: KeyKind,
    pub record: Option<Record>,
}

impl Hand<'_> {
    /// What marks the keys that we make.
    fn mark(&self) -> Mark {
        let (installation, integration) = (&self.ctx.installation.id, self.integration.name_any());
        Mark {
            description: format!("{KEY_MARK}{installation}, integration {integration}"),
            labels: [(LABEL_INSTALLATION, installation.clone()), (LABEL_INTEGRATION, discovery::label(&integration))]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
        }
    }

    /// A wrong clock does no harm here: it only makes a key be replaced earlier or later.
    fn may_make(&self) -> Result<(), RotationError> {
        if self.ctx.leader.may_create() { Ok(()) } else { Err(RotationError::NotLeading) }
    }

    /// Makes a new key, proves it, and writes it into the Secret.
    pub(super) async fn begin(&mut self, now: Timestamp) -> Result<(), RotationError> {
        self.may_make()?;
        let (by, from) = (self.integration.name_any(), self.current.to_string());
        let request = self.integration.spec.rotate_now.clone();
        // From here on nobody who began earlier can write his key.
        self.write(Record { by, from, began: now, request, to: None, done: None }, BTreeMap::new()).await?;
        self.delete_unused(None).await?;
        self.may_make()?;
        let made = self.rancher.create_key(self.kind, &self.mark()).await;
        let key = made.map_err(|source| failed("Rancher made no new key", source))?;
        let name = KeyName::of(&key);
        let taken = match self.prove(&key).await {
            Ok(()) => self.take(&key, &name).await,
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            // If the write landed after all, this key is the one in use: only the next turn, which sees the Secret, can tell.
            if matches!(error, RotationError::NotProven { .. } | RotationError::NotLeading)
                && let Err(error) = self.rancher.delete_key(&name).await
            {
                warn!(key = %name, %error, "A key that was not taken could not be deleted; it is tried again");
            }
            return Err(error);
        }
        let note = format!(
            "A new key {name} stands in the Secret {}; the old one, {}, is deleted in a minute.",
            self.secret.name_any(),
            self.current
        );
        info!(integration = self.integration.name_any(), old = %self.current, new = %name, "The key was replaced");
        self.publish(EventType::Normal, "KeyReplaced", &note);
        Ok(())
    }

    /// Whether a key works: many times in a row, for the same user, and everywhere.
    async fn prove(&self, key: &Key) -> Result<(), RotationError> {
        let fresh = self.rancher.with_key(key.clone());
        let name = KeyName::of(key).to_string();
        let not = |why: String| RotationError::NotProven { key: name.clone(), why };
        let (mut in_a_row, mut last) = (0, "it was not tried".to_owned());
        for _ in 0..TRIES.1 {
            match fresh.whoami().await {
                Ok(who) if self.info.user_id.as_ref().is_some_and(|user| *user != who.user_id) => {
                    return Err(not(format!("it is of user {}", who.user_id)));
                }
                Ok(_) => in_a_row += 1,
                Err(error) => (in_a_row, last) = (0, error.to_string()),
            }
            if in_a_row >= IN_A_ROW {
                let info = fresh.key_info().await.map_err(|error| not(error.to_string()))?;
                return match info.and_then(|info| info.cluster_scope) {
                    Some(scope) => Err(not(format!("it is scoped to cluster {scope}"))),
                    None => Ok(()),
                };
            }
            sleep(TRIES.0).await;
        }
        Err(not(last))
    }

    /// Writes the new key into the Secret, in the form that the old one had.
    async fn take(&mut self, key: &Key, name: &KeyName) -> Result<(), RotationError> {
        self.may_make()?;
        let held = self.secret.data.as_ref().and_then(|data| data.get("accessKey"));
        let in_two = held.is_some_and(|ByteString(held)| !held.trim_ascii().is_empty());
        let data = match key.expose().split_once(':') {
            Some((access, secret)) if in_two => {
                BTreeMap::from([("accessKey", bytes(access)), ("secretKey", bytes(secret))])
            }
            _ => BTreeMap::from([("token", bytes(key.expose()))]),
        };
        let Some(record) = self.record.clone() else { return Ok(()) };
        let to = Some(Switch { key: name.to_string(), at: whole_seconds(self.ctx.now()) });
        self.write(Record { to, ..record }, data).await
    }

    /// Deletes what the last rotation left, once the key in the Secret is proven to work: the key that it replaced, and
    /// whatever else carries our mark.
    pub(super) async fn retire(&mut self) -> Result<(), RotationError> {
        self.may_make()?;
        let Some(mut record) = self.record.clone() else { return Ok(()) };
        for _ in 0..IN_A_ROW {
            self.rancher.whoami().await.map_err(|source| failed("The key in the Secret does not work", source))?;
        }
        let Ok(from) = record.from.parse::<KeyName>();
        // One that was begun and not ended replaced nothing; and whoever began it must not end it any more.
        let replaced = record.to.is_some() && from != self.current;
        if record.to.is_none() {
            record.began = whole_seconds(self.ctx.now());
            self.write(record.clone(), BTreeMap::new()).await?;
        }
        self.delete_unused(replaced.then_some(&from)).await?;
        record.done = Some(whole_seconds(self.ctx.now()));
        self.write(record, BTreeMap::new()).await?;
        if replaced {
            info!(integration = self.integration.name_any(), old = %from, "The old key was deleted");
            self.publish(
                EventType::Normal,
                "KeyRotated",
                &format!("The key is {} now; the old one, {from}, was deleted in Rancher.", self.current),
            );
        }
        Ok(())
    }

    /// Deletes every key of ours that the Secret does not hold, and `replaced`.
    ///
    /// They are listed first and the Secret is looked at then: whoever makes a key writes the Secret before. So if it is as it
    /// was read, none of these can ever come to stand in it, however long the deletes take.
    async fn delete_unused(&self, replaced: Option<&KeyName>) -> Result<(), RotationError> {
        let marked = self.rancher.marked_keys(self.kind, &self.mark()).await;
        let mut unused = marked.map_err(|source| failed("Keys that were left over cannot be listed", source))?;
        unused.extend(replaced.cloned());
        unused.retain(|key| *key != self.current);
        if unused.is_empty() {
            return Ok(());
        }
        let name = self.secret.name_any();
        let stands = self.secrets.find(&name).await;
        let stands = stands.map_err(|error| RotationError::Secret { name: name.clone(), why: brief(&error) })?;
        if stands.and_then(|stands| stands.metadata.resource_version) != self.secret.metadata.resource_version {
            return Err(RotationError::Secret { name, why: "it changed meanwhile".to_owned() });
        }
        unused.sort();
        unused.dedup();
        for key in &unused {
            self.delete(key).await?;
        }
        Ok(())
    }

    async fn delete(&self, key: &KeyName) -> Result<(), RotationError> {
        self.rancher.delete_key(key).await.map_err(|source| {
            failed(format!("The key {key} is no longer used and could not be deleted; delete it in Rancher"), source)
        })
    }

    /// Writes record and data into the Secret as it was read, and takes it as it stands then.
    async fn write(&mut self, record: Record, data: BTreeMap<&str, Value>) -> Result<(), RotationError> {
        let meta = &self.secret.metadata;
        let text = json!(record).to_string();
        let mut patch = json!({"metadata": {
            "resourceVersion": meta.resource_version, "uid": meta.uid, "annotations": {ANNOTATION: text},
        }});
        if let (Some(fields), false) = (patch.as_object_mut(), data.is_empty()) {
            fields.insert("data".to_owned(), json!(data));
        }
        let name = self.secret.name_any();
        let written = self.secrets.patch(&name, patch).await;
        self.secret = written.map_err(|error| RotationError::Secret { name, why: brief(&error) })?;
        self.record = Some(record);
        Ok(())
    }

    fn publish(&self, type_: EventType, reason: &'static str, note: &str) {
        self.ctx.events.publish(self.integration.object_ref(&()), type_, reason, "RotateKey", note);
    }
}

/// As a Secret holds it.
fn bytes(text: &str) -> Value {
    json!(ByteString(text.as_bytes().to_vec()))
}
