//! Delete and deletecollection.
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{
    Inner,
    admission::{AdmissionRequest, Operation},
    builtin, custom,
    kind::Kind,
    object::{Key, finalizers, is_terminating, meta, meta_mut, stamp},
    read::Format,
    request::Call,
    selector::Selector,
    serve::Answer,
    state::State,
    status::ApiError,
};

/// The finalizer that waits for dependents (`propagationPolicy=Foreground`).
pub(super) const FOREGROUND: &str = "foregroundDeletion";

/// What a delete asks for, from its query and its body.
#[derive(Clone, Debug, Default)]
struct Options {
    uid: String,
    resource_version: String,
    propagation: String,
    dry_run: bool,
}

impl Options {
    fn read(call: &Call) -> Result<Self, ApiError> {
        let mut options = Self {
            propagation: call.query.get("propagationPolicy").to_owned(),
            dry_run: call.dry_run(),
            ..Self::default()
        };
        if call.query.flag("orphanDependents") {
            "Orphan".clone_into(&mut options.propagation);
        }
        if call.body.is_empty() {
            return options.check();
        }
        let body: Map<String, Value> = serde_json::from_slice(&call.body)
            .map_err(|error| ApiError::bad_request(format!("the DeleteOptions cannot be read: {error}")))?;
        for (name, value) in &body {
            let text = || value.as_str().unwrap_or_default().to_owned();
            match name.as_str() {
                "kind" | "apiVersion" | "gracePeriodSeconds" | "orphanDependents" => {}
                "propagationPolicy" => options.propagation = text(),
                "dryRun" => options.dry_run |= value.as_array().is_some_and(|list| !list.is_empty()),
                "preconditions" => {
                    value["uid"].as_str().unwrap_or_default().clone_into(&mut options.uid);
                    value["resourceVersion"].as_str().unwrap_or_default().clone_into(&mut options.resource_version);
                }
                other => return Err(ApiError::unknown(format!("DeleteOptions field {other:?}"))),
            }
        }
        options.check()
    }

    fn check(self) -> Result<Self, ApiError> {
        match self.propagation.as_str() {
            "" | "Background" | "Foreground" | "Orphan" => Ok(self),
            other => Err(ApiError::unknown(format!("propagationPolicy {other:?}"))),
        }
    }

    fn preconditions(&self, kind: &Kind, name: &str, current: &Value) -> Result<(), ApiError> {
        let (asked, uid) = (&self.uid, meta(current, "uid"));
        if !asked.is_empty() && asked != uid {
            let why = format!(
                "the UID in the precondition ({asked}) does not match the UID in record ({uid}). \
                 The object might have been deleted and then recreated"
            );
            return Err(ApiError::precondition(kind, name, &why));
        }
        let (asked, version) = (&self.resource_version, meta(current, "resourceVersion"));
        if !asked.is_empty() && asked != version {
            let why = format!(
                "the ResourceVersion in the precondition ({asked}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            );
            return Err(ApiError::precondition(kind, name, &why));
        }
        Ok(())
    }
}

impl Inner {
    pub(super) async fn delete(&self, call: &Call) -> Result<Answer, ApiError> {
        let options = Options::read(call)?;
        let (object, gone) = self.delete_object(call, &options).await?;
        let kind = &call.kind;
        if !gone || kind.returns_deleted {
            return Ok(Answer::Json(StatusCode::OK, Format::Full.show(kind, &object)));
        }
        let mut details = json!({"name": call.name, "kind": kind.gvr.resource, "uid": meta(&object, "uid")});
        if !kind.gvr.group.is_empty() {
            details["group"] = kind.gvr.group.clone().into();
        }
        let status =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        Ok(Answer::Json(StatusCode::OK, status))
    }

