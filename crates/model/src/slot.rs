//! The record of the receiving account, and its steps: each is one compare-and-swap in Redis.

use std::collections::{BTreeMap, BTreeSet};

use crate::Cut;
use crate::state::{Key, Owner, Push};

/// A counted number: of a stanza on its stream, of an entry in its log.
pub type Num = u8;

/// A message: who sent it, and which of its messages it is. What both retries of a message have in common.
pub type Msg = (u8, u8);

/// The number that grows, and what stands for the random bits: it falls with each incarnation of Redis, the worst of luck.
pub type Id = (u8, u8);

/// A message in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entry {
    pub id: Id,
    pub msg: Msg,
    /// It comes with a `<delay/>`: no order is promised for it.
    pub is_late: bool,
}

/// What was committed under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    pub epoch: u8,
    pub body: u8,
    pub id: Id,
}

/// The account.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The incarnation of Redis that it was last verified under (rule 8).
    pub verified: u8,
    /// Of the view: decisions depend on it.
    pub version: u8,
    /// How often the record was written: what a compare-and-swap compares.
    pub written: u8,
    /// The last id that was given out.
    pub last: u8,
    pub owed: BTreeMap<Id, Msg>,
    pub seen: BTreeMap<Key, Seen>,
    pub origins: BTreeMap<Msg, Id>,
    pub pending: BTreeMap<Id, Msg>,
    /// Acknowledged by a device.
    pub done: BTreeSet<Id>,
    pub sessions: Vec<Option<Session>>,
}

/// One device's session.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    pub stream: u8,
    pub epoch: u8,
    pub life: Life,
    /// The log begins behind this number.
    pub acked: Num,
    pub log: Vec<Entry>,
    pub backlog: Option<Backlog>,
}

/// Who holds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Life {
    /// A manager.
    Attached,
    /// Nobody: its client may come back.
    Waiting,
    /// Redis came back older: nobody has said yet that it holds it (rule 9).
    Unknown,
}

/// Where a session stands that gets its messages from the store (rule 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Backlog {
    pub after: Id,
    /// Up to here it gets only what still waits.
    pub before: u8,
}

/// What a step needs beside the record.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub without: Option<Cut>,
    /// How many entries a log takes.
    pub window: u8,
    pub incarnation: u8,
    /// The clock of this incarnation goes right: ids rise with it, whatever was forgotten.
    pub clock: u8,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Its id, who has it, and whom the decision named.
    Done { id: Id, handed: Vec<Push>, named: Vec<u8> },
    /// It was committed before.
    Seen { id: Id, handed: Vec<Push> },
    /// By a former owner, another content: nothing is written.
    Fenced,
}

impl Session {
    pub(crate) fn highest(&self) -> Num {
        self.acked + self.log.len() as Num
    }

    pub(crate) fn holds(&self, id: Id) -> bool {
        self.log.iter().any(|entry| entry.id == id)
    }

    pub(crate) fn has_room(&self, cx: Context) -> bool {
        self.log.len() < usize::from(cx.window)
    }

    fn owner(&self, device: u8) -> Owner {
        Owner { device, stream: self.stream, epoch: self.epoch }
    }
}

impl Slot {
    /// Of an account with nothing in it.
    pub(crate) fn new(verified: u8, devices: usize) -> Slot {
        Slot {
            verified,
            version: 0,
            written: 0,
            last: 0,
            owed: BTreeMap::new(),
            seen: BTreeMap::new(),
            origins: BTreeMap::new(),
            pending: BTreeMap::new(),
            done: BTreeSet::new(),
            sessions: vec![None; devices],
        }
    }

    /// Whom a message to the bare address goes to.
    pub(crate) fn plan(&self) -> Vec<u8> {
        let takes = |session: &Option<Session>| session.as_ref().is_some_and(|one| one.life != Life::Unknown);
        (0u8..).zip(&self.sessions).filter(|(_, session)| takes(session)).map(|(device, _)| device).collect()
    }

    /// The session under this claim; a former owner finds nothing (rule 21), nor does anybody before it is registered again.
    pub(crate) fn owned_mut(&mut self, by: Owner) -> Option<&mut Session> {
        let session = self.sessions.get_mut(usize::from(by.device))?.as_mut();
        let is_owned = |one: &&mut Session| {
            one.life != Life::Unknown && one.stream == by.stream && one.epoch == by.epoch
        };
        session.filter(is_owned)
    }

