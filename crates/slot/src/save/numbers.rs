//! A hash for the numbers of stanzas: they are given out here, one after the other, so nobody can choose them to collide.

use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type Numbers = BuildHasherDefault<Spread>;

/// One multiplication, which spreads neighbours.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(self.0 << 8 | u64::from(*byte)));
    }
    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
