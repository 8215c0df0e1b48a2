//! What a router knows of each account, and how a step is made on it: decided here, written there, once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::budget::Budget;
use starling_ports::ids::{ArchiveId, BySession, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::sessions::{Renewal, Renewed, View};
use starling_slot::{Limits, Saved, Session, Slot};
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::AccountKeys;
use crate::record::Stamp;
use crate::riders::Riders;

#[cfg(test)]
mod tests;

const SHARDS: usize = 64;
/// How long what another router has changed is left to that one to save; it may be dead.
const OTHERS_SAVE: Duration = Duration::from_secs(3);

/// A slot as it was when it was last read or written.
pub(crate) struct Loaded {
    pub(crate) slot: Slot,
    pub(crate) saved: Saved,
    /// `None`: there is no record yet.
    pub(crate) stamp: Option<Stamp>,
    /// Of the last writes, as they were read.
    pub(crate) stamps: Vec<Stamp>,
    /// Those with a mark in the record.
    pub(crate) marks: Vec<Stamp>,
    /// The connection over which it was read.
    pub(crate) generation: u64,
    /// Which Redis that was: under this it is verified.
    pub(crate) incarnation: Arc<str>,
    /// It was verified under another one before: this is to be written.
    pub(crate) is_verified_anew: bool,
    /// When Redis said last that it is so.
    pub(crate) at: Instant,
    /// Nothing was asked since it was read: nobody can know it better.
    pub(crate) is_fresh: bool,
    /// When it was asked last it was the present one: others write there seldom, or not just now.
    pub(crate) is_calm: bool,
}

/// What the indexes already say of an account.
#[derive(Default)]
pub(crate) struct Indexed {
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) deadline: Option<Timestamp>,
    /// When this router last said that it may owe something there.
    pub(crate) owed: Option<Instant>,
    /// A master with one of them was away when it was to be said.
    pub(crate) lacks: bool,
}

/// Behind the lock of the account.
#[derive(Default)]
pub(crate) struct Inner {
    /// `None` while a step is under way, so that one which is given up leaves nothing behind; and where its logs have no room in this
    /// process: then they are read for each step.
    pub(crate) loaded: Option<Loaded>,
    pub(crate) indexed: Indexed,
}

/// A view that may be an old one.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) view: Arc<View>,
    /// When it was the present one.
    pub(crate) at: Instant,
    /// The connection over which that was heard.
    pub(crate) generation: u64,
    /// Of the record that it was made of, if that is likely to be the present one still (`Loaded::is_calm`).
    pub(crate) calm: Option<Stamp>,
}

/// An account on this router.
pub(crate) struct Cell {
    pub(crate) account: BareJid,
    pub(crate) keys: AccountKeys,
    /// One step at a time.
    pub(crate) inner: tokio::sync::Mutex<Inner>,
    /// After the last step.
    pub(crate) view: Mutex<Option<Known>>,
    pub(crate) riders: Mutex<Riders>,
    pub(crate) state: Mutex<State>,
    /// One saves its position at a time: an older one that is slow must not take the place of a newer.
    pub(crate) saving: tokio::sync::Mutex<()>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// The highest number handed out.
    pub(crate) highest: LogNumber,
    /// The highest that its client has acknowledged.
    pub(crate) acknowledged: LogNumber,
    /// What it sent is handled so far.
    pub(crate) handled: Handled,
    /// See `Session::rests`.
    rests: bool,
}

/// When a router sees to what is to be saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Saves {
    pub(crate) at: Instant,
    /// It has changed it. Else another one has, and does it, if it lives.
    own: bool,
    /// The mark that was saved when that was said.
    mark: Option<ArchiveId>,
}

impl Saves {
    /// `changes`: this router's step has changed something.
    fn learn(former: Option<Saves>, mark: Option<ArchiveId>, changes: bool) -> Saves {
        match former {
            _ if changes => Saves { at: Instant::now(), own: true, mark },
            Some(former) if former.own || former.mark == mark => former,
            // Whoever saves lives.
            _ => Saves { at: Instant::now() + OTHERS_SAVE, own: false, mark },
        }
    }
}

