//! RFC 7395 XMPP over WebSocket: a connection whose elements come in frames, one each.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use starling_stream::{Ending, Input, Output, Settings, StreamCondition};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tracing::debug;

use super::frame::{self, Decoder, FrameError, Message, code};
use crate::conn::{self, MAX_READS, MAX_UNSENT};
use crate::driver::Driver;
use crate::rate::{Bucket, Rate};
use crate::room::Place;
use crate::scratch::Scratch;
use crate::shared::Shared;
use crate::socket::{Chunk, Socket};
use crate::vigil::Vigil;

/// Pings of a client: nobody needs more, and each one costs an answer.
const PINGS: Rate = Rate { per_second: 10, at_once: 100 };

/// What a WebSocket begins with: a socket on which the handshake has been answered.
pub(crate) struct Start {
    pub(crate) socket: Socket,
    pub(crate) peer: IpAddr,
    pub(crate) place: Place,
    pub(crate) settings: Arc<Settings>,
    /// Where TLS ended here: what a login can be bound to.
    pub(crate) exporter: Option<[u8; 32]>,
    /// Bytes that came behind the handshake.
    pub(crate) read: Vec<u8>,
}

/// Serves one client until its connection ends.
pub(crate) async fn serve(shared: Arc<Shared>, start: Start, stop: CancellationToken) {
    let held = OnceLock::new();
    let mut websocket = WebSocket {
        driver: Driver::new(&shared, &held, start.settings, start.peer, Some(start.place)),
        shared: &shared,
        socket: start.socket,
        exporter: start.exporter,
        decoder: Decoder::default(),
        unread: start.read,
        pong: None,
        bytes: Bucket::new(shared.byte_rate()),
        pings: Bucket::new(PINGS),
        partial_since: None,
        sleep: pin!(sleep_until(Instant::now())),
        armed: None,
        vigil: Vigil::default(),
        stop: pin!(stop.cancelled()),
        is_stopping: false,
        is_eof: false,
        failed: None,
    };
    let ended = (&mut websocket).await;
    Box::pin(conn::end(&mut websocket.driver, &mut websocket.socket, ended)).await;
}

struct WebSocket<'a, 's> {
    driver: Driver<'a>,
    shared: &'a Shared,
    socket: Socket,
    exporter: Option<[u8; 32]>,
    decoder: Decoder,
    unread: Vec<u8>, // came, but the machine wants nothing yet
    pong: Option<Vec<u8>>,
    bytes: Bucket,
    pings: Bucket,
    partial_since: Option<Duration>,
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Duration>,
    vigil: Vigil,
    stop: Pin<&'a mut WaitForCancellationFuture<'s>>,
    is_stopping: bool,
    is_eof: bool,
    failed: Option<u16>, // the status code if the client broke RFC 6455
}

impl Future for WebSocket<'_, '_> {
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

impl WebSocket<'_, '_> {
    /// Everything that can be done now; what is written goes out at its end, in one piece.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Option<Ending>> {
        let Scratch { raw, decrypted, out, wire, frames } = scratch;
        self.begin(cx, out)?;
        self.driver.turn_away(out);
        for round in 0.. {
            let room = MAX_UNSENT.saturating_sub(self.socket.unsent());
            self.driver.turn(cx, room, out);
            if !self.may_read(out) {
                break;
            }
            if round == MAX_READS {
                cx.waker().wake_by_ref();
                break;
            }
            if !self.unread.is_empty() {
                let unread = std::mem::take(&mut self.unread);
                self.decode(&unread, out);
                continue;
            }
            if self.paused_until(self.driver.now()).is_some() {
                break;
            }
            let Poll::Ready(chunk) = self.socket.poll_read(cx, raw, decrypted) else { break };
            self.take(chunk?, raw, decrypted, out);
        }
        let ending = self.driver.ending();
        let is_full = self.socket.unsent() + out.bytes.len() >= MAX_UNSENT;
        self.frame(out, frames, ending.is_some());
        if !frames.is_empty() {
            self.vigil.wrote(self.driver.now());
        }
        self.socket.write(cx, frames, wire)?;
        if is_full && self.socket.unsent() < MAX_UNSENT {
            cx.waker().wake_by_ref(); // there is room again, and nobody else would say so
        }
        self.arm(cx);
        // Whoever broke the rules, or is told to come back, is given time to read the status code.
        Ok(ending.map(|ending| Ending { linger: ending.linger || self.failed.is_some(), ..ending }))
    }

