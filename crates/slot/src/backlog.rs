//! Pull: the one way in which entries come out of a log, and out of the store behind it (rules 16 and 17).

use std::sync::Arc;

use starling_ports::archive::{Direction, Page, Query, Row, Table};
use starling_ports::delivery::{Copy, Entry};
use starling_ports::ids::{ArchiveId, Epoch, Life, LogNumber, SessionId};
use starling_ports::sessions::Pulled;

use crate::commit::late;
use crate::log::{Logged, Stanza};
use crate::session::Session;
use crate::{Context, Limits, Owed, Slot};

/// What a pull comes to.
pub enum Need {
    /// The entries, in order; those whose rows are owed are to be stored first.
    Ready(Pulled),
    /// The store is to be read after this number.
    Page(u64),
}

/// What the store had after the session's place in it.
#[derive(Debug, Clone)]
pub struct Scan {
    /// In the order of their ids.
    pub rows: Vec<(Table, Row)>,
    /// Nothing was left beyond them.
    pub complete: bool,
    /// The last number given out when the scan began.
    pub last: u64,
}

impl Scan {
    /// How many rows of each table one look takes.
    pub const ROWS: usize = 256;

    /// What is asked of both tables. Nothing above `last`: there a row may be stored though one below it is not yet, and whoever
    /// went on behind it would miss that one (rule 12).
    pub fn query(after: u64, last: u64) -> Query {
        let after = ArchiveId { number: after, random: u64::MAX };
        let upto = Some(ArchiveId { number: last, random: u64::MAX });
        Query { after: Some(after), upto, ..Query::default() }
    }

    /// What they have. Beyond the end of an incomplete page the other table must not run ahead.
    pub fn of(archive: Page, spool: Page, last: u64) -> Scan {
        let ends = [&archive, &spool].into_iter().filter(|page| !page.complete);
        let end = ends.filter_map(|page| page.rows.last().map(|row| row.id)).min();
        let of = |table: Table| move |row: Row| (table, row);
        let (archive, spool) = (archive.rows.into_iter(), spool.rows.into_iter());
        let rows = archive.map(of(Table::Archive)).chain(spool.map(of(Table::Spool)));
        let mut rows: Vec<_> = rows.filter(|(_, row)| end.is_none_or(|end| row.id <= end)).collect();
        rows.sort_by_key(|(_, row)| row.id);
        Scan { rows, complete: end.is_none(), last }
    }
}

/// Of what is owed, what a pull hands out: it is stored before.
pub fn handed_out(owed: Vec<Owed>, pulled: &Pulled) -> Vec<Owed> {
    let is_handed = |owed: &Owed| pulled.entries.iter().any(|entry| entry.committed.id == Some(owed.row.id));
    owed.into_iter().filter(is_handed).collect()
}

/// So many bytes one pull hands out, or the whole of the stanza that goes beyond: where many clients come back at once, what all of
/// them have missed is never in memory together.
const HANDED: usize = 64 * 1024;

const NOTHING: Pulled = Pulled { entries: Vec::new(), more: false };

impl Slot {
    /// See `Sessions::pull`. With nothing to hand out but `more`, the log is full: pull again after an acknowledgement.
    pub fn pull(
        &mut self,
        limits: &Limits,
        id: SessionId,
        epoch: Epoch,
        after: LogNumber,
        limit: usize,
    ) -> Need {
        let Some(session) = self.owned_mut(id, epoch) else { return Need::Ready(NOTHING) };
        let numbered = session.log.len();
        let skip = usize::try_from(after.0.saturating_sub(session.acknowledged)).unwrap_or(usize::MAX);
        if session.is_flowing(false) && numbered.saturating_sub(skip) < limit {
            session.flush(limits, limit - numbered.saturating_sub(skip));
        }
        let (entries, rest) = entries(session, skip, limit);
        let held = !session.held.is_empty() && session.is_flowing(false);
        let pulls = session
            .backlog
            .filter(|_| session.attached && session.held.is_empty() && session.has_room(limits));
        match pulls {
            Some(backlog) if entries.is_empty() && !rest => Need::Page(backlog.after),
            _ => Need::Ready(Pulled { entries, more: rest || held || session.backlog.is_some() }),
        }
    }

