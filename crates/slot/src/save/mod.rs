//! A slot as a record of named fields, and back; and what of the record a step has changed.
//!
//! Bodies are apart: each stanza lies there once, under a number that is never used again, however many logs name it.
//! Everything else is small fields that change one by one, so that a step writes what it touched and no more.

mod numbers;
mod parts;
mod whole;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use starling_jid::BareJid;
use starling_ports::ids::{ArchiveId, Epoch, Handled, SessionId, Timestamp};
use starling_ports::{Result, StoreError};

use self::numbers::Numbers;
use self::parts::Stanzas;
use self::whole::{Held, MadeOf, Whole};
pub(crate) use crate::codec::{In, Out};
use crate::log::Stanza;
use crate::origins::{Origins, Since};
use crate::pending::Pending;
use crate::session::Session;
use crate::tracked::Tracked;
use crate::{Over, Slot};

/// The form of all that follows. Another one is not read.
const FORMAT: u8 = 2;

const WHAT: &str = "the saved slot of an account";
const CORRUPT: StoreError = StoreError::Corrupt { what: WHAT };

fn read(value: &[u8]) -> In<'_> {
    In::new(value, WHAT)
}

/// What a field keeps; the rest of its name is the key.
mod tag {
    pub(super) const FRAME: u8 = b'f';
    pub(super) const LISTS: u8 = b'l';
    pub(super) const IDENTITY: u8 = b'p';
    pub(super) const STATE: u8 = b's';
    pub(super) const WAITS: u8 = b'w';
    pub(super) const DONE: u8 = b'd';
    pub(super) const ORIGIN: u8 = b'o';
    pub(super) const STREAM: u8 = b'r';
    pub(super) const OWED: u8 = b'u';
    pub(super) const FAREWELL: u8 = b'g';
}

/// With what the name of a field begins that keeps an origin-id.
pub const ORIGIN: u8 = tag::ORIGIN;

/// A field's name, and what it holds.
pub type Field = (Vec<u8>, Vec<u8>);
/// A stanza's number, and its bytes.
pub type Body = (u64, Vec<u8>);

/// What of a slot its record holds already.
#[derive(Debug, Default)]
pub struct Saved {
    /// Fields that are written whole whenever they differ.
    whole: BTreeMap<Whole, Held>,
    /// By number, with what was said of its row.
    pub(crate) stanzas: HashMap<u64, (Arc<Stanza>, bool), Numbers>,
    /// Above every number given out.
    pub(crate) next: u64,
}

/// What a step has changed in the record.
#[derive(Debug, Default)]
pub struct Delta {
    /// Fields to be written.
    pub set: Vec<Field>,
    /// Fields to be removed.
    pub gone: Vec<Vec<u8>>,
    /// Stanzas to be added.
    pub added: Vec<Body>,
    /// Stanzas to be removed.
    pub dropped: Vec<u64>,
    whole: Vec<(Whole, Held)>,
    ended: Vec<Whole>,
    stanzas: Vec<(u64, Arc<Stanza>, bool)>,
    next: u64,
    origins: Since,
}

impl Delta {
    /// The account was removed: who knows the record as it was before is to read all of it again.
    pub fn begins_anew(&self) -> bool {
        self.origins.cleared
    }

    /// Whether the record is as the slot is.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.gone.is_empty() && self.added.is_empty() && self.dropped.is_empty()
    }

    /// A field that is written if it differs from what the record has. What it is made of is looked at first.
    fn whole(&mut self, saved: &Saved, which: Whole, made_of: MadeOf, value: impl FnOnce() -> Vec<u8>) {
        let held = saved.whole.get(&which);
        if held.is_some_and(|held| held.is_made_of(&made_of)) {
            return;
        }
        let value = value();
        if held.is_some_and(|held| held.is(&value)) {
            return;
        }
        let now = Held::new(&value, made_of);
        if !held.is_some_and(|held| held.is_like(&now)) {
            self.set.push((which.name(), value));
        }
        self.whole.push((which, now));
    }

    /// Fields of a map, as far as they were touched.
    fn touched<K: Ord + Copy, V>(
        &mut self,
        map: &mut Tracked<K, V>,
        name: impl Fn(K) -> Vec<u8>,
        value: impl Fn(&V) -> Vec<u8>,
    ) {
        for key in map.take_touched() {
            match map.get(&key) {
                Some(held) => self.set.push((name(key), value(held))),
                None => self.gone.push(name(key)),
            }
        }
    }
}

