//! One turn of rotation: looks, plans, and does what is planned.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::{
    Told, keeper,
    plan::{Seen, Step, plan},
    record::{ANNOTATION, Record, Switch},
};
use crate::{
    api::{
        ConditionStatus::{False, True},
        LABEL_INSTALLATION, LABEL_INTEGRATION, RancherIntegration,
    },
    controller::{Context, brief, connection::Connection, find},
    grant::{Because, record::whole_seconds},
    rancher::{Error, Key, KeyKind, KeyName, Mark, Rancher, endpoint, identity::KeyInfo, token::kind_for},
};

/// How often a key must work in a row before it is trusted: Rancher's replicas learn of a fresh one each for itself.
const IN_A_ROW: u32 = 5;

/// The time between two of these tries, and how many there are at most.
const TRIES: (Duration, u32) = (Duration::from_millis(500), 60);

/// A turn that did not come to its end. The texts hold no secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum RotationError {
    /// Rancher said no, or nothing.
    #[error("{what}: {source}")]
    Rancher {
        /// What was to be done.
        what: String,
        /// What came instead.
        source: Error,
    },
    /// The Secret could not be read or written.
    #[error("the Secret {name}: {why}")]
    Secret {
        /// Its name.
        name: String,
        /// Why not.
        why: String,
    },
    /// A fresh key did not come to work.
    #[error("the new key {key} did not work {IN_A_ROW} times in a row: {why}; it was not taken")]
    NotProven {
        /// Its name.
        key: String,
        /// What came at last.
        why: String,
    },
    /// Another process may be at it by now.
    #[error("this process does not lead at the moment, or its clock is behind: nothing is made")]
    NotLeading,
}

impl RotationError {
    /// For the condition: what stands, what it means, what to do.
    pub(super) fn told(&self, integration: &RancherIntegration) -> Option<Told> {
        let message = format!(
            "The key could not be replaced: {self}. The key in the Secret is as good as before; it is tried again, every 10 minutes at least. If it lasts, make a key in Rancher (No Scope) and write it into the Secret."
        );
        let before = integration.status.as_ref().and_then(|status| status.key_rotation.clone()).unwrap_or_default();
        Some(Told {
            holds: False,
            because: Because::new("Failed", message),
            rotated: before.rotated_time.map(|time| time.0),
            next: before.next_time.map(|time| time.0),
            request: before.request,
        })
    }
}

/// One turn: what status is to say, and when the next one is due at the latest.
pub(super) async fn turn(
    ctx: &Context,
    integration: &RancherIntegration,
    connection: &Connection,
) -> Result<(Option<Told>, Duration), RotationError> {
    let quiet = Ok((None, Duration::MAX));
    let served = integration.metadata.name.as_deref().and_then(|name| ctx.registry.get(name));
    if !served.is_some_and(|link| link.may_sweep) {
        // Not the Rancher that was registered, or not ours to serve.
        return quiet;
    }
    let Some(name) = integration.spec.credentials_secret_ref.as_ref().map(|secret| &secret.name) else { return quiet };
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &ctx.settings.namespace);
    let unreadable = |error: &kube::Error| RotationError::Secret { name: name.clone(), why: brief(error) };
    // Without it, or with another key in it, the integration itself says so and connects anew.
    let Some(secret) = find(&api, name).await.map_err(|error| unreadable(&error))? else { return quiet };
    let record = Record::of(&secret);
    let unfinished = record.as_ref().is_some_and(|record| record.done.is_none());
    if !super::is_asked(integration) && !unfinished {
        return quiet;
    }
    let data = secret.data.clone().unwrap_or_default();
    let port = u16::try_from(integration.spec.port).unwrap_or_default();
    let Ok(credentials) = endpoint::parse(&data, &integration.spec.host, port) else { return quiet };
    let current = KeyName::of(&credentials.key);
    if connection.rancher.key_name().as_ref() != Some(&current) {
        return quiet;
    }
    let rancher = connection.rancher.with_key(credentials.key);
    let info = rancher.key_info().await.map_err(|source| failed("The key in use cannot be looked at", source))?;
    let Some(info) = info else { return quiet };
    let mut hand = Hand { ctx, integration, rancher, secret, api, current, info, kind: kind(connection), record };
    hand.step().await
}

/// The kind of key that this Rancher is served with best.
fn kind(connection: &Connection) -> KeyKind {
    kind_for(connection.release.minor())
}

fn failed(what: impl Into<String>, source: Error) -> RotationError {
    RotationError::Rancher { what: what.into(), source }
}

struct Hand<'a> {
    ctx: &'a Context,
    integration: &'a RancherIntegration,
    /// With the key that the Secret holds.
    rancher: Rancher,
    secret: Secret,
    api: Api<Secret>,
    current: KeyName,
    info: KeyInfo,
    kind: KeyKind,
    record: Option<Record>,
}

