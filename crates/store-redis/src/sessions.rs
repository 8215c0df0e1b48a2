//! The port `Sessions`: each method is one step in one slot, or a few.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Born;
use starling_ports::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::sessions::{
    Bind, Bound, Change, Changed, Claim, Claimed, CommitReply, Counted, Departed, Detach, Detached, Ended,
    Farewell, Handed, Holding, Outcome, Planned, Pulled, Registered, Registration, Renewal, Renewed,
    SessionInfo, Sessions as Port, View, ViewVersion,
};
use starling_slot::{Context, Estate, Need, Owed, Promise, Slot, handed_out};

use crate::Sessions;
use crate::cells::Known;
use crate::riders::Due;
use crate::step::Trust;

/// After this time whoever is changing an account's lists has died over it.
const UNSETTLED: Duration = Duration::from_secs(30);

/// How many steps a pull makes that find nothing for its session, before it lets others work.
const STEPS: usize = 32;

/// Of so many that a client has acknowledged last it is asked whether they were committed: what was stored behind a verification is new.
const LATE_DONE: usize = 256;

fn is_seen(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Seen { .. })
}

fn known<T>(_: &T) -> Trust {
    Trust::Known
}

fn asked<T>(_: &T) -> Trust {
    Trust::Asked
}

impl Sessions {
    /// Stores rows and notes that they are stored: with the next step of the account, or soon.
    pub(crate) async fn store_rows(&self, account: &BareJid, owed: Vec<Owed>) -> Result<()> {
        if owed.is_empty() {
            return Ok(());
        }
        let stored = self.ports.store(account, owed).await?;
        self.ride(account, Due::Soon, |riders| riders.store(stored));
        Ok(())
    }

    /// The same before it is handed out. `false`: Redis has come back without some of it meanwhile, and nobody may have it (rule 8).
    pub(crate) async fn store_for_good(&self, account: &BareJid, owed: Vec<Owed>) -> Result<bool> {
        let committed: Vec<_> = owed.iter().map(|owed| (owed.row.id, owed.row.born)).collect();
        self.store_rows(account, owed).await?;
        Ok(self.gone(account, &committed).await?.is_empty())
    }

    /// What is committed and not stored yet, and the last id given out, as Redis has it now.
    pub(crate) async fn owed(&self, account: &BareJid) -> Result<(Vec<Owed>, u64)> {
        self.step(account, asked, |slot, _| (slot.owed(), slot.last())).await
    }

    /// Stores what a session has left.
    async fn settle_estate(&self, account: &BareJid, estate: Estate) -> Ended {
        self.store_left(account).await;
        estate.ended
    }

    /// The same of several.
    pub(crate) async fn settle_estates(&self, account: &BareJid, estates: Vec<Estate>) -> Vec<Ended> {
        if !estates.is_empty() {
            self.store_left(account).await;
        }
        estates.into_iter().map(|estate| estate.ended).collect()
    }

    async fn store_left(&self, account: &BareJid) {
        if let Err(error) = self.store_owed(account).await {
            // It stays owed in the record: the next reader or writer of the account stores it.
            tracing::warn!(%error, "what a session left is not stored yet");
        }
    }
}