    pub(crate) fn commit(&mut self, cx: Context, key: Key, epoch: u8, body: u8, targets: &[u8]) -> Committed {
        let msg = (key.0, body);
        if let Some(seen) = self.seen.get(&key).filter(|_| cx.without != Some(Cut::RetriesNotSeen)) {
            if seen.body == body || cx.without == Some(Cut::SeenByNumberAlone) {
                return Committed::Seen { id: seen.id, handed: self.held(seen.id) };
            }
            if epoch <= seen.epoch {
                return Committed::Fenced;
            }
        }
        let origin = self.origins.get(&msg).filter(|_| cx.without != Some(Cut::OriginsNotSeen));
        if let Some(id) = origin.copied() {
            return Committed::Seen { id, handed: self.held(id) };
        }
        self.last = (self.last + 1).max(cx.clock);
        let id = (self.last, u8::MAX - cx.incarnation);
        self.seen.insert(key, Seen { epoch, body, id });
        if cx.without != Some(Cut::RetriesNotSeen) {
            self.origins.insert(msg, id);
        }
        self.pending.insert(id, msg);
        self.owed.insert(id, msg);
        let (mut handed, mut named) = (Vec::new(), Vec::new());
        for device in targets {
            let Some(session) = self.sessions[usize::from(*device)].as_mut() else { continue };
            named.push(*device);
            handed.extend(offer(session, cx, *device, Entry { id, msg, is_late: false }));
        }
        if cx.without == Some(Cut::HandedIsDone) && !handed.is_empty() {
            self.pending.remove(&id);
            self.done.insert(id);
        }
        Committed::Done { id, handed, named }
    }

    /// In which logs of attached sessions the message lies.
    pub(crate) fn held(&self, id: Id) -> Vec<Push> {
        let mut held = Vec::new();
        for (device, session) in (0u8..).zip(&self.sessions) {
            let Some(session) = session.as_ref().filter(|session| session.life == Life::Attached) else {
                continue;
            };
            let numbered = (session.acked + 1..).zip(&session.log).filter(|(_, entry)| entry.id == id);
            held.extend(
                numbered.map(|(num, entry)| Push { to: session.owner(device), what: Some((num, *entry)) }),
            );
        }
        held
    }

    /// What was found in the store behind the backlog of a session.
    pub(crate) fn absorb(&mut self, cx: Context, by: Owner, rows: &[(Id, Msg)], last: u8) {
        let mut is_finished = last == self.last || cx.without == Some(Cut::SwitchUnchecked);
        for (id, msg) in rows {
            let wants = self.wants(cx, by, *id);
            let Some(session) = self.owned_mut(by) else { return };
            let Some(backlog) = session.backlog.filter(|backlog| backlog.after < *id) else { continue };
            if wants {
                if !session.has_room(cx) {
                    is_finished = false;
                    break;
                }
                session.log.push(Entry { id: *id, msg: *msg, is_late: id.0 <= backlog.before });
            }
            session.backlog = Some(Backlog { after: *id, ..backlog });
        }
        if let Some(session) = self.owned_mut(by).filter(|_| is_finished) {
            session.backlog = None;
        }
    }

    fn wants(&self, cx: Context, by: Owner, id: Id) -> bool {
        let Some(session) = &self.sessions[usize::from(by.device)] else { return false };
        let Some(backlog) = session.backlog else { return false };
        if session.holds(id) {
            return false;
        }
        // What was committed under another incarnation and not found when this one was verified is no commit any more.
        let is_orphan = id.1 != u8::MAX - self.verified && !self.pending.contains_key(&id);
        if is_orphan && cx.without != Some(Cut::OrphansHandedOut) {
            return false;
        }
        if id.0 > backlog.before && cx.without != Some(Cut::AckStarvesOthers) {
            return true;
        }
        let elsewhere = |other: &&Session| other.life == Life::Attached && other.holds(id);
        self.pending.contains_key(&id)
            && (id.0 > backlog.before || !self.sessions.iter().flatten().any(|other| elsewhere(&other)))
    }

    /// The client has everything up to `upto`. The first device's acknowledgement ends the wait (rule 16).
    pub(crate) fn trim(&mut self, by: Owner, upto: Num) {
        let Some(session) = self.owned_mut(by) else { return };
        let count = usize::from(upto.saturating_sub(session.acked)).min(session.log.len());
        let gone: Vec<Entry> = session.log.drain(..count).collect();
        session.acked += gone.len() as Num;
        gone.iter().for_each(|entry| self.acknowledge(entry.id));
    }

