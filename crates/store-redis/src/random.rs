//! Random bits that nobody guesses, asked of the operating system for many ids at once.

use parking_lot::Mutex;

/// How many numbers are asked for together: a message needs three or four.
const AT_ONCE: usize = 64;

/// Each number is given out once, and is nowhere any more then.
#[derive(Default)]
pub(crate) struct Random(Mutex<Vec<u64>>);

impl Random {
    #[expect(clippy::expect_used, reason = "without random bits ids can be guessed: better to stop")]
    pub(crate) fn next(&self) -> u64 {
        let mut left = self.0.lock();
        if let Some(number) = left.pop() {
            return number;
        }
        let mut bytes = [0; 8 * AT_ONCE];
        getrandom::fill(&mut bytes).expect("the operating system gives random bits");
        left.extend(bytes.as_chunks().0.iter().copied().map(u64::from_ne_bytes));
        left.pop().expect("it was just filled")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_number_is_given_out_twice() {
        let random = Random::default();
        let given: HashSet<u64> = (0..10 * AT_ONCE).map(|_| random.next()).collect();
        assert_eq!(given.len(), 10 * AT_ONCE);
    }
}
