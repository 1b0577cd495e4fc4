use std::fmt;

/// The kinds of objects that give somebody a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindingKind {
    /// `ClusterRoleTemplateBinding`, in the namespace named like the cluster.
    Cluster,
    /// `ProjectRoleTemplateBinding`, in the project's backing namespace.
    Project,
    /// `GlobalRoleBinding`, without a namespace.
    Global,
    /// Kubernetes' own `RoleBinding`, in a namespace of any cluster.
    Namespace,
}

impl BindingKind {
    /// Those that Rancher itself keeps, on its own cluster.
    pub const OF_RANCHER: [Self; 3] = [Self::Cluster, Self::Project, Self::Global];

    /// The kind's name.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cluster => "ClusterRoleTemplateBinding",
            Self::Project => "ProjectRoleTemplateBinding",
            Self::Global => "GlobalRoleBinding",
            Self::Namespace => "RoleBinding",
        }
    }

    /// The resource's plural name.
    pub fn resource(self) -> &'static str {
        match self {
            Self::Cluster => "clusterroletemplatebindings",
            Self::Project => "projectroletemplatebindings",
            Self::Global => "globalrolebindings",
            Self::Namespace => "rolebindings",
        }
    }

    /// The API group.
    pub fn group(self) -> &'static str {
        match self {
            Self::Namespace => "rbac.authorization.k8s.io",
            _ => "management.cattle.io",
        }
    }

    /// The version of the API group.
    pub fn version(self) -> &'static str {
        match self {
            Self::Namespace => "v1",
            _ => "v3",
        }
    }

    /// Rancher's short name for it, as in finalizers and labels: `crtb`, `prtb` or `grb`; `rb` for Kubernetes' own.
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "crtb",
            Self::Project => "prtb",
            Self::Global => "grb",
            Self::Namespace => "rb",
        }
    }
}

impl fmt::Display for BindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

/// Where a binding gives its role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a whole cluster.
    Cluster {
        /// The cluster's id, for example `c-m-abcdefgh` or `local`.
        cluster: String,
    },
    /// In one project.
    Project {
        /// The cluster's id.
        cluster: String,
        /// The project's id, for example `p-abcde`.
        project: String,
    },
    /// In one namespace of a cluster.
    Namespace {
        /// The cluster's id.
        cluster: String,
        /// The namespace's name.
        namespace: String,
    },
    /// In Rancher as a whole.
    Global,
}

impl Scope {
    /// The cluster's id; `None` for what is not about one cluster.
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Cluster { cluster } | Self::Project { cluster, .. } | Self::Namespace { cluster, .. } => {
                Some(cluster)
            }
            Self::Global => None,
        }
    }

    /// The kind of binding for this scope.
    pub fn kind(&self) -> BindingKind {
        match self {
            Self::Cluster { .. } => BindingKind::Cluster,
            Self::Project { .. } => BindingKind::Project,
            Self::Namespace { .. } => BindingKind::Namespace,
            Self::Global => BindingKind::Global,
        }
    }
}
