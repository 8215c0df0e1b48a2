//! What the other stores know of an account: of this its slot is made where there is no record, or an older one.

use std::sync::Arc;

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::accounts::Accounts;
use starling_ports::archive::{Archive, Query, Row, Table};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::clock::Clock;
use starling_ports::ids::{ArchiveId, Life, Timestamp};
use starling_ports::position::Positions;
use starling_ports::preferences::{PreferenceStore, Preferences};
use starling_slot::{Facts, ORIGIN_FOR, ORIGINS, Owed, Scan, Waiting};

/// How many rows one step of the search for origin-ids reads.
const ROWS: usize = 256;
/// How many waiting messages are known at once; what waits beyond them is read when they are done.
const WAITING: usize = 500;

/// The stores in which lies what must outlive Redis.
#[derive(Clone)]
pub struct Ports {
    /// Who has an account.
    pub accounts: Arc<dyn Accounts>,
    /// Whom they block.
    pub blocklists: Arc<dyn BlockLists>,
    /// What they want archived.
    pub preferences: Arc<dyn PreferenceStore>,
    /// What was said.
    pub archive: Arc<dyn Archive>,
    /// How far it was acknowledged.
    pub positions: Arc<dyn Positions>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Ports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ports")
    }
}

/// Whether there is the account, whom it blocks, and what it wants archived.
pub(crate) type Lists = (bool, BlockList, Preferences);

impl Ports {
    pub(crate) async fn lists(&self, account: &BareJid) -> Result<Lists> {
        let exists = self.accounts.get(account).await?.is_some();
        let blocked = self.blocklists.get(account).await?;
        Ok((exists, blocked, self.preferences.get(account).await?.unwrap_or_default()))
    }

    /// `now` is the time of all routers.
    pub(crate) async fn facts(&self, account: &BareJid, now: Timestamp, life: Life) -> Result<Facts> {
        let (exists, blocked, preferences) = self.lists(account).await?;
        let position = self.positions.get(account).await?;
        let (mut waiting, more) = self.waiting_after(account, position.low).await?;
        let mut recent = self.recent_rows(Table::Archive, account, now).await?;
        recent.extend(self.recent_rows(Table::Spool, account, now).await?);
        add_what_came_meanwhile(&mut waiting, more, &recent, position.low);
        let last = self.archive.last(account).await?;
        let facts = Facts {
            exists,
            blocked,
            preferences,
            last: last.max(position.low).max(position.acknowledged.last().copied()),
            position,
            waiting,
            more,
            life,
            ..Facts::default()
        };
        Ok(facts.remembering(recent))
    }

    /// The rows whose origin-ids and stanzas a slot would still know (rules 4 and 8).
    async fn recent_rows(&self, table: Table, account: &BareJid, now: Timestamp) -> Result<Vec<Row>> {
        let since = now.0.saturating_sub(ORIGIN_FOR.as_micros() as u64);
        let mut query = Query { backwards: true, start: Some(Timestamp(since)), ..Query::default() };
        let mut rows = Vec::new();
        loop {
            let page = self.archive.page(table, account, &query, ROWS).await?;
            query.before = page.rows.first().map(|row| row.id);
            rows.extend(page.rows.into_iter().rev());
            if page.complete || query.before.is_none() || rows.len() >= ORIGINS {
                return Ok(rows);
            }
        }
    }

    /// Deliverable rows above `after`, oldest first, and whether there are more.
    pub(crate) async fn waiting_after(
        &self,
        account: &BareJid,
        after: Option<ArchiveId>,
    ) -> Result<(Vec<Waiting>, bool)> {
        let query = Query { after, deliverable: true, ..Query::default() };
        let (mut ids, mut more, mut ends) = (Vec::new(), false, None);
        for table in [Table::Archive, Table::Spool] {
            let page = self.archive.page(table, account, &query, WAITING).await?;
            ids.extend(page.rows.iter().map(as_waiting));
            if !page.complete {
                more = true;
                let end = page.rows.last().map(|row| row.id);
                ends = ends.map_or(end, |before: ArchiveId| end.map(|end| end.min(before)));
            }
        }
        ids.sort_unstable();
        if let Some(end) = ends {
            ids.retain(|(id, _)| *id <= end); // beyond it the other table must not run ahead
        }
        Ok((ids, more))
    }

