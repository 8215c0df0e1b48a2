//! How the fields of a value lie one after the other: in records of slots, and on the disk of the embedded store.

use bytes::Bytes;
use starling_jid::{BareJid, FullJid, Jid};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_ports::{Result, StoreError};
use starling_stanza::Wire;

/// Writes the fields of a value.
#[derive(Debug, Default)]
pub struct Out(Vec<u8>);

impl Out {
    /// Nothing yet, with room for so many bytes.
    pub fn with_room(bytes: usize) -> Out {
        Out(Vec::with_capacity(bytes))
    }
    /// Goes on behind `head`.
    pub fn behind(head: Vec<u8>) -> Out {
        Out(head)
    }
    /// All that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }
    /// A byte that is 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.0.push(value.into());
    }
    /// The first is the lowest bit.
    pub fn bits(&mut self, bits: &[bool]) {
        self.byte(bits.iter().rev().fold(0, |all, bit| all << 1 | u8::from(*bit)));
    }
    /// LEB128.
    pub fn number(&mut self, mut value: u64) {
        let mut bytes = [0; 10]; // put together where it costs nothing, and written at once
        let mut len = 0;
        for byte in &mut bytes {
            len += 1;
            *byte = (value as u8) | 0x80;
            value >>= 7;
            if value == 0 {
                *byte &= 0x7f;
                break;
            }
        }
        let end = self.0.len() + len;
        self.0.extend_from_slice(&bytes); // a fixed length, which needs no call
        self.0.truncate(end);
    }
    /// Eight bytes, the highest first.
    pub fn fixed(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    /// Sixteen bytes, the highest first.
    pub fn wide(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }
    /// Sixteen bytes, which sort as ids do.
    pub fn id(&mut self, id: ArchiveId) {
        self.fixed(id.number);
        self.fixed(id.random);
    }
    /// Behind their number.
    pub fn bytes(&mut self, value: &[u8]) {
        self.number(value.len() as u64);
        self.0.extend_from_slice(value);
    }
    /// The same.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }
    /// Behind a byte that says whether there is one.
    pub fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Out, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            write(self, value);
        }
    }
    /// Behind their number.
    pub fn list<T>(&mut self, values: impl ExactSizeIterator<Item = T>, mut write: impl FnMut(&mut Out, T)) {
        self.number(values.len() as u64);
        values.for_each(|value| write(self, value));
    }
}

/// Reads the fields of a value, in the order in which they were written. What cannot be read is not served, and nothing is
/// guessed of it.
#[derive(Debug)]
pub struct In<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> In<'a> {
    /// `what` names the value in errors.
    pub fn new(value: &'a [u8], what: &'static str) -> In<'a> {
        In { rest: value, what }
    }
    /// That it cannot be read.
    pub fn corrupt(&self) -> StoreError {
        StoreError::Corrupt { what: self.what }
    }
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(*taken)
    }
    /// One byte.
    pub fn byte(&mut self) -> Result<u8> {
        self.chunk().map(|[byte]| byte)
    }
    /// A byte that is 0 or 1.
    pub fn bool(&mut self) -> Result<bool> {
        Ok(self.byte()? != 0)
    }
    /// Of one byte; the first is the lowest.
    pub fn bits<const N: usize>(&mut self) -> Result<[bool; N]> {
        let bits = self.byte()?;
        Ok(std::array::from_fn(|at| bits & (1 << at) != 0))
    }
    /// LEB128.
    pub fn number(&mut self) -> Result<u64> {
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
    /// A number that is one of this machine.
    pub fn size(&mut self) -> Result<usize> {
        usize::try_from(self.number()?).map_err(|_| self.corrupt())
    }
    /// Eight bytes, the highest first.
    pub fn fixed(&mut self) -> Result<u64> {
        self.chunk().map(u64::from_be_bytes)
    }
    /// Sixteen bytes, the highest first.
    pub fn wide(&mut self) -> Result<u128> {
        self.chunk().map(u128::from_be_bytes)
    }
    /// Sixteen bytes, which sort as ids do.
    pub fn id(&mut self) -> Result<ArchiveId> {
        Ok(ArchiveId { number: self.fixed()?, random: self.fixed()? })
    }
    /// Behind their number.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.size()?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.corrupt())?;
        self.rest = rest;
        Ok(taken)
    }
    /// The same.
    pub fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| self.corrupt())
    }
    /// Behind a byte that says whether there is one.
    pub fn option<T>(&mut self, read: impl FnOnce(&mut In<'a>) -> Result<T>) -> Result<Option<T>> {
        if self.bool()? { read(self).map(Some) } else { Ok(None) }
    }
    /// Behind their number.
    pub fn list<T, C: FromIterator<T>>(
        &mut self,
        mut read: impl FnMut(&mut In<'a>) -> Result<T>,
    ) -> Result<C> {
        let len = self.number()?;
        (0..len).map(|_| read(self)).collect()
    }
    /// A bare JID.
    pub fn bare(&mut self) -> Result<BareJid> {
        BareJid::new(self.text()?).map_err(|_| self.corrupt())
    }
    /// A full JID.
    pub fn full(&mut self) -> Result<FullJid> {
        FullJid::new(self.text()?).map_err(|_| self.corrupt())
    }
    /// A JID.
    pub fn jid(&mut self) -> Result<Jid> {
        Jid::new(self.text()?).map_err(|_| self.corrupt())
    }
    /// A stanza.
    pub fn wire(&mut self) -> Result<Wire> {
        Wire::from_bytes(Bytes::copy_from_slice(self.bytes()?)).ok_or_else(|| self.corrupt())
    }
    /// A time.
    pub fn timestamp(&mut self) -> Result<Timestamp> {
        self.number().map(Timestamp)
    }
    /// Nothing may be left: else it was written by somebody who knew more.
    pub fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(self.corrupt()) }
    }
}
