//! The certificates and keys of one control plane, valid for this machine alone.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use super::Error;

/// What the servers read from files, and what clients are given.
#[derive(Debug)]
pub(super) struct Certificates {
    /// The authority, PEM: clients trust it, and the API server trusts it for clients.
    pub(super) authority: String,
    /// Files for `--client-ca-file`, `--tls-cert-file`, `--tls-private-key-file`.
    pub(super) authority_file: PathBuf,
    pub(super) server_file: PathBuf,
    pub(super) server_key_file: PathBuf,
    /// Signs ServiceAccount tokens.
    pub(super) service_account_key_file: PathBuf,
    /// Checks them.
    pub(super) service_account_public_file: PathBuf,
    /// A member of `system:masters`: certificate and key, PEM.
    pub(super) admin: (String, String),
}

impl Certificates {
    /// Makes them all and writes the servers' part into `dir`.
    pub(super) fn make(dir: &Path) -> Result<Self, Error> {
        let authority = authority()?;
        let server = server(&authority)?;
        let service_account = KeyPair::generate()?;
        let admin = client(&authority, "kubernetes-admin", "system:masters")?;
        Ok(Self {
            authority_file: write(dir, "ca.crt", &authority.pem())?,
            server_file: write(dir, "server.crt", &server.0)?,
            server_key_file: write(dir, "server.key", &server.1)?,
            service_account_key_file: write(dir, "service-account.key", &service_account.serialize_pem())?,
            service_account_public_file: write(dir, "service-account.pub", &service_account.public_key_pem())?,
            authority: authority.pem(),
            admin,
        })
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Result<Authority, Error> {
    let mut params = named("control-plane-for-tests");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Certificate and key of the API server, PEM.
fn server(authority: &Authority) -> Result<(String, String), Error> {
    let names = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(authority, &params)
}

/// Certificate and key of a client, PEM: the organization is what Kubernetes takes as the group.
fn client(authority: &Authority, user: &str, group: &str) -> Result<(String, String), Error> {
    let mut params = named(user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(authority, &params)
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn sign(authority: &Authority, params: &CertificateParams) -> Result<(String, String), Error> {
    let key = KeyPair::generate()?;
    Ok((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
}

/// Writes a file that only this user reads.
pub(super) fn write(dir: &Path, name: &str, text: &str) -> Result<PathBuf, Error> {
    use std::io::Write;
    let path = dir.join(name);
    fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::io("cannot write", &path))?;
    Ok(path)
}
