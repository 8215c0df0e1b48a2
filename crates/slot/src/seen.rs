//! What was committed before (rules 3 and 4): a retry is answered, not done again.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use starling_ports::archive::StanzaKey;
use starling_ports::ids::{ArchiveId, SessionId, Timestamp};
use starling_ports::sessions::{Role, SenderKey};

use crate::KnownKey;
use crate::broken::Promise;
use crate::log::Stanza;
use crate::origins::Origins;
use crate::tracked::Tracked;

/// How many stanzas of one sender are remembered at most: more are never unanswered at once.
const NUMBERS: usize = 4096;
/// The epoch of a record that says that a commit was lost, and is undone by its router: it is made anew under another id.
const UNDONE: u64 = u64::MAX;
/// How long a sender that says nothing is remembered, beyond the time in which its session may be resumed.
const SILENT_FOR: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) hash: u64,
    pub(crate) role: Role,
    pub(crate) id: Option<ArchiveId>,
    pub(crate) stanza: Weak<Stanza>,
}

impl Record {
    fn is_undone(&self) -> bool {
        self.epoch == UNDONE
    }
}

/// What one session has sent here, as far as it may be sent again.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    /// Its highest epoch that was seen: who holds a lower one is fenced (rule 21).
    pub(crate) epoch: u64,
    /// So far it is handled.
    pub(crate) handled: u64,
    pub(crate) at: Timestamp,
    pub(crate) records: VecDeque<Record>,
}

/// What a look into the past has found.
pub(crate) enum Past {
    /// Nothing: do it.
    New,
    /// It was done.
    Done(Option<ArchiveId>, Option<Arc<Stanza>>),
    /// It comes from a former owner of the session, or contradicts what was done under this epoch: nothing is written.
    Fenced,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) streams: Tracked<SessionId, Stream>,
    pub(crate) origins: Origins,
}

impl Seen {
    /// What became of the stanza `key` whose content has the digest `hash`.
    pub(crate) fn look(&self, key: &SenderKey, hash: u64) -> Past {
        let stream = self.streams.get(&key.session).filter(|_| !Promise::DoOnce.is_broken());
        let Some(stream) = stream else { return Past::New };
        let is_fenced = key.epoch.0 < stream.epoch && !Promise::Fence.is_broken();
        if is_fenced || key.number <= stream.handled {
            return Past::Fenced;
        }
        let same =
            |record: &&Record| record.number == key.number && record.role == key.role && !record.is_undone();
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
        now: Timestamp,
    ) {
        let stream = self.streams.or_insert_with(key.session, Stream::default);
        let (number, epoch, role, stanza) = (key.number, key.epoch.0, key.role, Arc::downgrade(stanza));
        stream.epoch = stream.epoch.max(epoch);
        stream.handled = stream.handled.max(key.handled.0);
        stream.at = now;
        let handled = stream.handled;
        stream
            .records
            .retain(|record| record.number > handled && (record.number != number || record.role != role));
        stream.records.push_back(Record { number, epoch, hash, role, id, stanza });
        if stream.records.len() > NUMBERS {
            stream.records.pop_front();
        }
    }

    /// Whether its sender's session is past it.
    pub(crate) fn is_past(&self, key: &StanzaKey) -> bool {
        self.streams.get(&key.session).is_some_and(|stream| key.number <= stream.handled)
    }

    /// The numbers of what was answered, of what this session has sent and is not known to be handled.
    pub(crate) fn answered(&self, session: SessionId) -> Vec<u64> {
        let records = self.streams.get(&session).map(|stream| stream.records.iter());
        let is_answer = |record: &&Record| record.role == Role::Answer && !record.is_undone();
        let answers = records.into_iter().flatten().filter(is_answer);
        answers.map(|record| record.number).collect()
    }

    /// Whether something was committed under this id.
    pub(crate) fn knows(&mut self, id: ArchiveId) -> bool {
        let is_it = |record: &Record| record.id == Some(id) && !record.is_undone();
        let has = |stream: &Stream| stream.records.iter().any(is_it);
        self.streams.values().any(has) || self.origins.has_become(id)
    }

    /// What was committed and then forgotten is told by its rows (rule 8). Under which epoch is not known: the lowest.
    pub(crate) fn remember_rows(&mut self, keys: Vec<KnownKey>) {
        keys.into_iter().for_each(|key| _ = self.remember_row(key, 0));
    }

    /// The same of one row. `false`: its stanza is handled, or was committed anew, or is to be.
    pub(crate) fn remember_committed(&mut self, key: KnownKey) -> bool {
        self.remember_row(key, 0)
    }

    /// The commit was lost, and its row goes: whoever knows that row is not to take it for committed.
    pub(crate) fn note_undone(&mut self, key: StanzaKey, id: ArchiveId, now: Timestamp) {
        self.remember_row((key, id, now), UNDONE);
    }

    fn remember_row(&mut self, (key, id, at): KnownKey, epoch: u64) -> bool {
        let StanzaKey { session, number, role, hash } = key;
        let stream = self.streams.or_insert_with(session, Stream::default);
        let is_known = |record: &Record| record.number == number && record.role == role;
        if number <= stream.handled || stream.records.iter().any(is_known) {
            return false;
        }
        stream.at = stream.at.max(at);
        stream.records.push_back(Record { number, epoch, hash, role, id: Some(id), stanza: Weak::new() });
        true
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self, session: SessionId) -> usize {
        self.streams.get(&session).map_or(0, |stream| stream.records.len())
    }

    /// Sessions that have said nothing for longer than they could have waited to be resumed send nothing again.
    pub(crate) fn forget_silent(&mut self, now: Timestamp, resume_within: Duration) {
        self.streams.retain(|_, stream| now.since(stream.at) <= resume_within + SILENT_FOR);
    }

    pub(crate) fn clear(&mut self) {
        self.streams.clear();
        self.origins.clear();
    }
}
