//! A service over real HTTPS, for processes that cannot be handed one.
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};
use tokio_rustls::TlsAcceptor;
use tower::{BoxError, ServiceExt};

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
    cut: watch::Sender<()>,
}

impl Served {
    /// What cuts all connections that are open, whenever something is sent.
    pub(crate) fn cutter(&self) -> watch::Sender<()> {
        self.cut.clone()
    }
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

/// The body of an answer, which may go on for ever.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// An answer under way. An error is a cut connection.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Body>, io::Error>> + Send>>;

/// What answers the requests of one connection, one after the other.
pub(crate) type Handler = Box<dyn Fn(http::Request<Incoming>) -> Answering + Send + Sync>;

/// Serves on a free port; each connection gets a handler of its own.
pub(crate) async fn serve(handlers: impl Fn() -> Handler + Send + 'static) -> Served {
    let identity = identity().expect("a certificate can be made");
    let ca_pem = identity.ca_pem.clone();
    let tls = acceptor(identity).expect("the certificate just made is good");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("127.0.0.1 has a free port");
    let address: SocketAddr = listener.local_addr().expect("a bound socket has an address");
    let (cut, cuts) = watch::channel(());
    let accepting = tokio::spawn(accept(listener, tls, cuts, handlers)).abort_handle();
    Served {
        url: format!("https://{address}"),
        host: address.ip().to_string(),
        port: address.port(),
        ca_pem,
        accepting,
        cut,
    }
}

/// Connections end with the task that accepts them.
async fn accept(listener: TcpListener, tls: TlsAcceptor, cuts: watch::Receiver<()>, handlers: impl Fn() -> Handler) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let (tls, handler, mut cuts) = (tls.clone(), handlers(), cuts.clone());
        cuts.mark_unchanged();
        connections.spawn(async move {
            let served = async {
                let Ok(stream) = tls.accept(stream).await else {
                    return;
                };
                let answer = hyper::service::service_fn(handler);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            };
            tokio::select! {
                () = served => {}
                Ok(()) = cuts.changed() => {}
            }
        });
    }
}

/// A service that takes a request as a whole. Its error is a cut connection: that is what it stands for.
pub(crate) fn of_service(service: Service) -> Handler {
    Box::new(move |request| {
        let service = service.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
            let answer = service.oneshot(http::Request::from_parts(parts, bytes)).await.map_err(io::Error::other)?;
            Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
        })
    })
}
