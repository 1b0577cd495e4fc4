//! Get and list, and the forms an object is shown in.
use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

use super::{
    Inner, builtin, kind::Kind, lock, object::Key, request::Call, selector::Selector, serve::Answer, state::State,
    status::ApiError,
};

/// The form in which a client wants objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Whole objects.
    Full,
    /// PartialObjectMetadata.
    Metadata,
}

impl Format {
    /// The first form in an Accept header that is served; 406 when there is none.
    pub fn of(accept: &str) -> Result<Self, ApiError> {
        for range in accept.split(',').map(str::trim) {
            let parts: Vec<&str> = range.split(';').map(str::trim).collect();
            let json =
                parts.first().is_some_and(|&one| matches!(one, "" | "*/*" | "application/*" | "application/json"));
            let transform = parts.iter().find_map(|part| part.strip_prefix("as="));
            match transform {
                None if json => return Ok(Self::Full),
                Some("PartialObjectMetadata" | "PartialObjectMetadataList") if json => {
                    return Ok(Self::Metadata);
                }
                _ => {}
            }
        }
        let message = format!("testkit apiserver: none of the accepted forms is served: {accept}");
        Err(ApiError::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message))
    }

    /// An object as it goes out: in the asked version and form.
    pub fn show(self, kind: &Kind, object: &Value) -> Value {
        match self {
            Self::Full => builtin::to_version(kind, object),
            Self::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"],
            }),
        }
    }

    /// The same of a stored object, without a copy where none is needed.
    pub fn share(self, kind: &Kind, object: &Arc<Value>) -> Arc<Value> {
        match self {
            Self::Full => builtin::in_version(kind, object),
            Self::Metadata => Arc::new(self.show(kind, object)),
        }
    }

    /// An object as an item of a list: there the built-in kinds leave their type out.
    pub fn item(self, kind: &Kind, object: &Value) -> Value {
        let mut item = self.show(kind, object);
        if self == Self::Full
            && builtin::is_built_in(kind)
            && let Some(map) = item.as_object_mut()
        {
            map.remove("apiVersion");
            map.remove("kind");
        }
        item
    }

    /// `apiVersion` and `kind` of single objects in this form.
    pub fn type_of(self, kind: &Kind) -> (String, String) {
        match self {
            Self::Full => (kind.gvr.api_version(), kind.kind.clone()),
            Self::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadata".to_owned()),
        }
    }
}

/// Where a chunked list goes on.
struct Continue {
    revision: u64,
    after: Key,
}

impl Continue {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!([self.revision, self.after.namespace, self.after.name]).to_string())
    }

    fn decode(token: &str) -> Result<Self, ApiError> {
        let bad = || ApiError::bad_request("continue key is not valid");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
        let (revision, namespace, name): (u64, String, String) = serde_json::from_slice(&bytes).map_err(|_| bad())?;
        Ok(Self { revision, after: Key { namespace, name } })
    }
}

/// The revision a list or watch asks for: `None` for "any" and "newest".
pub(super) fn asked_revision(call: &Call, state: &State) -> Result<Option<u64>, ApiError> {
    let text = call.query.get("resourceVersion");
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let asked: u64 = text
        .parse()
        .map_err(|_| {
            ApiError::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?;
    if asked > state.revision {
        let message = format!("Too large resource version: {asked}, current: {}", state.revision);
        return Err(ApiError::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", message));
    }
    Ok(Some(asked))
}

/// The objects as they were at a revision that is not compacted away.
fn list_at(state: &State, call: &Call, revision: u64) -> Result<BTreeMap<Key, Arc<Value>>, ApiError> {
    if revision < state.compacted {
        return Err(ApiError::expired(revision, state.compacted));
    }
    let storage = call.gvr().storage();
    let mut objects: BTreeMap<Key, Arc<Value>> = state.list(call.gvr(), None).into_iter().collect();
    for change in state.log.iter().rev().take_while(|change| change.revision > revision) {
        if change.storage != storage {
            continue;
        }
        match &change.old {
            Some(old) => objects.insert(change.key.clone(), Arc::clone(old)),
            None => objects.remove(&change.key),
        };
    }
    objects.retain(|key, _| call.namespace.is_empty() || key.namespace == call.namespace);
    Ok(objects)
}

impl Inner {
    pub(super) fn get(&self, call: &Call, format: Format) -> Result<Answer, ApiError> {
        let state = self.state();
        let object = state.get(call.gvr(), &call.key()).ok_or_else(|| ApiError::not_found(call.gvr(), &call.name))?;
        drop(state);
        Ok(Answer::Text(StatusCode::OK, lock(&self.texts).of(&format.share(&call.kind, &object))))
    }

    pub(super) fn list(&self, call: &Call, format: Format) -> Result<Answer, ApiError> {
        let query = &call.query;
        let selector = Selector::parse(&call.kind, query.get("labelSelector"), query.get("fieldSelector"))?;
        let state = self.state();
        let asked = asked_revision(call, &state)?;
        let token = Some(query.get("continue")).filter(|token| !token.is_empty());
        let resume = token.map(Continue::decode).transpose()?;
        let revision = match (&resume, query.get("resourceVersionMatch"), asked) {
            (Some(resume), ..) => resume.revision,
            (None, "Exact", Some(asked)) => asked,
            (None, "" | "NotOlderThan" | "Exact", _) => state.revision,
            (None, other, _) => {
                return Err(ApiError::unknown(format!("resourceVersionMatch {other:?}")));
            }
        };
        let mut objects = list_at(&state, call, revision)?;
        objects
            .retain(|key, object| resume.as_ref().is_none_or(|resume| *key > resume.after) && selector.matches(object));
        drop(state);
        let limit = query.get("limit").parse().ok().filter(|&limit: &usize| limit > 0).unwrap_or(usize::MAX);
        let plain = query.get("labelSelector").is_empty() && query.get("fieldSelector").is_empty();
        Ok(Answer::Json(StatusCode::OK, list_document(&call.kind, format, revision, &objects, limit, plain)))
    }
}

fn list_document(
    kind: &Kind,
    format: Format,
    revision: u64,
    objects: &BTreeMap<Key, Arc<Value>>,
    limit: usize,
    plain: bool,
) -> Value {
    let mut metadata = json!({"resourceVersion": revision.to_string()});
    if !builtin::is_built_in(kind) {
        metadata["continue"] = "".into();
    }
    if objects.len() > limit
        && let Some((after, _)) = objects.iter().nth(limit.saturating_sub(1))
    {
        metadata["continue"] = Continue { revision, after: after.clone() }.encode().into();
        if plain {
            metadata["remainingItemCount"] = (objects.len() - limit).into();
        }
    }
    let items: Vec<Value> = objects.values().take(limit).map(|object| format.item(kind, object)).collect();
    let (api_version, list_kind) = match format {
        Format::Full => (kind.gvr.api_version(), kind.list_kind.clone()),
        Format::Metadata => ("meta.k8s.io/v1".to_owned(), "PartialObjectMetadataList".to_owned()),
    };
    json!({"kind": list_kind, "apiVersion": api_version, "metadata": metadata, "items": items})
}
