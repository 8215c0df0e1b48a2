//! Turns for what reads, decides and writes: one at a time an account.

use std::hash::{BuildHasher, RandomState};

use starling_jid::BareJid;
use tokio::sync::{Mutex, MutexGuard};

const TURNS: usize = 64;

pub(crate) struct Turns {
    hasher: RandomState,
    locks: [Mutex<()>; TURNS],
}

impl Turns {
    pub(crate) fn new() -> Turns {
        Turns { hasher: RandomState::new(), locks: std::array::from_fn(|_| Mutex::new(())) }
    }

    /// Waits for the turn of `account`.
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of locks")]
    pub(crate) async fn of(&self, account: &BareJid) -> MutexGuard<'_, ()> {
        self.locks[self.hasher.hash_one(account) as usize % TURNS].lock().await
    }
}
