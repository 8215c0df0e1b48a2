//! Which partitions an owner has: each covers a span of time, so that none grows without end.
//!
//! A row in `archive_buckets` names each, written before or with its first message, so that a reader walks from one to the
//! next and asks for none that was never there.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Table;
use starling_ports::ids::ArchiveId;

use crate::client::Changes;
use crate::store::Store;
use crate::values::{signed, unsigned};

const WHAT: &str = "a partition of the archive";
/// How many partitions are remembered as named; when they are so many, it begins anew.
const KNOWN: usize = 100_000;
/// Kinds of rows in `archive_buckets`.
const ARCHIVE: i8 = 0;
const SPOOL: i8 = 1;
/// Its `bucket` is not one, but the id below which all was erased with the account.
const REMOVAL: i8 = 2;

fn kind(table: Table) -> i8 {
    match table {
        Table::Archive => ARCHIVE,
        Table::Spool => SPOOL,
    }
}

/// How ids are spread over partitions, and which ones this process has named.
pub(crate) struct Buckets {
    micros: u64,
    known: Mutex<HashSet<(Table, BareJid, i64)>>,
}

impl Buckets {
    pub(crate) fn new(covers: Duration) -> Buckets {
        let micros = u64::try_from(covers.as_micros()).unwrap_or(u64::MAX).max(1);
        Buckets { micros, known: Mutex::default() }
    }

    /// The partition of an id.
    pub(crate) fn of(&self, number: u64) -> i64 {
        signed(number / self.micros)
    }

    fn is_known(&self, table: Table, owner: &BareJid, bucket: i64) -> bool {
        self.known.lock().contains(&(table, owner.clone(), bucket))
    }

    fn note(&self, table: Table, owner: &BareJid, bucket: i64) {
        let mut known = self.known.lock();
        if known.len() >= KNOWN {
            known.clear();
        }
        known.insert((table, owner.clone(), bucket));
    }

    fn forget(&self, owner: &BareJid) {
        self.known.lock().retain(|(_, known, _)| known != owner);
    }
}

/// What `archive_buckets` says of one owner.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    archive: BTreeSet<i64>,
    spool: BTreeSet<i64>,
    removals: BTreeSet<u64>,
}

impl Listing {
    /// The partitions that may have rows of `table`, oldest first.
    ///
    /// A process that named the one of an account's removal before does not name it again, for the same name given anew:
    /// so that one is always among them.
    pub(crate) fn of(&self, table: Table, buckets: &Buckets) -> Vec<i64> {
        let mut all = match table {
            Table::Archive => self.archive.clone(),
            Table::Spool => self.spool.clone(),
        };
        all.extend(self.removals.iter().map(|number| buckets.of(*number)));
        all.into_iter().collect()
    }

    /// The highest id that was erased with a former account of this name, whether it was given out or not.
    pub(crate) fn removed(&self) -> Option<ArchiveId> {
        self.removals.last().map(|number| ArchiveId { number: *number, random: u64::MAX })
    }
}

impl Store {
    pub(crate) async fn listing(&self, owner: &BareJid) -> Result<Listing> {
        let found = self.client.read(&self.client.statements.buckets.list, (owner.as_str(),)).await?;
        let mut listing = Listing::default();
        for row in found.rows::<(i8, i64)>() {
            let (kind, bucket) = row.ok_or(()).map_err(|()| self.client.corrupt(WHAT, found.place()))?;
            match kind {
                ARCHIVE => drop(listing.archive.insert(bucket)),
                SPOOL => drop(listing.spool.insert(bucket)),
                REMOVAL => drop(listing.removals.insert(unsigned(bucket, WHAT)?)),
                _ => {} // of a newer version
            }
        }
        Ok(listing)
    }

    /// Names a partition, once a process. The stamp is an id's: an account's removal erases what is older, and no more.
    pub(super) async fn lead_to(
        &self,
        table: Table,
        owner: &BareJid,
        bucket: i64,
        newest: u64,
    ) -> Result<()> {
        if self.buckets.is_known(table, owner, bucket) {
            return Ok(());
        }
        let values = (owner.as_str(), kind(table), bucket, signed(newest));
        self.client.write(&self.client.statements.buckets.add, values).await?;
        self.buckets.note(table, owner, bucket);
        Ok(())
    }

    /// Erases all rows of `owner` whose ids are not above `upto`, those too that are still to come, and leaves the number.
    pub(crate) async fn erase_rows(&self, owner: &BareJid, upto: u64) -> Result<()> {
        let listing = self.listing(owner).await?;
        let stamp = signed(upto);
        for table in [Table::Archive, Table::Spool] {
            let mut buckets = listing.of(table, &self.buckets);
            // The first message of a partition may be on its way.
            let now = self.buckets.of(upto);
            buckets.extend([now, now - 1]);
            for bucket in buckets {
                self.client.write(&self.rows_of(table).erase, (stamp, owner.as_str(), bucket)).await?;
            }
        }
        let statements = &self.client.statements;
        let mut changes = Changes::default();
        changes.add(&statements.buckets.erase, (stamp, owner.as_str()));
        changes.add(&statements.buckets.add, (owner.as_str(), REMOVAL, stamp, stamp.saturating_add(1)));
        self.client.write_all(changes).await?;
        self.buckets.forget(owner);
        Ok(())
    }
}
