//! The Secret in the operator's namespace that holds the name and password of a local user, for whoever asked for him.
//!
//! A Role lets read that one Secret by its name, and a RoleBinding gives it to the requester alone. Both belong to the Secret,
//! so they go with it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::{
        core::v1::Secret,
        rbac::v1::{PolicyRule, Role, RoleBinding, RoleRef, Subject},
    },
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{Api, Resource, api::PostParams};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{Context, brief, discovery, secrets::Secrets};
use crate::{
    api::{ANNOTATION_PASSWORD, LABEL_USER, reference::SERVICE_ACCOUNT},
    grant::name::LocalUserKey,
    rancher::Password,
};

/// How far a password is, as an annotation of its Secret says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// UID of the Rancher user whose it is.
    pub user: String,
    /// When it was made.
    pub made: Timestamp,
    /// When Rancher had it; until then it is set again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<Timestamp>,
}

/// What is written into it.
pub(super) struct Credentials<'a> {
    /// The name to log in with.
    pub login: &'a str,
    /// The password.
    pub password: &'a Password,
    /// Where to log in; empty where nobody said.
    pub url: &'a str,
}

impl State {
    /// Reads it.
    pub(super) fn of(meta: &ObjectMeta) -> Option<Self> {
        serde_json::from_str(meta.annotations.as_ref()?.get(ANNOTATION_PASSWORD)?).ok()
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        [(ANNOTATION_PASSWORD.to_owned(), json!(self).to_string())].into()
    }
}

/// The Secrets of local users.
pub(super) fn secrets(ctx: &Context) -> Secrets {
    Secrets::new(ctx.client.clone(), &ctx.settings.namespace)
}

/// What stands of all of them, without what is in them.
///
/// # Errors
/// Why they cannot be listed.
pub(super) async fn all(ctx: &Context, integration: &str) -> Result<Vec<ObjectMeta>, String> {
    let selector = format!("{LABEL_USER}={}", discovery::label(integration));
    secrets(ctx).labelled(&selector).await.map_err(|error| brief(&error))
}

/// Writes a password that Rancher is to have: under the version that was read, or where there is none.
///
/// # Errors
/// Why it cannot be written.
pub(super) async fn write(
    ctx: &Context,
    whose: &LocalUserKey,
    id: &str,
    before: Option<&Secret>,
    credentials: &Credentials<'_>,
    state: &State,
) -> Result<Secret, String> {
    let data: BTreeMap<_, _> =
        [("username", credentials.login), ("password", credentials.password.expose()), ("url", credentials.url)]
            .map(|(key, text)| (key.to_owned(), ByteString(text.as_bytes().to_vec())))
            .into();
    let written = match before {
        Some(Secret { metadata, .. }) => {
            let patch = json!({
                "metadata": {"uid": metadata.uid, "resourceVersion": metadata.resource_version, "annotations": state.annotations()},
                "data": data,
            });
            secrets(ctx).patch(id, patch).await
        }
        None => {
            let labels = [(LABEL_USER.to_owned(), discovery::label(&whose.integration))].into();
            let metadata = ObjectMeta {
                name: Some(id.to_owned()),
                labels: Some(labels),
                annotations: Some(state.annotations()),
                ..ObjectMeta::default()
            };
            secrets(ctx).create(&Secret { metadata, data: Some(data), ..Secret::default() }).await
        }
    };
    written.map_err(|error| brief(&error))
}

/// Says on it that Rancher has the password.
///
/// # Errors
/// Why it cannot be written.
pub(super) async fn is_set(ctx: &Context, secret: &Secret, state: &State) -> Result<(), String> {
    let meta = &secret.metadata;
    let name = meta.name.as_deref().unwrap_or_default();
    let patch = json!({"metadata": {
        "uid": meta.uid, "resourceVersion": meta.resource_version, "annotations": state.annotations(),
    }});
    secrets(ctx).patch(name, patch).await.map(drop).map_err(|error| brief(&error))
}

/// Lets the requester read it, and nobody else.
///
/// # Errors
/// Why that cannot be written.
pub(super) async fn share(ctx: &Context, whose: &LocalUserKey, secret: &Secret) -> Result<(), String> {
    let id = secret.metadata.name.clone().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(id.clone()),
        labels: Some([(LABEL_USER.to_owned(), discovery::label(&whose.integration))].into()),
        owner_references: Some(vec![OwnerReference {
            api_version: Secret::api_version(&()).into_owned(),
            kind: Secret::kind(&()).into_owned(),
            name: id.clone(),
            uid: secret.metadata.uid.clone().unwrap_or_default(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    };
    let rule = PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["secrets".to_owned()]),
        resource_names: Some(vec![id.clone()]),
        verbs: vec!["get".to_owned()],
        ..PolicyRule::default()
    };
    let role = Role { metadata: metadata.clone(), rules: Some(vec![rule]) };
    let binding = RoleBinding {
        metadata,
        role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".to_owned(), kind: "Role".to_owned(), name: id },
        subjects: Some(vec![reader(&whose.requester)]),
    };
    let (client, namespace) = (&ctx.client, &ctx.settings.namespace);
    made(Api::<Role>::namespaced(client.clone(), namespace).create(&PostParams::default(), &role).await)?;
    made(Api::<RoleBinding>::namespaced(client.clone(), namespace).create(&PostParams::default(), &binding).await)
}

/// What is there already is what we made: its name says whose it is.
fn made<K>(answer: Result<K, kube::Error>) -> Result<(), String> {
    match answer {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(()),
        Err(error) => Err(brief(&error)),
    }
}

/// The requester, as RBAC names him.
fn reader(requester: &str) -> Subject {
    let account = requester.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => Subject {
            kind: "ServiceAccount".to_owned(),
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            ..Subject::default()
        },
        None => Subject {
            api_group: Some("rbac.authorization.k8s.io".to_owned()),
            kind: "User".to_owned(),
            name: requester.to_owned(),
            namespace: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_requester_is_named_as_the_api_server_knows_him() {
        let user = reader("alice@example.com");
        assert_eq!((user.kind.as_str(), user.name.as_str(), user.namespace), ("User", "alice@example.com", None));
        let account = reader("system:serviceaccount:argocd:access-sync");
        assert_eq!((account.kind.as_str(), account.name.as_str()), ("ServiceAccount", "access-sync"));
        assert_eq!(account.namespace.as_deref(), Some("argocd"));
        assert_eq!(account.api_group, None);
    }
}
