//! What nobody waits for: riders that no step took along, positions, rows of the spool, leases, forgetting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Table;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Sessions;
use crate::cells::{Cell, Riders};
use crate::keys;
use crate::step::Trust;

/// How long riders wait for a step that takes them along.
const SOON: Duration = Duration::from_millis(30);
/// How often positions are saved: so much may be repeated when Redis has lost everything.
const OFTEN: Duration = Duration::from_secs(1);
/// How often idle accounts are forgotten.
const SELDOM: Duration = Duration::from_secs(30);
/// After this time an account is idle.
const IDLE: Duration = Duration::from_secs(600);
/// How many accounts are written at once.
const AT_ONCE: usize = 64;

/// Accounts with riders that nobody has taken along yet.
#[derive(Default)]
pub(crate) struct Waiting {
    cells: Mutex<Vec<Arc<Cell>>>,
    some: Notify,
}

impl Sessions {
    /// Leaves something to the next step of the account.
    pub(crate) fn ride(&self, account: &BareJid, add: impl FnOnce(&mut Riders)) {
        let cell = self.cells.get(account);
        add(&mut cell.riders.lock());
        let is_scheduled = std::mem::replace(&mut cell.state.lock().is_scheduled, true);
        if !is_scheduled {
            self.waiting.cells.lock().push(cell);
            self.waiting.some.notify_one();
        }
    }

    /// Until the stop.
    pub(crate) async fn keep_house(self: Arc<Self>) {
        let lease = self.config.lease / 3;
        let (mut often, mut seldom, mut leases) =
            (tokio::time::interval(OFTEN), tokio::time::interval(SELDOM), tokio::time::interval(lease));
        for ticks in [&mut often, &mut seldom, &mut leases] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.waiting.some.notified() => {
                    tokio::time::sleep(SOON).await;
                    self.write_riders().await;
                }
                _ = leases.tick() => self.renew_own_lease().await,
                _ = often.tick() => self.save_changed().await,
                _ = seldom.tick() => {
                    self.cells.unload(IDLE);
                    self.clear_own_index().await;
                }
            }
        }
    }

    async fn write_riders(self: &Arc<Self>) {
        let cells = std::mem::take(&mut *self.waiting.cells.lock());
        let mut writing = JoinSet::new();
        for cell in cells {
            cell.state.lock().is_scheduled = false;
            if cell.riders.lock().is_empty() {
                continue;
            }
            if writing.len() >= AT_ONCE {
                writing.join_next().await;
            }
            let sessions = self.clone();
            writing.spawn(async move { sessions.write_one(&cell).await });
        }
        while writing.join_next().await.is_some() {}
    }

    async fn write_one(&self, cell: &Cell) {
        let written = self.step(&cell.account, |()| Trust::Known, |_, _| ()).await;
        if let Err(error) = written {
            tracing::debug!(%error, "what can wait goes on waiting");
            self.ride(&cell.account, |_| ());
        }
        if let Err(error) = self.refill(cell).await {
            tracing::debug!(%error, "what waits for an account is not read yet");
        }
    }

    /// Reads what waits beyond what was known of it, when all that is done.
    async fn refill(&self, cell: &Cell) -> Result<()> {
        let Some(after) = cell.state.lock().refill else { return Ok(()) };
        let (owed, _) = self.owed(&cell.account).await?;
        self.store_rows(&cell.account, owed).await?;
        let (waiting, more) = self.ports.waiting_after(&cell.account, Some(after)).await?;
        let refill = |slot: &mut starling_slot::Slot, _: &mut starling_slot::Context<'_>| {
            if slot.wants_refill() == Some(after) {
                slot.refill(waiting.clone(), more);
            }
        };
        self.step(&cell.account, |()| Trust::Asked, refill).await
    }

    async fn save_changed(&self) {
        let mut changed = Vec::new();
        self.cells.each(|cell| {
            if cell.state.lock().has_changed {
                changed.push(cell.clone());
            }
        });
        for cell in changed {
            if let Err(error) = self.save_one(&cell).await {
                tracing::debug!(%error, "a position is not saved yet");
            }
        }
    }

    /// The position goes to its store, rows of the spool go; only then does the record say so.
    async fn save_one(&self, cell: &Cell) -> Result<()> {
        let look = |slot: &mut starling_slot::Slot, _: &mut starling_slot::Context<'_>| {
            (slot.changed_position(), slot.collected())
        };
        let (position, gone) = self.step(&cell.account, |_| Trust::Known, look).await?;
        if let Some(position) = position {
            self.ports.positions.save(&cell.account, position.clone()).await?;
            self.ride(&cell.account, |riders| riders.position = Some(position));
        }
        if !gone.is_empty() {
            self.ports.archive.delete(Table::Spool, &cell.account, &gone).await?;
            self.ride(&cell.account, |riders| riders.deleted.extend(gone));
        }
        Ok(())
    }

    /// All that waits is written now.
    pub(crate) async fn write_all(&self) -> Result<()> {
        self.write_waiting().await?;
        self.save_changed().await; // what was acknowledged is in the record only now
        self.write_waiting().await
    }

    async fn write_waiting(&self) -> Result<()> {
        let mut cells = Vec::new();
        self.cells.each(|cell| {
            if !cell.riders.lock().is_empty() {
                cells.push(cell.clone());
            }
        });
        for cell in cells {
            self.step(&cell.account, |()| Trust::Known, |_, _| ()).await?;
        }
        Ok(())
    }

    /// What this router may owe is looked after by others when it has not said for a whole lease that it lives.
    async fn renew_own_lease(&self) {
        let (now, _) = self.link.now();
        let mut command = redis::cmd("ZADD");
        command.arg(keys::ROUTERS).arg(now.after(self.config.lease).0).arg(&self.name);
        if let Err(failure) = self.link.command::<()>("lease", &command).await {
            tracing::debug!(?failure, "the lease of this router is not renewed");
        }
    }

    /// Accounts at which nothing is owed any more.
    async fn clear_own_index(&self) {
        let mut idle = Vec::new();
        self.cells.each(|cell| {
            let state = cell.state.lock();
            if state.owes_since.is_none() && !state.has_changed && state.used.elapsed() > SELDOM {
                idle.push(cell.clone());
            }
        });
        let mut gone = redis::cmd("SREM");
        gone.arg(keys::owed_by(&self.name));
        let mut held = Vec::new();
        for cell in &idle {
            // Nobody can add it meanwhile: that is done under this lock.
            let Ok(mut inner) = cell.inner.try_lock() else { continue };
            let is_old = inner.indexed.owed.is_some_and(|said: Instant| said.elapsed() > SELDOM);
            if is_old && cell.state.lock().owes_since.is_none() {
                inner.indexed.owed = None;
                gone.arg(cell.account.as_str());
                held.push(inner);
            }
        }
        if !held.is_empty()
            && let Err(failure) = self.link.command::<()>("index", &gone).await
        {
            tracing::debug!(?failure, "an index names too much");
        }
    }
}
