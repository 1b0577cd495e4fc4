//! Names of bindings, which prove whose they are.
//!
//! A binding's name is a keyed hash of what it gives to whom: nobody without the installation's key can make a name
//! that recomputes, and nobody has to remember which bindings are ours. Labels and annotations are hints, which
//! whoever manages a project may forge or strip (seen on Rancher 2.15.0).

use std::fmt;

use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::api::status::BindingKind;

/// What every name begins with.
pub const PREFIX: &str = "rao-";

/// Length of the hash in a name, in characters of base32: 120 bits. With the prefix a name has 28 characters: the longest
/// for which Rancher's aggregated model writes the owner label `authz.cluster.cattle.io/crtb-owner-<name>` unshortened
/// (63 characters, prefix included).
const HASH_LENGTH: usize = 24;

/// The secret key of this installation. It never leaves the process.
#[derive(Clone)]
pub struct InstallationKey(Vec<u8>);

impl InstallationKey {
    /// A key from at least 32 random bytes; `None` where they are fewer.
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() >= 32).then_some(Self(bytes))
    }
}

impl fmt::Debug for InstallationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstallationKey(…)")
    }
}

/// Whom a binding is for, in the forms that Rancher keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SubjectKey {
    /// A Rancher user, by id.
    User(String),
    /// A user by the principal of his identity provider, who had no Rancher user when the binding was made.
    Principal(String),
    /// A group, by principal.
    Group(String),
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Principal(principal) => write!(f, "principal:{principal}"),
            Self::Group(principal) => write!(f, "group:{principal}"),
        }
    }
}

impl std::str::FromStr for SubjectKey {
    type Err = UnknownSubject;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("user", id)) if !id.is_empty() => Ok(Self::User(id.to_owned())),
            Some(("principal", p)) if !p.is_empty() => Ok(Self::Principal(p.to_owned())),
            Some(("group", p)) if !p.is_empty() => Ok(Self::Group(p.to_owned())),
            _ => Err(UnknownSubject(text.to_owned())),
        }
    }
}

/// A recorded subject that is in none of the known forms.
#[derive(Debug, thiserror::Error)]
#[error("the recorded subject {0:?} is none of user:, principal:, group:")]
pub struct UnknownSubject(String);

/// Where a role holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// On a cluster.
    Cluster {
        /// Its id.
        cluster: String,
    },
    /// On a project.
    Project {
        /// Id of its cluster.
        cluster: String,
        /// Its id, without its cluster.
        project: String,
    },
    /// In a namespace.
    Namespace {
        /// Id of its cluster.
        cluster: String,
        /// Its name.
        namespace: String,
    },
    /// In Rancher as a whole.
    Global,
}

impl Target {
    /// The kind of binding that gives a role there.
    pub fn kind(&self) -> BindingKind {
        match self {
            Self::Cluster { .. } => BindingKind::ClusterRoleTemplateBinding,
            Self::Project { .. } => BindingKind::ProjectRoleTemplateBinding,
            Self::Namespace { .. } => BindingKind::RoleBinding,
            Self::Global => BindingKind::GlobalRoleBinding,
        }
    }

    /// Id of the cluster; empty for Rancher as a whole.
    pub fn cluster(&self) -> &str {
        match self {
            Self::Cluster { cluster } | Self::Project { cluster, .. } | Self::Namespace { cluster, .. } => cluster,
            Self::Global => "",
        }
    }

    /// As it goes into a name: with the kind, unlike every other target.
    fn scope(&self) -> (&'static str, String) {
        match self {
            Self::Cluster { cluster } => ("crtb", cluster.clone()),
            Self::Project { cluster, project } => ("prtb", format!("{cluster}:{project}")),
            Self::Namespace { cluster, namespace } => ("rb", format!("{cluster}:{namespace}")),
            Self::Global => ("grb", String::new()),
        }
    }
}

/// The target in short, for people: `cluster c-m-abc`, `project c-m-abc:p-xyz`, `namespace c-m-abc/api`, `Rancher`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster { cluster } => write!(f, "cluster {cluster}"),
            Self::Project { cluster, project } => write!(f, "project {cluster}:{project}"),
            Self::Namespace { cluster, namespace } => write!(f, "namespace {cluster}/{namespace}"),
            Self::Global => f.write_str("Rancher"),
        }
    }
}

