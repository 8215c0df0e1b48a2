//! The archive by correspondent: one key for each row, so that a search for one of them reads nobody else's.

use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::archive::{Direction, Row};
use starling_ports::ids::ArchiveId;
use starling_xml::escape_attr;

use crate::codec::{self, id_key};
use crate::data::encode_usage;
use crate::disk::{Op, Space, Tables};
use crate::row;

const WHAT: &str = "a correspondent in the archive";
/// How many keys one step of the migration writes.
const STEP: usize = 10_000;

/// What the keys of `owner` and a correspondent begin with, be it an account or one device of it; ids follow, as in the
/// archive. No address has a byte 0 in it.
pub(crate) fn prefix(owner: &BareJid, with: &str) -> Vec<u8> {
    let mut key = row::prefix_for(owner, with.len() + 1);
    escape_attr(&mut key, with);
    key.push(0);
    key
}

/// By the account of the other one.
fn key(owner: &BareJid, row: &Row) -> Vec<u8> {
    let mut key = prefix(owner, row.with.as_str());
    key.extend_from_slice(&id_key(row.id));
    key
}

/// By the device of the other one, where the stanza names it: a search for a device passes over no other (XEP-0313 §4.1.1).
fn key_of_device(owner: &BareJid, row: &Row) -> Option<Vec<u8>> {
    let name = match row.direction {
        Direction::Received => "from",
        Direction::Sent => "to",
    };
    let device = row.wire.attribute(name).filter(|address| address.contains(&b'/'))?;
    let mut key = row::prefix_for(owner, device.len() + 1);
    key.extend_from_slice(device);
    key.push(0);
    key.extend_from_slice(&id_key(row.id));
    Some(key)
}

fn put_key(key: Vec<u8>) -> Op {
    let value = codec::seal(codec::out(), &key);
    Op::Put(Space::With, key, value)
}

/// To be written with the row.
pub(crate) fn put(owner: &BareJid, row: &Row) -> impl Iterator<Item = Op> {
    [Some(key(owner, row)), key_of_device(owner, row)].into_iter().flatten().map(put_key)
}

/// To be removed with the row.
pub(crate) fn remove(owner: &BareJid, row: &Row) -> impl Iterator<Item = Op> {
    let keys = [Some(key(owner, row)), key_of_device(owner, row)].into_iter().flatten();
    keys.map(|key| Op::Remove(Space::With, key))
}

/// The key of the row that a key of this table leads to.
pub(crate) fn key_of_row(key: &[u8], id: ArchiveId) -> Vec<u8> {
    let owner = key.split(|byte| *byte == 0).next().unwrap_or_default();
    [owner, &[0], &id_key(id)].concat()
}

/// The row that is meant by what lies under `key`; `None` if it has expired meanwhile.
pub(crate) fn row(tables: &Tables, owner: &BareJid, key: &[u8], value: &[u8]) -> Result<Option<Row>> {
    codec::unseal(key, value, WHAT)?;
    let id = row::id_of(key).ok_or(crate::error::corrupt(WHAT))?;
    let key = row::key(owner, id);
    tables.get(Space::Archive, &key)?.map(|value| row::decode(&key, &value)).transpose()
}

/// Format 2: the keys by account of all rows that format 1 had, and how large each archive is. A row that cannot be read
/// has no key; `check` names it.
pub(crate) fn build(tables: &Tables) -> fjall::Result<()> {
    let mut current: Option<(BareJid, u64)> = None;
    each_row(tables, |owner, row, batch| {
        batch.add(put_key(key(&owner, row)));
        let bytes = row.wire.len() as u64;
        match &mut current {
            Some((known, total)) if *known == owner => *total += bytes,
            other => {
                if let Some((owner, total)) = other.replace((owner, bytes)) {
                    batch.add(encode_usage(&owner, total));
                }
            }
        }
    })?;
    let mut batch = Batch::new(tables);
    if let Some((owner, total)) = current {
        batch.add(encode_usage(&owner, total));
    }
    batch.0.commit()
}

/// Format 3: the keys by device.
pub(crate) fn build_devices(tables: &Tables) -> fjall::Result<()> {
    each_row(tables, |owner, row, batch| {
        if let Some(key) = key_of_device(&owner, row) {
            batch.add(put_key(key));
        }
    })
}

struct Batch<'a>(fjall::OwnedWriteBatch, &'a Tables);

impl Batch<'_> {
    fn new(tables: &Tables) -> Batch<'_> {
        Batch(tables.db().batch(), tables)
    }
    fn add(&mut self, op: Op) {
        if let Op::Put(space, key, value) = op {
            self.0.insert(self.1.space(space), key, value);
        }
    }
}

/// Every row of the archive that can be read, in steps: what `visit` adds is written with each.
fn each_row(tables: &Tables, mut visit: impl FnMut(BareJid, &Row, &mut Batch<'_>)) -> fjall::Result<()> {
    let (mut batch, mut count) = (Batch::new(tables), 0_usize);
    for guard in tables.space(Space::Archive).iter() {
        let (key, value) = guard.into_inner()?;
        let (Some(owner), Ok(row)) = (row::owner_of(&key), row::decode(&key, &value)) else { continue };
        visit(owner, &row, &mut batch);
        count += 1;
        if count.is_multiple_of(STEP) {
            std::mem::replace(&mut batch, Batch::new(tables)).0.commit()?;
        }
    }
    batch.0.commit()
}
