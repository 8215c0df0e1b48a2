//! What is done when the record may be older than what was promised: Redis came back with less than it had (rule 8).

use std::sync::Arc;

use starling_ports::ids::ArchiveId;

use crate::session::Backlog;
use crate::{Facts, Slot};

/// Above every epoch that a claim may have given which the record has forgotten.
const EPOCHS: u64 = 1 << 20;

impl Slot {
    /// `facts` are what the other stores know. Ids go on above those of the archive, what waits there waits here, and no
    /// session goes on where its client may be further than its log.
    pub fn verify(&mut self, facts: Facts) {
        self.last = self.last.max(facts.last.map_or(0, |id| id.number));
        (self.exists, self.unsettled) = (facts.exists, false);
        (self.blocked, self.preferences) = (Arc::new(facts.blocked), Arc::new(facts.preferences));
        for (digest, direction, id, at) in facts.origins {
            if self.seen.origin(digest, direction, at).is_none() {
                self.seen.remember_origin(digest, direction, id, at);
            }
        }
        self.pending.verify(facts.position, facts.last, facts.waiting, facts.more);
        let lost = self.first_in_no_log();
        let last = self.last;
        for session in &mut self.sessions {
            if session.attached {
                session.doubtful = true;
            } else {
                session.epoch.0 += EPOCHS;
            }
            if let Some(first) = lost.filter(|_| session.takes_bare()) {
                let first = first.number.saturating_sub(1);
                let after = session.backlog.map_or(first, |backlog| backlog.after.min(first));
                session.backlog = Some(Backlog { after, before: last });
            }
        }
        self.decide_anew();
    }

    /// The first message that waits and lies in no log.
    fn first_in_no_log(&self) -> Option<ArchiveId> {
        let held: std::collections::BTreeSet<_> = self
            .sessions
            .iter()
            .flat_map(|session| session.queued())
            .filter_map(|logged| logged.stanza.id())
            .collect();
        self.pending.ids.keys().find(|id| !held.contains(id)).copied()
    }
}