    /// Numbers what the store had, and hands out what lies behind `after`: another pull of the same session may have numbered more
    /// meanwhile, by a router that its node had left. `None`: nothing of it was for this session, read on.
    pub fn absorb(
        &mut self,
        context: &Context<'_>,
        id: SessionId,
        epoch: Epoch,
        scan: Scan,
        after: LogNumber,
        limit: usize,
    ) -> Option<Pulled> {
        // Its place in the store may be that of before its store came back: it waits for its node then (rule 9).
        let is_it = |session: &Session| session.id == id && session.epoch == epoch && !session.doubtful;
        let Some(at) = self.sessions.iter().position(is_it) else {
            return Some(NOTHING);
        };
        let mut left = limit;
        let mut finished = scan.complete && scan.last == self.last;
        for (table, row) in scan.rows {
            // A row of a lost commit may have the number of one that was made since: that one is not passed over.
            let number = row.id.number.saturating_sub(u64::from(self.is_orphan(&row)));
            let copy = self.wants(at, &row);
            let session = self.sessions.get_mut(at)?;
            let Some(backlog) = session.backlog.filter(|backlog| backlog.after < number) else { continue };
            if let Some((copy, is_late)) = copy {
                if left == 0 || !session.has_room(context.limits) {
                    finished = false;
                    break;
                }
                let stanza = Arc::new(Stanza::stored(table, row));
                session.push(Logged { copy, late: is_late, ..late(stanza) });
                left -= 1;
            }
            session.backlog = Some(crate::Backlog { after: number, ..backlog });
        }
        let session = self.sessions.get_mut(at)?;
        if finished {
            // The switch to live, under the slot's lock: nothing was committed since the scan (rule 17).
            session.backlog = None;
            let mut behind = std::mem::take(&mut session.behind);
            session.held.append(&mut behind);
            if session.is_flowing(false) {
                session.flush(context.limits, left);
            }
        }
        let skip = usize::try_from(after.0.saturating_sub(session.acknowledged)).unwrap_or(usize::MAX);
        let (entries, rest) = entries(session, skip, limit);
        if entries.is_empty() && !finished && session.has_room(context.limits) {
            return None;
        }
        let held = !session.held.is_empty() && session.is_flowing(false);
        Some(Pulled { entries, more: rest || session.backlog.is_some() || held })
    }

    /// What was committed in a former life and not found when this one was verified is no commit any more (rule 8).
    fn is_orphan(&self, row: &Row) -> bool {
        let is_former = row.born.life != self.life && row.born.life != Life::UNKNOWN;
        is_former && !self.pending.contains(row.id)
    }

    /// Whether a stored row goes to the session at `at`: how, and whether it comes late.
    fn wants(&self, at: usize, row: &Row) -> Option<(Copy, bool)> {
        let session = self.sessions.get(at)?;
        let backlog = session.backlog?;
        if session.holds(row.id) {
            return None;
        }
        if self.is_orphan(row) {
            return None;
        }
        let own = row.resource.as_deref() == Some(session.jid.resource());
        if row.id.number <= backlog.before {
            // It waits for a device; one that is connected and holds it may still acknowledge it.
            let elsewhere = |other: &Session| other.attached && other.id != session.id && other.holds(row.id);
            let waits =
                row.deliverable && self.pending.contains(row.id) && !self.sessions.iter().any(elsewhere);
            return (waits && (own || session.takes_bare())).then_some((Copy::Original, true));
        }
        match row.direction {
            Direction::Received if own => Some((Copy::Original, false)),
            Direction::Received if row.resource.is_none() => {
                session.takes_bare().then_some((Copy::Original, false))
            }
            Direction::Received => {
                let copied = session.flags.carbons && row.copied;
                copied.then_some((Copy::CarbonReceived, false))
            }
            Direction::Sent => {
                let mine = row.wire.has_attribute("from", session.jid.as_str());
                (session.flags.carbons && row.copied && !mine).then_some((Copy::CarbonSent, false))
            }
        }
    }
}

/// At most `limit` numbered entries behind the first `skip`, and no more when they have [`HANDED`] bytes; whether there are others.
fn entries(session: &Session, skip: usize, limit: usize) -> (Vec<Entry>, bool) {
    let first = session.acknowledged + 1;
    let mut bytes = 0;
    let has_room = |(_, logged): &(usize, &Logged)| {
        let before = bytes;
        bytes += logged.bytes();
        before < HANDED
    };
    let numbered = session.log.iter().enumerate().skip(skip).take(limit).take_while(has_room);
    let entries: Vec<Entry> = numbered.map(|(at, logged)| logged.entry(first + at as u64)).collect();
    let rest = session.log.len() > skip.saturating_add(entries.len());
    (entries, rest)
}
