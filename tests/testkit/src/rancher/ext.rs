//! Rancher's extension API: ext tokens, and who one is.
use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response};
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

use crate::apiserver::{ApiError, User};

use super::{
    auth::Caller,
    core::{Core, lock, meta},
    proxy,
    routes::Reply,
    tokens::{self, MAX_TTL, TokenSpec, ext},
};

pub(super) async fn answer(
    core: &Arc<Core>,
    caller: &Caller,
    parts: &[&str],
    request: Request<Bytes>,
) -> Result<Response<Body>, BoxError> {
    match (request.method(), parts) {
        (_, ["tokens", ..]) if !core.serves_ext_tokens() => Ok(Reply::text(404, "404 page not found\n").into()),
        (&Method::POST, ["selfusers"]) if core.version().ext_tokens_are_whole() => {
            let mut body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
            body["apiVersion"] = "ext.cattle.io/v1".into();
            body["kind"] = "SelfUser".into();
            body["status"] = json!({"userID": caller.user});
            Ok(Reply::json(201, &body).into())
        }
        (&Method::POST, ["tokens"]) => Ok(create(core, caller, request.body()).into()),
        (_, ["tokens"]) => stored(core, caller, parts, request).await,
        (_, ["tokens", name]) => {
            let token = core.local.get(&ext(), "", name);
            let own = token.is_some_and(|token| token["spec"]["userID"] == caller.user.as_str());
            if !own && !proxy::is_admin(core, caller) {
                let missing = ApiError::not_found(&ext(), name);
                return Ok(Reply::json(missing.code, &missing.to_status()).into());
            }
            let deletes = request.method() == Method::DELETE;
            let name = (*name).to_owned();
            let response = stored(core, caller, parts, request).await?;
            if deletes && response.status().is_success() {
                lock(&core.ext_secrets).remove(&name);
            }
            Ok(response)
        }
        _ => Ok(Reply::text(404, "404 page not found\n").into()),
    }
}

/// Hands on to the objects, which hold no secrets. Those who are not administrators list their own only.
async fn stored(
    core: &Arc<Core>,
    caller: &Caller,
    parts: &[&str],
    mut request: Request<Bytes>,
) -> Result<Response<Body>, BoxError> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut path = format!("/apis/ext.cattle.io/v1/{}?{query}", parts.join("/"));
    if parts.len() == 1 && !proxy::is_admin(core, caller) {
        path = format!("{path}&labelSelector=cattle.io/user-id%3D{}", caller.user);
    }
    *request.uri_mut() = path.parse()?;
    tower::ServiceExt::oneshot(core.local.service_as(User::admin()), request).await
}

/// The server makes name and secret; labels are kept, and the life is clamped.
fn create(core: &Core, caller: &Caller, body: &Bytes) -> Reply {
    let Ok(asked) = serde_json::from_slice::<Value>(body) else {
        return Reply::status(400, "BadRequest", "the object provided is unrecognized");
    };
    let spec = &asked["spec"];
    let other = spec["userID"].as_str().is_some_and(|id| !id.is_empty() && id != caller.user);
    if other {
        return Reply::status(403, "Forbidden", "unable to create token for other user");
    }
    let ttl = spec["ttl"].as_u64().filter(|&ttl| ttl > 0);
    let ttl = ttl.map_or(MAX_TTL, |ttl| Duration::from_millis(ttl).min(MAX_TTL));
    let whole = core.version().ext_tokens_are_whole();
    let cluster = spec["clusterName"].as_str().filter(|id| !id.is_empty() && whole);
    let made = TokenSpec { ttl: Some(ttl), cluster: cluster.map(str::to_owned), ext: true, ..TokenSpec::default() };
    let bearer = tokens::make(core, &caller.user, &made);
    let name = bearer.trim_start_matches("ext/").split(':').next().unwrap_or_default();
    let mut token = core.local.get(&ext(), "", name).unwrap_or_default();
    for field in ["labels", "annotations"] {
        for (key, value) in asked["metadata"][field].as_object().into_iter().flatten() {
            token["metadata"][field][key.as_str()] = value.clone();
        }
    }
    token["spec"]["description"] = spec["description"].clone();
    if let Some(spec) = token["spec"].as_object_mut().filter(|_| !whole) {
        spec.remove("clusterName");
    }
    let mut token = core.local.update_unchecked(&ext(), token).unwrap_or_default();
    let value = bearer.split(':').nth(1).unwrap_or_default().to_owned();
    debug_assert!(!meta(&token, "name").is_empty(), "just made");
    token["status"]["value"] = value.into();
    if whole {
        token["status"]["bearerToken"] = bearer.into();
    }
    Reply::json(201, &token)
}
