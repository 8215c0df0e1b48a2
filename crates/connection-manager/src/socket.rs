//! A TCP socket with or without TLS, that holds nothing while nothing is under way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::secured::Secured;
use crate::shared::Shared;
use crate::sock_diag::{self, Queue};
use crate::vigil::Vigil;

/// What one read brought.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    /// How many bytes of `raw` are for the machine; with TLS they are in `decrypted` instead.
    pub(crate) plain: Option<usize>,
    /// The handshake is over; the exporter data if the version has it.
    pub(crate) secured: Option<Option<[u8; 32]>>,
    /// Nothing more will come.
    pub(crate) eof: bool,
}

#[derive(Debug)]
pub(crate) struct Socket {
    tcp: TcpStream,
    tls: Option<Box<Secured>>,
    unsent: Vec<u8>,
    sent: usize, // how much of `unsent` has gone
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream) -> Socket {
        Socket { tcp, tls: None, unsent: Vec::new(), sent: 0 }
    }

    /// From now on everything is TLS. What was written before goes out in the open.
    pub(crate) fn start_tls(&mut self, config: &ServerConfig) -> Result<(), rustls::Error> {
        self.tls = Some(Box::new(Secured::new(config)?));
        Ok(())
    }

    /// Whether what comes next is TLS's own, and nobody else's to want.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }

    /// How many bytes wait for the client to read.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// One read. `Pending` leaves no buffer behind.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        raw: &mut [u8],
        decrypted: &mut Vec<u8>,
    ) -> Poll<io::Result<Chunk>> {
        let mut buffer = ReadBuf::new(raw);
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut buffer))?;
        let length = buffer.filled().len();
        let Some(tls) = &mut self.tls else {
            return Poll::Ready(Ok(Chunk { plain: Some(length), secured: None, eof: length == 0 }));
        };
        let came = tls.read(buffer.filled_mut(), decrypted, &mut self.unsent)?;
        let eof = length == 0 || came.closed;
        Poll::Ready(Ok(Chunk { plain: None, secured: came.secured, eof }))
    }

    /// Hands in `bytes`, and writes as much as the client takes. What is left is kept.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8], wire: &mut Vec<u8>) -> io::Result<()> {
        let bytes = match &mut self.tls {
            Some(tls) if !bytes.is_empty() => {
                tls.write(bytes, wire)?;
                wire.as_slice()
            }
            _ => bytes,
        };
        if self.unsent() > 0 {
            self.unsent.extend_from_slice(bytes);
            return self.flush(cx);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut self.tcp).poll_write(cx, rest) {
                Poll::Pending => {
                    self.unsent.extend_from_slice(rest);
                    break;
                }
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => rest = rest.get(written..).unwrap_or_default(),
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.unsent() > 0 {
            let rest = self.unsent.get(self.sent..).unwrap_or_default();
            match Pin::new(&mut self.tcp).poll_write(cx, rest) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => self.sent += written,
                Poll::Ready(Err(error)) => return Err(error),
            }
        }
        self.unsent = Vec::new();
        self.sent = 0;
        Ok(())
    }

    /// Whether the peer's TCP has acknowledged everything that was written here.
    pub(crate) fn has_reached(&self) -> bool {
        self.unsent() == 0 && self.queue().is_some_and(|queue| queue.bytes == 0)
    }

    /// What is on its way to the peer; `None` where the system does not say.
    fn queue(&self) -> Option<Queue> {
        let (local, peer) = (self.tcp.local_addr().ok()?, self.tcp.peer_addr().ok()?);
        sock_diag::queue(local, peer).ok()
    }

    /// Looks, if it is time, whether the peer is still there (session-log rule 26); an error if it is dead.
    pub(crate) fn watch(&self, vigil: &mut Vigil, shared: &Shared, now: Duration) -> io::Result<()> {
        if vigil.look_at(shared.limits.dead_after).is_none_or(|at| now < at) {
            return Ok(());
        }
        let (tries, has_all) = match self.queue() {
            Some(queue) => (queue.tries, queue.bytes == 0 && self.unsent() == 0),
            None => (0, false),
        };
        if vigil.look(now, tries, has_all) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    /// The client hears that it is over, whatever its session still waits for.
    pub(crate) async fn close(&mut self) {
        use tokio::io::AsyncWriteExt;

        let _ = self.tcp.shutdown().await; // it may be gone already
    }

    /// Says goodbye, then waits for the client to do so: a socket closed with unread data resets the connection, and the
    /// client never sees why. `limit` bounds what is thrown away.
    pub(crate) async fn linger(&mut self, limit: usize) -> io::Result<()> {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        if let Some(tls) = &mut self.tls {
            tls.close(&mut self.unsent);
        }
        let rest = self.unsent.get(self.sent..).unwrap_or_default();
        self.tcp.write_all(rest).await?;
        self.tcp.shutdown().await?;
        let mut thrown = 0;
        let mut buffer = [0; 1024];
        while thrown < limit {
            match self.tcp.read(&mut buffer).await? {
                0 => break,
                length => thrown += length,
            }
        }
        Ok(())
    }
}
