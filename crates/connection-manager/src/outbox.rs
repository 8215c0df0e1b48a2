//! What waits to be written to one session: bounded, in the order of its log, filled by pushes and by pulls.

mod kept;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use starling_ports::budget::Budget;
use starling_ports::delivery::{Command, Outgoing};
use starling_ports::ids::{Epoch, LogNumber};
use starling_ports::ingress::SessionRef;
use starling_ports::position::Position;
use starling_ports::sessions::{Renewal, Renewed, Standing};
use starling_ports::trail::Trail;
use tokio::time::Instant;

use self::kept::Kept;
pub(crate) use self::kept::Log;
use crate::metrics::overflowed;

/// Most entries that wait here; what comes then is pulled from the log later.
const MAX_ENTRIES: usize = 256;
/// Most bytes that wait here.
const MAX_BYTES: usize = 256 * 1024;

/// How long whoever ends a session has to say why: a little less than what lies between two renewals.
const SAID_WITHIN: Duration = Duration::from_secs(4);

/// The waiting entries of one session on one connection. Never waits: what finds no room stays in the log.
#[derive(Debug)]
pub struct Outbox {
    session: SessionRef,
    budget: Arc<Budget>,
    /// Where it is noted what was written to whom, and what was acknowledged.
    trail: Arc<Trail>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Outgoing>,
    bytes: usize,    // of the queue
    last: LogNumber, // the number of the last entry that came in here
    behind: bool,    // the log holds more than came in here
    command: Option<Command>,
    over_since: Option<Instant>, // so says each renewal since then
    kept: Option<Box<Kept>>,
    leaving: Leaving,
    waker: Option<Waker>,
}

/// Whether the client is to go on elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    Due,
    Told,
}

impl Outbox {
    /// An outbox that begins behind `last`, with a pull due: entries may have come before it was known.
    pub(crate) fn new(
        session: SessionRef,
        last: LogNumber,
        budget: &Arc<Budget>,
        trail: &Arc<Trail>,
    ) -> Outbox {
        let state = State {
            queue: VecDeque::new(),
            bytes: 0,
            last,
            behind: true,
            command: None,
            over_since: None,
            kept: None,
            leaving: Leaving::No,
            waker: None,
        };
        Outbox { session, budget: budget.clone(), trail: trail.clone(), state: Mutex::new(state) }
    }

    /// The same, that keeps what its client has not acknowledged.
    pub(crate) fn keeping(mut self) -> Outbox {
        let state = self.state.get_mut();
        state.kept = Some(Box::new(Kept::behind(state.last)));
        self
    }

    /// The same under another claim: what comes by the former one finds nobody.
    pub(crate) fn again(&self, epoch: Epoch) -> Outbox {
        let mut state = self.state.lock();
        let kept = state.kept.take().map(|kept| Box::new(kept.again()));
        let state = State {
            queue: std::mem::take(&mut state.queue),
            bytes: std::mem::take(&mut state.bytes),
            last: state.last,
            behind: true,
            command: state.command.take(),
            over_since: None,
            kept,
            leaving: state.leaving,
            waker: state.waker.take(),
        };
        let session = SessionRef { epoch, ..self.session.clone() };
        Outbox { session, budget: self.budget.clone(), trail: self.trail.clone(), state: Mutex::new(state) }
    }

    /// Whose it is, and by which claim its connection holds it.
    pub(crate) fn session(&self) -> &SessionRef {
        &self.session
    }

    /// What its node says of it: how far it came, and in which life of its store it was renewed last. Said again and again, and what
    /// is kept until then has its bytes for itself.
    pub(crate) fn renewal(&self) -> Renewal {
        let SessionRef { id: session, ref jid, epoch } = self.session;
        let (account, mut state) = (jid.bare(), self.state.lock());
        if let Some(kept) = &mut state.kept {
            kept.part_from_others();
        }
        let (last, kept) = (state.last, state.kept.as_ref());
        let acknowledged = kept.map_or(LogNumber(0), |kept| kept.acknowledged);
        Renewal { account, session, epoch, last, acknowledged, life: kept.map(|kept| kept.life) }
    }

    /// How many stanzas its client has not acknowledged, as far as they are kept here.
    pub(crate) fn unacknowledged(&self) -> u64 {
        let state = self.state.lock();
        state.kept.as_ref().map_or(0, |kept| state.last.0.saturating_sub(kept.acknowledged.0))
    }

    /// Whether its store has forgotten it.
    pub(crate) fn is_forgotten(&self) -> bool {
        self.state.lock().kept.as_ref().is_some_and(|kept| kept.is_forgotten)
    }

    /// What a registration says of it.
    pub(crate) fn log(&self) -> Option<Log> {
        let state = self.state.lock();
        state.kept.as_ref().map(|kept| kept.log(&state.queue))
    }

    /// Its account has acknowledged this before the session came here.
    pub(crate) fn learn(&self, done: Position) {
        if let Some(kept) = self.state.lock().kept.as_mut() {
            kept.learn(done);
        }
    }

    /// The client has everything up to `upto`.
    pub(crate) fn acknowledged(&self, upto: LogNumber) {
        self.trail.acknowledged(self.session.id, upto);
        let mut state = self.state.lock();
        let Some(kept) = state.kept.as_mut() else { return };
        self.budget.give(kept.acknowledge(upto));
    }

    /// A renewal has heard that the session is over. Whoever has ended it may be about to say why: for a while it has time, however
    /// often this is heard meanwhile.
    pub(crate) fn over(&self) {
        self.wake_after(|state| {
            let is_late = state.over_since.get_or_insert_with(Instant::now).elapsed() >= SAID_WITHIN;
            if is_late && state.command.is_none() {
                state.command = Some(Command::Fenced);
            }
            is_late
        });
    }

