//! Looks at one Rancher: whether it answers, which one it is, whose the key is, and what the key may do.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    claim,
    connect::{self, Kept, Standing},
};
use crate::{
    api::RancherIntegration,
    controller::{Context, connection::Connection},
    grant::Because,
    rancher::{
        Error, Model, Rancher, Release,
        identity::{KeyInfo, ResourceAccess},
        wire::WhoAmI,
    },
};

/// What one look showed. Each is `None` while something before it stood in the way.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Whether the key and the certificates could be read, and Rancher answered.
    pub reached: Option<Result<(), Because>>,
    pub version: Option<String>,
    /// How it turns bindings into RBAC.
    pub model: Option<Model>,
    /// Whether the key was accepted.
    pub authenticated: Option<Result<(WhoAmI, Option<KeyInfo>), Because>>,
    pub install_uuid: Option<String>,
    /// What its user is.
    pub standing: Standing,
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

/// Looks once.
pub(super) async fn look(ctx: &Context, integration: &RancherIntegration, kept: &mut Kept) -> Findings {
    let mut findings = Findings::default();
    let rancher = match connect::rancher(ctx, integration, kept).await {
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
            findings.reached = Some(Err(unreachable(&rancher, &error)));
            // What was reached before is still the way to take access away.
            findings.connection = kept.connection.clone();
            return findings;
        }
    }
    identify(&rancher, kept, &mut findings).await;
    if findings.connection.is_some() {
        if let Some(Ok((who, _))) = &findings.authenticated {
            findings.standing = standing(&rancher, kept, who).await;
        }
        findings.authorized = Some(authorized(&rancher, kept).await);
        // Who does not serve it claims nothing there.
        if super::foreign(ctx, integration).is_none() {
            findings.claimed = Some(claim::stand(ctx, &rancher).await);
        }
    }
    findings
}

async fn identify(rancher: &Rancher, kept: &mut Kept, findings: &mut Findings) {
    findings.authenticated = Some(authenticated(rancher).await);
    if !matches!(findings.authenticated, Some(Ok(_))) {
        findings.connection = kept.connection.clone();
        return;
    }
    let (found, model) = match which(rancher).await {
        Ok(known) => known,
        Err(because) => {
            findings.authenticated = Some(Err(because));
            findings.connection = kept.connection.clone();
            return;
        }
    };
    findings.model = Some(model);
    let release = Release { version: findings.version.clone(), model };
    let same = |c: &Arc<Connection>| c.install_uuid == found && c.release == release;
    if kept.stale || !kept.connection.as_ref().is_some_and(same) {
        let connection =
            Connection::new(rancher.clone(), found.clone(), release, kept.breaker.clone(), kept.refused.clone());
        kept.connection = Some(Arc::new(connection));
        kept.stale = false;
    }
    findings.connection = kept.connection.clone();
    findings.install_uuid = Some(found);
}

/// Which Rancher it is: its identity, and how it turns bindings into RBAC.
async fn which(rancher: &Rancher) -> Result<(String, Model), Because> {
    let found = rancher.install_uuid().await.map_err(|error| {
        Because::new(
            "IdentityUnreadable",
            format!(
                "Rancher answers, but its setting install-uuid cannot be read, so it is not known which Rancher this is: {error}. {}",
                remedy(rancher, "Give the key's user the right to read settings.")
            ),
        )
    })?;
    let aggregated = rancher.aggregated_roletemplates().await.map_err(|error| {
        Because::new(
            "ModelUnreadable",
            format!(
                "Rancher answers, but its feature aggregated-roletemplates cannot be read, so it is not known how Rancher cleans up after bindings: {error}. {}",
                remedy(rancher, "Give the key's user the right to read features.")
            ),
        )
    })?;
    Ok((found, if aggregated { Model::Aggregated } else { Model::Legacy }))
}

