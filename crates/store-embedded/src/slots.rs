//! The slots of all accounts: found by account or by session, loaded when first asked for, unloaded when idle.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::{BySession, Epoch, Handled, SessionId, Timestamp};
use xxhash_rust::xxh3::xxh3_64;

use starling_slot::{Estate, Limits, Slot};

const SHARDS: usize = 64;
/// How long the last `h` of an ended session is known (rule 4).
const ENDED_FOR: Duration = Duration::from_secs(24 * 3600);
/// How many ended sessions are known.
const ENDED: usize = 100_000;

type Shard = Mutex<HashMap<BareJid, Shared>>;

/// An account's slot, locked for one step at a time and never across an await.
pub(crate) type Shared = Arc<Mutex<Slot>>;

/// What is known of a session that has ended (rule 4).
struct Over {
    account: BareJid,
    epoch: Epoch,
    /// As its client counts: less `base`.
    handled: Handled,
    base: u64,
    at: Timestamp,
}

pub(crate) struct Slots {
    accounts: Vec<Shard>,
    sessions: Vec<Mutex<BySession<BareJid>>>,
    ended: Mutex<BySession<Over>>,
    /// Accounts whose slots have something to save.
    changed: Mutex<Vec<BareJid>>,
    /// Above the version of every view ever given out.
    version: AtomicU64,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots {
            accounts: (0..SHARDS).map(|_| Mutex::default()).collect(),
            sessions: (0..SHARDS).map(|_| Mutex::default()).collect(),
            ended: Mutex::default(),
            changed: Mutex::default(),
            version: AtomicU64::new(1),
        }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn shard(&self, account: &BareJid) -> &Shard {
        // The maps hash by a secret key; which of them it is need not be secret, only quick.
        &self.accounts[xxh3_64(account.as_str().as_bytes()) as usize % SHARDS]
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn session_shard(&self, id: SessionId) -> &Mutex<BySession<BareJid>> {
        &self.sessions[id.0 as usize % SHARDS]
    }

    pub(crate) fn loaded(&self, account: &BareJid) -> Option<Shared> {
        self.shard(account).lock().get(account).cloned()
    }

    /// The slot, which `load` makes of what the store has; if another was quicker, that one.
    pub(crate) fn insert(&self, account: &BareJid, load: impl FnOnce(u64) -> Slot) -> Shared {
        let mut shard = self.shard(account).lock();
        let made = || Arc::new(Mutex::new(load(self.version.load(Ordering::Acquire))));
        shard.entry(account.clone()).or_insert_with(made).clone()
    }

    /// The account of a session.
    pub(crate) fn session(&self, id: SessionId) -> Option<BareJid> {
        self.session_shard(id).lock().get(&id).cloned()
    }

    pub(crate) fn add_session(&self, id: SessionId, account: BareJid) {
        self.session_shard(id).lock().insert(id, account);
    }

    pub(crate) fn end_session(&self, account: &BareJid, estate: &Estate, now: Timestamp) {
        let (id, epoch, handled) = (estate.ended.id, estate.ended.epoch, estate.handled);
        self.session_shard(id).lock().remove(&id);
        let base = estate.base.0;
        let mut ended = self.ended.lock();
        if ended.len() >= ENDED {
            ended.retain(|_, over| now.since(over.at) < ENDED_FOR / 2);
        }
        if ended.len() < ENDED {
            ended.insert(id, Over { account: account.clone(), epoch, handled, base, at: now });
        }
    }

    /// A batch that was under way when its session ended is handled now.
    pub(crate) fn settle_ended(&self, id: SessionId, epoch: Epoch, handled: Handled) {
        if self.session_shard(id).lock().contains_key(&id) {
            return;
        }
        if let Some(over) = self.ended.lock().get_mut(&id).filter(|over| over.epoch == epoch) {
            over.handled = over.handled.max(Handled(handled.0.saturating_sub(over.base)));
        }
    }

    /// The last `h` of a session that is over.
    pub(crate) fn last_handled(&self, id: SessionId, account: &BareJid) -> Option<Handled> {
        self.ended.lock().get(&id).filter(|over| over.account == *account).map(|over| over.handled)
    }

    /// After a step in which something may have been acknowledged.
    pub(crate) fn enlist(&self, slot: &mut Slot) {
        if slot.enlist() {
            self.changed.lock().push(slot.account().clone());
        }
    }

    /// Acts on every slot that has something to save.
    pub(crate) fn each_changed(&self, mut act: impl FnMut(&mut Slot)) {
        let changed = std::mem::take(&mut *self.changed.lock());
        for account in changed {
            let Some(shared) = self.loaded(&account) else { continue };
            let mut slot = shared.lock();
            slot.delist();
            act(&mut slot);
            self.enlist(&mut slot); // a row of the spool that somebody still has to read
        }
    }

    /// Every slot that is loaded, in batches, so that no lock is held for long.
    pub(crate) fn each(&self, mut act: impl FnMut(&Shared)) {
        for shard in &self.accounts {
            let slots: Vec<Shared> = shard.lock().values().cloned().collect();
            slots.iter().for_each(&mut act);
        }
    }

    /// Unloads what nobody has used for `idle`, and forgets what is over for a day.
    pub(crate) fn unload(&self, now: Timestamp, limits: &Limits, idle: Duration) {
        for shard in &self.accounts {
            shard.lock().retain(|_, shared| {
                if Arc::strong_count(shared) > 1 {
                    return true; // somebody works with it
                }
                let mut slot = shared.lock();
                slot.tidy(now, limits);
                let unused = slot.is_unused(now, idle);
                if unused {
                    self.version.fetch_max(slot.version() + 1, Ordering::AcqRel);
                }
                !unused
            });
        }
        self.ended.lock().retain(|_, over| now.since(over.at) < ENDED_FOR);
    }
}
