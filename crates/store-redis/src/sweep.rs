//! What is done when a lease is over: sessions that wait too long, nodes and routers that say nothing (rule 11).

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::{NodeId, Timestamp};
use starling_ports::sessions::{Departed, Handed};
use starling_ports::{Result, StoreError};
use starling_slot::{Context, Estate, Slot};

use crate::Sessions;
use crate::error::{Failure, unavailable};
use crate::keys;
use crate::step::Trust;

/// How long a row may be owed before somebody else than its writer stores it.
const OVERDUE: Duration = Duration::from_secs(2);

/// So many sessions end in one go: what each leaves behind, up to the whole of its log, is in memory until it is handed over.
const ENDED: usize = 16;

/// Since when this router has watched without an interruption, and over which connection.
#[derive(Default)]
pub(crate) struct Watched(Mutex<Option<((u64, u64), Instant)>>);

/// `None` where the record cannot be read: all other accounts are not to wait for somebody who mends it.
fn unless_corrupt<T>(account: &BareJid, done: Result<T>) -> Result<Option<T>> {
    match done {
        Err(error @ StoreError::Corrupt { .. }) => {
            tracing::warn!(%error, %account, "an account is passed over by what looks for sessions and rows that are over");
            Ok(None)
        }
        done => done.map(Some),
    }
}

pub(crate) fn ours(failure: Failure) -> starling_ports::StoreError {
    match failure {
        Failure::Again(error) => unavailable(error),
        Failure::Final(error) => error,
    }
}

impl Sessions {
    /// Whether a full lease was watched: while Redis was away, nobody could renew, and one that was renewed before the time was moved
    /// may seem to be over. To be asked after the time was taken by which leases are judged.
    fn has_watched(&self) -> bool {
        let Some(present) = self.link.watch() else { return false };
        let mut watched = self.watched.0.lock();
        let (known, since) = watched.get_or_insert((present, Instant::now()));
        if *known != present {
            (*known, *since) = (present, Instant::now());
        }
        since.elapsed() >= self.config.lease
    }

