//! What was committed before (rules 3 and 4): a retry is answered, not done again.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use starling_ports::archive::Direction;
use starling_ports::ids::{ArchiveId, SessionId, Timestamp};
use starling_ports::sessions::{Role, SenderKey};

use crate::broken::Promise;
use crate::log::Stanza;

/// How many stanzas of one sender are remembered at most: more are never unanswered at once.
const NUMBERS: usize = 4096;
/// How long an origin-id is remembered.
pub const ORIGIN_FOR: Duration = Duration::from_secs(600);
/// How many origin-ids are remembered.
pub const ORIGINS: usize = 2000;

/// What others' slots know of a session that sends: how far its stanzas are handled. Those are never sent again.
#[derive(Debug, Default)]
pub struct Sender {
    handled: AtomicU64,
    epoch: AtomicU64,
    ended: AtomicBool,
}

impl Sender {
    /// At its beginning.
    pub fn new(handled: u64, epoch: u64) -> Sender {
        Sender { handled: handled.into(), epoch: epoch.into(), ended: false.into() }
    }
    /// It never falls.
    pub fn handle(&self, handled: u64) {
        self.handled.fetch_max(handled, Ordering::AcqRel);
    }
    /// How far it is handled.
    pub fn handled(&self) -> u64 {
        self.handled.load(Ordering::Acquire)
    }
    /// Under a new epoch.
    pub fn claim(&self, epoch: u64) {
        self.epoch.fetch_max(epoch, Ordering::AcqRel);
    }
    /// It is over.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

struct Record {
    number: u64,
    epoch: u64,
    hash: u64,
    role: Role,
    id: Option<ArchiveId>,
    stanza: Weak<Stanza>,
}

struct Stream {
    sender: Option<Arc<Sender>>,
    records: VecDeque<Record>,
}

/// What a look into the past has found.
pub(crate) enum Past {
    /// Nothing: do it.
    New,
    /// It was done.
    Done(Option<ArchiveId>, Option<Arc<Stanza>>),
    /// It comes from a former owner of the session, contradicts what was done under this epoch, or is handled already:
    /// nothing is written.
    Fenced,
}

#[derive(Default)]
pub(crate) struct Seen {
    streams: HashMap<SessionId, Stream>,
    origins: HashMap<(u128, u8), (ArchiveId, Timestamp)>,
    order: VecDeque<(u128, u8, ArchiveId, Timestamp)>,
}

fn side(direction: Direction) -> u8 {
    u8::from(direction == Direction::Sent)
}

impl Seen {
    /// What became of the stanza `key` whose content has the digest `hash`.
    pub(crate) fn look(
        &mut self,
        key: &SenderKey,
        hash: u64,
        sender: impl FnOnce() -> Option<Arc<Sender>>,
    ) -> Past {
        if Promise::DoOnce.is_broken() {
            return Past::New;
        }
        let stream = self
            .streams
            .entry(key.session)
            .or_insert_with(|| Stream { sender: sender(), records: VecDeque::new() });
        if let Some(sender) = &stream.sender {
            if key.epoch.0 < sender.epoch.load(Ordering::Acquire) {
                return Past::Fenced;
            }
            let handled = sender.handled();
            if key.number <= handled {
                return Past::Fenced; // all of it was done: this is a late call of a router that was given up
            }
            while stream.records.front().is_some_and(|record| record.number <= handled) {
                stream.records.pop_front();
            }
        }
        let same = |record: &&Record| record.number == key.number && record.role == key.role;
        let Some(record) = stream.records.iter().rev().find(same) else { return Past::New };
        if record.hash == hash {
            return Past::Done(record.id, record.stanza.upgrade());
        }
        if key.epoch.0 > record.epoch { Past::New } else { Past::Fenced }
    }

    pub(crate) fn remember(
        &mut self,
        key: &SenderKey,
        hash: u64,
        id: Option<ArchiveId>,
        stanza: &Arc<Stanza>,
    ) {
        let stream = self
            .streams
            .entry(key.session)
            .or_insert_with(|| Stream { sender: None, records: VecDeque::new() });
        stream.records.retain(|record| record.number != key.number || record.role != key.role);
        let (number, epoch, role, stanza) = (key.number, key.epoch.0, key.role, Arc::downgrade(stanza));
        stream.records.push_back(Record { number, epoch, hash, role, id, stanza });
        if stream.records.len() > NUMBERS {
            stream.records.pop_front();
        }
    }

    pub(crate) fn origin(&mut self, digest: u128, direction: Direction, now: Timestamp) -> Option<ArchiveId> {
        while self.order.front().is_some_and(|(.., at)| now.since(*at) > ORIGIN_FOR)
            || self.order.len() > ORIGINS
        {
            let Some((digest, side, id, _)) = self.order.pop_front() else { break };
            if self.origins.get(&(digest, side)).is_some_and(|(known, _)| *known == id) {
                self.origins.remove(&(digest, side));
            }
        }
        let known = self.origins.get(&(digest, side(direction))).map(|(id, _)| *id);
        known.filter(|_| !Promise::DoOnce.is_broken())
    }

    pub(crate) fn remember_origin(
        &mut self,
        digest: u128,
        direction: Direction,
        id: ArchiveId,
        at: Timestamp,
    ) {
        self.origins.insert((digest, side(direction)), (id, at));
        self.order.push_back((digest, side(direction), id, at));
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self, session: SessionId) -> usize {
        self.streams.get(&session).map_or(0, |stream| stream.records.len())
    }

    /// Sessions that are over send nothing again.
    pub(crate) fn forget_ended(&mut self) {
        let alive = |stream: &Stream| {
            stream.sender.as_ref().is_some_and(|sender| !sender.ended.load(Ordering::Acquire))
        };
        self.streams.retain(|_, stream| alive(stream));
    }
}
