//! The releases of Rancher whose behaviour is modelled, and what each of them does.
use super::{Model, binding::Kind};

/// A line of releases. Read in Rancher's source at the tag that [`Version::tag`] names, and in that of its webhook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// 2.11.0: projects have no backing namespace yet; the webhook is 0.7.
    V2_11,
    /// 2.12.
    V2_12,
    /// 2.13.
    V2_13,
    /// 2.14: duplicates of cluster bindings are refused.
    V2_14,
    /// 2.15: duplicates of project bindings are refused too, and those that are there are deleted.
    #[default]
    V2_15,
}

impl Version {
    /// All of them, the oldest first.
    pub const ALL: [Self; 5] = [Self::V2_11, Self::V2_12, Self::V2_13, Self::V2_14, Self::V2_15];

    /// As `/rancherversion` says it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::V2_11 => "v2.11.0",
            Self::V2_12 => "v2.12.12",
            Self::V2_13 => "v2.13.8",
            Self::V2_14 => "v2.14.4",
            Self::V2_15 => "v2.15.0",
        }
    }

    /// Whether the webhook refuses a second binding of one subject, role and scope: 0.10 for cluster bindings, 0.11 for both.
    pub(super) fn refuses_duplicates(self, kind: Kind) -> bool {
        match kind {
            Kind::Cluster => self >= Self::V2_14,
            Kind::Project => self >= Self::V2_15,
        }
    }

    /// Whether Rancher deletes the newer of two equal bindings.
    pub(super) fn deletes_duplicates(self) -> bool {
        self >= Self::V2_15
    }

    /// Whether the webhook derives the name of a binding with `generateName` from its content.
    pub(super) fn derives_names(self) -> bool {
        self >= Self::V2_15
    }

    /// Whether projects have a backing namespace of their own, told in the status (from 2.11.1).
    pub(super) fn has_backing_namespaces(self) -> bool {
        self > Self::V2_11
    }

    /// Whether the RBAC model can be switched while Rancher runs; before, it is what it was at the installation.
    pub(super) fn switches_models(self) -> bool {
        self >= Self::V2_14
    }

    /// Whether bindings carry the finalizers of both models, whichever is on.
    pub(super) fn mixes_finalizers(self) -> bool {
        self >= Self::V2_14
    }

    /// Whether `tokens.ext.cattle.io` is there; in 2.12 the feature `ext-tokens` can turn it off.
    pub(super) fn has_ext_tokens(self) -> bool {
        self >= Self::V2_12
    }

    /// Whether ext tokens have `status.bearerToken` and `spec.clusterName`, and `selfusers` answers who one is.
    pub(super) fn ext_tokens_are_whole(self) -> bool {
        self >= Self::V2_13
    }

    /// Whether `/v3/tokens` answers those who come with an ext token.
    pub(super) fn v3_tokens_know_ext(self) -> bool {
        self >= Self::V2_15
    }

    /// Whether rules of a global role can be inherited by namespaces of downstream clusters.
    pub(super) fn inherits_namespaced_rules(self) -> bool {
        self >= Self::V2_15
    }

    /// Whether a custom role with all rights counts as `admin` when its binding is deleted, and `globaladmin-*` says whose it
    /// is (from 2.11.6 and 2.11.7).
    pub(super) fn knows_custom_admins(self) -> bool {
        self > Self::V2_11
    }

    /// Whether the webhook looks at the login names of users: unique, and never changed (0.8.9; 0.7.0 does not).
    pub(super) fn guards_usernames(self) -> bool {
        self > Self::V2_11
    }

    /// Whether the webhook keeps users from disabling and deleting themselves (0.9).
    pub(super) fn guards_oneself(self) -> bool {
        self >= Self::V2_13
    }

    /// How the aggregated model names the role of a cluster's or project's members: `<id>-cluster-member` before 2.14.
    pub(super) fn membership_role(self, model: Model, of: &str, context: &str, what: &str) -> String {
        let dash = if model == Model::Aggregated && self < Self::V2_14 { "-" } else { "" };
        format!("{of}-{context}{dash}{what}")
    }

    /// The default of the setting `system-namespaces`.
    pub(super) fn system_namespaces(self) -> String {
        let mut all = vec![
            "kube-system,kube-public,cattle-system,cattle-alerting,cattle-logging,cattle-prometheus,ingress-nginx",
            "cattle-global-data,cattle-istio,kube-node-lease,cert-manager,cattle-global-nt,security-scan,cattle-fleet-system",
            "cattle-fleet-local-system,calico-system,tigera-operator,cattle-impersonation-system,rancher-operator-system",
            "cattle-csp-adapter-system,calico-apiserver,cattle-elemental-system",
        ];
        for (since, more) in [
            (Self::V2_12, "cattle-scc-system,cattle-telemetry-system"),
            (Self::V2_13, "cattle-local-user-passwords"),
            (Self::V2_12, "cattle-tokens"),
            (Self::V2_14, "cattle-oidc-codes,cattle-oidc-client-secrets"),
            (Self::V2_15, "cattle-turtles-system,cattle-capi-system"),
        ] {
            if self >= since {
                all.push(more);
            }
        }
        all.join(",")
    }
}
