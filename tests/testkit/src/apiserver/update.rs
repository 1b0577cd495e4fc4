//! Update and patch: one way through, for what differs is only how the new object is made from the current one.
use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{
    Inner,
    admission::{AdmissionRequest, Operation},
    builtin,
    create::check_content,
    custom,
    kind::Kind,
    metadata,
    object::{child_mut, finalizers, is_terminating, meta, meta_mut, revision, set},
    patch::{self, read_body},
    read::Format,
    request::Call,
    schema,
    serve::Answer,
    status::{ApiError, FieldError},
};

/// How often a patch starts again because somebody else wrote meanwhile, as a real server does.
const ATTEMPTS: u32 = 5;

/// How the new object comes from the current one.
pub(super) trait Make: Fn(&Arc<Value>) -> Result<Value, ApiError> + Send + Sync {}
impl<F: Fn(&Arc<Value>) -> Result<Value, ApiError> + Send + Sync> Make for F {}

impl Inner {
    pub(super) async fn put(&self, call: &Call) -> Result<Answer, ApiError> {
        let mut body = read_body(call)?;
        metadata::fit(&call.kind, &mut body, &call.namespace, &call.name)?;
        let exists = self.state().get(call.gvr(), &call.key()).is_some();
        if !exists && call.kind.create_on_update {
            let created = self.create_object(call, body).await?;
            return Ok(Answer::Json(StatusCode::CREATED, Format::Full.show(&call.kind, &created)));
        }
        let updated = self.change(call, &|_: &Arc<Value>| Ok(body.clone())).await?;
        Ok(Answer::Json(StatusCode::OK, Format::Full.show(&call.kind, &updated)))
    }

    pub(super) async fn patch(&self, call: &Call) -> Result<Answer, ApiError> {
        let patch = patch::Patch::read(call)?;
        let kind = &call.kind;
        let make = |current: &Arc<Value>| {
            let mut object = patch.apply(&Format::Full.share(kind, current))?;
            metadata::fit(kind, &mut object, &call.namespace, &call.name)?;
            Ok(object)
        };
        let updated = self.change(call, &make).await?;
        Ok(Answer::Json(StatusCode::OK, Format::Full.show(kind, &updated)))
    }

    /// Makes, mutates, checks and stores; starts again when the object changed meanwhile.
    pub(super) async fn change(&self, call: &Call, make: &dyn Make) -> Result<Value, ApiError> {
        for _ in 0..ATTEMPTS {
            if let Some(stored) = self.try_change(call, make).await? {
                return Ok(stored);
            }
        }
        Err(ApiError::modified(call.gvr(), &call.name))
    }

    async fn try_change(&self, call: &Call, make: &dyn Make) -> Result<Option<Value>, ApiError> {
        let kind = &call.kind;
        let found = self.state().get(&kind.gvr, &call.key());
        let current = found.ok_or_else(|| ApiError::not_found(&kind.gvr, &call.name))?;
        let mut made = make(&current)?;
        check_uid(call, &made, &current)?;
        builtin::default(kind, &mut made)?;
        schema::default(kind, &mut made);
        let shown = Format::Full.share(kind, &current);
        let mut request = AdmissionRequest::of(call, Operation::Update, Some(made), Some(shown.as_ref().clone()));
        let mut object = self.mutate(&mut request).await?;
        metadata::fit(kind, &mut object, &call.namespace, &call.name)?;
        check_revision(call, &object, &current)?;
        let errors = metadata::check_update(kind, &object, &current);
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, &call.name, &errors));
        }
        let object = settle_fields(call, object, &current, &shown)?;
        request.object = Some(object.clone());
        self.validate(&request).await?;
        self.store_changed(call, object, &current)
    }

    /// Stores the object unless somebody else wrote since `current` was read (`None`).
    fn store_changed(&self, call: &Call, object: Value, current: &Value) -> Result<Option<Value>, ApiError> {
        let kind = &call.kind;
        let key = call.key();
        let mut state = self.state();
        let stored = state.get(&kind.gvr, &key).ok_or_else(|| ApiError::not_found(&kind.gvr, &call.name))?;
        if stored.as_ref() != current {
            return Ok(None);
        }
        if object == *current || call.dry_run() {
            return Ok(Some(object));
        }
        if is_terminating(&object) && finalizers(&object).is_empty() && !builtin::has_spec_finalizers(kind, &object) {
            let gone = state.commit(&kind.gvr, &key, None);
            custom::forget(&mut state, kind, &gone);
            return Ok(Some(object));
        }
        let stored = state.commit(&kind.gvr, &key, Some(object));
        custom::follow(&mut state, kind, &stored);
        Ok(Some(stored.as_ref().clone()))
    }
}