impl Saved {
    /// For a slot that has no record yet. Numbers begin at `first`, which must be above those of any former record.
    pub fn nothing(first: u64) -> Saved {
        Saved { next: first, ..Saved::default() }
    }
    /// Stanzas up to here are known: only those above it need to be read again.
    pub fn known(&self) -> u64 {
        self.next.saturating_sub(1)
    }
    /// The record holds `delta` now.
    pub fn confirm(&mut self, delta: Delta) {
        delta.ended.iter().for_each(|which| drop(self.whole.remove(which)));
        self.whole.extend(delta.whole);
        self.next = delta.next;
        delta.dropped.iter().for_each(|name| drop(self.stanzas.remove(name)));
        let added = delta.stanzas.into_iter().map(|(name, stanza, has_row)| (name, (stanza, has_row)));
        self.stanzas.extend(added);
    }
}

fn named(tag: u8, key: &[u8]) -> Vec<u8> {
    let mut name = Vec::with_capacity(1 + key.len());
    name.push(tag);
    name.extend_from_slice(key);
    name
}

fn by_id(tag: u8) -> impl Fn(ArchiveId) -> Vec<u8> {
    move |id| named(tag, &((u128::from(id.number) << 64) | u128::from(id.random)).to_be_bytes())
}

fn by_session(tag: u8) -> impl Fn(SessionId) -> Vec<u8> {
    move |id| named(tag, &id.0.to_be_bytes())
}

fn small(write: impl FnOnce(&mut Out)) -> Vec<u8> {
    let mut out = Out::with_room(32);
    write(&mut out);
    out.into_bytes()
}

impl Slot {
    /// From now on the slot knows what is changed in it. Without a record, all of it is.
    pub fn track(&mut self, has_record: bool) {
        if has_record {
            self.pending.ids.track();
            self.pending.acknowledged.track();
            self.seen.origins.by_key.track();
            self.seen.streams.track();
            self.owed.track();
        } else {
            self.pending.ids.track_all();
            self.pending.acknowledged.track_all();
            self.seen.origins.by_key.track_all();
            self.seen.streams.track_all();
            self.owed.track_all();
        }
    }

    /// All of it, for a record that does not exist; `delta` is what was changed since the slot was made.
    pub fn whole(&mut self, delta: &Delta) -> (Saved, Delta) {
        self.track(false);
        let saved = Saved::nothing(delta.next);
        let whole = self.delta(&saved);
        (saved, whole)
    }

    /// What the record lacks. It counts as saved only when `saved` is told so.
    pub fn delta(&mut self, saved: &Saved) -> Delta {
        let mut delta = Delta { next: saved.next, ..Delta::default() };
        self.name_stanzas(saved, &mut delta);
        let next = delta.next;
        for session in &self.sessions {
            let identity = MadeOf::Identity(session.available.clone(), session.directed.clone());
            delta.whole(saved, Whole::Identity(session.id), identity, || parts::write_identity(session));
            let state = || parts::write_state(session);
            delta.whole(saved, Whole::State(session.id), MadeOf::Anything, state);
        }
        delta.touched(&mut self.pending.ids, by_id(tag::WAITS), |bytes| {
            small(|out| out.number(u64::from(*bytes)))
        });
        delta.touched(&mut self.pending.acknowledged, by_id(tag::DONE), |()| Vec::new());
        let origin = |(digest, side): (u128, u8)| {
            let mut name = named(tag::ORIGIN, &digest.to_be_bytes());
            name.push(side);
            name
        };
        delta.touched(&mut self.seen.origins.by_key, origin, |(id, at)| {
            small(|out| {
                out.id(*id);
                out.number(at.0);
            })
        });
        delta.origins = self.seen.origins.take_since();
        delta.touched(&mut self.seen.streams, by_session(tag::STREAM), parts::write_stream);
        delta.touched(&mut self.owed, by_id(tag::OWED), |stanza| small(|out| out.number(stanza.saved_as())));
        for owing in &self.farewells.0 {
            let which = Whole::Farewell(owing.farewell.session);
            delta.whole(saved, which, MadeOf::Anything, || parts::write_farewell(owing));
        }
        let lists = MadeOf::Lists(self.blocked.clone(), self.preferences.clone());
        delta.whole(saved, Whole::Lists, lists, || parts::write_lists(&self.blocked, &self.preferences));
        delta.whole(saved, Whole::Frame, MadeOf::Anything, || self.write_frame(next));
        for which in saved.whole.keys() {
            let is_over = match *which {
                Whole::Frame | Whole::Lists => false,
                Whole::Identity(id) | Whole::State(id) => self.session(id).is_none(),
                Whole::Farewell(id) => self.farewells.of(id).is_none(),
            };
            if is_over {
                delta.gone.push(which.name());
                delta.ended.push(*which);
            }
        }
        delta
    }

