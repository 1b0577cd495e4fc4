//! The credentials Secret: an admin key, and the one endpoint it may be sent to.
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use url::Url;

use super::key::{Key, NotAKey};

/// Where a Rancher is: scheme `https`, host and port, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

impl Endpoint {
    /// An endpoint from a host name or address (no scheme, no path; letter case does not matter) and a port.
    ///
    /// # Errors
    /// [`CredentialsError::Host`] where `host` is more or less than a host.
    pub fn new(host: &str, port: u16) -> Result<Self, CredentialsError> {
        let bare = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
        let refused = || CredentialsError::Host { host: super::plain::clean(host) };
        if bare.is_empty() || bare.contains(['/', '?', '#', '@', '\\']) || bare.chars().any(char::is_whitespace) {
            return Err(refused());
        }
        let url = Url::parse(&format!("https://{bare}:{port}/")).map_err(|_| refused())?;
        let host = url.host_str().ok_or_else(refused)?.to_owned();
        Ok(Self { host, port })
    }

    /// `https://host[:port]`, without a slash at the end.
    pub fn base(&self) -> String {
        if self.port == 443 { format!("https://{}", self.host) } else { format!("https://{}:{}", self.host, self.port) }
    }
}

/// What the credentials Secret holds.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The endpoint the Secret names, which is also the one the integration names.
    pub endpoint: Endpoint,
    /// The key. Its `Debug` shows its name only.
    pub key: Key,
}

/// The credentials Secret, or the host it is for, cannot be used. Names the field and the remedy, never a value of the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The integration's host is not a host.
    #[error("host {host:?} is not a host name or address: give it without scheme, port and path")]
    Host {
        /// What was given.
        host: String,
    },
    /// A key of the Secret is missing or empty.
    #[error("the credentials Secret has no `{field}`: {remedy}")]
    Missing {
        /// The key of the Secret.
        field: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A key of the Secret is not text.
    #[error("`{field}` in the credentials Secret is not UTF-8 text: store it as plain text")]
    NotText {
        /// The key of the Secret.
        field: &'static str,
    },
    /// Both a token and a key pair are there.
    #[error("the credentials Secret has both `token` and `accessKey`/`secretKey`: keep one of them")]
    Ambiguous,
    /// The key has a wrong form.
    #[error("`{field}` in the credentials Secret is {source}")]
    Key {
        /// The key of the Secret.
        field: &'static str,
        /// Why.
        source: NotAKey,
    },
    /// The endpoint has a wrong form.
    #[error(
        "`endpoint` in the credentials Secret must be https://host[:port][/v3], as Rancher shows it with a new key"
    )]
    Endpoint,
    /// The endpoint is another one than the integration's: the key was not made for it, and is not sent there.
    #[error(
        "`endpoint` in the credentials Secret is {secret}, but the integration names {spec}: the key is sent to neither; make them equal"
    )]
    Mismatch {
        /// `https://host[:port]` from the Secret.
        secret: String,
        /// `https://host[:port]` from the integration.
        spec: String,
    },
}

/// Reads a credentials Secret for the Rancher at `host` and `port`.
///
/// Keys: `endpoint`, and `token` or `accessKey` with `secretKey`; white space around values is dropped. The endpoint must be the
/// host and port given: so an editor of the integration cannot have the key sent elsewhere.
///
/// # Errors
/// [`CredentialsError`], naming the field and what to do.
pub fn parse(data: &BTreeMap<String, ByteString>, host: &str, port: u16) -> Result<Credentials, CredentialsError> {
    let spec = Endpoint::new(host, port)?;
    let shown = text(data, "endpoint")?.ok_or(CredentialsError::Missing {
        field: "endpoint",
        remedy: "add it as Rancher shows it with the API key, for example https://rancher.example.com/v3",
    })?;
    let endpoint = parse_endpoint(shown)?;
    if endpoint != spec {
        return Err(CredentialsError::Mismatch { secret: endpoint.base(), spec: spec.base() });
    }
    Ok(Credentials { endpoint, key: parse_key(data)? })
}

fn parse_endpoint(shown: &str) -> Result<Endpoint, CredentialsError> {
    let url = Url::parse(shown).map_err(|_| CredentialsError::Endpoint)?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && matches!(url.path(), "" | "/" | "/v3" | "/v3/");
    match (plain, url.host_str()) {
        (true, Some(host)) => Ok(Endpoint { host: host.to_owned(), port: url.port().unwrap_or(443) }),
        _ => Err(CredentialsError::Endpoint),
    }
}

fn parse_key(data: &BTreeMap<String, ByteString>) -> Result<Key, CredentialsError> {
    let (access, secret) = (text(data, "accessKey")?, text(data, "secretKey")?);
    match (text(data, "token")?, access, secret) {
        (Some(token), None, None) => {
            Key::parse(token).map_err(|source| CredentialsError::Key { field: "token", source })
        }
        (Some(_), _, _) => Err(CredentialsError::Ambiguous),
        (None, Some(access), Some(secret)) => Key::parse(&format!("{access}:{secret}"))
            .map_err(|source| CredentialsError::Key { field: "accessKey", source }),
        (None, Some(_), None) => Err(CredentialsError::Missing {
            field: "secretKey",
            remedy: "add it beside `accessKey`, or use `token` alone",
        }),
        (None, None, Some(_)) => Err(CredentialsError::Missing {
            field: "accessKey",
            remedy: "add it beside `secretKey`, or use `token` alone",
        }),
        (None, None, None) => Err(CredentialsError::Missing {
            field: "token",
            remedy: "add the bearer token Rancher shows with a new API key, or `accessKey` and `secretKey`",
        }),
    }
}

/// A value of the Secret without the white space around it; `None` where there is none or it is blank.
fn text<'a>(data: &'a BTreeMap<String, ByteString>, field: &'static str) -> Result<Option<&'a str>, CredentialsError> {
    let Some(ByteString(bytes)) = data.get(field) else {
        return Ok(None);
    };
    let value = std::str::from_utf8(bytes).map_err(|_| CredentialsError::NotText { field })?.trim();
    Ok((!value.is_empty()).then_some(value))
}

#[cfg(test)]
mod tests;
