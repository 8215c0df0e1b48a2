//! Clients that receive, their managers, and the log between them: push, pull, write, acknowledge, resume.

use crate::action::{Action, Fault};
use crate::slot::{Backlog, Entry, Id, Life, Msg, Num, Session, Slot, below};
use crate::state::{Owner, Pull, Pulling, Pump, Push, State};
use crate::{Config, Cut};

impl Config {
    pub(crate) fn device_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (at, device) in state.devices.iter().enumerate() {
            match &device.pump {
                Some(pump) => self.pump_actions(state, at, pump, actions),
                None => {
                    if state.slot().is_some() && !device.is_away {
                        actions.push(Action::DeviceReturns(at));
                    }
                }
            }
            if self.may_sweep(state, at) {
                actions.push(Action::Sweep(at));
            }
        }
        actions.extend(state.pushes.iter().map(|push| Action::Pushed(*push)));
        actions
            .extend(state.pulls.iter().filter(|pull| can_pull(state, pull)).cloned().map(Action::StepPull));
        if state.slot().is_some() {
            actions.extend(state.detaches.iter().map(|owner| Action::Detach(*owner)));
        }
    }

    fn pump_actions(&self, state: &State, at: usize, pump: &Pump, actions: &mut Vec<Action>) {
        let Some(owner) = state.owner(at as u8) else { return };
        let is_written = usize::from(pump.written) == pump.kept.len();
        let is_free = is_written && !state.pulls.iter().any(|pull| pull.by == owner);
        if pump.is_behind && is_free && state.slot().is_some() {
            actions.push(Action::BeginPull(at));
        }
        if !is_written {
            actions.push(Action::Write(at));
        }
        if usize::from(pump.heard) < state.devices[at].received.len() {
            actions.push(Action::Hear(at));
        }
        let Some(slot) = state.slot() else { return };
        let session =
            slot.sessions[at].as_ref().filter(|one| (one.stream, one.epoch) == (owner.stream, owner.epoch));
        if session.is_some_and(|one| one.life == Life::Attached && one.acked < pump.heard.min(one.highest()))
        {
            actions.push(Action::Trim(at));
        }
        let is_known = session.is_some_and(|one| one.life == Life::Attached);
        let tells = session.is_some_and(|one| self.tells(one, pump));
        if !is_known || state.devices[at].is_lapsed || tells {
            actions.push(Action::Renew(at));
        }
    }

    /// Renewal tells a manager that its log holds more (rule 7).
    fn tells(&self, session: &Session, pump: &Pump) -> bool {
        let could = session.backlog.is_some() && session.log.len() < usize::from(self.window);
        let is_behind = session.highest() > pump.last || could;
        is_behind && !pump.is_behind && self.without != Some(Cut::NobodyIsTold)
    }

    /// A session whose manager is dead for a whole lease, or of which nobody says that he holds it (rules 9 and 11).
    fn may_sweep(&self, state: &State, at: usize) -> bool {
        let Some(session) = state.slot().and_then(|slot| slot.sessions[at].as_ref()) else { return false };
        let device = &state.devices[at];
        let by = Owner { device: at as u8, stream: session.stream, epoch: session.epoch };
        match session.life {
            Life::Waiting => false,
            _ if state.detaches.contains(&by) => false,
            Life::Unknown => device.pump.is_none(),
            Life::Attached if device.pump.is_none() => true,
            Life::Attached => device.is_lapsed && self.without == Some(Cut::SweepAtOnce),
        }
    }

    pub(crate) fn pushed(&self, state: &mut State, push: Push) {
        state.pushes.remove(&push);
        let Some(device) = state.devices.get_mut(usize::from(push.to.device)) else { return };
        if device.stream != push.to.stream {
            return;
        }
        let Some(pump) = device.pump.as_mut().filter(|pump| pump.epoch == push.to.epoch) else { return };
        match push.what {
            None => pump.is_behind = true,
            Some((num, _)) if num <= pump.last => {}
            Some((num, entry)) if num == pump.last + 1 || self.without == Some(Cut::GapWritten) => {
                pump.last = num;
                pump.kept.push((num, entry));
            }
            Some(_) => pump.is_behind = true,
        }
    }

    pub(crate) fn begin_pull(&self, state: &mut State, at: usize) {
        let Some(by) = state.owner(at as u8) else { return };
        let Some(pump) = &mut state.devices[at].pump else { return };
        pump.is_behind = false;
        let after = pump.last;
        let stage = self.ask(state, by, after);
        answer(state, by, stage);
    }

    /// What comes out of a log is stored first (rule 12).
    pub(crate) fn step_pull(&self, state: &mut State, pull: Pull) {
        state.pulls.remove(&pull);
        let by = pull.by;
        match pull.stage {
            Pulling::Absorb { rows, last } => {
                let stage = self.absorb(state, by, &rows, last);
                answer(state, by, stage);
            }
            Pulling::Answer { entries, more } => fill(state, by, entries, more),
        }
    }

    fn ask(&self, state: &mut State, by: Owner, after: Num) -> Pulling {
        let nothing = Pulling::Answer { entries: Vec::new(), more: false };
        let cx = self.context(state);
        let Some(session) = state.slot_mut().and_then(|slot| slot.owned_mut(by)) else { return nothing };
        let entries = numbered(session, after);
        let backlog = session.backlog.filter(|_| session.life == Life::Attached && session.has_room(cx));
        let has_more = session.backlog.is_some();
        if self.without != Some(Cut::PullUnstored) {
            self.store_owed(state, false);
        }
        match backlog.filter(|_| entries.is_empty()) {
            Some(backlog) => {
                let rows = state.cql.rows.iter().filter(|(id, _)| **id > backlog.after);
                let rows = rows.map(|(id, row)| (*id, row.msg)).collect();
                let last = state.slot().map_or(0, |slot| slot.last);
                Pulling::Absorb { rows, last }
            }
            None => Pulling::Answer { entries, more: has_more },
        }
    }

    fn absorb(&self, state: &mut State, by: Owner, rows: &[(Id, Msg)], last: u8) -> Pulling {
        let nothing = Pulling::Answer { entries: Vec::new(), more: false };
        let cx = self.context(state);
        let Some(slot) = state.slot_mut() else { return nothing };
        let Some(session) = slot.owned_mut(by) else { return nothing };
        let before = session.highest();
        slot.absorb(cx, by, rows, last);
        let Some(session) = slot.owned_mut(by) else { return nothing };
        let (entries, more) = (numbered(session, before), session.backlog.is_some());
        let pushes: Vec<Push> =
            entries.iter().map(|(num, entry)| Push { to: by, what: Some((*num, *entry)) }).collect();
        // With nothing to hand out but room, it reads on.
        let again = more && entries.is_empty() && session.has_room(cx);
        let after = session.highest();
        state.ghost.note(&pushes);
        if again { self.ask(state, by, after) } else { Pulling::Answer { entries, more } }
    }

    /// The client reads an entry.
    pub(crate) fn write(&self, state: &mut State, at: usize) {
        let device = &mut state.devices[at];
        let Some(pump) = &mut device.pump else { return };
        let (_, entry) = pump.kept[usize::from(pump.written)];
        pump.written += 1;
        device.received.push(entry);
        state.ghost.got.insert(entry.msg);
    }

    /// The client acknowledges what it has; the manager hears it, and the slot, if it is there.
    pub(crate) fn hear(&self, state: &mut State, at: usize) {
        let device = &mut state.devices[at];
        let Some(pump) = &mut device.pump else { return };
        pump.heard = device.received.len() as Num;
        let before = pump.kept.len();
        pump.kept.retain(|(num, _)| *num > pump.heard);
        pump.written = pump.written.saturating_sub((before - pump.kept.len()) as u8);
        self.trim(state, at);
    }

    /// The slot hears it.
    pub(crate) fn trim(&self, state: &mut State, at: usize) {
        let Some(by) = state.owner(at as u8).filter(|_| state.slot().is_some()) else { return };
        let Some(pump) = &mut state.devices[at].pump else { return };
        let heard = pump.heard;
        pump.is_behind |= std::mem::take(&mut pump.is_blocked);
        if let Some(slot) = state.slot_mut() {
            slot.trim(by, heard);
        }
    }

    /// The client connects again: it claims its session, or signs in anew.
    pub(crate) fn device_returns(&self, state: &mut State, at: usize) {
        let (cx, h) = (self.context(state), state.devices[at].received.len() as Num);
        let stream = state.devices[at].stream;
        let Some(slot) = state.slot_mut() else { return };
        let claimed = slot.sessions[at].as_mut().filter(|session| {
            session.stream == stream && session.life != Life::Unknown && h <= session.highest()
        });
        let Some(session) = claimed else { return self.sign_in(state, at) };
        session.epoch += u8::from(self.without != Some(Cut::ClaimKeepsEpoch));
        session.life = Life::Attached;
        let by = Owner { device: at as u8, stream, epoch: session.epoch };
        slot.trim(by, h);
        state.devices[at].pump = Some(Pump::new(by.epoch, h, cx.incarnation));
        // Its contacts were told that it is gone.
        state.ghost.is_gone |= state.ghost.ended.contains(&(by.device, stream));
    }

    pub(crate) fn sign_in(&self, state: &mut State, at: usize) {
        let cx = self.context(state);
        let device = &mut state.devices[at];
        device.stream += 1;
        device.received.clear();
        let stream = device.stream;
        device.pump = Some(Pump::new(1, 0, cx.incarnation));
        state.ghost.numbered[at].clear();
        if let Some(slot) = state.slot_mut() {
            slot.bind(cx, at as u8, stream);
        }
    }

    /// The connection is gone, and the slot is told in a while.
    pub(crate) fn device_lost(&self, state: &mut State, at: usize, is_told: bool) {
        if let Some(owner) = state.owner(at as u8).filter(|_| is_told) {
            state.detaches.insert(owner);
        }
        state.devices[at].pump = None;
    }

    pub(crate) fn detach(&self, state: &mut State, by: Owner) {
        state.detaches.remove(&by);
        let holds = state.owner(by.device);
        let is_unfenced = self.without == Some(Cut::DetachUnfenced);
        let Some(slot) = state.slot_mut() else { return };
        let Some(session) = slot.sessions[usize::from(by.device)].as_mut() else { return };
        let is_owner = session.stream == by.stream && (session.epoch == by.epoch || is_unfenced);
        if is_owner && session.life == Life::Attached {
            session.life = Life::Waiting;
            let epoch = session.epoch;
            state.ghost.is_gone |= holds.is_some_and(|one| one.stream == by.stream && one.epoch == epoch);
        }
    }

    /// A lease is over: the session waits to be resumed, or, where nobody knows it, is over.
    pub(crate) fn sweep(&self, state: &mut State, at: usize) {
        let is_held = state.devices[at].pump.is_some();
        let cx = self.context(state);
        let Some(slot) = state.slot_mut() else { return };
        let Some(session) = slot.sessions[at].as_mut() else { return };
        if session.life == Life::Unknown {
            let pushes = slot.end(cx, at as u8);
            state.ghost.note(&pushes);
            return self.push(state, pushes);
        }
        session.life = Life::Waiting;
        state.ghost.is_gone |= is_held;
    }

    /// A session that waited long enough ends.
    pub(crate) fn expire(&self, state: &mut State, at: usize) {
        let cx = self.context(state);
        let Some(slot) = state.slot_mut() else { return };
        let kept = slot.sessions[at].clone();
        let pushes = slot.end(cx, at as u8);
        if self.without == Some(Cut::EstateIsResumed) {
            slot.sessions[at] = kept.map(|session| Session { life: Life::Waiting, ..session });
        } else {
            state.devices[at].is_away = self.ended_stay_away;
        }
        let stream = state.devices[at].stream;
        state.ghost.ended.insert((at as u8, stream));
        state.ghost.note(&pushes);
        self.push(state, pushes);
    }

    /// Lease renewal: is it held, is there more, or is it to be registered again (rules 7 and 9)?
    pub(crate) fn renew(&self, state: &mut State, at: usize) {
        let Some(by) = state.owner(at as u8) else { return };
        let incarnation = state.redis.incarnation;
        let device = &mut state.devices[at];
        device.is_lapsed = false;
        let Some(pump) = &mut device.pump else { return };
        let is_new = std::mem::replace(&mut pump.incarnation, incarnation) != incarnation;
        let Some(slot) = state.redis.bob.as_mut() else { return };
        match slot.owned_mut(by).filter(|session| session.life == Life::Attached) {
            Some(session) => pump.is_behind |= self.tells(session, pump),
            None if is_new && self.without != Some(Cut::MissingIsOver) => {
                if self.without != Some(Cut::AckedNotTold) {
                    let acked = device.received.iter().take(usize::from(pump.heard));
                    acked.for_each(|entry| slot.acknowledge(entry.id));
                }
                slot.version += 1;
                pump.epoch += u8::from(self.without != Some(Cut::RegisteredKeepsEpoch));
                slot.sessions[at] = Some(registered(slot, pump, by.stream));
                pump.is_behind = true;
                let kept = pump.kept.iter().map(|(num, entry)| (*num, entry.id));
                state.ghost.numbered[at] = kept.collect();
            }
            None => {
                state.ghost.is_gone = true;
                device.pump = None;
            }
        }
    }
}

