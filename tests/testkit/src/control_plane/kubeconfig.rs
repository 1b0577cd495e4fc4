//! Who a client or `kubectl` is.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::certs::Certificates;

/// What a kubeconfig's user is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Identity<'a> {
    /// The member of `system:masters`.
    Admin,
    /// The admin, who impersonates somebody: any user with any number of groups.
    Impersonated { user: &'a str, groups: &'a [&'a str] },
    /// The bearer of a token.
    Token(&'a str),
}

/// A kubeconfig with everything in it, as JSON (which is YAML too).
pub(super) fn document(url: &str, certificates: &Certificates, identity: Identity<'_>) -> String {
    let admin = || {
        json!({
            "client-certificate-data": STANDARD.encode(&certificates.admin.0),
            "client-key-data": STANDARD.encode(&certificates.admin.1),
        })
    };
    let user: Value = match identity {
        Identity::Admin => admin(),
        Identity::Token(token) => json!({"token": token}),
        Identity::Impersonated { user, groups } => {
            let mut entry = admin();
            entry["as"] = json!(user);
            entry["as-groups"] = json!(groups);
            entry
        }
    };
    let cluster = json!({"server": url, "certificate-authority-data": STANDARD.encode(&certificates.authority)});
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        "current-context": "tests",
    })
    .to_string()
}
