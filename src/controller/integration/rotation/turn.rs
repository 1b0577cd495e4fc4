//! One turn: looks at the Secret and at the key, plans, has it done, and says what stands.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;

use super::{
    Told,
    act::Hand,
    error::{RotationError, failed},
    keeper,
    plan::{Seen, Step, plan},
    record::Record,
};
use crate::{
    api::{
        ConditionStatus::{self, False, True},
        RancherIntegration,
    },
    controller::{Context, brief, connection::Connection, secrets::Secrets},
    grant::{Because, record::whole_seconds},
    rancher::{KeyName, endpoint, token::kind_for},
};

/// How soon it is looked again while another integration replaces the key in this Secret.
const OTHERS: Duration = Duration::from_secs(60);

/// How soon it is looked again whether the old key may go: the clock may stand still.
const LOOK: Duration = Duration::from_secs(30);

/// One turn: what status is to say, and when the next one is due at the latest. `began`: since when this task has kept the key
/// that the connection has.
pub(super) async fn turn(
    ctx: &Context,
    integration: &RancherIntegration,
    connection: &Connection,
    began: Instant,
) -> Result<(Option<Told>, Duration), RotationError> {
    let quiet = Ok((None, Duration::MAX));
    let served = integration.metadata.name.as_deref().and_then(|name| ctx.registry.get(name));
    if !served.is_some_and(|link| link.may_sweep) {
        // Not the Rancher that was registered, or not ours to serve.
        return quiet;
    }
    let Some(name) = integration.spec.credentials_secret_ref.as_ref().map(|secret| &secret.name) else { return quiet };
    let secrets = Secrets::new(ctx.client.clone(), &ctx.settings.namespace);
    let unreadable = |error: &kube::Error| RotationError::Secret { name: name.clone(), why: brief(error) };
    // Without it, or with another key in it, the integration itself says so and connects anew.
    let Some(secret) = secrets.find(name).await.map_err(|error| unreadable(&error))? else { return quiet };
    let record = Record::of(&secret);
    let unfinished = record.as_ref().is_some_and(|record| record.done.is_none());
    let others = record.as_ref().filter(|record| record.by != integration.name_any());
    if unfinished && others.is_some_and(|record| ctx.integrations.get(&record.by).is_some()) {
        // Another integration that names this Secret replaces the key: what it began is its own to end.
        return Ok((None, OTHERS));
    }
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
    let mut hand = Hand {
        ctx,
        integration,
        rancher,
        secret,
        secrets,
        current,
        info,
        kind: kind_for(connection.release.minor()),
        record,
    };
    hand.step(began.elapsed()).await
}

impl Hand<'_> {
    async fn step(&mut self, stood: Duration) -> Result<(Option<Told>, Duration), RotationError> {
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
            stood: SignedDuration::try_from(stood).unwrap_or(SignedDuration::MAX),
        });
        if step != Step::Retire
            && let Some(because) = self.refusal()
        {
            return Ok((Some(self.told(False, because, None)), Duration::MAX));
        }
        match step {
            Step::Wait(due) => Ok((Some(self.told(True, self.scheduled(due), due)), until(now, due))),
            Step::Settle(at) => {
                let wait = until(now, Some(at)).min(LOOK);
                Ok((Some(self.told(True, self.settling(), None)), wait))
            }
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
                    "The Secret {name} is kept by {keeper}, which would put the old key back: the key is not replaced here. Rotate it there: make a new key in Rancher (No Scope), store it where the Secret is made from, and delete the old one once this integration is Ready with the new one; or take apiKeyRotationDays and rotateNow out of the spec."
                ),
            ));
        }
        if let Some(other) = self.shared_with() {
            return Some(Because::new(
                "KeyShared",
                format!(
                    "The RancherIntegration {other} uses the key {} too, from another Secret: it would lose it. Give each integration a key of its own, or let both name one Secret.",
                    self.current
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

    /// Another integration that has the same key from a Secret of its own.
    fn shared_with(&self) -> Option<String> {
        let ours = &self.integration.spec.credentials_secret_ref;
        let others = self.ctx.integrations.all();
        let others = others.iter().filter(|other| other.spec.credentials_secret_ref != *ours);
        others.map(|other| other.name_any()).find(|other| {
            let connection = self.ctx.registry.get(other).and_then(|link| link.connection);
            connection.is_some_and(|connection| connection.rancher.key_name().as_ref() == Some(&self.current))
        })
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

    fn told(&self, holds: ConditionStatus, because: Because, next: Option<Timestamp>) -> Told {
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
}

fn until(now: Timestamp, due: Option<Timestamp>) -> Duration {
    due.map_or(Duration::MAX, |due| due.duration_since(now).try_into().unwrap_or(Duration::ZERO))
}
