//! How far ids have run ahead of the clock: by this a search by time knows where it may stop.
//!
//! An id is never below the time at which its row was received, but where the clock went back it is above it. The widest
//! gap ever is kept, as a power of two; as long as the clock is sane it stays below the first.

use std::sync::atomic::{AtomicU32, Ordering};

use starling_ports::Result;
use starling_ports::archive::Row;

use crate::codec;
use crate::disk::{Op, Space, Tables, pair};

/// No owner is empty, so no other key of this table begins like that.
const KEY: &[u8] = b"\0ahead";
/// A batch gets ids one after the other in one microsecond: 2^10 of them need no note.
const USUAL: u32 = 10;

/// The exponent of the widest gap, in microseconds.
pub(crate) struct Ahead(AtomicU32);

impl Ahead {
    pub(crate) fn load(tables: &Tables) -> Result<Ahead> {
        let last = tables.space(Space::Data).prefix(KEY).next_back();
        let noted = last.map(|guard| pair(guard).map(|(key, _)| key.last().copied())).transpose()?.flatten();
        Ok(Ahead(AtomicU32::new(noted.map_or(USUAL, u32::from).max(USUAL))))
    }

    /// No id is further above the time of its row.
    pub(crate) fn most(&self) -> u64 {
        1_u64.checked_shl(self.0.load(Ordering::Acquire)).unwrap_or(u64::MAX)
    }

    /// To be written with `rows`, if they have ids further ahead than any before. Notes never overwrite one another:
    /// the order in which they are written does not matter.
    pub(crate) fn note(&self, rows: &[Row]) -> Option<Op> {
        let gap = rows.iter().map(|row| row.id.number.saturating_sub(row.at.0)).max()?;
        let exponent = u64::BITS - gap.leading_zeros();
        if exponent <= self.0.fetch_max(exponent, Ordering::AcqRel) {
            return None;
        }
        let mut key = KEY.to_vec();
        key.push(u8::try_from(exponent).unwrap_or(u8::MAX));
        let value = codec::seal(codec::out(), &key);
        Some(Op::Put(Space::Data, key, value))
    }
}
