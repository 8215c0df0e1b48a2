//! What a router knows of each account, and how a step is made on it: decided here, written there, once.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::{ArchiveId, Epoch, Handled, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::position::Position;
use starling_ports::sessions::View;
use starling_slot::{Saved, Session, Slot};
use xxhash_rust::xxh3::xxh3_64;

use crate::keys::AccountKeys;
use crate::record::Stamp;

const SHARDS: usize = 64;

/// A slot as it was when it was last read or written.
pub(crate) struct Loaded {
    pub(crate) slot: Slot,
    pub(crate) saved: Saved,
    /// `None`: there is no record yet.
    pub(crate) stamp: Option<Stamp>,
    /// Of the last writes, as they were read.
    pub(crate) stamps: Vec<Stamp>,
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
}

/// What waits to be written with the next step of the account, because nobody waits for it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Riders {
    pub(crate) stored: Vec<ArchiveId>,
    pub(crate) handled: HashMap<SessionId, (Epoch, Handled)>,
    pub(crate) acknowledged: HashMap<(SessionId, Epoch), LogNumber>,
    /// The position that its store has.
    pub(crate) position: Option<Position>,
    /// Rows that are gone from the spool.
    pub(crate) deleted: Vec<ArchiveId>,
}

impl Riders {
    pub(crate) fn is_empty(&self) -> bool {
        self.stored.is_empty()
            && self.handled.is_empty()
            && self.acknowledged.is_empty()
            && self.position.is_none()
            && self.deleted.is_empty()
    }

    /// They are done, but for those that came meanwhile.
    pub(crate) fn done(&mut self, done: &Riders) {
        self.stored.retain(|id| !done.stored.contains(id));
        self.handled.retain(|session, known| done.handled.get(session) != Some(known));
        self.acknowledged.retain(|session, upto| done.acknowledged.get(session) != Some(upto));
        if self.position == done.position {
            self.position = None;
        }
        self.deleted.retain(|id| !done.deleted.contains(id));
    }

    pub(crate) fn apply(&self, slot: &mut Slot) {
        slot.settle(&self.stored, None);
        for (session, (epoch, handled)) in &self.handled {
            slot.settle(&[], Some((*session, *epoch, *handled)));
        }
        for ((session, epoch), upto) in &self.acknowledged {
            slot.acknowledge(*session, *epoch, *upto);
        }
        if let Some(position) = &self.position {
            slot.saved_position(position);
        }
        slot.deleted(&self.deleted);
    }
}

/// What the indexes already say of an account.
#[derive(Default)]
pub(crate) struct Indexed {
    pub(crate) nodes: BTreeSet<NodeId>,
    pub(crate) deadline: Option<Timestamp>,
    /// When this router last said that it may owe something there.
    pub(crate) owed: Option<Instant>,
}

/// Behind the lock of the account.
#[derive(Default)]
pub(crate) struct Inner {
    /// `None` while a step is under way, so that one which is given up leaves nothing behind.
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
}

/// How far a session has come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// The highest number handed out.
    pub(crate) highest: LogNumber,
    /// What it sent is handled so far.
    pub(crate) handled: Handled,
}

/// What housekeeping looks at.
pub(crate) struct State {
    pub(crate) used: Instant,
    /// Since when something is owed there, by the time of all routers.
    pub(crate) owes_since: Option<Timestamp>,
    /// Whether the position, or rows of the spool, are to be written to their store.
    pub(crate) has_changed: bool,
    /// Whether somebody will see to the riders.
    pub(crate) is_scheduled: bool,
    /// Since when this router knows that the lists do not hold.
    pub(crate) unsettled: Option<Instant>,
    /// How far sessions have come, as the record says: it may be further, and never falls.
    pub(crate) reached: HashMap<(SessionId, Epoch), Reached>,
    /// The connection over which that was heard.
    pub(crate) generation: u64,
    /// That of the record, as far as this router knows.
    pub(crate) stamp: Option<Stamp>,
    /// How many entries its logs have.
    pub(crate) unacknowledged: usize,
    /// What waits is to be read anew from here.
    pub(crate) refill: Option<ArchiveId>,
}

impl State {
    fn new() -> State {
        State {
            used: Instant::now(),
            owes_since: None,
            has_changed: false,
            is_scheduled: false,
            unsettled: None,
            reached: HashMap::new(),
            generation: 0,
            stamp: None,
            unacknowledged: 0,
            refill: None,
        }
    }

    /// After a step.
    pub(crate) fn learn(&mut self, slot: &Slot, stamp: Option<Stamp>, generation: u64) {
        (self.stamp, self.generation) = (stamp, generation);
        self.owes_since = slot.owes_since();
        self.has_changed = slot.has_changed();
        self.unsettled = slot.is_unsettled().then(|| self.unsettled.unwrap_or_else(Instant::now));
        let reached = |session: &Session| {
            let (highest, handled) = (LogNumber(session.highest()), Handled(session.handled));
            ((session.id, session.epoch), Reached { highest, handled })
        };
        self.reached = slot.sessions().iter().map(reached).collect();
        self.unacknowledged = slot.sessions().iter().map(Session::unacknowledged).sum();
        self.refill = slot.wants_refill();
    }
}

/// Of all accounts that this router has to do with.
pub(crate) struct Cells(Vec<Mutex<HashMap<BareJid, Arc<Cell>>>>);

impl Cells {
    pub(crate) fn new() -> Cells {
        Cells((0..SHARDS).map(|_| Mutex::default()).collect())
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    pub(crate) fn get(&self, account: &BareJid) -> Arc<Cell> {
        let shard = &self.0[xxh3_64(account.as_str().as_bytes()) as usize % SHARDS];
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
        });
        shard.insert(account.clone(), cell.clone());
        cell
    }

    /// Every one, in batches, so that no lock is held for long.
    pub(crate) fn each(&self, mut act: impl FnMut(&Arc<Cell>)) {
        for shard in &self.0 {
            let cells: Vec<_> = shard.lock().values().cloned().collect();
            cells.iter().for_each(&mut act);
        }
    }

    /// Forgets those that nobody has used for `idle` and that owe nothing.
    pub(crate) fn unload(&self, idle: std::time::Duration) {
        for shard in &self.0 {
            shard.lock().retain(|_, cell| {
                let state = cell.state.lock();
                Arc::strong_count(cell) > 1
                    || state.used.elapsed() < idle
                    || state.owes_since.is_some()
                    || state.has_changed
                    || !cell.riders.lock().is_empty()
            });
        }
    }
}