/// What housekeeping looks at.
pub(crate) struct State {
    pub(crate) used: Instant,
    /// Since when something is owed there, by the time of all routers.
    pub(crate) owes_since: Option<Timestamp>,
    /// Whether the position, or rows of the spool, are to be written to their store.
    pub(crate) has_changed: bool,
    /// When this router sees to that.
    pub(crate) saves: Option<Saves>,
    /// Since when this router knows that the lists do not hold.
    pub(crate) unsettled: Option<Instant>,
    /// How far sessions have come, as the record says: it may be further, and never falls.
    reached: BySession<(Epoch, Reached)>,
    /// What a renewal tells while all is as it was. `None`: the record does not say so yet.
    renewed: Option<Renewed>,
    /// The connection over which that was heard.
    pub(crate) generation: u64,
    /// That of the record, as far as this router knows.
    pub(crate) stamp: Option<Stamp>,
    /// How many entries its logs have.
    pub(crate) unacknowledged: usize,
    /// How many bytes of the budget the slot takes that is kept.
    pub(crate) weight: usize,
    /// What waits is to be read anew from here.
    pub(crate) refill: Option<ArchiveId>,
    /// Sessions of which this router knows all that was refused, unless others decide for them meanwhile.
    pub(crate) lanes: BTreeSet<SessionId>,
}

impl State {
    fn new() -> State {
        State {
            used: Instant::now(),
            owes_since: None,
            has_changed: false,
            saves: None,
            unsettled: None,
            reached: BySession::default(),
            renewed: None,
            generation: 0,
            stamp: None,
            unacknowledged: 0,
            weight: 0,
            refill: None,
            lanes: BTreeSet::new(),
        }
    }

    /// How far the session has come under this epoch, as far as this router knows.
    pub(crate) fn reached(&self, session: SessionId, epoch: Epoch) -> Option<Reached> {
        self.reached.get(&session).filter(|(known, _)| *known == epoch).map(|(_, reached)| *reached)
    }

    /// What its owner is told where nothing has changed: all that a step would find if the record is still the one of `stamp`.
    pub(crate) fn renewed(&self, renewal: &Renewal) -> Option<Renewed> {
        let reached = self.reached(renewal.session, renewal.epoch)?;
        let is_known = reached.highest == renewal.last && reached.acknowledged >= renewal.acknowledged;
        self.renewed.filter(|_| is_known && reached.rests)
    }

    /// What was refused of the session is known here now. Forgotten with the session.
    pub(crate) fn begin_lane(&mut self, session: SessionId) {
        if self.reached.contains_key(&session) {
            self.lanes.insert(session);
        }
    }

    /// What is to be saved is under way: from now on it is to be saved where something changes it, or when nobody else does.
    pub(crate) fn begin_to_save(&mut self) -> Option<Saves> {
        let saves = self.saves?;
        self.saves = Some(Saves { at: Instant::now() + OTHERS_SAVE, own: false, ..saves });
        Some(saves)
    }

    /// After a step. `changes`: it has changed something that is to be saved.
    pub(crate) fn learn(&mut self, loaded: &Loaded, limits: &Limits, changes: bool) {
        let slot = &loaded.slot;
        (self.stamp, self.generation) = (loaded.stamp, loaded.generation);
        let mark = slot.saved_mark();
        self.saves = slot.has_changed().then(|| Saves::learn(self.saves, mark, changes));
        self.owes_since = slot.owes_since();
        self.has_changed = slot.has_changed();
        self.renewed = (!loaded.is_verified_anew).then(|| slot.renewed());
        self.unsettled = slot.is_unsettled().then(|| self.unsettled.unwrap_or_else(Instant::now));
        let reached = |session: &Session| {
            let (highest, acknowledged) = (LogNumber(session.highest()), LogNumber(session.acknowledged));
            let (handled, rests) = (Handled(session.handled), session.rests(limits));
            let reached = Reached { highest, acknowledged, handled, rests };
            (session.id, (session.epoch, reached))
        };
        self.reached.clear();
        self.reached.extend(slot.sessions().iter().map(reached));
        self.lanes.retain(|lane| slot.sessions().iter().any(|session| session.id == *lane));
        self.unacknowledged = slot.sessions().iter().map(Session::unacknowledged).sum();
        self.refill = slot.wants_refill();
    }
}