    /// Gives numbers to stanzas that have none, or of whose row something else is true now; finds those that lie nowhere.
    fn name_stanzas(&self, saved: &Saved, delta: &mut Delta) {
        for stanza in self.stanzas() {
            let (name, has_row) = (stanza.saved_as(), stanza.has_row());
            let is_new = (saved.next..delta.next).contains(&name);
            if is_new || saved.stanzas.get(&name).is_some_and(|(_, was)| *was == has_row) {
                continue;
            }
            let name = delta.next;
            delta.next += 1;
            stanza.saved_as.store(name, Ordering::Relaxed);
            delta.added.push((name, parts::write_stanza(stanza)));
            delta.stanzas.push((name, stanza.clone(), has_row));
        }
        for (name, (stanza, _)) in &saved.stanzas {
            if Arc::strong_count(stanza) == 1 || stanza.saved_as() != *name {
                delta.dropped.push(*name);
            }
        }
    }

    fn write_frame(&self, next: u64) -> Vec<u8> {
        let mut out = Out::with_room(160 + 32 * self.collected.len() + 48 * self.ended.len());
        out.byte(FORMAT);
        out.text(self.account.as_str());
        out.bits(&[self.exists, self.unsettled]);
        out.number(self.version);
        out.number(self.last);
        out.number(self.archived);
        out.number(next);
        self.pending.write(&mut out);
        out.list(self.collected.iter(), |out, id| out.id(*id));
        out.list(self.ended.iter(), |out, over| {
            out.wide(over.id.0);
            for number in [over.epoch.0, over.base.0, over.at.0] {
                out.number(number);
            }
            out.option(over.handled, |out, Handled(handled)| out.number(handled));
        });
        out.into_bytes()
    }

    /// The slot of a record, and what of it is saved. `known` is what was saved of the same record before: its stanzas
    /// need not be among `bodies`.
    pub fn load(
        account: &BareJid,
        fields: &[Field],
        bodies: &[Body],
        known: Option<&Saved>,
        now: Timestamp,
    ) -> Result<(Slot, Saved)> {
        let mut saved = Saved::default();
        for (name, (stanza, has_row)) in known.into_iter().flat_map(|known| &known.stanzas) {
            // A step that came to nothing may have said something else of it.
            stanza.saved_as.store(*name, Ordering::Relaxed);
            stanza.has_row.store(*has_row, Ordering::Relaxed);
            saved.stanzas.insert(*name, (stanza.clone(), *has_row));
        }
        for (name, value) in bodies {
            let stanza = parts::read_stanza(*name, value)?;
            let has_row = stanza.has_row();
            saved.stanzas.insert(*name, (Arc::new(stanza), has_row));
        }
        let stanzas: Stanzas =
            saved.stanzas.iter().map(|(name, (stanza, _))| (*name, stanza.clone())).collect();
        let slot = Reader { account, stanzas, fields: Fields::new(fields) }.read(&mut saved, now)?;
        let named: BTreeSet<u64> = slot.stanzas().map(|stanza| stanza.saved_as()).collect();
        saved.stanzas.retain(|name, _| named.contains(name));
        Ok((slot, saved))
    }

    /// Origin-ids are those of the slot as it was before `unwritten`, which came to nothing: the fields were read without them. Where the
    /// record has others, too, a field of it that is to be written stands there already.
    pub fn recall(&mut self, former: Slot, unwritten: Delta) {
        self.seen.origins = former.seen.origins.before(unwritten.origins);
    }

    /// Whether the record may have origin-ids that are not known here.
    pub fn is_partial(&self) -> bool {
        self.seen.origins.is_partial()
    }

    /// Whether what was asked since depends on those.
    pub fn has_missed(&self) -> bool {
        self.seen.origins.has_missed()
    }

    /// All that lie somewhere.
    fn stanzas(&self) -> impl Iterator<Item = &Arc<Stanza>> {
        let queued = self.sessions.iter().flat_map(Session::queued).map(|logged| &logged.stanza);
        queued.chain(self.owed.values())
    }
}

/// The fields of a record by what they keep.
struct Fields<'a>(BTreeMap<u8, Vec<Pair<'a>>>);

/// The rest of a name, and what the field holds.
type Pair<'a> = (&'a [u8], &'a [u8]);

