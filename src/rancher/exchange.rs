//! One request and its whole answer, with a deadline, a cap, and the key where it belongs.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde::de::DeserializeOwned;
use tower::{BoxError, ServiceExt as _};

use super::{
    absence::Sighting,
    answer::Answer,
    call::{Call, OBJECT_CAP},
    error::Error,
    key::Key,
    plain,
    transport::Transport,
};

/// How long a call may take, from the first byte sent to the last received.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);
/// Without `mozilla`: Rancher takes such agents for browsers, and wants a CSRF token from them.
pub(crate) const USER_AGENT: &str = concat!("rancher-access-operator/", env!("CARGO_PKG_VERSION"));

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
        match tokio::time::timeout(DEADLINE, self.fetch(request, call.cap)).await {
            Ok(Ok((code, headers, body))) => Ok(Answer::new(code, &headers, body)),
            Ok(Err(error)) => Err(self.failure(error.as_ref())),
            Err(_) => Err(Error::unknown(format!("{} {} had no answer within {DEADLINE:?}", call.method, call.path))),
        }
    }

    /// What a request that failed below HTTP proves: nothing, unless no connection came to be.
    fn failure(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) -> Error {
        let what = self.told(error);
        if was_never_sent(error) { Error::Unavailable { what } } else { Error::Unknown { what } }
    }

    /// An error with its causes, in a line without the key.
    pub fn told(&self, error: &(dyn std::error::Error + 'static)) -> String {
        // First the key goes, then the rest is shortened: half a key is too much.
        let chain = plain::chain(error);
        plain::clean(&self.key.as_ref().map_or_else(|| chain.clone(), |key| key.scrub(&chain)))
    }

    /// Sends a request and collects its answer, up to `cap` bytes; a failure has no more to say than one object. Its body
    /// comes without the key, should whoever answered have echoed it.
    pub async fn fetch(&self, request: Request<Bytes>, cap: usize) -> Result<(u16, HeaderMap, Bytes), BoxError> {
        let (head, body) = self.transport.clone().oneshot(request).await?.into_parts();
        let body = self.collect(head.status, body, cap).await?;
        Ok((head.status.as_u16(), head.headers, body))
    }

    /// The collecting half of [`Exchange::fetch`].
    pub async fn collect(&self, status: StatusCode, mut body: Body, cap: usize) -> Result<Bytes, BoxError> {
        let cap = if status.is_success() { cap } else { cap.min(OBJECT_CAP) };
        let mut collected = BytesMut::new();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                if collected.len() + data.len() > cap {
                    return Err(format!("the answer has more than {cap} bytes").into());
                }
                collected.extend_from_slice(&data);
            }
        }
        let body = collected.freeze();
        Ok(match &self.key {
            Some(key) if !status.is_success() => key.scrub_body(body),
            _ => body,
        })
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
        Err(answer.error(call.intent, call.target.as_ref(), self.through_rancher()))
    }

    /// Reads a success's body. One that does not fit is no clear answer: the call may well have been applied.
    pub fn decode<T: DeserializeOwned>(&self, call: &Call, answer: &Answer) -> Result<T, Error> {
        serde_json::from_slice(&answer.body).map_err(|error| {
            // The place is enough: serde's own text repeats values.
            let at = format!("line {} column {}", error.line(), error.column());
            Error::unknown(format!("{} {}: the answer is not what was asked for, at {at}", call.method, call.path))
        })
    }

    fn request(&self, call: &Call) -> Result<Request<Bytes>, Error> {
        let body = call.body.as_ref().map(|(_, body)| body.clone()).unwrap_or_default();
        let mut request = Request::new(body);
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = format!("{}{}", self.base, call.path)
            .parse()
            .map_err(|_| Error::Unaddressable { name: plain::clean(&call.path) })?;
        if let Some((content_type, _)) = &call.body {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(accept) = call.accept {
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        self.sign(request.headers_mut());
        Ok(request)
    }

    /// Adds the headers every request carries, the key among them.
    pub fn sign(&self, headers: &mut HeaderMap) {
        // Without it Rancher answers what looks like a browser with HTML.
        headers.entry(header::ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if let Some(authorization) = self.key.as_ref().and_then(Key::authorization) {
            headers.insert(header::AUTHORIZATION, authorization);
        }
    }
}

/// Whether a request that failed below HTTP certainly never left: no connection came to be.
pub(crate) fn was_never_sent(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = next {
        let http = cause.downcast_ref::<reqwest::Error>().is_some_and(|e| e.is_connect() || e.is_builder());
        let refused =
            cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused);
        if http || refused {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_connection_that_never_was_proves_that_nothing_was_sent() {
        let of = |kind| was_never_sent(&std::io::Error::new(kind, "x"));
        assert!(of(std::io::ErrorKind::ConnectionRefused));
        for kind in
            [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe, std::io::ErrorKind::UnexpectedEof]
        {
            assert!(!of(kind), "{kind:?}");
        }
    }
}
