//! How values lie on the disk: fields one after the other, behind a checksum over key and value.

use starling_ports::Result;
use starling_ports::ids::ArchiveId;
pub(crate) use starling_slot::codec::{In, Out};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::corrupt;

const SUM: usize = 8;

/// A value to be written, and sealed then.
pub(crate) fn out() -> Out {
    out_for(32)
}

/// For about so many bytes of fields.
pub(crate) fn out_for(bytes: usize) -> Out {
    let mut head = Vec::with_capacity(SUM + bytes);
    head.resize(SUM, 0);
    Out::behind(head)
}

/// The value as it is stored under `key`.
pub(crate) fn seal(out: Out, key: &[u8]) -> Vec<u8> {
    let mut sealed = out.into_bytes();
    let (sum, value) = sealed.split_at_mut(SUM);
    sum.copy_from_slice(&xxh3_64_with_seed(value, xxh3_64(key)).to_le_bytes());
    sealed
}

/// Checks the seal of what lies under `key`: what was changed, or belongs elsewhere, is never served.
pub(crate) fn unseal<'a>(key: &[u8], stored: &'a [u8], what: &'static str) -> Result<In<'a>> {
    let (sum, value) = stored.split_first_chunk::<SUM>().ok_or(corrupt(what))?;
    if xxh3_64_with_seed(value, xxh3_64(key)) != u64::from_le_bytes(*sum) {
        return Err(corrupt(what));
    }
    Ok(In::new(value, what))
}

/// Sorts as the ids do.
pub(crate) fn id_key(id: ArchiveId) -> [u8; 16] {
    ((u128::from(id.number) << 64) | u128::from(id.random)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut out = super::out();
        for number in [0, 127, 128, u64::MAX] {
            out.number(number);
        }
        out.option(Some("x"), |out, text| out.text(text));
        out.list([1_u128, u128::MAX].iter(), |out, value| out.wide(*value));
        let stored = seal(out, b"key");

        let mut read = unseal(b"key", &stored, "a test").unwrap();
        for number in [0, 127, 128, u64::MAX] {
            assert_eq!(read.number().unwrap(), number);
        }
        assert_eq!(read.option(|read| read.text()).unwrap(), Some("x"));
        assert_eq!(read.list::<_, Vec<u128>>(In::wide).unwrap(), [1, u128::MAX]);
        assert!(read.byte().is_err());
    }

    #[test]
    fn any_flipped_bit_and_any_other_key_is_noticed() {
        let mut out = super::out();
        out.text("hello");
        let stored = seal(out, b"key");
        assert!(unseal(b"other", &stored, "a test").is_err());
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &damaged, "a test").is_err(), "bit {bit}");
        }
    }
}
