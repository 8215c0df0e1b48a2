//! The archive and the spool: rows by owner, bucket of time, and id.

mod buckets;
mod page;
mod rows;
mod span;

use std::collections::BTreeMap;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;

pub(crate) use buckets::Buckets;

use crate::client::{Changes, Place};
use crate::schema::RowStatements;
use crate::store::Store;
use crate::values::{id_bytes, id_of, signed};

pub(crate) const WHAT: &str = "a row of the archive";
/// One batch has so many statements at most,
const STATEMENTS: usize = 50;
/// and about so many bytes: less than Cassandra and ScyllaDB complain about, far less than they refuse.
const BYTES: usize = 60 * 1024;

impl Store {
    pub(crate) fn rows_of(&self, table: Table) -> &RowStatements {
        match table {
            Table::Archive => &self.client.statements.archive,
            Table::Spool => &self.client.statements.spool,
        }
    }

    /// Writes rows of one partition, each with what leads to it.
    async fn put_in(&self, table: Table, owner: &BareJid, bucket: i64, rows: &[&Row]) -> Result<()> {
        let statements = self.rows_of(table);
        let (mut changes, mut bytes) = (Changes::default(), 0);
        for row in rows {
            let takes = row.wire.len() + 200;
            if !changes.is_empty() && (changes.len() + 2 > STATEMENTS || bytes + takes > BYTES) {
                self.client.write_all(std::mem::take(&mut changes)).await?;
                bytes = 0;
            }
            bytes += takes;
            rows::add(&mut changes, statements, table, owner, bucket, row);
        }
        self.client.write_all(changes).await
    }

    /// In the archive a second row leads from the correspondent to each row: both go.
    async fn delete_in(&self, table: Table, owner: &BareJid, bucket: i64, ids: &[ArchiveId]) -> Result<()> {
        let statements = self.rows_of(table);
        let mut leading = BTreeMap::new();
        if table == Table::Archive {
            for row in self.some(table, owner, bucket, ids).await? {
                leading.insert(row.id, row.with);
            }
        }
        let mut changes = Changes::default();
        for id in ids {
            if changes.len() + 2 > STATEMENTS {
                self.client.write_all(std::mem::take(&mut changes)).await?;
            }
            // Later than any write of the row, however late that one comes (session-log rule 14).
            let stamp = signed(id.number).saturating_add(1);
            let who = leading.get(id).map(|with| with.as_str());
            for who in [Some(""), who].into_iter().flatten() {
                changes.add(&statements.delete, (stamp, owner.as_str(), bucket, who, id_bytes(*id)));
            }
        }
        self.client.write_all(changes).await
    }

    /// The rows among `ids` that are there, in no order.
    async fn some(&self, table: Table, owner: &BareJid, bucket: i64, ids: &[ArchiveId]) -> Result<Vec<Row>> {
        let mut rows = Vec::with_capacity(ids.len());
        for ids in ids.chunks(page::CHUNK) {
            let ids: Vec<[u8; 16]> = ids.iter().map(|id| id_bytes(*id)).collect();
            let found = self.client.read(&self.rows_of(table).some, (owner.as_str(), bucket, ids)).await?;
            for row in found.rows() {
                let row = row.ok_or(()).map_err(|()| crate::error::corrupt(WHAT)).and_then(rows::decode);
                rows.push(self.decoded(row, found.place())?);
            }
        }
        Ok(rows)
    }

    /// Counts a row that cannot be read; it is never served.
    fn decoded<T>(&self, read: Result<T>, place: Place<'_>) -> Result<T> {
        read.map_err(|_| self.client.corrupt(WHAT, place))
    }
}

fn by_bucket<T>(buckets: &Buckets, all: impl IntoIterator<Item = (u64, T)>) -> BTreeMap<i64, Vec<T>> {
    let mut groups: BTreeMap<i64, Vec<T>> = BTreeMap::new();
    for (number, one) in all {
        groups.entry(buckets.of(number)).or_default().push(one);
    }
    groups
}

#[async_trait]
impl Archive for Store {
    async fn put(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()> {
        for (bucket, rows) in by_bucket(&self.buckets, rows.iter().map(|row| (row.id.number, row))) {
            let newest = rows.iter().map(|row| row.id.number).max().unwrap_or(0);
            tokio::try_join!(
                self.lead_to(table, owner, bucket, newest),
                self.put_in(table, owner, bucket, &rows)
            )?;
        }
        Ok(())
    }

    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page> {
        self.page_of(table, owner, query, limit).await
    }

    async fn get(&self, table: Table, owner: &BareJid, id: ArchiveId) -> Result<Option<Row>> {
        Ok(self.some(table, owner, self.buckets.of(id.number), &[id]).await?.pop())
    }

    async fn last(&self, owner: &BareJid) -> Result<Option<ArchiveId>> {
        let listing = self.listing(owner).await?;
        let mut last = listing.removed();
        for table in [Table::Archive, Table::Spool] {
            // From the newest: what has expired or was collected leaves partitions without a row.
            for bucket in listing.of(table, &self.buckets).into_iter().rev() {
                let found = self.client.read(&self.rows_of(table).last, (owner.as_str(), bucket)).await?;
                if let Some(row) = found.first::<(Vec<u8>,)>() {
                    let id = row.ok_or(()).map_err(|()| crate::error::corrupt(WHAT));
                    last =
                        last.max(Some(self.decoded(id.and_then(|(id,)| id_of(&id, WHAT)), found.place())?));
                    break;
                }
            }
        }
        Ok(last)
    }

    async fn delete(&self, table: Table, owner: &BareJid, ids: &[ArchiveId]) -> Result<()> {
        for (bucket, ids) in by_bucket(&self.buckets, ids.iter().map(|id| (id.number, *id))) {
            self.delete_in(table, owner, bucket, &ids).await?;
        }
        Ok(())
    }

    async fn waiting(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)> {
        self.waiting_of(table, owner, after, limit).await
    }
}
