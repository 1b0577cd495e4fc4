use data_encoding::BASE32_NOPAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{BindingKind, ObjectMeta, Scope, filled, nullable};

/// An object that gives somebody a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Its kind.
    pub kind: BindingKind,
    /// Its metadata.
    pub meta: ObjectMeta,
    /// The user's Rancher id. Rancher fills it in for a binding made by principal.
    pub user_name: Option<String>,
    /// The user's principal. Rancher fills it in for a binding made by id.
    pub user_principal_name: Option<String>,
    /// The group's name (rarely used).
    pub group_name: Option<String>,
    /// The group's principal.
    pub group_principal_name: Option<String>,
    /// A service account (project bindings; deprecated by Rancher).
    pub service_account: Option<String>,
    /// Its other subjects: only Kubernetes' own role bindings may have several.
    pub others: Vec<Subject>,
    /// Where it gives its role.
    pub scope: Scope,
    /// The id of the RoleTemplate or GlobalRole, or the name of the ClusterRole.
    pub role: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawBinding {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "filled")]
    user_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    user_principal_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    group_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    group_principal_name: Option<String>,
    #[serde(default, deserialize_with = "filled")]
    service_account: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    cluster_name: String,
    #[serde(default, deserialize_with = "nullable")]
    project_name: String,
    #[serde(default, deserialize_with = "nullable")]
    role_template_name: String,
    #[serde(default, deserialize_with = "nullable")]
    global_role_name: String,
}

impl RawBinding {
    /// One of the kinds that Rancher keeps.
    pub(crate) fn into_binding(self, kind: BindingKind) -> Binding {
        let (scope, role) = match kind {
            BindingKind::Project => {
                // Rancher splits at the first colon too.
                let (cluster, project) = self.project_name.split_once(':').unwrap_or((&self.project_name, ""));
                let scope = Scope::Project { cluster: cluster.to_owned(), project: project.to_owned() };
                (scope, self.role_template_name)
            }
            BindingKind::Global => (Scope::Global, self.global_role_name),
            _ => (Scope::Cluster { cluster: self.cluster_name }, self.role_template_name),
        };
        Binding {
            kind,
            meta: self.metadata,
            user_name: self.user_name,
            user_principal_name: self.user_principal_name,
            group_name: self.group_name,
            group_principal_name: self.group_principal_name,
            service_account: self.service_account,
            others: Vec::new(),
            scope,
            role,
        }
    }
}

/// Kubernetes' own `RoleBinding`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RawRoleBinding {
    metadata: ObjectMeta,
    #[serde(default, deserialize_with = "nullable")]
    subjects: Vec<RawSubject>,
    role_ref: RawRoleRef,
}

#[derive(Deserialize)]
struct RawSubject {
    kind: String,
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    namespace: String,
}

#[derive(Deserialize)]
struct RawRoleRef {
    kind: String,
    name: String,
}

impl RawRoleBinding {
    pub(crate) fn into_binding(self, cluster: &str) -> Binding {
        let mut service_account = None;
        let mut named = Vec::new();
        for subject in self.subjects {
            match subject.kind.as_str() {
                "User" => named.push(Subject { user: Some(subject.name), ..Subject::default() }),
                "Group" => named.push(Subject { group: Some(subject.name), ..Subject::default() }),
                _ => service_account = Some(format!("{}/{}", subject.namespace, subject.name)),
            }
        }
        let mut named = named.into_iter();
        let first = named.next().unwrap_or_default();
        // A Role of the namespace is another role than the ClusterRole of its name.
        let role = match self.role_ref.kind.as_str() {
            "ClusterRole" => self.role_ref.name,
            kind => format!("{kind}/{}", self.role_ref.name),
        };
        Binding {
            kind: BindingKind::Namespace,
            user_name: first.user,
            user_principal_name: None,
            group_name: None,
            group_principal_name: first.group,
            service_account,
            others: named.collect(),
            scope: Scope::Namespace { cluster: cluster.to_owned(), namespace: self.metadata.namespace.clone() },
            meta: self.metadata,
            role,
        }
    }
}

/// Whom a binding is for: a user in one or both of Rancher's forms, or a group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The user's Rancher id, for example `u-abcdefghij`.
    pub user: Option<String>,
    /// A principal of the user, for example `okta_user://alice`.
    pub user_principal: Option<String>,
    /// The group's principal, for example `okta_group://devs`.
    pub group: Option<String>,
}

impl Subject {
    /// A binding's subject, in the forms that stand in it.
    pub fn of(binding: &Binding) -> Self {
        Self {
            user: binding.user_name.clone(),
            user_principal: binding.user_principal_name.clone(),
            group: binding.group_principal_name.clone().or_else(|| binding.group_name.clone()),
        }
    }

