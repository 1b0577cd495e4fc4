//! `/k8s/clusters/<id>`: a cluster's API server through Rancher, with Rancher's own answers where it gives its own.
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};
use tower::{BoxError, ServiceExt};

use crate::apiserver::{ApiServer, Attributes};

use super::{
    auth::Caller,
    binding::Kind,
    core::{Core, management, text},
    rights,
    routes::Reply,
    webhook,
};

/// Management kinds that are open to those who may not read the local cluster.
const OPEN: [&str; 9] = [
    "clusterproxyconfigs",
    "clusterroletemplatebindings",
    "globalrolebindings",
    "globalroles",
    "projects",
    "projectroletemplatebindings",
    "users",
    "oidcclients",
    "proxyendpoints",
];

fn may(core: &Core, caller: &Caller, verb: &str, resource: &str, name: &str) -> bool {
    let asked = Attributes {
        verb: verb.to_owned(),
        group: "management.cattle.io".to_owned(),
        resource: resource.to_owned(),
        name: name.to_owned(),
        ..Attributes::default()
    };
    rights::reason(&core.local, &caller.impersonated(), &asked).is_some()
}

/// Whether the caller may do everything in Rancher.
pub(super) fn is_admin(core: &Core, caller: &Caller) -> bool {
    may(core, caller, "*", "*", "")
}

/// An error as Rancher's router writes it: Go's field names, no content type worth the name.
fn router_error(code: &str, status: u16, message: &str) -> Reply {
    let body = json!({"Code": {"Code": code, "Status": status}, "Message": message, "Cause": null, "FieldName": ""});
    Reply::text(status, &body.to_string())
}

/// Whether Rancher lets the caller through at all; if not, what it says.
fn stopped(core: &Core, caller: &Caller, cluster: &str, parts: &[&str]) -> Option<Reply> {
    if core.local.peek(&management("clusters"), "", cluster).is_none() {
        let message = format!("clusters.management.cattle.io \"{cluster}\" not found");
        return Some(router_error("NotFound", 404, &message));
    }
    if cluster != "local" {
        if !may(core, caller, "get", "clusters", cluster) {
            let message = format!("clusters.management.cattle.io \"{cluster}\" is forbidden");
            return Some(router_error("Forbidden", 403, &message));
        }
        if !core.reaches(cluster) {
            let message = "waiting for cluster agent to connect";
            return Some(router_error("ClusterUnavailable", 503, message));
        }
        return None;
    }
    let resource = match parts {
        ["apis", "management.cattle.io", "v3", "namespaces", _, resource, ..]
        | ["apis", "management.cattle.io", "v3", resource, ..] => resource,
        _ => return None,
    };
    let open = OPEN.contains(resource) || may(core, caller, "get", "clusters", "local");
    (!open).then(|| Reply::empty(403))
}

pub(super) async fn answer(
    core: &Arc<Core>,
    caller: &Caller,
    cluster: &str,
    parts: &[&str],
    mut request: Request<Bytes>,
) -> Result<Response<Body>, BoxError> {
    if let Some(reply) = stopped(core, caller, cluster, parts) {
        return Ok(reply.into());
    }
    let Some(server) = core.server(cluster) else {
        return Ok(router_error("ClusterUnavailable", 503, "cluster not found").into());
    };
    if let Some(reply) = review(&server, caller, parts, &request) {
        return Ok(reply.into());
    }
    if let Some(reply) = unreadable(&request).or_else(|| strict(parts, &request)) {
        return Ok(reply.into());
    }
    let query = request.uri().query().map(str::to_owned);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    *request.uri_mut() = format!("/{}{query}", parts.join("/")).parse()?;
    let is_apply = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/apply-patch"));
    let response = if request.method() == Method::PATCH && is_apply {
        apply(&server, caller, request).await?
    } else {
        let watches = query.contains("watch=true") || query.contains("watch=1");
        let service = server.service_as(caller.impersonated());
        let response = service.oneshot(request).await?;
        return reword(response, watches).await;
    };
    reword(response, false).await
}

/// Reviews of oneself: Rancher's extras, and the binding that gives a right.
fn review(server: &ApiServer, caller: &Caller, parts: &[&str], request: &Request<Bytes>) -> Option<Reply> {
    if request.method() != Method::POST {
        return None;
    }
    let mut body: Value = serde_json::from_slice(request.body()).ok()?;
    body["metadata"] = json!({"creationTimestamp": null});
    match parts {
        ["apis", "authentication.k8s.io", "v1", "selfsubjectreviews"] => {
            body["status"] = json!({"userInfo": {
                "username": caller.user, "groups": caller.groups,
                "extra": {
                    "principalid": [format!("local://{}", caller.user)], "requesttokenid": [caller.token],
                    "username": [caller.username],
                },
            }});
        }
        ["apis", "authorization.k8s.io", "v1", "selfsubjectaccessreviews"] => {
            let asked = &body["spec"]["resourceAttributes"];
            let field = |name: &str| text(asked, name).to_owned();
            let attributes = Attributes {
                verb: field("verb"),
                group: field("group"),
                version: field("version"),
                resource: field("resource"),
                subresource: field("subresource"),
                namespace: field("namespace"),
                name: field("name"),
            };
            let reason = rights::reason(server, &caller.impersonated(), &attributes);
            body["status"] = json!({"allowed": reason.is_some(), "reason": reason.unwrap_or_default()});
        }
        _ => return None,
    }
    Some(Reply::json(201, &body))
}

