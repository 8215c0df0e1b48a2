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
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::debug;

use crate::driver::Driver;
use crate::rate::{Bucket, Rate};
use crate::room::Place;
use crate::scratch::Scratch;
use crate::shared::Shared;
use crate::socket::{Chunk, Socket};
use crate::vigil::Vigil;

/// What waits for a client that does not read; then nothing more is taken from its log, nor read from it.
pub(crate) const MAX_UNSENT: usize = 64 * 1024;
/// Reads of one turn: after them others have their turn.
pub(crate) const MAX_READS: usize = 8;
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
    if let Some(config) = start.tls
        && let Err(error) = socket.start_tls(config)
    {
        debug!(%error, "no TLS for a client");
        return;
    }
    let mut conn = Conn {
        driver: Driver::new(&shared, &held, start.settings, start.peer, Some(start.place)),
        shared: &shared,
        socket,
        begin: start.read,
        bytes: Bucket::new(shared.byte_rate()),
        sleep: pin!(sleep_until(Instant::now())),
        armed: None,
        vigil: Vigil::default(),
        stop: pin!(stop.cancelled()),
        is_stopping: false,
        is_eof: false,
    };
    let ended = (&mut conn).await;
    Box::pin(end(&mut conn.driver, &mut conn.socket, ended)).await;
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
    tokio::join!(goodbye, driver.finish(ending.detach));
}

struct Conn<'a, 's> {
    driver: Driver<'a>,
    shared: &'a Shared,
    socket: Socket,
    begin: Vec<u8>,
    bytes: Bucket,
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Duration>,
    vigil: Vigil,
    stop: Pin<&'a mut WaitForCancellationFuture<'s>>,
    is_stopping: bool,
    is_eof: bool,
}

impl Future for Conn<'_, '_> {
    type Output = io::Result<Ending>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Ending>> {
        let pool = &self.shared.pool;
        let mut scratch = pool.take();
        let done = self.turn(cx, &mut scratch);
        pool.give(scratch);
        match done {
            Ok(None) => Poll::Pending,
            Ok(Some(ending)) => Poll::Ready(Ok(ending)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Conn<'_, '_> {
    /// Everything that can be done now; what is written goes out at its end, in one piece.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Option<Ending>> {
        let Scratch { raw, decrypted, out, wire, frames: _ } = scratch;
        if !self.is_stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            self.driver.handle(Input::Drain, out);
        }
        if self.armed.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = None;
            self.socket.watch(&mut self.vigil, self.shared, self.driver.now())?;
            self.driver.prove(|| self.socket.has_reached(&self.shared.stalls), out);
            self.driver.handle(Input::Tick, out);
        }
        if !self.begin.is_empty() {
            let begin = std::mem::take(&mut self.begin);
            self.driver.handle(Input::Bytes(&begin), out);
        }
        for round in 0.. {
            if !self.socket.is_handshaking() {
                self.driver.turn_away(out);
            }
            let room = MAX_UNSENT.saturating_sub(self.socket.unsent());
            self.driver.turn(cx, room, out);
            if self.driver.take_starttls() {
                self.start_tls(cx, out, wire)?;
            }
            if !self.may_read(out) {
                break;
            }
            if round == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(chunk) = self.socket.poll_read(cx, raw, decrypted) else { break };
            self.take(chunk?, raw, decrypted, out);
        }
        let is_full = self.socket.unsent() + out.bytes.len() >= MAX_UNSENT;
        if !out.bytes.is_empty() {
            self.vigil.wrote(self.driver.now());
        }
        self.socket.write(cx, &out.bytes, wire)?;
        if is_full && self.socket.unsent() < MAX_UNSENT {
            cx.waker().wake_by_ref(); // there is room again, and nobody else would say so
        }
        self.arm(cx);
        Ok(self.driver.ending())
    }

    fn may_read(&self, out: &Output) -> bool {
        let now = self.driver.now();
        !self.is_eof
            && self.driver.ending().is_none()
            && (self.driver.wants_input() || self.socket.is_handshaking())
            && self.socket.unsent() + out.bytes.len() < MAX_UNSENT
            && self.paused_until(now).is_none()
    }

    fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.bytes.paused_until(self.shared.byte_rate(), now).max(self.driver.paused_until(now))
    }

    fn take(&mut self, chunk: Chunk, raw: &[u8], decrypted: &mut Vec<u8>, out: &mut Output) {
        if let Some(exporter) = chunk.secured {
            self.driver.handle(Input::TlsStarted { exporter }, out);
        }
        let bytes = match chunk.plain {
            Some(length) => raw.get(..length).unwrap_or_default(),
            None => decrypted.as_slice(),
        };
        if !bytes.is_empty() {
            self.vigil.heard();
            let now = self.driver.now();
            self.bytes.take(self.shared.byte_rate(), now, bytes.len());
            self.driver.handle(Input::Bytes(bytes), out);
        }
        decrypted.clear();
        if chunk.eof {
            self.is_eof = true;
            self.driver.handle(Input::Eof, out);
        }
    }

    /// `<proceed/>` goes out in the open, everything after it is TLS.
    fn start_tls(&mut self, cx: &mut Context<'_>, out: &mut Output, wire: &mut Vec<u8>) -> io::Result<()> {
        self.socket.write(cx, &out.bytes, wire)?;
        out.bytes.clear();
        out.ends.clear();
        self.socket.start_tls(self.shared.tls.starttls.clone()).map_err(io::Error::other)
    }

    /// Sets the timer if the next deadline comes before it; one that fires too early costs less than one set each time.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let now = self.driver.now();
        let look_at = self.vigil.look_at(self.shared.limits.dead_after);
        let dues = [self.driver.deadline(), self.driver.prove_at(), self.paused_until(now), look_at];
        let Some(due) = dues.into_iter().flatten().min() else { return };
        if self.armed.is_some_and(|armed| armed <= due) {
            return;
        }
        self.armed = Some(due);
        self.sleep.as_mut().reset(self.driver.started() + due);
        if self.sleep.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
    }
}

impl Shared {
    pub(crate) fn byte_rate(&self) -> Rate {
        Rate { per_second: self.limits.bytes_per_second, at_once: self.limits.bytes_at_once }
    }
}
