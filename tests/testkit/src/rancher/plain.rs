//! What Rancher serves besides Kubernetes: open routes, and the little of Norman (`/v3`) that is modelled.
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

use super::{
    auth::Caller,
    core::{Core, management, meta, text},
    routes::Reply,
    subject,
    tokens::{self, MAX_TTL, TokenSpec},
};

/// Norman's 401; its status is a string.
pub(super) fn must_authenticate() -> Reply {
    let message = "Unauthorized 401: must authenticate";
    Reply::json(401, &json!({"type": "error", "status": "401", "message": message}))
}

fn error(code: &str, status: u16, message: &str) -> Reply {
    let body = json!({"baseType": "error", "code": code, "message": message, "status": status, "type": "error"});
    Reply::json(status, &body)
}

/// What needs no login.
pub(super) fn public(core: &Core, parts: &[&str]) -> Option<Reply> {
    match parts {
        ["rancherversion"] => {
            let version = core.version().tag();
            let body = json!({"Version": version, "GitCommit": "0000000", "RancherPrime": "false"});
            Some(Reply::text(200, &body.to_string()))
        }
        ["ping"] => Some(Reply::text(200, "pong")),
        ["healthz"] => Some(Reply::text(200, "ok")),
        ["cacerts"] => Some(Reply::text(200, "")),
        ["v3", "settings", "cacerts"] => {
            let setting =
                json!({"id": "cacerts", "name": "cacerts", "type": "setting", "value": "", "source": "default"});
            Some(Reply::json(200, &setting))
        }
        _ => None,
    }
}

/// `/v3`, for somebody who is logged in.
pub(super) fn norman(core: &Core, caller: &Caller, parts: &[&str], request: &Request<Bytes>) -> Reply {
    match (request.method(), parts) {
        (&Method::GET, ["settings", name]) => setting(core, name),
        (&Method::GET, ["users"]) if request.uri().query().is_some_and(|query| query.contains("me=true")) => {
            let me = json!({"id": caller.user, "username": caller.username, "me": true, "type": "user"});
            Reply::json(200, &json!({"type": "collection", "resourceType": "user", "data": [me]}))
        }
        (&Method::GET, ["principals", id]) => principal(core, caller, id),
        // rancher/rancher#54338.
        (_, ["tokens", ..]) if caller.by_ext_token && !core.version().v3_tokens_know_ext() => {
            error("ServerError", 500, "failed to get token")
        }
        (_, ["tokens", ..]) => token(core, caller, parts, request),
        (_, []) => Reply::json(200, &json!({"type": "collection", "resourceType": "apiRoot", "data": []})),
        (_, [other, ..]) => error("NotFound", 404, &format!("failed to find schema {other}")),
    }
}

fn setting(core: &Core, name: &str) -> Reply {
    let Some(setting) = core.local.get(&management("settings"), "", name) else {
        return error("NotFound", 404, &format!("settings.management.cattle.io \"{name}\" not found"));
    };
    let set = text(&setting, "value");
    let value = if set.is_empty() { text(&setting, "default") } else { set };
    let source = if set.is_empty() { "default" } else { "db" };
    let body = json!({
        "id": name, "name": name, "type": "setting", "value": value, "default": text(&setting, "default"),
        "customized": !set.is_empty(), "source": source,
    });
    Reply::json(200, &body)
}

/// A local key resolves local principals, and nobody else's.
fn principal(core: &Core, caller: &Caller, escaped: &str) -> Reply {
    let id = escaped.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/");
    let user = id.starts_with("local://").then(|| subject::user_of(core, &id)).flatten();
    let Some(user) = user else {
        return error("NotFound", 404, &format!("principal {id} not found"));
    };
    let body = json!({
        "id": id, "type": "principal", "name": text(&user, "displayName"), "loginName": text(&user, "username"),
        "principalType": "user", "provider": "local", "me": meta(&user, "name") == caller.user,
    });
    Reply::json(200, &body)
}

fn shown(token: &Value, caller: &Caller) -> Value {
    let name = meta(token, "name");
    json!({
        "id": name, "name": name, "type": "token", "baseType": "token", "userId": token["userId"], "ttl": token["ttl"],
        "description": token["description"], "isDerived": token["isDerived"], "enabled": token["enabled"],
        "expired": false, "expiresAt": token["expiresAt"], "clusterId": token["clusterName"], "authProvider": "local",
        "created": token["metadata"]["creationTimestamp"], "labels": token["metadata"]["labels"],
        "userPrincipal": format!("map[loginName:{} provider:local]", caller.username),
        "current": token["isDerived"] == false && name == caller.token,
    })
}

/// One's own tokens; other people's are not there.
fn token(core: &Core, caller: &Caller, parts: &[&str], request: &Request<Bytes>) -> Reply {
    let gvr = management("tokens");
    match (request.method(), parts) {
        (&Method::GET, ["tokens"]) => {
            let all = core.local.list(&gvr, None);
            let own = all.iter().filter(|token| text(token, "userId") == caller.user);
            let data: Vec<Value> = own.map(|token| shown(token, caller)).collect();
            Reply::json(200, &json!({"type": "collection", "resourceType": "token", "data": data}))
        }
        (&Method::POST, ["tokens"]) => create_token(core, caller, request.body()),
        (method @ (&Method::GET | &Method::DELETE), ["tokens", name]) => {
            let token = core.local.get(&gvr, "", name);
            let Some(token) = token.filter(|token| text(token, "userId") == caller.user) else {
                return error("NotFound", 404, &format!("{name} not found"));
            };
            if method == Method::GET {
                return Reply::json(200, &shown(&token, caller));
            }
            match core.local.delete_unchecked(&gvr, "", name) {
                Ok(_) => Reply::empty(204),
                Err(failed) => error("ServerError", 500, &failed.message),
            }
        }
        _ => error("MethodNotAllow", 405, "method not allowed"),
    }
}

fn create_token(core: &Core, caller: &Caller, body: &Bytes) -> Reply {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return error("InvalidBodyContent", 422, "the body is not JSON");
    };
    let ttl = asked["ttl"].as_u64().filter(|&ttl| ttl > 0);
    let ttl = ttl.map_or(MAX_TTL, |ttl| Duration::from_millis(ttl).min(MAX_TTL));
    let cluster = Some(text(&asked, "clusterId").to_owned()).filter(|id| !id.is_empty());
    let spec = TokenSpec { ttl: Some(ttl), cluster, ..TokenSpec::default() };
    let bearer = tokens::make(core, &caller.user, &spec);
    let name = bearer.split(':').next().unwrap_or_default();
    let gvr = management("tokens");
    let mut stored = core.local.get(&gvr, "", name).unwrap_or_default();
    stored["description"] = asked["description"].clone();
    let _ = core.local.update_unchecked(&gvr, stored.clone());
    let mut answer = shown(&stored, caller);
    answer["token"] = bearer.into();
    // Written by a controller, so the create's answer does not have it yet.
    answer["expiresAt"] = "".into();
    Reply::json(201, &answer)
}
