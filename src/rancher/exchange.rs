//! One request and its whole answer, with a deadline, a cap, and the key where it belongs.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tower::{BoxError, ServiceExt as _};

use super::{
    absence::{Sighting, Target},
    answer::{Answer, Intent},
    error::Error,
    key::Key,
    plain,
    transport::Transport,
};

/// How long a call may take, from the first byte sent to the last received.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// The most bytes the answer to a call for one object may have.
pub(crate) const OBJECT_CAP: usize = 1 << 20;
/// The most bytes a page of a list may have.
pub(crate) const LIST_CAP: usize = 64 << 20;
/// Without `mozilla`: Rancher takes such agents for browsers, and wants a CSRF token from them.
pub(crate) const USER_AGENT: &str = concat!("rancher-access-operator/", env!("CARGO_PKG_VERSION"));

/// One call to make.
pub(crate) struct Call {
    method: Method,
    path: String,
    body: Option<(&'static str, Bytes)>,
    intent: Intent,
    target: Option<Target>,
    cap: usize,
}

impl Call {
    pub fn get(path: String) -> Self {
        Self {
            method: Method::GET,
            path,
            body: None,
            intent: Intent::Read,
            target: None,
            cap: OBJECT_CAP,
        }
    }

    pub fn list(path: String) -> Self {
        Self {
            cap: LIST_CAP,
            ..Self::get(path)
        }
    }

    pub fn post(path: String, body: &Value) -> Self {
        Self {
            method: Method::POST,
            intent: Intent::Create,
            ..Self::get(path)
        }
        .with("application/json", body)
    }

    pub fn put(path: String, body: &Value) -> Self {
        Self {
            method: Method::PUT,
            intent: Intent::Change,
            ..Self::get(path)
        }
        .with("application/json", body)
    }

    /// A patch: `kind` is `merge-patch` or `json-patch`.
    pub fn patch(path: String, content_type: &'static str, body: &Value) -> Self {
        Self {
            method: Method::PATCH,
            intent: Intent::Change,
            ..Self::get(path)
        }
        .with(content_type, body)
    }

    pub fn delete(path: String, body: &Value) -> Self {
        Self {
            method: Method::DELETE,
            intent: Intent::Delete,
            ..Self::get(path)
        }
        .with("application/json", body)
    }

    /// Names the object asked for, so that its absence can be proven.
    pub fn of(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    fn with(mut self, content_type: &'static str, body: &Value) -> Self {
        self.body = Some((content_type, Bytes::from(body.to_string())));
        self
    }
}

/// Where calls go, and with which key.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub transport: Transport,
    /// `https://host[:port]`, empty without a key: then the transport knows the way.
    pub base: String,
    pub key: Option<Key>,
}

impl Exchange {
    /// Whether Rancher sits between us and the API server.
    pub fn through_rancher(&self) -> bool {
        self.key.is_some()
    }

    /// Sends one call and reads the whole answer, whatever its code.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it was certainly not sent, [`Error::Unknown`] where there is no whole answer in time.
    pub async fn send(&self, call: &Call) -> Result<Answer, Error> {
        let request = self.request(call)?;
        match tokio::time::timeout(DEADLINE, fetch(self.transport.clone(), request, call.cap)).await
        {
            Ok(Ok((code, headers, body))) => Ok(Answer::new(code, &headers, body)),
            Ok(Err(error)) => Err(self.scrubbed(failure(error.as_ref()))),
            Err(_) => Err(Error::unknown(format!(
                "{} {} had no answer within {DEADLINE:?}",
                call.method, call.path
            ))),
        }
    }

    /// Sends one call and reads an object from a success.
    ///
    /// # Errors
    /// What the answer means: see [`Error`].
    pub async fn object<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let answer = self.success(&call).await?;
        self.decode(&call, &answer)
    }

    /// Looks at the object the call names.
    ///
    /// # Errors
    /// What the answer means, unless it proves that the object is absent.
    pub async fn look<T: DeserializeOwned>(&self, call: Call) -> Result<Sighting<T>, Error> {
        match self.object(call).await {
            Ok(object) => Ok(Sighting::Found(object)),
            Err(Error::NotFound(proof)) => Ok(Sighting::Gone(proof)),
            Err(error) => Err(error),
        }
    }

    /// Sends one call whose answer must be a success.
    ///
    /// # Errors
    /// What the answer means: see [`Error`].
    pub async fn success(&self, call: &Call) -> Result<Answer, Error> {
        let answer = self.send(call).await?;
        if answer.is_success() {
            return Ok(answer);
        }
        Err(self.scrubbed(answer.error(call.intent, call.target.as_ref(), self.through_rancher())))
    }

