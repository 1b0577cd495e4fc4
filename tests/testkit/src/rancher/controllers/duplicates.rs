//! From 2.15 one of two equal bindings goes: the younger.
use std::sync::Arc;

use serde_json::Value;

use super::{
    super::{
        binding::Kind,
        core::{Core, is_terminating, meta, text},
        names::SUBJECTS,
    },
    Tasks, with,
};

/// What makes two bindings of one namespace equal: role, scope, and the first subject field that is filled. So one by
/// `userName` and one by `userPrincipalName` differ until Rancher has filled in the other.
fn key(kind: Kind, binding: &Value) -> [&str; 3] {
    let subject = SUBJECTS.iter().map(|field| text(binding, field)).find(|one| !one.is_empty());
    [subject.unwrap_or_default(), text(binding, "roleTemplateName"), text(binding, kind.scope_field())]
}

/// Age in whole seconds, then the name.
fn seniority(binding: &Value) -> (&str, &str) {
    (meta(binding, "creationTimestamp"), meta(binding, "name"))
}

/// Looks at a binding's namespace, as Rancher does whenever it looks at the binding.
pub(super) fn follow(tasks: &mut Tasks, core: &Arc<Core>, kind: Kind, binding: &Value) {
    if core.version().deletes_duplicates() {
        let (namespace, name) = (meta(binding, "namespace").to_owned(), meta(binding, "name").to_owned());
        with(tasks, core, move |core| async move {
            core.pause(20).await;
            delete_younger(&core, kind, &namespace, &name).await;
        });
    }
}

async fn delete_younger(core: &Core, kind: Kind, namespace: &str, name: &str) {
    let all = core.local.list(&kind.gvr(), Some(namespace));
    let alive: Vec<&Value> = all.iter().filter(|one| !is_terminating(one)).collect();
    let Some(binding) = alive.iter().find(|one| meta(one, "name") == name) else {
        return;
    };
    let mut equal: Vec<&&Value> = alive.iter().filter(|one| key(kind, one) == key(kind, binding)).collect();
    equal.sort_by_key(|one| seniority(one));
    for younger in equal.iter().skip(1) {
        // Gone already is as good.
        let _ = core.local.delete(&kind.gvr(), namespace, meta(younger, "name"), None).await;
    }
}
