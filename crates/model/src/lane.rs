//! Clients that send, their lanes, and what routers do for them.

use crate::action::Action;
use crate::slot::{Committed, Num};
use crate::state::{Lane, Op, Outward, Push, Row, Stage, State};
use crate::{Config, Cut};

impl Config {
    pub(crate) fn lane_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, sender) in state.senders.iter().enumerate() {
            let Some(lane) = &sender.lane else {
                if state.outward(at as u8).is_some() {
                    actions.push(Action::SenderReturns(at));
                }
                continue;
            };
            if sender.next < self.bodies {
                actions.push(Action::Send(at));
            }
            if usize::from(lane.submitted) < lane.inbox.len() && self.may_submit(lane) {
                actions.push(Action::Submit(at));
            }
        }
        let steps = (0..state.ops.len()).filter(|at| self.can_step(state, &state.ops[*at]));
        actions.extend(steps.map(Action::Step));
    }

    /// Rule 1: one batch at a time. What is sent again goes first (rule 2), which the lane's order sees to.
    fn may_submit(&self, lane: &Lane) -> bool {
        match self.without {
            Some(Cut::CallsOverlap) => lane.submitted < 2,
            Some(Cut::LaneMovesEarly) => lane.link < 2,
            _ => lane.submitted == 0,
        }
    }

    fn can_step(&self, state: &State, op: &Op) -> bool {
        match op.stage {
            Stage::Commit => state.slot().is_some(),
            Stage::Settle if self.without == Some(Cut::CommitUnconfirmed) => true,
            Stage::Settle => state.slot().is_some(),
            Stage::Save | Stage::StoreOwn => state.outward(op.sender).is_some(),
            Stage::Store => true,
            Stage::Reply => self.without == Some(Cut::AckBeforeStore) || is_next(state, op),
            Stage::Over => false,
        }
    }

    pub(crate) fn send(&self, state: &mut State, at: usize) {
        let sender = &mut state.senders[at];
        let body = sender.next;
        sender.next += 1;
        sender.unacked.push(body);
        let Some(lane) = &mut sender.lane else { return };
        lane.inbox.push(body);
        if self.is_instant {
            self.submit(state, at);
            while let Some(op) = state.ops.pop() {
                self.run(state, op);
            }
        }
    }

    pub(crate) fn submit(&self, state: &mut State, at: usize) {
        let sender = &mut state.senders[at];
        let Some(lane) = &mut sender.lane else { return };
        let begin = usize::from(lane.submitted);
        let bodies: Vec<u8> = lane.inbox.iter().skip(begin).take(usize::from(self.batch)).copied().collect();
        lane.submitted += bodies.len() as u8;
        lane.link += u8::from(begin > 0 && self.without == Some(Cut::LaneMovesEarly));
        let op = Op {
            sender: at as u8,
            stream: sender.stream,
            epoch: lane.epoch,
            link: lane.link,
            first: lane.handled + begin as Num + 1,
            rows: Vec::new(),
            bodies,
            stage: Stage::Commit,
            incarnation: 0,
            plan: None,
            copy: None,
            handed: Vec::new(),
        };
        state.ops.push(op);
    }

    /// The next step of an op; one that is over is gone.
    pub(crate) fn step(&self, state: &mut State, at: usize) {
        let op = state.ops.remove(at);
        if let Some(op) = self.advance(state, op) {
            state.ops.insert(at, op);
        }
    }

    fn run(&self, state: &mut State, op: Op) {
        let mut next = Some(op);
        while let Some(op) = next.take().filter(|op| self.can_step(state, op)) {
            next = self.advance(state, op);
        }
    }

    fn advance(&self, state: &mut State, mut op: Op) -> Option<Op> {
        let goes_on = match op.stage {
            Stage::Commit => self.commit(state, &mut op),
            Stage::Store => self.store(state, &op),
            Stage::Settle => self.settle(state, &mut op),
            Stage::Save => save(self, state, &op),
            Stage::StoreOwn => store_own(state, &op),
            Stage::Reply => reply(self, state, &op),
            Stage::Over => false,
        };
        if !goes_on {
            return (op.stage == Stage::Commit).then_some(op);
        }
        op.stage = self.after(op.stage);
        (op.stage != Stage::Over).then_some(op)
    }

    /// Commit, store, settle, save `h`, store the own copy, answer (rule 6).
    fn after(&self, stage: Stage) -> Stage {
        match (stage, self.without) {
            (Stage::Commit, Some(Cut::AckBeforeStore)) => Stage::Save,
            (Stage::Reply, Some(Cut::AckBeforeStore)) => Stage::Store,
            (Stage::Settle, Some(Cut::AckBeforeStore)) => Stage::Over,
            (Stage::Settle, Some(Cut::AckBeforeSave)) => Stage::Reply,
            (Stage::Reply, Some(Cut::AckBeforeSave)) => Stage::Save,
            (Stage::Save, Some(Cut::AckBeforeSave)) => Stage::Over,
            (Stage::Commit, _) => Stage::Store,
            (Stage::Store, _) => Stage::Settle,
            (Stage::Settle, _) => Stage::Save,
            (Stage::Save, _) if self.own_copies => Stage::StoreOwn,
            (Stage::Save | Stage::StoreOwn, _) => Stage::Reply,
            (Stage::Reply | Stage::Over, _) => Stage::Over,
        }
    }

    /// Whether the next thing that this op does is a swap of the record.
    pub(crate) fn may_lose_reply(&self, state: &State, op: &Op) -> bool {
        let is_ready = (!self.swaps || op.copy.is_some()) && (!self.decides_early || op.plan.is_some());
        op.stage == Stage::Commit && is_ready && state.slot().is_some()
    }

    /// One swap of the record for the whole batch. `false`: not yet.
    pub(crate) fn commit(&self, state: &mut State, op: &mut Op) -> bool {
        let Some(slot) = state.slot() else { return false };
        if self.decides_early && op.plan.is_none() {
            op.plan = Some((slot.version, slot.plan()));
            return false;
        }
        if self.swaps && op.copy.is_none() {
            op.copy = Some(Box::new((state.redis.incarnation, slot.clone())));
            return false;
        }
        let is_stale = op.plan.as_ref().is_some_and(|(version, _)| *version != slot.version);
        if is_stale && self.without != Some(Cut::StaleViewTaken) {
            op.plan = None;
            return false;
        }
        let targets = op.plan.as_ref().map_or_else(|| slot.plan(), |(_, plan)| plan.clone());
        let mut after = slot.clone();
        if let Some(read) = op.copy.take() {
            let (incarnation, copy) = *read;
            let is_same =
                incarnation == state.redis.incarnation || self.without == Some(Cut::SwapByCountAlone);
            if copy.written != slot.written || !is_same {
                return false;
            }
            after = copy;
        }
        after.written += u8::from(self.swaps);
        after.verified = state.redis.incarnation;
        let mut named = Vec::new();
        self.commit_batch(state, &mut after, op, &targets, &mut named);
        state.ghost.highest = state.ghost.highest.max(after.last);
        state.redis.bob = Some(after);
        for (device, msg) in named {
            let stream = state.devices[usize::from(device)].stream;
            state.ghost.named.insert((device, stream, msg));
        }
        op.incarnation = state.redis.incarnation;
        true
    }

    fn commit_batch(
        &self,
        state: &mut State,
        slot: &mut crate::slot::Slot,
        op: &mut Op,
        targets: &[u8],
        named: &mut Vec<(u8, (u8, u8))>,
    ) {
        let cx = self.context(state);
        op.handed.clear();
        op.rows.clear();
        for (at, body) in op.bodies.iter().enumerate() {
            let key = (op.sender, op.stream, op.first + at as Num);
            match slot.commit(cx, key, op.epoch, *body, targets) {
                Committed::Done { id, handed, named: all } => {
                    let msg = (op.sender, *body);
                    named.extend(all.into_iter().map(|device| (device, msg)));
                    state.ghost.note(&handed);
                    op.rows.push((id, Row { msg, key }));
                    op.handed.extend(handed);
                }
                Committed::Seen { id, handed } => {
                    let owed = slot.owed.get(&id).map(|msg| (id, Row { msg: *msg, key }));
                    op.rows.extend(owed);
                    op.handed.extend(handed);
                }
                Committed::Fenced => {}
            }
        }
    }

    /// Writes the rows; what is owed no longer was written by somebody else.
    fn store(&self, state: &mut State, op: &Op) -> bool {
        for (id, row) in op.rows.iter().copied() {
            let seen_as_other = state
                .redis
                .bob
                .as_ref()
                .is_some_and(|slot| slot.verified == op.incarnation && !slot.owed.contains_key(&id));
            if !seen_as_other {
                state.cql.write(id, row, self.without != Some(Cut::WritesUntimed));
            }
        }
        true
    }

    /// Owed no longer; and under another incarnation of Redis: is it there at all (rule 8)?
    fn settle(&self, state: &mut State, op: &mut Op) -> bool {
        if op.incarnation != state.redis.incarnation && self.without != Some(Cut::CommitUnconfirmed) {
            let Some(slot) = state.slot() else { return true };
            let lost: Vec<_> = op.rows.iter().map(|(id, _)| *id).filter(|id| !slot.knows(*id)).collect();
            if !lost.is_empty() {
                lost.into_iter().for_each(|id| state.cql.delete(id));
                op.stage = Stage::Commit;
                return false;
            }
        }
        if let Some(slot) = state.slot_mut() {
            slot.owed.retain(|id, _| !op.rows.iter().any(|row| row.0 == *id));
        }
        self.push(state, std::mem::take(&mut op.handed));
        true
    }

    /// A client is back: it claims its session, or begins a new one.
    pub(crate) fn sender_returns(&self, state: &mut State, at: usize, gives_up: bool) {
        let Some(record) = state.redis.senders[at].as_mut() else { return };
        let sender = &mut state.senders[at];
        if self.without != Some(Cut::ClaimTellsUnstored) {
            state.cql.own.extend(std::mem::take(&mut record.owed).into_iter().map(|body| (at as u8, body)));
        }
        let is_resumed = !record.is_over && record.stream == sender.stream;
        let last_h = if record.stream == sender.stream { record.h } else { sender.told };
        state.ghost.is_h_fallen |= is_resumed && last_h < sender.told;
        let count = usize::from(last_h.saturating_sub(sender.told)).min(sender.unacked.len());
        let told: Vec<u8> = sender.unacked.drain(..count).collect();
        state.ghost.acked.extend(told.into_iter().map(|body| (at as u8, body)));
        if is_resumed {
            record.epoch += 1;
            sender.told = last_h.max(sender.told);
        } else {
            sender.stream += 1;
            sender.told = 0;
            *record = Outward { stream: sender.stream, ..Outward::new(record.verified) };
        }
        if gives_up && let Some(body) = sender.unacked.pop() {
            state.ghost.given_up.insert((at as u8, body));
        }
        let inbox = sender.unacked.clone();
        sender.lane = Some(Lane { epoch: record.epoch, link: 0, handled: sender.told, inbox, submitted: 0 });
    }
}

