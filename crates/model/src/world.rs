//! The model as the checker explores it: where it begins, what can happen, what comes of it.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use crate::action::{Action, Fault};
use crate::invariant::Invariant;
use crate::slot::Slot;
use crate::state::{Cql, Device, Ghost, Lane, Outward, Pump, Reader, Redis, Sender, Stage, State};
use crate::{Config, Cut};

impl Model for Config {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.begin()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.steps(state, actions);
        self.store_chores(state, actions);
        if self.has_address {
            actions.extend(state.address.whims().into_iter().map(Action::Address));
        }
        if state.left.total > 0 {
            self.lane_faults(state, actions);
            self.device_faults(state, actions);
            self.store_faults(state, actions);
            if state.left.presence_link > 0 {
                let faults = state.presence.faults().into_iter().map(Fault::Presence);
                actions.extend(faults.map(Action::Fault));
            }
            if state.left.farewell_lost > 0 {
                let faults = state.address.faults(self).into_iter().map(Fault::Address);
                actions.extend(faults.map(Action::Fault));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.act(&mut state, action);
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        Invariant::properties()
    }
}

impl Config {
    fn begin(&self) -> State {
        let lane = Lane { epoch: 1, link: 0, handled: 0, inbox: Vec::new(), submitted: 0 };
        let sender = Sender { next: 0, unacked: Vec::new(), told: 0, stream: 0, lane: Some(lane) };
        let mut slot = Slot::new(0, usize::from(self.devices));
        let device = Device { stream: 0, received: Vec::new(), pump: None, is_away: false, is_lapsed: false };
        let mut devices = vec![device; usize::from(self.devices)];
        let senders = vec![sender; usize::from(self.senders)];
        let redis = Redis { incarnation: 0, bob: None, senders: vec![Some(Outward::new(0)); senders.len()] };
        let ghost = Ghost { numbered: vec![Default::default(); devices.len()], ..Ghost::default() };
        let mut state = State {
            redis,
            older: None,
            cql: Cql::default(),
            senders,
            devices: Vec::new(),
            ops: Vec::new(),
            pulls: BTreeSet::new(),
            pushes: BTreeSet::new(),
            detaches: BTreeSet::new(),
            reader: Reader::default(),
            presence: Default::default(),
            address: Default::default(),
            left: self.faults,
            ghost,
        };
        let cx = self.context(&state);
        for (at, device) in (0..).zip(&mut devices) {
            slot.bind(cx, at, 0);
            device.pump = Some(Pump { is_behind: false, ..Pump::new(1, 0, 0) });
        }
        slot.version = 0;
        state.redis.bob = Some(slot);
        state.devices = devices;
        state
    }

    /// What goes on by itself: at rest there is nothing of it.
    fn steps(&self, state: &State, actions: &mut Vec<Action>) {
        self.lane_actions(state, actions);
        self.device_actions(state, actions);
        self.store_actions(state, actions);
        if self.has_presence {
            actions.extend(state.presence.steps().into_iter().map(Action::Presence));
        }
        if self.has_address {
            actions.extend(state.address.steps().into_iter().map(Action::Address));
        }
    }

    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.steps(state, &mut actions);
        actions.is_empty()
    }

    fn act(&self, state: &mut State, action: Action) {
        match action {
            Action::Send(at) => self.send(state, at),
            Action::Submit(at) => self.submit(state, at),
            Action::Step(at) => self.step(state, at),
            Action::SenderReturns(at) => self.sender_returns(state, at, false),
            Action::Pushed(push) => self.pushed(state, push),
            Action::BeginPull(at) => self.begin_pull(state, at),
            Action::StepPull(pull) => self.step_pull(state, pull),
            Action::Write(at) => self.write(state, at),
            Action::Hear(at) => self.hear(state, at),
            Action::Trim(at) => self.trim(state, at),
            Action::DeviceReturns(at) => self.device_returns(state, at),
            Action::Renew(at) => self.renew(state, at),
            Action::Detach(owner) => self.detach(state, owner),
            Action::Sweep(at) => self.sweep(state, at),
            Action::StoreOwed => self.store_owed(state, true),
            Action::Verify => self.verify(state),
            Action::VerifySender(at) => self.verify_sender(state, at),
            Action::Read => self.read(state),
            Action::SavePosition => {
                state.left.saves -= 1;
                state.cql.position = state.slot().map(|slot| slot.done.clone()).unwrap_or_default();
            }
            Action::Checkpoint => state.older = Some(Box::new(state.redis.clone())),
            Action::LateWrite => self.late_write(state),
            Action::Presence(step) => state.presence.act(self, step),
            Action::Address(step) => state.address.act(self, step),
            Action::Fault(fault) => {
                state.left.total -= 1;
                self.fail(state, fault);
            }
        }
    }