    /// Reads a success's body. One that does not fit is no clear answer: the call may well have been applied.
    pub fn decode<T: DeserializeOwned>(&self, call: &Call, answer: &Answer) -> Result<T, Error> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            // The place is enough: serde's own text repeats values.
            let at = format!("line {} column {}", error.line(), error.column());
            Error::unknown(format!(
                "{} {}: the answer is not what was asked for, at {at}",
                call.method, call.path
            ))
        })
    }

    fn request(&self, call: &Call) -> Result<Request<Bytes>, Error> {
        let body = call
            .body
            .as_ref()
            .map(|(_, body)| body.clone())
            .unwrap_or_default();
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() =
            format!("{}{}", self.base, call.path)
                .parse()
                .map_err(|_| Error::Unaddressable {
                    name: plain::clean(&call.path),
                })?;
        if let Some((content_type, _)) = &call.body {
            request
                .headers_mut()
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        self.sign(request.headers_mut());
        Ok(request)
    }

    /// Adds the headers every request carries, the key among them.
    pub fn sign(&self, headers: &mut HeaderMap) {
        // Without it Rancher answers what looks like a browser with HTML.
        headers
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(authorization) = self.key.as_ref().and_then(Key::authorization) {
            headers.insert(header::AUTHORIZATION, authorization);
        }
    }

    /// `error` without the key, should whoever answered have echoed it.
    fn scrubbed(&self, mut error: Error) -> Error {
        let Some(key) = &self.key else { return error };
        match &mut error {
            Error::Refused {
                reason, message, ..
            } => {
                *reason = key.scrub(reason);
                *message = key.scrub(message);
            }
            Error::Unauthenticated { message }
            | Error::AlreadyExists { message }
            | Error::Duplicate { message }
            | Error::UidMismatch { message }
            | Error::Conflict { message }
            | Error::Throttled { message, .. } => *message = key.scrub(message),
            Error::Unknown { what } | Error::Unavailable { what } => *what = key.scrub(what),
            Error::NotFound(_) | Error::Unaddressable { .. } => {}
        }
        error
    }
}

/// Sends a request and collects its answer, up to `cap` bytes.
pub(crate) async fn fetch(
    transport: Transport,
    request: Request<Bytes>,
    cap: usize,
) -> Result<(u16, HeaderMap, Bytes), BoxError> {
    let (head, mut body) = transport.oneshot(request).await?.into_parts();
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if collected.len() + data.len() > cap {
                return Err(format!("the answer has more than {cap} bytes").into());
            }
            collected.extend_from_slice(&data);
        }
    }
    Ok((head.status.as_u16(), head.headers, collected.freeze()))
}

/// What a request that failed below HTTP proves: nothing, unless no connection came to be.
pub(crate) fn failure(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
    let text = plain::chain(error);
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let http = cause
            .downcast_ref::<reqwest::Error>()
            .is_some_and(|e| e.is_connect() || e.is_builder());
        let refused = cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
        if http || refused {
            return Error::Unavailable { what: text };
        }
        next = cause.source();
    }
    Error::Unknown { what: text }
}

/// A path from segments: each is encoded, so that no name can reach another object.
///
/// # Errors
/// [`Error::Unaddressable`] for an empty segment, `.` and `..`.
pub(crate) fn path(segments: &[&str]) -> Result<String, Error> {
    let mut path = String::new();
    for segment in segments {
        if matches!(*segment, "" | "." | "..") {
            return Err(Error::Unaddressable {
                name: plain::clean(segment),
            });
        }
        path.push('/');
        path.push_str(&encode(segment));
    }
    Ok(path)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_reaches_another_object() {
        assert_eq!(
            path(&["k8s", "clusters", "c-m-1", "a/../b?x=1#y"]).unwrap(),
            "/k8s/clusters/c-m-1/a%2F..%2Fb%3Fx%3D1%23y"
        );
        for bad in ["", ".", ".."] {
            assert!(
                matches!(path(&["v3", bad]), Err(Error::Unaddressable { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn only_a_connection_that_never_was_proves_that_nothing_was_sent() {
        let of = |kind| failure(&std::io::Error::new(kind, "x")).reason();
        assert_eq!(of(std::io::ErrorKind::ConnectionRefused), "Unavailable");
        for kind in [
            std::io::ErrorKind::ConnectionReset,
            std::io::ErrorKind::BrokenPipe,
            std::io::ErrorKind::UnexpectedEof,
        ] {
            assert_eq!(of(kind), "Unknown");
        }
    }
}
