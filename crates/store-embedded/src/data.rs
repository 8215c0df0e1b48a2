//! What is small and belongs to one account: position, block list, preferences, documents, last activity.

use async_trait::async_trait;
use bytes::Bytes;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::documents::{Document, Documents};
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::position::{Position, Positions};
use starling_ports::preferences::{DefaultPreference, PreferenceStore, Preferences};

use crate::Store;
use crate::codec::{self, In, Out};
use crate::disk::{Op, Space, Tables, pair};
use crate::error::corrupt;
use crate::row::prefix;

/// The byte after the owner in a key of `Space::Data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    BlockList = b'b',
    Document = b'd',
    LastActivity = b'l',
    Position = b'p',
    Preferences = b'q',
    Roster = b'r',
    /// Bytes of the archive.
    Usage = b'u',
}

pub(crate) fn key(owner: &BareJid, kind: Kind) -> Vec<u8> {
    let mut key = prefix(owner);
    key.push(kind as u8);
    key
}

fn document_key(owner: &BareJid, document: &Document) -> Vec<u8> {
    let mut key = key(owner, Kind::Document);
    if let Document::Private(ns, name) = document {
        key.extend_from_slice(name.as_bytes()); // a name has no space, a namespace may
        key.push(b' ');
        key.extend_from_slice(ns.as_bytes());
    }
    key
}

pub(crate) fn encode_position(owner: &BareJid, position: &Position) -> Op {
    let key = key(owner, Kind::Position);
    let mut out = codec::out();
    out.option(position.low, Out::id);
    out.list(position.acknowledged.iter(), |out, id| out.id(*id));
    let value = codec::seal(out, &key);
    Op::Put(Space::Data, key, value)
}

pub(crate) fn encode_usage(owner: &BareJid, bytes: u64) -> Op {
    let key = key(owner, Kind::Usage);
    let mut out = codec::out();
    out.number(bytes);
    let value = codec::seal(out, &key);
    Op::Put(Space::Data, key, value)
}

fn write_jids(out: &mut Out, jids: &[starling_jid::Jid]) {
    out.list(jids.iter(), |out, jid| out.text(jid.as_str()));
}

