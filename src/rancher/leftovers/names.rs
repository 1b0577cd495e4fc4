//! The labels by which Rancher marks what it makes for a binding (each seen on Rancher 2.15.0).
use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::rancher::{
    binding::BindingRef,
    wire::{BindingKind, Subject},
};

const PREFIX: &str = "authz.cluster.cattle.io/";
const LEGACY_OWNER: &str = "authz.cluster.cattle.io/rtb-owner-updated";
const GLOBAL_OWNER: &str = "authz.management.cattle.io/grb-owner";

/// Rancher's shortening of names (wrangler's `SafeConcatName`, of what is already joined): up to 63 bytes stay; of longer ones 57
/// stay and five digits of the SHA-256 follow, or 56 and six where the 57th is neither a lower-case letter nor a digit.
pub(crate) fn shortened(full: &str) -> String {
    if full.len() < 64 {
        return full.to_owned();
    }
    let digest = HEXLOWER.encode(&Sha256::digest(full.as_bytes()));
    let ends_well = full.as_bytes().get(56).is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let (keep, digits) = if ends_well { (57, 5) } else { (56, 6) };
    // Names and ids are ASCII, so the cut is on a character.
    format!("{}-{}", full.get(..keep).unwrap_or_default(), digest.get(..digits).unwrap_or_default())
}

/// The ClusterRoleBinding of a global binding's own rights, on Rancher's own cluster.
pub(crate) fn global_rights(binding: &str) -> String {
    format!("cattle-globalrolebinding-{binding}")
}

/// The ClusterRoleBinding that makes a subject administrator of a cluster. Rancher names it after the subject, so that all
/// his global bindings share it: a group's name is made as the id of a new principal's user is.
pub(crate) fn global_admin(subject: &Subject) -> Option<String> {
    let as_user = |group: &String| Subject { user_principal: Some(group.clone()), ..Subject::default() }.user_id();
    let key = subject.user_id().or_else(|| subject.group.as_ref().and_then(as_user))?;
    Some(format!("globaladmin-{key}"))
}

/// The labels that say "made for this binding".
#[derive(Clone, Debug)]
pub(crate) struct OwnerLabels {
    /// Value of [`LEGACY_OWNER`], and a key of its own: `<namespace>_<name>`.
    pair: String,
    /// Keys `…/crtb-owner-<name>`. Rancher shortens prefix and name together, so ours (30 characters) differ from the plain
    /// form; both are looked for, since both are ours beyond doubt.
    keys: Vec<String>,
    /// Key `…/crtb-owner`, with the name as its value.
    value_key: String,
    name: String,
    is_global: bool,
}

impl OwnerLabels {
    pub fn of(binding: &BindingRef) -> Self {
        let value_key = format!("{PREFIX}{}-owner", binding.kind.short());
        let plain = format!("{value_key}-{}", binding.name);
        let mut keys = vec![shortened(&plain)];
        let is_a_key = plain.len() - PREFIX.len() <= 63;
        if is_a_key && !keys.contains(&plain) {
            keys.push(plain);
        }
        Self {
            pair: shortened(&format!("{}_{}", binding.namespace, binding.name)),
            keys,
            value_key,
            name: binding.name.clone(),
            is_global: binding.kind == BindingKind::Global,
        }
    }

    /// Selector: the legacy model's single owner.
    pub fn legacy(&self) -> String {
        format!("{LEGACY_OWNER}={}", self.pair)
    }

    /// Selectors: the aggregated model's owner keys.
    pub fn aggregated(&self) -> impl Iterator<Item = String> + '_ {
        self.keys.iter().cloned()
    }

    /// Selector: memberships, and what project bindings have in a whole cluster.
    pub fn membership(&self) -> String {
        self.pair.clone()
    }

    /// Selector: the cluster view in the Fleet workspace.
    pub fn fleet(&self) -> String {
        format!("{}={}", self.value_key, self.name)
    }

    /// Selector: what is made for a global binding.
    pub fn global(&self) -> String {
        format!("{GLOBAL_OWNER}={}", self.name)
    }

    /// Whether a label says that the object was made for this binding.
    pub fn is_ours(&self, key: &str, value: &str) -> bool {
        if self.is_global {
            return key == GLOBAL_OWNER && value == self.name;
        }
        key == self.pair
            || self.keys.iter().any(|k| k == key)
            || (key == LEGACY_OWNER && value == self.pair)
            || (key == self.value_key && value == self.name)
    }

    /// The keys of an object's labels that are ours, and whether any other binding's are there too.
    pub fn split<'a>(&self, labels: &'a BTreeMap<String, String>) -> (Vec<(&'a str, &'a str)>, bool) {
        let mut ours = Vec::new();
        let mut others = false;
        for (key, value) in labels {
            if self.is_ours(key, value) {
                ours.push((key.as_str(), value.as_str()));
            } else {
                others |= is_owner(key);
            }
        }
        (ours, others)
    }
}

