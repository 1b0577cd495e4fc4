//! When a binding may be deleted.
//!
//! Rancher cleans up only what its finalizers remember: a binding deleted before they are on is gone at once, and what had
//! been made for it stays for ever. Recorded on Rancher 2.15.0, in both of its models: nothing of ours was left once all three
//! were there (0.3 to 0.6 s after the creation), up to 84 objects of 24 bindings where they were not. Which they are depends
//! on the release: see [`Release::finalizers`]. A cluster that is unreachable never puts on its own: the caller waits no
//! longer than 30 s from the binding's creation.
use super::{
    release::Release,
    wire::{Binding, BindingKind},
};

/// Which of the expected finalizers a binding lacks.
pub fn missing(binding: &Binding, cluster: &str, release: &Release) -> Vec<String> {
    let mut wanted = release.finalizers(binding.kind, cluster);
    wanted.retain(|finalizer| !binding.meta.finalizers.contains(finalizer));
    wanted
}

/// Which of a binding's finalizers this Rancher does not take off: somebody else's, or those of an older release. 2.14 and
/// later know nothing of `wrangler.cattle.io/cluster-crtb-remove-handler` and its like, which the aggregated model of 2.11 to
/// 2.13 puts on every binding.
pub fn foreign(held: &[String], kind: BindingKind, cluster: &str, release: &Release) -> Vec<String> {
    let own = release.finalizers(kind, cluster);
    held.iter().filter(|finalizer| !own.contains(finalizer)).cloned().collect()
}

/// Whether Rancher will clean up after this binding if it is deleted now.
pub fn ready_to_delete(binding: &Binding, cluster: &str, release: &Release) -> bool {
    missing(binding, cluster, release).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rancher::{
        release::Model,
        wire::{BindingKind, RawBinding},
    };

    fn binding(kind: BindingKind, finalizers: &[&str]) -> Binding {
        let json = serde_json::json!({"metadata": {"name": "rao-a", "finalizers": finalizers}});
        serde_json::from_value::<RawBinding>(json).unwrap().into_binding(kind)
    }

    fn newest() -> Release {
        Release { version: Some("v2.15.0".to_owned()), model: Model::Legacy }
    }

    #[test]
    fn only_all_of_its_own_kind_and_cluster_will_do() {
        let crtb = [
            "wrangler.cattle.io/mgmt-crtb-remove-handler",
            "controller.cattle.io/mgmt-auth-crtb-controller",
            "clusterscoped.controller.cattle.io/cluster-crtb-sync_local",
        ];
        let prtb = [
            "clusterscoped.controller.cattle.io/cluster-prtb-sync_local",
            "wrangler.cattle.io/mgmt-prtb-remove-handler",
            "controller.cattle.io/mgmt-auth-prtb-controller",
            "example.com/other",
        ];
        let ready =
            |kind, finalizers: &[&str], cluster| ready_to_delete(&binding(kind, finalizers), cluster, &newest());
        assert!(ready(BindingKind::Cluster, &crtb, "local"));
        assert!(ready(BindingKind::Project, &prtb, "local"));
        assert!(!ready(BindingKind::Project, &crtb, "local"));
        assert!(!ready(BindingKind::Cluster, &crtb, "c-m-abcdefgh"));
        for left_out in 0..crtb.len() {
            let some: Vec<_> = crtb.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, f)| *f).collect();
            assert_eq!(missing(&binding(BindingKind::Cluster, &some), "local", &newest()), [crtb[left_out]]);
        }
        assert!(!ready(BindingKind::Cluster, &[], "local"));
        let older = Release { version: Some("v2.13.8".to_owned()), model: Model::Legacy };
        assert!(ready_to_delete(&binding(BindingKind::Cluster, &crtb[1..]), "local", &older));
        assert!(ready_to_delete(&binding(BindingKind::Namespace, &[]), "local", &newest()));
    }

    #[test]
    fn what_this_release_never_takes_off_is_foreign() {
        let older = Release { version: Some("v2.13.8".to_owned()), model: Model::Aggregated };
        let held = older.finalizers(BindingKind::Cluster, "c-1");
        assert!(foreign(&held, BindingKind::Cluster, "c-1", &older).is_empty());
        let left = "wrangler.cattle.io/cluster-crtb-remove-handler";
        assert_eq!(foreign(&held, BindingKind::Cluster, "c-1", &newest()), [left]);
        assert_eq!(foreign(&["a/b".to_owned()], BindingKind::Namespace, "c-1", &newest()), ["a/b"]);
    }
}
