//! Our socket as hyper wants it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use rustls::ServerConfig;
use tokio::net::TcpStream;

use crate::scratch::{Pool, Scratch};
use crate::socket::Socket;

/// Reads and writes a `Socket` with borrowed buffers.
pub(crate) struct HttpIo {
    socket: Socket,
    pool: Arc<Pool>,
    read: Vec<u8>, // came, but found no room in hyper's buffer
    exporter: Option<[u8; 32]>,
    is_eof: bool,
}

impl HttpIo {
    pub(crate) fn new(
        tcp: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        pool: Arc<Pool>,
    ) -> Result<HttpIo, rustls::Error> {
        let mut socket = Socket::new(tcp);
        if let Some(config) = tls {
            socket.start_tls(config)?;
        }
        Ok(HttpIo { socket, pool, read: Vec::new(), exporter: None, is_eof: false })
    }

    /// The socket, what a login may be bound to, and what was read and not yet taken.
    pub(crate) fn into_parts(self) -> (Socket, Option<[u8; 32]>, Vec<u8>) {
        (self.socket, self.exporter, self.read)
    }

    /// Says goodbye: an answer to a request that was not read to its end must not be lost by a reset.
    pub(crate) async fn linger(&mut self, limit: usize) -> io::Result<()> {
        self.socket.linger(limit).await
    }

    /// Hands over what is there. Says whether there was any.
    fn take(&mut self, buffer: &mut ReadBufCursor<'_>) -> bool {
        let length = self.read.len().min(buffer.remaining());
        buffer.put_slice(self.read.get(..length).unwrap_or_default());
        self.read.drain(..length);
        if self.read.is_empty() {
            self.read = Vec::new();
        }
        length > 0
    }

    fn fill(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<io::Result<()>> {
        let Scratch { raw, decrypted, wire, .. } = scratch;
        let read = self.socket.poll_read(cx, raw, decrypted);
        self.socket.write(cx, &[], wire)?; // what TLS has to say
        let chunk = ready!(read)?;
        if let Some(exporter) = chunk.secured {
            self.exporter = exporter;
        }
        let bytes = match chunk.plain {
            Some(length) => raw.get(..length).unwrap_or_default(),
            None => decrypted.as_slice(),
        };
        self.read.extend_from_slice(bytes);
        self.is_eof |= chunk.eof;
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let mut scratch = self.pool.take();
        let sent = self.socket.write(cx, bytes, &mut scratch.wire);
        self.pool.give(scratch);
        sent
    }
}

impl Read for HttpIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.take(&mut buffer) && !self.is_eof {
            let pool = self.pool.clone();
            let mut scratch = pool.take();
            let filled = self.fill(cx, &mut scratch);
            pool.give(scratch);
            ready!(filled)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for HttpIo {
    /// Takes everything, or nothing while something is left from before.
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.send(cx, bytes)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.socket.unsent() > 0 {
            self.send(cx, &[])?;
        }
        if self.socket.unsent() > 0 { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
