//! The log of one session: what was sent to it and not acknowledged yet, in the order of its numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use starling_jid::Jid;
use starling_ports::archive::{Born, Row, Table};
use starling_ports::delivery::{Committed, Copy, Entry};
use starling_ports::ids::{ArchiveId, LogNumber};
use starling_ports::sessions::Keep;

use crate::pending::counted;
use crate::{Owed, Waiting};

/// A committed stanza, shared by all logs that it lies in.
#[derive(Debug)]
pub struct Stanza {
    /// What readers get.
    pub committed: Arc<Committed>,
    /// What is kept of it, if anything.
    pub keep: Option<Keep>,
    /// Digest of its origin-id.
    pub origin: Option<u128>,
    /// What its row says of its origin.
    pub born: Born,
    /// Whether a row is stored, or owed.
    pub has_row: AtomicBool,
    /// The number under which a record has it; 0 while none has.
    pub(crate) saved_as: AtomicU64,
}

impl Stanza {
    /// One of which nothing is stored yet.
    pub fn new(committed: Arc<Committed>, keep: Option<Keep>, origin: Option<u128>) -> Stanza {
        let born = Born::default();
        Stanza { committed, keep, origin, born, has_row: false.into(), saved_as: 0.into() }
    }

    /// The same, of which more is known.
    pub fn born_as(self, born: Born) -> Stanza {
        Stanza { born, ..self }
    }

    /// The same, of which a row is stored or owed, or not.
    pub fn with_row(self, has_row: bool) -> Stanza {
        Stanza { has_row: has_row.into(), ..self }
    }

    pub(crate) fn saved_as(&self) -> u64 {
        self.saved_as.load(Ordering::Relaxed)
    }

    /// The id, if it has one.
    pub fn id(&self) -> Option<ArchiveId> {
        self.committed.id
    }

    /// The id, if the message waits for a device of the account.
    pub fn deliverable(&self) -> Option<ArchiveId> {
        self.keep.as_ref().filter(|keep| keep.deliverable).and(self.id())
    }

    /// The same, with its bytes.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        Some((self.deliverable()?, counted(self.committed.wire.len())))
    }

    /// Whether a row is stored, or owed.
    pub fn has_row(&self) -> bool {
        self.has_row.load(Ordering::Relaxed)
    }

    /// Whether the store has it for those who come later.
    pub fn is_storable(&self) -> bool {
        self.keep.is_some()
    }

    /// The row that keeps it.
    pub fn row(&self) -> Option<Owed> {
        let (keep, id) = (self.keep.as_ref()?, self.id()?);
        let row = Row {
            id,
            at: self.committed.at,
            with: keep.with.clone(),
            direction: keep.direction,
            resource: keep.resource.clone(),
            deliverable: keep.deliverable,
            copied: keep.copied,
            origin: self.origin,
            born: self.born,
            wire: self.committed.wire.clone(),
        };
        Some(Owed { table: keep.table, row })
    }

    /// The stanza of a stored row.
    pub fn stored(table: Table, row: Row) -> Stanza {
        let keep = Keep {
            with: row.with,
            direction: row.direction,
            resource: row.resource,
            deliverable: row.deliverable,
            copied: row.copied,
            table,
            only_if_nobody: false,
        };
        let committed = Arc::new(Committed { id: Some(row.id), at: row.at, wire: row.wire });
        Stanza::new(committed, Some(keep), row.origin).born_as(row.born).with_row(true)
    }
}

/// One entry of a log.
#[derive(Debug, Clone)]
pub struct Logged {
    /// What.
    pub stanza: Arc<Stanza>,
    /// How the session gets to see it.
    pub copy: Copy,
    /// Whether it comes late.
    pub late: bool,
    /// What waits under the same address, without a number, is replaced by a newer one.
    pub coalesce: Option<Jid>,
}

impl Logged {
    /// How many it takes.
    pub fn bytes(&self) -> usize {
        self.stanza.committed.wire.len()
    }

    /// As it goes out under this number.
    pub fn entry(&self, number: u64) -> Entry {
        let table = self.stanza.keep.as_ref().map(|keep| keep.table);
        Entry {
            number: LogNumber(number),
            committed: self.stanza.committed.clone(),
            copy: self.copy.clone(),
            late: self.late,
            archived: table == Some(Table::Archive),
        }
    }
}
