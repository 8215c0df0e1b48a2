//! TLS of a client that takes any certificate, and says what it was shown.

use std::io::{self, Write};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct as Signed, Error, SignatureScheme, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Verified = Result<HandshakeSignatureValid, Error>;

/// Which version a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// Without `tls-exporter` (RFC 9266).
    Tls12,
    /// The present one.
    #[default]
    Tls13,
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsOptions {
    /// SNI.
    pub domain: String,
    /// The only version that it speaks.
    pub version: TlsVersion,
    /// What it offers by ALPN.
    pub alpn: Vec<&'static str>,
}

impl TlsOptions {
    /// TLS 1.3 for that domain, without ALPN.
    pub fn new(domain: &str) -> TlsOptions {
        TlsOptions { domain: domain.to_owned(), version: TlsVersion::Tls13, alpn: Vec::new() }
    }
}

/// What a handshake brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secured {
    /// The certificate of the server.
    pub certificate: Vec<u8>,
    /// `tls-exporter` data (RFC 9266 §4.2), whatever the version.
    pub exporter: Vec<u8>,
    /// What was agreed by ALPN.
    pub alpn: Option<String>,
}

/// A socket in the open or under TLS.
#[derive(Debug)]
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// A handshake has failed.
    Broken,
}

impl Socket {
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read(buffer).await,
            // A server that ends without `close_notify` is at its end as well.
            Self::Tls(tls) => match tls.read(buffer).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                done => done,
            },
            Self::Broken => Ok(0),
        }
    }

    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tcp) => tcp.write_all(bytes).await,
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
            Self::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Says these bytes and that nothing more will come, all in one piece.
    pub(crate) async fn close_behind(self, bytes: &[u8]) -> io::Result<()> {
        let Self::Tls(mut tls) = self else { return Err(io::ErrorKind::NotConnected.into()) };
        let (tcp, connection) = tls.get_mut();
        connection.writer().write_all(bytes)?;
        connection.send_close_notify();
        let mut wire = Vec::new();
        while connection.wants_write() {
            connection.write_tls(&mut wire)?;
        }
        tcp.write_all(&wire).await
    }

    pub(crate) fn cut(self) {
        let tcp = match &self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Broken => return,
        };
        let _ = tcp.set_zero_linger();
    }

    pub(crate) async fn secure(&mut self, options: &TlsOptions) -> Result<Secured> {
        let Self::Plain(tcp) = std::mem::replace(self, Self::Broken) else { bail!("not in the open") };
        let name = ServerName::try_from(options.domain.clone())?;
        let tls = TlsConnector::from(Arc::new(config(options)?)).connect(name, tcp).await?;
        let (_, connection) = tls.get_ref();
        let certificate = connection.peer_certificates().and_then(|chain| chain.first());
        let exporter = connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(b""))?;
        let secured = Secured {
            certificate: certificate.context("no certificate")?.to_vec(),
            exporter: exporter.to_vec(),
            alpn: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        };
        *self = Self::Tls(Box::new(tls));
        Ok(secured)
    }
}

fn config(options: &TlsOptions) -> Result<ClientConfig> {
    let versions = match options.version {
        TlsVersion::Tls12 => [&version::TLS12],
        TlsVersion::Tls13 => [&version::TLS13],
    };
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(AnyCertificate(provider.signature_verification_algorithms));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = options.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(config)
}

/// Servers under test sign their certificates themselves; which one it was is for the story to compare.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(&self, message: &[u8], of: &CertificateDer<'_>, signed: &Signed) -> Verified {
        verify_tls12_signature(message, of, signed, &self.0)
    }
    fn verify_tls13_signature(&self, message: &[u8], of: &CertificateDer<'_>, signed: &Signed) -> Verified {
        verify_tls13_signature(message, of, signed, &self.0)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
