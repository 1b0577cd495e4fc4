//! CustomResourceDefinitions: each one that is stored serves its kinds.
use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    delete::end,
    kind::{Gvr, Kind, Resource},
    object::{finalizers, is_terminating, meta, meta_mut},
    schema::Schema,
    state::State,
    status::FieldError,
};

/// The finalizer that holds a definition until its objects are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn definitions() -> Gvr {
    Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions")
}

fn is_definition(kind: &Kind) -> bool {
    kind.gvr == definitions()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The kinds that a definition serves, one a version; the errors say which version has which fault.
fn kinds(definition: &Value) -> Result<Vec<Kind>, Vec<FieldError>> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let names = &spec["names"];
    let mut found = Vec::new();
    let mut errors = Vec::new();
    let versions = spec["versions"].as_array().into_iter().flatten().enumerate();
    for (index, version) in versions.filter(|(_, version)| version["served"] == true) {
        let mut kind = Kind::custom(&Resource {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: text(&names["kind"]),
            plural: text(&names["plural"]),
            namespaced: spec["scope"] == "Namespaced",
            status_subresource: version["subresources"]["status"].is_object(),
        });
        kind.short_names = texts(&names["shortNames"]);
        kind.categories = texts(&names["categories"]);
        if let Some(list_kind) = names["listKind"].as_str() {
            list_kind.clone_into(&mut kind.list_kind);
        }
        if let Some(singular) = names["singular"].as_str() {
            singular.clone_into(&mut kind.singular);
        }
        let selectable = version["selectableFields"].as_array().into_iter().flatten();
        kind.selectable = selectable.map(|field| text(&field["jsonPath"])).collect();
        let root = &version["schema"]["openAPIV3Schema"];
        let field = format!("spec.versions[{index}].schema.openAPIV3Schema");
        if !root.is_object() {
            errors.push(FieldError::required(&field, ""));
            continue;
        }
        match Schema::compile(&kind.gvr.group, &kind.gvr.version, &kind.kind, root) {
            Ok(schema) => kind.schema = Some(Arc::new(schema)),
            Err(why) => errors.push(FieldError::invalid_without_value(&field, &why)),
        }
        found.push(kind);
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

/// Faults of a definition.
pub(super) fn check(definition: &Value) -> Vec<FieldError> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let expected = format!("{}.{}", text(&spec["names"]["plural"]), text(&spec["group"]));
    let mut errors = kinds(definition).err().unwrap_or_default();
    if meta(definition, "name") != expected {
        let why = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", &meta(definition, "name").into(), why));
    }
    let stored = spec["versions"].as_array().into_iter().flatten().filter(|version| version["storage"] == true).count();
    if stored != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", &spec["versions"], why));
    }
    errors
}

/// Fills in what a definition may leave out.
pub(super) fn default(definition: &mut Value) {
    let kind = definition["spec"]["names"]["kind"].as_str().unwrap_or_default().to_owned();
    let names = &mut definition["spec"]["names"];
    if names["singular"].is_null() {
        names["singular"] = kind.to_lowercase().into();
    }
    if names["listKind"].is_null() {
        names["listKind"] = format!("{kind}List").into();
    }
    if definition["spec"]["conversion"].is_null() {
        definition["spec"]["conversion"] = json!({"strategy": "None"});
    }
}

/// After a write: a definition serves its kinds and says so in its status.
pub(super) fn follow(state: &mut State, kind: &Kind, stored: &Value) {
    if !is_definition(kind) {
        return;
    }
    unserve(state, stored);
    for one in kinds(stored).unwrap_or_default() {
        state.kinds.insert(one.gvr.clone(), Arc::new(one));
    }
    if stored["status"]["conditions"].is_array() || is_terminating(stored) {
        return;
    }
    let at = &stored["metadata"]["creationTimestamp"];
    let mut established = stored.clone();
    let condition = |name: &str, reason: &str, message: &str| json!({"type": name, "status": "True", "lastTransitionTime": at, "reason": reason, "message": message});
    let versions = stored["spec"]["versions"].as_array().into_iter().flatten();
    let storage: Vec<&Value> =
        versions.filter(|version| version["storage"] == true).map(|version| &version["name"]).collect();
    established["status"] = json!({
        "acceptedNames": stored["spec"]["names"],
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "storedVersions": storage,
    });
    let key = super::object::Key::cluster(meta(stored, "name"));
    state.commit(&kind.gvr, &key, Some(established));
}

fn unserve(state: &mut State, definition: &Value) {
    let (group, plural) = (&definition["spec"]["group"], &definition["spec"]["names"]["plural"]);
    state.kinds.retain(|gvr, _| *group != gvr.group || *plural != gvr.resource);
}

/// After a delete: the kinds are no longer served.
pub(super) fn forget(state: &mut State, kind: &Kind, gone: &Value) {
    if is_definition(kind) {
        unserve(state, gone);
    }
}

/// A definition that is about to be deleted waits for its objects.
pub(super) fn hold(kind: &Kind, object: &mut Value) {
    if !is_definition(kind) || is_terminating(object) {
        return;
    }
    let mut list = finalizers(object);
    list.push(CLEANUP.to_owned());
    meta_mut(object).insert("finalizers".to_owned(), list.into());
}

/// Deletes the objects of definitions that are on their way out, and lets those go that have none left.
pub(super) fn end_definitions(state: &mut State, now: &Value) {
    if !state.has(&definitions(), is_terminating) {
        return;
    }
    for (key, definition) in state.list(&definitions(), None) {
        if !is_terminating(&definition) || !finalizers(&definition).iter().any(|one| one == CLEANUP) {
            continue;
        }
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let storage = (text(&definition["spec"]["group"]), text(&definition["spec"]["names"]["plural"]));
        let mut left = false;
        if let Some(kind) = state.kind_of_storage(&storage) {
            for (object_key, _) in state.list(&kind.gvr, None) {
                left |= !end(state, &kind, &object_key, "", now.clone()).1;
            }
        }
        if left {
            continue;
        }
        let mut released = definition.as_ref().clone();
        let mut list = finalizers(&released);
        list.retain(|one| one != CLEANUP);
        if list.is_empty() {
            state.commit(&definitions(), &key, None);
            unserve(state, &definition);
        } else {
            meta_mut(&mut released).insert("finalizers".to_owned(), list.into());
            state.commit(&definitions(), &key, Some(released));
        }
    }
}
