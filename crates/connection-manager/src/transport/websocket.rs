//! RFC 7395 XMPP over WebSocket: a connection whose elements come in frames, one each.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use starling_stream::{Ending, Input, Output, Settings, StreamCondition};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::frame::{self, Decoder, FrameError, Message, code};
use crate::conn;
use crate::driver::Driver;
use crate::pump::{self, MAX_READS, MAX_UNSENT, Pump};
use crate::rate::{Bucket, Rate};
use crate::room::Place;
use crate::scratch::Scratch;
use crate::shared::Shared;
use crate::socket::{Chunk, Socket};

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
    let (sleep, stopped) = (pin!(sleep_until(Instant::now())), pin!(stop.cancelled()));
    let driver = Driver::new(&shared, &held, start.settings, start.peer, Some(start.place));
    let mut websocket = WebSocket {
        pump: Pump::new(&shared, driver, start.socket, sleep, stopped),
        exporter: start.exporter,
        decoder: Decoder::default(),
        unread: start.read,
        pong: None,
        pings: Bucket::new(PINGS),
        partial_since: None,
        failed: None,
    };
    let ended = (&mut websocket).await;
    Box::pin(conn::end(&mut websocket.pump.driver, &mut websocket.pump.socket, ended)).await;
}

struct WebSocket<'a, 's> {
    pump: Pump<'a, 's>,
    exporter: Option<[u8; 32]>,
    decoder: Decoder,
    unread: Vec<u8>, // came, but the machine wants nothing yet
    pong: Option<Vec<u8>>,
    pings: Bucket,
    partial_since: Option<Duration>,
    failed: Option<u16>, // the status code if the client broke RFC 6455
}

impl Future for WebSocket<'_, '_> {
    type Output = io::Result<Ending>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Ending>> {
        pump::turn(&self.pump.shared.pool, |scratch| self.turn(cx, scratch))
    }
}

impl WebSocket<'_, '_> {
    /// Everything that can be done now; what is written goes out at its end, in one piece.
    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<Option<Ending>> {
        let Scratch { raw, decrypted, out, wire, frames } = scratch;
        self.begin(cx, out)?;
        self.pump.driver.turn_away(out);
        for round in 0.. {
            self.pump.driver.turn(cx, self.pump.room(), out);
            if !self.pump.wants_input(out) {
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
            if self.pump.has_ended(out) {
                continue;
            }
            if self.pump.paused_until().max(self.pings_paused_until()).is_some() {
                break;
            }
            let Poll::Ready(chunk) = self.pump.socket.poll_read(cx, raw, decrypted) else { break };
            self.take(&chunk?, raw, decrypted, out);
        }
        let ending = self.pump.driver.ending();
        let is_full = self.pump.socket.unsent() + out.bytes.len() >= MAX_UNSENT;
        self.frame(out, frames, ending.is_some());
        self.pump.write(cx, frames, wire, is_full)?;
        self.pump.arm(cx, [self.partial_deadline(), self.pings_paused_until()]);
        // Whoever broke the rules, or is told to come back, is given time to read the status code.
        Ok(ending.map(|ending| Ending { linger: ending.linger || self.failed.is_some(), ..ending }))
    }

    /// What is due before anything is read.
    fn begin(&mut self, cx: &mut Context<'_>, out: &mut Output) -> io::Result<()> {
        if let Some(exporter) = self.exporter.take() {
            self.pump.driver.handle(Input::TlsStarted { exporter: Some(exporter) }, out);
        }
        if self.pump.begin(cx, out)?
            && self.partial_deadline().is_some_and(|due| due <= self.pump.driver.now())
        {
            let late = Input::Violation(StreamCondition::ConnectionTimeout, "an element took too long");
            self.pump.driver.handle(late, out);
        }
        Ok(())
    }

    fn pings_paused_until(&self) -> Option<Duration> {
        self.pings.paused_until(PINGS, self.pump.driver.now())
    }

    fn take(&mut self, chunk: &Chunk, raw: &[u8], decrypted: &mut Vec<u8>, out: &mut Output) {
        let bytes = self.pump.read(chunk, raw, decrypted);
        if !bytes.is_empty() {
            self.decode(bytes, out);
        }
        decrypted.clear();
    }

    /// Hands on whole messages while they are wanted; the rest is kept.
    fn decode(&mut self, mut bytes: &[u8], out: &mut Output) {
        while !self.pump.is_eof && self.pump.driver.ending().is_none() {
            if !self.pump.driver.wants_input() {
                self.unread = bytes.to_vec();
                return;
            }
            match self.decoder.next(&mut bytes, self.pump.driver.max_bytes()) {
                Ok(Some(message)) => self.message(message, out),
                Ok(None) => break,
                Err(error) => self.refuse(error, out),
            }
        }
        let now = self.pump.driver.now();
        self.partial_since = self.decoder.has_partial().then(|| self.partial_since.unwrap_or(now));
    }

    fn message(&mut self, message: Message, out: &mut Output) {
        self.partial_since = None;
        match message {
            Message::Text(text) => self.pump.driver.handle(Input::Document(&text), out),
            Message::Ping(payload) => {
                self.pings.take(PINGS, self.pump.driver.now(), 1);
                self.pong = Some(payload); // RFC 6455 §5.5.3: the latest is enough
            }
            Message::Pong => self.pings.take(PINGS, self.pump.driver.now(), 1),
            Message::Close(status) => {
                self.failed = Some(status.unwrap_or(code::NORMAL));
                self.pump.end_of_input(out);
            }
        }
    }

    /// A message that is too big is an offence against XMPP's limits, the rest against RFC 6455.
    fn refuse(&mut self, error: FrameError, out: &mut Output) {
        debug!(%error, "a WebSocket client broke the rules");
        self.failed = Some(error.code());
        if error == FrameError::TooBig {
            self.pump
                .driver
                .handle(Input::Violation(StreamCondition::PolicyViolation, "the stanza is too big"), out);
        }
        self.pump.end_of_input(out);
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
            let usual = if self.pump.is_stopping { code::GOING_AWAY } else { code::NORMAL };
            frame::write_close(frames, self.failed.unwrap_or(usual));
        }
    }

    fn partial_deadline(&self) -> Option<Duration> {
        let within = self.pump.shared.limits.stanza_within;
        self.partial_since.filter(|_| !within.is_zero()).map(|since| since + within)
    }
}
