//! Whether what was sent arrived: once, in order, at the right place. What did not is counted and named.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// So many of each kind of fault are named; all are counted.
const NAMED: usize = 20;
/// Numbers from here on are not told apart: no run sends so many to one receiver.
const MOST: u64 = 1 << 30;

/// Which numbers of one flow arrived, counted from 0.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    seen: Vec<u64>,
    next: u64,
    distinct: u64,
    doubled: Faults,
    reordered: Faults,
}

/// How many, and the first of them.
#[derive(Debug, Default)]
struct Faults {
    count: u64,
    first: Vec<u64>,
}

impl Faults {
    fn note(&mut self, number: u64) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(number);
        }
    }
}

impl Sequence {
    /// Notes that `number` arrived.
    pub(crate) fn note(&mut self, number: u64) {
        let number = number.min(MOST);
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        let Some(bits) = self.seen.get_mut(word) else { return };
        if *bits & bit != 0 {
            self.doubled.note(number);
            return;
        }
        *bits |= bit;
        self.distinct += 1;
        if number < self.next {
            self.reordered.note(number);
        }
        self.next = self.next.max(number + 1);
    }

    /// How many different ones arrived.
    pub(crate) fn distinct(&self) -> u64 {
        self.distinct
    }

    fn has(&self, number: u64) -> bool {
        let word = usize::try_from(number / 64).ok().and_then(|word| self.seen.get(word));
        word.is_some_and(|bits| bits & (1 << (number % 64)) != 0)
    }
}

/// What is wrong with all flows together.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Findings {
    pub(crate) sent: u64,
    /// Each number once.
    pub(crate) received: u64,
    pub(crate) acked: u64,
    pub(crate) lost: u64,
    /// Acknowledged, and lost all the same.
    pub(crate) acked_lost: u64,
    pub(crate) doubled: u64,
    pub(crate) reordered: u64,
    /// Messages of this run that came to somebody else.
    pub(crate) misplaced: u64,
    /// The first of each kind, each as a line.
    pub(crate) named: Vec<String>,
}

impl Findings {
    /// Judges one flow: `sent` numbers were written, the first `acked` of them acknowledged.
    pub(crate) fn judge(&mut self, flow: &str, sequence: &Sequence, sent: u64, acked: u64) {
        self.sent += sent;
        self.acked += acked.min(sent);
        self.received += sequence.distinct;
        self.doubled += sequence.doubled.count;
        self.reordered += sequence.reordered.count;
        for (what, faults) in [("doubled", &sequence.doubled), ("reordered", &sequence.reordered)] {
            for number in &faults.first {
                self.name(what, flow, *number);
            }
        }
        let mut missing = 0;
        for number in (0..sent).filter(|number| !sequence.has(*number)) {
            missing += 1;
            let is_acked = number < acked;
            self.acked_lost += u64::from(is_acked);
            self.name(if is_acked { "acknowledged and lost" } else { "lost" }, flow, number);
        }
        self.lost += missing;
        self.misplaced += sequence.distinct - (sent - missing); // numbers that nobody wrote
    }

    /// A message of this run came to the wrong account.
    pub(crate) fn misplaced(&mut self, flow: &str, number: u64) {
        self.misplaced += 1;
        self.name("misplaced", flow, number);
    }

    fn name(&mut self, what: &str, flow: &str, number: u64) {
        let of_kind = self.named.iter().filter(|line| line.starts_with(&format!("{what}:"))).count();
        if of_kind < NAMED {
            self.named.push(format!("{what}: {flow}, number {number}"));
        }
    }

    /// Takes another's into account.
    pub(crate) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.acked += other.acked;
        self.lost += other.lost;
        self.acked_lost += other.acked_lost;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.misplaced += other.misplaced;
        self.named.extend(other.named);
    }

    /// For the result.
    pub(crate) fn json(&self) -> Value {
        json!({
            "sent": self.sent, "received": self.received, "acked": self.acked, "lost": self.lost,
            "acked-lost": self.acked_lost, "doubled": self.doubled, "reordered": self.reordered,
            "misplaced": self.misplaced, "named": self.named,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(numbers: &[u64], sent: u64, acked: u64) -> Findings {
        let mut sequence = Sequence::default();
        numbers.iter().for_each(|number| sequence.note(*number));
        let mut findings = Findings::default();
        findings.judge("a to b", &sequence, sent, acked);
        findings
    }

    #[test]
    fn lost_doubled_and_reordered_are_told_apart_and_named() {
        let found = judged(&[0, 1, 3, 2, 3, 70, 5], 8, 0);
        assert_eq!((found.received, found.doubled, found.reordered, found.lost), (6, 1, 2, 3));
        assert_eq!(found.misplaced, 1, "nobody wrote 70");
        assert_eq!(
            found.named,
            [
                "doubled: a to b, number 3",
                "reordered: a to b, number 2",
                "reordered: a to b, number 5",
                "lost: a to b, number 4",
                "lost: a to b, number 6",
                "lost: a to b, number 7"
            ]
        );
    }

    #[test]
    fn what_was_acknowledged_and_lost_is_counted_apart() {
        let found = judged(&[0, 2], 5, 3);
        assert_eq!((found.sent, found.acked, found.lost, found.acked_lost), (5, 3, 3, 1));
        assert_eq!(found.named[0], "acknowledged and lost: a to b, number 1");
    }

    #[test]
    fn all_are_counted_but_only_the_first_are_named() {
        let found = judged(&[], 1000, 0);
        assert_eq!((found.lost, found.named.len()), (1000, NAMED));
    }
}
