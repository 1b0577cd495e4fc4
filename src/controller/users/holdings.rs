//! What a user holds in Rancher besides what grants give him.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::super::{Context, connection::Connection, words};
use crate::rancher::{
    Error,
    wire::{Binding, BindingKind, User},
};

/// Annotation that Rancher puts on a user that it makes for a principal: the global roles that it gave him of itself, those
/// that every new user gets (pkg/auth/providers/common/usermanager.go, 2.11 to 2.15).
pub(super) const DEFAULT_ROLES: &str = "authz.management.cattle.io/creator-role-bindings";

/// What a user holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holdings {
    /// Nothing.
    Nothing,
    /// Something of ours that is not taken away yet.
    Ours,
    /// Something that others gave him: what, in words.
    Others(String),
}

#[derive(Default, Deserialize)]
struct DefaultRoles {
    #[serde(default)]
    required: BTreeSet<String>,
}

/// Asks Rancher.
///
/// # Errors
/// As for every call.
pub(super) async fn of(ctx: &Context, connection: &Connection, user: &User) -> Result<Holdings, Error> {
    let mut his = Vec::new();
    for kind in BindingKind::OF_RANCHER {
        let all = connection.rancher.bindings(kind, None).await?;
        his.extend(all.into_iter().filter(|binding| names(binding, user) && !is_default(binding, user)));
    }
    let is_ours = |b: &Binding| words::is_ours(&ctx.installation.key, &connection.install_uuid, b);
    let (ours, others): (Vec<_>, Vec<_>) = his.into_iter().partition(is_ours);
    Ok(match (others.first(), ours.is_empty()) {
        (Some(first), _) => {
            let more = match others.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            Holdings::Others(format!("role {} by {}{more}", first.role, first.reference()))
        }
        (None, false) => Holdings::Ours,
        (None, true) => Holdings::Nothing,
    })
}

fn names(binding: &Binding, user: &User) -> bool {
    let by_id = binding.user_name.as_ref() == Some(&user.meta.name);
    by_id || binding.user_principal_name.as_ref().is_some_and(|principal| user.principal_ids.contains(principal))
}

/// Whether Rancher gave it to him of itself when it made him.
fn is_default(binding: &Binding, user: &User) -> bool {
    let roles =
        user.meta.annotations.get(DEFAULT_ROLES).and_then(|text| serde_json::from_str::<DefaultRoles>(text).ok());
    binding.kind == BindingKind::Global && roles.is_some_and(|roles| roles.required.contains(&binding.role))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rancher::wire::Scope;

    fn binding(user: &str, principal: Option<&str>, kind: BindingKind, role: &str) -> Binding {
        Binding {
            kind,
            meta: Default::default(),
            user_name: Some(user.to_owned()),
            user_principal_name: principal.map(str::to_owned),
            group_name: None,
            group_principal_name: None,
            service_account: None,
            others: Vec::new(),
            scope: Scope::Global,
            role: role.to_owned(),
        }
    }

    #[test]
    fn only_what_rancher_gives_everybody_does_not_count() {
        let user: User = serde_json::from_value(json!({
            "metadata": {"name": "u-1", "annotations": {DEFAULT_ROLES: r#"{"created":["user"],"required":["user"]}"#}},
            "principalIds": ["okta_user://a", "local://u-1"],
        }))
        .unwrap();
        let default = binding("u-1", None, BindingKind::Global, "user");
        assert!(names(&default, &user) && is_default(&default, &user));
        assert!(!is_default(&binding("u-1", None, BindingKind::Global, "admin"), &user));
        assert!(!is_default(&binding("u-1", None, BindingKind::Cluster, "user"), &user));
        assert!(names(&binding("", Some("okta_user://a"), BindingKind::Cluster, "r"), &user), "by his principal");
        assert!(!names(&binding("u-2", Some("okta_user://b"), BindingKind::Cluster, "r"), &user));
        let bare = User { meta: Default::default(), ..user };
        assert!(!is_default(&default, &bare), "nobody says so");
    }
}
