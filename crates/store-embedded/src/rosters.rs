//! Rosters: one value a roster; a write is one step of its version.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::roster::{Contact, Edit, Roster, Rosters, Subscription, Written};

use crate::Store;
use crate::codec::{self, In, Out};
use crate::data::{Kind, key};
use crate::disk::{Op, Space};

fn encode(key: &[u8], roster: &Roster) -> Vec<u8> {
    let mut out = codec::out();
    out.number(roster.version);
    out.number(roster.since);
    out.list(roster.contacts.iter(), |out, contact| {
        let state = contact.state;
        let bits =
            [state.to, state.from, state.pending_out, state.pending_in, state.approved, contact.listed];
        out.byte(bits.iter().rev().fold(0, |bits, bit| bits << 1 | u8::from(*bit)));
        out.text(contact.jid.as_str());
        out.option(contact.name.as_deref(), Out::text);
        out.list(contact.groups.iter(), |out, group| out.text(group));
        out.number(contact.version);
        out.option(contact.request.as_deref(), Out::bytes);
    });
    out.list(roster.removed.iter(), |out, (jid, version)| {
        out.text(jid.as_str());
        out.number(*version);
    });
    codec::seal(out, key)
}

pub(crate) fn decode(value: &mut In<'_>) -> Result<Roster> {
    let (version, since) = (value.number()?, value.number()?);
    let contacts = value.list(|value| {
        let bits = value.byte()?;
        let bit = |at: u8| bits & (1 << at) != 0;
        Ok(Contact {
            jid: value.bare()?,
            name: value.option(|value| value.text().map(Into::into))?,
            groups: value.list(|value| value.text().map(Into::into))?,
            state: Subscription {
                to: bit(0),
                from: bit(1),
                pending_out: bit(2),
                pending_in: bit(3),
                approved: bit(4),
            },
            version: value.number()?,
            request: value.option(|value| value.bytes().map(Bytes::copy_from_slice))?,
            listed: bit(5),
        })
    })?;
    let removed = value.list(|value| Ok((value.bare()?, value.number()?)))?;
    Ok(Roster { version, contacts, removed, since })
}

const SHARDS: usize = 16;
/// How many rosters each shard of the cache knows; a full one begins anew.
const CACHED: usize = 1000;

type Shard = Mutex<HashMap<BareJid, Arc<Roster>>>;

/// The rosters that were asked for lately: each presence asks for one. A shard is locked while its miss is read, so
/// that what was read can never stand where something newer stood.
pub(crate) struct Cache {
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

impl Cache {
    pub(crate) fn new() -> Cache {
        Cache { hasher: RandomState::new(), shards: std::array::from_fn(|_| Mutex::default()) }
    }

    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo the number of shards")]
    fn shard(&self, owner: &BareJid) -> &Shard {
        &self.shards[self.hasher.hash_one(owner) as usize % SHARDS]
    }

    fn get(&self, owner: &BareJid, read: impl FnOnce() -> Result<Roster>) -> Result<Arc<Roster>> {
        let mut shard = self.shard(owner).lock();
        if let Some(roster) = shard.get(owner) {
            return Ok(roster.clone());
        }
        let roster = Arc::new(read()?);
        if shard.len() >= CACHED {
            shard.clear();
        }
        shard.insert(owner.clone(), roster.clone());
        Ok(roster)
    }

    /// It has changed on the disk.
    pub(crate) fn forget(&self, owner: &BareJid) {
        self.shard(owner).lock().remove(owner);
    }
}

impl Store {
    fn roster_now(&self, owner: &BareJid) -> Result<Arc<Roster>> {
        let read = || Ok(self.datum(&key(owner, Kind::Roster), "a roster", decode)?.unwrap_or_default());
        self.rosters.get(owner, read)
    }
}

#[async_trait]
impl Rosters for Store {
    async fn get(&self, owner: &BareJid) -> Result<Arc<Roster>> {
        self.roster_now(owner)
    }

    async fn write(&self, owner: &BareJid, version: u64, edits: Vec<Edit>) -> Result<Written> {
        let _turn = self.turns.of(owner).await;
        let writing = self.writing_for(owner).await?;
        let roster = self.roster_now(owner)?;
        if roster.version != version {
            return Ok(Written::Stale(roster));
        }
        let next = roster.after(edits);
        if writing.is_none() {
            return Ok(Written::Done(Arc::new(next)));
        }
        let key = key(owner, Kind::Roster);
        let value = encode(&key, &next);
        let written = self.writer.write(vec![Op::Put(Space::Data, key, value)]).await;
        self.rosters.forget(owner); // also if it failed: it may be on the disk all the same
        written?;
        Ok(Written::Done(Arc::new(next)))
    }
}
