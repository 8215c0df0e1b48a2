//! How the words of the ports lie in columns, and back.

use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::ids::ArchiveId;

use crate::error::corrupt;

/// 16 bytes that sort as the ids do.
pub(crate) fn id_bytes(id: ArchiveId) -> [u8; 16] {
    wide_bytes(wide(id))
}

/// An id as one number.
pub(crate) fn wide(id: ArchiveId) -> u128 {
    (u128::from(id.number) << 64) | u128::from(id.random)
}

pub(crate) fn wide_bytes(wide: u128) -> [u8; 16] {
    wide.to_be_bytes()
}

pub(crate) fn id_of(bytes: &[u8], what: &'static str) -> Result<ArchiveId> {
    let wide = wide_of(bytes, what)?;
    Ok(ArchiveId { number: (wide >> 64) as u64, random: wide as u64 })
}

pub(crate) fn wide_of(bytes: &[u8], what: &'static str) -> Result<u128> {
    let bytes: [u8; 16] = bytes.try_into().map_err(|_| corrupt(what))?;
    Ok(u128::from_be_bytes(bytes))
}

/// A number as CQL keeps it; what is too high for it stays as high as it can be.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64, what: &'static str) -> Result<u64> {
    u64::try_from(number).map_err(|_| corrupt(what))
}

pub(crate) fn size(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX)
}

pub(crate) fn bare(text: &str, what: &'static str) -> Result<BareJid> {
    BareJid::new(text).map_err(|_| corrupt(what))
}

pub(crate) fn jids(texts: Option<Vec<String>>, what: &'static str) -> Result<Vec<Jid>> {
    let texts = texts.unwrap_or_default();
    texts.iter().map(|text| Jid::new(text).map_err(|_| corrupt(what))).collect()
}

/// Flags of a row in one byte, the first in the lowest bit.
pub(crate) fn bits<const N: usize>(flags: [bool; N]) -> i8 {
    flags.iter().rev().fold(0, |bits, flag| bits << 1 | i8::from(*flag))
}

pub(crate) fn bit(bits: i8, at: u8) -> bool {
    bits & (1 << at) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_bytes() {
        let id = |number, random| ArchiveId { number, random };
        let ids = [id(0, 0), id(0, u64::MAX), id(1, 0), id(1 << 63, 5), id(u64::MAX, u64::MAX)];
        assert!(ids.is_sorted_by_key(|id| id_bytes(*id)));
        for id in ids {
            assert_eq!(id_of(&id_bytes(id), "an id").unwrap(), id);
        }
        assert!(id_of(&[1, 2, 3], "an id").is_err());
    }

    #[test]
    fn flags_come_back() {
        for number in 0..64_i8 {
            let flags: [bool; 6] = std::array::from_fn(|at| bit(number, at as u8));
            assert_eq!(bits(flags), number);
        }
    }
}
