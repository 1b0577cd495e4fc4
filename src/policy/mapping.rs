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

    /// The forms that Rancher's providers give principals: see `pkg/auth/providers` of rancher/rancher.
    #[test]
    fn every_provider_has_a_template() {
        for (template, name, principal) in [
            (
                "keycloakoidc_user://{name}",
                "3f1c9a52-0b1e-4c55-9d5b-6f2d9c1b7a10",
                "keycloakoidc_user://3f1c9a52-0b1e-4c55-9d5b-6f2d9c1b7a10",
            ),
            ("genericoidc_user://{name}", "alice@example.com", "genericoidc_user://alice@example.com"),
            ("okta_user://{name}", "Alice.Smith", "okta_user://Alice.Smith"),
            ("okta_user://{name}@example.com", "alice", "okta_user://alice@example.com"),
            ("adfs_user://{name}", "EXAMPLE\\alice", "adfs_user://EXAMPLE\\alice"),
            ("github_user://{name}", "583231", "github_user://583231"),
            ("azuread_user://{name}", "0f0e-11", "azuread_user://0f0e-11"),
            ("googleoauth_user://{name}", "1079", "googleoauth_user://1079"),
            (
                "openldap_user://uid={name},ou=people,dc=example,dc=com",
                "alice",
                "openldap_user://uid=alice,ou=people,dc=example,dc=com",
            ),
            (
                "activedirectory_user://CN={name},CN=Users,DC=example,DC=com",
                "Alice Smith",
                "activedirectory_user://CN=Alice Smith,CN=Users,DC=example,DC=com",
            ),
            ("local://{name}", "alice", "local://alice"),
        ] {
            let mapping = IdentityMapping { user_principal: Some(template.to_owned()), group_principal: None };
            let mapped = rancher_user(name, Some(&mapping)).unwrap();
            assert_eq!(mapped, Wanted::Principal(principal.to_owned()), "{template}");
        }
    }

    #[test]
    fn only_what_is_written_like_an_id_is_one() {
        let mapping = IdentityMapping { user_principal: Some("okta_user://{name}".to_owned()), group_principal: None };
        let of = |name: &str| rancher_user(name, Some(&mapping));
        for id in ["u-abc", "user-8pvqg", "u-g3tulwe6uf", "u-a.b-c1"] {
            assert_eq!(of(id).unwrap(), Wanted::User(id.to_owned()));
        }
        // Names are compared as they are: another case is another name.
        for name in
            ["U-abc", "u-ABC", "u-", "user-", "u-a_b", "u-ä", "User-8pvqg", "u-abc-", "xu-abc", "u-a/b", "u-a b"]
        {
            assert_eq!(of(name).unwrap(), Wanted::Principal(format!("okta_user://{name}")));
        }
        for name in ["system:admin", "system:serviceaccount:ci:deployer", "system:node:a", "system:"] {
            assert_eq!(of(name), Err(Unmapped::System), "{name}");
        }
        let ldap =
            IdentityMapping { user_principal: Some("ldap_user://uid={name},dc=x".to_owned()), group_principal: None };
        for name in ["alice,ou=admins", "alice+cn=bob", "a\\2c", "a#b", "a;b", "a<b", "a\"b"] {
            assert_eq!(rancher_user(name, Some(&ldap)), Err(Unmapped::DistinguishedName(USERS)), "{name}");
        }
    }

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
