//! The history that clients write together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use starling_history::{Expect, History};

/// What clients saw, written by all of them.
#[derive(Debug, Clone, Default)]
pub struct Notes(Arc<Mutex<History>>);

impl Notes {
    /// The history itself.
    pub fn open(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages were acknowledged to their senders.
    pub fn acked(&self) -> usize {
        self.open().counts().1
    }

    /// Fails if a promise was broken.
    pub fn check(&self, expect: Expect, when: &str) {
        let faults = self.open().faults(expect);
        let first: Vec<String> = faults.iter().take(10).map(ToString::to_string).collect();
        let counts = self.open().counts();
        assert!(
            faults.is_empty(),
            "{when}: {} promises broken (of {counts:?} sent, acked, received):\n  {}",
            faults.len(),
            first.join("\n  ")
        );
    }
}
