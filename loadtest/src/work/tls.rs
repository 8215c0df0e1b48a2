//! TLS between a controller and its workers: each shows the other a certificate, and believes those of one authority.

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, version};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};
use tonic::codegen::http::Uri;
use tonic::transport::server::Connected;

/// How long a connection and its handshake may take, each.
const WITHIN: Duration = Duration::from_secs(5);
/// Handshakes at the same time; whoever comes then waits to be accepted.
const HANDSHAKES: usize = 16;
/// After an accept that failed, as where file descriptors are used up.
const PAUSE: Duration = Duration::from_millis(100);

/// Files in PEM form: what this end shows to the other, and whom it believes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Files {
    /// The certificate that is shown to the other end, PEM. A worker's names the host or address by which it is reached.
    #[arg(long, requires = "tls_key", requires = "tls_ca")]
    tls_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// The authority whose certificates are believed, PEM.
    #[arg(long, requires = "tls_cert")]
    tls_ca: Option<PathBuf>,
}

/// What either end needs.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Files {
    /// Whether the link is to be encrypted.
    pub(super) fn is_given(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// Reads them, if they are given.
    pub(super) fn read(&self) -> Result<Option<Tls>> {
        let (Some(cert), Some(key), Some(ca)) = (&self.tls_cert, &self.tls_key, &self.tls_ca) else {
            return Ok(None);
        };
        let chain = certificates(cert)?;
        let secret =
            PrivateKeyDer::from_pem_file(key).with_context(|| format!("reading {}", key.display()))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(ca)? {
            roots.add(authority).with_context(|| format!("{} holds no authority", ca.display()))?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let controllers =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build()?;
        let is_pair = || format!("{} is not the key of {}", key.display(), cert.display());
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(controllers)
            .with_single_cert(chain.clone(), secret.clone_key())
            .with_context(is_pair)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, secret)
            .with_context(is_pair)?;
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Some(Tls { server: Arc::new(server), client: Arc::new(client) }))
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.with_context(|| format!("reading {}", file.display()))?;
    ensure!(!read.is_empty(), "{} holds no certificate in PEM form", file.display());
    Ok(read)
}

/// A worker's end of a connection.
#[derive(Debug)]
pub(super) struct Accepted(server::TlsStream<TcpStream>);

impl Tls {
    /// Takes connections until nobody wants them; those whose handshake fails are said, and end.
    pub(super) async fn accept(self, listener: TcpListener, accepted: mpsc::Sender<io::Result<Accepted>>) {
        let (acceptor, mut shaking) = (TlsAcceptor::from(self.server), JoinSet::new());
        loop {
            tokio::select! {
                taken = listener.accept(), if shaking.len() < HANDSHAKES => match taken {
                    Ok((tcp, address)) => {
                        let shaken = timeout(WITHIN, acceptor.accept(tcp));
                        shaking.spawn(async move { (address, shaken.await) });
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
                Some(Ok((address, shaken))) = shaking.join_next() => {
                    let why = match shaken {
                        Ok(Ok(stream)) => match accepted.send(Ok(Accepted(stream))).await {
                            Ok(()) => continue,
                            Err(_) => return,
                        },
                        Ok(Err(why)) => why.to_string(),
                        Err(_) => format!("no handshake within {} s", WITHIN.as_secs()),
                    };
                    let _ = writeln!(io::stderr(), "{address} was refused: {why}"); // nowhere else to say it
                }
            }
        }
    }

    /// A controller's end of connections to the worker at HOST:PORT.
    pub(super) fn connector(&self, address: &str) -> Result<Connector> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .with_context(|| format!("{host} is no name that a certificate could have"))?;
        Ok(Connector { address: address.to_owned(), name, tls: TlsConnector::from(self.client.clone()) })
    }
}

/// Connects to one worker, whose certificate must have its name.
#[derive(Clone)]
pub(super) struct Connector {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<client::TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Self { address, name, tls } = self.clone();
        Box::pin(async move {
            let tcp = timeout(WITHIN, TcpStream::connect(address)).await??;
            tcp.set_nodelay(true)?;
            Ok(TokioIo::new(timeout(WITHIN, tls.connect(name, tcp)).await??))
        })
    }
}

impl Connected for Accepted {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
