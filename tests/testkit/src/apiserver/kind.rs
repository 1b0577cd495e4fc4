//! Which kinds the server knows, and how each of them behaves.
use std::sync::Arc;

use super::schema::Schema;

/// A group, version and plural resource name, such as `rancheraccess.io/v1alpha1 accessgrants`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gvr {
    /// The API group; empty for core.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The plural name, in lower case.
    pub resource: String,
}

impl Gvr {
    /// A resource of a named group.
    pub fn new(group: &str, version: &str, resource: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), resource: resource.to_owned() }
    }

    /// A resource of `v1`, the core group.
    pub fn core(resource: &str) -> Self {
        Self::new("", "v1", resource)
    }

    /// `resource.group`, or the bare resource in the core group: how messages name it.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    /// The `apiVersion` of its objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// What objects of all its versions are stored under.
    pub(super) fn storage(&self) -> StorageKey {
        if self.resource == "events" && self.group == "events.k8s.io" {
            return (String::new(), self.resource.clone());
        }
        (self.group.clone(), self.resource.clone())
    }
}

/// Group and resource: all versions of a kind share one store.
pub(super) type StorageKey = (String, String);

/// A kind to serve that has no CustomResourceDefinition.
#[derive(Clone, Debug)]
pub struct Resource {
    /// The API group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The kind, in CamelCase.
    pub kind: String,
    /// The plural resource name.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// Whether `/status` is served apart.
    pub status_subresource: bool,
}

/// How a kind behaves.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub gvr: Gvr,
    pub kind: String,
    pub list_kind: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub status: bool,
    /// Whether metadata.generation is kept.
    pub generation: bool,
    /// Whether a PUT without a resourceVersion is taken.
    pub unconditional_update: bool,
    /// Whether a PUT to a name that is not there creates it.
    pub create_on_update: bool,
    /// Whether a DELETE answers with the object and not with a Status.
    pub returns_deleted: bool,
    /// Whether names are path segments (RBAC) and not DNS subdomains.
    pub free_names: bool,
    /// Create-only and never stored: reviews.
    pub is_virtual: bool,
    /// What `fieldSelector` may name besides metadata.name and metadata.namespace: dotted paths.
    pub selectable: Vec<String>,
    pub schema: Option<Arc<Schema>>,
}

impl Kind {
    pub fn custom(resource: &Resource) -> Self {
        Self {
            gvr: Gvr::new(&resource.group, &resource.version, &resource.plural),
            kind: resource.kind.clone(),
            list_kind: format!("{}List", resource.kind),
            singular: resource.kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: resource.namespaced,
            status: resource.status_subresource,
            generation: true,
            unconditional_update: false,
            create_on_update: false,
            returns_deleted: false,
            free_names: false,
            is_virtual: false,
            selectable: Vec::new(),
            schema: None,
        }
    }

    fn built_in(group: &str, version: &str, kind: &str, plural: &str, traits: &str) -> Self {
        let resource = Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespaced: traits.contains('n'),
            status_subresource: traits.contains('s'),
        };
        let mut built = Self::custom(&resource);
        built.generation = traits.contains('g');
        built.unconditional_update = traits.contains('u');
        built.create_on_update = traits.contains('c');
        built.returns_deleted = traits.contains('d');
        built.free_names = traits.contains('f');
        built.is_virtual = traits.contains('v');
        built
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

/// Group, kind, plural and traits of the kinds that are always there, all of them `v1`. Traits: n namespaced, s status
/// subresource, g generation, u unconditional update, c create on update, d a DELETE returns the object, f free names,
/// v virtual (as in Kubernetes 1.37).
#[rustfmt::skip] // a table
const BUILT_INS: [(&str, &str, &str, &str); 19] = [
    ("", "Namespace", "namespaces", "sud"),
    ("", "Secret", "secrets", "nu"),
    ("", "ConfigMap", "configmaps", "nu"),
    ("", "ServiceAccount", "serviceaccounts", "nud"),
    ("", "Event", "events", "nuc"),
    ("events.k8s.io", "Event", "events", "nuc"),
    ("coordination.k8s.io", "Lease", "leases", "nc"),
    (RBAC, "Role", "roles", "nucf"),
    (RBAC, "RoleBinding", "rolebindings", "nucf"),
    (RBAC, "ClusterRole", "clusterroles", "ucf"),
    (RBAC, "ClusterRoleBinding", "clusterrolebindings", "ucf"),
    ("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", "sgd"),
    (ADMISSION, "ValidatingAdmissionPolicy", "validatingadmissionpolicies", "sg"),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", "g"),
    (ADMISSION, "MutatingAdmissionPolicy", "mutatingadmissionpolicies", "g"),
    (ADMISSION, "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", "g"),
    ("authentication.k8s.io", "SelfSubjectReview", "selfsubjectreviews", "v"),
    (AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", "v"),
    (AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", "v"),
];

/// What `fieldSelector` may name of a built-in kind besides its name and namespace.
fn selectable(group: &str, kind: &str) -> Vec<String> {
    let fields: &[&str] = match (group, kind) {
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Event") => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "type",
        ],
        ("events.k8s.io", "Event") => &["reason", "type"],
        _ => &[],
    };
    fields.iter().map(|&field| field.to_owned()).collect()
}

/// The kinds that are always there.
pub(super) fn built_ins() -> impl Iterator<Item = Kind> {
    BUILT_INS.into_iter().map(|(group, kind, plural, traits)| {
        let mut built = Kind::built_in(group, "v1", kind, plural, traits);
        built.selectable = selectable(group, kind);
        built
    })
}
