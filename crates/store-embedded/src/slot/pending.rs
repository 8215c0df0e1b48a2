//! Which messages wait until a device has acknowledged them (rule 16). The first acknowledgement ends it.

use std::collections::BTreeSet;

use starling_ports::ids::ArchiveId;
use starling_ports::position::Position;

/// How many ids are known at once; what waits beyond them is read when they are done.
pub(crate) const KNOWN: usize = 10_000;
/// How many acknowledged ids above the low-water mark are remembered; what is forgotten comes twice.
const REMEMBERED: usize = 10_000;

pub(crate) struct Pending {
    ids: BTreeSet<ArchiveId>,
    /// Above it ids are not known here: they wait unless they are acknowledged.
    beyond: Option<ArchiveId>,
    /// How many were added above `beyond`.
    unknown: usize,
    acknowledged: BTreeSet<ArchiveId>,
    /// The highest id that was pending ever: when nothing waits, all up to it is done.
    top: Option<ArchiveId>,
    low: Option<ArchiveId>,
    changed: bool,
}

impl Pending {
    pub(crate) fn new(
        position: Position,
        last: Option<ArchiveId>,
        waiting: Vec<ArchiveId>,
        more: bool,
    ) -> Pending {
        let beyond = if more { waiting.last().copied() } else { None };
        let acknowledged: BTreeSet<_> = position.acknowledged.into_iter().collect();
        let ids: BTreeSet<_> = waiting.into_iter().filter(|id| !acknowledged.contains(id)).collect();
        let top = last.max(position.low).max(acknowledged.last().copied());
        // Nothing waits: what was searched for it now, such as all that the account has sent, is not searched again.
        let low = if ids.is_empty() && !more { top } else { position.low };
        let changed = low != position.low;
        let unknown = usize::from(more);
        Pending { ids, beyond, unknown, acknowledged, top, low, changed }
    }

    pub(crate) fn add(&mut self, id: ArchiveId) {
        self.top = self.top.max(Some(id));
        if self.beyond.is_none() && self.ids.len() < KNOWN {
            self.ids.insert(id);
            return;
        }
        self.beyond = self.beyond.or(self.ids.last().copied());
        self.unknown += 1;
    }

    pub(crate) fn contains(&self, id: ArchiveId) -> bool {
        self.ids.contains(&id)
            || (self.beyond.is_some_and(|beyond| id > beyond) && !self.acknowledged.contains(&id))
    }

    /// `false` if it did not wait any more.
    pub(crate) fn acknowledge(&mut self, id: ArchiveId) -> bool {
        if !self.contains(id) {
            return false;
        }
        if !self.ids.remove(&id) {
            self.unknown = self.unknown.saturating_sub(1).max(1);
        }
        self.acknowledged.insert(id);
        self.rise();
        self.changed = true;
        true
    }

    /// Where a refill from the store begins, when all that is known is done.
    pub(crate) fn wants_refill(&self) -> Option<ArchiveId> {
        self.beyond.filter(|_| self.ids.is_empty())
    }

    /// What lies in the store above `wants_refill`.
    pub(crate) fn refill(&mut self, waiting: Vec<ArchiveId>, more: bool) {
        self.beyond = if more { waiting.last().copied() } else { None };
        self.unknown = usize::from(more);
        self.ids.extend(waiting.into_iter().filter(|id| !self.acknowledged.contains(id)));
        self.rise();
        self.changed = true;
    }

    /// Everything up to the mark is done.
    fn rise(&mut self) {
        let done = match self.ids.first() {
            Some(ArchiveId { number, .. }) => {
                number.checked_sub(1).map(|number| ArchiveId { number, random: u64::MAX })
            }
            None => self.beyond.or(self.top),
        };
        self.low = self.low.max(done);
        if let Some(low) = self.low {
            while self.acknowledged.first().is_some_and(|id| *id <= low)
                || self.acknowledged.len() > REMEMBERED
            {
                self.acknowledged.pop_first();
            }
        }
    }

    /// How many wait, at least.
    pub(crate) fn len(&self) -> usize {
        self.ids.len() + self.unknown
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number before the first that waits.
    pub(crate) fn before_first(&self) -> u64 {
        let first = self.ids.first().or(self.beyond.as_ref());
        first.or(self.low.as_ref()).map_or(0, |id| id.number.saturating_sub(1))
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn take_changed(&mut self) -> Option<Position> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        Some(Position { low: self.low, acknowledged: self.acknowledged.iter().copied().collect() })
    }
}