/// Of all accounts that this router has to do with.
pub(crate) struct Cells {
    shards: Vec<Mutex<HashMap<BareJid, Arc<Cell>>>>,
    /// For the logs of slots that are kept.
    budget: Budget,
}

impl Cells {
    /// With room for so many bytes of logs.
    pub(crate) fn new(room: usize) -> Cells {
        Cells { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), budget: Budget::of(room) }
    }

    /// Keeps `loaded` for the next step, if there is room for its logs.
    pub(crate) fn keep(&self, cell: &Cell, inner: &mut Inner, loaded: Loaded) {
        let weight = loaded.slot.sessions().iter().map(Session::weight).sum();
        let is_admitted = self.weigh(&mut cell.state.lock(), weight);
        inner.loaded = is_admitted.then_some(loaded);
    }

    /// Counts so much for an account, or nothing where there is no room for it.
    fn weigh(&self, state: &mut State, weight: usize) -> bool {
        self.budget.give(std::mem::take(&mut state.weight));
        let is_admitted = self.budget.admits(weight);
        if is_admitted {
            self.budget.take(weight);
            state.weight = weight;
        }
        is_admitted
    }

    /// How many bytes logs take here.
    pub(crate) fn kept(&self) -> usize {
        self.budget.used()
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    pub(crate) fn get(&self, account: &BareJid) -> Arc<Cell> {
        let shard = &self.shards[xxh3_64(account.as_str().as_bytes()) as usize % SHARDS];
        let mut shard = shard.lock();
        if let Some(cell) = shard.get(account) {
            cell.state.lock().used = Instant::now();
            return cell.clone();
        }
        let cell = Arc::new(Cell {
            account: account.clone(),
            keys: AccountKeys::of(account),
            inner: tokio::sync::Mutex::default(),
            view: Mutex::new(None),
            riders: Mutex::default(),
            state: Mutex::new(State::new()),
            saving: tokio::sync::Mutex::default(),
        });
        shard.insert(account.clone(), cell.clone());
        cell
    }

    /// Every one, in batches, so that no lock is held for long.
    pub(crate) fn each(&self, mut act: impl FnMut(&Arc<Cell>)) {
        for shard in &self.shards {
            let cells: Vec<_> = shard.lock().values().cloned().collect();
            cells.iter().for_each(&mut act);
        }
    }

    /// Forgets those that nobody has used for `idle` and that owe nothing.
    pub(crate) fn unload(&self, idle: Duration) {
        for shard in &self.shards {
            shard.lock().retain(|_, cell| {
                let mut state = cell.state.lock();
                let is_kept = Arc::strong_count(cell) > 1
                    || state.used.elapsed() < idle
                    || state.owes_since.is_some()
                    || state.has_changed
                    || !cell.riders.lock().is_empty();
                if !is_kept {
                    self.weigh(&mut state, 0);
                }
                is_kept
            });
        }
    }

    /// Lets go of logs that nobody has asked for in this time: others have their room.
    pub(crate) fn unload_logs(&self, idle: Duration) {
        self.each(|cell| {
            let Ok(mut inner) = cell.inner.try_lock() else { return };
            let mut state = cell.state.lock();
            if state.weight > 0 && state.used.elapsed() >= idle {
                inner.loaded = None;
                self.weigh(&mut state, 0);
            }
        });
    }
}