/// Whether its answer is the next one that the lane waits for, or nobody waits.
fn is_next(state: &State, op: &Op) -> bool {
    let sender = &state.senders[usize::from(op.sender)];
    let lane = sender.lane.as_ref().filter(|lane| sender.stream == op.stream && lane.epoch == op.epoch);
    lane.is_none_or(|lane| op.first <= lane.handled + 1)
}

/// `h` is saved by the session's owner only, and never falls (rules 6 and 21).
fn save(config: &Config, state: &mut State, op: &Op) -> bool {
    let Some(record) = state.outward_mut(op.sender) else { return false };
    let is_owner = record.stream == op.stream && record.epoch == op.epoch && !record.is_over;
    let is_fenced = !is_owner && config.without != Some(Cut::SaveUnfenced);
    if is_fenced || record.stream != op.stream {
        return false;
    }
    record.h = record.h.max(op.first + op.bodies.len() as Num - 1);
    if config.own_copies {
        record.owed.extend(&op.bodies);
    }
    true
}

fn store_own(state: &mut State, op: &Op) -> bool {
    state.cql.own.extend(op.bodies.iter().map(|body| (op.sender, *body)));
    if let Some(record) = state.outward_mut(op.sender) {
        record.owed.retain(|body| !op.bodies.contains(body));
    }
    true
}

