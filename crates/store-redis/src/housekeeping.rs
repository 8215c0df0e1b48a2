//! What nobody waits for: positions, rows of the spool, leases, forgetting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use starling_ports::Result;
use starling_ports::archive::Table;

use crate::Sessions;
use crate::cells::{Cell, Indexed};
use crate::keys;
use crate::riders::{Due, LOOKED_EVERY, at_once};
use crate::step::Trust;

/// How often positions are saved: so much may be repeated when Redis has lost everything.
pub(crate) const OFTEN: Duration = Duration::from_secs(1);
/// How often idle accounts are forgotten.
const SELDOM: Duration = Duration::from_secs(30);
/// After this time an account is idle.
const IDLE: Duration = Duration::from_secs(600);

impl Sessions {
    /// Until the stop.
    pub(crate) async fn keep_house(self: Arc<Self>) {
        let lease = self.config.lease / 3;
        let (mut often, mut seldom, mut leases) =
            (tokio::time::interval(OFTEN), tokio::time::interval(SELDOM), tokio::time::interval(lease));
        for ticks in [&mut often, &mut seldom, &mut leases] {
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        }
        let mut continuity = self.link.continuity();
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.waiting.some.notified() => {
                    tokio::time::sleep(LOOKED_EVERY).await;
                    self.write_soon().await;
                }
                _ = leases.tick() => self.index_again(&mut continuity).await,
                _ = often.tick() => {
                    self.write_later().await;
                    self.save_changed().await;
                }
                _ = seldom.tick() => {
                    self.cells.unload(IDLE);
                    self.cells.unload_logs(SELDOM);
                    self.metrics.kept.set(self.cells.kept() as f64);
                    self.clear_own_index().await;
                }
            }
        }
    }

    /// Until the stop: beside what may wait for accounts whose master is away.
    pub(crate) async fn keep_in_touch(self: Arc<Self>) {
        let mut leases = tokio::time::interval(self.config.lease / 3);
        leases.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.stop.run_until_cancelled(leases.tick()).await.is_some() {
            self.renew_own_lease().await;
            self.link.look_for_lost().await;
            self.link.change_over().await;
        }
    }

    /// What is to be saved by now.
    async fn save_changed(self: &Arc<Self>) {
        let now = Instant::now();
        let saved = |cell: Arc<Cell>| {
            let sessions = self.clone();
            async move { sessions.save_one(&cell).await }
        };
        at_once(self.changed(|at| at <= now), saved).await;
    }

    /// Accounts of which something is to be saved, by when this router would.
    fn changed(&self, is_due: impl Fn(Instant) -> bool) -> Vec<Arc<Cell>> {
        let mut changed = Vec::new();
        self.cells.each(|cell| {
            let is_due = cell.state.lock().saves.is_some_and(|saves| is_due(saves.at));
            if is_due && !self.link.is_away(&cell.keys.record) {
                changed.push(cell.clone());
            }
        });
        changed
    }

    async fn save_one(&self, cell: &Cell) {
        let _alone = cell.saving.lock().await;
        let saves = cell.state.lock().begin_to_save();
        if let Err(error) = self.try_save(cell).await {
            tracing::debug!(%error, "a position is not saved yet");
            cell.state.lock().saves = saves;
        }
    }

    /// The position goes to its store, rows of the spool go; only then does the record say so, and nodes forget what they could have told
    /// of it. What is known here may be an old position, which must not take the place of a newer one: Redis is asked.
    async fn try_save(&self, cell: &Cell) -> Result<()> {
        let look = |slot: &mut starling_slot::Slot, _: &mut starling_slot::Context<'_>| {
            (slot.changed_position(), slot.collected())
        };
        let (position, gone) = self.step(&cell.account, |_| Trust::Asked, look).await?;
        if let Some(position) = position {
            self.ports.positions.save(&cell.account, position.clone()).await?;
            self.ride(&cell.account, Due::Later, |riders| riders.save(position));
        }
        if !gone.is_empty() {
            self.ports.archive.delete(Table::Spool, &cell.account, &gone).await?;
            self.ride(&cell.account, Due::Later, |riders| riders.delete(gone));
        }
        Ok(())
    }

    /// All that waits is written now.
    pub(crate) async fn write_all(&self) -> Result<()> {
        self.write_waiting().await?;
        for cell in self.changed(|_| true) {
            self.save_one(&cell).await; // what was acknowledged is in the record only now
        }
        self.write_waiting().await
    }

    /// What this router may owe is looked after by others when it has not said for a whole lease that it lives.
    async fn renew_own_lease(&self) {
        let (now, _) = self.link.now();
        let mut command = redis::cmd("ZADD");
        command.arg(keys::ROUTERS).arg(now.after(self.config.lease).0).arg(&self.name);
        let renewed = self.link.command::<()>("lease", &command).await;
        if let Err(failure) = renewed.and(self.link.look_at_the_clock().await) {
            tracing::debug!(?failure, "the lease of this router is not renewed");
        }
    }

    /// A Redis that was lost may have come back with less, also where only the indexes are: what they name is written again, so
    /// that they name enough (rule 11). So is what could not be written while a master was away.
    async fn index_again(&self, continuity: &mut u64) {
        let present = self.link.continuity();
        let mut cells = Vec::new();
        self.cells.each(|cell| cells.push(cell.clone()));
        for cell in cells {
            if self.link.is_away(&cell.keys.record) {
                // Its steps wait, and keep the cell; when it is back, the continuity is another one.
                continue;
            }
            let mut inner = cell.inner.lock().await;
            if present != *continuity {
                inner.indexed = Indexed::default();
            } else if !inner.indexed.lacks {
                continue;
            }
            let Some(loaded) = inner.loaded.take() else { continue };
            let indexed = self.index(&cell, &mut inner, &loaded.slot).await;
            inner.loaded = Some(loaded);
            if let Err(failure) = indexed {
                tracing::debug!(?failure, "the indexes are not whole yet");
                return;
            }
        }
        *continuity = present;
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
