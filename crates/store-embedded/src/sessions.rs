//! The port `Sessions`: each method is one step in one slot, with the store read before it and written after it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Archive, Born, Table};
use starling_ports::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::sessions::{
    Bind, Bound, Change, Changed, Claim, Claimed, CommitReply, Departed, Detach, Detached, Ended, Farewell,
    Handed, Holding, Planned, Pulled, Registered, Registration, Renewal, Renewed, SessionInfo, Sessions,
    Standing, View, ViewVersion,
};

use crate::Store;
use crate::slots::Shared;
use starling_slot::Promise;
use starling_slot::{Estate, Need, Scan, handed_out};

/// How many steps a pull makes that find nothing for its session, before it lets others work.
const STEPS: usize = 32;

/// How long a row may be owed before somebody else than its writer stores it.
const OVERDUE: Duration = Duration::from_secs(2);

impl Store {
    /// What lies in both tables after `after`, up to `last`.
    pub(crate) fn scan(&self, account: &BareJid, after: u64, last: u64) -> Result<Scan> {
        let query = Scan::query(after, last);
        let archive = self.page_now(Table::Archive, account, &query, Scan::ROWS)?;
        let spool = self.page_now(Table::Spool, account, &query, Scan::ROWS)?;
        Ok(Scan::of(archive, spool, last))
    }

    /// Where that promise is broken on purpose, what is read is gone.
    async fn forget_if_broken(&self, slot: &Shared, pulled: &Pulled) -> Result<()> {
        if !Promise::KeepUntilAck.is_broken() {
            return Ok(());
        }
        {
            let mut slot = slot.lock();
            pulled.entries.iter().filter_map(|entry| entry.committed.id).for_each(|id| slot.read_away(id));
            self.slots.enlist(&mut slot);
        }
        self.writer.write(self.changed_positions()).await
    }

    /// Books the end of a session, and stores what its estate has made owed.
    async fn settle_estate(&self, account: &BareJid, estate: Estate) -> Ended {
        self.slots.end_session(account, &estate, self.clock.now());
        self.store_left(account).await;
        estate.ended
    }

    /// The same of several.
    async fn settle_estates(&self, account: &BareJid, estates: Vec<Estate>) -> Vec<Ended> {
        estates.iter().for_each(|estate| self.slots.end_session(account, estate, self.clock.now()));
        if !estates.is_empty() {
            self.store_left(account).await;
        }
        estates.into_iter().map(|estate| estate.ended).collect()
    }

    async fn store_left(&self, account: &BareJid) {
        if let Err(error) = self.store_owed_now(account).await {
            // It stays owed in memory: the next reader or writer of the account stores it.
            tracing::warn!(%error, "what a session left is not stored yet");
        }
    }
}

#[async_trait]
impl Sessions for Store {
    async fn view(&self, account: &BareJid) -> Result<Arc<View>> {
        Ok(self.slot(account)?.lock().view())
    }

    async fn known_view(&self, account: &BareJid, _: Duration) -> Result<Arc<View>> {
        Ok(self.slot(account)?.lock().view()) // at once: `view` in it would be one more box
    }

