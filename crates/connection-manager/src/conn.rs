//! One client from its first byte to its last: moves bytes between its socket and its machine, decides nothing.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ServerConfig;
use starling_ports::sessions::Detach;
use starling_stream::{Ending, Input, Output, Settings};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::driver::Driver;
use crate::pump::{self, MAX_READS, MAX_UNSENT, Pump};
use crate::room::Place;
use crate::scratch::Scratch;
use crate::shared::Shared;
use crate::socket::{Chunk, Socket};

/// How long a client may take to read why its stream ended.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// How much of what a client sends after the end is thrown away.
pub(crate) const LINGER_BYTES: usize = 1024 * 1024;

/// What a connection begins with.
pub(crate) struct Start {
    pub(crate) tcp: TcpStream,
    pub(crate) peer: IpAddr,
    pub(crate) place: Place,
    pub(crate) settings: Arc<Settings>,
    /// TLS from the first byte.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Bytes that were read before it was known what they belong to.
    pub(crate) read: Vec<u8>,
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(shared: Arc<Shared>, start: Start, stop: CancellationToken) {
    let held = OnceLock::new();
    let mut socket = Socket::new(start.tcp);
    if let Some(config) = &start.tls
        && let Err(error) = socket.start_tls(config)
    {
        debug!(%error, "no TLS for a client");
        return;
    }
    let (sleep, stopped) = (pin!(sleep_until(Instant::now())), pin!(stop.cancelled()));
    let driver = Driver::new(&shared, &held, start.settings, start.peer, Some(start.place));
    let pump = Pump::new(&shared, driver, socket, sleep, stopped);
    let mut conn = Conn { pump, begin: start.read };
    let ended = (&mut conn).await;
    Box::pin(end(&mut conn.pump.driver, &mut conn.pump.socket, ended)).await;
}

/// The end of a connection: the client learns why, the session that its socket is gone.
pub(crate) async fn end(driver: &mut Driver<'_>, socket: &mut Socket, ended: io::Result<Ending>) {
    let ending = ended.unwrap_or_else(|error| {
        match error.kind() {
            io::ErrorKind::TimedOut => driver.metrics().dead.increment(1),
            io::ErrorKind::InvalidData => driver.metrics().no_tls.increment(1),
            _ => {}
        }
        debug!(%error, "a connection was lost");
        Ending { detach: Some(Detach::Lost), linger: false }
    });
    let goodbye = async {
        if ending.linger {
            let _ = timeout(LINGER, socket.linger(LINGER_BYTES)).await;
        }
    };
    let ((), unsaid) = tokio::join!(goodbye, driver.finish(ending.detach));
    if let Some(why) = unsaid {
        socket.close().await;
        driver.insist(why).await;
    }
}

struct Conn<'a, 's> {
    pump: Pump<'a, 's>,
    begin: Vec<u8>,
}

impl Future for Conn<'_, '_> {
    type Output = io::Result<Ending>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Ending>> {
        pump::turn(&self.pump.shared.pool, |scratch| self.turn(cx, scratch))
    }
}

impl Conn<'_, '_> {
    /// Everything that can be done now; what is written goes out at its end, in one piece.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Option<Ending>> {
        let Scratch { raw, decrypted, out, wire, frames: _ } = scratch;
        self.pump.begin(cx, out)?;
        if !self.begin.is_empty() {
            let begin = std::mem::take(&mut self.begin);
            self.pump.driver.handle(Input::Bytes(&begin), out);
        }
        for round in 0.. {
            if !self.pump.socket.is_handshaking() {
                self.pump.driver.turn_away(out);
            }
            self.pump.driver.turn(cx, self.pump.room(), out);
            if self.pump.driver.take_starttls() {
                self.start_tls(cx, out, wire)?;
            }
            if !self.pump.wants_input(out) || self.pump.paused_until().is_some() {
                break;
            }
            if round == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(chunk) = self.pump.socket.poll_read(cx, raw, decrypted) else { break };
            self.take(&chunk?, raw, decrypted, out);
        }
        let is_full = self.pump.socket.unsent() + out.bytes.len() >= MAX_UNSENT;
        self.pump.write(cx, &out.bytes, wire, is_full)?;
        self.pump.arm(cx, [None, None]);
        Ok(self.pump.driver.ending())
    }

    fn take(&mut self, chunk: &Chunk, raw: &[u8], decrypted: &mut Vec<u8>, out: &mut Output) {
        if let Some(exporter) = chunk.secured {
            self.pump.driver.handle(Input::TlsStarted { exporter }, out);
        }
        let bytes = self.pump.read(chunk, raw, decrypted);
        if !bytes.is_empty() {
            self.pump.driver.handle(Input::Bytes(bytes), out);
        }
        decrypted.clear();
        if chunk.eof {
            self.pump.end_of_input(out);
        }
    }

    /// `<proceed/>` goes out in the open, everything after it is TLS.
    fn start_tls(&mut self, cx: &mut Context<'_>, out: &mut Output, wire: &mut Vec<u8>) -> io::Result<()> {
        self.pump.socket.write(cx, &out.bytes, wire)?;
        out.bytes.clear();
        out.ends.clear();
        self.pump.socket.start_tls(&self.pump.shared.tls.starttls).map_err(io::Error::other)
    }
}