    /// See `Sessions::expire`. What has ended is handed over though something else fails: it is not told again at once.
    pub(crate) async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Departed> {
        let mut departed = Departed::default();
        match self.try_sweep(now, limit, &mut departed).await {
            Err(error) if departed.is_empty() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "not all that is over has ended yet");
                Ok(departed)
            }
            Ok(()) => Ok(departed),
        }
    }

    async fn try_sweep(&self, now: Timestamp, limit: usize, departed: &mut Departed) -> Result<()> {
        let now = self.link.shared(now);
        for (shard, account, at) in self.due(now, limit).await.map_err(ours)? {
            if departed.len() >= limit.min(ENDED) {
                return Ok(());
            }
            let end = |slot: &mut Slot, context: &mut Context<'_>| {
                let over = slot.expired(now);
                let estates: Vec<Estate> = over.into_iter().filter_map(|id| slot.end(context, id)).collect();
                let late = slot.late_farewells(now);
                (estates, late, slot.next_deadline().is_some_and(|next| next.0 as f64 == at))
            };
            let ended = self.step(&account, |_| Trust::Asked, end).await;
            let Some((estates, late, still)) = unless_corrupt(&account, ended)? else { continue };
            departed.owed.extend(late);
            departed.ended.extend(self.settle_estates(&account, estates).await);
            if !still {
                self.not_due(shard, &account, at).await.map_err(ours)?;
                self.due_again(&account).await?;
            }
        }
        if self.has_watched() {
            self.sweep_nodes(now, limit, departed).await?;
        }
        Ok(())
    }

    /// Another session of the account still waits: its time takes the place of the one that was removed.
    async fn due_again(&self, account: &BareJid) -> Result<()> {
        let cell = self.cells.get(account);
        cell.inner.lock().await.indexed.deadline = None;
        let next = self.step(account, |_| Trust::Known, |slot, _| slot.next_deadline()).await?;
        if let Some(next) = next {
            let mut command = redis::cmd("ZADD");
            command.arg(&cell.keys.deadlines).arg(next.0).arg(account.as_str());
            self.link.command::<()>("index", &command).await.map_err(ours)?;
        }
        Ok(())
    }

    /// Sessions of nodes whose lease is over are detached, as if their connections had been lost.
    async fn sweep_nodes(&self, now: Timestamp, limit: usize, departed: &mut Departed) -> Result<()> {
        let mut over = redis::cmd("ZRANGEBYSCORE");
        over.arg(keys::NODES).arg("-inf").arg(now.0).arg("WITHSCORES").arg("LIMIT").arg(0).arg(16);
        let over: Vec<(String, f64)> = self.link.command("nodes", &over).await.map_err(ours)?;
        for (name, at) in over {
            let Some(node) = keys::read_node(&name) else { continue };
            let mut members = redis::cmd("SRANDMEMBER");
            members.arg(keys::accounts_of(&name)).arg(limit);
            let members: Vec<String> = self.link.command("nodes", &members).await.map_err(ours)?;
            for member in &members {
                let Ok(account) = BareJid::new(member) else { continue };
                if self.is_away(&account) {
                    continue; // it stays in the index until its master is back
                }
                let detached = self.detach_node(&account, node, departed).await;
                if unless_corrupt(&account, detached)?.is_none() {
                    continue;
                }
                let mut gone = redis::cmd("SREM");
                gone.arg(keys::accounts_of(&name)).arg(member);
                self.link.command::<()>("nodes", &gone).await.map_err(ours)?;
                if departed.len() >= limit.min(ENDED) {
                    return Ok(());
                }
            }
            if members.is_empty() {
                let live = self.link.live(keys::NODES).await.map_err(ours)?;
                let mut connection = live.connection.clone();
                let mut call = self.scripts.remove_if.key(keys::NODES);
                call.arg(&name).arg(format!("{at:.0}"));
                let removed = self.link.call::<i64>(&live, "nodes", call.invoke_async(&mut connection)).await;
                removed.map_err(ours)?;
            }
        }
        Ok(())
    }

    async fn detach_node(&self, account: &BareJid, node: NodeId, departed: &mut Departed) -> Result<()> {
        let detach = |slot: &mut Slot, context: &mut Context<'_>| slot.let_go(context, node);
        let estates = self.step(account, |_| Trust::Asked, detach).await?;
        departed.ended.extend(self.settle_estates(account, estates).await);
        Ok(())
    }

    /// See `Sessions::overdue`: what this router owes for too long, and what a router owed that is no more.
    pub(crate) async fn store_overdue(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(BareJid, Vec<Handed>)>> {
        let now = self.link.shared(now);
        let since = Timestamp(now.0.saturating_sub(OVERDUE.as_micros() as u64));
        let mut late = Vec::new();
        self.cells.each(|cell| {
            let is_late = cell.state.lock().owes_since.is_some_and(|at| at < since);
            if late.len() < limit && is_late && !self.link.is_away(&cell.keys.record) {
                late.push(cell.account.clone());
            }
        });
        let mut stored = Vec::with_capacity(late.len());
        for account in late {
            let late = self.store_late(account.clone(), since).await;
            stored.extend(unless_corrupt(&account, late)?.flatten());
        }
        if stored.len() < limit && self.has_watched() {
            self.sweep_routers(now, limit - stored.len(), &mut stored).await?;
        }
        Ok(stored)
    }

    async fn store_late(&self, account: BareJid, since: Timestamp) -> Result<Option<(BareJid, Vec<Handed>)>> {
        let look = |slot: &mut Slot, _: &mut Context<'_>| {
            let is_late = slot.owes_since().is_some_and(|at| at < since);
            let owed = if is_late { slot.owed() } else { Vec::new() };
            let handed: Vec<Handed> = owed.iter().flat_map(|owed| slot.handed(owed.row.id)).collect();
            (owed, handed)
        };
        let (owed, handed) = self.step(&account, |_| Trust::Asked, look).await?;
        if owed.is_empty() {
            return Ok(None);
        }
        let stays = self.store_for_good(&account, owed).await?;
        Ok(Some((account, if stays { handed } else { Vec::new() })))
    }

    async fn sweep_routers(
        &self,
        now: Timestamp,
        limit: usize,
        stored: &mut Vec<(BareJid, Vec<Handed>)>,
    ) -> Result<()> {
        let mut over = redis::cmd("ZRANGEBYSCORE");
        over.arg(keys::ROUTERS).arg("-inf").arg(now.0).arg("LIMIT").arg(0).arg(4);
        let over: Vec<String> = self.link.command("routers", &over).await.map_err(ours)?;
        for name in over.into_iter().filter(|name| *name != self.name) {
            let mut members = redis::cmd("SRANDMEMBER");
            members.arg(keys::owed_by(&name)).arg(limit);
            let members: Vec<String> = self.link.command("routers", &members).await.map_err(ours)?;
            for member in &members {
                let Ok(account) = BareJid::new(member) else { continue };
                if self.is_away(&account) {
                    continue;
                }
                // That it is looked at is enough: what it has to save is from now on this router's to save.
                let late = self.store_late(account.clone(), now).await;
                let Some(late) = unless_corrupt(&account, late)? else { continue };
                stored.extend(late);
                let mut gone = redis::cmd("SREM");
                gone.arg(keys::owed_by(&name)).arg(member);
                self.link.command::<()>("routers", &gone).await.map_err(ours)?;
            }
            if members.is_empty() {
                let mut gone = redis::cmd("ZREM");
                gone.arg(keys::ROUTERS).arg(&name);
                self.link.command::<()>("routers", &gone).await.map_err(ours)?;
            }
        }
        Ok(())
    }
}