    /// What is due before anything is read.
    fn begin(&mut self, cx: &mut Context<'_>, out: &mut Output) -> io::Result<()> {
        if let Some(exporter) = self.exporter.take() {
            self.driver.handle(Input::TlsStarted { exporter: Some(exporter) }, out);
        }
        if !self.is_stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            self.driver.handle(Input::Drain, out);
        }
        if self.armed.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            self.armed = None;
            self.socket.watch(&mut self.vigil, self.shared, self.driver.now())?;
            self.driver.prove(|| self.socket.has_reached(&self.shared.stalls), out);
            self.driver.handle(Input::Tick, out);
            if self.partial_deadline().is_some_and(|due| due <= self.driver.now()) {
                let late = Input::Violation(StreamCondition::ConnectionTimeout, "an element took too long");
                self.driver.handle(late, out);
            }
        }
        Ok(())
    }

    fn may_read(&self, out: &Output) -> bool {
        !self.is_eof
            && self.driver.ending().is_none()
            && self.driver.wants_input()
            && self.socket.unsent() + out.bytes.len() < MAX_UNSENT
    }

    fn paused_until(&self, now: Duration) -> Option<Duration> {
        self.bytes
            .paused_until(self.shared.byte_rate(), now)
            .max(self.pings.paused_until(PINGS, now))
            .max(self.driver.paused_until(now))
    }

    fn take(&mut self, chunk: Chunk, raw: &[u8], decrypted: &mut Vec<u8>, out: &mut Output) {
        let bytes = match chunk.plain {
            Some(length) => raw.get(..length).unwrap_or_default(),
            None => decrypted.as_slice(),
        };
        if !bytes.is_empty() {
            self.vigil.heard();
            self.bytes.take(self.shared.byte_rate(), self.driver.now(), bytes.len());
            self.decode(bytes, out);
        }
        decrypted.clear();
        if chunk.eof {
            self.end_of_input(out);
        }
    }

    /// Hands on whole messages while they are wanted; the rest is kept.
    fn decode(&mut self, mut bytes: &[u8], out: &mut Output) {
        while !self.is_eof && self.driver.ending().is_none() {
            if !self.driver.wants_input() {
                self.unread = bytes.to_vec();
                return;
            }
            match self.decoder.next(&mut bytes, self.driver.max_bytes()) {
                Ok(Some(message)) => self.message(message, out),
                Ok(None) => break,
                Err(error) => self.refuse(error, out),
            }
        }
        let now = self.driver.now();
        self.partial_since = self.decoder.has_partial().then(|| self.partial_since.unwrap_or(now));
    }

    fn message(&mut self, message: Message, out: &mut Output) {
        self.partial_since = None;
        match message {
            Message::Text(text) => self.driver.handle(Input::Document(&text), out),
            Message::Ping(payload) => {
                self.pings.take(PINGS, self.driver.now(), 1);
                self.pong = Some(payload); // RFC 6455 §5.5.3: the latest is enough
            }
            Message::Pong => self.pings.take(PINGS, self.driver.now(), 1),
            Message::Close(status) => {
                self.failed = Some(status.unwrap_or(code::NORMAL));
                self.end_of_input(out);
            }
        }
    }

    /// A message that is too big is an offence against XMPP's limits, the rest against RFC 6455.
    fn refuse(&mut self, error: FrameError, out: &mut Output) {
        debug!(%error, "a WebSocket client broke the rules");
        self.failed = Some(error.code());
        if error == FrameError::TooBig {
            self.driver.handle(Input::Violation(StreamCondition::PolicyViolation, "stanza"), out);
        }
        self.end_of_input(out);
    }

    fn end_of_input(&mut self, out: &mut Output) {
        self.is_eof = true;
        self.driver.handle(Input::Eof, out);
    }

    /// One frame for each element (RFC 7395 §3.3), and the close frame behind the last.
    fn frame(&mut self, out: &mut Output, frames: &mut Vec<u8>, is_over: bool) {
        let mut start = 0;
        for end in out.ends.drain(..) {
            frame::write_text(frames, out.bytes.get(start..end).unwrap_or_default());
            start = end;
        }
        if let Some(payload) = self.pong.take() {
            frame::write_pong(frames, &payload);
        }
        if is_over {
            let usual = if self.is_stopping { code::GOING_AWAY } else { code::NORMAL };
            frame::write_close(frames, self.failed.unwrap_or(usual));
        }
    }

    fn partial_deadline(&self) -> Option<Duration> {
        let within = self.shared.limits.stanza_within;
        self.partial_since.filter(|_| !within.is_zero()).map(|since| since + within)
    }

    /// Sets the timer if the next deadline comes before it.
    fn arm(&mut self, cx: &mut Context<'_>) {
        let look_at = self.vigil.look_at(self.shared.limits.dead_after);
        let now = self.driver.now();
        let prove_at = self.driver.prove_at();
        let dues =
            [self.driver.deadline(), prove_at, self.paused_until(now), self.partial_deadline(), look_at];
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
