//! The archive by correspondent: one key for each row, so that a search for one of them reads nobody else's.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Row;
use starling_ports::ids::ArchiveId;

use crate::codec::{self, Out, id_key};
use crate::data::encode_usage;
use crate::disk::{Op, Space, Tables};
use crate::row;

const WHAT: &str = "a correspondent in the archive";
/// How many keys one step of the migration writes.
const STEP: usize = 10_000;

/// What the keys of `owner` and `with` begin with; ids follow, as in the archive.
pub(crate) fn prefix(owner: &BareJid, with: &BareJid) -> Vec<u8> {
    let mut key = row::prefix(owner);
    key.extend_from_slice(with.as_str().as_bytes());
    key.push(0);
    key
}

fn key(owner: &BareJid, with: &BareJid, id: ArchiveId) -> Vec<u8> {
    let mut key = prefix(owner, with);
    key.extend_from_slice(&id_key(id));
    key
}

/// To be written with the row.
pub(crate) fn put(owner: &BareJid, row: &Row) -> Op {
    let key = key(owner, &row.with, row.id);
    let value = Out::new().seal(&key);
    Op::Put(Space::With, key, value)
}

/// To be removed with the row.
pub(crate) fn remove(owner: &BareJid, row: &Row) -> Op {
    Op::Remove(Space::With, key(owner, &row.with, row.id))
}

/// The row that is meant by what lies under `key`; `None` if it has expired meanwhile.
pub(crate) fn row(tables: &Tables, owner: &BareJid, key: &[u8], value: &[u8]) -> Result<Option<Row>> {
    codec::unseal(key, value, WHAT)?;
    let id = row::id_of(key).ok_or(crate::error::corrupt(WHAT))?;
    let key = row::key(owner, id);
    tables.get(Space::Archive, &key)?.map(|value| row::decode(&key, &value)).transpose()
}

/// Format 2: the keys of all rows that format 1 had, and how large each archive is. A row that cannot be read has no key;
/// `check` names it.
pub(crate) fn build(tables: &Tables) -> fjall::Result<()> {
    let mut batch = tables.db().batch();
    let (mut count, mut current): (usize, Option<(BareJid, u64)>) = (0, None);
    let add = |batch: &mut fjall::OwnedWriteBatch, op: Op| {
        if let Op::Put(space, key, value) = op {
            batch.insert(tables.space(space), key, value);
        }
    };
    for guard in tables.space(Space::Archive).iter() {
        let (key, value) = guard.into_inner()?;
        let (Some(owner), Ok(row)) = (row::owner_of(&key), row::decode(&key, &value)) else { continue };
        add(&mut batch, put(&owner, &row));
        let bytes = row.wire.len() as u64;
        match &mut current {
            Some((known, total)) if *known == owner => *total += bytes,
            other => {
                if let Some((owner, total)) = other.replace((owner, bytes)) {
                    add(&mut batch, encode_usage(&owner, total));
                }
            }
        }
        count += 1;
        if count.is_multiple_of(STEP) {
            std::mem::replace(&mut batch, tables.db().batch()).commit()?;
        }
    }
    if let Some((owner, total)) = current {
        add(&mut batch, encode_usage(&owner, total));
    }
    batch.commit()
}