    /// What lies in both tables after `after`, up to `last`.
    pub(crate) async fn scan(&self, account: &BareJid, after: u64, last: u64) -> Result<Scan> {
        let query = Scan::query(after, last);
        let archive = self.archive.page(Table::Archive, account, &query, Scan::ROWS).await?;
        let spool = self.archive.page(Table::Spool, account, &query, Scan::ROWS).await?;
        Ok(Scan::of(archive, spool, last))
    }

    /// Writes rows to their tables.
    pub(crate) async fn store(&self, account: &BareJid, owed: Vec<Owed>) -> Result<Vec<ArchiveId>> {
        let ids = owed.iter().map(|owed| owed.row.id).collect();
        let (archived, spooled): (Vec<Owed>, Vec<Owed>) =
            owed.into_iter().partition(|owed| owed.table == Table::Archive);
        for (table, owed) in [(Table::Archive, archived), (Table::Spool, spooled)] {
            if !owed.is_empty() {
                let rows = owed.into_iter().map(|owed| owed.row).collect();
                self.archive.put(table, account, rows).await?;
            }
        }
        Ok(ids)
    }
}

/// A router may write a row between the two reads. The later one remembers it as committed, so its sender is told that it was: then it
/// waits, too. One that comes after both is unknown, and is committed anew (rule 8).
fn add_what_came_meanwhile(waiting: &mut Vec<Waiting>, more: bool, recent: &[Row], low: Option<ArchiveId>) {
    let end = waiting.last().map(|(id, _)| *id).filter(|_| more);
    let is_there = |row: &&Row| waiting.binary_search_by_key(&row.id, |(id, _)| *id).is_ok();
    let came = |row: &&Row| {
        row.deliverable && Some(row.id) > low && end.is_none_or(|end| row.id <= end) && !is_there(row)
    };
    let late: Vec<Waiting> = recent.iter().filter(came).map(as_waiting).collect();
    waiting.extend(late);
    waiting.sort_unstable();
}

fn as_waiting(row: &Row) -> Waiting {
    (row.id, u32::try_from(row.wire.len()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use starling_ports::archive::{Born, Direction};
    use starling_stanza::Wire;
    use tokio_util::bytes::Bytes;

    use super::*;

    fn id(number: u64) -> ArchiveId {
        ArchiveId { number, random: 7 }
    }

    fn row(number: u64, deliverable: bool) -> Row {
        Row {
            id: id(number),
            at: Timestamp(0),
            with: BareJid::new("alice@example.org").unwrap(),
            direction: Direction::Received,
            resource: None,
            deliverable,
            copied: true,
            origin: None,
            born: Born::default(),
            wire: Wire::from_bytes(Bytes::from_static(b"<message type='chat'><body>a</body>")).unwrap(),
        }
    }

    fn waits(waiting: &[u64], more: bool, recent: &[Row]) -> Vec<u64> {
        let mut waiting: Vec<Waiting> = waiting.iter().map(|number| (id(*number), 35)).collect();
        add_what_came_meanwhile(&mut waiting, more, recent, Some(id(2)));
        waiting.iter().map(|(id, _)| id.number).collect()
    }

    #[test]
    fn rule_8_a_row_that_is_known_as_committed_waits() {
        let recent = [row(9, true), row(5, true), row(4, true), row(3, false), row(2, true), row(1, true)];
        assert_eq!(
            waits(&[4], false, &recent),
            [4, 5, 9],
            "not what is past the position, or only the sender's copy"
        );
        assert_eq!(waits(&[], false, &recent), [4, 5, 9]);
        assert_eq!(waits(&[4, 6], true, &recent), [4, 5, 6], "what is beyond the last one is read later");
    }
}
