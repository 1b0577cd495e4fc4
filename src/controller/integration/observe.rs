//! Looks at one Rancher: whether it answers, which one it is, whose the key is, and what the key may do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::Api;

use super::claim;
use crate::{
    api::{RancherIntegration, reference::KeyReference},
    controller::{
        Context, brief,
        connection::{Connection, observed},
    },
    grant::Because,
    rancher::{
        Credentials, Error, Rancher, TransportConfig, endpoint,
        identity::{KeyInfo, ResourceAccess},
        wire::WhoAmI,
    },
    runtime::Breaker,
};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// What one look showed. Each is `None` while something before it stood in the way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether the key and the certificates could be read, and Rancher answered.
    pub reached: Option<Result<(), Because>>,
    pub version: Option<String>,
    /// Whether the key was accepted.
    pub authenticated: Option<Result<(WhoAmI, Option<KeyInfo>), Because>>,
    pub install_uuid: Option<String>,
    /// Whether the key may do what the operator needs.
    pub authorized: Option<Result<(), Because>>,
    /// Whether this installation is the one that uses its id on that Rancher.
    pub claimed: Option<Result<(), Because>>,
    /// How to reach it.
    pub connection: Option<Arc<Connection>>,
}

impl Findings {
    /// Whether Rancher answered, and accepted the key: then access can be taken away there.
    pub(super) fn is_usable(&self) -> bool {
        self.connection.is_some() && matches!(self.reached, Some(Ok(()))) && matches!(self.authenticated, Some(Ok(_)))
    }
}

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
    /// Whether the rights were found complete with these inputs.
    pub authorized: bool,
}

/// Looks once.
pub(super) async fn look(ctx: &Context, integration: &RancherIntegration, kept: &mut Kept) -> Findings {
    let mut findings = Findings::default();
    let rancher = match rancher(ctx, integration, kept).await {
        Ok(rancher) => rancher,
        Err(because) => {
            findings.reached = Some(Err(because));
            findings.connection = kept.connection.clone();
            return findings;
        }
    };
    match rancher.version().await {
        Ok(version) => {
            findings.version = Some(version.version);
            findings.reached = Some(Ok(()));
        }
        Err(error) => {
            findings.reached = Some(Err(unreachable(&error)));
            // What was reached before is still the way to take access away.
            findings.connection = kept.connection.clone();
            return findings;
        }
    }
    identify(&rancher, kept, &mut findings).await;
    if findings.connection.is_some() {
        findings.authorized = Some(authorized(&rancher, kept).await);
        findings.claimed = Some(claim::stand(ctx, &rancher).await);
    }
    findings
}

async fn identify(rancher: &Rancher, kept: &mut Kept, findings: &mut Findings) {
    findings.authenticated = Some(authenticated(rancher).await);
    if !matches!(findings.authenticated, Some(Ok(_))) {
        findings.connection = kept.connection.clone();
        return;
    }
    let found = match rancher.install_uuid().await {
        Ok(found) => found,
        Err(error) => {
            findings.authenticated = Some(Err(Because::new(
                "IdentityUnreadable",
                format!(
                    "The key is accepted, but Rancher's setting install-uuid cannot be read with it, so it is not known which Rancher this is: {error}. Give the key's user the right to read settings."
                ),
            )));
            findings.connection = kept.connection.clone();
            return;
        }
    };
    let same = |c: &Arc<Connection>| c.install_uuid == found && c.version == findings.version;
    if kept.stale || !kept.connection.as_ref().is_some_and(same) {
        let connection =
            Connection::new(rancher.clone(), found.clone(), findings.version.clone(), kept.breaker.clone());
        kept.connection = Some(Arc::new(connection));
        kept.stale = false;
    }
    findings.connection = kept.connection.clone();
    findings.install_uuid = Some(found);
}

/// The client for the key, address and certificates that stand now.
async fn rancher(ctx: &Context, integration: &RancherIntegration, kept: &mut Kept) -> Result<Rancher, Because> {
    let spec = &integration.spec;
    let secret = &spec.credentials_secret_ref.name;
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
    let transport = observed(transport, &name, kept.breaker.clone(), ctx.metrics.clone());
    let rancher = Rancher::new(transport, &endpoint, key);
    kept.inputs = Some(inputs);
    kept.rancher = Some(rancher.clone());
    // What was reached with the old ones stays the way to take access away, until the new ones are proven to work.
    kept.stale = true;
    kept.authorized = false;
    Ok(rancher)
}

