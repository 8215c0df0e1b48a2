//! Which messages wait until a device has acknowledged them (rule 16). The first acknowledgement ends it.

use starling_ports::Result;
use starling_ports::ids::ArchiveId;
use starling_ports::position::Position;

use crate::Slot;
use crate::save::{In, Out};
use crate::tracked::Tracked;

/// How many ids are known at once; what waits beyond them is read when they are done.
pub(crate) const KNOWN: usize = 10_000;
/// How many acknowledged ids above the low-water mark are remembered; what is forgotten comes twice.
const REMEMBERED: usize = 10_000;

/// A message that waits, and its bytes.
pub type Waiting = (ArchiveId, u32);

/// As they are kept beside an id.
pub(crate) fn counted(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

pub(crate) struct Pending {
    pub(crate) ids: Tracked<ArchiveId, u32>,
    /// Of all that are counted.
    bytes: usize,
    /// Above it ids are not known here: they wait unless they are acknowledged.
    beyond: Option<ArchiveId>,
    /// How many were added above `beyond`.
    unknown: usize,
    pub(crate) acknowledged: Tracked<ArchiveId, ()>,
    /// The highest id that was pending ever: when nothing waits, all up to it is done.
    top: Option<ArchiveId>,
    low: Option<ArchiveId>,
    /// The mark that its store has for certain.
    saved: Option<ArchiveId>,
    /// The mark that was last taken to be saved.
    taken: Option<ArchiveId>,
    changed: bool,
    /// How often it was changed here.
    changes: u64,
}

impl Pending {
    pub(crate) fn new(
        position: Position,
        last: Option<ArchiveId>,
        waiting: Vec<Waiting>,
        more: bool,
    ) -> Pending {
        let beyond = if more { waiting.last().map(|(id, _)| *id) } else { None };
        let (mut ids, mut acknowledged) = (Tracked::default(), Tracked::default());
        acknowledged.extend(position.acknowledged.into_iter().map(|id| (id, ())));
        ids.extend(waiting.into_iter().filter(|(id, _)| !acknowledged.contains_key(id)));
        let bytes = ids.values().map(|bytes| *bytes as usize).sum();
        let top = last.max(position.low).max(acknowledged.keys().next_back().copied());
        // Nothing waits: what was searched for it now, such as all that the account has sent, is not searched again.
        let low = if ids.is_empty() && !more { top } else { position.low };
        let changed = low != position.low;
        let unknown = usize::from(more);
        let saved = position.low;
        Pending {
            ids,
            bytes,
            beyond,
            unknown,
            acknowledged,
            top,
            low,
            saved,
            taken: saved,
            changed,
            changes: 0,
        }
    }

    fn change(&mut self) {
        self.changed = true;
        self.changes += 1;
    }

    pub(crate) fn add(&mut self, id: ArchiveId, bytes: usize) {
        self.top = self.top.max(Some(id));
        self.bytes += bytes;
        if self.beyond.is_none() && self.ids.len() < KNOWN {
            self.ids.insert(id, counted(bytes));
            return;
        }
        self.beyond = self.beyond.or(self.last());
        self.unknown += 1;
    }

    /// The same of one of which nothing was known: its id may lie below others. If it `is_done`, it does not wait.
    pub(crate) fn add_late(&mut self, id: ArchiveId, bytes: usize, is_done: bool) {
        if self.ids.contains_key(&id) || self.beyond.is_some_and(|beyond| id > beyond) {
            return;
        }
        self.ids.insert(id, counted(bytes));
        self.bytes += bytes;
        self.top = self.top.max(Some(id));
        if is_done {
            self.acknowledge(id);
        }
    }

    fn last(&self) -> Option<ArchiveId> {
        self.ids.last_key_value().map(|(id, _)| *id)
    }

    fn first(&self) -> Option<ArchiveId> {
        self.ids.first_key_value().map(|(id, _)| *id)
    }

    pub(crate) fn contains(&self, id: ArchiveId) -> bool {
        self.ids.contains_key(&id) || self.waits_unnamed(id)
    }

    /// Whether it waits only because it is not known to be done.
    pub(crate) fn waits_unnamed(&self, id: ArchiveId) -> bool {
        self.beyond.is_some_and(|beyond| id > beyond) && !self.acknowledged.contains_key(&id)
    }

    /// Above it others may wait than those that are known by name.
    pub(crate) fn unnamed_after(&self) -> Option<ArchiveId> {
        self.beyond
    }

    /// `false` if it did not wait any more.
    pub(crate) fn acknowledge(&mut self, id: ArchiveId) -> bool {
        if !self.contains(id) {
            return false;
        }
        match self.ids.remove(&id) {
            Some(bytes) => self.bytes = self.bytes.saturating_sub(bytes as usize),
            None => self.unknown = self.unknown.saturating_sub(1).max(1),
        }
        self.acknowledged.insert(id, ());
        self.rise();
        self.change();
        true
    }

    /// Where a refill from the store begins, when all that is known is done.
    pub(crate) fn wants_refill(&self) -> Option<ArchiveId> {
        self.beyond.filter(|_| self.ids.is_empty())
    }

    /// What lies in the store above `wants_refill`: of all that was given out up to `last`, or, where there is `more`, up to the last of
    /// these. What came later may not have been stored when they were read.
    pub(crate) fn refill(&mut self, mut waiting: Vec<Waiting>, more: bool, last: u64) {
        let all = ArchiveId { number: last, random: u64::MAX };
        let named = waiting.last().map(|(id, _)| *id).filter(|_| more);
        let end = named.map_or(all, |named| named.min(all));
        waiting.retain(|(id, _)| *id <= end);
        let is_all = named.is_none() && self.top.is_none_or(|top| top <= end);
        self.beyond = (!is_all).then_some(end);
        self.unknown = usize::from(self.beyond.is_some());
        let fresh = waiting.into_iter().filter(|(id, _)| !self.acknowledged.contains_key(id));
        self.ids.extend(fresh);
        self.bytes = self.ids.values().map(|bytes| *bytes as usize).sum();
        self.rise();
        self.change();
    }

    /// The store knows more than is known here, or less: what either takes for acknowledged is.
    pub(crate) fn verify(
        &mut self,
        position: Position,
        last: Option<ArchiveId>,
        waiting: Vec<Waiting>,
        more: bool,
    ) {
        self.low = self.low.max(position.low);
        self.saved = position.low;
        self.acknowledged.extend(position.acknowledged.into_iter().map(|id| (id, ())));
        let (low, read) = (self.low, waiting.last().map(|(id, _)| *id));
        // What was read may end below what is known to be done: that is not read again.
        let end = read.max(low).filter(|_| more);
        let waits = |(id, _): &Waiting| Some(*id) > low && !self.acknowledged.contains_key(id);
        let fresh: Vec<_> = waiting.into_iter().filter(waits).collect();
        self.ids.extend(fresh);
        // A record that came back older takes for waiting what was done since; nodes have forgotten that it was, since it is saved.
        let done = |id: &ArchiveId| Some(*id) <= low || self.acknowledged.contains_key(id);
        self.ids.retain(|id, _| !done(id) && end.is_none_or(|end| *id <= end));
        (self.beyond, self.unknown) = (end, usize::from(more));
        self.top = self.top.max(last);
        self.bytes = self.ids.values().map(|bytes| *bytes as usize).sum();
        self.rise();
        self.change();
    }

    /// Everything up to the mark is done.
    fn rise(&mut self) {
        let done = match self.first() {
            Some(ArchiveId { number, .. }) => {
                number.checked_sub(1).map(|number| ArchiveId { number, random: u64::MAX })
            }
            None => self.beyond.or(self.top),
        };
        self.low = self.low.max(done);
        if let Some(low) = self.low {
            while self.acknowledged.first_key_value().is_some_and(|(id, ())| *id <= low)
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

    /// How many bytes they take, at least.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything up to here is done.
    pub(crate) fn low(&self) -> Option<ArchiveId> {
        self.low
    }

    /// The number before the first that waits.
    pub(crate) fn before_first(&self) -> u64 {
        self.first().or(self.beyond).or(self.low).map_or(0, |id| id.number.saturating_sub(1))
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed
    }

    pub(crate) fn take_changed(&mut self) -> Option<Position> {
        // What was taken before has been saved by now.
        self.saved = std::mem::replace(&mut self.taken, self.low);
        std::mem::take(&mut self.changed).then(|| self.position())
    }

    pub(crate) fn position(&self) -> Position {
        Position { low: self.low, acknowledged: self.acknowledged.keys().copied().collect() }
    }

    /// What would be forgotten of it with this slot.
    pub(crate) fn unsaved(&self) -> Position {
        if self.changed { self.position() } else { Position::default() }
    }

    /// Somebody knows that this was acknowledged.
    pub(crate) fn learn(&mut self, done: &Position) {
        if done.low > self.low {
            self.ids.retain(|id, _| Some(*id) > done.low);
            self.bytes = self.ids.values().map(|bytes| *bytes as usize).sum();
            self.beyond = self.beyond.map(|beyond| done.low.map_or(beyond, |low| beyond.max(low)));
            self.low = done.low;
            self.change();
            self.rise();
        }
        for id in &done.acknowledged {
            self.acknowledge(*id);
        }
    }

    /// Up to here nothing that was acknowledged is forgotten.
    pub(crate) fn saved_up_to(&self) -> Option<ArchiveId> {
        if self.changed { self.saved } else { self.low }
    }

    pub(crate) fn saved(&mut self, position: &Position) {
        self.saved = self.saved.max(position.low);
        if self.changed && self.position() == *position {
            self.changed = false;
        }
    }

    /// What is not in `ids` and `acknowledged`.
    pub(crate) fn write(&self, out: &mut Out) {
        out.option(self.beyond, Out::id);
        out.number(self.unknown as u64);
        out.option(self.top, Out::id);
        out.option(self.low, Out::id);
        out.option(self.saved, Out::id);
        out.bool(self.changed);
    }

    /// As it was saved.
    pub(crate) fn read(
        value: &mut In<'_>,
        waiting: Vec<Waiting>,
        done: Vec<(ArchiveId, ())>,
    ) -> Result<Pending> {
        let (mut ids, mut acknowledged) = (Tracked::default(), Tracked::default());
        let bytes = waiting.iter().map(|(_, bytes)| *bytes as usize).sum();
        ids.extend(waiting);
        acknowledged.extend(done);
        let (beyond, unknown) = (value.option(In::id)?, value.size()?);
        let (top, low) = (value.option(In::id)?, value.option(In::id)?);
        let (saved, changed) = (value.option(In::id)?, value.bool()?);
        let taken = saved;
        Ok(Pending { ids, bytes, beyond, unknown, acknowledged, top, low, saved, taken, changed, changes: 0 })
    }
}

impl Slot {
    /// How often what waits was changed here, for whoever asks whether a step has.
    pub fn changes(&self) -> u64 {
        self.pending.changes
    }

    /// Up to here the position is saved. It rises whenever somebody saves it.
    pub fn saved_mark(&self) -> Option<ArchiveId> {
        self.pending.saved
    }
}
