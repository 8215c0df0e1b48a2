//! Histories, one or more for each rule of the session log that concerns one process.

mod ends;
mod farewells;
mod lives;
mod loss;
mod queues;
mod retries;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use starling_jid::{BareJid, FullJid, Jid};
use starling_ports::archive::{Direction, Row, Table};
use starling_ports::delivery::{Copy, Entry, Outgoing};
use starling_ports::ids::{ArchiveId, Epoch, Handled, Life, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::position::Position;
use starling_ports::sessions::{
    Availability, Bind, Change, Changed, CommitReply, Flags, Keep, Origin, Outcome, Planned, Portrait,
    Registration, Role, SenderKey, SmBase,
};
use starling_stanza::Wire;

use crate::{Context, Estate, Facts, Limits, Need, Owed, Saved, Scan, Slot};

/// A slot with its store, both in memory. After each step the slot is saved and read again, so that all these histories
/// are told of what was saved too.
struct World {
    slot: Slot,
    limits: Limits,
    now: Timestamp,
    stored: Vec<(Table, Row)>,
    bits: u64,
    is_failing: bool,
    saved: Saved,
    steps: usize,
    fields: BTreeMap<Vec<u8>, Vec<u8>>,
    bodies: BTreeMap<u64, Vec<u8>>,
}

/// Fields and bodies of a record.
type Record = (BTreeMap<Vec<u8>, Vec<u8>>, BTreeMap<u64, Vec<u8>>);

const ALICE: SessionId = SessionId(7);

fn world() -> World {
    let limits = Limits {
        stanzas: 10,
        bytes: 100_000,
        resume_within: Duration::from_secs(300),
        owed_for: Duration::from_secs(5),
    };
    let account = BareJid::new("bob@example.org").unwrap();
    let facts = Facts { exists: true, ..Facts::default() };
    let now = Timestamp(1_000_000);
    let mut slot = Slot::new(account, facts, 1, now);
    slot.track(false);
    World {
        slot,
        limits,
        now,
        stored: Vec::new(),
        bits: 0,
        is_failing: false,
        saved: Saved::nothing(1),
        steps: 0,
        fields: BTreeMap::new(),
        bodies: BTreeMap::new(),
    }
}

impl World {
    fn step<T>(&mut self, act: impl FnOnce(&mut Slot, &mut Context<'_>) -> T) -> T {
        let bits = &mut self.bits;
        let mut random = || {
            *bits += 1;
            *bits
        };
        let (now, is_failing) = (self.now, self.is_failing);
        let mut context = Context { now, clock: now, limits: &self.limits, is_failing, random: &mut random };
        let done = act(&mut self.slot, &mut context);
        self.save();
        done
    }

    /// Writes what has changed, and goes on with what was written.
    fn save(&mut self) {
        let delta = self.slot.delta(&self.saved);
        self.fields.extend(delta.set.iter().cloned());
        delta.gone.iter().for_each(|name| drop(self.fields.remove(name)));
        self.bodies.extend(delta.added.iter().cloned());
        delta.dropped.iter().for_each(|name| assert!(self.bodies.remove(name).is_some()));
        self.saved.confirm(delta);
        self.steps += 1;
        if self.fields.len() > 200 && !self.steps.is_multiple_of(self.fields.len().next_multiple_of(500)) {
            return; // reading much takes long
        }
        let fields: Vec<_> = self.fields.clone().into_iter().collect();
        // Every other time by somebody who knows nothing of it.
        let known = Some(&self.saved).filter(|_| self.bits.is_multiple_of(2));
        let bodies: Vec<_> = match known {
            Some(_) => Vec::new(),
            None => self.bodies.clone().into_iter().collect(),
        };
        let (slot, saved) = Slot::load(self.slot.account(), &fields, &bodies, known, self.now).unwrap();
        assert_eq!(saved.next, self.saved.next);
        assert!(saved.stanzas.keys().collect::<BTreeSet<_>>().into_iter().eq(self.bodies.keys()));
        let life = self.slot.life;
        (self.slot, self.saved) = (slot, saved);
        self.slot.live_in(life); // as whoever loads it does
        let again = self.slot.delta(&self.saved);
        assert!(again.is_empty(), "what was read is what was written: {again:?}");
    }

    fn record(&self) -> Record {
        (self.fields.clone(), self.bodies.clone())
    }

    /// Read by somebody who knows nothing of it.
    fn go_back(&mut self, record: Record) {
        (self.fields, self.bodies) = record;
        let fields: Vec<_> = self.fields.clone().into_iter().collect();
        let bodies: Vec<_> = self.bodies.clone().into_iter().collect();
        (self.slot, self.saved) = Slot::load(self.slot.account(), &fields, &bodies, None, self.now).unwrap();
    }

    fn bind(&mut self, resource: &str) -> SessionId {
        let jid = FullJid::new(&format!("bob@example.org/{resource}")).unwrap();
        self.step(|slot, context| slot.bind(context, Bind { jid, node: NodeId::default() })).0
    }

    fn change(&mut self, id: SessionId, change: Change) -> Changed {
        let epoch = self.epoch(id);
        self.step(|slot, context| slot.change(context, id, epoch, change))
    }

    /// A session that is available.
    fn online(&mut self, resource: &str) -> SessionId {
        let id = self.bind(resource);
        self.change(id, Change::Presence(Some(available(0))));
        id
    }

    /// A session that is available and may be resumed.
    fn resumable(&mut self, resource: &str) -> SessionId {
        let id = self.bind(resource);
        self.change(id, Change::EnableSm { resume: Some(Duration::from_secs(300)), base: SmBase::default() });
        self.change(id, Change::Presence(Some(available(0))));
        id
    }

    fn epoch(&self, id: SessionId) -> Epoch {
        self.slot.session(id).unwrap().epoch
    }

    fn try_commit(&mut self, planned: Planned) -> CommitReply {
        let version = self.slot.view().version;
        self.step(|slot, context| slot.commit(context, version, vec![planned], None))
    }

    /// Commits and stores.
    fn commit(&mut self, planned: Planned) -> Outcome {
        let reply = self.try_commit(planned);
        let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
        self.store();
        outcomes.into_iter().next().unwrap()
    }

    fn store(&mut self) {
        let ids = self.put_owed();
        self.slot.settle(&ids, None);
        self.save();
    }

    /// Stores what is owed; the slot hears nothing of it.
    fn put_owed(&mut self) -> Vec<ArchiveId> {
        let owed = self.slot.owed();
        let ids = owed.iter().map(|owed| owed.row.id).collect();
        owed.into_iter().for_each(|Owed { table, row }| self.put(table, row));
        ids
    }

    fn put(&mut self, table: Table, row: Row) {
        if let Err(at) = self.stored.binary_search_by_key(&row.id, |(_, row)| row.id) {
            self.stored.insert(at, (table, row));
        }
    }

    fn pull(&mut self, id: SessionId, after: u64, limit: usize) -> (Vec<Entry>, bool) {
        let epoch = self.epoch(id);
        for _ in 0..100 {
            let limits = self.limits.clone();
            let from = match self.slot.pull(&limits, id, epoch, LogNumber(after), limit) {
                Need::Ready(pulled) => return (pulled.entries, pulled.more),
                Need::Page(from) => from,
            };
            let last = self.slot.last();
            let asked = |(_, row): &&(Table, Row)| row.id.number > from && row.id.number <= last;
            let rest: Vec<_> = self.stored.iter().filter(asked).cloned().collect();
            let rows = rest.iter().take(4).cloned().collect();
            let scan = Scan { rows, complete: rest.len() <= 4, last };
            let absorb = |slot: &mut Slot, context: &mut Context<'_>| {
                slot.absorb(context, id, epoch, scan, LogNumber(after), limit)
            };
            if let Some(pulled) = self.step(absorb) {
                return (pulled.entries, pulled.more);
            }
        }
        panic!("a pull that never ends")
    }

    fn acknowledge(&mut self, id: SessionId, upto: u64) -> bool {
        let epoch = self.epoch(id);
        let known = self.slot.acknowledge(id, epoch, LogNumber(upto));
        self.save();
        known
    }

    fn end(&mut self, id: SessionId) -> Estate {
        let estate = self.step(|slot, context| slot.end(context, id)).unwrap();
        self.store();
        estate
    }

    fn waiting(&mut self) -> usize {
        self.slot.pending.len()
    }
}

fn available(priority: i8) -> Arc<Availability> {
    Arc::new(Availability { priority, presence: wire("presence", "") })
}

fn wire(name: &str, body: &str) -> Wire {
    Wire::from_bytes(format!("<{name} from='alice@example.org/desk'>{body}").into_bytes().into()).unwrap()
}

/// A message to the bare JID that is kept.
fn message(number: u64, targets: &[SessionId]) -> Planned {
    Planned {
        key: Some(SenderKey {
            session: ALICE,
            epoch: Epoch(1),
            number,
            role: Role::Receive,
            handled: Handled(0),
        }),
        hash: number,
        origin: None,
        wire: wire("message", &number.to_string()),
        keep: Some(Keep {
            with: BareJid::new("alice@example.org").unwrap(),
            direction: Direction::Received,
            resource: None,
            deliverable: true,
            copied: true,
            table: Table::Archive,
            only_if_nobody: false,
        }),
        targets: targets.iter().map(|id| (*id, Copy::Original)).collect(),
        urgent: true,
        coalesce: None,
    }
}

/// What is never stored.
fn passing(number: u64, name: &str, targets: &[SessionId]) -> Planned {
    Planned {
        wire: wire(name, &number.to_string()),
        keep: None,
        urgent: name == "iq",
        ..message(number, targets)
    }
}

fn presence(number: u64, from: &str, targets: &[SessionId]) -> Planned {
    Planned { coalesce: Some(Jid::new(from).unwrap()), ..passing(number, "presence", targets) }
}

fn handed(outcome: &Outcome) -> Vec<u64> {
    let (Outcome::Done { handed, .. } | Outcome::Seen { handed, .. }) = outcome else { return Vec::new() };
    handed.iter().map(|handed| handed.entry.number.0).collect()
}

fn bodies(entries: &[Entry]) -> Vec<String> {
    let text = |entry: &Entry| {
        let bytes = entry.committed.wire.as_bytes();
        String::from_utf8_lossy(bytes).rsplit('>').next().unwrap().to_owned()
    };
    entries.iter().map(text).collect()
}

fn inactive(inactive: bool) -> Change {
    Change::Flags(Flags { inactive, ..Flags::default() })
}

fn with_origin(digest: u128, planned: Planned) -> Planned {
    Planned { origin: Some(Origin { digest }), ..planned }
}

/// What a node says of an available session in which nothing has happened.
fn held(session: SessionId, resource: &str, epoch: Epoch) -> Registration {
    Registration {
        session,
        jid: FullJid::new(&format!("bob@example.org/{resource}")).unwrap(),
        node: NodeId::default(),
        epoch,
        life: Life(1),
        token: 1,
        portrait: Portrait { available: Some(available(0)), ..Portrait::default() },
        resume: Some(Duration::from_secs(300)),
        base: SmBase::default(),
        handled: Handled(0),
        acknowledged: LogNumber(0),
        entries: Vec::new(),
        done: Position::default(),
    }
}

/// A message as its node has it.
fn outgoing(number: u64, wire: &Wire, id: Option<ArchiveId>) -> Outgoing {
    let (number, wire) = (LogNumber(number), wire.clone());
    Outgoing { number, wire, more: Bytes::new(), address: true, late: false, id, trace: None }
}
