//! How values lie on the disk: fields one after the other, behind a checksum over key and value.

use bytes::Bytes;
use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_stanza::Wire;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::corrupt;

const SUM: usize = 8;

/// Writes the fields of a value.
pub(crate) struct Out(Vec<u8>);

impl Out {
    pub(crate) fn new() -> Out {
        Out::with_room(32)
    }
    /// For about so many bytes of fields.
    pub(crate) fn with_room(bytes: usize) -> Out {
        let mut out = Vec::with_capacity(SUM + bytes);
        out.resize(SUM, 0);
        Out(out)
    }
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }
    pub(crate) fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }
    /// LEB128.
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    pub(crate) fn wide(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn id(&mut self, id: ArchiveId) {
        self.0.extend_from_slice(&id_key(id));
    }
    pub(crate) fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }
    pub(crate) fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
    pub(crate) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Out, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    pub(crate) fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Out, &T)) {
        self.number(values.len() as u64);
        for value in values {
            write(self, value);
        }
    }
    /// The value as it is stored under `key`.
    pub(crate) fn seal(mut self, key: &[u8]) -> Vec<u8> {
        let (sum, value) = self.0.split_at_mut(SUM);
        sum.copy_from_slice(&xxh3_64_with_seed(value, xxh3_64(key)).to_le_bytes());
        self.0
    }
}

/// Checks the seal of what lies under `key`: what was changed, or belongs elsewhere, is never served.
pub(crate) fn unseal<'a>(key: &[u8], stored: &'a [u8], what: &'static str) -> Result<In<'a>> {
    let (sum, value) = stored.split_first_chunk::<SUM>().ok_or(corrupt(what))?;
    if xxh3_64_with_seed(value, xxh3_64(key)) != u64::from_le_bytes(*sum) {
        return Err(corrupt(what));
    }
    Ok(In { rest: value, what })
}

/// Reads the fields of a value, in the order in which they were written.
pub(crate) struct In<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> In<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(corrupt(self.what))?;
        self.rest = rest;
        Ok(taken)
    }
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(corrupt(self.what))?;
        self.rest = rest;
        Ok(*taken)
    }
    pub(crate) fn corrupt(&self) -> starling_ports::StoreError {
        corrupt(self.what)
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.chunk().map(|[byte]| byte)
    }
    pub(crate) fn bool(&mut self) -> Result<bool> {
        Ok(self.byte()? != 0)
    }
    pub(crate) fn number(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt())
    }
    pub(crate) fn wide(&mut self) -> Result<u128> {
        self.chunk().map(u128::from_be_bytes)
    }
    pub(crate) fn id(&mut self) -> Result<ArchiveId> {
        let both = self.wide()?;
        Ok(ArchiveId { number: (both >> 64) as u64, random: both as u64 })
    }
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.number()?;
        self.take(usize::try_from(len).map_err(|_| self.corrupt())?)
    }
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.corrupt())
    }
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut In<'a>) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
    pub(crate) fn list<T>(&mut self, mut read: impl FnMut(&mut In<'a>) -> Result<T>) -> Result<Vec<T>> {
        let len = self.number()?;
        (0..len).map(|_| read(self)).collect()
    }
    pub(crate) fn bare(&mut self) -> Result<BareJid> {
        let text = self.text()?;
        BareJid::new(text).map_err(|_| self.corrupt())
    }
    pub(crate) fn jid(&mut self) -> Result<Jid> {
        let text = self.text()?;
        Jid::new(text).map_err(|_| self.corrupt())
    }
    pub(crate) fn wire(&mut self) -> Result<Wire> {
        let bytes = Bytes::copy_from_slice(self.bytes()?);
        Wire::from_bytes(bytes).ok_or(self.corrupt())
    }
    pub(crate) fn timestamp(&mut self) -> Result<Timestamp> {
        self.number().map(Timestamp)
    }
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
        let mut out = Out::new();
        for number in [0, 127, 128, u64::MAX] {
            out.number(number);
        }
        out.option(Some("x"), |out, text| out.text(text));
        out.list(&[1_u128, u128::MAX], |out, value| out.wide(*value));
        let stored = out.seal(b"key");

        let mut read = unseal(b"key", &stored, "a test").unwrap();
        for number in [0, 127, 128, u64::MAX] {
            assert_eq!(read.number().unwrap(), number);
        }
        assert_eq!(read.option(|read| read.text()).unwrap(), Some("x"));
        assert_eq!(read.list(In::wide).unwrap(), [1, u128::MAX]);
        assert!(read.byte().is_err());
    }

    #[test]
    fn any_flipped_bit_and_any_other_key_is_noticed() {
        let mut out = Out::new();
        out.text("hello");
        let stored = out.seal(b"key");
        assert!(unseal(b"other", &stored, "a test").is_err());
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &damaged, "a test").is_err(), "bit {bit}");
        }
    }
}
