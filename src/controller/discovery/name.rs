//! What a `RancherResource` is called: by the integration, the kind and the ids in Rancher, whatever people call the thing.
//!
//! `prod.cluster.c-m-abc12def`, `prod.project.c-m-abc12def.p-x7k2m`. A dot within one of the parts would make two of such
//! names the same, and 253 characters are the most that a name may have: there a hash stands for all parts, after another
//! word for the kind, so that none of the two forms can be taken for the other.

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

use crate::api::resource::{RancherResourceSpec, ResourceKind};

/// The most characters of a name, and of a label's value.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// How much of a hash is used: 130 bits.
const HASH_LENGTH: usize = 26;

/// What something in Rancher is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    pub kind: ResourceKind,
    /// The cluster of a project or namespace; empty for all else.
    pub cluster: &'a str,
    pub id: &'a str,
}

impl<'a> Key<'a> {
    pub(super) fn cluster(id: &'a str) -> Self {
        Self { kind: ResourceKind::Cluster, cluster: "", id }
    }

    pub(super) fn project(cluster: &'a str, id: &'a str) -> Self {
        Self { kind: ResourceKind::Project, cluster, id }
    }

    pub(super) fn namespace(cluster: &'a str, id: &'a str) -> Self {
        Self { kind: ResourceKind::Namespace, cluster, id }
    }

    pub(super) fn role(kind: ResourceKind, id: &'a str) -> Self {
        Self { kind, cluster: "", id }
    }

    /// What an object says that it is of.
    pub(super) fn of(spec: &'a RancherResourceSpec) -> Self {
        Self { kind: spec.kind, cluster: spec.cluster.as_ref().map_or("", |cluster| &cluster.id), id: &spec.id }
    }

    /// The name of its object.
    pub(super) fn name(&self, integration: &str) -> String {
        let kind = self.kind.name().to_lowercase();
        let parts = [integration, &kind, self.cluster, self.id];
        let plain = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(".");
        if plain.len() <= NAME_MAX && parts.iter().all(|part| part.is_empty() || is_word(part)) && !self.id.is_empty() {
            return plain;
        }
        let readable: String = integration.chars().map(|c| if is_plain(c) { c } else { '-' }).take(LABEL_MAX).collect();
        let readable = match readable.trim_matches('-') {
            "" => "x",
            some => some,
        };
        format!("{readable}.{kind}-hash.{}", hash(&parts))
    }
}

/// The value of the label that says which integration it is of: its name, or what stands for one that is too long.
pub(in crate::controller) fn label(integration: &str) -> String {
    if integration.len() <= LABEL_MAX { integration.to_owned() } else { hash(&[integration]) }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

fn is_word(part: &str) -> bool {
    part.chars().all(is_plain) && !part.starts_with('-') && !part.ends_with('-')
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // Each part with its length: no two different lists give the same bytes.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash = BASE32_NOPAD.encode(&hash.finalize()).to_lowercase();
    hash.get(..HASH_LENGTH).unwrap_or(&hash).to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_what_people_would_look_for() {
        for (key, name) in [
            (Key::cluster("c-m-abc12def"), "prod.cluster.c-m-abc12def"),
            (Key::project("c-m-abc12def", "p-x7k2m"), "prod.project.c-m-abc12def.p-x7k2m"),
            (Key::namespace("local", "web"), "prod.namespace.local.web"),
            (Key::role(ResourceKind::ClusterRole, "cluster-member"), "prod.clusterrole.cluster-member"),
            (Key::role(ResourceKind::GlobalRole, "admin"), "prod.globalrole.admin"),
        ] {
            assert_eq!(key.name("prod"), name);
        }
        // Stable: it is what objects in the field are called.
        assert_eq!(
            Key::role(ResourceKind::ProjectRole, "a.b").name("prod.eu"),
            "prod-eu.projectrole-hash.vbayafxpvgeswk6isqjxzh3ac4"
        );
    }

    #[test]
    fn a_label_has_room_for_any_integration() {
        assert_eq!(label("prod.eu"), "prod.eu");
        let (long, longer) = (label(&"a".repeat(64)), label(&"a".repeat(253)));
        assert!(long != longer && long.len() == HASH_LENGTH && longer.len() == HASH_LENGTH);
    }

    fn is_valid(name: &str) -> bool {
        name.len() <= NAME_MAX && name.split('.').all(|word| !word.is_empty() && is_word(word))
    }

    fn part() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z0-9]([-a-z0-9.]{0,8}[a-z0-9])?",
            2 => "(cluster|project|namespace|hash|cluster-hash|a|b)(\\.(cluster|project|a|b|cluster-hash)){0,2}",
            1 => "[a-z0-9][-a-z0-9.]{100,251}[a-z0-9]",
            // What Rancher cannot have: names of objects are never like that.
            1 => "\\PC{0,40}",
        ]
    }

    fn keys() -> impl Strategy<Value = (String, ResourceKind, String, String)> {
        (part(), prop::sample::select(ResourceKind::ALL.to_vec()), part(), part()).prop_map(|(i, kind, c, id)| {
            let within = matches!(kind, ResourceKind::Project | ResourceKind::Namespace);
            (i, kind, if within { c } else { String::new() }, id)
        })
    }

    proptest! {
        #[test]
        fn every_name_is_valid_and_no_two_things_share_one(all in prop::collection::vec(keys(), 1..60)) {
            let mut names = HashMap::new();
            for one in &all {
                let (integration, kind, cluster, id) = one;
                let name = Key { kind: *kind, cluster, id }.name(integration);
                prop_assert!(is_valid(&name), "{one:?} {name}");
                prop_assert_eq!(names.entry(name).or_insert(one), &one);
            }
        }
    }
}
