//! What Rancher writes onto a binding itself: subject, labels, and a cluster binding's status, one condition at a time.
use serde_json::{Value, json};

use super::super::{
    Model,
    binding::Kind,
    core::{Core, management, stamp, text},
    delivery::Reference,
    names, subject,
};

fn condition(name: &str, ok: bool, reason: &str, at: &str) -> Value {
    let status = if ok { "True" } else { "False" };
    json!({"type": name, "status": status, "reason": reason, "message": "", "lastTransitionTime": at})
}

fn local_conditions(core: &Core, binding: &Value) -> (Vec<Value>, bool) {
    let at = stamp((core.now)());
    let user = text(binding, "userName");
    let known = user.is_empty() || core.local.get(&management("users"), "", user).is_some();
    let reason = if known { "SubjectExists" } else { "FailedToGetUser" };
    let names = match core.model() {
        Model::Legacy => ["SubjectExists", "LabelsReconciled", "BindingExists"],
        Model::Aggregated => ["ReconcileSubject", "ReconcileMembershipBindings", "ReconcileBindings"],
    };
    let mut list = vec![condition(names[0], known, reason, &at)];
    list.extend(names[1..].iter().map(|name| condition(name, true, name, &at)));
    (list, known)
}

/// Fills in the subject and, for cluster bindings, says so in the status, one condition at a time. Answers with the binding.
pub(super) async fn rancher_side(core: &Core, kind: Kind, it: &Reference, cached: Value) -> Value {
    let fields = subject::fill(core, &cached).await;
    let empty = fields.as_object().is_none_or(|fields| fields.is_empty());
    it.write(core, "", |_| (!empty).then(|| fields.clone())).await;
    if kind == Kind::Cluster {
        let binding = it.read(core).unwrap_or_default();
        let (conditions, known) = local_conditions(core, &binding);
        let summary = if known { "Completed" } else { "Error" };
        for count in 1..=conditions.len() {
            let mut status = json!({"localConditions": conditions[..count]});
            if count == conditions.len() {
                status["summaryLocal"] = summary.into();
                status["observedGenerationLocal"] = binding["metadata"]["generation"].clone();
            }
            it.write(core, "status", |now| changed(now, &status)).await;
        }
    }
    label(core, it, "auth.management.cattle.io/crb-rb-labels-updated", created(core, kind, None)).await;
    it.read(core).unwrap_or(cached)
}

/// A status patch, unless it says what is there already.
fn changed(object: &Value, status: &Value) -> Option<Value> {
    let fields = status.as_object()?;
    let same = |(name, value): (&String, &Value)| object["status"][name.as_str()] == *value;
    (!fields.iter().all(same)).then(|| json!({"status": status}))
}

/// The annotation of the legacy model's handlers; those of the aggregated model leave none before 2.14.
fn created(core: &Core, kind: Kind, cluster: Option<&str>) -> Option<String> {
    let legacy = core.model() == Model::Legacy || core.version().mixes_finalizers();
    legacy.then(|| kind.created_by(cluster))
}

async fn label(core: &Core, it: &Reference, key: &str, annotation: Option<String>) {
    it.write(core, "", |object| {
        let mut patch = json!({"metadata": {"labels": {key: "true"}}});
        if let Some(annotation) = &annotation {
            patch["metadata"]["annotations"][annotation.as_str()] = "true".into();
        }
        let there = object["metadata"]["labels"][key] == "true";
        (!there).then_some(patch)
    })
    .await;
}

/// Labels, and for cluster bindings the status of the far side and the whole.
pub(super) async fn settle(core: &Core, kind: Kind, it: &Reference) {
    let cluster = it.read(core).map(|binding| kind.cluster(&binding)).unwrap_or_default();
    let annotation = created(core, kind, Some(&cluster));
    label(core, it, "authz.cluster.cattle.io/crb-rb-labels-updated", annotation).await;
    if core.model() == Model::Aggregated {
        label(core, it, names::AGGREGATION, None).await;
    }
    let Some(binding) = it.alive(core).filter(|_| kind == Kind::Cluster) else {
        return;
    };
    let at = stamp((core.now)());
    let names = match core.model() {
        Model::Legacy => ["CRTBLabelsUpdated", "ClusterRolesExists", "ClusterRoleBindingsExists"],
        Model::Aggregated => ["ReconcileClusterRoleBindings", "EnsureServiceAccountImpersonator", "LabelsReconciled"],
    };
    let conditions: Vec<Value> = names.iter().map(|name| condition(name, true, name, &at)).collect();
    let summary = binding["status"]["summaryLocal"].clone();
    for count in 1..=conditions.len() {
        let mut status = json!({"remoteConditions": conditions[..count]});
        if count == conditions.len() {
            status["summaryRemote"] = "Completed".into();
            status["summary"] = summary.clone();
            status["observedGenerationRemote"] = binding["metadata"]["generation"].clone();
            status["lastUpdateTime"] = at.clone().into();
        }
        it.write(core, "status", |now| changed(now, &status)).await;
    }
}