    /// What became of its renewal.
    pub(crate) fn renewed(&self, renewed: &Renewed) {
        let standing = renewed.standing;
        self.wake_after(|state| {
            state.over_since = None;
            let Some(kept) = state.kept.as_mut() else {
                state.behind |= standing == Standing::Behind;
                return standing == Standing::Behind;
            };
            kept.renewed(renewed);
            state.behind |= standing == Standing::Behind;
            standing != Standing::Held
        });
    }

    /// How many entries wait, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.queue.len(), state.bytes)
    }

    /// By which claim the connection holds the session.
    pub fn epoch(&self) -> Epoch {
        self.session.epoch
    }

    /// The number of the last entry that came in here.
    pub fn last(&self) -> LogNumber {
        self.state.lock().last
    }

    /// Takes a pushed entry if it is the next one and there is room, here and in what all sessions of the node have together. A
    /// repeated one is dropped; a gap, or no room, marks the session behind (session-log rules 5 and 7).
    pub fn push(&self, outgoing: Outgoing) {
        self.wake_after(|state| {
            // What is forgotten was registered as it is now: its next number is somebody else's.
            if outgoing.number <= state.last || state.is_forgotten() {
                return false;
            }
            let full = state.queue.len() >= MAX_ENTRIES || state.bytes >= MAX_BYTES;
            let full = full || !self.budget.admits(state.held());
            if full {
                overflowed(1);
            }
            if full || !state.is_next(&outgoing) {
                state.behind = true;
            } else {
                self.budget.take(state.append(outgoing));
            }
            true
        });
    }

    /// Takes what a pull brought, without what a push brought meanwhile. Behind a gap nothing is taken (session-log rule 5): the next entry that is
    /// pushed, or the next renewal, makes another pull.
    pub fn fill(&self, entries: Vec<Outgoing>, more: bool) {
        let mut state = self.state.lock();
        if state.is_forgotten() {
            return;
        }
        for outgoing in entries {
            if state.is_next(&outgoing) {
                self.budget.take(state.append(outgoing));
            }
        }
        state.behind |= more;
    }

    /// Something waits in the log.
    pub fn nudge(&self) {
        self.wake_after(|state| {
            state.behind = true;
            true
        });
    }

    /// Tells the connection something; of what ends the session the first counts.
    pub fn command(&self, command: Command) {
        if command == Command::Pull {
            return self.nudge();
        }
        self.wake_after(|state| {
            state.command.get_or_insert(command);
            true
        });
    }

    /// The node drains: the client is to go on elsewhere. It is told once, however often this is said.
    pub(crate) fn leave(&self) {
        self.wake_after(|state| {
            let is_new = state.leaving == Leaving::No;
            if is_new {
                state.leaving = Leaving::Due;
            }
            is_new
        });
    }

    /// Whether it is to leave, once.
    pub(crate) fn take_leave(&self) -> bool {
        let mut state = self.state.lock();
        let is_due = state.leaving == Leaving::Due;
        if is_due {
            state.leaving = Leaving::Told;
        }
        is_due
    }

    /// The next entry.
    pub fn take(&self) -> Option<Outgoing> {
        let mut state = self.state.lock();
        let outgoing = state.queue.pop_front();
        match &outgoing {
            Some(outgoing) => {
                let size = size(outgoing);
                state.bytes = state.bytes.saturating_sub(size);
                if let Some(id) = outgoing.id {
                    let SessionRef { id: session, jid, .. } = &self.session;
                    self.trail.written(id, *session, jid, outgoing.number);
                }
                match &mut state.kept {
                    Some(kept) => kept.written(outgoing.clone()),
                    None => self.budget.give(size),
                }
            }
            None => state.queue = VecDeque::new(), // an idle one has no room
        }
        outgoing
    }

    /// The command that waits, once.
    pub fn take_command(&self) -> Option<Command> {
        self.state.lock().command.take()
    }

    /// If a pull is due, nothing waits before it, and there is room for what it brings: after which number. It is due no longer then.
    /// Room comes with what the client acknowledges; who holds nothing has it always.
    pub fn begin_pull(&self) -> Option<LogNumber> {
        let mut state = self.state.lock();
        if !state.behind || !state.queue.is_empty() || !self.budget.admits(state.held()) {
            return None;
        }
        state.behind = false;
        Some(state.last)
    }

    /// Who is woken by the next change.
    pub fn register(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        match &state.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => state.waker = Some(cx.waker().clone()),
        }
    }

    /// The waker is called outside the lock: what it wakes locks again.
    fn wake_after(&self, change: impl FnOnce(&mut State) -> bool) {
        let waker = {
            let mut state = self.state.lock();
            if !change(&mut state) {
                return;
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.budget.give(self.state.get_mut().held());
    }
}

impl State {
    fn is_forgotten(&self) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.is_forgotten)
    }

    /// Whether nothing is missing before it.
    fn is_next(&self, outgoing: &Outgoing) -> bool {
        outgoing.number.0 == self.last.0 + 1
    }

    /// How many bytes it takes.
    fn append(&mut self, outgoing: Outgoing) -> usize {
        let size = size(&outgoing);
        self.last = outgoing.number;
        self.bytes += size;
        self.queue.push_back(outgoing);
        size
    }

    /// Bytes that are kept, written or not.
    fn held(&self) -> usize {
        self.bytes + self.kept.as_ref().map_or(0, |kept| kept.bytes)
    }
}

/// What an entry takes while it is kept.
fn size(outgoing: &Outgoing) -> usize {
    size_of::<Outgoing>() + outgoing.wire.len() + outgoing.more.len()
}