#[async_trait]
impl Port for Sessions {
    async fn view(&self, account: &BareJid) -> Result<Arc<View>> {
        let cell = self.cells.get(account);
        let view = self.look(account).await?;
        let Some(since) = cell.state.lock().unsettled else { return Ok(view) };
        // Rule 23: somebody is changing them, or has died over it.
        if since.elapsed() > UNSETTLED {
            self.refresh(account).await?;
            return self.step(account, known, |slot, _| slot.view()).await;
        }
        let (exists, blocked, preferences) = self.ports.lists(account).await?;
        let (blocked, preferences) = (Arc::new(blocked), Arc::new(preferences));
        Ok(Arc::new(View { exists, blocked, preferences, ..(*view).clone() }))
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn known_view(&self, account: &BareJid, within: Duration) -> Result<Arc<View>> {
        let cell = self.cells.get(account);
        let known = cell.view.lock().clone();
        let generation = self.link.generation(&cell.keys.record);
        let holds = |known: &Known| known.generation == generation && known.at.elapsed() < within;
        let is_settled = cell.state.lock().unsettled.is_none();
        match known.filter(|known| is_settled && holds(known)) {
            Some(known) => Ok(known.view),
            None => self.view(account).await,
        }
    }

    async fn commit(
        &self,
        account: &BareJid,
        version: ViewVersion,
        planned: Vec<Planned>,
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<CommitReply> {
        let trust = |reply: &CommitReply| match reply {
            CommitReply::Stale(_) => Trust::Known,
            CommitReply::Done(outcomes) if !outcomes.is_empty() && outcomes.iter().all(is_seen) => {
                Trust::Known
            }
            // That a log is full, or too much is owed, may have been true of an old record only.
            CommitReply::Done(_) | CommitReply::Wait | CommitReply::Away(_) => Trust::Asked,
        };
        let known = self.cells.get(account).view.lock().clone();
        let keeps = planned.iter().any(|planned| planned.keep.is_some());
        let keeps_first = planned.first().is_some_and(|planned| planned.keep.is_some());
        let commit = |slot: &mut Slot, context: &mut Context<'_>| {
            // The version says nothing of quotas: what another router has committed meanwhile is to be counted.
            if known.as_ref().is_some_and(|known| keeps && slot.is_quota_old(&known.view)) {
                return CommitReply::Stale(slot.view());
            }
            slot.commit(context, version, planned.clone(), handled)
        };
        let reply = self.step(account, trust, commit).await?;
        match reply {
            reply @ (CommitReply::Done(_) | CommitReply::Away(_)) => Ok(reply),
            CommitReply::Stale(_) => Ok(CommitReply::Stale(self.view(account).await?)),
            CommitReply::Wait => {
                // Rule 13: whoever is answered `wait` stores what is owed. A row may be owed for long because its router has died.
                match self.store_owed(account).await {
                    Ok(()) if keeps_first => Ok(CommitReply::Stale(self.view(account).await?)),
                    Ok(()) => Ok(CommitReply::Wait),
                    Err(error) => {
                        tracing::debug!(%error, "the store still takes nothing");
                        Ok(if keeps_first { CommitReply::Away(error) } else { CommitReply::Wait })
                    }
                }
            }
        }
    }

    async fn answered(&self, account: &BareJid, session: SessionId, again: bool) -> Result<Vec<u64>> {
        let cell = self.cells.get(account);
        if !again && cell.state.lock().lanes.contains(&session) {
            return Ok(Vec::new());
        }
        // In a box, as in `settle`: else every call has the room for a step, and most make none.
        let answered = Box::pin(self.step(account, asked, |slot, _| slot.answered(session))).await?;
        cell.state.lock().begin_lane(session);
        Ok(answered)
    }

    async fn settle(
        &self,
        account: &BareJid,
        stored: &[ArchiveId],
        handled: Option<(SessionId, Epoch, Handled)>,
    ) -> Result<bool> {
        let Some((session, epoch, h)) = handled else {
            self.ride(account, Due::Soon, |riders| riders.store(stored.iter().copied()));
            return Ok(true);
        };
        let cell = self.cells.get(account);
        let view = cell.view.lock().clone();
        let is_told = view.is_none_or(|known| {
            known.view.sessions.iter().find(|one| one.id == session).is_none_or(|one| one.flags.sm)
        });
        if is_told {
            // Rule 6: what is told to the client is saved before. A commit may have carried it.
            let is_saved = {
                let state = cell.state.lock();
                let saved = state.reached(session, epoch).is_some_and(|reached| reached.handled >= h);
                saved && state.generation == self.link.generation(&cell.keys.record)
            };
            if is_saved {
                self.ride(account, Due::Soon, |riders| riders.store(stored.iter().copied()));
                return Ok(true);
            }
            let stored = stored.to_vec();
            return Box::pin(self.step(account, asked, |slot, _| slot.settle(&stored, handled))).await;
        }
        if !stored.is_empty() {
            self.ride(account, Due::Soon, |riders| riders.store(stored.iter().copied()));
        }
        self.ride(account, Due::Later, |riders| riders.handle(session, epoch, h));
        Ok(true)
    }

    async fn bind(&self, bind: Bind) -> Result<Bound> {
        let account = bind.jid.bare();
        let (id, replaced) =
            self.step(&account, known, |slot, context| slot.bind(context, bind.clone())).await?;
        self.cells.get(&account).state.lock().begin_lane(id); // it has sent nothing yet
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
        self.step(account, asked, |slot, context| slot.change(context, session, epoch, change.clone())).await
    }

    async fn pull(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        after: LogNumber,
        limit: usize,
    ) -> Result<Pulled> {
        for step in 1_usize.. {
            if step.is_multiple_of(STEPS) {
                tokio::task::yield_now().await;
            }
            let pull = |slot: &mut Slot, context: &mut Context<'_>| {
                let need = slot.pull(context.limits, session, epoch, after, limit);
                (need, slot.owed(), slot.last())
            };
            let (need, owed, last) = self.step(account, asked, pull).await?;
            match need {
                Need::Ready(pulled) => {
                    if self.store_for_good(account, handed_out(owed, &pulled)).await? {
                        return Ok(pulled);
                    }
                }
                Need::Page(from) => {
                    self.store_rows(account, owed).await?;
                    let scan = self.ports.scan(account, from, last).await?;
                    let absorb = |slot: &mut Slot, context: &mut Context<'_>| {
                        slot.absorb(context, session, epoch, scan.clone(), after, limit)
                    };
                    if let Some(pulled) = self.step(account, asked, absorb).await? {
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
        let cell = self.cells.get(account);
        let reached = cell.state.lock().reached(session, epoch);
        // Another router may have handed out more than is known here, but no more than a log takes.
        let most = (self.limits.stanzas as u64).saturating_mul(2);
        if let Some(reached) = reached.filter(|known| upto.0 <= known.highest.0.saturating_add(most)) {
            let is_much = upto.0.saturating_sub(reached.acknowledged.0) >= most / 8;
            let due = if is_much { Due::Soon } else { Due::Later };
            self.ride(account, due, |riders| riders.acknowledge(session, epoch, upto));
            return Ok(true);
        }
        Box::pin(self.step(account, asked, |slot, _| slot.acknowledge(session, epoch, upto))).await
    }

    async fn claim(&self, claim: Claim) -> Result<Claimed> {
        let account = claim.account.clone();
        // Whoever holds a session renews it within a lease, and is told then that it is to be registered again (rule 9).
        let cell = self.cells.get(&account);
        let take = |slot: &mut Slot, _: &mut Context<'_>| {
            // Asked each time: while this step waits, Redis may become another one.
            let is_young = self.link.is_younger(&cell.keys.record, self.config.lease);
            let failed = match is_young && slot.is_unknown(claim.session) {
                true => Claimed::Doubtful,
                false => Claimed::Failed { handled: slot.last_handled(claim.session) },
            };
            (slot.claim(&claim).unwrap_or(failed), slot.owed())
        };
        let (claimed, owed) = self.step(&account, asked, take).await?;
        self.store_rows(&account, owed).await?; // rule 6: what `h` covers is stored before it is told
        Ok(claimed)
    }

    async fn detach(
        &self,
        account: &BareJid,
        session: SessionId,
        epoch: Epoch,
        why: Detach,
    ) -> Result<Detached<Ended>> {
        let detached =
            self.step(account, asked, |slot, context| slot.detach(context, session, epoch, why)).await?;
        Ok(match detached {
            Detached::Ended(estate) => Detached::Ended(self.settle_estate(account, estate).await),
            Detached::Waits => Detached::Waits,
            Detached::Nobody => Detached::Nobody,
        })
    }

    async fn renew(&self, node: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        self.renew_lease(node, sessions).await
    }

    async fn register(&self, registration: Registration) -> Result<Registered> {
        let account = registration.jid.bare();
        let mut ids: Vec<ArchiveId> = registration.entries.iter().filter_map(|entry| entry.id).collect();
        let mut done = registration.done.acknowledged.clone();
        if !done.is_empty() {
            done.sort_unstable_by(|one, other| other.cmp(one));
            done.truncate(LATE_DONE);
            let done: Vec<_> = done.into_iter().map(|id| (id, Born::default())).collect();
            ids.extend(self.step(&account, asked, |slot, _| slot.unknown(&done)).await?);
        }
        let rows = self.ports.archive.rows(&account, &ids).await?;
        let register =
            |slot: &mut Slot, context: &mut Context<'_>| slot.register(context, &registration, &rows);
        self.step(&account, asked, register).await
    }

    fn continuity(&self) -> u64 {
        self.link.continuity()
    }

    async fn gone(&self, account: &BareJid, committed: &[(ArchiveId, Born)]) -> Result<Vec<ArchiveId>> {
        if committed.is_empty() {
            return Ok(Vec::new());
        }
        let present = self.link.certain_life(&self.cells.get(account).keys.record);
        if committed.iter().all(|(_, born)| Some(born.life) == present) {
            return Ok(Vec::new());
        }
        self.step(account, asked, |slot, context| slot.undo(committed, context.now)).await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<Departed> {
        self.sweep(now, limit).await
    }

    async fn settle_farewell(&self, said: &Farewell) -> Result<()> {
        self.step(&said.jid.bare(), asked, |slot, _| slot.settle_farewell(said)).await
    }

    async fn store_owed(&self, account: &BareJid) -> Result<()> {
        let (owed, _) = self.owed(account).await?;
        self.store_rows(account, owed).await
    }

    async fn overdue(&self, now: Timestamp, limit: usize) -> Result<Vec<(BareJid, Vec<Handed>)>> {
        self.store_overdue(now, limit).await
    }

    async fn end_all(&self, account: &BareJid, except: Option<SessionId>) -> Result<Departed> {
        let end = |slot: &mut Slot, context: &mut Context<'_>| slot.end_all(context, except);
        let (estates, owed) = self.step(account, asked, end).await?;
        Ok(Departed { ended: self.settle_estates(account, estates).await, owed })
    }

    async fn stored_up_to(&self, account: &BareJid) -> Result<ArchiveId> {
        let (owed, last) = self.owed(account).await?;
        if !Promise::StoreBeforeRead.is_broken() {
            self.store_rows(account, owed).await?;
        }
        Ok(ArchiveId { number: last, random: u64::MAX })
    }

    async fn unsettle(&self, account: &BareJid) -> Result<()> {
        self.step(account, asked, |slot, _| slot.unsettle()).await
    }

    async fn refresh(&self, account: &BareJid) -> Result<()> {
        let mut lists = self.ports.lists(account).await?;
        loop {
            let (exists, blocked, preferences) = lists.clone();
            let refresh = |slot: &mut Slot, _: &mut Context<'_>| {
                slot.refresh(exists, blocked.clone(), preferences.clone());
            };
            self.step(account, known, refresh).await?;
            // They may have changed between the look at them and the write.
            let now = self.ports.lists(account).await?;
            if now == lists {
                return Ok(());
            }
            lists = now;
        }
    }

    async fn list(&self, account: Option<&BareJid>, limit: usize) -> Result<Vec<SessionInfo>> {
        let mut infos = match account {
            Some(account) => self.list_one(account).await?,
            None => self.list_all(limit).await?,
        };
        infos.truncate(limit);
        Ok(infos)
    }

    async fn holders(&self, account: &BareJid, id: ArchiveId) -> Result<Vec<Holding>> {
        self.step(account, asked, |slot, _| slot.holders(id)).await
    }

    async fn count(&self) -> Result<Counted> {
        self.count_sessions().await
    }

    async fn save(&self) -> Result<()> {
        self.write_all().await
    }
}
