//! The store: one value that implements every port which keeps something.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Query, Row, Table};
use starling_ports::clock::Clock;
use starling_ports::ids::{ArchiveId, Life, NodeId};

use crate::ahead::Ahead;
use crate::attempts::Known;
use crate::config::Config;
use crate::disk::Disk;
use crate::error::OpenError;
use crate::housekeeping::Housekeeping;
use crate::leases::Leases;
use crate::random::Random;
use crate::removed::Removed;
use crate::seen::{ClockGap, Seen};
use crate::slots::{Shared, Slots};
use crate::turns::Turns;
use crate::writer::Writer;
use starling_slot::{Context, Facts, Limits, ORIGIN_FOR, ORIGINS, Owed, Slot, Waiting};

/// How many rows one step of the search for origin-ids reads.
const RECENT: usize = 100;
/// How many waiting ids are read at once.
const WAITING: usize = 10_000;

/// What a limit allows: 0 is none. A few of them together are a number still.
fn most(limit: usize) -> usize {
    if limit == 0 { usize::MAX / 8 } else { limit }
}

/// Everything that one process keeps: sessions in memory, the rest on disk.
pub struct Store {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) node: NodeId,
    pub(crate) leases: Leases,
    pub(crate) limits: Limits,
    /// Sessions that it does not know were another one's (session-log rule 9).
    pub(crate) life: Life,
    pub(crate) disk: Arc<Disk>,
    pub(crate) writer: Writer,
    pub(crate) slots: Slots,
    /// How often something has changed with which slots are loaded.
    changes: AtomicU64,
    pub(crate) turns: Turns,
    pub(crate) random: Random,
    pub(crate) rosters: crate::rosters::Cache,
    pub(crate) ahead: Ahead,
    pub(crate) seen: Mutex<Seen>,
    pub(crate) removed: Removed,
    pub(crate) attempts: Known,
    pub(crate) rows_read: AtomicU64,
    pub(crate) nodes: crate::nodes::Board,
    housekeeping: Housekeeping,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("data_dir", &self.config.data_dir).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in `config.data_dir`, or makes one; no other process may have it open. An older format is
    /// migrated, a newer one refused. Sessions that a clean stop saved wait to be resumed on `node`.
    pub fn open(config: &Config, clock: Arc<dyn Clock>, node: NodeId) -> Result<Arc<Store>, OpenError> {
        let (disk, journalled) = Disk::open(&config.data_dir, config.max_open_files)?;
        let disk = Arc::new(disk);
        let limits = Limits {
            stanzas: most(config.log_max_stanzas),
            bytes: most(config.log_max_bytes),
            resume_within: config.resume_within,
            owed_for: std::time::Duration::from_secs(5).saturating_add(config.commit_delay.saturating_mul(2)),
        };
        let ahead = disk.read().and_then(|tables| Ahead::load(&tables));
        let broken =
            |error| OpenError::new(disk.root(), error, "restore a backup with `starling store restore`");
        let ahead = ahead.map_err(broken)?;
        let now = clock.now();
        let mut seen = disk.read().map(|tables| Seen::load(&tables, now)).map_err(broken)?;
        if config.accept_clock {
            seen.accept(now);
        }
        let random = Random::new();
        let store = Arc::new(Store {
            writer: Writer::start(disk.clone(), journalled, config)?,
            config: config.clone(),
            clock,
            node,
            leases: Leases::new(node),
            limits,
            life: Life(random.next() | 1), // never 0
            disk,
            slots: Slots::new(),
            changes: AtomicU64::new(0),
            turns: Turns::new(),
            random,
            rosters: crate::rosters::Cache::new(),
            ahead,
            seen: Mutex::new(seen),
            removed: Removed::new(),
            attempts: Known::default(),
            rows_read: AtomicU64::new(0),
            nodes: Mutex::default(),
            housekeeping: Housekeeping::new(),
        });
        if config.accept_clock {
            let noted = store.writer.write_now(vec![seen.op()]);
            noted
                .map_err(|error| OpenError::new(store.disk.root(), error, "check that the disk has space"))?;
        }
        let restored = store.restore_sessions();
        restored.map_err(|error| {
            OpenError::new(store.disk.root(), error, "restore a backup with `starling store restore`")
        })?;
        store.housekeeping.start(&store)?;
        Ok(store)
    }

    /// Writes what waits and lets go of the directory. Whoever still asks gets `Unavailable`. The second time it does nothing.
    pub fn close(&self) {
        self.housekeeping.stop();
        if self.writer.is_stopped() {
            return;
        }
        let mut ops = self.changed_positions();
        ops.extend(self.changed_sizes());
        ops.push(self.seen.lock().op());
        if let Err(error) = self.writer.later_now(ops) {
            tracing::warn!(%error, "cannot save positions");
        }
        self.writer.stop();
        self.disk.close();
    }

    /// How far the clock is from the newest time that the store has seen, where that wants to be explained.
    pub fn clock_gap(&self) -> Option<ClockGap> {
        self.seen.lock().gap(self.clock.now())
    }

    /// Whether it takes what is new: the disk has room, and the last write was good. Without asking long: the caller has a
    /// deadline.
    pub async fn can_write(&self) -> Result<()> {
        self.writer.probe().await
    }

    /// The account's slot.
    pub(crate) fn slot(&self, account: &BareJid) -> Result<Shared> {
        if let Some(slot) = self.slots.loaded(account) {
            return Ok(slot);
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let facts = self.facts(account)?;
        let now = self.clock.now();
        let slot = self.slots.insert(account, |version| Slot::new(account.clone(), facts, version, now));
        if self.changes.load(Ordering::SeqCst) != changes {
            self.refresh_loaded(account)?; // whoever changed something meanwhile did not find the slot
        }
        Ok(slot)
    }

    fn facts(&self, account: &BareJid) -> Result<Facts> {
        let position = self.position_now(account)?;
        let (waiting, more) = self.waiting_after(account, position.low)?;
        let mut recent = self.recent_rows(Table::Archive, account)?;
        recent.extend(self.recent_rows(Table::Spool, account)?);
        let last = self.last_now(Table::Archive, account)?.max(self.last_now(Table::Spool, account)?);
        // One of this name was removed: its numbers are not given out again.
        let before = self.removed.last(account).map(|number| ArchiveId { number, random: u64::MAX });
        let facts = Facts {
            exists: self.account_now(account)?.is_some(),
            blocked: self.block_list_now(account)?,
            preferences: self.preferences_now(account)?.unwrap_or_default(),
            last: last.max(position.low).max(position.acknowledged.last().copied()).max(before),
            position,
            waiting,
            more,
            life: self.life,
            archived: self.archived_now(account)?,
            ..Facts::default()
        };
        Ok(facts.remembering(recent))
    }

    /// The rows whose origin-ids and stanzas a slot would still know had it been loaded all the time: a sender whose session
    /// was lost with this process sends all again that was not acknowledged (rule 4), and so does one that is registered
    /// again (rule 9).
    fn recent_rows(&self, table: Table, account: &BareJid) -> Result<Vec<Row>> {
        let since = self.clock.now().0.saturating_sub(ORIGIN_FOR.as_micros() as u64);
        let mut query = Query { backwards: true, ..Query::default() };
        let mut rows = Vec::new();
        loop {
            let page = self.page_now(table, account, &query, RECENT)?;
            query.before = page.rows.first().filter(|row| row.at.0 >= since).map(|row| row.id);
            rows.extend(page.rows.into_iter().rev().take_while(|row| row.at.0 >= since));
            if page.complete || query.before.is_none() || rows.len() >= ORIGINS {
                return Ok(rows);
            }
        }
    }

    /// Deliverable rows above `after`, oldest first, and whether there are more.
    pub(crate) fn waiting_after(
        &self,
        account: &BareJid,
        after: Option<ArchiveId>,
    ) -> Result<(Vec<Waiting>, bool)> {
        let mut ids = Vec::new();
        let mut more = false;
        for table in [Table::Archive, Table::Spool] {
            let (found, rest) = self.deliverable_ids(table, account, after, WAITING)?;
            ids.extend(found);
            more |= rest;
        }
        ids.sort_unstable();
        more |= ids.len() > WAITING;
        ids.truncate(WAITING);
        Ok((ids, more))
    }

    /// What a step in a slot needs.
    pub(crate) fn step<T>(&self, act: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut random = || self.random.next();
        let (now, is_failing) = (self.clock.now(), self.writer.is_failing());
        let mut context = Context { now, clock: now, limits: &self.limits, is_failing, random: &mut random };
        act(&mut context)
    }

    /// Stores what is committed at `account` and not stored yet (rules 12 and 13).
    pub(crate) async fn store_owed_now(&self, account: &BareJid) -> Result<()> {
        let Some(slot) = self.slots.loaded(account) else { return Ok(()) };
        let owed = slot.lock().owed();
        self.store_rows(account, owed).await
    }

    pub(crate) async fn store_rows(&self, account: &BareJid, owed: Vec<Owed>) -> Result<()> {
        if owed.is_empty() {
            return Ok(());
        }
        let ids: Vec<ArchiveId> = owed.iter().map(|owed| owed.row.id).collect();
        let writing = self.removed.writing().await;
        let removed = self.removed.last(account);
        let kept = owed.iter().filter(|owed| removed.is_none_or(|last| owed.row.id.number > last));
        let put = |owed: &Owed| self.puts(owed.table, account, std::slice::from_ref(&owed.row));
        self.writer.write(kept.flat_map(put).collect()).await?;
        drop(writing);
        if let Some(slot) = self.slots.loaded(account) {
            slot.lock().settle(&ids, None);
        }
        Ok(())
    }

    /// An account was made or removed.
    pub(crate) fn forget(&self, account: &BareJid) {
        if let Err(error) = self.refresh_now(account) {
            tracing::warn!(%error, "cannot read an account anew");
        }
    }

    /// What an account's slot is loaded with has changed.
    pub(crate) fn refresh_now(&self, account: &BareJid) -> Result<()> {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.refresh_loaded(account)
    }

    fn refresh_loaded(&self, account: &BareJid) -> Result<()> {
        let Some(slot) = self.slots.loaded(account) else { return Ok(()) };
        let mut slot = slot.lock(); // of two that read anew, the later one has the last word
        let exists = self.account_now(account)?.is_some();
        let (blocked, preferences) = (self.block_list_now(account)?, self.preferences_now(account)?);
        slot.refresh(exists, blocked, preferences.unwrap_or_default());
        Ok(())
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.close();
    }
}
