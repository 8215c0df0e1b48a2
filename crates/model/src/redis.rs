//! The stores: Redis comes back older or empty, CQL writes come late, somebody reads the archive.

use std::collections::BTreeMap;

use crate::action::{Action, Fault};
use crate::slot::{Context, Slot};
use crate::state::{Outward, Push, Reader, Row, State};
use crate::{Config, Cut};

impl Config {
    pub(crate) fn context(&self, state: &State) -> Context {
        let clock = if self.clock_is_behind { 0 } else { state.ghost.highest + 1 };
        let incarnation = state.redis.incarnation;
        Context { without: self.without, window: self.window, incarnation, clock }
    }

    pub(crate) fn store_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.slot().is_none() {
            actions.push(Action::Verify);
        }
        let unverified = (0..state.senders.len()).filter(|at| state.outward(*at as u8).is_none());
        actions.extend(unverified.map(Action::VerifySender));
        if self.may_store_owed(state) {
            actions.push(Action::StoreOwed);
        }
        if !state.cql.late.is_empty() {
            actions.push(Action::LateWrite);
        }
    }

    /// What changes nothing for anybody who waits.
    pub(crate) fn store_chores(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let is_reading = state.reader.upto.is_some();
        if is_reading || (left.reads > 0 && state.slot().is_some()) {
            actions.push(Action::Read);
        }
        if left.saves > 0 && state.slot().is_some_and(|slot| slot.done != state.cql.position) {
            actions.push(Action::SavePosition);
        }
        if left.rollback > 0 && state.older.is_none() && state.redis.incarnation == 0 {
            actions.push(Action::Checkpoint);
        }
    }

    pub(crate) fn store_faults(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        if left.outage > 0 {
            actions.push(Action::Fault(Fault::Outage));
        }
        if state.redis.incarnation > 0 {
            return; // what two losses do is written down in ADR 14
        }
        if left.rollback > 0 && state.older.as_ref().is_some_and(|older| **older != state.redis) {
            actions.push(Action::Fault(Fault::Rollback));
        }
        if left.emptied > 0 {
            actions.push(Action::Fault(Fault::Emptied));
        }
    }

    /// Owed rows have an owner at all times (rule 13): the op that committed them, or whoever sees them.
    fn may_store_owed(&self, state: &State) -> bool {
        let Some(slot) = state.slot().filter(|_| self.without != Some(Cut::OwedUnowned)) else {
            return false;
        };
        let has_owner = |id| state.ops.iter().any(|op| op.rows.iter().any(|row| row.0 == id));
        slot.owed.keys().any(|id| !has_owner(*id))
    }

    /// Writes the rows that are owed; `settles` them too, and pushes what attached sessions hold of them.
    pub(crate) fn store_owed(&self, state: &mut State, settles: bool) {
        let is_timed = self.without != Some(Cut::WritesUntimed);
        let Some(slot) = state.redis.bob.as_mut() else { return };
        let owed = if settles { std::mem::take(&mut slot.owed) } else { slot.owed.clone() };
        let mut pushes: Vec<Push> = Vec::new();
        for (id, msg) in owed {
            let key = slot.seen.iter().find(|(_, seen)| seen.id == id).map(|(key, _)| *key);
            pushes.extend(slot.held(id).into_iter().filter(|_| settles));
            state.cql.write(id, Row { msg, key: key.unwrap_or_default() }, is_timed);
        }
        self.push(state, pushes);
    }

    /// Rule 8.
    pub(crate) fn verify(&self, state: &mut State) {
        let cx = self.context(state);
        let rows: BTreeMap<_, _> = state.cql.rows.iter().map(|(id, row)| (*id, (row.msg, row.key))).collect();
        let devices = state.devices.len();
        let slot = state.redis.bob.get_or_insert_with(|| Slot::new(cx.incarnation, devices));
        slot.verify(cx, &rows, &state.cql.position);
        // From here on every acknowledged message comes to a device; to which ones was forgotten.
        state.ghost.named.clear();
    }

    /// A sender's session is as its manager says; one that no living manager holds is over.
    pub(crate) fn verify_sender(&self, state: &mut State, at: usize) {
        let incarnation = state.redis.incarnation;
        let record = state.redis.senders[at].get_or_insert_with(|| Outward::new(incarnation));
        record.verified = incarnation;
        let sender = &mut state.senders[at];
        match &mut sender.lane {
            Some(lane) => {
                let owed = std::mem::take(&mut record.owed);
                // A new epoch: what was under way under the former one is not answered, and is sent again.
                if self.without != Some(Cut::RegisteredKeepsEpoch) {
                    lane.epoch += 1;
                    lane.submitted = 0;
                }
                let (stream, epoch, h) = (sender.stream, lane.epoch, lane.handled);
                *record = Outward { verified: incarnation, stream, epoch, is_over: false, h, owed };
            }
            None => record.is_over |= self.without != Some(Cut::UnheldIsResumed),
        }
    }

    /// Redis is another one now.
    pub(crate) fn come_back(&self, state: &mut State, is_empty: bool) {
        let incarnation = state.redis.incarnation + 1;
        let senders = state.redis.senders.clone();
        if is_empty {
            state.redis.bob = None;
            state.redis.senders.iter_mut().for_each(|record| *record = None);
        } else if let Some(older) = state.older.take() {
            state.redis = *older;
        }
        state.redis.incarnation = incarnation;
        if self.senders_stay {
            state.redis.senders = senders;
            state.redis.senders.iter_mut().flatten().for_each(|record| record.verified = incarnation);
        }
        if self.without == Some(Cut::MissingIsOver) && is_empty {
            let devices = state.devices.len();
            state.redis.bob = Some(Slot::new(incarnation, devices));
        }
    }

    /// Nobody renews for longer than a lease.
    pub(crate) fn outage(&self, state: &mut State) {
        state.devices.iter_mut().for_each(|device| device.is_lapsed = device.pump.is_some());
    }

    /// One script gives what is owed and the last id; that is stored, then no id above the last is asked for (rule 12).
    pub(crate) fn read(&self, state: &mut State) {
        let Some(upto) = state.reader.upto.take() else {
            let Some(slot) = state.slot() else { return };
            state.reader.upto = Some(slot.last);
            state.left.reads -= 1;
            if self.without != Some(Cut::ReadUnstored) {
                self.store_owed(state, false);
            }
            return;
        };
        let Reader { mark, read, .. } = &mut state.reader;
        let is_bounded = self.without != Some(Cut::ReadBeyond);
        let from = *mark;
        let page = state.cql.rows.iter().filter(|(id, _)| from.is_none_or(|from| **id > from));
        let page = page.filter(|(id, _)| !is_bounded || id.0 <= upto);
        for (id, _) in page {
            *mark = (*mark).max(Some(*id));
            read.insert(*id);
        }
    }

    pub(crate) fn late_write(&self, state: &mut State) {
        if let Some((id, row)) = state.cql.late.pop_first() {
            state.cql.write(id, row, self.without != Some(Cut::WritesUntimed));
        }
    }
}
