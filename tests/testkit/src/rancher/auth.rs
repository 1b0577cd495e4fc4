//! Who a request comes from.
use base64::{Engine, engine::general_purpose::URL_SAFE};
use http::{HeaderMap, header};

use crate::apiserver::User;

use super::{
    core::{Core, lock, management, text},
    tokens::Token,
};

/// A caller whom Rancher knows.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The user's id.
    pub user: String,
    /// Group principals, and the groups everybody is in.
    pub groups: Vec<String>,
    /// The token's name.
    pub token: String,
    /// Whether that is an ext token.
    pub by_ext_token: bool,
    /// The user name of the login.
    pub username: String,
}

impl Caller {
    /// As Rancher impersonates it towards API servers.
    pub fn impersonated(&self) -> User {
        let groups: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        User::new(&self.user, &groups)
    }
}

/// Why a request has no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A bearer was given, and is not good.
    Bearer,
    /// Other credentials that are not good, or none.
    Other,
}

enum Credentials {
    Bearer(String),
    Other(String),
    None,
}

fn credentials(headers: &HeaderMap) -> Credentials {
    let text = |name: header::HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let authorization = text(header::AUTHORIZATION);
    let (scheme, rest) = authorization.split_once(' ').unwrap_or((&authorization, ""));
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Credentials::Bearer(rest.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = URL_SAFE.decode(rest).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return Credentials::Other(decoded.unwrap_or_default());
    }
    let cookie = text(header::COOKIE);
    let session = cookie.split(';').find_map(|one| one.trim().strip_prefix("R_SESS="));
    session.map_or(Credentials::None, |one| Credentials::Other(one.to_owned()))
}

/// Finds the caller. `cluster` is the one that the path names: a scoped token is good for nothing else.
pub(super) fn caller(core: &Core, headers: &HeaderMap, cluster: Option<&str>) -> Result<Caller, Refused> {
    let (bearer, refused) = match credentials(headers) {
        Credentials::Bearer(bearer) => (bearer, Refused::Bearer),
        Credentials::Other(bearer) => (bearer, Refused::Other),
        Credentials::None => return Err(Refused::Other),
    };
    let token = Token::find(core, &bearer).ok_or(refused)?;
    let in_scope = token.cluster.is_empty() || Some(token.cluster.as_str()) == cluster;
    if !token.is_valid((core.now)()) || !in_scope {
        return Err(refused);
    }
    let user = core.local.peek(&management("users"), "", &token.user);
    let user = user.filter(|user| user["enabled"] != false).ok_or(refused)?;
    let mut groups = lock(&core.groups).get(&token.user).cloned().unwrap_or_default();
    groups.extend(["system:authenticated", "system:cattle:authenticated"].map(str::to_owned));
    Ok(Caller {
        user: token.user,
        groups,
        token: token.name,
        by_ext_token: token.is_ext,
        username: text(&user, "username").to_owned(),
    })
}
