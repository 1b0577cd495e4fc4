//! The names and labels that Rancher gives to what it makes for a binding.
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    binding::Kind,
    core::{meta, text},
};

/// The legacy model's single owner of rights downstream.
pub(super) const LEGACY_OWNER: &str = "authz.cluster.cattle.io/rtb-owner-updated";
/// Marks what the aggregated model makes downstream.
pub(super) const AGGREGATION: &str = "management.cattle.io/roletemplate-aggregation";
/// Marks what the aggregated model makes on Rancher's cluster.
pub(super) const AGGREGATION_MGMT: &str = "management.cattle.io/roletemplate-aggregation-mgmt";
/// Value of membership labels in the legacy model.
pub(super) const MEMBERSHIP: &str = "membership-binding-owner";
/// Value of owner keys on ClusterRoleBindings of project bindings in the legacy model.
pub(super) const OWNER_USER: &str = "owner-user";

/// Value of owner keys on the management rights that a cluster binding has in its projects' namespaces, in the legacy model.
pub(super) const IN_PROJECT: &str = "crtb-in-project-binding-owner";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names of more than 63 bytes are cut and end in a digest.
pub(super) fn shortened(full: &str) -> String {
    if full.len() < 64 {
        return full.to_owned();
    }
    let digest = hex(&Sha256::digest(full.as_bytes()));
    let ends_well = |c: &u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let keep = if full.as_bytes().get(56).is_some_and(ends_well) { 57 } else { 56 };
    let head: String = full.chars().take(keep).collect();
    format!("{head}-{}", &digest[..62 - keep])
}

/// The first ten characters of a digest in base 32, in lower case: how Rancher makes short names.
fn digest(text: &str) -> String {
    let alphabet = b"abcdefghijklmnopqrstuvwxyz234567";
    let bits = Sha256::digest(text.as_bytes()).iter().take(7).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
    // 50 of the 56 bits, five a character.
    (0..10).map(|at| char::from(alphabet[usize::try_from(bits >> (51 - 5 * at) & 31).unwrap_or_default()])).collect()
}

/// Ten characters that depend on the parts and nothing else.
pub(super) fn hashed(parts: &[&str]) -> String {
    digest(&parts.join("\u{0}"))
}

/// What the webhook adds to a binding's `generateName`.
pub(super) fn content(subject: &str, role: &str, scope: &str) -> String {
    digest(&format!("{subject}/{role}/{scope}"))
}

/// `<namespace>_<name>` of a binding.
pub(super) fn pair(binding: &Value) -> String {
    shortened(&format!("{}_{}", meta(binding, "namespace"), meta(binding, "name")))
}

/// The aggregated model's owner key.
pub(super) fn aggregated_key(kind: Kind, binding: &Value) -> String {
    shortened(&format!("authz.cluster.cattle.io/{}-owner-{}", kind.short(), meta(binding, "name")))
}

/// The key whose value is the binding's name, in the Fleet workspace.
pub(super) fn fleet_key(kind: Kind) -> String {
    format!("authz.cluster.cattle.io/{}-owner", kind.short())
}

/// Rancher's id for a user it makes for a principal it never saw: `u-` and ten characters.
pub(super) fn user_for_principal(principal: &str) -> String {
    format!("u-{}", digest(principal))
}

/// The label by which Rancher finds the user it made for a principal: the principal in base 32, as far as a label's name goes.
pub(super) fn label_for_principal(principal: &str) -> String {
    let alphabet = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
    let bits: Vec<u8> = principal.bytes().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let digits = bits.chunks(5).map(|five| {
        let at = five.iter().enumerate().fold(0, |digit, (place, bit)| digit | usize::from(*bit) << (4 - place));
        char::from(alphabet[at])
    });
    digits.take(63).collect()
}

/// The subject fields, in the order in which Rancher takes one as the binding's key.
pub(super) const SUBJECTS: [&str; 4] = ["userPrincipalName", "userName", "groupPrincipalName", "groupName"];

/// Name and kind of the RBAC subject that a binding gives access to; `None` while its user is not known.
pub(super) fn rbac_subject(binding: &Value) -> Option<(&'static str, String)> {
    if !text(binding, "userName").is_empty() {
        return Some(("User", text(binding, "userName").to_owned()));
    }
    let group =
        ["groupPrincipalName", "groupName"].into_iter().map(|field| text(binding, field)).find(|name| !name.is_empty());
    group.map(|name| ("Group", name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_principals_are_named_as_rancher_names_them() {
        assert_eq!(user_for_principal("okta_user://new"), "u-yx3ywicw2h");
    }

    #[test]
    fn principals_are_written_as_labels_as_go_writes_them() {
        assert_eq!(label_for_principal("foobar"), "CPNMUOJ1E8", "RFC 4648, section 10, without padding");
        assert_eq!(label_for_principal("foob"), "CPNMUOG");
        assert_eq!(label_for_principal(&"x".repeat(99)).len(), 63);
    }
}
