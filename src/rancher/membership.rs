//! Membership of a cluster and nothing else: a RoleTemplate without any rule.
//!
//! Whoever has only a native RoleBinding is stopped by Rancher before he reaches the cluster: Rancher lets through whom a
//! binding of its own makes a member (`get` on the cluster object). A binding to a role template without rules does just
//! that (source of 2.11 to 2.15: membership does not look at rules).
use serde_json::json;

use super::{
    absence::Target,
    call::Call,
    client::{MANAGEMENT, Rancher},
    error::Error,
    wire::RoleTemplate,
};

const RESOURCE: &str = "roletemplates";

impl RoleTemplate {
    /// Whether a binding to it gives membership of a cluster and nothing else.
    pub fn is_membership_only(&self) -> bool {
        self.context == "cluster"
            && self.rules.is_empty()
            && self.role_template_names.is_empty()
            && !self.external
            && self.external_rules.as_ref().is_none_or(Vec::is_empty)
            && !self.administrative
    }
}

impl Rancher {
    /// Makes a role template that gives membership of a cluster and nothing else.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] where there is one of that name: look at it. Else as for every call.
    pub async fn create_membership_role(&self, name: &str, label: (&str, &str)) -> Result<RoleTemplate, Error> {
        let body = json!({
            "apiVersion": format!("{MANAGEMENT}/v3"),
            "kind": "RoleTemplate",
            "metadata": {"name": name, "labels": {label.0: label.1}},
            "displayName": "Cluster membership without rights (rancher-access-operator)",
            "description": "Lets holders of temporary access to single namespaces into the cluster. It must not have rules: the operator does not use it then.",
            "context": "cluster",
            "rules": [],
            "hidden": true,
        });
        self.exchange.object(Call::post(self.management(RESOURCE, None, None)?, &body)).await
    }

    /// Deletes a role template, if it is still the object that was read. A binding that still refers to it could neither
    /// be changed nor removed after that: the caller makes sure that there is none.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it is gone, [`Error::UidMismatch`] and [`Error::Conflict`] where it is another or changed;
    /// else as for every call.
    pub async fn delete_role_template(&self, role: &RoleTemplate) -> Result<(), Error> {
        let meta = &role.meta;
        let body = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": meta.uid, "resourceVersion": meta.resource_version}});
        let target = Target { group: MANAGEMENT, resource: RESOURCE, namespace: None, name: meta.name.clone() };
        let path = self.management(RESOURCE, None, Some(&meta.name))?;
        self.exchange.success(&Call::delete(path, &body).of(target)).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_gives_more_than_membership_is_told_apart() {
        let read = |more: &str| {
            serde_json::from_str::<RoleTemplate>(&format!(r#"{{"metadata":{{"name":"m"}},"context":"cluster"{more}}}"#))
                .unwrap()
        };
        assert!(read("").is_membership_only() && read(r#","rules":null,"hidden":true"#).is_membership_only());
        for more in [
            r#","rules":[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]"#,
            r#","roleTemplateNames":["view"]"#,
            r#","external":true"#,
            r#","externalRules":[{"verbs":["get"]}]"#,
            r#","administrative":true"#,
        ] {
            assert!(!read(more).is_membership_only(), "{more}");
        }
        let project = RoleTemplate { context: "project".to_owned(), ..read("") };
        assert!(!project.is_membership_only());
    }
}
