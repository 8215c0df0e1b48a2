//! Reading pages: from partition to partition, no further than the page needs.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;

use super::span::{self, Span};
use super::{WHAT, rows};
use crate::error::corrupt;
use crate::store::Store;
use crate::values::{id_of, wide, wide_bytes};

/// One statement reads no more rows with bodies: a stanza may be large.
pub(super) const CHUNK: usize = 100;
/// Or so many without.
const SIZES: usize = 1000;

/// Rows of one partition, and whether there may be more beyond `until`.
struct Chunk {
    rows: Vec<Row>,
    until: Option<u128>,
}

/// What stays the same while a page is read.
struct Reading<'a> {
    store: &'a Store,
    table: Table,
    owner: &'a BareJid,
    query: &'a Query,
    with: Option<&'a BareJid>,
}

impl Store {
    pub(super) async fn page_of(
        &self,
        table: Table,
        owner: &BareJid,
        query: &Query,
        limit: usize,
    ) -> Result<Page> {
        let none = Page { rows: Vec::new(), complete: true };
        let Some(span) = Span::of(query) else { return Ok(none) };
        let buckets = self.buckets_in(table, owner, span).await?;
        let ordered: Vec<i64> = if query.backwards { buckets.into_iter().rev().collect() } else { buckets };
        let reading = Reading { store: self, table, owner, query, with: correspondent(table, query) };
        // One row more than the page: it says whether there are more.
        let mut rows: Vec<Row> = Vec::new();
        for bucket in ordered {
            reading.bucket(bucket, span, limit.saturating_add(1), &mut rows).await?;
            if rows.len() > limit {
                break;
            }
        }
        let complete = rows.len() <= limit;
        rows.truncate(limit);
        if query.backwards {
            rows.reverse();
        }
        Ok(Page { rows, complete })
    }

    async fn buckets_in(&self, table: Table, owner: &BareJid, span: Span) -> Result<Vec<i64>> {
        let (low, high) = span.numbers();
        let range = self.buckets.of(low)..=self.buckets.of(high);
        let mut all = self.listing(owner).await?.of(table, &self.buckets);
        all.retain(|bucket| range.contains(bucket));
        Ok(all)
    }

    pub(super) async fn waiting_of(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)> {
        let Some(span) = Span::of(&Query { after, ..Query::default() }) else { return Ok((0, 0)) };
        let (mut count, mut bytes) = (0, 0);
        for bucket in self.buckets_in(table, owner, span).await? {
            let mut rest = Some(span);
            while let Some(span) = rest.filter(|_| count < limit) {
                let want = (limit - count).min(SIZES);
                let values = (self.rows_of(table), owner, bucket, span, want);
                let sizes = self.sizes(values).await?;
                rest =
                    sizes.last().filter(|_| sizes.len() == want).and_then(|(id, ..)| span.beyond(*id, false));
                for (_, _, size) in sizes.into_iter().filter(|(_, flags, _)| rows::is_deliverable(*flags)) {
                    count += 1;
                    bytes += size;
                }
            }
        }
        Ok((count, bytes))
    }

    async fn sizes(
        &self,
        (statements, owner, bucket, span, want): (&crate::schema::RowStatements, &BareJid, i64, Span, usize),
    ) -> Result<Vec<(u128, i8, usize)>> {
        let values = (owner.as_str(), bucket, wide_bytes(span.low), wide_bytes(span.high), count(want));
        let found = self.client.read(&statements.sizes, values).await?;
        let size = |row: Option<(Vec<u8>, Option<i8>, Option<i32>)>| {
            let (id, flags, size) = row.ok_or(corrupt(WHAT))?;
            let (Some(flags), Some(size)) = (flags, size) else { return Err(corrupt(WHAT)) };
            Ok((wide(id_of(&id, WHAT)?), flags, usize::try_from(size).unwrap_or(0)))
        };
        self.decoded(found.rows().map(size).collect(), found.place())
    }
}

/// The archive is read by the correspondent if there is one: nobody else's rows are passed over. The spool has few rows, and
/// nobody asks.
fn correspondent(table: Table, query: &Query) -> Option<&BareJid> {
    query.with.as_ref().filter(|_| table == Table::Archive)
}

fn count(rows: usize) -> i32 {
    i32::try_from(rows).unwrap_or(i32::MAX)
}

impl Reading<'_> {
    /// Adds the rows of one partition that are wanted, until there are `most`.
    async fn bucket(&self, bucket: i64, span: Span, most: usize, rows: &mut Vec<Row>) -> Result<()> {
        let mut rest = Some(span);
        while let Some(span) = rest.filter(|_| rows.len() < most) {
            let want = most - rows.len();
            // Where rows are passed over, asking for one at a time would never end.
            let want = if span::has_filter(self.query) { want.max(CHUNK) } else { want }.min(CHUNK);
            let chunk = match self.with {
                Some(with) => self.chunk_with(with, bucket, span, want).await?,
                None => self.chunk(bucket, span, want).await?,
            };
            rest = chunk.until.and_then(|id| span.beyond(id, self.query.backwards));
            rows.extend(chunk.rows.into_iter().filter(|row| span::matches(self.query, row)));
        }
        rows.truncate(most);
        Ok(())
    }

    /// At most `want` rows of anybody.
    async fn chunk(&self, bucket: i64, span: Span, want: usize) -> Result<Chunk> {
        let statements = self.store.rows_of(self.table);
        let statement = if self.query.backwards { &statements.backwards } else { &statements.forwards };
        let values = (self.owner.as_str(), bucket, wide_bytes(span.low), wide_bytes(span.high), count(want));
        let found = self.store.client.read(statement, values).await?;
        let rows: Result<Vec<Row>> =
            found.rows().map(|row| row.ok_or(corrupt(WHAT)).and_then(rows::decode)).collect();
        let rows = self.store.decoded(rows, found.place())?;
        let until = rows.last().filter(|_| rows.len() == want).map(|row| wide(row.id));
        Ok(Chunk { rows, until })
    }

    /// At most `want` rows of one correspondent: first their ids, then they.
    async fn chunk_with(&self, with: &BareJid, bucket: i64, span: Span, want: usize) -> Result<Chunk> {
        let statements = self.store.rows_of(self.table);
        let backwards = self.query.backwards;
        let statement = if backwards { &statements.ids_backwards } else { &statements.ids_forwards };
        let (low, high) = (wide_bytes(span.low), wide_bytes(span.high));
        let values = (self.owner.as_str(), bucket, with.as_str(), low, high, count(want));
        let found = self.store.client.read(statement, values).await?;
        let id = |row: Option<(Vec<u8>,)>| row.ok_or(corrupt(WHAT)).and_then(|(id,)| id_of(&id, WHAT));
        let ids: Result<Vec<ArchiveId>> = found.rows().map(id).collect();
        let ids = self.store.decoded(ids, found.place())?;
        let until = ids.last().filter(|_| ids.len() == want).map(|id| wide(*id));
        let mut rows = match ids.is_empty() {
            true => Vec::new(),
            false => self.store.some(self.table, self.owner, bucket, &ids).await?,
        };
        rows.sort_unstable_by_key(|row| row.id);
        if backwards {
            rows.reverse();
        }
        Ok(Chunk { rows, until })
    }
}
