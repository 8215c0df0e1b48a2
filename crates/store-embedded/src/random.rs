//! Random bits of the operating system, fetched many at a time.

use parking_lot::Mutex;

const POOL: usize = 1024;

/// Bits that were fetched and not given out yet.
pub(crate) struct Random(Mutex<Vec<u8>>);

impl Random {
    pub(crate) fn new() -> Random {
        Random(Mutex::new(Vec::new()))
    }

    /// 64 bits that nobody has seen.
    pub(crate) fn next(&self) -> u64 {
        let mut pool = self.0.lock();
        if pool.len() < 8 {
            let mut fresh = vec![0; POOL];
            fill(&mut fresh);
            *pool = fresh;
        }
        let mut bits = [0; 8];
        for bit in &mut bits {
            *bit = pool.pop().unwrap_or_default();
        }
        u64::from_ne_bytes(bits)
    }
}

#[expect(clippy::expect_used, reason = "without random bits ids can be guessed: better to stop")]
fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bits");
}