/// Whether a label key is one of those that name an owner, whatever its form.
fn is_owner(key: &str) -> bool {
    let of_a_kind = |kind: BindingKind| {
        let stem = format!("{PREFIX}{}-owner", kind.short());
        key == stem || key.starts_with(&format!("{stem}-"))
    };
    key == LEGACY_OWNER
        || key == GLOBAL_OWNER
        || of_a_kind(BindingKind::Cluster)
        || of_a_kind(BindingKind::Project)
        // `<namespace>_<name>`: neither part can have an underscore, and no other label of Rancher's has one without a prefix.
        || (!key.contains('/') && key.contains('_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_as_rancher_does() {
        assert_eq!(shortened(&"a".repeat(63)), "a".repeat(63));
        // SHA-256 of 64 times `a`: ffe054fe7ae0cb6d…
        assert_eq!(shortened(&"a".repeat(64)), format!("{}-ffe05", "a".repeat(57)));
        let dashed = format!("{}-{}", "a".repeat(56), "b".repeat(20));
        let short = shortened(&dashed);
        assert!(short.starts_with(&format!("{}-", "a".repeat(56))) && short.len() == 63, "{short}");
    }

    #[test]
    fn a_binding_is_the_owner_by_every_recorded_label_and_by_no_others() {
        let binding = BindingRef {
            kind: BindingKind::Project,
            cluster: "local".to_owned(),
            namespace: "local-p-1".to_owned(),
            name: "b".to_owned(),
        };
        let labels = OwnerLabels::of(&binding);
        for (key, value) in [
            ("authz.cluster.cattle.io/rtb-owner-updated", "local-p-1_b"),
            ("authz.cluster.cattle.io/prtb-owner-b", "true"),
            ("authz.cluster.cattle.io/prtb-owner", "b"),
            ("local-p-1_b", "owner-user"),
            ("local-p-1_b", "membership-binding-owner"),
            ("local-p-1_b", "true"),
        ] {
            assert!(labels.is_ours(key, value), "{key}={value}");
        }
        for (key, value) in [
            ("authz.cluster.cattle.io/rtb-owner-updated", "local-p-1_c"),
            ("authz.cluster.cattle.io/crtb-owner-b", "true"),
            ("authz.cluster.cattle.io/prtb-owner-bb", "true"),
            ("authz.cluster.cattle.io/prtb-owner", "c"),
            ("local-p-2_b", "true"),
            ("authz.management.cattle.io/grb-owner", "grb-1"),
        ] {
            assert!(!labels.is_ours(key, value), "{key}={value}");
            assert!(is_owner(key), "{key} names another owner");
        }
        assert!(!is_owner("management.cattle.io/roletemplate-aggregation") && !is_owner("app"));
    }

    #[test]
    fn our_long_names_are_found_shortened_and_plain() {
        let name = format!("rao-{}", "a".repeat(26));
        let binding = BindingRef {
            kind: BindingKind::Cluster,
            cluster: "local".to_owned(),
            namespace: "c-m-abcdefgh".to_owned(),
            name: name.clone(),
        };
        let keys: Vec<_> = OwnerLabels::of(&binding).aggregated().collect();
        assert_eq!(keys.len(), 2);
        assert!(keys[0].len() == 63 && keys[0].starts_with("authz.cluster.cattle.io/crtb-owner-rao-aaa"), "{keys:?}");
        assert_eq!(keys[1], format!("authz.cluster.cattle.io/crtb-owner-{name}"));
    }
}