impl<'a> Fields<'a> {
    fn new(fields: &'a [Field]) -> Fields<'a> {
        let mut sorted: BTreeMap<u8, Vec<_>> = BTreeMap::new();
        for (name, value) in fields {
            if let Some((tag, key)) = name.split_first() {
                sorted.entry(*tag).or_default().push((key, value.as_slice()));
            }
        }
        Fields(sorted)
    }
    fn of(&self, tag: u8) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + '_ {
        self.0.get(&tag).into_iter().flatten().copied()
    }
    fn one(&self, tag: u8) -> Result<&'a [u8]> {
        self.of(tag).next().map(|(_, value)| value).ok_or(CORRUPT)
    }
    fn by<K: Ord, V, C: FromIterator<(K, V)>>(
        &self,
        tag: u8,
        key: impl Fn(&mut In<'a>) -> Result<K>,
        value: impl Fn(&'a [u8]) -> Result<V>,
    ) -> Result<C> {
        self.of(tag).map(|(name, held)| Ok((key(&mut read(name))?, value(held)?))).collect()
    }
}

struct Reader<'a> {
    account: &'a BareJid,
    stanzas: Stanzas,
    fields: Fields<'a>,
}

impl Reader<'_> {
    fn read(&self, saved: &mut Saved, now: Timestamp) -> Result<Slot> {
        let lists = self.fields.one(tag::LISTS)?;
        let (blocked, preferences) = parts::read_lists(lists)?;
        let mut slot = Slot::new(self.account.clone(), crate::Facts::default(), 0, now);
        (slot.blocked, slot.preferences) = (Arc::new(blocked), Arc::new(preferences));
        let session = |value: &mut In<'_>| value.wide().map(SessionId);
        slot.owed.extend(self.fields.by::<_, _, Vec<_>>(tag::OWED, In::id, |value| {
            Ok(self.stanzas.get(&read(value).number()?).ok_or(CORRUPT)?.clone())
        })?);
        let streams: Vec<_> =
            self.fields.by(tag::STREAM, session, |value| parts::read_stream(value, &self.stanzas))?;
        let origins: Vec<_> = self.fields.by(
            tag::ORIGIN,
            |name| Ok((name.wide()?, name.byte()?)),
            |value| {
                let mut value = read(value);
                Ok((value.id()?, value.timestamp()?))
            },
        )?;
        slot.seen.streams.extend(streams);
        slot.seen.origins = Origins::restore(origins);
        self.read_frame(&mut slot, saved)?;
        let states: BTreeMap<_, _> = self.fields.by(tag::STATE, session, Ok)?;
        for (id, who) in self.fields.by::<_, _, Vec<_>>(tag::IDENTITY, session, Ok)? {
            let state = states.get(&id).ok_or(CORRUPT)?;
            let session = parts::read_session(id, who, state, &self.stanzas)?;
            let made_of = MadeOf::Identity(session.available.clone(), session.directed.clone());
            saved.whole.insert(Whole::Identity(id), Held::new(who, made_of));
            slot.sessions.push(session);
        }
        slot.sessions.sort_by_key(|session| session.since); // in the order of binding
        for (id, value) in self.fields.by::<_, _, Vec<_>>(tag::FAREWELL, session, Ok)? {
            saved.whole.insert(Whole::Farewell(id), Held::new(value, MadeOf::Anything));
            slot.farewells.0.push(parts::read_farewell(id, value)?);
        }
        slot.farewells.0.sort_by_key(|owing| owing.late);
        slot.track(true);
        let lists_of = MadeOf::Lists(slot.blocked.clone(), slot.preferences.clone());
        saved.whole.insert(Whole::Lists, Held::new(lists, lists_of));
        saved.whole.insert(Whole::Frame, Held::new(self.fields.one(tag::FRAME)?, MadeOf::Anything));
        for (id, value) in states {
            saved.whole.insert(Whole::State(id), Held::new(value, MadeOf::Anything));
        }
        Ok(slot)
    }

    fn read_frame(&self, slot: &mut Slot, saved: &mut Saved) -> Result<()> {
        let mut value = read(self.fields.one(tag::FRAME)?);
        if value.byte()? != FORMAT || value.text()? != self.account.as_str() {
            return Err(CORRUPT);
        }
        [slot.exists, slot.unsettled] = value.bits()?;
        (slot.version, slot.last) = (value.number()?, value.number()?);
        slot.archived = value.number()?;
        slot.archived_saved = slot.archived;
        saved.next = value.number()?;
        let waits: Vec<_> = self.fields.by(tag::WAITS, In::id, |value| {
            read(value).number().map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX))
        })?;
        let done: Vec<(ArchiveId, ())> = self.fields.by(tag::DONE, In::id, |_| Ok(()))?;
        slot.pending = Pending::read(&mut value, waits, done)?;
        slot.collected = value.list(In::id)?;
        slot.ended = value.list(|value| {
            let (id, epoch) = (SessionId(value.wide()?), Epoch(value.number()?));
            let (base, at) = (Handled(value.number()?), value.timestamp()?);
            Ok(Over { id, epoch, base, at, handled: value.option(In::number)?.map(Handled) })
        })?;
        value.end()
    }
}