fn datum_in<T>(
    tables: &Tables,
    key: &[u8],
    what: &'static str,
    read: impl FnOnce(&mut In<'_>) -> Result<T>,
) -> Result<Option<T>> {
    let stored = tables.get(Space::Data, key)?;
    stored.map(|stored| read(&mut codec::unseal(key, &stored, what)?)).transpose()
}

/// For whoever holds the tables already.
pub(crate) fn position_in(tables: &Tables, owner: &BareJid) -> Result<Position> {
    let read =
        |value: &mut In<'_>| Ok(Position { low: value.option(In::id)?, acknowledged: value.list(In::id)? });
    Ok(datum_in(tables, &key(owner, Kind::Position), "a position", read)?.unwrap_or_default())
}

impl Store {
    /// Reads the value under `key`, if there is one.
    pub(crate) fn datum<T>(
        &self,
        key: &[u8],
        what: &'static str,
        read: impl FnOnce(&mut In<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        datum_in(&*self.disk.read()?, key, what, read)
    }

    async fn put_datum(&self, owner: &BareJid, key: Vec<u8>, out: Out) -> Result<()> {
        let Some(_writing) = self.writing_for(owner).await? else { return Ok(()) };
        let value = codec::seal(out, &key);
        self.writer.write(vec![Op::Put(Space::Data, key, value)]).await
    }

    pub(crate) fn position_now(&self, owner: &BareJid) -> Result<Position> {
        position_in(&*self.disk.read()?, owner)
    }

    /// Bytes of what is archived for `owner`, near enough for a quota: saved at a low rate.
    pub(crate) fn archived_now(&self, owner: &BareJid) -> Result<u64> {
        Ok(self
            .datum(&key(owner, Kind::Usage), "the size of an archive", |value| value.number())?
            .unwrap_or_default())
    }

    pub(crate) fn block_list_now(&self, owner: &BareJid) -> Result<BlockList> {
        let read = |value: &mut In<'_>| value.list(In::jid).map(|items| BlockList { items });
        Ok(self.datum(&key(owner, Kind::BlockList), "a block list", read)?.unwrap_or_default())
    }

    /// All documents of an account, for a copy.
    pub fn documents(&self, owner: &BareJid) -> Result<Vec<(Document, Bytes)>> {
        const WHAT: &str = "a document";
        let (before, mut documents) = (key(owner, Kind::Document), Vec::new());
        for guard in self.disk.read()?.space(Space::Data).prefix(&before) {
            let (key, value) = pair(guard)?;
            let name = key.get(before.len()..).unwrap_or_default();
            let name = std::str::from_utf8(name).map_err(|_| corrupt(WHAT))?;
            let document = match name.split_once(' ') {
                Some((name, ns)) => Document::Private(ns.into(), name.into()),
                None if name.is_empty() => Document::Vcard,
                None => return Err(corrupt(WHAT)),
            };
            let xml = codec::unseal(&key, &value, WHAT)?.bytes().map(Bytes::copy_from_slice)?;
            documents.push((document, xml));
        }
        Ok(documents)
    }

    pub(crate) fn preferences_now(&self, owner: &BareJid) -> Result<Option<Preferences>> {
        let read = |value: &mut In<'_>| {
            let default = match value.byte()? {
                0 => DefaultPreference::Always,
                1 => DefaultPreference::Never,
                2 => DefaultPreference::Roster,
                _ => return Err(value.corrupt()),
            };
            Ok(Preferences { default, always: value.list(In::jid)?, never: value.list(In::jid)? })
        };
        self.datum(&key(owner, Kind::Preferences), "preferences", read)
    }
}

#[async_trait]
impl Positions for Store {
    async fn get(&self, owner: &BareJid) -> Result<Position> {
        self.position_now(owner)
    }

    async fn save(&self, owner: &BareJid, position: Position) -> Result<()> {
        let Some(_writing) = self.writing_for(owner).await? else { return Ok(()) };
        self.writer.later(vec![encode_position(owner, &position)]).await
    }
}

#[async_trait]
impl BlockLists for Store {
    async fn get(&self, owner: &BareJid) -> Result<BlockList> {
        self.block_list_now(owner)
    }

    async fn put(&self, owner: &BareJid, list: BlockList) -> Result<()> {
        let mut out = codec::out();
        write_jids(&mut out, &list.items);
        self.put_datum(owner, key(owner, Kind::BlockList), out).await
    }
}

#[async_trait]
impl PreferenceStore for Store {
    async fn get(&self, owner: &BareJid) -> Result<Option<Preferences>> {
        self.preferences_now(owner)
    }

    async fn put(&self, owner: &BareJid, preferences: Preferences) -> Result<()> {
        let mut out = codec::out();
        out.byte(match preferences.default {
            DefaultPreference::Always => 0,
            DefaultPreference::Never => 1,
            DefaultPreference::Roster => 2,
        });
        write_jids(&mut out, &preferences.always);
        write_jids(&mut out, &preferences.never);
        self.put_datum(owner, key(owner, Kind::Preferences), out).await
    }
}

#[async_trait]
impl Documents for Store {
    async fn get(&self, owner: &BareJid, document: &Document) -> Result<Option<Bytes>> {
        self.datum(&document_key(owner, document), "a document", |value| {
            value.bytes().map(Bytes::copy_from_slice)
        })
    }

    async fn put(&self, owner: &BareJid, document: &Document, xml: Bytes) -> Result<()> {
        let mut out = codec::out();
        out.bytes(&xml);
        self.put_datum(owner, document_key(owner, document), out).await
    }

    async fn size(&self, owner: &BareJid) -> Result<usize> {
        let tables = self.disk.read()?;
        let found = tables.space(Space::Data).prefix(key(owner, Kind::Document));
        found.map(|guard| pair(guard).map(|(_, value)| value.len())).sum()
    }
}

#[async_trait]
impl LastActivities for Store {
    async fn get(&self, owner: &BareJid) -> Result<Option<LastActivity>> {
        let read = |value: &mut In<'_>| {
            let at = value.timestamp()?;
            Ok(LastActivity { at, status: value.option(|value| value.text().map(Into::into))? })
        };
        self.datum(&key(owner, Kind::LastActivity), "a last activity", read)
    }

    async fn put(&self, owner: &BareJid, last: LastActivity) -> Result<()> {
        // A session of a removed account ends, too.
        let Some(_writing) = self.writing_for(owner).await? else { return Ok(()) };
        let key = key(owner, Kind::LastActivity);
        let mut out = codec::out();
        out.number(last.at.0);
        out.option(last.status.as_deref(), Out::text);
        let value = codec::seal(out, &key);
        self.writer.later(vec![Op::Put(Space::Data, key, value)]).await
    }
}
