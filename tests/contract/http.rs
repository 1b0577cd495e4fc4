//! How a Rancher is asked: in process, over HTTPS, or past it, at its own cluster's API server.
use std::{future::Future, pin::Pin};

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::Value;
use testkit::apiserver::Service;
use tower::ServiceExt;

use super::outcome::{Instead, Seen};

/// A boxed future, so that the two ways can be exchanged.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request to be.
#[derive(Clone, Debug, Default)]
pub struct Ask {
    pub method: String,
    pub path: String,
    /// The whole `Authorization` header; empty for none.
    pub authorization: String,
    pub accept: String,
    pub content_type: String,
    pub body: Vec<u8>,
}

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    /// `X-API-Cattle-Auth`.
    pub auth: String,
    pub content_type: String,
    pub text: String,
}

impl Answer {
    /// The body as JSON; `Null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }

    pub fn reason(&self) -> String {
        self.json()["reason"].as_str().unwrap_or_default().to_owned()
    }
}

pub trait Http: Send + Sync {
    fn send(&self, ask: Ask) -> Boxed<'_, Seen<Answer>>;
}

fn header(headers: &http::HeaderMap, name: &str) -> String {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().to_owned()
}

fn headers(ask: &Ask) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in [
        (http::header::AUTHORIZATION, &ask.authorization),
        (http::header::ACCEPT, &ask.accept),
        (http::header::CONTENT_TYPE, &ask.content_type),
    ] {
        if !value.is_empty() {
            map.insert(name, value.parse().unwrap());
        }
    }
    map
}

/// A simulator's service.
pub struct InProcess(Service);

impl InProcess {
    pub fn new(service: Service) -> Self {
        Self(service)
    }
}

impl Http for InProcess {
    fn send(&self, ask: Ask) -> Boxed<'_, Seen<Answer>> {
        let service = self.0.clone();
        Box::pin(async move {
            let mut request = http::Request::builder().method(ask.method.as_str()).uri(&ask.path);
            *request.headers_mut().unwrap() = headers(&ask);
            let request = request.body(Bytes::from(ask.body)).map_err(|error| error.to_string())?;
            let response = service.oneshot(request).await.map_err(|error| error.to_string())?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer {
                code: parts.status.as_u16(),
                auth: header(&parts.headers, "x-api-cattle-auth"),
                content_type: header(&parts.headers, "content-type"),
                text: String::from_utf8_lossy(&bytes).into_owned(),
            })
        })
    }
}

/// The API server of Rancher's own cluster, as one of its ServiceAccounts: Rancher does not see the requests.
pub struct Direct(InProcess);

impl Direct {
    pub fn new(service: Service) -> Self {
        Self(InProcess::new(service))
    }
}

impl Http for Direct {
    fn send(&self, mut ask: Ask) -> Boxed<'_, Seen<Answer>> {
        let path = ask.path.strip_prefix(super::context::LOCAL).map(str::to_owned);
        Box::pin(async move {
            ask.path = path.ok_or(Instead::Skipped("needs Rancher itself, not just its cluster"))?;
            if !ask.authorization.trim_start_matches("Bearer ").is_empty() {
                return Err(Instead::Skipped("needs a login"));
            }
            if ask.content_type.starts_with("application/apply-patch") {
                return Err(Instead::Skipped("the API server in memory knows no server-side apply"));
            }
            self.0.send(ask).await
        })
    }
}

/// A server's HTTPS face.
pub struct OverHttps {
    client: reqwest::Client,
    url: String,
}

impl OverHttps {
    pub fn new(url: &str, ca: Option<&[u8]>) -> Self {
        // A second call finds it installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder().no_proxy().https_only(true);
        if let Some(pem) = ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).unwrap());
        }
        Self { client: builder.build().unwrap(), url: url.trim_end_matches('/').to_owned() }
    }
}

impl Http for OverHttps {
    fn send(&self, ask: Ask) -> Boxed<'_, Seen<Answer>> {
        Box::pin(async move {
            let request = self
                .client
                .request(ask.method.parse().unwrap(), format!("{}{}", self.url, ask.path))
                .headers(headers(&ask))
                .body(ask.body);
            let response = request.send().await.map_err(|error| format!("{error:?}"))?;
            let code = response.status().as_u16();
            let (auth, content_type) =
                (header(response.headers(), "x-api-cattle-auth"), header(response.headers(), "content-type"));
            let text = response.text().await.map_err(|error| format!("{error:?}"))?;
            Ok(Answer { code, auth, content_type, text })
        })
    }
}
