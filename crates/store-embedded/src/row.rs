//! A row of the archive as it lies on the disk.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Born, Direction, Row};
use starling_ports::ids::ArchiveId;

use crate::codec::{self, Out, id_key};

const WHAT: &str = "a row of the archive";

/// The rows of one owner lie together, in the order of their ids. No JID contains a zero byte (RFC 7622 §3).
pub(crate) fn prefix(owner: &BareJid) -> Vec<u8> {
    prefix_for(owner, 0)
}

/// The same, with room for so much more and an id.
pub(crate) fn prefix_for(owner: &BareJid, more: usize) -> Vec<u8> {
    let mut key = Vec::with_capacity(owner.as_str().len() + more + 17);
    key.extend_from_slice(owner.as_str().as_bytes());
    key.push(0);
    key
}

pub(crate) fn key(owner: &BareJid, id: ArchiveId) -> Vec<u8> {
    let mut key = prefix(owner);
    key.extend_from_slice(&id_key(id));
    key
}

/// The id at the end of a key.
pub(crate) fn id_of(key: &[u8]) -> Option<ArchiveId> {
    let both = u128::from_be_bytes(*key.last_chunk::<16>()?);
    Some(ArchiveId { number: (both >> 64) as u64, random: both as u64 })
}

/// Whose row lies under a key.
pub(crate) fn owner_of(key: &[u8]) -> Option<BareJid> {
    let (owner, end) = key.split_at_checked(key.len().checked_sub(17)?)?;
    let owner = std::str::from_utf8(owner).ok().filter(|_| end.starts_with(&[0]))?;
    BareJid::new(owner).ok()
}

pub(crate) fn encode(key: &[u8], row: &Row) -> Vec<u8> {
    let resource = row.resource.as_deref().map_or(0, str::len);
    let mut out = codec::out_for(row.wire.len() + row.with.as_str().len() + resource + Born::BYTES + 48);
    out.number(row.at.0);
    let direction = u8::from(row.direction == Direction::Sent);
    out.byte(direction | u8::from(row.deliverable) << 1 | u8::from(row.copied) << 2);
    out.text(row.with.as_str());
    out.option(row.resource.as_deref(), Out::text);
    out.option(row.origin, Out::wide);
    out.bytes(row.wire.as_bytes());
    out.bytes(&row.born.to_bytes());
    codec::seal(out, key)
}

pub(crate) fn decode(key: &[u8], stored: &[u8]) -> Result<Row> {
    let mut value = codec::unseal(key, stored, WHAT)?;
    let id = id_of(key).ok_or(crate::error::corrupt(WHAT))?;
    let at = value.timestamp()?;
    let bits = value.byte()?;
    let mut row = Row {
        id,
        at,
        with: value.bare()?,
        direction: if bits & 1 == 0 { Direction::Received } else { Direction::Sent },
        resource: value.option(|value| value.text().map(Into::into))?,
        deliverable: bits & 2 != 0,
        copied: bits & 4 != 0,
        origin: value.option(|value| value.wide())?,
        born: Born::default(),
        wire: value.wire()?,
    };
    if !value.is_empty() {
        // Rows of the first version end here.
        row.born = Born::from_bytes(value.bytes()?).ok_or(crate::error::corrupt(WHAT))?;
    }
    Ok(row)
}
