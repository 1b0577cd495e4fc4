//! Which of a user's tokens are left over, and what is to be done about each. Pure.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::window::Window;
use crate::{
    api::{
        LABEL_INSTALLATION,
        user::{LeftoverToken, LeftoverTokens, TokenAction},
    },
    controller::words,
    grant::record::whole_seconds,
    rancher::{
        Issued,
        identity::Expiry,
        wire::{Binding, BindingKind, GlobalRole, Subject},
    },
};

/// How long what was deleted stays in the list.
const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);

/// Groups that everybody is in.
const EVERYBODY: [&str; 2] = ["system:authenticated", "system:cattle:authenticated"];

/// Somebody, in every form in which a binding may name him.
pub(super) struct Person {
    pub id: String,
    pub principals: Vec<String>,
    pub groups: Vec<String>,
}

impl Person {
    /// Whether a binding gives him something.
    pub(super) fn is_bound_by(&self, binding: &Binding) -> bool {
        let subject = Subject::of(binding);
        let in_group = |group: &str| EVERYBODY.contains(&group) || self.groups.iter().any(|own| own == group);
        subject.user_id().as_ref() == Some(&self.id)
            || subject.user_principal.is_some_and(|principal| self.principals.contains(&principal))
            || [&binding.group_name, &binding.group_principal_name].into_iter().flatten().any(|group| in_group(group))
    }

    /// Whether he has access in Rancher, by these bindings. A global role that everybody has gives none. One that is going
    /// still gives what it gives.
    pub(super) fn has_access(&self, bindings: &[Binding], everybodys: &BTreeSet<String>) -> bool {
        let gives = |b: &&Binding| b.kind != BindingKind::Global || !everybodys.contains(&b.role);
        bindings.iter().filter(gives).any(|binding| self.is_bound_by(binding))
    }
}

/// Whether a global role is one that everybody has, and that leads nowhere.
pub(super) fn is_everybodys(role: &GlobalRole) -> bool {
    role.new_user_default && !role.reaches_clusters() && role.inherited_cluster_roles.is_empty()
}

/// The tokens among these that may be left over: made while a grant gave access, or listed before. Sessions end by themselves.
pub(super) fn candidates(tokens: Vec<Issued>, windows: &[&Window], listed: &[&LeftoverToken]) -> Vec<Issued> {
    let may_be = |token: &Issued| {
        let made = token.created.is_some_and(|made| windows.iter().any(|window| window.covers(made)));
        let marked = token.labels.contains_key(LABEL_INSTALLATION);
        !token.session && !marked && (made || listed.iter().any(|entry| is_of(entry, token)))
    };
    tokens.into_iter().filter(may_be).collect()
}

/// Whether an entry of the list is about that token, and not about a later one of its name.
fn is_of(entry: &LeftoverToken, token: &Issued) -> bool {
    entry.action != TokenAction::Deleted
        && entry.name == token.key.to_string()
        && token.created.map(whole_seconds) == Some(entry.created_time.0)
}

/// What is to be done about a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// It is as it should be, and told of.
    Nothing,
    /// It is to be told of.
    Tell,
    /// It is to be disabled.
    Disable,
    /// It is to be deleted.
    Delete,
}

/// A token that is left over.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Finding {
    pub token: Issued,
    /// How it is listed while nothing more is done.
    pub entry: LeftoverToken,
    /// Whether it was listed before.
    pub known: bool,
    pub act: Act,
}

/// What a candidate of a user who has no access left is. `None`: not left over, or nothing that works.
pub(super) fn finding(
    token: Issued,
    user: &str,
    windows: &[&Window],
    listed: &[&LeftoverToken],
    wanted: LeftoverTokens,
    now: Timestamp,
) -> Option<Finding> {
    let detail = token.detail.as_ref()?;
    let ours = detail.description.as_ref().is_some_and(|text| text.starts_with(words::KEY_MARK));
    let over = matches!(detail.expiry, Expiry::At(end) if end <= now);
    if !detail.derived || ours || over || detail.user.as_deref() != Some(user) {
        return None;
    }
    let before = listed.iter().find(|entry| is_of(entry, &token)).map(|entry| (*entry).clone());
    let created = token.created?;
    let latest = windows.iter().filter(|window| window.covers(created)).max_by_key(|window| window.until);
    let entry = match (&before, latest) {
        (Some(before), _) => before.clone(),
        (None, Some(window)) => LeftoverToken {
            name: token.key.to_string(),
            user: user.to_owned(),
            grant: window.grant.to_string(),
            created_time: Time(whole_seconds(created)),
            action: TokenAction::Reported,
            time: Time(whole_seconds(now)),
        },
        (None, None) => return None,
    };
    let known = before.is_some();
    let is_disabled = known && entry.action == TokenAction::Disabled;
    let act = match wanted {
        LeftoverTokens::Delete => Act::Delete,
        LeftoverTokens::Disable if is_disabled && !detail.enabled => Act::Nothing,
        // Done again where it is done already: whether that was told is not known.
        LeftoverTokens::Disable => Act::Disable,
        LeftoverTokens::Report if known && is_disabled != detail.enabled => Act::Nothing,
        // Somebody enabled it again, or it was never told of.
        LeftoverTokens::Report if detail.enabled => Act::Tell,
        LeftoverTokens::Report => return None,
    };
    let action = if act == Act::Tell { TokenAction::Reported } else { entry.action };
    Some(Finding { token, entry: LeftoverToken { action, ..entry }, known, act })
}

/// Whether an entry is only there to say what was done, and for how long.
pub(super) fn is_told(entry: &LeftoverToken, now: Timestamp) -> bool {
    entry.action == TokenAction::Deleted && now.duration_since(entry.time.0) < TOLD_FOR
}

#[cfg(test)]
mod tests;
