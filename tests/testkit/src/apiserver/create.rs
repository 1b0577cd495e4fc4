//! Create.
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Inner,
    admission::{AdmissionRequest, Operation},
    builtin, custom,
    kind::{Gvr, Kind},
    metadata,
    object::{Key, is_terminating, meta, meta_mut, stamp},
    patch::read_body,
    read::Format,
    request::Call,
    schema,
    serve::Answer,
    state::State,
    status::{ApiError, FieldError},
};

impl Inner {
    pub(super) async fn create(&self, call: &Call) -> Result<Answer, ApiError> {
        let object = read_body(call)?;
        if call.kind.is_virtual {
            return self.review(call, object);
        }
        let created = self.create_object(call, object).await?;
        Ok(Answer::Json(StatusCode::CREATED, Format::Full.show(&call.kind, &created)))
    }

    /// The whole way of a create: fill in, mutate, check, validate, store.
    pub(super) async fn create_object(&self, call: &Call, mut object: Value) -> Result<Value, ApiError> {
        let kind = &call.kind;
        metadata::fit(kind, &mut object, &call.namespace, &call.name)?;
        check_namespace(&self.state(), call, meta(&object, "name"))?;
        let object = self.begin_create(kind, object)?;
        let mut request = AdmissionRequest::of(call, Operation::Create, Some(object), None);
        request.name = meta(request.object.as_ref().unwrap_or(&Value::Null), "name").to_owned();
        let mut object = self.mutate(&mut request).await?;
        metadata::fit(kind, &mut object, &call.namespace, &call.name)?;
        let object = self.finish_create(kind, object)?;
        request.object = Some(object.clone());
        self.validate(&request).await?;
        self.store_new(call, object)
    }

    /// Drops what a client may not set, and fills in what the kind defaults.
    fn begin_create(&self, kind: &Kind, mut object: Value) -> Result<Value, ApiError> {
        if !meta(&object, "resourceVersion").is_empty() {
            let message = "resourceVersion should not be set on objects to be created";
            return Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "", message));
        }
        for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
            meta_mut(&mut object).remove(field);
        }
        metadata::tidy(&mut object);
        builtin::default(kind, &mut object)?;
        schema::default(kind, &mut object);
        Ok(object)
    }

    /// Gives the object its identity and checks it.
    fn finish_create(&self, kind: &Kind, mut object: Value) -> Result<Value, ApiError> {
        if kind.status
            && kind.schema.is_some() | !builtin::is_built_in(kind)
            && let Some(map) = object.as_object_mut()
        {
            map.remove("status");
        }
        builtin::default(kind, &mut object)?;
        let mut state = self.state();
        let generated = meta(&object, "generateName").to_owned();
        if meta(&object, "name").is_empty() && !generated.is_empty() {
            let prefix: String = generated.chars().take(248).collect();
            let name = format!("{prefix}{}", state.suffix());
            meta_mut(&mut object).insert("name".to_owned(), name.into());
        }
        let uid = state.uid();
        drop(state);
        let map = meta_mut(&mut object);
        map.insert("uid".to_owned(), uid.into());
        map.insert("creationTimestamp".to_owned(), stamp((self.now)()));
        if kind.generation {
            map.insert("generation".to_owned(), json!(1));
        }
        metadata::tidy(&mut object);
        schema::default(kind, &mut object);
        let mut errors = metadata::check(kind, &object);
        errors.extend(check_content(kind, &object, None, ""));
        if !errors.is_empty() {
            return Err(ApiError::invalid(kind, meta(&object, "name"), &errors));
        }
        Ok(object)
    }

    fn store_new(&self, call: &Call, object: Value) -> Result<Value, ApiError> {
        let kind = &call.kind;
        let key = Key::new(&call.namespace, meta(&object, "name"));
        let mut state = self.state();
        if state.get(&kind.gvr, &key).is_some() {
            return Err(ApiError::already_exists(&kind.gvr, &key.name));
        }
        check_namespace(&state, call, &key.name)?;
        if call.dry_run() {
            return Ok(object);
        }
        let stored = state.commit(&kind.gvr, &key, Some(builtin::to_storage(kind, object)));
        custom::follow(&mut state, kind, &stored);
        Ok(stored.as_ref().clone())
    }
}

/// Faults of the object beyond its metadata: the schema's and the kind's own.
pub(super) fn check_content(kind: &Kind, object: &Value, old: Option<&Value>, subresource: &str) -> Vec<FieldError> {
    let mut errors = builtin::check(kind, object, old);
    if let Some(schema) = &kind.schema {
        errors.extend(schema.check(object, old, subresource));
    }
    errors
}

/// A namespace must be there, and must not be on its way out.
fn check_namespace(state: &State, call: &Call, name: &str) -> Result<(), ApiError> {
    if call.namespace.is_empty() {
        return Ok(());
    }
    let namespaces = Gvr::core("namespaces");
    let namespace = state
        .get(&namespaces, &Key::cluster(&call.namespace))
        .ok_or_else(|| ApiError::not_found(&namespaces, &call.namespace))?;
    if is_terminating(&namespace) {
        let why =
            format!("unable to create new content in namespace {} because it is being terminated", call.namespace);
        let cause = json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {} is being terminated", call.namespace),
            "field": "metadata.namespace",
        });
        return Err(ApiError::forbidden(call.gvr(), name, &why).with_cause(cause));
    }
    Ok(())
}
