//! How many bytes of memory what waits for all clients of a process may take together, so that no client takes that of the others.

use std::sync::atomic::{AtomicUsize, Ordering};

/// One may have this part of what is free: so one alone gets a ninth of everything, many share nearly all of it alike, and there is
/// always something left for the next. Switches share their buffers so (Choudhury and Hahne, "Dynamic queue length thresholds for
/// shared-memory packet switches", 1998).
const PART: usize = 8;

/// Bytes, counted by those that keep them. Nothing is reserved: who is admitted may go beyond it by what it takes at once.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

impl Budget {
    /// Of so many bytes.
    pub fn of(limit: usize) -> Budget {
        Budget { limit, used: AtomicUsize::new(0) }
    }

    /// Whether one that has `held` of these bytes may have more. Who has none always may: each goes on, however slowly.
    pub fn admits(&self, held: usize) -> bool {
        held == 0 || held < self.limit.saturating_sub(self.used()) / PART
    }

    /// So much more is kept.
    pub fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much is kept no more.
    pub fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How much is kept now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_give_nothing_back_leave_room_for_one_more() {
        let budget = Budget::of(1 << 20);
        let mut held = [0; 100];
        for _ in 0..1000 {
            for held in &mut held {
                if budget.admits(*held) {
                    budget.take(1024);
                    *held += 1024;
                }
            }
        }
        assert!(budget.used() < 1 << 20, "{}", budget.used());
        assert!(held.iter().all(|held| *held >= 4096), "{held:?}");
        assert!(budget.admits(0));
    }

    #[test]
    fn one_alone_gets_a_ninth() {
        let budget = Budget::of(9000);
        while budget.admits(budget.used()) {
            budget.take(1);
        }
        assert_eq!(budget.used(), 1000);
    }
}