    pub(crate) fn acknowledge(&mut self, id: Id) {
        if self.pending.remove(&id).is_some() {
            self.done.insert(id);
        }
    }

    /// Whether what was committed under this id is here, or was (rule 8).
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.pending.contains_key(&id)
            || self.done.contains(&id)
            || self.seen.values().any(|seen| seen.id == id)
    }

    /// A device signs in: what waits comes first.
    pub(crate) fn bind(&mut self, cx: Context, device: u8, stream: u8) {
        self.end(cx, device);
        let before = self.last;
        let backlog = self.pending.keys().next().map(|first| Backlog { after: below(*first), before });
        let life = Life::Attached;
        let session = Session { stream, epoch: 1, life, acked: 0, log: Vec::new(), backlog };
        self.sessions[usize::from(device)] = Some(session);
        self.version += 1;
    }

    /// A session is over: what only it held goes to the others (rule 18). Returns what is to be pushed.
    pub(crate) fn end(&mut self, cx: Context, device: u8) -> Vec<Push> {
        let Some(session) = self.sessions[usize::from(device)].take() else { return Vec::new() };
        self.version += 1;
        if cx.without == Some(Cut::EstateForgotten) {
            return Vec::new();
        }
        let left = session.log.iter().filter(|entry| self.pending.contains_key(&entry.id)).copied();
        let left: Vec<Entry> = left.collect();
        left.into_iter().flat_map(|entry| self.bequeath(cx, entry)).collect()
    }

    fn bequeath(&mut self, cx: Context, entry: Entry) -> Vec<Push> {
        let (last, id) = (self.last, entry.id);
        let mut handed = Vec::new();
        for (device, session) in (0u8..).zip(&mut self.sessions) {
            let Some(session) = session.as_mut().filter(|session| session.life != Life::Unknown) else {
                continue;
            };
            if session.holds(id) || session.backlog.is_some_and(|backlog| backlog.after < id) {
                continue;
            }
            if session.life == Life::Attached && session.has_room(cx) {
                session.log.push(Entry { is_late: true, ..entry });
                let (num, entry) = (session.highest(), Entry { is_late: true, ..entry });
                handed.push(Push { to: session.owner(device), what: Some((num, entry)) });
            } else if session.backlog.is_none() || cx.without != Some(Cut::PassedNotRead) {
                // One that has read past it reads again: what it holds or has acknowledged is not taken twice.
                let before = session.backlog.map_or(last, |backlog| backlog.before.max(backlog.after.0));
                session.backlog = Some(Backlog { after: below(id), before });
                handed.push(Push { to: session.owner(device), what: None });
            }
        }
        handed
    }

    /// Redis is not what it was: what is durable says what is so (rule 8).
    pub(crate) fn verify(&mut self, cx: Context, rows: &BTreeMap<Id, (Msg, Key)>, position: &BTreeSet<Id>) {
        self.verified = cx.incarnation;
        if cx.without != Some(Cut::LastNotRaised) {
            let highest = rows.keys().map(|id| id.0).max().unwrap_or(0);
            self.last = self.last.max(highest);
        }
        if cx.without != Some(Cut::RowsNotReturned) {
            let waits = rows.iter().filter(|(id, _)| !position.contains(id) && !self.done.contains(id));
            let waits: Vec<(Id, Msg)> = waits.map(|(id, (msg, _))| (*id, *msg)).collect();
            self.pending.extend(waits);
        }
        if cx.without != Some(Cut::KeysNotInRows) {
            for (id, (msg, key)) in rows {
                self.origins.entry(*msg).or_insert(*id);
                self.seen.entry(*key).or_insert(Seen { epoch: 0, body: msg.1, id: *id });
            }
        }
        if cx.without != Some(Cut::UnheldIsResumed) {
            self.sessions.iter_mut().flatten().for_each(|session| session.life = Life::Unknown);
        }
        self.version += 1;
    }
}

fn offer(session: &mut Session, cx: Context, device: u8, entry: Entry) -> Option<Push> {
    let is_attached = session.life == Life::Attached;
    if session.backlog.is_some() {
        return None;
    }
    if is_attached && session.has_room(cx) {
        session.log.push(entry);
        return Some(Push { to: session.owner(device), what: Some((session.highest(), entry)) });
    }
    session.backlog = Some(Backlog { after: below(entry.id), before: 0 });
    is_attached.then(|| Push { to: session.owner(device), what: None })
}

/// Just below an id.
pub(crate) fn below(id: Id) -> Id {
    (id.0 - 1, u8::MAX)
}
