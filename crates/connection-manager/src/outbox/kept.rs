//! What a connection manager keeps of a session's log where its store may forget it (session-log rule 9).

use std::collections::VecDeque;

use bytes::Bytes;
use starling_ports::delivery::Outgoing;
use starling_ports::ids::{ArchiveId, Life, LogNumber};
use starling_ports::position::Position;
use starling_ports::sessions::{Renewed, Standing};

use super::size;

/// How many acknowledged ids are kept until the position is saved: what is forgotten comes twice.
const MAX_DONE: usize = 4096;

/// What a registration says of a log.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) life: Life,
    pub(crate) acknowledged: LogNumber,
    pub(crate) entries: Vec<Outgoing>,
    pub(crate) done: Position,
}

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Written, and not acknowledged by the client.
    written: VecDeque<Outgoing>,
    /// Of these.
    pub(super) bytes: usize,
    /// How many of these, from the oldest on, have their bytes for themselves.
    own: usize,
    pub(super) acknowledged: LogNumber,
    /// Acknowledged since the position was saved, the oldest first.
    done: VecDeque<ArchiveId>,
    /// The same of everything up to it, by whichever device.
    low: Option<ArchiveId>,
    pub(super) life: Life,
    pub(super) is_forgotten: bool,
}

impl Kept {
    /// Of a client that has everything up to `acknowledged`.
    pub(super) fn behind(acknowledged: LogNumber) -> Kept {
        Kept { acknowledged, ..Kept::default() }
    }

    /// The same under another claim.
    pub(super) fn again(self) -> Kept {
        Kept { life: Life::UNKNOWN, is_forgotten: false, ..self }
    }

    pub(super) fn written(&mut self, outgoing: Outgoing) {
        self.bytes += size(&outgoing);
        self.written.push_back(outgoing);
    }

    /// The client has everything up to `upto`. How many bytes that has freed.
    pub(super) fn acknowledge(&mut self, upto: LogNumber) -> usize {
        let before = self.bytes;
        while let Some(first) = self.written.front().filter(|first| first.number <= upto) {
            self.acknowledged = first.number;
            self.done.extend(first.id);
            self.bytes = self.bytes.saturating_sub(size(first));
            self.own = self.own.saturating_sub(1);
            self.written.pop_front();
        }
        self.forget_the_oldest();
        before - self.bytes
    }

    /// The account has acknowledged this before the session came here.
    pub(super) fn learn(&mut self, done: Position) {
        self.low = self.low.max(done.low);
        self.done.extend(done.acknowledged);
        self.forget_the_oldest();
    }

    /// What became of the session's renewal.
    pub(super) fn renewed(&mut self, renewed: &Renewed) {
        self.is_forgotten |= renewed.standing == Standing::Unknown;
        if !self.is_forgotten {
            self.life = renewed.life;
            self.done.retain(|id| renewed.saved.is_none_or(|saved| *id > saved));
            self.low = self.low.filter(|low| renewed.saved.is_none_or(|saved| *low > saved));
        }
    }

    /// What is kept, with what waits behind it.
    pub(super) fn log(&self, waiting: &VecDeque<Outgoing>) -> Log {
        let entries = self.written.iter().chain(waiting).cloned().collect();
        let done = Position { low: self.low, acknowledged: self.done.iter().copied().collect() };
        Log { life: self.life, acknowledged: self.acknowledged, entries, done }
    }

    /// What is kept has its bytes for itself from now on: a small stanza would keep all that came with it otherwise.
    pub(super) fn part_from_others(&mut self) {
        for outgoing in self.written.iter_mut().skip(self.own) {
            outgoing.wire = outgoing.wire.with(&[]);
            outgoing.more = Bytes::copy_from_slice(&outgoing.more);
        }
        self.own = self.written.len();
    }

    fn forget_the_oldest(&mut self) {
        let most = self.done.len().saturating_sub(MAX_DONE);
        self.done.drain(..most);
    }
}
