//! What the link bounds, and by how much: the same at both ends.

use std::time::Duration;

/// The largest message that is read; a bigger one ends the link.
pub(crate) const MESSAGE_BYTES: usize = 32 * 1024 * 1024;
/// The largest frame that is sent: a stanza above it is refused here, or it would be sent again for ever.
pub(crate) const FRAME_BYTES: usize = 16 * 1024 * 1024;
/// A batch is sent when it has so many bytes, or so many frames, or when nothing more waits.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;
pub(crate) const BATCH_FRAMES: usize = 256;
/// So many frames of one batch are read, and so many sessions of one renewal; more ends the link.
pub(crate) const MOST_FRAMES: usize = 1024;
pub(crate) const MOST_RENEWALS: usize = 1024;
/// What waits for one link, in frames and in KiB; then whoever would send more waits, or is told that it is full.
pub(crate) const QUEUE_FRAMES: usize = 4096;
pub(crate) const QUEUE_KIB: usize = 8 * 1024;
/// Calls of one link that a manager makes at once, renewals left aside: whoever would make one more waits.
pub(crate) const CALLS: usize = 4096;
/// So many more a router handles at once, before it reads no further: renewals never wait behind what waits for a store.
pub(crate) const RENEWALS: usize = 64;
/// Flow control of HTTP/2, for one stream and for a connection.
pub(crate) const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
pub(crate) const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;

/// How often a quiet link is asked whether it lives, and how long the answer may take.
pub(crate) const KEEPALIVE: Duration = Duration::from_secs(5);
/// How long the first message may take.
pub(crate) const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// How long a call may take that reached a router. It is not repeated then: whoever made it gives up.
pub(crate) const CALL_WITHIN: Duration = Duration::from_secs(60);
/// How long no router may be there.
pub(crate) const ROUTER_WITHIN: Duration = Duration::from_secs(60);
/// How long a node's former link may take to finish before its new one begins.
pub(crate) const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// How long a manager that stops waits until a router has ended its link.
pub(crate) const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// How long a manager goes on hearing a router that leaves, and the router its managers, until everything is answered.
pub(crate) const LEAVE_WITHIN: Duration = Duration::from_secs(10);
