//! Local login: user name and password for a session's token.
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::apiserver::Gvr;

use super::{
    core::{Core, management, meta, text},
    routes::Reply,
    seed::PASSWORDS,
    tokens::{self, TokenSpec},
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
    let bearer = tokens::make(core, meta(user, "name"), &TokenSpec::session());
    Reply::json(201, &json!({"type": "token", "token": bearer, "userId": meta(user, "name")}))
}