impl Hand<'_> {
    async fn step(&mut self) -> Result<(Option<Told>, Duration), RotationError> {
        let now = whole_seconds(self.ctx.now());
        let spec = &self.integration.spec;
        let before = self.integration.status.as_ref().and_then(|status| status.key_rotation.as_ref());
        let step = plan(&Seen {
            now,
            days: spec.api_key_rotation_days,
            request: spec.rotate_now.as_deref(),
            served: before.and_then(|before| before.request.as_deref()),
            created: self.info.created,
            expiry: self.info.expiry,
            record: self.record.as_ref(),
        });
        if step != Step::Retire
            && let Some(because) = self.refusal()
        {
            return Ok((Some(self.told(False, because, None)), Duration::MAX));
        }
        match step {
            Step::Wait(due) => Ok((Some(self.told(True, self.scheduled(due), due)), until(now, due))),
            Step::Settle(at) => Ok((Some(self.told(True, self.settling(), None)), until(now, Some(at)))),
            Step::Begin => {
                self.begin(now).await?;
                Ok((Some(self.told(True, self.settling(), None)), Duration::ZERO))
            }
            Step::Retire => {
                self.retire().await?;
                Ok((None, Duration::ZERO))
            }
        }
    }

    /// Why the Secret is not ours to write.
    fn refusal(&self) -> Option<Because> {
        let name = self.secret.name_any();
        if let Some(keeper) = keeper::of(&self.secret.metadata) {
            return Some(Because::new(
                "ManagedElsewhere",
                format!(
                    "The Secret {name} is kept by {keeper}, which would put the old key back: the key is not replaced here. Rotate it there: make a new key in Rancher (No Scope), store it where {keeper} takes it from, and delete the old one once this integration is Ready with the new one; or take apiKeyRotationDays and rotateNow out of the spec."
                ),
            ));
        }
        if self.secret.immutable == Some(true) {
            return Some(Because::new(
                "SecretImmutable",
                format!(
                    "The Secret {name} is immutable: no new key can be written into it. Replace it by one that is not, or take apiKeyRotationDays and rotateNow out of the spec."
                ),
            ));
        }
        None
    }

    fn scheduled(&self, due: Option<Timestamp>) -> Because {
        let key = &self.current;
        let message = match due {
            Some(due) => format!("The key {key} is replaced at {due}."),
            None => format!(
                "The key {key} is replaced when spec.rotateNow changes; set apiKeyRotationDays to have it replaced in time."
            ),
        };
        Because::new("Scheduled", message)
    }

    fn settling(&self) -> Because {
        Because::new(
            "Rotating",
            format!("A new key stands in the Secret {}; the old one is deleted in a minute.", self.secret.name_any()),
        )
    }

    fn told(&self, holds: crate::api::ConditionStatus, because: Because, next: Option<Timestamp>) -> Told {
        let before =
            self.integration.status.as_ref().and_then(|status| status.key_rotation.clone()).unwrap_or_default();
        let switched = self.record.as_ref().and_then(|record| Some((record, record.to.as_ref()?)));
        Told {
            holds,
            because,
            rotated: switched.map(|(_, to)| to.at).or(before.rotated_time.map(|time| time.0)),
            next,
            request: switched.and_then(|(record, _)| record.request.clone()).or(before.request),
        }
    }

    /// What marks the keys that we make.
    fn mark(&self) -> Mark {
        let (installation, integration) = (&self.ctx.installation.id, self.integration.name_any());
        Mark {
            description: format!("Rancher Access Operator, installation {installation}, integration {integration}"),
            labels: [(LABEL_INSTALLATION, installation.clone()), (LABEL_INTEGRATION, label(&integration))]
                .map(|(key, value)| (key.to_owned(), value))
                .into(),
        }
    }

    fn may_make(&self) -> Result<(), RotationError> {
        if self.ctx.leader.may_create() && !self.ctx.clock_is_behind() {
            Ok(())
        } else {
            Err(RotationError::NotLeading)
        }
    }

    /// Makes a new key, proves it, and writes it into the Secret.
    async fn begin(&mut self, now: Timestamp) -> Result<(), RotationError> {
        self.may_make()?;
        let from = self.current.to_string();
        let request = self.integration.spec.rotate_now.clone();
        // From here on nobody who began earlier can write his key.
        self.write(Record { from, began: now, request, to: None, done: None }, BTreeMap::new()).await?;
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
    async fn retire(&mut self) -> Result<(), RotationError> {
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
        let stands = self.api.get_metadata(&name).await;
        let stands = stands.map_err(|error| RotationError::Secret { name: name.clone(), why: brief(&error) })?;
        if stands.metadata.resource_version != self.secret.metadata.resource_version {
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
        let written = self.api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
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

/// A label's value has 63 characters at most; the description says the whole name.
fn label(name: &str) -> String {
    let cut: String = name.chars().take(63).collect();
    cut.trim_end_matches(['-', '.']).to_owned()
}

fn until(now: Timestamp, due: Option<Timestamp>) -> Duration {
    due.map_or(Duration::MAX, |due| due.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}
