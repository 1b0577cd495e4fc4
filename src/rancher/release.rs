//! What one Rancher does differently from another: its release, and how it turns bindings into Kubernetes' RBAC.

use super::{identity::Version, wire::BindingKind};

/// How Rancher turns bindings into Kubernetes' RBAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Model {
    /// One object for each role reached, which bindings of one subject share. The default up to Rancher 2.15.
    #[default]
    Legacy,
    /// One object for each binding: the feature `aggregated-roletemplates`.
    Aggregated,
}

/// Which Rancher it is, as far as it makes a difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// As `/rancherversion` says it, for example `v2.15.0`.
    pub version: Option<String>,
    /// Its RBAC model, as its feature flag says. From 2.14 on it can be switched while Rancher runs.
    pub model: Model,
}

/// The oldest release whose behaviour is known.
pub const OLDEST: (u32, u32) = (2, 11);

/// The oldest release that keeps the passwords of local users in Secrets.
pub const OLDEST_WITH_USER_SECRETS: (u32, u32) = (2, 13);

impl Release {
    /// Whether two bindings of one subject, role and place may stand side by side here, of which a later release would
    /// delete one. Rancher's webhook refuses the second of two cluster bindings from 2.14 on and of two project bindings
    /// from 2.15 on, and 2.15.0 deletes the newer of those that are there. A release that is not known may allow them. Of
    /// global bindings and of Kubernetes' own no release deletes any.
    pub fn duplicates_at_risk(&self, kind: BindingKind) -> bool {
        let refused_from = match kind {
            BindingKind::Cluster => (2, 14),
            BindingKind::Project => (2, 15),
            BindingKind::Global | BindingKind::Namespace => return false,
        };
        self.minor().is_none_or(|minor| minor < refused_from)
    }

    /// The finalizers that Rancher puts on a binding for that cluster: it cleans up only what they remember.
    ///
    /// Up to 2.13 each model has two of its own; from 2.14 on both have the same three. A release that is not known
    /// (builds from source say `dev`) counts as the newest. Kubernetes' own role bindings need none.
    pub fn finalizers(&self, kind: BindingKind, cluster: &str) -> Vec<String> {
        let short = kind.short();
        let auth = format!("controller.cattle.io/mgmt-auth-{short}-controller");
        match kind {
            BindingKind::Namespace => return Vec::new(),
            BindingKind::Global => return vec![auth],
            BindingKind::Cluster | BindingKind::Project => {}
        }
        let remove = format!("wrangler.cattle.io/mgmt-{short}-remove-handler");
        let sync = format!("clusterscoped.controller.cattle.io/cluster-{short}-sync_{cluster}");
        match (self.minor().is_some_and(|minor| minor < (2, 14)), self.model) {
            (true, Model::Legacy) => vec![auth, sync],
            (true, Model::Aggregated) => vec![remove, format!("wrangler.cattle.io/cluster-{short}-remove-handler")],
            (false, _) => vec![remove, auth, sync],
        }
    }

    /// Major and minor number, where it says them.
    pub fn minor(&self) -> Option<(u32, u32)> {
        let version = self.version.clone()?;
        Version { version, git_commit: String::new() }.minor()
    }

    /// Whether a local user's password is set by a Secret. A release that is not known counts as the newest.
    pub fn keeps_passwords_in_secrets(&self) -> bool {
        self.minor().is_none_or(|minor| minor >= OLDEST_WITH_USER_SECRETS)
    }

    /// Whether it is older than anything whose behaviour is known.
    pub fn is_too_old(&self) -> bool {
        self.minor().is_some_and(|minor| minor < OLDEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(version: &str, model: Model) -> Release {
        Release { version: Some(version.to_owned()), model }
    }

    #[test]
    fn duplicates_are_refused_from_2_14_and_2_15_on() {
        use BindingKind::{Cluster, Global, Namespace, Project};
        for (version, expected) in [
            ("v2.11.0", [true, true, false, false]),
            ("v2.13.8", [true, true, false, false]),
            ("v2.14.0", [false, true, false, false]),
            ("v2.15.0", [false, false, false, false]),
            ("v2.16.0-alpha1", [false, false, false, false]),
            ("dev", [true, true, false, false]),
        ] {
            let release = release(version, Model::Legacy);
            let got = [Cluster, Project, Global, Namespace].map(|kind| release.duplicates_at_risk(kind));
            assert_eq!(got, expected, "{version}");
        }
    }

    #[test]
    fn finalizers_are_those_of_release_and_model() {
        let of = |version, model| release(version, model).finalizers(BindingKind::Project, "c-1");
        let auth = "controller.cattle.io/mgmt-auth-prtb-controller";
        let sync = "clusterscoped.controller.cattle.io/cluster-prtb-sync_c-1";
        let remove = "wrangler.cattle.io/mgmt-prtb-remove-handler";
        assert_eq!(of("v2.13.8", Model::Legacy), [auth, sync]);
        assert_eq!(of("v2.11.0", Model::Aggregated), [remove, "wrangler.cattle.io/cluster-prtb-remove-handler"]);
        for (version, model) in [("v2.14.0", Model::Legacy), ("v2.15.0", Model::Aggregated), ("dev", Model::Legacy)] {
            assert_eq!(of(version, model), [remove, auth, sync], "{version}");
        }
        let global = release("v2.15.0", Model::Legacy).finalizers(BindingKind::Global, "");
        assert_eq!(global, ["controller.cattle.io/mgmt-auth-grb-controller"]);
        assert!(Release::default().finalizers(BindingKind::Namespace, "c-1").is_empty());
    }

    #[test]
    fn passwords_are_secrets_from_2_13_on() {
        let keeps = |version| release(version, Model::Legacy).keeps_passwords_in_secrets();
        assert_eq!(["v2.11.0", "v2.12.12", "v2.13.0", "v2.15.0", "dev"].map(keeps), [false, false, true, true, true]);
        assert!(Release::default().keeps_passwords_in_secrets());
    }

    #[test]
    fn too_old_is_only_what_says_so() {
        assert!(release("v2.10.12", Model::Legacy).is_too_old());
        assert!(!release("v2.11.0", Model::Legacy).is_too_old() && !release("dev", Model::Legacy).is_too_old());
        assert!(!Release::default().is_too_old());
    }
}