async fn authenticated(rancher: &Rancher) -> Result<(WhoAmI, Option<KeyInfo>), Because> {
    let who = rancher.whoami().await.map_err(|error| refused(rancher, &error))?;
    let key = rancher.key_info().await.map_err(|error| match error {
        Error::Unauthenticated { .. } => Because::new("KeyScoped", "The key is accepted for cluster local alone: it is scoped to a cluster, and would fail everywhere else. Make one with No Scope."),
        error => refused(rancher, &error),
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

/// How often it is asked what the key's user is.
const STANDING: Duration = Duration::from_secs(600);

/// What the key's user is, asked seldom. Nothing hangs on it but warnings. Without a key there is no such user.
async fn standing(rancher: &Rancher, kept: &mut Kept, who: &WhoAmI) -> Standing {
    if rancher.is_keyless() {
        return Standing::default();
    }
    if let Some((_, standing)) = kept.standing.filter(|(at, _)| at.elapsed() < STANDING) {
        return standing;
    }
    let standing = Standing {
        administrator: rancher.is_administrator().await.ok(),
        retained: rancher.retention_may_take(who).await.ok(),
    };
    kept.standing = Some((Instant::now(), standing));
    standing
}

/// What to do: without a key, it is always the same.
fn remedy<'a>(rancher: &Rancher, with_a_key: &'a str) -> &'a str {
    if rancher.is_keyless() {
        "Apply config/default-keyless, which gives the operator's ServiceAccount its rights, and see that Rancher runs in this cluster."
    } else {
        with_a_key
    }
}

fn refused(rancher: &Rancher, error: &Error) -> Because {
    let reason = match error {
        Error::Unauthenticated { .. } => "KeyRefused",
        _ => "Unknown",
    };
    Because::new(
        reason,
        format!(
            "{error}. If it lasts: {}",
            remedy(rancher, "Make a new key in Rancher (No Scope), and write it into the Secret; it is read at once.")
        ),
    )
}

fn unreachable(rancher: &Rancher, error: &Error) -> Because {
    Because::new(
        "Unreachable",
        format!(
            "{error}. {} Access that ends meanwhile is taken away as soon as it answers.",
            remedy(rancher, "Look at spec.host, spec.port and spec.certificateAuthority, and whether Rancher runs.")
        ),
    )
}

/// What the operator does on Rancher's own cluster: verb, group, resource, namespace.
const NEEDED: [(&[&str], &str, &str, &str); 16] = [
    (BINDINGS, "management.cattle.io", "clusterroletemplatebindings", ""),
    (BINDINGS, "management.cattle.io", "projectroletemplatebindings", ""),
    (BINDINGS, "management.cattle.io", "globalrolebindings", ""),
    (&["get", "list"], "management.cattle.io", "clusters", ""),
    (&["get", "list"], "management.cattle.io", "projects", ""),
    (&["get", "create", "delete"], "management.cattle.io", "roletemplates", ""),
    (&["get"], "management.cattle.io", "globalroles", ""),
    (&["get", "list"], "management.cattle.io", "users", ""),
    (&["get", "list"], "management.cattle.io", "userattributes", ""),
    (&["get", "create"], "", "configmaps", "cattle-system"),
    (&["get"], "", "namespaces", ""),
    (&["get"], "management.cattle.io", "settings", ""),
    (&["get"], "management.cattle.io", "features", ""),
    (BINDINGS, "rbac.authorization.k8s.io", "rolebindings", ""),
    (&["get"], "rbac.authorization.k8s.io", "clusterroles", ""),
    (&["get", "list", "delete", "patch"], "rbac.authorization.k8s.io", "clusterrolebindings", ""),
];

const BINDINGS: &[&str] = &["get", "list", "watch", "create", "delete", "patch"];

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
            "{} lacks rights on Rancher's own cluster: {}. {}",
            if rancher.is_keyless() { "The operator's ServiceAccount" } else { "The key's user" },
            missing.join(", "),
            remedy(rancher, "Give him the global role Administrator, or these.")
        ),
    ))
}
