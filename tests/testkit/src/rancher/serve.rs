//! The simulator over real HTTPS, for processes that cannot be handed a service.
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use kube::client::Body;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, task::AbortHandle};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::apiserver::Service;

/// A running HTTPS server; it stops when this is dropped.
#[derive(Debug)]
pub struct Served {
    /// `https://127.0.0.1:<port>`.
    pub url: String,
    /// `127.0.0.1`; the certificate is good for `localhost` too.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The CA that signed its certificate.
    pub ca_pem: String,
    accepting: AbortHandle,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

struct Identity {
    ca_pem: String,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn identity() -> Result<Identity, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::<String>::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "testkit rancher CA");
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1"].map(str::to_owned);
    let leaf = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    Ok(Identity {
        ca_pem: authority.pem(),
        chain: vec![leaf.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
    })
}

fn acceptor(identity: Identity) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves a service on a free port.
pub(super) async fn serve(service: Service) -> Served {
    let identity = identity().expect("a certificate can be made");
    let ca_pem = identity.ca_pem.clone();
    let tls = acceptor(identity).expect("the certificate just made is good");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("127.0.0.1 has a free port");
    let address: SocketAddr = listener.local_addr().expect("a bound socket has an address");
    let accepting = tokio::spawn(accept(listener, tls, service)).abort_handle();
    Served {
        url: format!("https://{address}"),
        host: address.ip().to_string(),
        port: address.port(),
        ca_pem,
        accepting,
    }
}

/// Connections end with the task that accepts them.
async fn accept(listener: TcpListener, tls: TlsAcceptor, service: Service) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (tls, service) = (tls.clone(), service.clone());
        connections.spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let answer = hyper::service::service_fn(move |request| answer(service.clone(), request));
            // A service's error is a cut connection: that is what it stands for.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, io::Error>> + Send>>;

fn answer(service: Service, request: http::Request<hyper::body::Incoming>) -> Answering {
    Box::pin(async move {
        let (parts, body) = request.into_parts();
        let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let request = http::Request::from_parts(parts, bytes);
        service.oneshot(request).await.map_err(io::Error::other)
    })
}
