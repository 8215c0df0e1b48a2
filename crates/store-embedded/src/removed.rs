//! Accounts that were removed while this process runs: what is under way for one of them is not written any more.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use tokio::sync::{RwLock, RwLockReadGuard};

use crate::Store;

/// How long a removal is remembered: longer than anything is under way.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// A removal.
struct Tombstone {
    /// The last number that the account had given out.
    last: u64,
    at: Instant,
}

/// What was removed, and who writes.
pub(crate) struct Removed {
    tombstones: Mutex<HashMap<BareJid, Tombstone>>,
    writers: RwLock<()>,
}

/// Held while something is written: no account is removed meanwhile.
pub(crate) type Writing<'a> = RwLockReadGuard<'a, ()>;

impl Removed {
    pub(crate) fn new() -> Removed {
        Removed { tombstones: Mutex::default(), writers: RwLock::new(()) }
    }

    /// Waits for the writes under way. From now on nothing is written that `owner` had numbered up to `last`.
    pub(crate) async fn add(&self, owner: &BareJid, last: u64) {
        let _alone = self.writers.write().await;
        let mut tombstones = self.tombstones.lock();
        tombstones.retain(|_, stone| stone.at.elapsed() < REMEMBERED);
        tombstones.insert(owner.clone(), Tombstone { last, at: Instant::now() });
    }

    pub(crate) async fn writing(&self) -> Writing<'_> {
        self.writers.read().await
    }

    /// The same for a thread that may block.
    pub(crate) fn writing_blocking(&self) -> Writing<'_> {
        self.writers.blocking_read()
    }

    /// The last number that `owner` had given out when it was removed: rows up to it are not written (rule 14), and an
    /// account made anew under this name goes on above it.
    pub(crate) fn last(&self, owner: &BareJid) -> Option<u64> {
        self.tombstones.lock().get(owner).map(|stone| stone.last)
    }
}

impl Store {
    /// To be held while something small of `owner` is written; `None` if the account was removed.
    pub(crate) async fn writing_for(&self, owner: &BareJid) -> Result<Option<Writing<'_>>> {
        let writing = self.removed.writing().await;
        Ok((!self.is_gone(owner)?).then_some(writing))
    }

    /// Whether the account was removed, and none of its name made since.
    pub(crate) fn is_gone(&self, owner: &BareJid) -> Result<bool> {
        Ok(self.removed.last(owner).is_some() && self.account_now(owner)?.is_none())
    }
}
