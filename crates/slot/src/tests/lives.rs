//! Random histories of an account whose record is lost, comes back older, or only comes back: rules 8 and 9, with all that is bounded
//! bounded narrowly. Around the slot is what a router, a node and a client do with it.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use starling_ports::archive::Born;
use starling_ports::delivery::Outgoing;
use starling_ports::ids::{ArchiveId, Life};
use starling_ports::position::Position;
use starling_ports::sessions::{Claim, Claimed, Detach, Detached, Handed, Registered, Registration};

use super::*;

/// So many ids of what waits are read by name.
const NAMED: usize = 3;
/// So many histories; the environment may ask for more.
const CASES: u32 = 300;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A router commits a message.
    Commit,
    /// A router stores what it has committed, looks whether it still is, and hands it out; a lost push is for a pull.
    Finish { writer: usize, loses: bool },
    /// A node pulls.
    Pull { node: usize, limit: usize },
    /// A client acknowledges so many; the slot hears of it at once, or when it is said again.
    Acknowledge { node: usize, count: usize, heard: bool },
    /// A node renews its session.
    Renew(usize),
    /// A router saves the position.
    SavePosition,
    /// What Redis may come back with.
    Checkpoint,
    /// Redis is another one.
    Back(Back),
    /// A client closes its stream and signs in again.
    SignIn(usize),
    /// A client loses its socket and resumes its session at another node; the former one has said so before, or not yet.
    Resume { node: usize, is_told: bool },
}

#[derive(Debug, Clone, Copy)]
enum Back {
    Same,
    Older,
    Empty,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let node = 0..2_usize;
    let step = prop_oneof![
        8 => Just(Step::Commit),
        8 => (0..4_usize, prop::bool::weighted(0.3)).prop_map(|(writer, loses)| Step::Finish { writer, loses }),
        5 => (node.clone(), 1..4_usize).prop_map(|(node, limit)| Step::Pull { node, limit }),
        5 => (node.clone(), 1..5_usize, any::<bool>())
            .prop_map(|(node, count, heard)| Step::Acknowledge { node, count, heard }),
        3 => node.clone().prop_map(Step::Renew),
        1 => Just(Step::SavePosition),
        2 => Just(Step::Checkpoint),
        2 => prop_oneof![Just(Back::Same), Just(Back::Older), Just(Back::Empty)].prop_map(Step::Back),
        1 => node.clone().prop_map(Step::SignIn),
        2 => (node, any::<bool>()).prop_map(|(node, is_told)| Step::Resume { node, is_told }),
    ];
    prop::collection::vec(step, 1..80)
}

/// A client with its node.
struct Node {
    resource: &'static str,
    id: SessionId,
    epoch: Epoch,
    life: Life,
    /// The highest number that has come.
    last: u64,
    /// What has come and is not acknowledged.
    entries: Vec<Entry>,
    /// What is acknowledged, and may not have been saved.
    done: Position,
    /// The bodies of all that came on this stream.
    received: Vec<String>,
}

impl Node {
    fn take(&mut self, entry: &Entry) {
        if entry.number.0 == self.last + 1 {
            self.last += 1;
            self.received.extend(bodies(std::slice::from_ref(entry)));
            self.entries.push(entry.clone());
        }
    }
    fn acknowledged(&self) -> u64 {
        self.last - self.entries.len() as u64
    }
}

/// What a router is about to store.
struct Writer {
    number: u64,
    row: Row,
    handed: Vec<Handed>,
}

struct History {
    world: World,
    life: u64,
    nodes: Vec<Node>,
    writers: Vec<Writer>,
    position: Position,
    older: Option<Record>,
    /// How many messages there are.
    sent: u64,
    /// Received by anybody.
    got: BTreeSet<String>,
}

impl History {
    fn new(devices: usize) -> History {
        let mut world = world();
        world.slot.live_in(Life(1));
        let nodes = ["desk", "phone"][..devices].iter().map(|resource| {
            let id = world.resumable(resource);
            let (entries, done, received) = (Vec::new(), Position::default(), Vec::new());
            Node { resource, id, epoch: world.epoch(id), life: Life(1), last: 0, entries, done, received }
        });
        let nodes = nodes.collect();
        let (position, got) = (Position::default(), BTreeSet::new());
        History { world, life: 1, nodes, writers: Vec::new(), position, older: None, sent: 0, got }
    }

    fn act(&mut self, step: Step) {
        self.world.now = self.world.now.after(Duration::from_millis(1));
        match step {
            Step::Commit => {
                self.sent += 1;
                self.commit(self.sent);
            }
            Step::Finish { writer, loses } => self.finish(writer, loses),
            Step::Pull { node, limit } => _ = self.pull(node, limit),
            Step::Acknowledge { node, count, heard } => self.acknowledge(node, count, heard),
            Step::Renew(node) => self.renew(node),
            Step::SavePosition => self.save_position(),
            Step::Checkpoint => {
                self.older = Some(self.world.record());
            }
            Step::Back(back) => self.come_back(back),
            Step::SignIn(node) => self.sign_in(node),
            Step::Resume { node, is_told } => self.resume(node, is_told),
        }
        self.chores();
        for node in &self.nodes {
            let once: BTreeSet<_> = node.received.iter().collect();
            assert_eq!(
                once.len(),
                node.received.len(),
                "twice on one stream of {}: {:?}",
                node.resource,
                node.received
            );
        }
    }