/// A body that should be JSON and is not.
fn unreadable(request: &Request<Bytes>) -> Option<Reply> {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return None;
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let is_json = content_type.is_none_or(|value| value.as_bytes().starts_with(b"application/json"));
    let error = serde_json::from_slice::<Value>(request.body()).err()?;
    let message = format!(
        "the object provided is unrecognized (must be of type Object): couldn't get version/kind; json parse error: {error}"
    );
    is_json.then(|| Reply::status(400, "BadRequest", &message))
}

/// `fieldValidation=Strict`, for bindings: the definitions of other kinds keep what they do not know.
fn strict(parts: &[&str], request: &Request<Bytes>) -> Option<Reply> {
    let ["apis", "management.cattle.io", "v3", rest @ ..] = parts else {
        return None;
    };
    let kind = rest.iter().find_map(|part| Kind::of(part))?;
    let asked = request.uri().query().unwrap_or_default();
    if !asked.split('&').any(|one| one == "fieldValidation=Strict") {
        return None;
    }
    let body: Value = serde_json::from_slice(request.body()).ok()?;
    let unknown: Vec<String> = body
        .as_object()?
        .keys()
        .filter(|field| !webhook::knows(kind, field))
        .map(|field| format!("unknown field {field:?}"))
        .collect();
    let message = format!("strict decoding error: {}", unknown.join(", "));
    (!unknown.is_empty()).then(|| Reply::status(400, "BadRequest", &message))
}

/// Server-side apply, as far as one manager sees it: what is not there is made, what is there gets the given fields.
async fn apply(server: &ApiServer, caller: &Caller, request: Request<Bytes>) -> Result<Response<Body>, BoxError> {
    let (mut parts, body) = request.into_parts();
    let object: Result<Value, _> = std::str::from_utf8(&body)
        .map_err(BoxError::from)
        .and_then(|text| serde_saphyr::from_str(text).map_err(BoxError::from));
    let Ok(object) = object else {
        let message = "error decoding YAML: the body of an apply must be YAML or JSON";
        return Ok(Reply::status(400, "BadRequest", message).into());
    };
    let service = server.service_as(caller.impersonated());
    let body = Bytes::from(object.to_string());
    let dry = parts.uri.query().unwrap_or_default().contains("dryRun=All");
    let query = if dry { "?dryRun=All" } else { "" };
    let path = parts.uri.path().to_owned();
    let there = Request::get(&path).body(Bytes::new())?;
    let exists = service.clone().oneshot(there).await?.status().is_success();
    if exists {
        parts.uri = format!("{path}{query}").parse()?;
        let merge = header::HeaderValue::from_static("application/merge-patch+json");
        parts.headers.insert(header::CONTENT_TYPE, merge);
        return service.oneshot(Request::from_parts(parts, body)).await;
    }
    let (collection, name) = path.rsplit_once('/').unwrap_or_default();
    let mut object = object;
    object["metadata"]["name"] = name.into();
    let create = Request::post(format!("{collection}{query}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(object.to_string()))?;
    service.oneshot(create).await
}

/// Errors in the words of the real server, where the one in memory uses its own.
async fn reword(response: Response<Body>, watches: bool) -> Result<Response<Body>, BoxError> {
    let code = response.status();
    if !matches!(code.as_u16(), 404 | 409 | 410) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let mut status: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = text(&status, "message").to_owned();
    if code == StatusCode::NOT_FOUND && message.starts_with("testkit apiserver:") {
        return Ok(Reply::text(404, "404 page not found\n").into());
    }
    if code == StatusCode::GONE && watches {
        // A real server begins the stream, and says it there.
        parts.status = StatusCode::OK;
        let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
        return Ok(Response::from_parts(parts, Body::from(line.into_bytes())));
    }
    let uids = message
        .split_once("Precondition failed: UID in precondition: ")
        .and_then(|(head, rest)| Some((head, rest.split_once(", UID in object meta: ")?)));
    if let Some((head, (asked, is))) = uids {
        status["message"] = format!(
            "{head}the UID in the precondition ({asked}) does not match the UID in record ({is}). \
             The object might have been deleted and then recreated"
        )
        .into();
        return Ok(Response::from_parts(parts, Body::from(status.to_string().into_bytes())));
    }
    Ok(Response::from_parts(parts, Body::from(bytes.to_vec())))
}
