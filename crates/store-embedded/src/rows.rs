//! The archive and the spool: rows by owner and id.

use std::ops::Bound;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Direction, Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;

use crate::Store;
use crate::disk::{Op, Space, pair};
use crate::row;

/// How many rows a filter passes over before others get their turn.
const PASSED: usize = 1000;

pub(crate) fn space(table: Table) -> Space {
    match table {
        Table::Archive => Space::Archive,
        Table::Spool => Space::Spool,
    }
}

/// Writing `rows` of `owner`.
pub(crate) fn puts(table: Table, owner: &BareJid, rows: &[Row]) -> Vec<Op> {
    let put = |row: &Row| {
        let key = row::key(owner, row.id);
        let value = row::encode(&key, row);
        Op::Put(space(table), key, value)
    };
    rows.iter().map(put).collect()
}

type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// The keys that the bounds of `query` allow; `None` if there can be none.
fn range(owner: &BareJid, query: &Query) -> Option<Range> {
    let low = match query.after {
        Some(after) => Bound::Excluded(row::key(owner, after)),
        None => Bound::Included(row::prefix(owner)),
    };
    let high = match (query.before, query.upto) {
        (Some(before), Some(upto)) if upto < before => Bound::Included(row::key(owner, upto)),
        (Some(before), _) => Bound::Excluded(row::key(owner, before)),
        (None, Some(upto)) => Bound::Included(row::key(owner, upto)),
        (None, None) => Bound::Included(row::key(owner, ArchiveId { number: u64::MAX, random: u64::MAX })),
    };
    let key = |bound: &Bound<Vec<u8>>| match bound {
        Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
        Bound::Unbounded => None,
    };
    let empty = match (key(&low), key(&high)) {
        (Some(from), Some(to)) => {
            from > to || (from == to && !matches!((&low, &high), (Bound::Included(_), Bound::Included(_))))
        }
        _ => false,
    };
    (!empty).then_some((low, high))
}

fn matches(query: &Query, row: &Row) -> bool {
    query.with.as_ref().is_none_or(|with| *with == row.with)
        && query.start.is_none_or(|start| row.at >= start)
        && query.end.is_none_or(|end| row.at <= end)
        && (!query.deliverable || row.deliverable)
        && query.with_resource.as_deref().is_none_or(|full| mentions(row, full))
}

/// Whether the stanza's other end is `full`.
fn mentions(row: &Row, full: &str) -> bool {
    let name = match row.direction {
        Direction::Received => "from",
        Direction::Sent => "to",
    };
    row.wire.has_attribute(name, full)
}

impl Store {
    /// Rows as they lie there. Reads no more than a page plus one, but for those that a filter passes over.
    pub(crate) fn page_now(
        &self,
        table: Table,
        owner: &BareJid,
        query: &Query,
        limit: usize,
    ) -> Result<Page> {
        self.page_step(table, owner, query, limit, usize::MAX).map(|(page, _)| page)
    }

    /// The same, but after `most` rows that a filter passed over it stops: then it goes on beyond the id returned.
    fn page_step(
        &self,
        table: Table,
        owner: &BareJid,
        query: &Query,
        limit: usize,
        most: usize,
    ) -> Result<(Page, Option<ArchiveId>)> {
        let mut page = Page { rows: Vec::with_capacity(limit.min(256)), complete: true };
        let Some(range) = range(owner, query) else { return Ok((page, None)) };
        let tables = self.disk.read()?;
        let mut found = tables.space(space(table)).range(range);
        let (mut passed, mut stopped) = (0, None);
        while let Some(guard) = if query.backwards { found.next_back() } else { found.next() } {
            let (key, value) = pair(guard)?;
            let row = row::decode(&key, &value)?;
            if !matches(query, &row) {
                passed += 1;
                if passed == most {
                    stopped = Some(row.id);
                    break;
                }
                continue;
            }
            if page.rows.len() == limit {
                page.complete = false;
                break;
            }
            page.rows.push(row);
        }
        if query.backwards {
            page.rows.reverse();
        }
        Ok((page, stopped))
    }

