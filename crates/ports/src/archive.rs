//! What was said, and what still waits to be collected.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use starling_jid::BareJid;
use starling_stanza::Wire;

use crate::Result;
use crate::ids::{ArchiveId, Life, SessionId, Timestamp};
use crate::sessions::Role;

/// Which side of a conversation a row keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Somebody wrote it to the owner.
    Received,
    /// The owner wrote it.
    Sent,
}

/// One message of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Given by the commit; the order of the archive.
    pub id: ArchiveId,
    /// When it was received by the server; not its order.
    pub at: Timestamp,
    /// Who the other one is.
    pub with: BareJid,
    /// Which side.
    pub direction: Direction,
    /// The resource that it was addressed to, if it was.
    pub resource: Option<Box<str>>,
    /// Whether it waits for a device of the owner until one acknowledges it (`Received` and storable).
    pub deliverable: bool,
    /// Whether it may be carbon-copied to the owner's other devices (XEP-0280 §6.1).
    pub copied: bool,
    /// Digest of (sender, origin-id, content): a retry after a restart is known by it (session-log rule 4).
    pub origin: Option<u128>,
    /// Under which life of Redis its id was given, and of which stanza it is.
    pub born: Born,
    /// The message.
    pub wire: Wire,
}

/// What verifying an account must know of a row (session-log rule 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Born {
    /// In which life of the sessions' store its id was given.
    pub life: Life,
    /// Which stanza it is, for a retry of it.
    pub key: Option<StanzaKey>,
}

/// A `SenderKey` without what changes from retry to retry, and the digest of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StanzaKey {
    /// The sender's session.
    pub session: SessionId,
    /// The number on its stream.
    pub number: u64,
    /// Why it was committed here.
    pub role: Role,
    /// See `Planned::hash`.
    pub hash: u64,
}

/// Which rows are asked for (XEP-0313 §4, XEP-0059). All bounds hold at once.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Only ids above it.
    pub after: Option<ArchiveId>,
    /// Only ids below it.
    pub before: Option<ArchiveId>,
    /// Only ids not above it: what was committed when the query began.
    pub upto: Option<ArchiveId>,
    /// Only rows with this other one; a bare JID matches all its resources, because rows keep bare JIDs.
    pub with: Option<BareJid>,
    /// Only rows with this exact full JID as the other one, as the stanza names it; `with` is its bare JID.
    pub with_resource: Option<Box<str>>,
    /// Only rows received at or after it.
    pub start: Option<Timestamp>,
    /// Only rows received at or before it.
    pub end: Option<Timestamp>,
    /// Only rows that wait for a device.
    pub deliverable: bool,
    /// From the newest to the oldest: the page is the last one. Rows come in ascending order all the same.
    pub backwards: bool,
}

/// One page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// In ascending order of their ids.
    pub rows: Vec<Row>,
    /// Whether no row is left beyond it in the direction of the query.
    pub complete: bool,
}

/// Where it is kept: the two tables have the same form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Seen by XEP-0313, kept until it expires.
    Archive,
    /// For accounts whose archive is off: never seen by XEP-0313, deleted when acknowledged.
    Spool,
}

/// What was said, per owner, in the order of its ids. Ids come from the commit; this only keeps rows.
#[async_trait]
pub trait Archive: Send + Sync + 'static {
    /// Keeps `rows`. Once this returns `Ok`, they outlive this process. Writing a row again changes nothing.
    async fn put(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()>;
    /// At most `limit` rows. Reads no more than a page plus one, whatever lies beside it: only rows received
    /// outside `start` and `end` while the clock went back, and those that are not `deliverable`, are passed over.
    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page>;
    /// One row by its id.
    async fn get(&self, table: Table, owner: &BareJid, id: ArchiveId) -> Result<Option<Row>>;
    /// Those of the rows that are there, in whichever table.
    async fn rows(&self, owner: &BareJid, ids: &[ArchiveId]) -> Result<BTreeMap<ArchiveId, (Table, Row)>> {
        let mut rows = BTreeMap::new();
        for id in ids {
            for table in [Table::Archive, Table::Spool] {
                if let Some(row) = self.get(table, owner, *id).await? {
                    rows.insert(*id, (table, row));
                    break;
                }
            }
        }
        Ok(rows)
    }
    /// The highest id ever kept for `owner`: where ids go on when the sessions have lost their own.
    async fn last(&self, owner: &BareJid) -> Result<Option<ArchiveId>>;
    /// Deletes rows of the spool: a device has acknowledged them.
    async fn delete(&self, table: Table, owner: &BareJid, ids: &[ArchiveId]) -> Result<()>;
    /// How many rows wait past `after`, and their bytes: for the quota. Counts to `limit` at most.
    async fn waiting(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)>;
}

/// An opaque value as a store keeps it.
pub type Value = Bytes;

impl Born {
    /// It takes no more.
    pub const BYTES: usize = 8 + 16 + 8 + 8 + 1;

    /// As stores keep it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(Born::BYTES);
        out.extend_from_slice(&self.life.0.to_be_bytes());
        if let Some(key) = &self.key {
            out.extend_from_slice(&key.session.0.to_be_bytes());
            out.extend_from_slice(&key.number.to_be_bytes());
            out.extend_from_slice(&key.hash.to_be_bytes());
            out.push(match key.role {
                Role::Receive => 0,
                Role::Sent => 1,
                Role::Answer => 2,
            });
        }
        out
    }

    /// The other way round. `None` if it is not what `to_bytes` writes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Born> {
        let (life, rest) = bytes.split_first_chunk()?;
        let life = Life(u64::from_be_bytes(*life));
        if rest.is_empty() {
            return Some(Born { life, key: None });
        }
        let (session, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let role = match rest {
            [0] => Role::Receive,
            [1] => Role::Sent,
            [2] => Role::Answer,
            _ => return None,
        };
        let session = SessionId(u128::from_be_bytes(*session));
        let (number, hash) = (u64::from_be_bytes(*number), u64::from_be_bytes(*hash));
        Some(Born { life, key: Some(StanzaKey { session, number, role, hash }) })
    }
}
