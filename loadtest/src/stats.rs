//! What the receiving end counts: numbers lost, doubled, reordered, and how long each took.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Which numbers of one sender arrived, counted from 0.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    seen: Vec<u64>,
    next: u64,
    distinct: u64,
    doubled: u64,
    reordered: u64,
}

impl Sequence {
    /// Notes that `number` arrived.
    pub(crate) fn note(&mut self, number: u64) {
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX).min(1 << 24);
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        let Some(bits) = self.seen.get_mut(word) else { return };
        if *bits & bit != 0 {
            self.doubled += 1;
            return;
        }
        *bits |= bit;
        self.distinct += 1;
        if number < self.next {
            self.reordered += 1;
        }
        self.next = self.next.max(number + 1);
    }
}

/// The sums over all senders.
#[derive(Debug)]
pub(crate) struct Tally {
    /// What was sent.
    pub(crate) sent: u64,
    /// What arrived, each number once.
    pub(crate) received: u64,
    /// What arrived again.
    pub(crate) doubled: u64,
    /// What arrived after a later one.
    pub(crate) reordered: u64,
    /// What an XEP-0198 `<a/>` confirmed.
    pub(crate) acked: u64,
    latency: Histogram<u64>,
}

impl Tally {
    /// Nothing yet; latencies up to a minute in microseconds, three digits.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
        Ok(Self { sent: 0, received: 0, doubled: 0, reordered: 0, acked: 0, latency })
    }

    /// Notes one latency.
    pub(crate) fn took(&mut self, micros: u64) {
        self.latency.saturating_record(micros);
    }

    /// Adds one receiver's numbers.
    pub(crate) fn add(&mut self, sequence: &Sequence) {
        self.received += sequence.distinct;
        self.doubled += sequence.doubled;
        self.reordered += sequence.reordered;
    }

    /// What was sent and never came.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.received)
    }

    /// p50, p99 and the longest, in microseconds.
    pub(crate) fn latency(&self) -> Value {
        json!({
            "p50_us": self.latency.value_at_quantile(0.5),
            "p99_us": self.latency.value_at_quantile(0.99),
            "max_us": self.latency.max(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_and_reordered_are_told_apart() {
        let mut sequence = Sequence::default();
        for number in [0, 1, 3, 2, 3, 70, 5] {
            sequence.note(number);
        }
        let mut tally = Tally::new().unwrap();
        tally.sent = 8;
        tally.add(&sequence);
        assert_eq!((tally.received, tally.doubled, tally.reordered, tally.lost()), (6, 1, 2, 2));
    }

    #[test]
    fn percentiles_come_from_all_that_was_noted() {
        let mut tally = Tally::new().unwrap();
        (1..=100).for_each(|micros| tally.took(micros));
        assert_eq!(tally.latency(), json!({ "p50_us": 50, "p99_us": 99, "max_us": 100 }));
    }
}
