//! Our socket as hyper wants it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::scratch::{Pool, Scratch};
use crate::socket::Socket;

/// How long a client may leave an answer unread before its connection ends; what a BOSH session was to get stays its own.
const WRITE_WITHIN: Duration = Duration::from_secs(30);

/// Reads and writes a `Socket` with borrowed buffers.
pub(crate) struct HttpIo {
    socket: Socket,
    pool: Arc<Pool>,
    read: Vec<u8>, // came, but found no room in hyper's buffer
    exporter: Option<[u8; 32]>,
    is_eof: bool,
    patience: Option<Pin<Box<Sleep>>>, // while an answer finds no reader
}

impl HttpIo {
    pub(crate) fn new(
        tcp: TcpStream,
        tls: Option<&ServerConfig>,
        pool: Arc<Pool>,
    ) -> Result<HttpIo, rustls::Error> {
        let mut socket = Socket::new(tcp);
        if let Some(config) = tls {
            socket.start_tls(config)?;
        }
        Ok(HttpIo { socket, pool, read: Vec::new(), exporter: None, is_eof: false, patience: None })
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
        let before = self.socket.unsent();
        if before > 0 {
            self.send(cx, &[])?;
        }
        let left = self.socket.unsent();
        if left == 0 {
            self.patience = None;
            return Poll::Ready(Ok(()));
        }
        if left < before {
            self.patience = None; // it reads
        }
        let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(WRITE_WITHIN)));
        ready!(patience.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    async fn pair() -> (HttpIo, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        (HttpIo::new(tcp, None, Arc::default()).unwrap(), client)
    }

    /// More than sockets hold.
    async fn answer(io: &mut HttpIo) -> io::Result<()> {
        let answer = vec![b'x'; 32 << 20];
        poll_fn(|cx| Pin::new(&mut *io).poll_write(cx, &answer)).await?;
        poll_fn(|cx| Pin::new(&mut *io).poll_flush(cx)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_no_answer_is_not_waited_for() {
        let (mut io, _client) = pair().await;
        let begun = Instant::now();
        let error = answer(&mut io).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= WRITE_WITHIN, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn one_that_reads_gets_it_all() {
        let (mut io, mut client) = pair().await;
        let mut read = Vec::new();
        let answering = async {
            answer(&mut io).await.unwrap();
            drop(io);
        };
        let ((), done) = tokio::join!(answering, client.read_to_end(&mut read));
        assert_eq!((done.unwrap(), read.len()), (32 << 20, 32 << 20));
    }
}
