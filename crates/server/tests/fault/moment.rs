//! The moment of a fault and its victim, random from a seed that is printed; messages flow then and some are on their way.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_testkit::numbered::{Notes, PATIENCE};

use crate::took::{FAULT, Took};

/// How many messages a rate is measured over, and before the moment at most so many more.
const SAMPLE: usize = 300;
const MORE: u64 = 200;
/// How often a moment is looked for that counts.
const TRIES: usize = 20;
/// How many messages are accepted in a second at the least where nobody says it: what a busy machine does, too.
const FLOOR: f64 = 20.0;

/// How many messages must be accepted in a second for a round to count: `STARLING_FAULT_RATE`.
fn floor() -> f64 {
    std::env::var("STARLING_FAULT_RATE").ok().and_then(|rate| rate.parse().ok()).unwrap_or(FLOOR)
}

/// Random numbers that a seed gives again (SplitMix64).
pub(crate) struct Chance(u64);

impl Chance {
    /// From `STARLING_FAULT_SEED`, or a seed that nobody knew before.
    pub(crate) fn of_test() -> Chance {
        let given = std::env::var("STARLING_FAULT_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0) >> 32);
        println!("STARLING_FAULT_SEED={seed}");
        Chance(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// The moments of one test; at its end they are printed together, with the time that it took.
pub(crate) struct Moments {
    notes: Notes,
    chance: Mutex<Chance>,
    /// Of each that counted: how many were accepted in a second, and how many were on their way.
    counted: Mutex<Vec<(f64, usize)>>,
    pub(crate) took: Took,
}

impl Moments {
    pub(crate) fn of(notes: &Notes) -> Moments {
        Moments::since(Took::begin(), notes)
    }

    /// The same where the test began before.
    pub(crate) fn since(took: Took, notes: &Notes) -> Moments {
        let (chance, counted) = (Mutex::new(Chance::of_test()), Mutex::default());
        Moments { notes: notes.clone(), chance, counted, took }
    }

    /// One of so many.
    pub(crate) fn one_of(&self, count: usize) -> usize {
        self.chance.lock().below(count as u64) as usize
    }

    /// Returns at a moment at which a fault counts: enough messages flow, and some are not acknowledged.
    pub(crate) async fn next(&self) {
        self.took.was(FAULT);
        let (more, later) = {
            let mut chance = self.chance.lock();
            (chance.below(MORE) as usize, Duration::from_micros(chance.below(3_000)))
        };
        for _ in 0..TRIES {
            let rate = self.rate(SAMPLE + more).await;
            tokio::time::sleep(later).await;
            let on_their_way = self.notes.open().in_flight();
            if rate >= floor() && on_their_way > 0 {
                println!("now: {rate:.0} messages a second, {on_their_way} on their way");
                self.counted.lock().push((rate, on_their_way));
                self.took.was("moments");
                return;
            }
            println!(
                "does not count: {rate:.0} messages a second of {}, {on_their_way} on their way",
                floor()
            );
        }
        panic!("in {TRIES} tries there was no moment with {} messages a second on their way", floor());
    }

    /// How many are accepted in a second, over so many.
    async fn rate(&self, messages: usize) -> f64 {
        let (before, begun) = (self.notes.open().accepted(), Instant::now());
        loop {
            let accepted = self.notes.open().accepted() - before;
            if accepted >= messages {
                return accepted as f64 / begun.elapsed().as_secs_f64();
            }
            assert!(begun.elapsed() < PATIENCE, "{accepted} of {messages} were accepted in {PATIENCE:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Drop for Moments {
    /// After a failure too. `scripts/fault.sh` reads the first line.
    fn drop(&mut self) {
        let counted = self.counted.lock();
        let mut rates: Vec<f64> = counted.iter().map(|(rate, _)| *rate).collect();
        rates.sort_by(f64::total_cmp);
        if let (Some(least), Some(middle)) = (rates.first(), rates.get(rates.len() / 2)) {
            let on_their_way =
                counted.iter().map(|(_, on_their_way)| *on_their_way).min().unwrap_or_default();
            println!(
                "{} faults: at least {least:.0} messages a second, in the middle {middle:.0}, and at least {on_their_way} on their way",
                rates.len()
            );
        }
        println!("{}", self.took);
    }
}
