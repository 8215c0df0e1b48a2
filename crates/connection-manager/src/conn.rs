//! One client from its first byte to its last: moves bytes between its socket and its machine, decides nothing.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use starling_ports::sessions::Detach;
use starling_stream::{Ending, Input, Output, Settings};
use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::debug;

use crate::driver::{Driver, Held};
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) socket: Socket,
    pub(crate) peer: IpAddr,
    pub(crate) place: Place,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stop: CancellationToken,
}

/// Serves one client until its connection ends. What it begins with is in a box, for what is moved within a future has room in it as
/// long as it lives.
pub(crate) fn serve(start: Box<Start>) -> impl Future<Output = ()> {
    let (shared, stop) = (start.shared.clone(), start.stop.clone());
    async move {
        let held = OnceLock::new();
        let (sleep, stopped) = (pin!(sleep_until(Instant::now())), pin!(stop.cancelled()));
        let mut conn = Conn::new(&shared, &held, start, sleep, stopped);
        let ended = (&mut conn).await;
        Box::pin(end(&mut conn.0.driver, &mut conn.0.socket, ended)).await;
    }
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

struct Conn<'a, 's>(Pump<'a, 's>);

impl Future for Conn<'_, '_> {
    type Output = io::Result<Ending>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Ending>> {
        pump::turn(&self.0.shared.pool, |scratch| self.turn(cx, scratch))
    }
}

impl<'a, 's> Conn<'a, 's> {
    #[expect(clippy::boxed_local, reason = "the box is given back here, not at the end of the connection")]
    fn new(
        shared: &'a Shared,
        held: &'a OnceLock<Held>,
        start: Box<Start>,
        sleep: Pin<&'a mut Sleep>,
        stopped: Pin<&'a mut WaitForCancellationFuture<'s>>,
    ) -> Conn<'a, 's> {
        let Start { socket, peer, place, settings, .. } = *start;
        let driver = Driver::new(shared, held, settings, peer, Some(place));
        Conn(Pump::new(shared, driver, socket, sleep, stopped))
    }

    /// Everything that can be done now; what is written goes out at its end, in one piece.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Option<Ending>> {
        let Scratch { raw, decrypted, out, wire, frames: _ } = scratch;
        self.0.begin(cx, out)?;
        for round in 0.. {
            if !self.0.socket.is_handshaking() {
                self.0.driver.turn_away(out);
            }
            self.0.driver.turn(cx, self.0.room(), out);
            if self.0.driver.take_starttls() {
                self.start_tls(cx, out, wire)?;
            }
            if !self.0.wants_input(out) {
                break;
            }
            if self.0.has_ended(out) {
                continue;
            }
            if self.0.paused_until().is_some() {
                break;
            }
            if round == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            let Poll::Ready(chunk) = self.0.socket.poll_read(cx, raw, decrypted) else { break };
            self.take(&chunk?, raw, decrypted, out);
        }
        let is_full = self.0.socket.unsent() + out.bytes.len() >= MAX_UNSENT;
        self.0.write(cx, &out.bytes, wire, is_full)?;
        self.0.arm(cx, [None, None]);
        Ok(self.0.driver.ending())
    }

    fn take(&mut self, chunk: &Chunk, raw: &[u8], decrypted: &mut Vec<u8>, out: &mut Output) {
        if let Some(exporter) = chunk.secured {
            self.0.driver.handle(Input::TlsStarted { exporter }, out);
        }
        let bytes = self.0.read(chunk, raw, decrypted);
        if !bytes.is_empty() {
            self.0.driver.handle(Input::Bytes(bytes), out);
        }
        decrypted.clear();
    }

    /// `<proceed/>` goes out in the open, everything after it is TLS.
    fn start_tls(&mut self, cx: &mut Context<'_>, out: &mut Output, wire: &mut Vec<u8>) -> io::Result<()> {
        self.0.socket.write(cx, &out.bytes, wire)?;
        out.bytes.clear();
        out.ends.clear();
        self.0.socket.start_tls(&self.0.shared.tls.starttls).map_err(io::Error::other)
    }
}
