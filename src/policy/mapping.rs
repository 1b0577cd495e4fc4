//! What a name of Kubernetes is in Rancher, by the integration's `identityMapping`.

use super::Wanted;
use crate::api::integration::IdentityMapping;

/// Longest principal, in bytes; as in the schema of grants.
pub(super) const PRINCIPAL_MAX: usize = 512;

const USERS: &str = "spec.identityMapping.userPrincipal";
const GROUPS: &str = "spec.identityMapping.groupPrincipal";

/// Why a name leads nowhere in Rancher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    /// It is Kubernetes' own, or a ServiceAccount's.
    #[error("names that begin with system: are never mapped")]
    System,
    /// The integration has no such template: the field.
    #[error("the integration has no {0}")]
    NoTemplate(&'static str),
    /// The template has no place for the name: the field.
    #[error("the integration's {0} lacks {{name}}")]
    BadTemplate(&'static str),
    /// In a distinguished name it would begin another part, and so name somebody else: the field.
    #[error("it cannot stand in the distinguished name of {0}")]
    DistinguishedName(&'static str),
    /// It is empty or too long.
    #[error("it is empty or too long for a principal (at most 512 bytes)")]
    Length,
}

/// Who a user of Kubernetes is in Rancher. Names that are ids of Rancher users pass as they are.
///
/// # Errors
/// Why that is not known.
pub fn rancher_user(name: &str, mapping: Option<&IdentityMapping>) -> Result<Wanted, Unmapped> {
    if !name.starts_with("system:") && is_user_id(name) {
        return Ok(Wanted::User(name.to_owned()));
    }
    principal(name, mapping.and_then(|m| m.user_principal.as_deref()), USERS).map(Wanted::Principal)
}

/// The principal in Rancher of a group of Kubernetes.
///
/// # Errors
/// Why that is not known.
pub fn rancher_group(name: &str, mapping: Option<&IdentityMapping>) -> Result<String, Unmapped> {
    principal(name, mapping.and_then(|m| m.group_principal.as_deref()), GROUPS)
}

fn principal(name: &str, template: Option<&str>, field: &'static str) -> Result<String, Unmapped> {
    if name.starts_with("system:") {
        return Err(Unmapped::System);
    }
    let template = template.ok_or(Unmapped::NoTemplate(field))?;
    let (before, after) = template.split_once("{name}").ok_or(Unmapped::BadTemplate(field))?;
    if before.contains('=') && name.contains(|c: char| ",=+<>#;\"\\".contains(c)) {
        return Err(Unmapped::DistinguishedName(field));
    }
    let principal = format!("{before}{name}{after}");
    if name.is_empty() || principal.len() > PRINCIPAL_MAX {
        return Err(Unmapped::Length);
    }
    Ok(principal)
}

/// Whether a Kubernetes user name is the id of a Rancher user: `u-…` or `user-…`, in the letters of such ids.
fn is_user_id(name: &str) -> bool {
    let rest = name.strip_prefix("u-").or_else(|| name.strip_prefix("user-"));
    rest.is_some_and(|rest| {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        rest.bytes().all(|b| letter(b) || b == b'-' || b == b'.') && rest.bytes().next_back().is_some_and(letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_mapped_by_their_own_template() {
        let mapping = |group: &str| IdentityMapping {
            user_principal: Some("okta_user://{name}".to_owned()),
            group_principal: Some(group.to_owned()),
        };
        let of = |name: &str, group: &str| rancher_group(name, Some(&mapping(group)));
        assert_eq!(of("web", "okta_group://{name}").unwrap(), "okta_group://web");
        // No id of a user is one of a group.
        assert_eq!(of("u-abc", "okta_group://{name}").unwrap(), "okta_group://u-abc");
        assert_eq!(of("system:masters", "okta_group://{name}"), Err(Unmapped::System));
        assert_eq!(of("web,ou=x", "ldap_group://cn={name},dc=x"), Err(Unmapped::DistinguishedName(GROUPS)));
        assert_eq!(of("web", "okta_group://web"), Err(Unmapped::BadTemplate(GROUPS)));
        assert_eq!(of("", "okta_group://{name}"), Err(Unmapped::Length));
        let users_only = IdentityMapping { group_principal: None, ..mapping("") };
        for without in [None, Some(&users_only)] {
            assert_eq!(rancher_group("web", without), Err(Unmapped::NoTemplate(GROUPS)));
        }
        let why = Unmapped::BadTemplate(GROUPS).to_string();
        assert_eq!(why, "the integration's spec.identityMapping.groupPrincipal lacks {name}");
    }
}