impl Pump {
    pub(crate) fn new(epoch: u8, acked: Num, incarnation: u8) -> Pump {
        Pump {
            epoch,
            last: acked,
            heard: acked,
            kept: Vec::new(),
            written: 0,
            is_behind: true,
            is_blocked: false,
            incarnation,
        }
    }
}

/// All that a manager keeps of a session makes its record anew.
fn registered(slot: &Slot, pump: &Pump, stream: u8) -> Session {
    let before = slot.last;
    let backlog = slot.pending.keys().next().map(|first| Backlog { after: below(*first), before });
    let log = pump.kept.iter().map(|(_, entry)| *entry).collect();
    let life = Life::Attached;
    Session { stream, epoch: pump.epoch, life, acked: pump.heard, log, backlog }
}

/// An answer with nothing in it is not waited for.
fn answer(state: &mut State, by: Owner, stage: Pulling) {
    match stage {
        Pulling::Answer { entries, more } if entries.is_empty() => fill(state, by, entries, more),
        stage => {
            state.pulls.insert(Pull { by, stage });
        }
    }
}

fn can_pull(state: &State, pull: &Pull) -> bool {
    matches!(pull.stage, Pulling::Answer { .. }) || state.slot().is_some()
}

fn numbered(session: &Session, after: Num) -> Vec<(Num, Entry)> {
    (session.acked + 1..).zip(session.log.iter().copied()).filter(|(num, _)| *num > after).collect()
}

