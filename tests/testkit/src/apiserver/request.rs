//! From an HTTP request to a call: who, which verb, on which resource, with which parameters.
use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{Method, header};

use super::{
    User,
    kind::{Gvr, Kind},
    object::Key,
    state::State,
    status::ApiError,
};

/// One request, understood.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub user: User,
    /// The RBAC verb: get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: &'static str,
    pub kind: Arc<Kind>,
    /// Empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-wide.
    pub namespace: String,
    /// Empty for collections.
    pub name: String,
    pub query: Query,
    pub content_type: String,
    pub accept: String,
    pub body: Bytes,
}

impl Call {
    pub fn gvr(&self) -> &Gvr {
        &self.kind.gvr
    }

    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }

    pub fn dry_run(&self) -> bool {
        !self.query.get("dryRun").is_empty()
    }
}

/// The query parameters, decoded.
#[derive(Clone, Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub fn parse(raw: &str) -> Self {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key, true), decode(value, true))
        });
        Self(pairs.collect())
    }

    /// A parameter; empty when it was not given.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), "true" | "1")
    }

    fn check(&self, verb: &str) -> Result<(), ApiError> {
        let lists = "labelSelector fieldSelector resourceVersion resourceVersionMatch limit continue watch timeoutSeconds \
            allowWatchBookmarks sendInitialEvents";
        let deletes = "dryRun propagationPolicy gracePeriodSeconds orphanDependents";
        let allowed = match verb {
            "get" => "resourceVersion".to_owned(),
            "list" | "watch" => lists.to_owned(),
            "create" | "update" => "dryRun fieldManager fieldValidation".to_owned(),
            "patch" => "dryRun fieldManager fieldValidation force".to_owned(),
            "delete" => deletes.to_owned(),
            _ => format!("{lists} {deletes}"),
        };
        for name in self.0.keys() {
            if name != "pretty" && !allowed.split_whitespace().any(|one| one == name) {
                return Err(ApiError::unknown(format!("query parameter {name:?} is not known for {verb}")));
            }
        }
        let dry_run = self.get("dryRun");
        if !dry_run.is_empty() && dry_run != "All" {
            return Err(ApiError::bad_request(format!(
                "dryRun: Unsupported value: {dry_run:?}: supported values: \"All\""
            )));
        }
        Ok(())
    }
}

/// Percent-decodes; in queries `+` is a space.
fn decode(text: &str, plus: bool) -> String {
    if !text.contains('%') && (!plus || !text.contains('+')) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (byte, hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
                continue;
            }
            (b'+', _) if plus => out.push(b' '),
            (other, _) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

struct Path {
    gvr: Gvr,
    namespace: String,
    name: String,
    subresource: String,
}

fn parse_path(path: &str) -> Result<Path, ApiError> {
    let parts: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(ApiError::no_such_path(path)),
    };
    let make = |namespace: &str, resource: &str, name: &str, subresource: &str| Path {
        gvr: Gvr::new(group, version, resource),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
    };
    match rest {
        ["namespaces", namespace, resource @ ("status" | "finalize")] => {
            Ok(make("", "namespaces", namespace, resource))
        }
        ["namespaces", namespace, resource] => Ok(make(namespace, resource, "", "")),
        ["namespaces", namespace, resource, name] => Ok(make(namespace, resource, name, "")),
        ["namespaces", namespace, resource, name, sub] => Ok(make(namespace, resource, name, sub)),
        [resource] => Ok(make("", resource, "", "")),
        [resource, name] => Ok(make("", resource, name, "")),
        [resource, name, sub] => Ok(make("", resource, name, sub)),
        _ => Err(ApiError::no_such_path(path)),
    }
}

fn verb_of(method: &Method, collection: bool, watch: bool) -> Result<&'static str, ApiError> {
    match (method.as_str(), collection) {
        ("GET", _) if watch => Ok("watch"),
        ("GET", true) => Ok("list"),
        ("GET", false) => Ok("get"),
        ("POST", true) => Ok("create"),
        ("PUT", false) => Ok("update"),
        ("PATCH", false) => Ok("patch"),
        ("DELETE", false) => Ok("delete"),
        ("DELETE", true) => Ok("deletecollection"),
        (other, _) => Err(ApiError::method_not_allowed(other)),
    }
}

/// Understands a request, or says what is not known about it.
pub(super) fn parse(state: &State, user: User, request: http::Request<Bytes>) -> Result<Call, ApiError> {
    let (parts, body) = request.into_parts();
    let path = parse_path(parts.uri.path())?;
    let kind = state.kind(&path.gvr).ok_or_else(|| ApiError::no_such_path(parts.uri.path()))?;
    let misplaced = !path.namespace.is_empty() && !kind.namespaced
        || kind.namespaced && path.namespace.is_empty() && !path.name.is_empty();
    if misplaced {
        return Err(ApiError::no_such_path(parts.uri.path()));
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let verb = verb_of(&parts.method, path.name.is_empty(), query.flag("watch"))?;
    query.check(verb)?;
    check_served(&kind, verb, &path.subresource, parts.uri.path())?;
    if verb == "create" && kind.namespaced && path.namespace.is_empty() {
        return Err(ApiError::method_not_allowed("POST of a namespaced kind to all namespaces"));
    }
    let text = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Ok(Call {
        user,
        verb,
        kind,
        subresource: path.subresource,
        namespace: path.namespace,
        name: path.name,
        query,
        content_type: text(header::CONTENT_TYPE),
        accept: text(header::ACCEPT),
        body,
    })
}

fn check_served(kind: &Kind, verb: &str, subresource: &str, path: &str) -> Result<(), ApiError> {
    if kind.is_virtual && verb != "create" {
        return Err(ApiError::method_not_allowed(&format!("{verb} of {}", kind.kind)));
    }
    match subresource {
        "" => Ok(()),
        "status" if kind.status && matches!(verb, "get" | "update" | "patch") => Ok(()),
        "status" if kind.status => Err(ApiError::method_not_allowed(&format!("{verb} of {path}"))),
        _ => Err(ApiError::no_such_path(path)),
    }
}