    fn lane_faults(&self, state: &State, actions: &mut Vec<Action>) {
        let left = &state.left;
        let mut add = |fault| actions.push(Action::Fault(fault));
        for (at, sender) in state.senders.iter().enumerate() {
            match &sender.lane {
                Some(lane) => {
                    if left.sender_lost > 0 {
                        add(Fault::SenderLost(at));
                    }
                    if left.link_lost > 0 && lane.submitted > 0 {
                        add(Fault::LinkLost(at));
                    }
                }
                None => {
                    if left.gives_up > 0 && state.outward(at as u8).is_some() && !sender.unacked.is_empty() {
                        add(Fault::SenderGivesUp(at));
                    }
                    if left.sender_expires > 0 && state.outward(at as u8).is_some_and(|one| !one.is_over) {
                        add(Fault::SenderExpires(at));
                    }
                }
            }
        }
        for (at, op) in state.ops.iter().enumerate() {
            if left.router_crash > 0 {
                add(Fault::RouterCrash(at));
            }
            if left.reply_lost > 0 && self.may_lose_reply(state, op) {
                add(Fault::ReplyLost(at));
            }
            if left.late_write > 0 && op.stage == Stage::Store {
                add(Fault::WriteIsLate(at));
            }
        }
    }

    fn fail(&self, state: &mut State, fault: Fault) {
        let left = &mut state.left;
        let count = match fault {
            Fault::SenderLost(_) => &mut left.sender_lost,
            Fault::SenderExpires(_) => &mut left.sender_expires,
            Fault::SenderGivesUp(_) => &mut left.gives_up,
            Fault::LinkLost(_) => &mut left.link_lost,
            Fault::RouterCrash(_) => &mut left.router_crash,
            Fault::ReplyLost(_) => &mut left.reply_lost,
            Fault::WriteIsLate(_) => &mut left.late_write,
            Fault::PushLost(_) => &mut left.push_lost,
            Fault::DeviceLost(_) => &mut left.device_lost,
            Fault::ManagerCrash(_) => &mut left.manager_crash,
            Fault::DeviceExpires(_) => &mut left.device_expires,
            Fault::SignsIn(_) => &mut left.signs_in,
            Fault::Rollback => &mut left.rollback,
            Fault::Emptied => &mut left.emptied,
            Fault::Outage => &mut left.outage,
            Fault::Presence(_) => &mut left.presence_link,
            Fault::Address(_) => &mut left.farewell_lost,
        };
        *count -= 1;
        match fault {
            Fault::SenderLost(at) => state.senders[at].lane = None,
            Fault::SenderExpires(at) => {
                if let Some(record) = state.outward_mut(at as u8) {
                    record.is_over = true;
                }
            }
            Fault::SenderGivesUp(at) => self.sender_returns(state, at, true),
            Fault::LinkLost(at) => unlink(state, at),
            Fault::RouterCrash(at) => {
                let op = state.ops.remove(at);
                let sender = usize::from(op.sender);
                let lane = state.senders[sender].lane.as_ref();
                if lane.is_some_and(|lane| (lane.epoch, lane.link) == (op.epoch, op.link)) {
                    unlink(state, sender);
                }
            }
            Fault::ReplyLost(at) => {
                let mut op = state.ops[at].clone();
                self.commit(state, &mut op);
                state.ops[at].copy = None;
            }
            Fault::WriteIsLate(at) => {
                state.cql.late.extend(state.ops[at].rows.iter().copied());
            }
            Fault::PushLost(push) => state.pushes.retain(|one| *one != push),
            Fault::DeviceLost(at) => self.device_lost(state, at, true),
            Fault::ManagerCrash(at) => self.device_lost(state, at, false),
            Fault::DeviceExpires(at) => self.expire(state, at),
            Fault::SignsIn(at) => self.sign_in(state, at),
            Fault::Rollback => self.come_back(state, false),
            Fault::Emptied => self.come_back(state, true),
            Fault::Outage => self.outage(state),
            Fault::Presence(step) => state.presence.act(self, step),
            Fault::Address(step) => state.address.act(self, step),
        }
    }
}

/// The lane goes by another router: what is unanswered is sent again before anything new (rule 2).
fn unlink(state: &mut State, at: usize) {
    if let Some(lane) = &mut state.senders[at].lane {
        lane.link += 1;
        lane.submitted = 0;
    }
}

impl Config {
    /// This world without a rule.
    pub fn cut(self, cut: Cut) -> Config {
        Config { without: Some(cut), ..self }
    }
}
