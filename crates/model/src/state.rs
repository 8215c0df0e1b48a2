//! The state of the model: two stores, clients with their managers, and what is under way between them.

use std::collections::{BTreeMap, BTreeSet};

use crate::Faults;
use crate::address::Address;
use crate::presence::Presence;
use crate::slot::{Entry, Id, Msg, Num, Slot};

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub redis: Redis,
    /// What Redis comes back with when it has lost its last writes.
    pub older: Option<Box<Redis>>,
    pub cql: Cql,
    pub senders: Vec<Sender>,
    pub devices: Vec<Device>,
    /// What routers are doing for senders, in the order of its beginning: also those that nobody waits for any more.
    pub ops: Vec<Op>,
    pub pulls: BTreeSet<Pull>,
    pub pushes: BTreeSet<Push>,
    /// On their way: a connection is lost.
    pub detaches: BTreeSet<Owner>,
    pub reader: Reader,
    /// In a world that is about it alone.
    pub presence: Presence,
    /// The same.
    pub address: Address,
    /// How many faults of each kind may still happen.
    pub left: Faults,
    pub ghost: Ghost,
}

/// The records. A missing one says nothing about its account (rule 9).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Redis {
    pub incarnation: u8,
    pub bob: Option<Slot>,
    pub senders: Vec<Option<Outward>>,
}

/// The record of a sender's session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Outward {
    pub verified: u8,
    pub stream: u8,
    pub epoch: u8,
    pub is_over: bool,
    /// How many of its stanzas are handled.
    pub h: Num,
    /// Its own copies, committed and not stored.
    pub owed: BTreeSet<u8>,
}

/// What is durable.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Cql {
    /// The archive of the receiver; with each row the key under which its stanza was seen.
    pub rows: BTreeMap<Id, Row>,
    /// Deleted, with a timestamp: an older write has no effect.
    pub deleted: BTreeSet<Id>,
    /// Writes that come late.
    pub late: BTreeMap<Id, Row>,
    /// The senders' own copies.
    pub own: BTreeSet<Msg>,
    /// What is acknowledged, as saved last.
    pub position: BTreeSet<Id>,
}

/// A row of the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Row {
    pub msg: Msg,
    pub key: Key,
}

/// Which stanza it is: sender, stream, number.
pub type Key = (u8, u8, Num);

/// A client that sends.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sender {
    /// The next body that it writes.
    pub next: u8,
    /// What was sent on this stream and not acknowledged.
    pub unacked: Vec<u8>,
    /// The `h` that it was told.
    pub told: Num,
    pub stream: u8,
    pub lane: Option<Lane>,
}

/// Its connection, as a manager holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    pub epoch: u8,
    /// Which link it goes by: answers of former ones do not arrive.
    pub link: u8,
    pub handled: Num,
    /// Read from the client, not answered by a router: the first has the number `handled + 1`.
    pub inbox: Vec<u8>,
    /// How many of it are with the router.
    pub submitted: u8,
}

/// What a router does with a batch of one lane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Op {
    pub sender: u8,
    pub stream: u8,
    pub epoch: u8,
    pub link: u8,
    pub first: Num,
    pub bodies: Vec<u8>,
    pub stage: Stage,
    /// What it is to store.
    pub rows: Vec<(Id, Row)>,
    /// Of Redis, when it was committed.
    pub incarnation: u8,
    /// On which version of the view it was decided, and who gets it.
    pub plan: Option<(u8, Vec<u8>)>,
    /// The record as it was read, for the compare-and-swap.
    pub copy: Option<Box<(u8, Slot)>>,
    pub handed: Vec<Push>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    Commit,
    Store,
    Settle,
    Save,
    StoreOwn,
    Reply,
    Over,
}

/// A session by one claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    pub device: u8,
    pub stream: u8,
    pub epoch: u8,
}

/// An entry on its way to a manager; without one it only says that something waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Push {
    pub to: Owner,
    pub what: Option<(Num, Entry)>,
}