    fn commit(&mut self, number: u64) {
        let takes = |session: &&crate::Session| session.takes_bare();
        let targets: Vec<_> =
            self.world.slot.sessions().iter().filter(takes).map(|session| session.id).collect();
        let reply = self.world.try_commit(message(number, &targets));
        let CommitReply::Done(outcomes) = reply else { panic!("{reply:?}") };
        match outcomes.into_iter().next().unwrap() {
            Outcome::Done { row: Some((_, row)), handed, .. } => {
                self.writers.push(Writer { number, row, handed })
            }
            Outcome::Seen { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, writer: usize, loses: bool) {
        if writer >= self.writers.len() {
            return;
        }
        let Writer { number, row, handed } = self.writers.remove(writer);
        let committed = [(row.id, row.born)];
        self.world.put(Table::Archive, row);
        let present = Life(self.life);
        if committed[0].1.life != present {
            let gone = self.world.step(|slot, context| slot.undo(&committed, context.now));
            if !gone.is_empty() {
                self.world.stored.retain(|(_, row)| !gone.contains(&row.id));
                return self.commit(number);
            }
        }
        self.world.slot.settle(&[committed[0].0], None);
        self.world.save();
        for handed in handed.iter().filter(|_| !loses) {
            let to =
                self.nodes.iter_mut().find(|node| (node.id, node.epoch) == (handed.session, handed.epoch));
            if let Some(node) = to {
                node.take(&handed.entry);
            }
        }
    }

    fn pull(&mut self, at: usize, limit: usize) -> bool {
        let Some(node) = self.nodes.get(at) else { return false };
        let (id, epoch, after) = (node.id, node.epoch, node.last);
        if !self.world.slot.sessions().iter().any(|session| (session.id, session.epoch) == (id, epoch)) {
            return false;
        }
        self.world.put_owed();
        let (entries, more) = self.world.pull(id, after, limit);
        self.world.save();
        let node = &mut self.nodes[at];
        entries.iter().for_each(|entry| node.take(entry));
        more || !entries.is_empty()
    }

    fn acknowledge(&mut self, at: usize, count: usize, is_heard: bool) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let gone: Vec<Entry> = node.entries.drain(..count.min(node.entries.len())).collect();
        node.done.acknowledged.extend(gone.iter().filter_map(|entry| entry.committed.id));
        self.got.extend(bodies(&gone));
        if is_heard {
            self.hear(at);
        }
    }

    fn hear(&mut self, at: usize) {
        let node = &self.nodes[at];
        let (id, epoch, upto) = (node.id, node.epoch, LogNumber(node.acknowledged()));
        self.world.step(|slot, _| slot.acknowledge(id, epoch, upto));
    }

    fn renew(&mut self, at: usize) {
        if at >= self.nodes.len() {
            return;
        }
        self.hear(at);
        let node = &self.nodes[at];
        if node.life != Life(self.life) {
            return self.register(at);
        }
        let mark = self.world.slot.renewed().saved;
        let done = &mut self.nodes[at].done;
        done.acknowledged.retain(|id| Some(*id) > mark);
        done.low = done.low.filter(|_| done.low > mark);
    }

    fn register(&mut self, at: usize) {
        let node = &self.nodes[at];
        let sent = |entry: &Entry| Outgoing {
            late: entry.late,
            ..outgoing(entry.number.0, &entry.committed.wire, entry.committed.id)
        };
        let said = Registration {
            life: node.life,
            acknowledged: LogNumber(node.acknowledged()),
            entries: node.entries.iter().map(sent).collect(),
            done: node.done.clone(),
            ..held(node.id, node.resource, node.epoch)
        };
        let done: Vec<_> = node.done.acknowledged.iter().map(|id| (*id, Born::default())).collect();
        let mut ids: Vec<_> = node.entries.iter().filter_map(|entry| entry.committed.id).collect();
        ids.extend(self.world.slot.unknown(&done));
        let stored = self.world.stored.iter().filter(|(_, row)| ids.contains(&row.id));
        let rows = stored.map(|(table, row)| (row.id, (*table, row.clone()))).collect();
        let registered = self.world.step(|slot, context| slot.register(context, &said, &rows));
        let Registered::Again { epoch } = registered else { panic!("{registered:?}") };
        (self.nodes[at].epoch, self.nodes[at].life) = (epoch, Life(self.life));
    }

    fn save_position(&mut self) {
        if let Some(position) = self.world.slot.changed_position() {
            self.position = position.clone();
            self.world.slot.saved_position(&position);
            self.world.save();
        }
    }

    /// Deliverable rows above the mark by name, and whether there are more.
    fn waiting_after(&self, after: Option<ArchiveId>) -> (Vec<crate::Waiting>, bool) {
        let all = self.world.stored.iter().map(|(_, row)| row).filter(|row| Some(row.id) > after);
        let all: Vec<_> = all.map(|row| (row.id, row.wire.len() as u32)).collect();
        (all.iter().take(NAMED).copied().collect(), all.len() > NAMED)
    }

    fn come_back(&mut self, back: Back) {
        // One that sleeps through two lives may find its row taken for one that waits, and a node then says that it is done: a gap.
        while let Some(at) = self.writers.iter().position(|writer| writer.row.born.life != Life(self.life)) {
            self.finish(at, true);
        }
        self.life += 1;
        let (waiting, more) = self.waiting_after(self.position.low);
        let position = self.position.clone();
        let last = self.world.stored.last().map(|(_, row)| row.id);
        let last = last.max(position.low).max(position.acknowledged.last().copied());
        let facts =
            Facts { exists: true, last, position, waiting, more, life: Life(self.life), ..Facts::default() };
        let facts = facts.remembering(self.world.stored.iter().map(|(_, row)| row.clone()).collect());
        let world = &mut self.world;
        let record = match back {
            Back::Same => Some(world.record()),
            Back::Older => self.older.clone(),
            Back::Empty => None,
        };
        let Some(record) = record else {
            world.slot = Slot::new(world.slot.account().clone(), facts, world.now.0, world.now);
            world.slot.track(false);
            world.saved = Saved::nothing(world.now.0);
            (world.fields, world.bodies, self.older) = Default::default();
            return world.save();
        };
        world.go_back(record);
        let now = world.now;
        world.step(|slot, _| slot.verify(facts, now));
        world.store();
        self.older = None; // it is of a former life
    }

    fn sign_in(&mut self, at: usize) {
        if at >= self.nodes.len() {
            return;
        }
        self.renew(at);
        let (id, resource) = (self.nodes[at].id, self.nodes[at].resource);
        self.world.step(|slot, context| slot.end(context, id)).unwrap();
        let id = self.world.resumable(resource);
        let epoch = self.world.epoch(id);
        let node = &mut self.nodes[at];
        (node.id, node.epoch, node.life, node.last) = (id, epoch, Life(self.life), 0);
        node.entries.clear();
        node.received.clear();
    }

    fn resume(&mut self, at: usize, is_told: bool) {
        if at >= self.nodes.len() {
            return;
        }
        if self.nodes[at].life != Life(self.life) {
            self.register(at); // its client waits for that
        }
        let (id, epoch, h) = (self.nodes[at].id, self.nodes[at].epoch, self.nodes[at].last as u32);
        if is_told {
            let detached = self.world.step(|slot, context| slot.detach(context, id, epoch, Detach::Lost));
            assert!(matches!(detached, Detached::Waits));
        }
        let account = self.world.slot.account().clone();
        let claim =
            Claim { account, session: id, node: NodeId::default(), h, token: u128::from(self.world.now.0) };
        let claimed = self.world.step(|slot, _| slot.claim(&claim));
        let Some(Claimed::Resumed { epoch, done, acknowledged, .. }) = claimed else { panic!("{claimed:?}") };
        let node = &mut self.nodes[at];
        assert_eq!(acknowledged, LogNumber(node.last));
        self.got.extend(bodies(&node.entries));
        node.entries.clear();
        (node.epoch, node.done) = (epoch, done);
    }

    /// What a router does unasked.
    fn chores(&mut self) {
        if let Some(after) = self.world.slot.wants_refill() {
            let last = self.world.slot.last();
            self.world.put_owed();
            let (waiting, more) = self.waiting_after(Some(after));
            self.world.step(|slot, _| slot.refill(waiting, more, last));
        }
    }

    /// Everybody does what is left to do.
    fn end(mut self) {
        while !self.writers.is_empty() {
            self.act(Step::Finish { writer: 0, loses: true });
        }
        for _ in 0..200 {
            let mut is_busy = false;
            for node in 0..self.nodes.len() {
                self.act(Step::Renew(node));
                is_busy |= self.pull(node, 3);
                is_busy |= !self.nodes[node].entries.is_empty();
                self.act(Step::Acknowledge { node, count: 100, heard: true });
            }
            if !is_busy {
                break;
            }
        }
        let all: BTreeSet<_> = (1..=self.sent).map(|number| number.to_string()).collect();
        assert_eq!(self.got, all, "everything has come");
        let archived: Vec<_> =
            self.world.stored.iter().map(|(_, row)| row.born.key.map(|key| key.number)).collect();
        let once: BTreeSet<_> = archived.iter().collect();
        assert_eq!(once.len(), archived.len(), "twice in the archive: {archived:?}");
        assert!(self.world.slot.pending.is_empty(), "nothing waits: {:?}", self.world.slot.pending.ids);
    }
}

#[test]
fn rule_8_whatever_comes_back_everything_comes_and_nothing_twice() {
    let cases =
        std::env::var("STARLING_SLOT_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    let histories = (1..3_usize, steps());
    let told = TestRunner::new(config).run(&histories, |(devices, steps)| {
        let mut history = History::new(devices);
        steps.into_iter().for_each(|step| history.act(step));
        history.end();
        Ok(())
    });
    if let Err(error) = told {
        panic!("{error}");
    }
}
