//! What proves who is who: the servers' certificates, ours, and the password.

use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::config::{Config, Tls};
use crate::error::ConnectError;

fn wrong(path: &Path, why: impl ToString) -> ConnectError {
    ConnectError::File { path: path.display().to_string(), why: why.to_string() }
}

/// From the file, if one is named.
pub(crate) fn password(config: &Config) -> Result<String, ConnectError> {
    let path = &config.password_file;
    if path.as_os_str().is_empty() {
        return Ok(config.password.reveal().to_owned());
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, error))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// `None`: no encryption.
pub(crate) fn client(tls: &Tls) -> Result<Option<Arc<ClientConfig>>, ConnectError> {
    if tls.ca.as_os_str().is_empty() {
        return Ok(None);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|error| wrong(&tls.ca, error))?;
    }
    let roots = Arc::new(roots);
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&tls.ca, error))?
        .with_root_certificates(roots.clone());
    let mut client = if tls.certificate.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| wrong(&tls.key, error))?;
        let certificates = certificates(&tls.certificate)?;
        builder.with_client_auth_cert(certificates, key).map_err(|error| wrong(&tls.certificate, error))?
    };
    if !tls.server_name.is_empty() {
        let inner = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let inner = inner.map_err(|error| wrong(&tls.ca, error))?;
        let name = ServerName::try_from(tls.server_name.clone());
        let name = name.map_err(|error| wrong(Path::new("tls.server-name"), error))?;
        client.dangerous().set_certificate_verifier(Arc::new(OneName { inner, name }));
    }
    Ok(Some(Arc::new(client)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let all: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(|error| wrong(path, error))?.collect();
    let all = all.map_err(|error| wrong(path, error))?;
    if all.is_empty() { Err(wrong(path, "there is no certificate in it")) } else { Ok(all) }
}

/// Servers are reached by their IP addresses; this looks for one DNS name in the certificate of each instead. All else is
/// verified as usual.
#[derive(Debug)]
struct OneName {
    inner: Arc<WebPkiServerVerifier>,
    name: ServerName<'static>,
}

impl ServerCertVerifier for OneName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner.verify_server_cert(certificate, between, &self.name, ocsp, now)
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
