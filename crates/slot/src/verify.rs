//! What is done when the record may be older than what was promised: Redis came back with less than it had (rule 8).

use std::collections::BTreeSet;
use std::time::Duration;

use starling_ports::archive::Born;
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::position::Position;

use crate::register::Rows;
use crate::session::Backlog;
use crate::{Facts, Slot, usual};

/// How long a session is waited for whose node may register it again: it does so within seconds, when it can.
const DOUBTFUL_FOR: Duration = Duration::from_secs(60);

impl Slot {
    /// `facts` are what the other stores know. Ids go on above those of the archive, what waits there waits here, and every
    /// session waits for its node, because a client may be further than its log.
    pub fn verify(&mut self, facts: Facts, now: Timestamp) {
        self.life = facts.life;
        self.last = self.last.max(facts.last.map_or(0, |id| id.number));
        (self.exists, self.unsettled) = (facts.exists, false);
        self.blocked = usual::blocked(facts.blocked);
        self.preferences = usual::preferences(facts.preferences);
        for (digest, direction, id, at) in facts.origins {
            if self.seen.origins.find(digest, direction, at).is_none() {
                self.seen.origins.remember(digest, direction, id, at);
            }
        }
        self.seen.remember_rows(facts.keys);
        // On its way to the store: of what was not known by name nothing else says that it waits.
        let owed = self.owed.values().filter_map(|stanza| stanza.waiting());
        self.pending.ids.extend(owed);
        self.pending.verify(facts.position, facts.last, facts.waiting, facts.more);
        for session in &mut self.sessions {
            session.doubtful = true;
            let until = now.after(DOUBTFUL_FOR);
            session.expires = Some(session.expires.map_or(until, |expires| expires.max(until)));
        }
        self.give_what_lies_in_no_log();
        self.decide_anew();
    }

    /// Which of these are not, and were not, committed here (rule 8). What is handled is forgotten, and was committed.
    pub fn unknown(&mut self, committed: &[(ArchiveId, Born)]) -> Vec<ArchiveId> {
        let mut is_unknown =
            |one: &&(ArchiveId, Born)| !self.pending.waits_unnamed(one.0) && !self.is_known(one);
        committed.iter().filter(&mut is_unknown).map(|(id, _)| *id).collect()
    }

    /// Whether it was committed here: not only may be, as one that waits unnamed.
    fn is_known(&mut self, (id, born): &(ArchiveId, Born)) -> bool {
        self.owed.contains_key(id)
            || self.pending.ids.contains_key(id)
            || self.pending.acknowledged.contains_key(id)
            || self.seen.knows(*id)
            || born.key.is_some_and(|key| self.seen.is_past(&key))
    }

    /// The same, for whoever undoes them: until they are committed anew, nobody takes their rows for committed.
    pub fn undo(&mut self, committed: &[(ArchiveId, Born)], now: Timestamp) -> Vec<ArchiveId> {
        let gone = self.unknown(committed);
        for (id, born) in committed.iter().filter(|(id, _)| gone.contains(id)) {
            born.key.into_iter().for_each(|key| self.seen.note_undone(key, *id, now));
        }
        self.give_late(committed);
        gone
    }

    /// Of these some of a former life may be known only in that they wait among those that are not known by name. They may have been
    /// stored when sessions had read past them.
    fn give_late(&mut self, stored: &[(ArchiveId, Born)]) {
        let mut is_late = |one: &&(ArchiveId, Born)| {
            one.1.life != self.life && self.pending.waits_unnamed(one.0) && !self.is_known(one)
        };
        let late: Vec<ArchiveId> = stored.iter().filter(&mut is_late).map(|(id, _)| *id).collect();
        if late.is_empty() {
            return;
        }
        let held = self.held();
        let Some(first) = late.iter().filter(|id| !held.contains(id)).min() else { return };
        let (after, last) = (first.number.saturating_sub(1), late.iter().map(|id| id.number).max());
        self.last = self.last.max(last.unwrap_or_default());
        for session in self.sessions.iter_mut().filter(|session| session.takes_bare()) {
            session.backlog = Some(match session.backlog {
                None => Backlog { after, before: self.last },
                Some(known) if known.after <= after => known,
                Some(known) => Backlog { after, before: known.before.max(known.after) },
            });
        }
    }

    /// Rows that were stored after this account was verified, of messages that have reached a client: they were committed (rule 8).
    /// Their routers do not undo them then, and what `done` has not waits for an acknowledgement.
    pub(crate) fn remember_reached(&mut self, rows: &Rows, done: &Position) {
        for (id, (_, row)) in rows {
            let Some(key) = row.born.key.filter(|_| !self.unknown(&[(*id, row.born)]).is_empty()) else {
                continue;
            };
            if !self.seen.remember_committed((key, *id, row.at)) {
                continue;
            }
            if let Some(digest) =
                row.origin.filter(|digest| self.seen.origins.find(*digest, row.direction, row.at).is_none())
            {
                self.seen.origins.remember(digest, row.direction, *id, row.at);
            }
            if row.deliverable {
                let is_done = Some(*id) <= done.low || done.acknowledged.contains(id);
                self.pending.add_late(*id, row.wire.len(), is_done);
            }
        }
    }

    /// Sessions that take messages read again from the first one that waits and lies in no log. Of those that are not known by name
    /// any may be such a one.
    pub(crate) fn give_what_lies_in_no_log(&mut self) {
        let held = self.held();
        let mut named = self.pending.ids.keys();
        let first = named.find(|id| !held.contains(*id)).copied().or(self.pending.unnamed_after());
        let Some(first) = first else { return };
        let (first, last) = (first.number.saturating_sub(1), self.last);
        for session in self.sessions.iter_mut().filter(|session| session.takes_bare()) {
            let after = session.backlog.map_or(first, |backlog| backlog.after.min(first));
            session.backlog = Some(Backlog { after, before: last });
        }
    }

    /// What lies in a log.
    fn held(&self) -> BTreeSet<ArchiveId> {
        let logged = self.sessions.iter().flat_map(|session| session.queued());
        logged.filter_map(|logged| logged.stanza.id()).collect()
    }
}
