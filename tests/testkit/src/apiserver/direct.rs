//! The server without HTTP: for simulated controllers and for tests.
use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header;
use serde_json::{Value, json};

use super::{
    ApiServer, User,
    delete::end,
    kind::{Gvr, Kind},
    object::{Key, meta, meta_mut, stamp},
    read::Format,
    request::{self, Call},
    serve::Answer,
    state::EventType,
    status::ApiError,
    watch::Watch,
};

/// One change of an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventType,
    /// The object after it; before it, for a deletion.
    pub object: Value,
}

fn path(kind: &Kind, namespace: &str, name: &str, subresource: &str) -> String {
    let gvr = &kind.gvr;
    let mut path =
        if gvr.group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{}/{}", gvr.group, gvr.version) };
    if !namespace.is_empty() {
        path.push_str(&format!("/namespaces/{namespace}"));
    }
    for part in [gvr.resource.as_str(), name, subresource] {
        if !part.is_empty() {
            path.push('/');
            path.push_str(part);
        }
    }
    path
}

impl ApiServer {
    fn kind(&self, gvr: &Gvr) -> Result<Arc<Kind>, ApiError> {
        self.0.state().kind(gvr).ok_or_else(|| ApiError::no_such_path(&gvr.group_resource()))
    }

    /// A call of the administrator, unrecorded.
    fn call(
        &self,
        method: &str,
        at: (&Gvr, &str, &str, &str),
        query: &str,
        body: (&str, Option<&Value>),
    ) -> Result<Call, ApiError> {
        let (gvr, namespace, name, subresource) = at;
        let uri = format!("{}?{query}", path(self.kind(gvr)?.as_ref(), namespace, name, subresource));
        let bytes = body.1.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = http::Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, body.0).body(bytes);
        let request = request.map_err(|error| ApiError::bad_request(error.to_string()))?;
        request::parse(&self.0.state(), User::admin(), request)
    }

    /// The object with its type, which callers may leave out.
    fn with_type(&self, gvr: &Gvr, object: &Value) -> Result<Value, ApiError> {
        let mut object = object.clone();
        object["apiVersion"] = gvr.api_version().into();
        object["kind"] = self.kind(gvr)?.kind.clone().into();
        Ok(object)
    }

    async fn write(&self, call: Result<Call, ApiError>) -> Result<Value, ApiError> {
        match self.0.write(&call?).await? {
            Answer::Json(_, value) => Ok(value),
            Answer::Text(..) | Answer::Watch(_) => {
                Err(ApiError::unknown("a write was answered as if it had been a read"))
            }
        }
    }

    /// The object, as its version shows it; `namespace` is empty for cluster-scoped kinds, here and below.
    pub fn get(&self, gvr: &Gvr, namespace: &str, name: &str) -> Option<Value> {
        let state = self.0.state();
        let kind = state.kind(gvr)?;
        Some(Format::Full.show(&kind, state.get(gvr, &Key::new(namespace, name))?.as_ref()))
    }

    /// The same, without a copy of what is stored.
    pub(crate) fn peek(&self, gvr: &Gvr, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.0.state();
        let kind = state.kind(gvr)?;
        Some(Format::Full.share(&kind, &state.get(gvr, &Key::new(namespace, name))?))
    }

    /// All objects, or those of one namespace, without a copy of what is stored.
    pub(crate) fn peek_all(&self, gvr: &Gvr, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let state = self.0.state();
        let Some(kind) = state.kind(gvr) else {
            return Vec::new();
        };
        state.list(gvr, namespace).iter().map(|(_, object)| Format::Full.share(&kind, object)).collect()
    }

    /// All objects, or those of one namespace.
    pub fn list(&self, gvr: &Gvr, namespace: Option<&str>) -> Vec<Value> {
        let state = self.0.state();
        let Some(kind) = state.kind(gvr) else {
            return Vec::new();
        };
        state.list(gvr, namespace).iter().map(|(_, object)| Format::Full.show(&kind, object)).collect()
    }

    /// Creates, as a POST does; the namespace is the object's own.
    pub async fn create(&self, gvr: &Gvr, object: &Value) -> Result<Value, ApiError> {
        let object = &self.with_type(gvr, object)?;
        let namespace = meta(object, "namespace");
        self.write(self.call("POST", (gvr, namespace, "", ""), "", ("application/json", Some(object)))).await
    }

    /// Updates, as a PUT does.
    pub async fn update(&self, gvr: &Gvr, object: &Value) -> Result<Value, ApiError> {
        let object = &self.with_type(gvr, object)?;
        let at = (gvr, meta(object, "namespace"), meta(object, "name"), "");
        self.write(self.call("PUT", at, "", ("application/json", Some(object)))).await
    }

    /// Updates the status, as a PUT to `/status` does.
    pub async fn update_status(&self, gvr: &Gvr, object: &Value) -> Result<Value, ApiError> {
        let object = &self.with_type(gvr, object)?;
        let at = (gvr, meta(object, "namespace"), meta(object, "name"), "status");
        self.write(self.call("PUT", at, "", ("application/json", Some(object)))).await
    }

    /// Patches with a merge patch; `subresource` is empty or `status`.
    pub async fn patch(
        &self,
        gvr: &Gvr,
        namespace: &str,
        name: &str,
        subresource: &str,
        patch: &Value,
    ) -> Result<Value, ApiError> {
        let at = (gvr, namespace, name, subresource);
        self.write(self.call("PATCH", at, "", ("application/merge-patch+json", Some(patch)))).await
    }

    /// Deletes, with a UID precondition if one is given.
    pub async fn delete(&self, gvr: &Gvr, namespace: &str, name: &str, uid: Option<&str>) -> Result<Value, ApiError> {
        let options = uid.map(|uid| json!({"preconditions": {"uid": uid}}));
        let at = (gvr, namespace, name, "");
        self.write(self.call("DELETE", at, "", ("application/json", options.as_ref()))).await
    }

    /// Stores an object without any admission or check, under a new UID unless it has one: for what a test needs to be there.
    pub fn create_unchecked(&self, gvr: &Gvr, mut object: Value) -> Result<Value, ApiError> {
        let kind = self.kind(gvr)?;
        let now = stamp((self.0.now)());
        let mut state = self.0.state();
        let uid = state.uid();
        object["apiVersion"] = gvr.api_version().into();
        object["kind"] = kind.kind.clone().into();
        let map = meta_mut(&mut object);
        map.entry("uid").or_insert_with(|| uid.into());
        map.entry("creationTimestamp").or_insert(now);
        if kind.generation {
            map.entry("generation").or_insert(json!(1));
        }
        let key = Key::new(meta(&object, "namespace"), meta(&object, "name"));
        if state.get(gvr, &key).is_some() {
            return Err(ApiError::already_exists(gvr, &key.name));
        }
        let stored = state.commit(gvr, &key, Some(object)).as_ref().clone();
        drop(state);
        self.0.wake();
        Ok(stored)
    }

    /// Replaces an object without any admission or check: spec, status and metadata alike.
    pub fn update_unchecked(&self, gvr: &Gvr, object: Value) -> Result<Value, ApiError> {
        let key = Key::new(meta(&object, "namespace"), meta(&object, "name"));
        let mut state = self.0.state();
        state.get(gvr, &key).ok_or_else(|| ApiError::not_found(gvr, &key.name))?;
        let stored = state.commit(gvr, &key, Some(object)).as_ref().clone();
        drop(state);
        self.0.settle();
        self.0.wake();
        Ok(stored)
    }

    /// Deletes without admission; finalizers hold the object as ever.
    pub fn delete_unchecked(&self, gvr: &Gvr, namespace: &str, name: &str) -> Result<Value, ApiError> {
        let kind = self.kind(gvr)?;
        let now = stamp((self.0.now)());
        let key = Key::new(namespace, name);
        let mut state = self.0.state();
        state.get(gvr, &key).ok_or_else(|| ApiError::not_found(gvr, name))?;
        let (last, _) = end(&mut state, &kind, &key, "", now);
        drop(state);
        self.0.settle();
        self.0.wake();
        Ok(last)
    }

    /// A stream of what happens to a resource: first every object there is, then each change. Ends when watches are
    /// expired or cut.
    pub fn subscribe(&self, gvr: &Gvr) -> Result<impl Stream<Item = Event> + Send + use<>, ApiError> {
        let call = self.call("GET", (gvr, "", "", ""), "watch=true&timeoutSeconds=4000000000", ("", None))?;
        let cuts = self.0.cuts.load(Ordering::SeqCst);
        let Answer::Watch(watch) = Watch::start(&self.0, &call, Format::Full, cuts)? else {
            return Err(ApiError::unknown("a watch was answered with a document"));
        };
        let events = watch.into_stream().take_while(|event| std::future::ready(event.is_ok()));
        Ok(events.filter_map(|event| {
            let Ok(event) = event else { return std::future::ready(None) };
            let kind = match event.kind {
                "ADDED" => Some(EventType::Added),
                "MODIFIED" => Some(EventType::Modified),
                "DELETED" => Some(EventType::Deleted),
                _ => None,
            };
            std::future::ready(kind.map(|kind| Event { kind, object: Arc::unwrap_or_clone(event.object) }))
        }))
    }
}
