//! One session of a slot: who holds it, what it asked for, and its log.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use starling_jid::{FullJid, Jid};
use starling_ports::ids::{ArchiveId, Epoch, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::sessions::{
    Availability, Flags, Handed, Holding, Portrait, Renewal, Renewed, SessionInfo, SessionView, SmBase,
    Standing,
};

use crate::log::{Logged, Stanza};
use crate::{Limits, Promise, Slot, usual};

/// What is not numbered yet goes out at this many entries, though the client is inactive (XEP-0352).
const INACTIVE: usize = 100;

/// Where a session stands that gets its messages from the store (rule 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backlog {
    /// The last number that it has read.
    pub after: u64,
    /// Up to here were committed before the session was there for them: it gets only what still waits.
    pub before: u64,
}

/// A session and its log.
#[derive(Debug)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Its address.
    pub jid: FullJid,
    /// Its owner.
    pub node: NodeId,
    /// By which claim.
    pub epoch: Epoch,
    /// The connection of the last claim (rule 21).
    pub token: Option<u128>,
    /// What it asked for.
    pub flags: Flags,
    /// Its last available presence.
    pub available: Option<Arc<Availability>>,
    /// Whom it sent directed presence.
    pub directed: Arc<Vec<Jid>>,
    /// Whether a socket holds it.
    pub attached: bool,
    /// Found in a store that came back with less than it had: it hands out nothing and hears nothing until its owner has
    /// registered it again (rule 9), and is not resumed before.
    pub doubtful: bool,
    /// When it was bound.
    pub since: Timestamp,
    /// While it waits to be resumed.
    pub expires: Option<Timestamp>,
    /// How long it may wait to be resumed.
    pub resume: Option<Duration>,
    /// How far what it sent is handled.
    pub handled: u64,
    /// Everything up to this number is acknowledged; the log begins after it.
    pub acknowledged: u64,
    /// From where XEP-0198 counts.
    pub base: SmBase,
    /// What has a number and is not acknowledged.
    pub log: VecDeque<Logged>,
    /// Without a number yet, before any backlog.
    pub held: VecDeque<Logged>,
    /// Without a number yet, behind the backlog.
    pub behind: VecDeque<Logged>,
    /// Of all three.
    pub bytes: usize,
    /// Of `log` alone.
    pub numbered: usize,
    /// Where it reads in the store, if it does.
    pub backlog: Option<Backlog>,
}

impl Session {
    /// A new one, attached.
    pub fn new(id: SessionId, jid: FullJid, node: NodeId, now: Timestamp) -> Session {
        Session {
            id,
            jid,
            node,
            epoch: Epoch(1),
            token: None,
            flags: Flags::default(),
            available: None,
            directed: usual::nobody(),
            attached: true,
            doubtful: false,
            since: now,
            expires: None,
            resume: None,
            handled: 0,
            acknowledged: 0,
            base: SmBase::default(),
            log: VecDeque::new(),
            held: VecDeque::new(),
            behind: VecDeque::new(),
            bytes: 0,
            numbered: 0,
            backlog: None,
        }
    }

    /// The highest number handed out.
    pub fn highest(&self) -> u64 {
        self.acknowledged + self.log.len() as u64
    }

    /// Room for a number more. What waits behind the log takes none of it: it could not go out otherwise.
    pub fn has_room(&self, limits: &Limits) -> bool {
        self.log.len() < limits.stanzas && self.numbered < limits.bytes
    }

    /// Room for one more without a number.
    pub fn may_hold(&self, limits: &Limits) -> bool {
        self.log.len() + self.held.len() < limits.stanzas && self.bytes < limits.bytes
    }

    /// Whether entries get their number as soon as they are committed.
    pub fn is_flowing(&self, urgent: bool) -> bool {
        self.attached && !self.doubtful && (urgent || !self.flags.inactive || self.held.len() >= INACTIVE)
    }

    /// Whether it takes messages addressed to the bare JID (RFC 6121 §8.5.2.1.1).
    pub fn takes_bare(&self) -> bool {
        self.available.as_ref().is_some_and(|available| available.priority >= 0)
    }

    /// Where it stands in the store, if it reads there.
    pub fn backlog_after(&self) -> Option<u64> {
        self.backlog.map(|backlog| backlog.after)
    }

    pub(crate) fn queued(&self) -> impl Iterator<Item = &Logged> {
        self.log.iter().chain(&self.held).chain(&self.behind)
    }

    /// Whether the message lies in its log already.
    pub fn holds(&self, id: ArchiveId) -> bool {
        self.queued().any(|logged| logged.stanza.id() == Some(id))
    }