    async fn commit(
        &self,
        account: &BareJid,
        version: ViewVersion,
        planned: Vec<Planned>,
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<CommitReply> {
        let slot = self.slot(account)?;
        let keeps_first = planned.first().is_some_and(|planned| planned.keep.is_some());
        let reply = self.step(|context| {
            let mut slot = slot.lock();
            let reply = slot.commit(context, version, planned, handled);
            self.slots.enlist(&mut slot);
            reply
        });
        if matches!(reply, CommitReply::Wait) {
            // Rule 13: whoever is answered `wait` stores what is owed; that the disk is full is no reason for more.
            let owed = slot.lock().owed();
            let tried = if owed.is_empty() {
                self.writer.probe().await
            } else {
                self.store_rows(account, owed).await
            };
            match tried {
                Ok(()) if keeps_first => return Ok(CommitReply::Stale(slot.lock().view())),
                Ok(()) => {}
                Err(error) => tracing::debug!(%error, "the store still takes nothing"),
            }
        }
        Ok(reply)
    }

    async fn settle(
        &self,
        account: &BareJid,
        stored: &[ArchiveId],
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<bool> {
        let is_saved = self.slot(account)?.lock().settle(stored, handled);
        if let Some((session, epoch, handled)) = handled {
            self.slots.settle_ended(session, epoch, handled);
        }
        Ok(is_saved)
    }

    async fn bind(&self, bind: Bind) -> Result<Bound> {
        let account = bind.jid.bare();
        let slot = self.slot(&account)?;
        let node = bind.node;
        let (id, replaced) = self.step(|context| slot.lock().bind(context, bind));
        self.leases.begin(node, id, &account, Epoch(1));
        self.slots.add_session(id, account.clone());
        let replaced = match replaced {
            Some(estate) => Some(self.settle_estate(&account, estate).await),
            None => None,
        };
        Ok(Bound { id, epoch: Epoch(1), replaced })
    }

    async fn change(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        change: Change,
    ) -> Result<Changed> {
        let slot = self.slot(account)?;
        let mut slot = slot.lock();
        let changed = self.step(|context| slot.change(context, session, epoch, change));
        self.slots.enlist(&mut slot);
        Ok(changed)
    }

    async fn pull(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        after: LogNumber,
        limit: usize,
    ) -> Result<Pulled> {
        let slot = self.slot(account)?;
        for step in 1_usize.. {
            if step.is_multiple_of(STEPS) {
                tokio::task::yield_now().await;
            }
            let (need, owed, last) = {
                let mut slot = slot.lock();
                let need = slot.pull(&self.limits, session, epoch, after, limit);
                (need, slot.owed(), slot.last())
            };
            match need {
                Need::Ready(pulled) => {
                    self.store_rows(account, handed_out(owed, &pulled)).await?;
                    self.forget_if_broken(&slot, &pulled).await?;
                    return Ok(pulled);
                }
                Need::Page(from) => {
                    self.store_rows(account, owed).await?;
                    let scan = self.scan(account, from, last)?;
                    let pulled =
                        self.step(|context| slot.lock().absorb(context, session, epoch, scan, after, limit));
                    if let Some(pulled) = pulled {
                        self.forget_if_broken(&slot, &pulled).await?;
                        return Ok(pulled);
                    }
                }
            }
        }
        Ok(Pulled { entries: Vec::new(), more: true })
    }

    async fn acknowledge(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        upto: LogNumber,
    ) -> Result<bool> {
        let slot = self.slot(account)?;
        let (known, refill) = {
            let mut slot = slot.lock();
            let known = slot.acknowledge(session, epoch, upto);
            self.slots.enlist(&mut slot);
            (known, slot.wants_refill().map(|after| (after, slot.last())))
        };
        if let Some((after, last)) = refill {
            self.store_owed_now(account).await?;
            let (waiting, more) = self.waiting_after(account, Some(after))?;
            let mut slot = slot.lock();
            if slot.wants_refill() == Some(after) {
                slot.refill(waiting, more, last);
                self.slots.enlist(&mut slot);
            }
        }
        Ok(known)
    }

    async fn answered(&self, account: &BareJid, session: SessionId, again: bool) -> Result<Vec<u64>> {
        if !again {
            return Ok(Vec::new()); // there is one router
        }
        Ok(self.slot(account)?.lock().answered(session))
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed> {
        let account = claim.account.clone();
        self.store_owed_now(&account).await?; // rule 6: what `h` covers is stored before it is told, also by `<failed/>`
        let failed = || Claimed::Failed { handled: self.slots.last_handled(claim.session, &account) };
        match self.slots.session(claim.session) {
            None => return Ok(failed()),
            Some(of) if of != account => return Ok(Claimed::Failed { handled: None }),
            Some(_) => {}
        }
        let slot = self.slot(&account)?;
        let claimed = {
            let mut slot = slot.lock();
            let claimed = slot.claim(&claim);
            self.slots.enlist(&mut slot);
            claimed
        };
        if let Some(Claimed::Resumed { epoch, .. }) = &claimed {
            self.leases.begin(claim.node, claim.session, &account, *epoch);
        }
        Ok(claimed.unwrap_or_else(failed))
    }

    async fn detach(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        why: Detach,
    ) -> Result<Detached<Ended>> {
        self.leases.end(session, epoch);
        let slot = self.slot(account)?;
        let detached = self.step(|context| slot.lock().detach(context, session, epoch, why));
        Ok(match detached {
            Detached::Ended(estate) => Detached::Ended(self.settle_estate(account, estate).await),
            Detached::Waits => Detached::Waits,
            Detached::Nobody => Detached::Nobody,
        })
    }

    async fn renew(&self, _node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        let mut answers = Vec::with_capacity(sessions.len());
        for renewal in sessions {
            let answer = {
                let slot = self.slot(&renewal.account)?;
                let mut slot = slot.lock();
                let answer = slot.renew(&self.limits, &renewal);
                self.slots.enlist(&mut slot);
                answer
            };
            if answer.standing == Standing::Over {
                self.leases.end(renewal.session, renewal.epoch);
            } else {
                self.leases.renew(renewal.session, renewal.epoch);
            }
            answers.push(answer);
        }
        Ok(answers)
    }

    async fn register(&self, registration: Registration) -> Result<Registered> {
        let account = registration.jid.bare();
        let ids: Vec<ArchiveId> = registration.entries.iter().filter_map(|entry| entry.id).collect();
        let rows = self.rows(&account, &ids).await?;
        let slot = self.slot(&account)?;
        let registered = {
            let mut slot = slot.lock();
            let registered = self.step(|context| slot.register(context, &registration, &rows));
            self.slots.enlist(&mut slot);
            registered
        };
        if let Registered::Again { epoch } = registered {
            self.leases.begin(registration.node, registration.session, &account, epoch);
            self.slots.add_session(registration.session, account);
        }
        Ok(registered)
    }

    fn continuity(&self) -> u64 {
        self.life.0
    }

    async fn gone(&self, _: &BareJid, _: &[(ArchiveId, Born)]) -> Result<Vec<ArchiveId>> {
        Ok(Vec::new()) // who waits for the answer dies with this process
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<Departed> {
        let (mut over, mut late) = (Vec::new(), Vec::new());
        self.slots.each(|shared| {
            if over.len() + late.len() < limit {
                let mut slot = shared.lock();
                over.extend(slot.expired(now).into_iter().map(|id| (slot.account().clone(), id)));
                late.extend(slot.late_farewells(now));
            }
        });
        let mut ended = Vec::new();
        for (account, id, epoch) in self.leases.take_lapsed(Instant::now(), limit) {
            ended.extend(self.detach(&account, id, epoch, Detach::Lost).await?.ended());
        }
        for (account, id) in over.into_iter().take(limit) {
            let slot = self.slot(&account)?;
            let estate = self.step(|context| {
                let mut slot = slot.lock();
                // It may have been resumed meanwhile.
                if slot.expired(now).contains(&id) { slot.end(context, id) } else { None }
            });
            if let Some(estate) = estate {
                ended.push(self.settle_estate(&account, estate).await);
            }
        }
        Ok(Departed { ended, owed: late })
    }

    async fn settle_farewell(&self, said: &Farewell) -> Result<()> {
        self.slot(&said.jid.bare())?.lock().settle_farewell(said);
        Ok(())
    }

    async fn store_owed(&self, account: &BareJid) -> Result<()> {
        self.store_owed_now(account).await
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<(BareJid, Vec<Handed>)>> {
        let since = Timestamp(now.0.saturating_sub((OVERDUE + self.config.commit_delay).as_micros() as u64));
        let mut late = Vec::new();
        self.slots.each(|shared| {
            if late.len() < limit {
                let slot = shared.lock();
                late.extend(slot.owes_since().filter(|at| *at < since).map(|_| slot.account().clone()));
            }
        });
        let mut stored = Vec::with_capacity(late.len());
        for account in late {
            let slot = self.slot(&account)?;
            let owed = slot.lock().owed();
            let ids: Vec<ArchiveId> = owed.iter().map(|owed| owed.row.id).collect();
            self.store_rows(&account, owed).await?;
            let handed = ids.iter().flat_map(|id| slot.lock().handed(*id)).collect();
            stored.push((account, handed));
        }
        Ok(stored)
    }

    async fn end_all(&self, account: &BareJid, except: Option<SessionId>) -> Result<Departed> {
        let slot = self.slot(account)?;
        let (estates, owed) = self.step(|context| slot.lock().end_all(context, except));
        Ok(Departed { ended: self.settle_estates(account, estates).await, owed })
    }

    async fn stored_up_to(&self, account: &BareJid) -> Result<ArchiveId> {
        let slot = self.slot(account)?;
        let (owed, last) = {
            let slot = slot.lock(); // one look: an id at or below `last` is stored, or among `owed`
            (slot.owed(), slot.last())
        };
        if !Promise::StoreBeforeRead.is_broken() {
            self.store_rows(account, owed).await?;
        }
        Ok(ArchiveId { number: last, random: u64::MAX })
    }

    async fn unsettle(&self, _account: &BareJid) -> Result<()> {
        Ok(()) // who changes them dies with this process, and the slot with both
    }

    async fn refresh(&self, account: &BareJid) -> Result<()> {
        self.refresh_now(account)
    }

    async fn list(&self, account: Option<&BareJid>, limit: usize) -> Result<Vec<SessionInfo>> {
        let mut infos = Vec::new();
        match account {
            Some(account) => infos = self.slot(account)?.lock().infos(),
            None => self.slots.each(|shared| {
                if infos.len() < limit {
                    infos.extend(shared.lock().infos());
                }
            }),
        }
        infos.truncate(limit);
        Ok(infos)
    }

    async fn holders(&self, account: &BareJid, id: ArchiveId) -> Result<Vec<Holding>> {
        Ok(self.slot(account)?.lock().holders(id))
    }

    async fn save(&self) -> Result<()> {
        self.save_sessions().await
    }
}
