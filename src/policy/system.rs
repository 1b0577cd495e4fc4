//! Which namespaces are of Kubernetes and of Rancher, and not of those who work on a cluster.

use super::glob;

/// Namespaces that Kubernetes, Rancher and Fleet make for themselves, whatever Rancher's own list says of them.
const SYSTEM: &[&str] = &["kube-*", "cattle-*", "fleet-*", "cluster-fleet-*", "rancher-*"];

/// Whether the cluster's own parts run in that namespace, by its name alone: its project is an annotation that whoever works
/// there can set. `listed` is Rancher's setting `system-namespaces`.
pub fn is_system_namespace(name: &str, listed: &[String]) -> bool {
    SYSTEM.iter().any(|pattern| glob::matches(pattern, name)) || listed.iter().any(|listed| listed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clusters_own_namespaces_are_told_by_name() {
        let listed = ["ingress-nginx".to_owned()];
        for name in [
            "kube-system",
            "kube-public",
            "cattle-system",
            "cattle-impersonation-system",
            "fleet-default",
            "ingress-nginx",
        ] {
            assert!(is_system_namespace(name, &listed), "{name}");
        }
        for name in ["default", "api", "web-kube-system", "ingress-nginx-2", "cattle"] {
            assert!(!is_system_namespace(name, &listed), "{name}");
        }
    }
}