/// What a binding gives: a role somewhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Access {
    /// Where.
    pub target: Target,
    /// Id of the role template or global role, or name of the ClusterRole.
    pub role: String,
}

/// The name of the binding that gives `access` to `subject` on the Rancher with that install-uuid.
pub fn binding_name(key: &InstallationKey, install_uuid: &str, subject: &SubjectKey, access: &Access) -> String {
    let (kind, scope) = access.target.scope();
    format!("{PREFIX}{}", keyed(key, &[install_uuid, &subject.to_string(), kind, &scope, &access.role], HASH_LENGTH))
}

/// A keyed hash of these parts, in lower-case base32.
fn keyed(key: &InstallationKey, parts: &[&str], length: usize) -> String {
    // HMAC takes a key of any length; the type says that it may fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else {
        return String::new();
    };
    for part in parts {
        // Each part with its length: no two different lists give the same bytes.
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part.as_bytes());
    }
    let hash = base32().encode(&mac.finalize().into_bytes());
    hash.get(..length).unwrap_or(&hash).to_owned()
}

/// Whose a local user is that was made for access: all that his names in Rancher are made of. Nobody else, and nobody in
/// another namespace, comes by the same one; and whoever does not hold the installation's key cannot foresee them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalUserKey {
    /// The integration.
    pub integration: String,
    /// The namespace of the grants that he is for.
    pub namespace: String,
    /// Who asks for him.
    pub requester: String,
    /// How the requester calls him.
    pub username: String,
}

impl LocalUserKey {
    /// His id in Rancher: the same in every grant. It is no id that a name of Kubernetes passes for (`u-…`, `user-…`).
    pub fn id(&self, key: &InstallationKey, install_uuid: &str) -> String {
        format!("{PREFIX}{}", self.hash(key, install_uuid, HASH_LENGTH))
    }

    /// The name that he logs in with.
    pub fn login(&self, key: &InstallationKey, install_uuid: &str) -> String {
        const SHORT: usize = 8;
        format!("{PREFIX}{}-{}", self.username, self.hash(key, install_uuid, SHORT))
    }

    fn hash(&self, key: &InstallationKey, install_uuid: &str, length: usize) -> String {
        let Self { integration, namespace, requester, username } = self;
        keyed(key, &[install_uuid, "local-user", integration, namespace, requester, username], length)
    }
}

/// Proves that a user was marked by us: nobody without the key can make it, and it is good for that one object.
pub fn user_seal(key: &InstallationKey, install_uuid: &str, id: &str, uid: &str) -> String {
    keyed(key, &[install_uuid, "user-seal", id, uid], HASH_LENGTH)
}

/// The role template without rules by which an installation lets people into a cluster: no two installations share one.
pub fn membership_role(installation: &str) -> String {
    format!("{PREFIX}member-{installation}")
}

/// Whether a binding of that name is ours: its name recomputes from its own access and one of its subjects.
pub fn is_ours(
    key: &InstallationKey,
    install_uuid: &str,
    name: &str,
    subjects: &[SubjectKey],
    access: &Access,
) -> bool {
    name.starts_with(PREFIX) && subjects.iter().any(|s| binding_name(key, install_uuid, s, access) == name)
}