    fn shares(&self, other: &Self) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.user_id(), &other.user) || same(&self.group, &other.group)
    }

    /// Whether a binding is for this subject, in any form: a binding made by id and one made by principal share Rancher's
    /// downstream objects, though Rancher itself does not call them duplicates.
    pub fn is_of(&self, binding: &Binding) -> bool {
        let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
        same(&self.user, &binding.user_name)
            || (self.user.is_none() && self.user_id().is_some() && self.user_id() == binding.user_name)
            || same(&self.user_principal, &binding.user_principal_name)
            || same(&self.group, &binding.group_principal_name)
            || same(&self.group, &binding.group_name)
            || binding.others.iter().any(|other| self.shares(other))
    }

    /// The user's id: the known one, else the one Rancher makes for a principal it has never seen (`u-` and ten characters of
    /// the lower-case base32 of the principal's SHA-256).
    pub fn user_id(&self) -> Option<String> {
        self.user.clone().or_else(|| {
            let digest = BASE32_NOPAD.encode(&Sha256::digest(self.user_principal.as_ref()?.as_bytes())).to_lowercase();
            Some(format!("u-{}", digest.get(..10)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(kind: BindingKind, json: &str) -> Binding {
        serde_json::from_str::<RawBinding>(json).unwrap().into_binding(kind)
    }

    #[test]
    fn both_kinds_read_into_one() {
        let crtb = binding(
            BindingKind::Cluster,
            r#"{"kind":"ClusterRoleTemplateBinding","metadata":{"name":"rao-a","namespace":"c-1","uid":"u1","labels":null,
              "deletionTimestamp":"2026-11-23T10:00:00Z","finalizers":["x"]},"clusterName":"c-1","roleTemplateName":"cluster-member",
              "userName":"","userPrincipalName":"okta_user://a","groupName":null,"status":{"summary":"Completed"}}"#,
        );
        assert_eq!(crtb.scope, Scope::Cluster { cluster: "c-1".to_owned() });
        assert_eq!((crtb.user_name, crtb.user_principal_name.as_deref()), (None, Some("okta_user://a")));
        assert!(crtb.meta.is_terminating());
        let prtb = binding(
            BindingKind::Project,
            r#"{"metadata":{"name":"b"},"projectName":"local:p-v5rdf","roleTemplateName":"edit"}"#,
        );
        assert_eq!(prtb.scope, Scope::Project { cluster: "local".to_owned(), project: "p-v5rdf".to_owned() });
    }

    #[test]
    fn a_role_binding_of_kubernetes_is_one_too_and_may_have_several_subjects() {
        let read = |json: &str| serde_json::from_str::<RawRoleBinding>(json).unwrap().into_binding("c-1");
        let two = read(
            r#"{"metadata":{"name":"b","namespace":"api"},"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"edit"},
              "subjects":[{"kind":"ServiceAccount","name":"x","namespace":"y"},{"kind":"Group","name":"okta_group://g"},{"kind":"User","name":"u-1"}]}"#,
        );
        assert_eq!(two.scope, Scope::Namespace { cluster: "c-1".to_owned(), namespace: "api".to_owned() });
        assert_eq!((two.role.as_str(), two.service_account.as_deref()), ("edit", Some("y/x")));
        let user = |id: &str| Subject { user: Some(id.to_owned()), ..Subject::default() };
        let group = Subject { group: Some("okta_group://g".to_owned()), ..Subject::default() };
        assert!(user("u-1").is_of(&two) && group.is_of(&two) && !user("u-2").is_of(&two));
        let of_the_namespace =
            read(r#"{"metadata":{"name":"b","namespace":"api"},"roleRef":{"kind":"Role","name":"edit"}}"#);
        assert_eq!(of_the_namespace.role, "Role/edit", "not the ClusterRole of that name");
        assert!(!user("u-1").is_of(&of_the_namespace));
    }

    #[test]
    fn a_subject_is_known_in_any_form() {
        let by_id = binding(BindingKind::Cluster, r#"{"metadata":{"name":"b"},"userName":"u-1"}"#);
        let by_principal =
            binding(BindingKind::Cluster, r#"{"metadata":{"name":"b"},"userPrincipalName":"okta_user://a"}"#);
        let by_group =
            binding(BindingKind::Cluster, r#"{"metadata":{"name":"b"},"groupPrincipalName":"okta_group://g"}"#);
        let user =
            Subject { user: Some("u-1".to_owned()), user_principal: Some("okta_user://a".to_owned()), group: None };
        let group = Subject { group: Some("okta_group://g".to_owned()), ..Subject::default() };
        assert!(user.is_of(&by_id) && user.is_of(&by_principal) && !user.is_of(&by_group));
        assert!(group.is_of(&by_group) && !group.is_of(&by_id));
        assert!(!Subject::default().is_of(&by_id), "nobody is nobody's subject");
    }

    #[test]
    fn the_user_of_a_new_principal_is_foreseen() {
        let id = Subject { user_principal: Some("okta_user://a".to_owned()), ..Subject::default() }.user_id().unwrap();
        assert!(id.len() == 12 && id.starts_with("u-") && id == id.to_lowercase(), "{id}");
    }
}
