//! The two kinds of role template bindings, and what differs between them.
use serde_json::Value;

use crate::apiserver::Gvr;

use super::core::{Core, management, text};

/// Cluster or project binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Cluster,
    Project,
}

impl Kind {
    pub const BOTH: [Self; 2] = [Self::Cluster, Self::Project];

    pub fn of(resource: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|kind| kind.resource() == resource)
    }

    pub fn resource(self) -> &'static str {
        match self {
            Self::Cluster => "clusterroletemplatebindings",
            Self::Project => "projectroletemplatebindings",
        }
    }

    pub fn gvr(self) -> Gvr {
        management(self.resource())
    }

    /// `crtb` or `prtb`.
    pub fn short(self) -> &'static str {
        match self {
            Self::Cluster => "crtb",
            Self::Project => "prtb",
        }
    }

    /// The webhook's word for it.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Cluster => "clusterroletemplatebinding",
            Self::Project => "projectroletemplatebinding",
        }
    }

    /// The context its role must have.
    pub fn context(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Project => "project",
        }
    }

    /// The field that says for what it is.
    pub fn scope_field(self) -> &'static str {
        match self {
            Self::Cluster => "clusterName",
            Self::Project => "projectName",
        }
    }

    /// Rancher's finalizer that cleans the Fleet workspace.
    pub fn remove_handler(self) -> String {
        format!("wrangler.cattle.io/mgmt-{}-remove-handler", self.short())
    }

    /// Rancher's finalizer that cleans its own cluster.
    pub fn controller(self) -> String {
        format!("controller.cattle.io/mgmt-auth-{}-controller", self.short())
    }

    /// Rancher's finalizer that cleans downstream.
    pub fn sync(self, cluster: &str) -> String {
        format!("clusterscoped.controller.cattle.io/cluster-{}-sync_{cluster}", self.short())
    }

    /// The cluster that a binding gives access to.
    pub fn cluster(self, binding: &Value) -> String {
        let scope = text(binding, self.scope_field());
        scope.split(':').next().unwrap_or_default().to_owned()
    }

    /// The project's name; empty for cluster bindings.
    pub fn project(self, binding: &Value) -> String {
        match self {
            Self::Cluster => String::new(),
            Self::Project => {
                let scope = text(binding, "projectName").split_once(':');
                scope.map(|(_, name)| name.to_owned()).unwrap_or_default()
            }
        }
    }
}

/// Every binding of both kinds.
pub(super) fn all(core: &Core) -> Vec<(Kind, Value)> {
    Kind::BOTH
        .into_iter()
        .flat_map(|kind| {
            let listed = core.local.list(&kind.gvr(), None);
            listed.into_iter().map(move |binding| (kind, binding))
        })
        .collect()
}