fn fill(state: &mut State, by: Owner, entries: Vec<(Num, Entry)>, more: bool) {
    if state.owner(by.device) != Some(by) {
        return;
    }
    let Some(pump) = &mut state.devices[usize::from(by.device)].pump else { return };
    pump.is_blocked = more && entries.is_empty();
    pump.is_behind |= more && !entries.is_empty();
    for (num, entry) in entries {
        if num > pump.last {
            pump.last = num;
            pump.kept.push((num, entry));
        }
    }
}

impl Config {
    pub(crate) fn device_faults(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let mut add = |fault| actions.push(Action::Fault(fault));
        if left.push_lost > 0 {
            state.pushes.iter().for_each(|push| add(Fault::PushLost(*push)));
        }
        for (at, device) in state.devices.iter().enumerate() {
            if device.pump.is_none() {
                let session = state.slot().and_then(|slot| slot.sessions[at].as_ref());
                if left.device_expires > 0 && session.is_some_and(|one| one.life == Life::Waiting) {
                    add(Fault::DeviceExpires(at));
                }
                continue;
            }
            if left.device_lost > 0 {
                add(Fault::DeviceLost(at));
            }
            if left.manager_crash > 0 {
                add(Fault::ManagerCrash(at));
            }
            if left.signs_in > 0 && state.slot().is_some() {
                add(Fault::SignsIn(at));
            }
        }
    }
}
