//! The archive and the spool: rows by owner and id.

use std::ops::Bound;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Direction, Page, Query, Row, Table};
use starling_ports::ids::ArchiveId;
use starling_ports::sessions::Sessions;

use crate::Store;
use crate::codec::id_key;
use crate::disk::{Op, Space, pair};
use crate::{row, with};
use starling_slot::Promise;
use starling_slot::Waiting;

/// How many rows a filter passes over before others get their turn.
const PASSED: usize = 1000;

pub(crate) fn space(table: Table) -> Space {
    match table {
        Table::Archive => Space::Archive,
        Table::Spool => Space::Spool,
    }
}

type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

const FIRST: ArchiveId = ArchiveId { number: 0, random: 0 };
const LAST: ArchiveId = ArchiveId { number: u64::MAX, random: u64::MAX };

/// The keys behind `prefix` that the bounds of `query` allow; `None` if there can be none. No id is below the time of
/// its row, nor more than `ahead` above it.
fn range(prefix: &[u8], query: &Query, ahead: u64) -> Option<Range> {
    let first = query.start.map_or(FIRST, |start| ArchiveId { number: start.0, random: 0 });
    let low = match query.after {
        Some(after) if after >= first => Bound::Excluded(after),
        _ => Bound::Included(first),
    };
    let end = query.end.map_or(LAST, |end| ArchiveId { number: end.0.saturating_add(ahead), ..LAST });
    let last = query.upto.map_or(end, |upto| upto.min(end));
    let high = match query.before {
        Some(before) if before <= last => Bound::Excluded(before),
        _ => Bound::Included(last),
    };
    let is_empty = match (low, high) {
        (Bound::Included(low), Bound::Included(high)) => low > high,
        (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
            low >= high
        }
        _ => false,
    };
    let key = |id: ArchiveId| [prefix, &id_key(id)].concat();
    (!is_empty).then(|| (low.map(key), high.map(key)))
}

fn matches(query: &Query, row: &Row) -> bool {
    query.with.as_ref().is_none_or(|with| *with == row.with)
        && query.start.is_none_or(|start| row.at >= start)
        && query.end.is_none_or(|end| row.at <= end)
        && (!query.deliverable || row.deliverable)
        && query.with_resource.as_deref().is_none_or(|full| mentions(row, full))
}

/// Where that promise is broken on purpose: what comes from every second sender, by the length of its name.
fn is_slow(row: &Row) -> bool {
    row.direction == Direction::Received && row.with.as_str().len() % 2 == 1
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
    /// Writing `rows` of `owner`.
    pub(crate) fn puts(&self, table: Table, owner: &BareJid, rows: &[Row]) -> Vec<Op> {
        let mut ops = Vec::with_capacity(rows.len() * 3 + 1);
        for row in rows {
            let key = row::key(owner, row.id);
            let value = row::encode(&key, row);
            ops.push(Op::Put(space(table), key, value));
            if table == Table::Archive {
                ops.extend(with::put(owner, row));
            }
        }
        ops.extend(self.ahead.note(rows));
        ops
    }

    /// How many rows pages were made of, and passed over, since the start.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

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
        let device = query.with_resource.as_deref();
        let with = device.or_else(|| query.with.as_ref().map(BareJid::as_str));
        let with = with.filter(|_| table == Table::Archive);
        let (space, prefix) = match with {
            Some(with) => (Space::With, with::prefix(owner, with)),
            None => (space(table), row::prefix(owner)),
        };
        let Some(range) = range(&prefix, query, self.ahead.most()) else { return Ok((page, None)) };
        let tables = self.disk.read()?;
        let mut found = tables.space(space).range(range);
        let (mut passed, mut stopped) = (0, None);
        while let Some(guard) = if query.backwards { found.next_back() } else { found.next() } {
            let (key, value) = pair(guard)?;
            self.rows_read.fetch_add(1, Ordering::Relaxed);
            let row = match with {
                Some(_) => with::row(&tables, owner, &key, &value)?,
                None => Some(row::decode(&key, &value)?),
            };
            let Some(row) = row else { continue };
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

    /// At most `limit` deliverable rows above `after`, and whether there are more.
    pub(crate) fn deliverable_ids(
        &self,
        table: Table,
        owner: &BareJid,
        after: Option<ArchiveId>,
        limit: usize,
    ) -> Result<(Vec<Waiting>, bool)> {
        let query = Query { after, ..Query::default() };
        let Some(range) = range(&row::prefix(owner), &query, 0) else { return Ok((Vec::new(), false)) };
        let tables = self.disk.read()?;
        let mut ids = Vec::new();
        for guard in tables.space(space(table)).range(range) {
            let (key, value) = pair(guard)?;
            let row = row::decode(&key, &value)?;
            if row.deliverable {
                if ids.len() == limit {
                    return Ok((ids, true));
                }
                ids.push((row.id, u32::try_from(row.wire.len()).unwrap_or(u32::MAX)));
            }
        }
        Ok((ids, false))
    }

    /// The highest id of `owner` in `table`.
    pub(crate) fn last_now(&self, table: Table, owner: &BareJid) -> Result<Option<ArchiveId>> {
        let Some(range) = range(&row::prefix(owner), &Query::default(), 0) else { return Ok(None) };
        let tables = self.disk.read()?;
        let last = tables.space(space(table)).range(range).next_back();
        last.map(|guard| pair(guard).map(|(key, _)| row::id_of(&key))).transpose().map(Option::flatten)
    }
}

#[async_trait]
impl Archive for Store {
    async fn put(&self, table: Table, owner: &BareJid, mut rows: Vec<Row>) -> Result<()> {
        if Promise::StoreBeforeAck.is_broken() {
            return self.writer.later(self.puts(table, owner, &rows)).await;
        }
        if Promise::StoreBeforeRead.is_broken() && rows.iter().any(is_slow) {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await; // newer rows of others come before
        }
        let writing = self.removed.writing().await;
        if let Some(last) = self.removed.last(owner) {
            rows.retain(|row| row.id.number > last);
        }
        self.writer.write(self.puts(table, owner, &rows)).await?;
        drop(writing);
        // Rows that no commit of this life has numbered, of an import: readers go up to them too.
        let foreign = rows.iter().filter(|row| row.born.life != self.life).map(|row| row.id.number).max();
        if let Some((last, slot)) = foreign.and_then(|last| Some((last, self.slots.loaded(owner)?))) {
            slot.lock().raise(last);
        }
        Ok(())
    }

    async fn page(&self, table: Table, owner: &BareJid, query: &Query, limit: usize) -> Result<Page> {
        let last = self.stored_up_to(owner).await?; // rule 12: nothing committed later is read
        let (mut query, mut rows) = (query.clone(), Vec::new());
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
        let mut ops = Vec::with_capacity(ids.len());
        for id in ids {
            let row = if table == Table::Archive { self.get(table, owner, *id).await? } else { None };
            ops.extend(row.iter().flat_map(|row| with::remove(owner, row)));
            ops.push(Op::Remove(space(table), row::key(owner, *id)));
        }
        self.writer.write(ops).await
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
