//! The way to one Rancher: its key, address and certificates, or the operator's own ServiceAccount.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::Api;
use tokio::{sync::Notify, time::Instant};

use crate::{
    api::{RancherIntegration, reference::KeyReference},
    controller::{
        Context, brief,
        connection::{Connection, observed},
        find,
        secrets::Secrets,
    },
    grant::Because,
    rancher::{Credentials, Rancher, TransportConfig, endpoint, transport},
    runtime::Breaker,
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// The inputs of a connection. While they stay the same, so does the connection.
#[derive(PartialEq)]
pub(super) struct Inputs {
    base: String,
    secret: Option<BTreeMap<String, ByteString>>,
    ca: Option<Vec<u8>>,
}

/// What is kept from one look to the next.
pub(super) struct Kept {
    pub inputs: Option<Inputs>,
    pub rancher: Option<Rancher>,
    pub connection: Option<Arc<Connection>>,
    /// Whether the connection was made from other inputs than those that stand now.
    pub stale: bool,
    pub breaker: Breaker,
    /// Told when Rancher does not accept the key.
    pub refused: Arc<Notify>,
    /// Whether the rights were found complete with these inputs.
    pub authorized: bool,
    /// What is asked about the key's user now and then, and when it was.
    pub standing: Option<(Instant, Standing)>,
}

/// What the key's user is in Rancher. `None` where it could not be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Whether he may do everything.
    pub administrator: Option<bool>,
    /// Whether Rancher's user retention may disable or delete him.
    pub retained: Option<bool>,
}

impl Kept {
    /// Nothing was looked at yet.
    pub(super) fn new(breaker: Breaker) -> Self {
        Self {
            inputs: None,
            rancher: None,
            connection: None,
            stale: false,
            breaker,
            refused: Arc::default(),
            authorized: false,
            standing: None,
        }
    }

    fn take(&mut self, inputs: Inputs, rancher: &Rancher) {
        self.inputs = Some(inputs);
        self.rancher = Some(rancher.clone());
        // What was reached with the old ones stays the way to take access away, until the new ones are proven to work.
        self.stale = true;
        self.authorized = false;
        self.standing = None;
    }
}

/// The client for the key, address and certificates that stand now.
pub(super) async fn rancher(
    ctx: &Context,
    integration: &RancherIntegration,
    kept: &mut Kept,
) -> Result<Rancher, Because> {
    let spec = &integration.spec;
    if spec.host.is_empty() {
        return Ok(keyless(ctx, integration, kept));
    }
    let Some(secret) = spec.credentials_secret_ref.as_ref().map(|secret| &secret.name) else {
        return Err(Because::new("InvalidSpec", "spec.credentialsSecretRef must be set where spec.host is."));
    };
    let data = secret_data(ctx, secret, "spec.credentialsSecretRef").await?;
    let port = u16::try_from(spec.port).map_err(|_| Because::new("InvalidSpec", "spec.port must be 1 to 65535."))?;
    let Credentials { endpoint, key } = endpoint::parse(&data, &spec.host, port).map_err(|error| {
        Because::new(
            "InvalidCredentials",
            format!("The Secret {}/{secret} cannot be used: {error}", ctx.settings.namespace),
        )
    })?;
    let ca = match &spec.certificate_authority {
        None => None,
        Some(ca) => Some(certificates(ctx, ca.config_map_ref.as_ref(), ca.secret_ref.as_ref()).await?),
    };
    let inputs = Inputs { base: endpoint.base(), secret: Some(data), ca: ca.clone() };
    if let (Some(rancher), true) = (&kept.rancher, kept.inputs.as_ref() == Some(&inputs)) {
        return Ok(rancher.clone());
    }
    let config = TransportConfig { ca_pem: ca, connect_timeout: CONNECT };
    let transport = (ctx.transports)(&config)
        .map_err(|error| Because::new("InvalidCertificates", format!("spec.certificateAuthority: {error}")))?;
    let name = integration.metadata.name.clone().unwrap_or_default();
    let transport = observed(transport, &name, kept.breaker.clone(), kept.refused.clone(), ctx.metrics.clone());
    let rancher = Rancher::new(transport, &endpoint, key);
    kept.take(inputs, &rancher);
    Ok(rancher)
}

/// The client for the Rancher in whose cluster we run: our own ServiceAccount speaks to that cluster's API server.
fn keyless(ctx: &Context, integration: &RancherIntegration, kept: &mut Kept) -> Rancher {
    let inputs = Inputs { base: String::new(), secret: None, ca: None };
    if let (Some(rancher), true) = (&kept.rancher, kept.inputs.as_ref() == Some(&inputs)) {
        return rancher.clone();
    }
    let name = integration.metadata.name.clone().unwrap_or_default();
    let transport = transport::through(ctx.client.clone());
    let rancher =
        Rancher::keyless(observed(transport, &name, kept.breaker.clone(), kept.refused.clone(), ctx.metrics.clone()));
    kept.take(inputs, &rancher);
    rancher
}

/// A Secret of the operator's own namespace: the one place where keys and certificates are read.
async fn secret_data(ctx: &Context, name: &str, field: &str) -> Result<BTreeMap<String, ByteString>, Because> {
    let namespace = &ctx.settings.namespace;
    match Secrets::new(ctx.client.clone(), namespace).find(name).await {
        Ok(Some(secret)) => Ok(secret.data.unwrap_or_default()),
        Ok(None) => Err(Because::new(
            "SecretNotFound",
            format!(
                "{field} names the Secret {name}, which is not in the operator's namespace {namespace}: create it there."
            ),
        )),
        Err(error) => Err(Because::new(
            "SecretUnreadable",
            format!("The Secret {namespace}/{name} cannot be read: {}.", brief(&error)),
        )),
    }
}

async fn certificates(
    ctx: &Context,
    config_map: Option<&KeyReference>,
    secret: Option<&KeyReference>,
) -> Result<Vec<u8>, Because> {
    let namespace = &ctx.settings.namespace;
    let missing = |kind: &str, at: &KeyReference| {
        Because::new(
            "CertificatesNotFound",
            format!(
                "spec.certificateAuthority names key {} of the {kind} {}, which is not in the operator's namespace {namespace}: create it there.",
                at.key, at.name
            ),
        )
    };
    if let Some(at) = secret {
        let data = secret_data(ctx, &at.name, "spec.certificateAuthority.secretRef").await?;
        return data.get(&at.key).map(|value| value.0.clone()).ok_or_else(|| missing("Secret", at));
    }
    let Some(at) = config_map else {
        return Err(Because::new(
            "InvalidSpec",
            "spec.certificateAuthority must set exactly one of configMapRef and secretRef.",
        ));
    };
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), namespace);
    let found = find(&api, &at.name).await.map_err(|error| {
        Because::new(
            "ConfigMapUnreadable",
            format!("The ConfigMap {namespace}/{} cannot be read: {}.", at.name, brief(&error)),
        )
    })?;
    found
        .and_then(|map| map.data?.get(&at.key).map(|text| text.clone().into_bytes()))
        .ok_or_else(|| missing("ConfigMap", at))
}
