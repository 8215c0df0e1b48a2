//! How the fields of a value lie one after the other.

use bytes::Bytes;
use starling_jid::{BareJid, FullJid, Jid};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::{Result, StoreError};
use starling_stanza::Wire;

/// What cannot be read is not served, and nothing is guessed of it.
pub(crate) const CORRUPT: StoreError = StoreError::Corrupt { what: "the saved slot of an account" };

/// Writes the fields of a value.
#[derive(Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }
    pub(crate) fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }
    /// The first is the lowest bit.
    pub(crate) fn bits(&mut self, bits: &[bool]) {
        self.byte(bits.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit)));
    }
    /// LEB128.
    pub(crate) fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    pub(crate) fn fixed(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn wide(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    pub(crate) fn id(&mut self, id: ArchiveId) {
        self.fixed(id.number);
        self.fixed(id.random);
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
    pub(crate) fn list<T>(
        &mut self,
        values: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(&mut Out, T),
    ) {
        self.number(values.len() as u64);
        values.for_each(|value| write(self, value));
    }
}

/// Reads the fields of a value, in the order in which they were written.
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(CORRUPT)?;
        self.0 = rest;
        Ok(*taken)
    }
    pub(crate) fn byte(&mut self) -> Result<u8> {
        self.chunk().map(|[byte]| byte)
    }
    pub(crate) fn bool(&mut self) -> Result<bool> {
        Ok(self.byte()? != 0)
    }
    pub(crate) fn bits<const N: usize>(&mut self) -> Result<[bool; N]> {
        let bits = self.byte()?;
        Ok(std::array::from_fn(|at| bits & (1 << at) != 0))
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
        Err(CORRUPT)
    }
    pub(crate) fn size(&mut self) -> Result<usize> {
        usize::try_from(self.number()?).map_err(|_| CORRUPT)
    }
    pub(crate) fn fixed(&mut self) -> Result<u64> {
        self.chunk().map(u64::from_be_bytes)
    }
    pub(crate) fn wide(&mut self) -> Result<u128> {
        self.chunk().map(u128::from_be_bytes)
    }
    pub(crate) fn id(&mut self) -> Result<ArchiveId> {
        Ok(ArchiveId { number: self.fixed()?, random: self.fixed()? })
    }
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.size()?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(CORRUPT)?;
        self.0 = rest;
        Ok(taken)
    }
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CORRUPT)
    }
    pub(crate) fn option<T>(&mut self, read: impl FnOnce(&mut In<'a>) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
    pub(crate) fn list<T, C: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut In<'a>) -> Result<T>,
    ) -> Result<C> {
        let len = self.number()?;
        (0..len).map(|_| read(self)).collect()
    }
    pub(crate) fn bare(&mut self) -> Result<BareJid> {
        BareJid::new(self.text()?).map_err(|_| CORRUPT)
    }
    pub(crate) fn full(&mut self) -> Result<FullJid> {
        FullJid::new(self.text()?).map_err(|_| CORRUPT)
    }
    pub(crate) fn jid(&mut self) -> Result<Jid> {
        Jid::new(self.text()?).map_err(|_| CORRUPT)
    }
    pub(crate) fn wire(&mut self) -> Result<Wire> {
        Wire::from_bytes(Bytes::copy_from_slice(self.bytes()?)).ok_or(CORRUPT)
    }
    pub(crate) fn timestamp(&mut self) -> Result<Timestamp> {
        self.number().map(Timestamp)
    }
    /// Nothing may be left: else it was written by somebody who knew more.
    pub(crate) fn end(&self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(CORRUPT) }
    }
}