/// Lower-case base32 without padding: fit for a Kubernetes name.
fn base32() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    specification.encoding().unwrap_or(data_encoding::BASE32_DNSSEC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InstallationKey {
        InstallationKey::new(vec![7; 32]).unwrap()
    }

    fn access(cluster: &str, project: Option<&str>, role: &str) -> Access {
        let cluster = cluster.to_owned();
        let target = match project {
            None => Target::Cluster { cluster },
            Some(project) => Target::Project { cluster, project: project.to_owned() },
        };
        Access { target, role: role.into() }
    }

    #[test]
    fn a_name_is_fit_for_kubernetes_and_stable() {
        let name =
            binding_name(&key(), "uuid", &SubjectKey::User("u-1".into()), &access("c-1", None, "cluster-member"));
        assert_eq!(name.len(), 28);
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert_eq!(
            name,
            binding_name(&key(), "uuid", &SubjectKey::User("u-1".into()), &access("c-1", None, "cluster-member"))
        );
    }

    #[test]
    fn every_part_counts() {
        let user = SubjectKey::User("u-1".into());
        let names = [
            binding_name(&key(), "uuid", &user, &access("c-1", None, "r")),
            binding_name(&key(), "uuid2", &user, &access("c-1", None, "r")),
            binding_name(&key(), "uuid", &SubjectKey::User("u-2".into()), &access("c-1", None, "r")),
            binding_name(&key(), "uuid", &SubjectKey::Group("u-1".into()), &access("c-1", None, "r")),
            binding_name(&key(), "uuid", &user, &access("c-2", None, "r")),
            binding_name(&key(), "uuid", &user, &access("c-1", Some("p"), "r")),
            binding_name(&key(), "uuid", &user, &access("c-1", None, "s")),
            binding_name(&InstallationKey::new(vec![8; 32]).unwrap(), "uuid", &user, &access("c-1", None, "r")),
            binding_name(&key(), "uuid", &user, &Access { target: Target::Global, role: "r".into() }),
            binding_name(
                &key(),
                "uuid",
                &user,
                &Access {
                    target: Target::Namespace { cluster: "c-1".into(), namespace: "p".into() },
                    role: "r".into(),
                },
            ),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }

    #[test]
    fn either_form_of_the_subject_proves_ownership_and_a_forged_name_does_not() {
        let principal = SubjectKey::Principal("okta_user://a".into());
        let access = access("c-1", None, "r");
        let name = binding_name(&key(), "uuid", &principal, &access);
        let filled_in = [SubjectKey::User("u-1".into()), principal];
        assert!(is_ours(&key(), "uuid", &name, &filled_in, &access));
        assert!(!is_ours(&key(), "uuid", &name, &filled_in[..1], &access));
        assert!(!is_ours(&key(), "uuid", "rao-aaaaaaaaaaaaaaaaaaaaaaaa", &filled_in, &access));
    }

    #[test]
    fn a_local_user_is_one_requesters_in_one_namespace() {
        let whose = LocalUserKey {
            integration: "prod".into(),
            namespace: "web".into(),
            requester: "alice".into(),
            username: "deploy".into(),
        };
        let id = |whose: &LocalUserKey| whose.id(&key(), "uuid");
        let others = [
            LocalUserKey { integration: "test".into(), ..whose.clone() },
            LocalUserKey { namespace: "api".into(), ..whose.clone() },
            LocalUserKey { requester: "Alice".into(), ..whose.clone() },
            LocalUserKey { username: "deploy2".into(), ..whose.clone() },
            LocalUserKey { requester: "alicedeploy".into(), username: String::new(), ..whose.clone() },
        ];
        let mut ids: std::collections::BTreeSet<_> = others.iter().map(id).collect();
        ids.extend([id(&whose), whose.id(&key(), "uuid2"), user_seal(&key(), "uuid", "u-1", "uid")]);
        assert_eq!(ids.len(), others.len() + 3);
        let login = whose.login(&key(), "uuid");
        assert!(login.starts_with("rao-deploy-") && login.len() == "rao-deploy-".len() + 8, "{login}");
        assert_eq!(id(&whose), id(&whose.clone()), "the same after a crash");
        assert_eq!(id(&whose).len(), 28);
    }

    proptest::proptest! {
        #[test]
        fn whoever_asks_gets_a_user_of_his_own(a in ".{0,9}", b in ".{0,9}", c in ".{0,9}", d in ".{0,9}") {
            let whose = |namespace: &str, requester: &str| LocalUserKey {
                integration: "prod".into(), namespace: namespace.into(), requester: requester.into(), username: "x".into(),
            };
            let (one, other) = (whose(&a, &b), whose(&c, &d));
            let same = one.id(&key(), "uuid") == other.id(&key(), "uuid");
            proptest::prop_assert_eq!(same, (a, b) == (c, d));
            let id = one.id(&key(), "uuid");
            proptest::prop_assert!(id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{}", id);
        }
    }

    #[test]
    fn the_key_is_not_printed_and_short_keys_are_refused() {
        assert_eq!(format!("{:?}", key()), "InstallationKey(…)");
        assert!(InstallationKey::new(vec![0; 31]).is_none());
    }
}
