//! Who a node is: its certificate, whom it believes, and the roles that both ends must prove.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    version,
};

use crate::{Config, Error, Role};

/// A node's certificate, key and authority. Files that have changed are read again for the next handshake.
#[derive(Debug)]
pub struct Identity {
    files: [PathBuf; 3],
    loaded: Mutex<Loaded>,
}

#[derive(Debug, Clone)]
struct Loaded {
    state: State,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// When each file was written, and how long it is.
type State = [Option<(SystemTime, u64)>; 3];

impl Identity {
    /// Reads the files; `None` where nodes speak without TLS.
    pub fn open(config: &Config) -> Result<Option<Arc<Identity>>, Error> {
        if config.plaintext {
            return Ok(None);
        }
        let files = [config.certificate.clone(), config.key.clone(), config.authority.clone()];
        let loaded = Mutex::new(load(&files)?);
        Ok(Some(Arc::new(Identity { files, loaded })))
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.present().server
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        self.present().client
    }

    /// Handshakes are rare: links are long, so that looking at the files costs nothing.
    fn present(&self) -> Loaded {
        let mut loaded = self.loaded.lock();
        if state(&self.files) != loaded.state {
            match load(&self.files) {
                Ok(newer) => {
                    tracing::info!("the certificate of this node was read again");
                    *loaded = newer;
                }
                Err(error) => {
                    tracing::warn!(%error, "the files of this node cannot be used, the former ones hold")
                }
            }
        }
        loaded.clone()
    }
}

fn state(files: &[PathBuf; 3]) -> State {
    files.each_ref().map(|path| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len()))
    })
}

fn load(files: &[PathBuf; 3]) -> Result<Loaded, Error> {
    let state = state(files); // before they are read: a change meanwhile is seen the next time
    let [certificate, key, authority] = files;
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Error::File { path: key.clone(), why: error.to_string() })?;
    let mut roots = RootCertStore::empty();
    for one in certificates(authority)? {
        let added = roots.add(one);
        added.map_err(|error| Error::File { path: authority.clone(), why: error.to_string() })?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
    let algorithms = provider.signature_verification_algorithms;
    // A peer without a certificate gets a gRPC status instead of a broken handshake.
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error::File { path: authority.clone(), why: error.to_string() })?;
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain.clone(), secret.clone_key())?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(IsRouter { roots, algorithms }))
        .with_client_auth_cert(chain, secret)?;
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Loaded { state, server: Arc::new(server), client: Arc::new(client) })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let wrong = |why: String| Error::File { path: path.to_owned(), why };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("holds no certificate in PEM form".to_owned())) } else { Ok(found) }
}

/// Believes a server whose certificate is of the cluster's authority and names the role of a session router. Its host name
/// says nothing: routers are found by addresses, and the authority is the cluster's own.
#[derive(Debug)]
struct IsRouter {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for IsRouter {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        if !Role::of_certificate(end_entity).contains(&Role::SessionRouter) {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