    /// How it holds it, if it does.
    pub fn holding(&self, id: ArchiveId) -> Option<Holding> {
        let at = self.log.iter().position(|logged| logged.stanza.id() == Some(id));
        let number = at.map(|at| LogNumber(self.acknowledged + 1 + at as u64));
        let held = number.is_some() || self.holds(id);
        held.then(|| Holding { jid: self.jid.clone(), node: self.node, attached: self.attached, number })
    }

    /// Gives the next number.
    pub fn push(&mut self, logged: Logged) -> Handed {
        self.bytes += logged.bytes();
        self.number(logged)
    }

    /// Says to the connection that something waits which it was not handed.
    pub fn hint(&self, logged: &Logged) -> Handed {
        let entry = logged.entry(LogNumber::BEHIND.0);
        Handed { session: self.id, jid: self.jid.clone(), node: self.node, epoch: self.epoch, entry }
    }

    /// Whether a pull would bring what has no number yet.
    fn could_hand_out(&self, limits: &Limits) -> bool {
        let waits = self.backlog.is_some() || (!self.flags.inactive && !self.held.is_empty());
        self.attached && waits && self.has_room(limits)
    }

    /// Whether a renewal that knows its last number has nothing to tell: it is held, and nothing waits for it.
    pub fn rests(&self, limits: &Limits) -> bool {
        self.attached && !self.doubtful && !self.could_hand_out(limits)
    }

    /// Whether the connection would pull if it knew that something waits.
    pub fn wants_hint(&self) -> bool {
        self.attached && !self.doubtful && !self.flags.inactive
    }

    /// The same for what was counted when it was held.
    fn number(&mut self, logged: Logged) -> Handed {
        let entry = logged.entry(self.highest() + 1);
        self.numbered += logged.bytes();
        self.log.push_back(logged);
        Handed { session: self.id, jid: self.jid.clone(), node: self.node, epoch: self.epoch, entry }
    }

    /// Numbers what was held, as far as there is room.
    pub fn flush(&mut self, limits: &Limits, most: usize) -> Vec<Handed> {
        let mut handed = Vec::new();
        // What is held has been counted in bytes already.
        while self.log.len() < limits.stanzas && handed.len() < most {
            let Some(logged) = self.held.pop_front() else { break };
            handed.push(self.number(logged));
        }
        handed
    }

    /// Keeps an entry without a number; one of the same address makes room for it.
    pub fn hold(&mut self, logged: Logged) {
        if let Some(address) = &logged.coalesce {
            for queue in [&mut self.held, &mut self.behind] {
                let same = queue.iter().position(|waiting| waiting.coalesce.as_ref() == Some(address));
                if let Some(old) = same.and_then(|at| queue.remove(at)) {
                    self.bytes = self.bytes.saturating_sub(old.bytes());
                }
            }
        }
        self.bytes += logged.bytes();
        if self.backlog.is_some() { self.behind.push_back(logged) } else { self.held.push_back(logged) }
    }

    /// How much unstorable waits without a number.
    pub fn is_crowded(&self, limits: &Limits) -> bool {
        self.held.len() + self.behind.len() >= limits.stanzas || self.bytes >= limits.bytes * 2
    }

    /// Drops everything up to `upto`, and returns it.
    pub fn trim(&mut self, upto: u64) -> Vec<Logged> {
        let count = usize::try_from(upto.saturating_sub(self.acknowledged)).unwrap_or(usize::MAX);
        let gone: Vec<Logged> = self.log.drain(..count.min(self.log.len())).collect();
        self.acknowledged += gone.len() as u64;
        let bytes = gone.iter().map(Logged::bytes).sum();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.numbered = self.numbered.saturating_sub(bytes);
        if self.log.is_empty() {
            self.log = VecDeque::new(); // an idle session keeps no buffers
        }
        gone
    }

    /// XEP-0198 counts modulo 2^32 from the base: the number at or above what is acknowledged that `h` means.
    pub fn extend(&self, h: u32) -> u64 {
        let base = self.base.sent.0;
        let counted = self.acknowledged.saturating_sub(base);
        let near = (counted & !u64::from(u32::MAX)) | u64::from(h);
        let number = if near < counted { near + (1 << 32) } else { near };
        // A client that repeats an older `h` than it told before has lost nothing: it acknowledged more already.
        if number > self.highest().saturating_sub(base) && near < counted && counted - near < 1 << 31 {
            return self.acknowledged;
        }
        base + number
    }

