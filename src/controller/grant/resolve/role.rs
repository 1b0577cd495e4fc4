//! What the roles are in Rancher, and whether one of them is privileged.

use std::collections::{BTreeMap, BTreeSet};

use super::{Result, target::Resolver, unknown, wrong};
use crate::{
    controller::words,
    policy::{
        self, RoleFacts,
        privilege::{self, RoleRules, Scope},
    },
    rancher::{
        client::LOCAL,
        wire::{PolicyRule, RoleTemplate},
    },
};

/// How many roles are followed from one to those that it inherits.
const INHERITED: usize = 64;

/// Roles that are in every Kubernetes cluster, and mean the same in each. Rancher's project roles inherit them.
const OF_KUBERNETES: [&str; 3] = ["admin", "edit", "view"];

impl Resolver<'_> {
    /// A role template, for a cluster or a project.
    pub(super) async fn template(&self, index: usize, cluster: &str, id: &str, scope: Scope) -> Result<RoleFacts> {
        let templates = self.templates(vec![id.to_owned()]).await?;
        let Some(template) = templates.get(id) else {
            return Err(wrong(
                "RoleNotFound",
                format!(
                    "spec.access[{index}]: there is no role template {id} in Rancher: name it by its id, as `kubectl get roletemplates` on Rancher's cluster shows it."
                ),
            ));
        };
        let context = if scope == Scope::Project { "project" } else { "cluster" };
        if template.context != context {
            return Err(wrong(
                "RoleContext",
                format!(
                    "spec.access[{index}]: role {id} is for a {}, not for a {context}: name a {context} role.",
                    template.context
                ),
            ));
        }
        if template.locked {
            return Err(wrong(
                "RoleLocked",
                format!("spec.access[{index}]: role {id} is locked in Rancher: unlock it there, or name another."),
            ));
        }
        let rules = self.all_rules(index, Some(cluster), &templates).await?;
        let privileged = privilege::privileged_rule(id, scope, &|role| rules.get(role).cloned()).into_words();
        let display_name = template.display_name.clone();
        Ok(RoleFacts { id: id.to_owned(), privileged, display_name, fingerprint: fingerprint(&rules) })
    }

    /// A ClusterRole of a cluster, for a namespace there.
    pub(super) async fn cluster_role(&self, index: usize, cluster: &str, id: &str) -> Result<RoleFacts> {
        let asked = self.connection.rancher.cluster_role_rules(cluster, id);
        let Some(rules) = self.downstream(index, cluster, asked).await? else {
            return Err(wrong(
                "RoleNotFound",
                format!(
                    "spec.access[{index}]: there is no ClusterRole {id} on cluster {cluster}: name one that `kubectl get clusterroles` shows there, such as view, edit or admin."
                ),
            ));
        };
        let rules = RoleRules { rules: all(&rules), ..RoleRules::default() };
        let privileged = privilege::privileged_rule(id, Scope::Project, &|_| Some(rules.clone())).into_words();
        let fingerprint = fingerprint(&BTreeMap::from([(id.to_owned(), rules)]));
        Ok(RoleFacts { id: id.to_owned(), privileged, display_name: String::new(), fingerprint })
    }

    /// A role in Rancher as a whole: with what it allows anywhere, and the role templates that it gives on other clusters;
    /// and whether it reaches into all clusters by itself.
    pub(super) async fn global_role(&self, index: usize, id: &str) -> Result<(RoleFacts, bool)> {
        let Some(role) = self.connection.rancher.global_role(id).await.map_err(unknown)? else {
            return Err(wrong(
                "RoleNotFound",
                format!(
                    "spec.access[{index}]: there is no global role {id} in Rancher: name it by its id, as `kubectl get globalroles` on Rancher's cluster shows it."
                ),
            ));
        };
        let templates = self.templates(role.inherited_cluster_roles.clone()).await?;
        let mut rules = self.all_rules(index, None, &templates).await?;
        // Role templates and global roles have names of their own: `admin` is one of each.
        let global = format!("{id} (global)");
        let own = role.all_rules().map(words::rule).collect();
        rules.insert(
            global.clone(),
            RoleRules { rules: own, inherits: role.inherited_cluster_roles.clone(), external: None },
        );
        let privilege = privilege::privileged_rule(&global, Scope::Global, &|role| rules.get(role).cloned());
        let facts = RoleFacts {
            id: id.to_owned(),
            privileged: privilege.into_words(),
            display_name: String::new(),
            // Where its rules hold is as much of it as what they say.
            fingerprint: policy::fingerprint(&(fingerprint(&rules), format!("{:?}", role.own_parts()))),
        };
        Ok((facts, role.reaches_clusters()))
    }

    /// These role templates and all that they inherit; those that are not there are left out.
    async fn templates(&self, mut ask: Vec<String>) -> Result<BTreeMap<String, RoleTemplate>> {
        let (mut known, mut asked) = (BTreeMap::new(), BTreeSet::new());
        while let Some(id) = ask.pop() {
            if asked.len() >= INHERITED || !asked.insert(id.clone()) {
                continue;
            }
            if let Some(template) = self.connection.rancher.role_template(&id).await.map_err(unknown)? {
                ask.extend(template.role_template_names.iter().cloned());
                known.insert(id, template);
            }
        }
        Ok(known)
    }

    /// What role templates allow on that cluster; without one, on all of them.
    async fn all_rules(
        &self,
        index: usize,
        cluster: Option<&str>,
        templates: &BTreeMap<String, RoleTemplate>,
    ) -> Result<BTreeMap<String, RoleRules>> {
        let mut rules = BTreeMap::new();
        for (id, template) in templates {
            let external = match template.external {
                true => Some(self.external_rules(index, cluster, template).await?),
                false => None,
            };
            let own =
                RoleRules { rules: all(&template.rules), inherits: template.role_template_names.clone(), external };
            rules.insert(id.clone(), own);
        }
        Ok(rules)
    }

    /// An external role template allows what the ClusterRole of its name allows on that cluster. Where that is not there,
    /// whoever makes it decides what the role means. Where there is no way there, only Kubernetes' own roles are known, by
    /// those of Rancher's cluster; of others nothing is, though Rancher's webhook goes by that cluster for all of them
    /// (rancher/webhook 0.11, `pkg/auth`). For all clusters nothing is known.
    async fn external_rules(
        &self,
        index: usize,
        cluster: Option<&str>,
        template: &RoleTemplate,
    ) -> Result<Vec<k8s_openapi::api::rbac::v1::PolicyRule>> {
        let rancher = &self.connection.rancher;
        let Some(mut cluster) = cluster else { return Ok(Vec::new()) };
        if rancher.is_keyless() && cluster != LOCAL {
            if !OF_KUBERNETES.contains(&template.meta.name.as_str()) {
                return Ok(Vec::new());
            }
            cluster = LOCAL;
        }
        let asked = rancher.cluster_role_rules(cluster, &template.meta.name);
        let found = self.downstream(index, cluster, asked).await?;
        let mut rules = found.unwrap_or_default();
        if !rules.is_empty() {
            rules.extend(template.external_rules.clone().unwrap_or_default());
        }
        Ok(all(&rules))
    }
}

fn all(rules: &[PolicyRule]) -> Vec<k8s_openapi::api::rbac::v1::PolicyRule> {
    rules.iter().map(words::rule).collect()
}

/// Stands for what roles allow, with all that they inherit.
fn fingerprint(rules: &BTreeMap<String, RoleRules>) -> String {
    let rules: Vec<_> = rules.iter().map(|(id, role)| (id, &role.rules, &role.inherits, &role.external)).collect();
    policy::fingerprint(&rules)
}