/// `<a/>`, where the lane still goes by the link that the batch came from.
fn reply(config: &Config, state: &mut State, op: &Op) -> bool {
    let sender = &mut state.senders[usize::from(op.sender)];
    let is_current = sender.stream == op.stream;
    let is_own = |lane: &&mut Lane| {
        let by_link = lane.link == op.link || config.without == Some(Cut::LaneMovesEarly);
        is_current && lane.epoch == op.epoch && by_link
    };
    let Some(lane) = sender.lane.as_mut().filter(is_own) else { return true };
    let upto = op.first + op.bodies.len() as Num - 1;
    let count = usize::from(upto.saturating_sub(lane.handled)).min(lane.inbox.len());
    lane.inbox.drain(..count);
    lane.handled = lane.handled.max(upto);
    lane.submitted = lane.submitted.saturating_sub(count as u8);
    sender.told = lane.handled;
    let told: Vec<u8> = sender.unacked.drain(..count.min(sender.unacked.len())).collect();
    state.ghost.acked.extend(told.into_iter().map(|body| (op.sender, body)));
    true
}

impl Outward {
    pub(crate) fn new(verified: u8) -> Outward {
        Outward { verified, stream: 0, epoch: 1, is_over: false, h: 0, owed: Default::default() }
    }
}

impl Config {
    /// To the managers; where all is prompt they have it at once.
    pub(crate) fn push(&self, state: &mut State, pushes: Vec<Push>) {
        for push in pushes {
            state.pushes.insert(push);
            if self.is_prompt {
                self.pushed(state, push);
            }
        }
    }
}