    /// What it has said of itself.
    pub fn portrait(&self) -> Portrait {
        let (available, directed) = (self.available.clone(), self.directed.clone());
        Portrait { flags: self.flags, available, directed }
    }

    /// As a decision sees it.
    pub fn view(&self) -> SessionView {
        SessionView {
            id: self.id,
            jid: self.jid.clone(),
            node: self.node,
            flags: self.flags,
            available: self.available.clone(),
            attached: self.attached,
            directed: self.directed.clone(),
        }
    }

    /// As an administrator sees it.
    pub fn info(&self) -> SessionInfo {
        SessionInfo {
            jid: self.jid.clone(),
            id: self.id,
            node: self.node,
            epoch: self.epoch,
            attached: self.attached,
            priority: self.available.as_ref().map(|available| available.priority),
            unacknowledged: self.unacknowledged(),
            since: self.since,
        }
    }

    /// How many entries its log has.
    pub fn unacknowledged(&self) -> usize {
        self.log.len()
    }

    /// How many bytes of memory its log takes, with what has no number yet: about, and rather more.
    pub fn weight(&self) -> usize {
        let entries = self.log.len() + self.held.len() + self.behind.len();
        self.bytes + entries * (size_of::<Logged>() + size_of::<Stanza>())
    }
}

impl Slot {
    /// The client has handled everything up to `upto`. `false` if that is above the highest number handed out.
    pub fn acknowledge(&mut self, id: SessionId, epoch: Epoch, upto: LogNumber) -> bool {
        let Some(session) = self.owned_mut(id, epoch) else { return true }; // what a fenced owner says has no effect
        if upto.0 > session.highest() {
            return false;
        }
        let gone = session.trim(upto.0);
        self.done(gone);
        true
    }

    /// The numbers of what it has sent that was answered, and may be sent again.
    pub fn answered(&self, id: SessionId) -> Vec<u64> {
        self.seen.answered(id)
    }

    /// What the owner of a session is to know (rule 7).
    pub fn renew(&mut self, limits: &Limits, renewal: &Renewal) -> Renewed {
        self.acknowledge(renewal.session, renewal.epoch, renewal.acknowledged);
        Renewed { standing: self.standing(limits, renewal), ..self.renewed() }
    }

    /// What a renewal tells that finds all as it was.
    pub fn renewed(&self) -> Renewed {
        Renewed { standing: Standing::Held, life: self.life, saved: self.pending.saved_up_to() }
    }

    fn standing(&self, limits: &Limits, renewal: &Renewal) -> Standing {
        let may_register = renewal.life.is_some_and(|life| life != self.life);
        let Some(session) = self.session(renewal.session) else {
            // Unknown in the life in which it was renewed last: it has ended (rule 9).
            let has_ended = self.ended.iter().any(|over| over.id == renewal.session);
            return if may_register && !has_ended { Standing::Unknown } else { Standing::Over };
        };
        if session.doubtful {
            let is_owner = may_register && renewal.epoch >= session.epoch;
            return if is_owner { Standing::Unknown } else { Standing::Over };
        }
        let is_fenced = session.epoch != renewal.epoch && !Promise::Fence.is_broken();
        if is_fenced || !session.attached || renewal.last.0 > session.highest() {
            return Standing::Over;
        }
        let is_behind = session.highest() > renewal.last.0 || session.could_hand_out(limits);
        if is_behind { Standing::Behind } else { Standing::Held }
    }

    /// The first acknowledgement ends *pending*; the row of the spool goes with it.
    pub fn done(&mut self, gone: Vec<Logged>) {
        for logged in gone {
            let Some(id) = logged.stanza.deliverable() else { continue };
            let spooled = logged
                .stanza
                .keep
                .as_ref()
                .is_some_and(|keep| keep.table == starling_ports::archive::Table::Spool);
            if self.pending.acknowledge(id) && spooled && logged.stanza.has_row() {
                self.collected.push(id);
            }
        }
    }

    /// It waits no longer, though no device has acknowledged it; see `Promise::KeepUntilAck`.
    pub fn read_away(&mut self, id: ArchiveId) {
        self.pending.acknowledge(id);
    }

    /// Where what waits is to be read anew, when all that is known of it is done.
    pub fn wants_refill(&self) -> Option<ArchiveId> {
        self.pending.wants_refill()
    }

    /// What was read from there when all of `last` was stored, and whether there is more.
    pub fn refill(&mut self, waiting: Vec<crate::Waiting>, more: bool, last: u64) {
        self.pending.refill(waiting, more, last);
    }
}
