//! The messages of an account: its archive, and what waits for it.

use std::collections::VecDeque;

use anyhow::Result;
use starling_jid::BareJid;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::position::{Position, Positions};
use starling_stanza::added;

use super::super::pie;
use super::file::Whole;
use super::source::Stores;

/// Rows of one step.
const STEP: usize = 200;

/// Rows of one table, read page by page.
struct Rows<'a> {
    stores: &'a dyn Stores,
    owner: &'a BareJid,
    table: Table,
    query: Query,
    read: VecDeque<Row>,
    is_complete: bool,
}

impl<'a> Rows<'a> {
    fn of(stores: &'a dyn Stores, owner: &'a BareJid, table: Table, query: Query) -> Rows<'a> {
        Rows { stores, owner, table, query, read: VecDeque::new(), is_complete: false }
    }

    /// The next one, which stays there.
    async fn peek(&mut self) -> Result<Option<&Row>> {
        if self.read.is_empty() && !self.is_complete {
            let page = Archive::page(self.stores, self.table, self.owner, &self.query, STEP).await?;
            self.is_complete = page.complete;
            self.query.after = page.rows.last().map(|row| row.id).or(self.query.after);
            self.read = page.rows.into();
        }
        Ok(self.read.front())
    }

    async fn next(&mut self) -> Result<Option<Row>> {
        self.peek().await?;
        Ok(self.read.pop_front())
    }
}

/// As XEP-0313 hands them out. How many there are.
pub(super) async fn archive(stores: &dyn Stores, owner: &BareJid, out: &mut Whole) -> Result<usize> {
    let (mut rows, mut count) = (Rows::of(stores, owner, Table::Archive, Query::default()), 0);
    while let Some(row) = rows.next().await? {
        if count == 0 {
            out.write(format!("<archive xmlns='{}'>\n", pie::ARCHIVE).as_bytes())?;
        }
        count += 1;
        out.write(&result(&row))?;
    }
    if count > 0 {
        out.write(b"</archive>\n")?;
    }
    Ok(count)
}

/// What no device has acknowledged yet, from both tables, the oldest first. How many there are.
pub(super) async fn waiting(stores: &dyn Stores, owner: &BareJid, out: &mut Whole) -> Result<usize> {
    let Position { low, acknowledged } = Positions::get(stores, owner).await?;
    let query = Query { after: low, deliverable: true, ..Query::default() };
    let mut archived = Rows::of(stores, owner, Table::Archive, query.clone());
    let mut spooled = Rows::of(stores, owner, Table::Spool, query);
    let mut count = 0;
    loop {
        let of_archive = archived.peek().await?.map(|row| row.id);
        let of_spool = spooled.peek().await?.map(|row| row.id);
        let is_archived = match (of_archive, of_spool) {
            (None, None) => break,
            (Some(one), Some(other)) => one < other,
            (one, None) => one.is_some(),
            (None, Some(_)) => false,
        };
        let next = if is_archived { archived.next().await? } else { spooled.next().await? };
        let Some(row) = next.filter(|row| !acknowledged.contains(&row.id)) else { continue };
        if count == 0 {
            out.write(b"<offline-messages>\n")?;
        }
        count += 1;
        out.write(&offline(owner, &row))?;
    }
    if count > 0 {
        out.write(b"</offline-messages>\n")?;
    }
    Ok(count)
}

fn result(row: &Row) -> Vec<u8> {
    let mut out = Vec::new();
    added::result(&mut out, None, &row.id.text(), &row.at.to_xep_0082(), &row.wire);
    out.push(b'\n');
    out
}

/// With the time at which the server took it (XEP-0203), and its id (XEP-0359).
fn offline(owner: &BareJid, row: &Row) -> Vec<u8> {
    let mut more = Vec::new();
    added::stanza_id(&mut more, &row.id.text(), owner.as_str());
    added::delay(&mut more, Some(owner.domain()), &row.at.to_xep_0082());
    let mut out = Vec::new();
    row.wire.write(&mut out, false, None, &more);
    out.push(b'\n');
    out
}