    /// Ids of at most `limit` deliverable rows above `after`, and whether there are more.
    pub(crate) fn deliverable_ids(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(Vec<ArchiveId>, bool)> {
        let Some(range) = range(owner, &Query { after, ..Query::default() }) else {
            return Ok((Vec::new(), false));
        };
        let tables = self.disk.read()?;
        let mut ids = Vec::new();
        for guard in tables.space(space(table)).range(range) {
            let (key, value) = pair(guard)?;
            let row = row::decode(&key, &value)?;
            if row.deliverable {
                if ids.len() == limit {
                    return Ok((ids, true));
                }
                ids.push(row.id);
            }
        }
        Ok((ids, false))
    }

    /// The highest id of `owner` in `table`.
    pub(crate) fn last_now(&self, table: Table, owner: &BareJid) -> Result<Option<ArchiveId>> {
        let Some(range) = range(owner, &Query::default()) else { return Ok(None) };
        let tables = self.disk.read()?;
        let last = tables.space(space(table)).range(range).next_back();
        last.map(|guard| pair(guard).map(|(key, _)| row::id_of(&key))).transpose().map(Option::flatten)
    }
}

#[async_trait]
impl Archive for Store {
    async fn put(&self, table: Table, owner: &BareJid, rows: Vec<Row>) -> Result<()> {
        self.writer.write(puts(table, owner, &rows)).await?;
        // Rows that no commit has numbered, of an import: readers go up to them too.
        if let (Some(slot), Some(last)) =
            (self.slots.loaded(owner), rows.iter().map(|row| row.id.number).max())
        {
            slot.lock().raise(last);
        }
        Ok(())
    }

    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page> {
        // Rule 12: what is committed is stored before it is read past, and nothing committed later is read.
        let slot = self.slot(owner)?;
        let (owed, last) = {
            let slot = slot.lock();
            (slot.owed(), slot.last())
        };
        self.store_rows(owner, owed).await?;
        let (mut query, mut rows) = (query.clone(), Vec::new());
        let last = ArchiveId { number: last, random: u64::MAX };
        query.upto = Some(query.upto.map_or(last, |upto| upto.min(last)));
        loop {
            let (mut page, stopped) = self.page_step(table, owner, &query, limit - rows.len(), PASSED)?;
            if query.backwards {
                page.rows.append(&mut rows);
                rows = page.rows;
            } else {
                rows.append(&mut page.rows);
            }
            let Some(stopped) = stopped else { return Ok(Page { rows, complete: page.complete }) };
            *if query.backwards { &mut query.before } else { &mut query.after } = Some(stopped);
            tokio::task::yield_now().await; // a long search lets others work
        }
    }

    async fn get(&self, table: Table, owner: &BareJid, id: ArchiveId) -> Result<Option<Row>> {
        let key = row::key(owner, id);
        let value = self.disk.read()?.get(space(table), &key)?;
        value.map(|value| row::decode(&key, &value)).transpose()
    }

    async fn last(&self, owner: &BareJid) -> Result<Option<ArchiveId>> {
        Ok(self.last_now(Table::Archive, owner)?.max(self.last_now(Table::Spool, owner)?))
    }

    async fn delete(&self, table: Table, owner: &BareJid, ids: &[ArchiveId]) -> Result<()> {
        self.writer.write(ids.iter().map(|id| Op::Remove(space(table), row::key(owner, *id))).collect()).await
    }

    async fn waiting(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(usize, usize)> {
        let query = Query { after, deliverable: true, ..Query::default() };
        let page = self.page_now(table, owner, &query, limit)?;
        Ok((page.rows.len(), page.rows.iter().map(|row| row.wire.len()).sum()))
    }
}
