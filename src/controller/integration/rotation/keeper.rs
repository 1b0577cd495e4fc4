//! Who keeps the credentials Secret: what somebody else writes is not ours to write, for he would put the old key back.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Labels and annotations by which tools mark what they write, with the tool's name. A `/` at the end stands for all keys of
/// that prefix.
const MARKS: [(&str, &str); 12] = [
    ("argocd.argoproj.io/instance", "Argo CD"),
    ("argocd.argoproj.io/tracking-id", "Argo CD"),
    ("app.kubernetes.io/instance", "Argo CD or Helm"),
    ("kustomize.toolkit.fluxcd.io/", "Flux"),
    ("helm.toolkit.fluxcd.io/", "Flux"),
    ("meta.helm.sh/release-name", "Helm"),
    ("reconcile.external-secrets.io/", "External Secrets"),
    ("sealedsecrets.bitnami.com/managed", "Sealed Secrets"),
    ("secrets.hashicorp.com/", "the Vault Secrets Operator"),
    ("objectset.rio.cattle.io/", "Fleet"),
    ("secrets-store.csi.k8s.io/managed", "the Secrets Store CSI driver"),
    ("isindir.github.com/", "SOPS Secrets"),
];

/// Field managers by which these tools write.
const MANAGERS: [(&str, &str); 7] = [
    ("argocd", "Argo CD"),
    ("kustomize-controller", "Flux"),
    ("helm", "Helm"),
    ("external-secrets", "External Secrets"),
    ("externalsecrets", "External Secrets"),
    ("vault-secrets-operator", "the Vault Secrets Operator"),
    ("fleet", "Fleet"),
];

/// Values of the label `app.kubernetes.io/managed-by` that mean a person.
const BY_HAND: [&str; 2] = ["kubectl", "manual"];

/// Who else keeps that object, and by what that is seen: an owner, a mark, or a field manager.
pub(super) fn of(meta: &ObjectMeta) -> Option<String> {
    if let Some(owner) = meta.owner_references.iter().flatten().next() {
        return Some(format!("{} {} (its owner)", owner.kind, owner.name));
    }
    let keys = || meta.labels.iter().chain(meta.annotations.iter()).flatten();
    for (key, _) in keys() {
        let is = |mark: &str| if mark.ends_with('/') { key.starts_with(mark) } else { key == mark };
        if let Some((_, who)) = MARKS.iter().find(|(mark, _)| is(mark)) {
            return Some(format!("{who} (it carries {key})"));
        }
    }
    if let Some((_, by)) = keys().find(|(key, by)| *key == "app.kubernetes.io/managed-by" && !by_hand(by)) {
        return Some(format!("{by} (it carries app.kubernetes.io/managed-by)"));
    }
    let managers = meta.managed_fields.iter().flatten().filter_map(|fields| fields.manager.as_deref());
    managers
        .filter_map(|manager| {
            MANAGERS.iter().find(|(prefix, _)| manager.starts_with(prefix)).map(|found| (manager, found.1))
        })
        .map(|(manager, who)| format!("{who} (field manager {manager})"))
        .next()
}

fn by_hand(value: &str) -> bool {
    BY_HAND.iter().any(|hand| value.eq_ignore_ascii_case(hand))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keeper(meta: serde_json::Value) -> Option<String> {
        of(&serde_json::from_value(meta).unwrap())
    }

    #[test]
    fn whoever_writes_the_secret_is_named() {
        for (meta, who) in [
            (
                json!({"ownerReferences": [{"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "name": "prod", "uid": "1"}]}),
                "ExternalSecret prod (its owner)",
            ),
            (
                json!({"labels": {"reconcile.external-secrets.io/managed": "true"}}),
                "External Secrets (it carries reconcile.external-secrets.io/managed)",
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "x"}}),
                "Argo CD (it carries argocd.argoproj.io/tracking-id)",
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "flux"}}),
                "Flux (it carries kustomize.toolkit.fluxcd.io/name)",
            ),
            (
                json!({"labels": {"app.kubernetes.io/managed-by": "terraform"}}),
                "terraform (it carries app.kubernetes.io/managed-by)",
            ),
            (
                json!({"annotations": {"sealedsecrets.bitnami.com/managed": "true"}}),
                "Sealed Secrets (it carries sealedsecrets.bitnami.com/managed)",
            ),
            (
                json!({"managedFields": [{"manager": "kubectl-create"}, {"manager": "argocd-controller"}]}),
                "Argo CD (field manager argocd-controller)",
            ),
        ] {
            assert_eq!(keeper(meta.clone()).as_deref(), Some(who), "{meta}");
        }
    }

    #[test]
    fn what_a_person_or_the_operator_wrote_is_nobodys() {
        for meta in [
            json!({"labels": {"team": "platform", "app.kubernetes.io/managed-by": "kubectl"}}),
            json!({"annotations": {"rancheraccess.io/key-rotation": "{}", "kubectl.kubernetes.io/last-applied-configuration": "{}"}}),
            json!({"managedFields": [{"manager": "kubectl-client-side-apply"}, {"manager": "rancher-access-operator"}]}),
        ] {
            assert_eq!(keeper(meta.clone()), None, "{meta}");
        }
    }
}
