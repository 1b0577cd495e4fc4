//! The two kinds of role template bindings, and what differs between them.
use serde_json::Value;

use crate::apiserver::Gvr;

use super::{
    Model, Version,
    core::{Core, management, text},
    grants::Part,
};

/// A finalizer of Rancher's on a binding.
pub(super) struct Finalizer {
    pub name: String,
    /// What its handler takes back.
    pub parts: &'static [Part],
}

impl Finalizer {
    /// Whether it is the one that the target cluster's controllers put on.
    pub fn is_downstream(&self) -> bool {
        self.parts.contains(&Part::Downstream)
    }

    /// Whether its handler puts it back at the next change where somebody took it off.
    pub fn comes_back(&self) -> bool {
        self.name.starts_with("wrangler.")
    }
}

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

    /// The finalizers that a binding gets, and what each of them cleans when the binding goes, in the order of coming.
    ///
    /// Up to 2.13 those of the model in force; from 2.14 the same three in both. Fleet's part is cleaned with Rancher's own
    /// cluster where there is no third.
    pub fn finalizers(self, version: Version, model: Model, cluster: &str) -> Vec<Finalizer> {
        let short = self.short();
        let handler = |place: &str| format!("wrangler.cattle.io/{place}-{short}-remove-handler");
        let legacy = format!("controller.cattle.io/mgmt-auth-{short}-controller");
        let sync = format!("clusterscoped.controller.cattle.io/cluster-{short}-sync_{cluster}");
        let of = |name: String, parts: &'static [Part]| Finalizer { name, parts };
        match (version.mixes_finalizers(), model) {
            (true, _) => vec![
                of(handler("mgmt"), &[Part::Fleet]),
                of(legacy, &[Part::Management]),
                of(sync, &[Part::Downstream]),
            ],
            (false, Model::Legacy) => {
                vec![of(legacy, &[Part::Management, Part::Fleet]), of(sync, &[Part::Downstream])]
            }
            (false, Model::Aggregated) => {
                vec![of(handler("mgmt"), &[Part::Management, Part::Fleet]), of(handler("cluster"), &[Part::Downstream])]
            }
        }
    }

    /// The annotation by which the legacy model's handlers remember that they have made what is theirs.
    pub fn created_by(self, cluster: Option<&str>) -> String {
        let short = self.short();
        match cluster {
            None => format!("lifecycle.cattle.io/create.mgmt-auth-{short}-controller"),
            Some(cluster) => format!("lifecycle.cattle.io/create.cluster-{short}-sync_{cluster}"),
        }
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
