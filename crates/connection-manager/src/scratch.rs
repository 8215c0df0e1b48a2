//! Buffers that connections lend each other: an idle one holds none.

use parking_lot::Mutex;
use starling_stream::Output;

/// How much is read from a socket at once.
const READ_BYTES: usize = 16 * 1024;
/// What a buffer may have grown to and is still kept.
const KEPT_BYTES: usize = 256 * 1024;
/// More than this many connections are hardly ever at work at once: one for each worker thread.
const KEPT_BUFFERS: usize = 16;

/// What one turn of one connection needs.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// As it came from the socket; always `READ_BYTES` long.
    pub(crate) raw: Vec<u8>,
    /// The same after TLS.
    pub(crate) decrypted: Vec<u8>,
    /// What the machine writes.
    pub(crate) out: Output,
    /// The same on its way to the socket.
    pub(crate) wire: Vec<u8>,
    /// What the machine writes, in the frames of a WebSocket.
    pub(crate) frames: Vec<u8>,
}

/// Where buffers wait.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "they change hands at every turn: one word is moved instead of a dozen")]
pub(crate) struct Pool(Mutex<Vec<Box<Scratch>>>);

impl Pool {
    pub(crate) fn take(&self) -> Box<Scratch> {
        self.0
            .lock()
            .pop()
            .unwrap_or_else(|| Box::new(Scratch { raw: vec![0; READ_BYTES], ..Scratch::default() }))
    }

    pub(crate) fn give(&self, mut scratch: Box<Scratch>) {
        let Scratch { raw: _, decrypted, out, wire, frames } = &mut *scratch;
        out.effects.clear();
        out.ends.clear();
        for buffer in [decrypted, &mut out.bytes, wire, frames] {
            buffer.clear();
            buffer.shrink_to(KEPT_BYTES);
        }
        let mut kept = self.0.lock();
        if kept.len() < KEPT_BUFFERS {
            kept.push(scratch);
        }
    }
}
