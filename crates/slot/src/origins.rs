//! Origin-ids of what was committed (rule 4): whoever sends it again after a lost session is answered by what it became.

use std::collections::VecDeque;
use std::time::Duration;

use starling_ports::archive::Direction;
use starling_ports::ids::{ArchiveId, Timestamp};

use crate::broken::Promise;
use crate::tracked::Tracked;

/// How long an origin-id is remembered.
pub const ORIGIN_FOR: Duration = Duration::from_secs(600);
/// How many origin-ids are remembered, of those that one router knows.
pub const ORIGINS: usize = 2000;

/// Digest of an origin-id, and on which side.
pub(crate) type OriginKey = (u128, u8);

/// One of them, what it became, and when.
type Known = (OriginKey, ArchiveId, Timestamp);

/// They are many and each is written once, so whoever reads a record again that others have written need not read them:
/// those of the record before are most of them. Such ones are *partial*.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    pub(crate) by_key: Tracked<OriginKey, (ArchiveId, Timestamp)>,
    /// In the order of their times.
    order: VecDeque<Known>,
    /// The record may have others.
    partial: bool,
    /// Something depended on whether the record has others.
    missed: bool,
    since: Since,
}

/// What was changed since it was written.
#[derive(Debug, Default)]
pub(crate) struct Since {
    added: usize,
    /// The oldest first.
    dropped: Vec<Known>,
    /// The account was removed: nobody is to go on with what he knows of it.
    pub(crate) cleared: bool,
}

fn key(digest: u128, direction: Direction) -> OriginKey {
    (digest, u8::from(direction == Direction::Sent))
}

impl Origins {
    /// As they were saved, all of them.
    pub(crate) fn restore(saved: impl IntoIterator<Item = (OriginKey, (ArchiveId, Timestamp))>) -> Origins {
        let mut origins = Origins::default();
        origins.by_key.extend(saved);
        let mut order: Vec<_> = origins.by_key.iter().map(|(key, (id, at))| (*key, *id, *at)).collect();
        order.sort_by_key(|(_, id, at)| (*at, *id));
        origins.order = order.into();
        origins
    }

    /// What it became. Where they are partial, another router may know it: its field is in the record then.
    pub(crate) fn find(&mut self, digest: u128, direction: Direction, now: Timestamp) -> Option<ArchiveId> {
        while self.order.front().is_some_and(|(.., at)| now.since(*at) > ORIGIN_FOR)
            || self.order.len() > ORIGINS
        {
            let Some(oldest) = self.order.pop_front() else { break };
            let (key, id, _) = oldest;
            if self.by_key.get(&key).is_some_and(|(known, _)| *known == id) {
                self.by_key.remove(&key);
            }
            if self.by_key.is_tracked() {
                self.since.dropped.push(oldest);
            }
        }
        let known = self.by_key.get(&key(digest, direction)).map(|(id, _)| *id);
        known.filter(|_| !Promise::DoOnce.is_broken())
    }

    pub(crate) fn remember(&mut self, digest: u128, direction: Direction, id: ArchiveId, at: Timestamp) {
        let key = key(digest, direction);
        self.by_key.insert(key, (id, at));
        self.order.push_back((key, id, at));
        self.since.added += usize::from(self.by_key.is_tracked());
    }

    /// Whether one of them became this.
    pub(crate) fn has_become(&mut self, id: ArchiveId) -> bool {
        let is_known = self.by_key.values().any(|(known, _)| *known == id);
        self.missed |= self.partial && !is_known;
        is_known
    }

    pub(crate) fn clear(&mut self) {
        self.missed |= self.partial;
        self.since.cleared = self.by_key.is_tracked();
        self.by_key.clear();
        self.order.clear();
    }

    pub(crate) fn is_partial(&self) -> bool {
        self.partial
    }

    pub(crate) fn has_missed(&self) -> bool {
        self.missed
    }

    /// What was changed, for whoever writes it.
    pub(crate) fn take_since(&mut self) -> Since {
        std::mem::take(&mut self.since)
    }

    /// As they were before what was changed, which was not written. Others may have written more by now.
    pub(crate) fn before(mut self, since: Since) -> Origins {
        for _ in 0..since.added {
            let Some((key, id, _)) = self.order.pop_back() else { break };
            if self.by_key.get(&key).is_some_and(|(known, _)| *known == id) {
                self.by_key.remove(&key);
            }
        }
        for (key, id, at) in since.dropped.into_iter().rev() {
            self.order.push_front((key, id, at));
            if !self.by_key.contains_key(&key) {
                self.by_key.insert(key, (id, at));
            }
        }
        self.by_key.take_touched();
        Origins { partial: true, missed: false, since: Since::default(), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn id(number: u64) -> ArchiveId {
        ArchiveId { number, random: 0 }
    }

    #[test]
    fn what_was_not_written_is_taken_back() {
        let mut origins = Origins::default();
        origins.by_key.track();
        for n in 0..3 {
            origins.remember(u128::from(n), Direction::Received, id(n), at(n));
        }
        origins.take_since();
        let late = at(ORIGIN_FOR.as_secs() + 2);
        assert_eq!(origins.find(1, Direction::Received, late), None, "it is too old");
        origins.remember(1, Direction::Received, id(7), late);
        origins.remember(8, Direction::Received, id(8), late);
        let since = origins.take_since();
        let mut origins = origins.before(since);
        assert_eq!(origins.by_key.take_touched().len(), 0, "the record has all of it");
        let known: Vec<_> =
            origins.by_key.iter().map(|((digest, _), (id, _))| (*digest, id.number)).collect();
        assert_eq!(known, [(0, 0), (1, 1), (2, 2)]);
        assert_eq!(origins.find(8, Direction::Received, late), None);
        assert_eq!(origins.find(2, Direction::Received, late), Some(id(2)));
        assert_eq!(
            origins.by_key.take_touched().len(),
            2,
            "those that are too old go from the record, after all"
        );
        assert!(origins.is_partial() && !origins.has_missed());
        assert!(!origins.has_become(id(8)) && origins.has_missed(), "another router may know it");
    }

    #[test]
    fn nobody_notes_what_nobody_saves() {
        let mut origins = Origins::default();
        for n in 0..2 * ORIGINS as u64 {
            origins.find(u128::from(n), Direction::Sent, at(1));
            origins.remember(u128::from(n), Direction::Sent, id(n), at(1));
        }
        let Since { added, dropped, cleared } = origins.take_since();
        assert_eq!((added, dropped.len(), cleared), (0, 0, false));
        assert!(origins.by_key.len() <= ORIGINS + 1);
    }
}