    /// Deletes or marks for deletion. Answers with the last state, and whether it is gone.
    async fn delete_object(&self, call: &Call, options: &Options) -> Result<(Value, bool), ApiError> {
        let kind = &call.kind;
        loop {
            let found = self.state().get(&kind.gvr, &call.key());
            let current = found.ok_or_else(|| ApiError::not_found(&kind.gvr, &call.name))?;
            options.preconditions(kind, &call.name, &current)?;
            let shown = Format::Full.show(kind, &current);
            let mut request = AdmissionRequest::of(call, Operation::Delete, None, Some(shown));
            request.dry_run = options.dry_run;
            self.validate(&request).await?;
            let mut state = self.state();
            let stored = state.get(&kind.gvr, &call.key());
            if stored.as_ref() != Some(&current) {
                continue;
            }
            if options.dry_run {
                return Ok((current.as_ref().clone(), finalizers(&current).is_empty()));
            }
            return Ok(end(&mut state, kind, &call.key(), &options.propagation, stamp((self.now)())));
        }
    }

    pub(super) async fn delete_collection(&self, call: &Call) -> Result<Answer, ApiError> {
        let options = Options::read(call)?;
        let query = &call.query;
        let selector = Selector::parse(&call.kind, query.get("labelSelector"), query.get("fieldSelector"))?;
        let namespace = Some(call.namespace.as_str()).filter(|namespace| !namespace.is_empty());
        let listed = self.state().list(call.gvr(), namespace);
        let mut deleted = Vec::new();
        for (key, object) in listed {
            if !selector.matches(&object) {
                continue;
            }
            let one = Call { name: key.name, namespace: key.namespace, ..call.clone() };
            match self.delete_object(&one, &options).await {
                Ok((object, _)) => deleted.push(Format::Full.item(&call.kind, &object)),
                Err(error) if error.reason == "NotFound" => {}
                Err(error) => return Err(error),
            }
        }
        let revision = self.state().revision.to_string();
        let kind = &call.kind;
        Ok(Answer::Json(
            StatusCode::OK,
            json!({"kind": kind.list_kind, "apiVersion": kind.gvr.api_version(),
                "metadata": {"resourceVersion": revision}, "items": deleted}),
        ))
    }
}

/// Removes an object, or marks it while finalizers hold it. Answers with its last state, and whether it is gone.
pub(super) fn end(state: &mut State, kind: &Kind, key: &Key, propagation: &str, now: Value) -> (Value, bool) {
    let Some(current) = state.get(&kind.gvr, key) else {
        return (Value::Null, true);
    };
    let mut object = current.as_ref().clone();
    match propagation {
        "Foreground" if !finalizers(&object).iter().any(|one| one == FOREGROUND) => {
            let mut list = finalizers(&object);
            list.push(FOREGROUND.to_owned());
            meta_mut(&mut object).insert("finalizers".to_owned(), list.into());
        }
        "Orphan" => orphan(state, meta(&object, "uid")),
        _ => {}
    }
    custom::hold(kind, &mut object);
    let held = !finalizers(&object).is_empty() || builtin::has_spec_finalizers(kind, &object);
    if !held {
        let gone = state.commit(&kind.gvr, key, None);
        custom::forget(state, kind, &gone);
        return (gone.as_ref().clone(), true);
    }
    if !is_terminating(&object) {
        let generation = object["metadata"]["generation"].as_u64();
        let map = meta_mut(&mut object);
        map.insert("deletionTimestamp".to_owned(), now);
        map.insert("deletionGracePeriodSeconds".to_owned(), json!(0));
        if let Some(generation) = generation {
            map.insert("generation".to_owned(), (generation + 1).into());
        }
        builtin::on_terminating(kind, &mut object);
    }
    if object != *current {
        return (state.commit(&kind.gvr, key, Some(object)).as_ref().clone(), false);
    }
    (object, false)
}

/// Takes an owner's UID out of the dependents it leaves behind.
fn orphan(state: &mut State, uid: &str) {
    let owned = |object: &Value| {
        object["metadata"]["ownerReferences"].as_array().is_some_and(|list| list.iter().any(|one| one["uid"] == uid))
    };
    let dependents: Vec<_> = state
        .everything()
        .filter(|(_, _, object)| owned(object))
        .map(|(storage, key, object)| (storage.clone(), key.clone(), object.as_ref().clone()))
        .collect();
    for (storage, key, mut object) in dependents {
        let Some(kind) = state.kind_of_storage(&storage) else {
            continue;
        };
        if let Some(list) = object["metadata"]["ownerReferences"].as_array_mut() {
            list.retain(|one| one["uid"] != uid);
        }
        state.commit(&kind.gvr, &key, Some(object));
    }
}