/// A PUT that names another UID fails in the storage; a patch is refused as a change of a fixed field.
fn check_uid(call: &Call, object: &Value, current: &Value) -> Result<(), ApiError> {
    let (asked, is) = (meta(object, "uid"), meta(current, "uid"));
    if asked.is_empty() || asked == is || call.verb == "patch" {
        return Ok(());
    }
    let kind = &call.kind;
    let mut key = String::from("/registry");
    let group = if builtin::is_built_in(kind) { "" } else { &kind.gvr.group };
    for part in [group, &kind.gvr.resource, &call.namespace, &call.name] {
        if !part.is_empty() {
            key.push('/');
            key.push_str(part);
        }
    }
    let why = format!(
        "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: \
         Precondition failed: UID in precondition: {asked}, UID in object meta: {is}"
    );
    Err(ApiError::conflict(call.gvr(), &call.name, &why))
}

fn check_revision(call: &Call, object: &Value, current: &Value) -> Result<(), ApiError> {
    let asked = meta(object, "resourceVersion");
    if asked.is_empty() || asked == "0" {
        if call.kind.unconditional_update || call.verb == "patch" {
            return Ok(());
        }
        let error = FieldError::invalid("metadata.resourceVersion", &0.into(), "must be specified for an update");
        // A real server names the plural here where it names the kind elsewhere.
        let mut named = call.kind.as_ref().clone();
        named.kind.clone_from(&named.gvr.resource);
        return Err(ApiError::invalid(&named, &call.name, &[error]));
    }
    if asked != meta(current, "resourceVersion") {
        return Err(ApiError::modified(call.gvr(), &call.name));
    }
    Ok(())
}

/// Keeps what this endpoint may not write, counts the generation, and checks the result.
fn settle_fields(call: &Call, mut object: Value, current: &Value, shown: &Value) -> Result<Value, ApiError> {
    let kind = &call.kind;
    if call.subresource == "status" {
        object = only_status(object, shown);
    } else if kind.status
        && let Some(map) = object.as_object_mut()
    {
        set(map, "status", shown.get("status"));
    }
    metadata::keep_system_fields(&mut object, current);
    builtin::default(kind, &mut object)?;
    schema::default(kind, &mut object);
    let mut errors = metadata::check(kind, &object);
    errors.extend(check_content(kind, &object, Some(shown), &call.subresource));
    if !errors.is_empty() {
        return Err(ApiError::invalid(kind, &call.name, &errors));
    }
    if kind.generation && content(kind, &object) != content(kind, shown) {
        let generation = current["metadata"]["generation"].as_u64().unwrap_or(0) + 1;
        meta_mut(&mut object).insert("generation".to_owned(), generation.into());
    }
    debug_assert_eq!(revision(&object), revision(current), "the stored revision is kept until the commit");
    Ok(builtin::to_storage(kind, object))
}

/// The stored object with the new status.
fn only_status(object: Value, current: &Value) -> Value {
    let mut kept = current.clone();
    if let Some(map) = kept.as_object_mut() {
        set(map, "status", object.get("status"));
    }
    kept
}

/// What the generation counts changes of.
fn content(kind: &Kind, object: &Value) -> Value {
    let mut content = object.clone();
    if let Some(map) = content.as_object_mut() {
        map.remove("metadata");
        if kind.status {
            map.remove("status");
        }
    }
    let _ = child_mut(&mut content, "spec");
    content
}
