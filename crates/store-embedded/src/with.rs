//! The archive by correspondent: one key for each row, so that a search for one of them reads nobody else's.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::Row;
use starling_ports::ids::ArchiveId;

use crate::codec::{self, Out, id_key};
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

/// Format 2: the keys of all rows that format 1 had. A row that cannot be read has none; `check` names it.
pub(crate) fn build(tables: &Tables) -> fjall::Result<()> {
    let mut batch = tables.db().batch();
    let mut count = 0;
    for guard in tables.space(Space::Archive).iter() {
        let (key, value) = guard.into_inner()?;
        let owner = key.len().checked_sub(17).and_then(|end| std::str::from_utf8(key.get(..end)?).ok());
        let (Some(Ok(owner)), Ok(row)) = (owner.map(BareJid::new), row::decode(&key, &value)) else {
            continue;
        };
        if let Op::Put(space, key, value) = put(&owner, &row) {
            batch.insert(tables.space(space), key, value);
        }
        count += 1;
        if count % STEP == 0 {
            std::mem::replace(&mut batch, tables.db().batch()).commit()?;
        }
    }
    batch.commit()
}