/// A Secret of the operator's own namespace: the one place where keys and certificates are read.
async fn secret_data(ctx: &Context, name: &str, field: &str) -> Result<BTreeMap<String, ByteString>, Because> {
    let namespace = &ctx.settings.namespace;
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    match api.get_opt(name).await {
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
    let found = api.get_opt(&at.name).await.map_err(|error| {
        Because::new(
            "ConfigMapUnreadable",
            format!("The ConfigMap {namespace}/{} cannot be read: {}.", at.name, brief(&error)),
        )
    })?;
    found
        .and_then(|map| map.data?.get(&at.key).map(|text| text.clone().into_bytes()))
        .ok_or_else(|| missing("ConfigMap", at))
}

async fn authenticated(rancher: &Rancher) -> Result<(WhoAmI, Option<KeyInfo>), Because> {
    let who = rancher.whoami().await.map_err(|error| refused(&error))?;
    let key = rancher.key_info().await.map_err(|error| match error {
        Error::Unauthenticated { .. } => Because::new("KeyScoped", "The key is accepted for cluster local alone: it is scoped to a cluster, and would fail everywhere else. Make one with No Scope."),
        error => refused(&error),
    })?;
    if let Some(scope) = key.as_ref().and_then(|key| key.cluster_scope.as_ref()) {
        return Err(Because::new(
            "KeyScoped",
            format!(
                "The key is scoped to cluster {scope}, so it fails everywhere else. Make one with No Scope, and write it into the Secret."
            ),
        ));
    }
    Ok((who, key))
}

fn refused(error: &Error) -> Because {
    let reason = match error {
        Error::Unauthenticated { .. } => "KeyRefused",
        _ => "Unknown",
    };
    Because::new(
        reason,
        format!(
            "{error}. If it lasts: make a new key in Rancher (No Scope), and write it into the Secret; it is read at once."
        ),
    )
}

fn unreachable(error: &Error) -> Because {
    Because::new(
        "Unreachable",
        format!(
            "{error}. Look at spec.host, spec.port and spec.certificateAuthority, and whether Rancher runs. Access that ends meanwhile is taken away as soon as it answers."
        ),
    )
}

/// What the operator does on Rancher's own cluster: verb, group, resource, namespace.
const NEEDED: [(&[&str], &str, &str, &str); 11] = [
    (&["get", "list", "watch", "create", "delete", "patch"], "management.cattle.io", "clusterroletemplatebindings", ""),
    (&["get", "list", "watch", "create", "delete", "patch"], "management.cattle.io", "projectroletemplatebindings", ""),
    (&["get"], "management.cattle.io", "clusters", ""),
    (&["get"], "management.cattle.io", "projects", ""),
    (&["get"], "management.cattle.io", "roletemplates", ""),
    (&["get", "list"], "management.cattle.io", "users", ""),
    (&["get", "create"], "", "configmaps", "cattle-system"),
    (&["get"], "management.cattle.io", "settings", ""),
    (&["get", "list", "delete", "patch"], "rbac.authorization.k8s.io", "rolebindings", ""),
    (&["get"], "rbac.authorization.k8s.io", "clusterroles", ""),
    (&["get", "list", "delete", "patch"], "rbac.authorization.k8s.io", "clusterrolebindings", ""),
];

/// Asked once for a key that has them all, and again while it has not.
async fn authorized(rancher: &Rancher, kept: &mut Kept) -> Result<(), Because> {
    if kept.authorized {
        return Ok(());
    }
    let mut missing = Vec::new();
    for (verbs, group, resource, namespace) in NEEDED {
        for verb in verbs {
            let access = ResourceAccess {
                verb: (*verb).to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                namespace: namespace.to_owned(),
                name: String::new(),
            };
            match rancher.allowed(&access).await {
                Ok(true) => {}
                Ok(false) => missing.push(format!("{verb} {resource}")),
                Err(error) => {
                    return Err(Because::new("Unknown", format!("What the key may do could not be asked: {error}.")));
                }
            }
        }
    }
    if missing.is_empty() {
        kept.authorized = true;
        return Ok(());
    }
    Err(Because::new(
        "MissingRights",
        format!(
            "The key's user lacks rights on Rancher's own cluster: {}. Give him the global role Administrator, or these.",
            missing.join(", ")
        ),
    ))
}
