//! One HTTPS connection pool for one Rancher.
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use kube::client::Body;
use tower::{BoxError, service_fn, util::BoxCloneSyncService};

use super::plain;

/// Carries requests to one Rancher. Tests put a simulator here, without sockets.
///
/// Response bodies are kube's, so that a kube client reads them as they arrive (watches).
pub type Transport = BoxCloneSyncService<Request<Bytes>, Response<Body>, BoxError>;

/// How to reach a Rancher.
#[derive(Clone, Debug)]
pub struct TransportConfig {
    /// PEM certificates to trust beside the system's roots: one or more authorities. `None`: the system's roots alone.
    pub ca_pem: Option<Vec<u8>>,
    /// How long a connection, TLS included, may take to stand.
    pub connect_timeout: Duration,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self { ca_pem: None, connect_timeout: Duration::from_secs(5) }
    }
}

/// The connection pool cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The certificates are not PEM, or there is none among them.
    #[error("the certificate authority is not usable: {why}; give one or more certificates in PEM")]
    CertificateAuthority {
        /// What is wrong.
        why: String,
    },
    /// The HTTP client does not start.
    #[error("the HTTPS client does not start: {why}")]
    Client {
        /// What is wrong.
        why: String,
    },
}

/// A transport over TLS: https only, HTTP/1.1 only, certificates verified, no redirects (they would carry the key elsewhere), no
/// proxy from the environment, no retries (a retried create is a second create).
///
/// To be called inside a Tokio runtime, and used in that one.
///
/// # Errors
/// [`TransportError`] where the certificates are unusable.
pub fn https(config: &TransportConfig) -> Result<Transport, TransportError> {
    install_crypto_provider();
    let mut builder = reqwest::Client::builder()
        .https_only(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .retry(reqwest::retry::never())
        .http1_only()
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(Duration::from_secs(60))
        .tcp_keepalive(Duration::from_secs(15));
    if let Some(pem) = &config.ca_pem {
        builder = builder.tls_certs_merge(certificates(pem)?);
    }
    let client = builder.build().map_err(|e| TransportError::Client { why: plain::clean(&plain::chain(&e)) })?;
    Ok(streaming(client))
}

/// The way through a kube client that knows its own address and credentials: for the Rancher in whose cluster we run.
pub fn through(client: kube::Client) -> Transport {
    BoxCloneSyncService::new(service_fn(move |request: Request<Bytes>| {
        let client = client.clone();
        async move { client.send(request.map(Body::from)).await.map_err(unwrapped) }
    }))
}

/// Lets kube wrap the streamed body: its `Body` has no public constructor for a stream.
fn streaming(client: reqwest::Client) -> Transport {
    let service = service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect_bytes().await?;
            let request = reqwest::Request::try_from(Request::from_parts(head, body))?;
            let answer = client.execute(request).await.map_err(reqwest::Error::without_url)?;
            Ok::<_, BoxError>(Response::<reqwest::Body>::from(answer))
        }
    });
    through(kube::Client::new(service, "default"))
}

/// The cause itself, where kube only wrapped it: what may be concluded depends on it.
fn unwrapped(error: kube::Error) -> BoxError {
    match error {
        kube::Error::Service(cause) => cause,
        other => other.into(),
    }
}

/// Makes `ring` the process's provider of cryptography, once: rustls wants one to be chosen.
fn install_crypto_provider() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may have been faster: one is as good as the other, for only `ring` is compiled in.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<reqwest::Certificate>, TransportError> {
    let refused = |why: String| TransportError::CertificateAuthority { why };
    let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|e| refused(plain::clean(&plain::chain(&e))))?;
    if found.is_empty() {
        return Err(refused("it has no certificate".to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rancher::exchange;
    use tower::ServiceExt as _;

    fn request(uri: &str) -> Request<Bytes> {
        Request::get(uri).body(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn plain_http_is_never_spoken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let transport = https(&TransportConfig::default()).unwrap();
        let error = transport.oneshot(request(&format!("http://{address}/ping"))).await.unwrap_err();
        assert!(exchange::was_never_sent(error.as_ref()), "{error:?}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_certain() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let transport = https(&TransportConfig::default()).unwrap();
        let error = transport.oneshot(request(&format!("https://{address}/ping"))).await.unwrap_err();
        assert!(exchange::was_never_sent(error.as_ref()), "{error:?}");
    }

    #[tokio::test]
    async fn certificates_that_are_none_are_refused() {
        for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
            let config = TransportConfig { ca_pem: Some(pem.into()), ..TransportConfig::default() };
            assert!(https(&config).is_err(), "{pem:?}");
        }
    }
}
