//! What stands on a user in Rancher: whose he is, and since when nobody has needed him.
//!
//! Labels and annotations are for whoever can write users. So a local user is ours only if his id recomputes from whose he is
//! said to be, and one that Rancher made only if a seal says so that is good for that one object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::super::{Context, connection::Connection, discovery};
use crate::{
    api::{ANNOTATION_LOCAL_USER, ANNOTATION_UNUSED_SINCE, ANNOTATION_USER_SEAL, LABEL_INSTALLATION, LABEL_USER},
    grant::name::{LocalUserKey, user_seal},
    rancher::wire::User,
};

/// What a user is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// A local user of ours.
    Local(LocalUserKey),
    /// Rancher made him for a principal that a grant bound.
    Unseen,
    /// He carries our label and is not ours.
    Forged,
}

/// Reads it.
pub(super) fn of(ctx: &Context, connection: &Connection, user: &User) -> Mark {
    let (key, install_uuid) = (&ctx.installation.key, &connection.install_uuid);
    let annotation = |name: &str| user.meta.annotations.get(name);
    if let Some(whose) = whose(user).filter(|whose| whose.id(key, install_uuid) == user.meta.name) {
        return Mark::Local(whose);
    }
    let seal = user_seal(key, install_uuid, &user.meta.name, &user.meta.uid);
    if annotation(ANNOTATION_USER_SEAL) == Some(&seal) { Mark::Unseen } else { Mark::Forged }
}

/// Whose local user he is said to be.
pub(super) fn whose(user: &User) -> Option<LocalUserKey> {
    serde_json::from_str(user.meta.annotations.get(ANNOTATION_LOCAL_USER)?).ok()
}

/// Since when no grant has called for him.
pub(super) fn unused_since(user: &User) -> Option<Timestamp> {
    user.meta.annotations.get(ANNOTATION_UNUSED_SINCE)?.parse().ok()
}

/// The labels by which users of an integration are found.
pub(super) fn labels(ctx: &Context, integration: &str) -> BTreeMap<String, String> {
    [(LABEL_INSTALLATION, ctx.installation.id.clone()), (LABEL_USER, discovery::label(integration))]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// The same as a selector.
pub(super) fn selector(ctx: &Context, integration: &str) -> String {
    let labels: Vec<_> = labels(ctx, integration).iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.join(",")
}

/// The annotation that says whose he is.
pub(super) fn annotations(whose: &LocalUserKey) -> BTreeMap<String, String> {
    [(ANNOTATION_LOCAL_USER.to_owned(), json!(whose).to_string())].into()
}