/// A pull under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pull {
    pub by: Owner,
    pub stage: Pulling,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pulling {
    Absorb { rows: Vec<(Id, Msg)>, last: u8 },
    Answer { entries: Vec<(Num, Entry)>, more: bool },
}

/// A client that receives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    pub stream: u8,
    /// On this stream, in this order.
    pub received: Vec<Entry>,
    pub pump: Option<Pump>,
    /// It does not come back.
    pub is_away: bool,
    /// Its manager lives and has not renewed its lease since the last outage.
    pub is_lapsed: bool,
}

/// Its connection, as a manager holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pump {
    pub epoch: u8,
    /// The number of the last entry that came.
    pub last: Num,
    /// Up to here the client has acknowledged.
    pub heard: Num,
    /// What it has not acknowledged.
    pub kept: Vec<(Num, Entry)>,
    /// How many of these are written.
    pub written: u8,
    pub is_behind: bool,
    /// The log gives nothing more until something is acknowledged.
    pub is_blocked: bool,
    /// Of Redis, at its last renewal.
    pub incarnation: u8,
}

/// Somebody who pages through the archive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Reader {
    /// Read up to here.
    pub mark: Option<Id>,
    pub read: BTreeSet<Id>,
    /// A page is under way, up to this number.
    pub upto: Option<u8>,
}

/// What only the model knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Ghost {
    /// Acknowledged to their senders.
    pub acked: BTreeSet<Msg>,
    /// Received by a device, ever.
    pub got: BTreeSet<Msg>,
    /// Which entry has which number, for each device on its present stream.
    pub numbered: Vec<BTreeMap<Num, Id>>,
    /// Whom a decision has named: device, stream, message.
    pub named: BTreeSet<(u8, u8, Msg)>,
    /// The highest number that was ever given out: what a clock that goes right is beyond.
    pub highest: u8,
    /// Given up by their senders.
    pub given_up: BTreeSet<Msg>,
    /// Sessions that have ended, and whose contacts know it: device, stream.
    pub ended: BTreeSet<(u8, u8)>,
    pub is_gone: bool,
    pub is_numbered_twice: bool,
    pub is_h_fallen: bool,
}

impl State {
    pub(crate) fn owner(&self, device: u8) -> Option<Owner> {
        let one = self.devices.get(usize::from(device))?;
        let epoch = one.pump.as_ref()?.epoch;
        Some(Owner { device, stream: one.stream, epoch })
    }

    /// The receiver's record, if it may be used: it is there, and of this incarnation of Redis.
    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.redis.bob.as_ref().filter(|slot| slot.verified == self.redis.incarnation)
    }

    pub(crate) fn slot_mut(&mut self) -> Option<&mut Slot> {
        let incarnation = self.redis.incarnation;
        self.redis.bob.as_mut().filter(|slot| slot.verified == incarnation)
    }

    /// The same for a sender's.
    pub(crate) fn outward(&self, sender: u8) -> Option<&Outward> {
        let record = self.redis.senders.get(usize::from(sender))?.as_ref();
        record.filter(|record| record.verified == self.redis.incarnation)
    }

    pub(crate) fn outward_mut(&mut self, sender: u8) -> Option<&mut Outward> {
        let incarnation = self.redis.incarnation;
        let record = self.redis.senders.get_mut(usize::from(sender))?.as_mut();
        record.filter(|record| record.verified == incarnation)
    }
}

impl Cql {
    /// Writes a row; a deleted one stays deleted where writes carry the slot's timestamps (rule 14).
    pub(crate) fn write(&mut self, id: Id, row: Row, is_timed: bool) {
        if !(is_timed && self.deleted.contains(&id)) {
            self.rows.insert(id, row);
        }
    }

    pub(crate) fn delete(&mut self, id: Id) {
        self.rows.remove(&id);
        self.deleted.insert(id);
    }
}
