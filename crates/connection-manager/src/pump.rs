//! What every client with a socket of its own has: a stop, a timer, the rate of its bytes, and what it leaves unread.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use starling_stream::{Input, Output};
use tokio::time::Sleep;
use tokio_util::sync::WaitForCancellationFuture;

use crate::driver::Driver;
use crate::rate::{Bucket, Rate};
use crate::scratch::{Pool, Scratch};
use crate::shared::Shared;
use crate::socket::{Chunk, Socket};
use crate::vigil::Vigil;

/// What waits for a client that does not read; then nothing more is taken from its log, nor read from it.
pub(crate) const MAX_UNSENT: usize = 64 * 1024;
/// Reads of one turn: after them others have their turn.
pub(crate) const MAX_READS: usize = 8;

/// Moves bytes between a socket and a driver; what they are framed in is not its business.
pub(crate) struct Pump<'a, 's> {
    pub(crate) shared: &'a Shared,
    pub(crate) driver: Driver<'a>,
    pub(crate) socket: Socket,
    pub(crate) is_stopping: bool,
    pub(crate) is_eof: bool,
    has_ended: bool, // the client has said all, and some of it may not be read yet
    bytes: Bucket,
    sleep: Pin<&'a mut Sleep>,
    armed: Option<Duration>,
    vigil: Vigil,
    stop: Pin<&'a mut WaitForCancellationFuture<'s>>,
}

impl<'a, 's> Pump<'a, 's> {
    pub(crate) fn new(
        shared: &'a Shared,
        driver: Driver<'a>,
        socket: Socket,
        sleep: Pin<&'a mut Sleep>,
        stop: Pin<&'a mut WaitForCancellationFuture<'s>>,
    ) -> Pump<'a, 's> {
        Pump {
            shared,
            driver,
            socket,
            is_stopping: false,
            is_eof: false,
            has_ended: false,
            bytes: Bucket::new(shared.byte_rate()),
            sleep,
            armed: None,
            vigil: Vigil::default(),
            stop,
        }
    }

    /// What is due before anything is read: the stop, and what the timer was set for. Whether it has fired.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>, out: &mut Output) -> io::Result<bool> {
        if !self.is_stopping && self.stop.as_mut().poll(cx).is_ready() {
            self.is_stopping = true;
            self.driver.handle(Input::Drain, out);
        }
        if self.armed.is_none() || self.sleep.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        self.armed = None;
        self.socket.watch(&mut self.vigil, self.shared, self.driver.now())?;
        self.driver.prove(|| self.socket.has_reached(), out);
        self.driver.handle(Input::Tick, out);
        Ok(true)
    }

    /// How much may still be taken from the log.
    pub(crate) fn room(&self) -> usize {
        MAX_UNSENT.saturating_sub(self.socket.unsent())
    }

    /// Whether what comes now is wanted; how fast it may come is another question.
    pub(crate) fn wants_input(&self, out: &Output) -> bool {
        !self.is_eof
            && self.driver.ending().is_none()
            && (self.driver.wants_input() || self.socket.is_handshaking())
            && self.socket.unsent() + out.bytes.len() < MAX_UNSENT
    }

    /// Until when nothing is to be read because it came too fast.
    pub(crate) fn paused_until(&self) -> Option<Duration> {
        let now = self.driver.now();
        self.bytes.paused_until(self.shared.byte_rate(), now).max(self.driver.paused_until(now))
    }

    /// What the client sent with this chunk.
    pub(crate) fn read<'b>(&mut self, chunk: &Chunk, raw: &'b [u8], decrypted: &'b [u8]) -> &'b [u8] {
        let bytes = match chunk.plain {
            Some(length) => raw.get(..length).unwrap_or_default(),
            None => decrypted,
        };
        self.has_ended |= chunk.eof;
        if !bytes.is_empty() {
            self.vigil.heard();
            self.bytes.take(self.shared.byte_rate(), self.driver.now(), bytes.len());
        }
        bytes
    }

    /// Where all is read that the client has said before it closed its side: that is the end.
    pub(crate) fn has_ended(&mut self, out: &mut Output) -> bool {
        if self.has_ended {
            self.end_of_input(out);
        }
        self.has_ended
    }

    /// Nothing more will come.
    pub(crate) fn end_of_input(&mut self, out: &mut Output) {
        self.is_eof = true;
        self.driver.handle(Input::Eof, out);
    }

    /// The end of a turn: `bytes` go out in one piece; `is_full` says whether there was too much for another.
    pub(crate) fn write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        wire: &mut Vec<u8>,
        is_full: bool,
    ) -> io::Result<()> {
        if !bytes.is_empty() {
            self.vigil.wrote(self.driver.now());
        }
        self.socket.write(cx, bytes, wire)?;
        if is_full && self.socket.unsent() < MAX_UNSENT {
            cx.waker().wake_by_ref(); // there is room again, and nobody else would say so
        }
        Ok(())
    }

    /// Sets the timer if the next deadline comes before it; one that fires too early costs less than one set each time.
    pub(crate) fn arm(&mut self, cx: &mut Context<'_>, others: [Option<Duration>; 2]) {
        let look_at = self.vigil.look_at(self.shared.limits.dead_after);
        let dues = [self.driver.deadline(), self.driver.prove_at(), self.paused_until(), look_at];
        let Some(due) = dues.into_iter().chain(others).flatten().min() else { return };
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

/// One turn, with buffers that are lent for it.
pub(crate) fn turn<T>(
    pool: &Pool,
    turn: impl FnOnce(&mut Scratch) -> io::Result<Option<T>>,
) -> Poll<io::Result<T>> {
    let mut scratch = pool.take();
    let done = turn(&mut scratch);
    pool.give(scratch);
    done.transpose().map_or(Poll::Pending, Poll::Ready)
}

impl Shared {
    pub(crate) fn byte_rate(&self) -> Rate {
        Rate { per_second: self.limits.bytes_per_second, at_once: self.limits.bytes_at_once }
    }
}
