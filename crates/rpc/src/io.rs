//! The bytes between two nodes, with or without TLS, and what is known of whoever sends them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};
use tonic::transport::server::Connected;

use crate::{Identity, Role};

/// How long a connection and its handshake may take.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection between two nodes.
#[derive(Debug)]
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What a connection says of its other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Without TLS: on loopback, where the configuration allows it.
    Local,
    /// It showed no certificate.
    Nobody,
    /// Its certificate is believed, and names these roles.
    Known(Arc<[Role]>),
}

impl Io {
    /// A router's end.
    pub(crate) async fn accept(tcp: TcpStream, identity: Option<&Identity>) -> io::Result<Io> {
        tcp.set_nodelay(true)?;
        let Some(identity) = identity else { return Ok(Io::Plain(tcp)) };
        let accepted = timeout(CONNECT_WITHIN, TlsAcceptor::from(identity.server()).accept(tcp)).await??;
        Ok(Io::Tls(Box::new(accepted.into())))
    }

    /// A connection manager's end.
    pub(crate) async fn connect(
        address: std::net::SocketAddr,
        identity: Option<&Identity>,
    ) -> io::Result<Io> {
        let tcp = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await??;
        tcp.set_nodelay(true)?;
        let Some(identity) = identity else { return Ok(Io::Plain(tcp)) };
        let connector = TlsConnector::from(identity.client());
        let name = ServerName::IpAddress(address.ip().into());
        let connected = timeout(CONNECT_WITHIN, connector.connect(name, tcp)).await??;
        Ok(Io::Tls(Box::new(connected.into())))
    }
}

impl Connected for Io {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        let Io::Tls(stream) = self else { return Caller::Local };
        let certificates = stream.get_ref().1.peer_certificates();
        match certificates.and_then(|chain| chain.first()) {
            Some(first) => Caller::Known(Role::of_certificate(first).into()),
            None => Caller::Nobody,
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Io::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Io::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Io::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Io::Plain(tcp) => tcp.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Io::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Io::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Io::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
