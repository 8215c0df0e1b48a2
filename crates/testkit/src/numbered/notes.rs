//! The history that clients write together.

use std::collections::HashMap;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use starling_history::{Expect, Fault, History};

/// How many broken promises of each kind are printed.
const FEW: usize = 5;

/// What clients saw, written by all of them.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    history: Arc<Mutex<History>>,
    streams: Arc<Mutex<Vec<String>>>,
}

impl Notes {
    /// The history itself.
    pub fn open(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a stream began that was not a sender's first: what it is printed with where a promise is broken.
    pub(super) fn began(&self, how: String) {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner).push(how);
    }

    /// How many messages were acknowledged to their senders.
    pub fn acked(&self) -> usize {
        self.open().counts().1
    }

    /// Fails if a promise was broken.
    pub fn check(&self, expect: Expect, when: &str) {
        let faults = self.open().faults(expect);
        let first: Vec<String> = few_of_each(&faults);
        let counts = self.open().counts();
        assert!(
            faults.is_empty(),
            "{when}: {} promises broken (of {counts:?} sent, acked, received), some of each kind:\n  {}\n{}",
            faults.len(),
            first.join("\n  "),
            self.streams.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
        );
    }
}

/// The first of each kind: what broke first says more than how often.
fn few_of_each(faults: &[Fault]) -> Vec<String> {
    let mut kinds: HashMap<Discriminant<Fault>, usize> = HashMap::new();
    let is_among_the_first = |fault: &&Fault| {
        let count = kinds.entry(discriminant(fault)).or_default();
        *count += 1;
        *count <= FEW
    };
    faults.iter().filter(is_among_the_first).map(ToString::to_string).collect()
}
