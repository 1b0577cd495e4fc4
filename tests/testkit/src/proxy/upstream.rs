//! The way to the server behind the proxy.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{net::TcpStream, sync::Mutex};
use tokio_rustls::TlsConnector;

/// Where it is, and whom to trust there.
pub(super) struct Upstream {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Upstream {
    pub(super) fn new(url: &str, ca_pem: &str) -> Self {
        let address = url.strip_prefix("https://").expect("an address with https").trim_end_matches('/').to_owned();
        let (host, _) = address.rsplit_once(':').expect("an address with a port");
        let name = ServerName::try_from(host.to_owned()).expect("a host");
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem.as_bytes()) {
            roots.add(certificate.expect("PEM")).expect("a CA");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring knows TLS")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { address, name, tls: TlsConnector::from(Arc::new(config)) }
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(&self.address).await?;
        let stream = self.tls.connect(self.name.clone(), stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends with its sender and the last body.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// One connection to it, made when it is first needed, and anew when it was closed.
pub(super) struct Line {
    upstream: Arc<Upstream>,
    sender: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl Line {
    pub(super) fn new(upstream: Arc<Upstream>) -> Self {
        Self { upstream, sender: Mutex::new(None) }
    }

    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        let mut slot = self.sender.lock().await;
        let mut open = slot.take();
        if let Some(sender) = &mut open
            && sender.ready().await.is_err()
        {
            open = None;
        }
        let mut sender = match open {
            Some(sender) => sender,
            None => self.upstream.connect().await?,
        };
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        *slot = Some(sender);
        Ok(answer)
    }
}
