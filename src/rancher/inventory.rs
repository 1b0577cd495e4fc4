//! What there is on a Rancher: clusters, projects, roles, users.
use super::{
    absence::{Sighting, Target},
    call::Call,
    client::Rancher,
    error::Error,
    wire::{Cluster, GlobalRole, Namespace, PolicyRule, Project, RoleTemplate, User, nullable},
};

#[derive(serde::Deserialize)]
struct ClusterRole {
    #[serde(default, deserialize_with = "nullable")]
    rules: Vec<PolicyRule>,
}

impl Rancher {
    /// A cluster by its id. [`Sighting::Gone`] proves that Rancher does not know it (any more).
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn cluster(&self, id: &str) -> Result<Sighting<Cluster>, Error> {
        self.exchange.look(self.look_at("clusters", None, id)?).await
    }

    /// All clusters.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn clusters(&self) -> Result<Vec<Cluster>, Error> {
        self.list_readable(&self.management("clusters", None, None)?).await
    }

    /// A project by its cluster's id and its own.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn project(&self, cluster: &str, id: &str) -> Result<Sighting<Project>, Error> {
        self.exchange.look(self.look_at("projects", Some(cluster), id)?).await
    }

    /// All projects of a cluster.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn projects(&self, cluster: &str) -> Result<Vec<Project>, Error> {
        self.list_readable(&self.management("projects", Some(cluster), None)?).await
    }

    /// All projects of all clusters.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn all_projects(&self) -> Result<Vec<Project>, Error> {
        self.list_readable(&self.management("projects", None, None)?).await
    }

    /// A role by its id.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn role_template(&self, id: &str) -> Result<Option<RoleTemplate>, Error> {
        let seen = self.exchange.look(self.look_at("roletemplates", None, id)?).await?;
        Ok(Sighting::found(seen))
    }

    /// A role in Rancher as a whole, by its id.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn global_role(&self, id: &str) -> Result<Option<GlobalRole>, Error> {
        let seen = self.exchange.look(self.look_at("globalroles", None, id)?).await?;
        Ok(Sighting::found(seen))
    }

    /// All roles.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn role_templates(&self) -> Result<Vec<RoleTemplate>, Error> {
        self.list_readable(&self.management("roletemplates", None, None)?).await
    }

    /// A user by id.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn user(&self, id: &str) -> Result<Option<User>, Error> {
        let seen = self.exchange.look(self.look_at("users", None, id)?).await?;
        Ok(Sighting::found(seen))
    }

    /// The users known by exactly this principal: none, or one, unless somebody wrote it into two.
    ///
    /// # Errors
    /// As for every call: see [`Error`]. A user that cannot be read is an error, for it may be the one.
    pub async fn users_with_principal(&self, principal: &str) -> Result<Vec<User>, Error> {
        let users: Vec<User> = self.list_all(&self.management("users", None, None)?, None).await?;
        Ok(users.into_iter().filter(|u| u.principal_ids.iter().any(|p| p == principal)).collect())
    }

    /// What a ClusterRole of that cluster allows: an external role template means the ClusterRole of its name. `None`
    /// where there is none.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn cluster_role_rules(&self, cluster: &str, name: &str) -> Result<Option<Vec<PolicyRule>>, Error> {
        const GROUP: &str = "rbac.authorization.k8s.io";
        let path = self.cluster_path(cluster, &["apis", GROUP, "v1", "clusterroles", name])?;
        let target = Target { group: GROUP, resource: "clusterroles", namespace: None, name: name.to_owned() };
        let seen: Sighting<ClusterRole> = self.exchange.look(Call::get(path).of(target)).await?;
        Ok(seen.found().map(|role| role.rules))
    }

    /// The UID of a namespace of that cluster; `None` where there is none, or it is on its way out.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn namespace_uid(&self, cluster: &str, name: &str) -> Result<Option<String>, Error> {
        let path = self.cluster_path(cluster, &["api", "v1", "namespaces", name])?;
        let target = Target { group: "", resource: "namespaces", namespace: None, name: name.to_owned() };
        let seen: Sighting<Namespace> = self.exchange.look(Call::get(path).of(target)).await?;
        match seen.found() {
            Some(namespace) if !namespace.meta.is_terminating() => has_uid(cluster, name, namespace).map(Some),
            _ => Ok(None),
        }
    }

    /// The UID of a cluster's namespace `kube-system`: the cluster's own identity, whatever Rancher calls it.
    ///
    /// # Errors
    /// As for every call: see [`Error`].
    pub async fn kube_system_uid(&self, cluster: &str) -> Result<String, Error> {
        let path = self.cluster_path(cluster, &["api", "v1", "namespaces", "kube-system"])?;
        has_uid(cluster, "kube-system", self.exchange.object(Call::get(path)).await?)
    }
}

fn has_uid(cluster: &str, name: &str, namespace: Namespace) -> Result<String, Error> {
    if namespace.meta.uid.is_empty() {
        return Err(Error::unknown(format!("{name} of cluster {cluster} has no UID")));
    }
    Ok(namespace.meta.uid)
}
