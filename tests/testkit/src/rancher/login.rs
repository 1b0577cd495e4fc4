//! Local login: user name and password for a session's token.
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::apiserver::Gvr;

use super::{
    core::{Core, lock, management, meta, stamp, text},
    routes::Reply,
    seed::PASSWORDS,
    tokens::{self, TokenSpec},
    world::expect,
};

/// Stands for Rancher's PBKDF2: what matters here is that the clear text is not kept.
pub(super) fn hash(password: &[u8], salt: &[u8]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(salt);
    hash.update(password);
    hash.finalize().to_vec()
}

fn fits(core: &Core, user: &str, password: &str) -> bool {
    let secret = core.local.get(&Gvr::core("secrets"), PASSWORDS, user);
    let data = |secret: &Value, field: &str| {
        let text = secret["data"][field].as_str().unwrap_or_default();
        STANDARD.decode(text).unwrap_or_default()
    };
    secret.is_some_and(|secret| hash(password.as_bytes(), &data(&secret, "salt")) == data(&secret, "password"))
}

/// Writes what Rancher keeps of somebody who logged in: when, and his groups, by provider, in Go's letters. `UserName` stays empty
/// (2.15, `EnsureAndGetUserAttribute`), and who is in no group has a null list of his own provider.
pub(super) fn remember(core: &Core, user: &str, groups: &[String]) {
    let mut providers = serde_json::Map::new();
    for group in groups {
        let provider = group.split_once("_group://").map_or("local", |(provider, _)| provider);
        let items = &mut providers.entry(provider).or_insert_with(|| json!({"Items": []}))["Items"];
        items.as_array_mut().into_iter().for_each(|items| {
            items.push(json!({
                "metadata": {"name": group, "creationTimestamp": null}, "displayName": group, "principalType": "group",
                "memberOf": true, "provider": provider,
            }));
        });
    }
    providers.entry("local").or_insert_with(|| json!({"Items": null}));
    let owner = core.local.get(&management("users"), "", user).unwrap_or_default();
    let extra = json!({"principalid": [format!("local://{user}")], "username": [text(&owner, "username")]});
    let kind = management("userattributes");
    let kept = core.local.get(&kind, "", user);
    let is_new = kept.is_none();
    let mut kept = kept.unwrap_or_else(|| {
        let owner =
            json!({"apiVersion": "management.cattle.io/v3", "kind": "User", "name": user, "uid": meta(&owner, "uid")});
        json!({
            "metadata": {"name": user, "ownerReferences": [owner]}, "UserName": "", "LastRefresh": "",
            "NeedsRefresh": false, "ExtraByProvider": {},
        })
    });
    kept["GroupPrincipals"] = providers.into();
    kept["ExtraByProvider"]["local"] = extra;
    kept["lastLogin"] = stamp((core.now)()).into();
    let written =
        if is_new { core.local.create_unchecked(&kind, kept) } else { core.local.update_unchecked(&kind, kept) };
    expect(written, "what is kept of a login");
}

/// Answers a login.
pub(super) fn login(core: &Core, body: &Bytes) -> Reply {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let users = core.local.list(&management("users"), None);
    let username = text(&asked, "username");
    let user = users.iter().find(|user| text(user, "username") == username);
    let Some(user) = user.filter(|user| fits(core, meta(user, "name"), text(&asked, "password"))) else {
        return Reply::json(
            401,
            &json!({"type": "error", "status": "401", "message": "authentication failed", "code": "Unauthorized"}),
        );
    };
    if user["enabled"] == false {
        let refused = json!({"code": "PermissionDenied", "status": 403, "type": "error", "baseType": "error"});
        return Reply::json(403, &refused);
    }
    let groups = lock(&core.groups).get(meta(user, "name")).cloned().unwrap_or_default();
    remember(core, meta(user, "name"), &groups);
    let bearer = tokens::make(core, meta(user, "name"), &TokenSpec::session());
    Reply::json(201, &json!({"type": "token", "token": bearer, "userId": meta(user, "name")}))
}
