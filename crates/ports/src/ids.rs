//! The names of nodes, sessions, log entries and archive rows.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::str::FromStr;

/// A process, in one life of it: a restarted node is not taken for its former self.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct NodeId {
    /// Which node; 0 where there is only one.
    pub name: u64,
    /// Which life of it.
    pub incarnation: u64,
}

/// A session, from resource binding to its end. 128 random bits: it is the resumption id of XEP-0198 too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u128);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    /// Only its beginning: who knows a whole id may try to resume the session.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({:08x}…)", self.0 >> 96)
    }
}

impl FromStr for SessionId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(());
        }
        u128::from_str_radix(text, 16).map(SessionId).map_err(|_| ())
    }
}

/// What is found by a session's id.
pub type BySession<T> = HashMap<SessionId, T, BuildHasherDefault<SessionHasher>>;

/// Hashes a session's id by a few of its bits: they are random, and nobody chooses them.
#[derive(Debug, Default)]
pub struct SessionHasher(u64);

impl Hasher for SessionHasher {
    fn write_u128(&mut self, id: u128) {
        // The last bits choose the shard. Multiplied, all of the others decide about all bits.
        let spread = (id >> 64) * u128::from(0x9e37_79b9_7f4a_7c15_u64);
        self.0 = (spread >> 64) as u64 ^ spread as u64 ^ id as u64;
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
    fn finish(&self) -> u64 {
        self.0
    }
}

/// Which claim of a session: a former owner holds a lower one, and what it still sends has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

/// A life of the store that holds the sessions: it may begin with less than the former one had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Life(pub u64);

impl Life {
    /// Nobody has said which.
    pub const UNKNOWN: Life = Life(0);
}

/// The place of a stanza in a session's outbound log; from 1, never reused. XEP-0198 counts it modulo 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct LogNumber(pub u64);

impl LogNumber {
    /// No entry ever has it. A push under it leaves a gap behind whatever came before, which is all that it says: pull.
    pub const BEHIND: LogNumber = LogNumber(u64::MAX);
}

/// How many stanzas of a session the server has handled: XEP-0198's `h` before it wraps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Handled(pub u64);

/// The id of one archived or spooled message. Of one account they only grow.
///
/// The text is both halves in hexadecimal, of fixed width: it sorts as the ids do, and cannot be guessed (XEP-0313 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArchiveId {
    /// `max(last + 1, clock in microseconds)`.
    pub number: u64,
    /// 64 random bits.
    pub random: u64,
}

impl ArchiveId {
    /// The text, for those that write many.
    pub fn text(self) -> [u8; 32] {
        let both = u128::from(self.number) << 64 | u128::from(self.random);
        let mut text = [0; 32];
        for (at, digit) in text.iter_mut().enumerate() {
            *digit = match (both >> (124 - 4 * at)) as u8 & 15 {
                low @ 0..10 => b'0' + low,
                high => b'a' - 10 + high,
            };
        }
        text
    }
}

impl fmt::Display for ArchiveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl FromStr for ArchiveId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let SessionId(both) = text.parse()?;
        Ok(ArchiveId { number: (both >> 64) as u64, random: both as u64 })
    }
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);
