//! The sessions whose sockets this node holds: from a session's id to its outbox.

use std::sync::Arc;

use parking_lot::RwLock;
use starling_jid::{BareJid, FullJid};
use starling_ports::budget::Budget;
use starling_ports::clock::{Clock, SystemClock};
use starling_ports::delivery::{Command, DeliverError, Delivery, Holder, Target};
use starling_ports::ids::{BySession, Epoch, LogNumber, NodeId, SessionId, Timestamp};
use starling_ports::ingress::SessionRef;
use starling_ports::sessions::{Renewal, Renewed, Standing};
use starling_ports::trail::Trail;

use crate::outbox::Outbox;

/// Ids are random, so their last bits spread sessions evenly.
const SHARDS: usize = 64;

/// All outboxes of this node.
#[derive(Debug)]
pub struct Hub {
    node: NodeId,
    /// The store may forget sessions whose sockets are here: what they are registered again with is kept.
    keeps: bool,
    budget: Arc<Budget>,
    trail: Arc<Trail>,
    shards: [RwLock<Shard>; SHARDS],
}

type Shard = BySession<Held>;

#[derive(Debug)]
struct Held {
    since: Timestamp,
    outbox: Arc<Outbox>,
}

/// A session whose socket is here, for an administrator.
#[derive(Debug)]
pub struct HeldSession {
    /// Whose.
    pub jid: FullJid,
    /// When it came to this node.
    pub since: Timestamp,
    /// Stanzas that its client has not acknowledged, where that is kept here.
    pub unacknowledged: u64,
}

impl Held {
    fn jid(&self) -> &FullJid {
        &self.outbox.session().jid
    }
}

impl Hub {
    /// The hub of `node`, empty.
    pub fn new(node: NodeId) -> Hub {
        let trail = Arc::new(Trail::new(Arc::new(SystemClock)));
        let (budget, shards) = (Arc::new(Budget::of(usize::MAX)), std::array::from_fn(|_| RwLock::default()));
        Hub { node, keeps: false, budget, trail, shards }
    }

    /// The same for a node whose sessions lie in a store that may come back with less than it had (session-log rule 9).
    pub fn keeping(node: NodeId) -> Hub {
        Hub { keeps: true, ..Hub::new(node) }
    }

    /// The same where what waits for all clients together, and what they have not acknowledged where that is kept, takes no more than so
    /// many bytes: a client that has its part of them gets the next stanza when it has acknowledged some. All others go on.
    pub fn within(self, bytes: usize) -> Hub {
        Hub { budget: Arc::new(Budget::of(bytes)), ..self }
    }

    /// An outbox of this node, behind `last`, that nobody finds yet.
    pub(crate) fn outbox(&self, session: SessionRef, last: LogNumber) -> Outbox {
        let outbox = Outbox::new(session, last, &self.budget, &self.trail);
        if self.keeps { outbox.keeping() } else { outbox }
    }

    /// How many bytes are kept for clients now.
    pub fn kept(&self) -> usize {
        self.budget.used()
    }

    /// Whether sessions can be registered again.
    pub(crate) fn keeps(&self) -> bool {
        self.keeps
    }

    /// What was done lately with what came to these sessions.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Which node it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How many sessions have a socket here.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().len()).sum()
    }

    /// Whether no session has a socket here.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.read().is_empty())
    }

    /// Up to `limit` sessions, those of one account or all, in no order.
    pub fn held(&self, of: Option<&BareJid>, limit: usize) -> Vec<HeldSession> {
        let mut found = Vec::new();
        for shard in &self.shards {
            let sessions = shard.read();
            let wanted = sessions.values().filter(|held| of.is_none_or(|of| held.jid().bare() == *of));
            found.extend(wanted.take(limit - found.len()).map(|held @ Held { since, outbox }| HeldSession {
                jid: held.jid().clone(),
                since: *since,
                unacknowledged: outbox.unacknowledged(),
            }));
        }
        found
    }

    /// How many stanzas wait here to be written to clients, and their bytes.
    pub fn waiting(&self) -> (usize, usize) {
        let sum = |(stanzas, bytes): (usize, usize), held: &Held| {
            let (more, longer) = held.outbox.waiting();
            (stanzas + more, bytes + longer)
        };
        self.shards.iter().fold((0, 0), |sums, shard| shard.read().values().fold(sums, sum))
    }

    /// From now on `outbox` gets what is delivered to its session, unless a later claim holds it already.
    pub(crate) fn register(&self, outbox: Arc<Outbox>) {
        let id = outbox.session().id;
        let Some(shard) = self.shard(id) else { return };
        let mut sessions = shard.write();
        match sessions.get(&id) {
            Some(present) if present.outbox.epoch() > outbox.epoch() => outbox.command(Command::Fenced),
            _ => {
                let former = sessions.insert(id, Held { since: SystemClock.now(), outbox });
                // Nobody finds it here any more: a router that died behind the claim has not told it, and no renewal will.
                former.into_iter().for_each(|former| former.outbox.command(Command::Fenced));
            }
        }
    }

    /// The connection has ended; a later claim of the same session stays.
    pub(crate) fn unregister(&self, session: &SessionRef) {
        let Some(shard) = self.shard(session.id) else { return };
        let mut sessions = shard.write();
        if sessions.get(&session.id).is_some_and(|present| present.outbox.epoch() == session.epoch) {
            sessions.remove(&session.id);
        }
    }

    /// The outboxes of all sessions that have a socket here now.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let of = |shard: &RwLock<Shard>| -> Vec<_> {
            shard.read().values().map(|held| held.outbox.clone()).collect()
        };
        self.shards.iter().flat_map(of).collect()
    }

    fn shard(&self, session: SessionId) -> Option<&RwLock<Shard>> {
        self.shards.get(session.0 as usize % SHARDS)
    }

    /// The outbox that holds `session` by `epoch`; what is meant for another claim has no effect (session-log rule 21).
    fn find(&self, session: SessionId, epoch: Epoch) -> Option<Arc<Outbox>> {
        let sessions = self.shard(session)?.read();
        sessions.get(&session).map(|held| &held.outbox).filter(|outbox| outbox.epoch() == epoch).cloned()
    }
}

impl Delivery for Hub {
    fn deliver(&self, node: NodeId, targets: Vec<Target>) -> Result<(), DeliverError> {
        if node != self.node {
            return Err(DeliverError::Gone);
        }
        for mut target in targets {
            if let Some(context) = &mut target.outgoing.trace {
                context.arrived = Some(SystemClock.now());
            }
            if let Some(outbox) = self.find(target.session, target.epoch) {
                outbox.push(target.outgoing);
            }
        }
        Ok(())
    }

    fn command(
        &self,
        node: NodeId,
        session: SessionId,
        epoch: Epoch,
        command: Command,
    ) -> Result<(), DeliverError> {
        if node != self.node {
            return Err(DeliverError::Gone);
        }
        self.find(session, epoch).ok_or(DeliverError::Gone)?.command(command);
        Ok(())
    }
}

impl Holder for Hub {
    fn holdings(&self) -> Vec<Renewal> {
        let mut all = Vec::with_capacity(self.len());
        for shard in &self.shards {
            all.extend(shard.read().values().map(|held| held.outbox.renewal()));
        }
        all
    }

    fn renewed(&self, _: NodeId, session: SessionId, epoch: Epoch, renewed: &Renewed) {
        let Some(outbox) = self.find(session, epoch) else { return };
        if outbox.is_forgotten() {
            // It is being registered again: who asked under its former claim may be answered behind that, and hears that it is over.
            // The answer to the registration is the last word.
            return;
        }
        if renewed.standing == Standing::Away {
            return; // nothing is known of it
        }
        if renewed.standing == Standing::Over || (renewed.standing == Standing::Unknown && !self.keeps) {
            return outbox.over();
        }
        outbox.renewed(renewed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use starling_jid::FullJid;
    use starling_ports::delivery::Outgoing;
    use starling_ports::ids::Life;
    use starling_stanza::Wire;

    use super::*;

    const NODE: NodeId = NodeId { name: 0, incarnation: 7 };
    const SESSION: SessionId = SessionId(5);

    fn session(epoch: u64) -> SessionRef {
        SessionRef { id: SESSION, jid: FullJid::new("alice@a.example/phone").unwrap(), epoch: Epoch(epoch) }
    }

    fn target(epoch: u64, number: u64) -> Target {
        let wire = Wire::from_bytes(Bytes::from_static(b"<message from='a@b'>")).unwrap();
        let outgoing = Outgoing {
            number: LogNumber(number),
            wire,
            more: Bytes::new(),
            address: false,
            late: false,
            id: None,
            trace: None,
        };
        Target { session: SESSION, epoch: Epoch(epoch), outgoing }
    }

    #[test]
    fn a_push_for_another_claim_has_no_effect() {
        let hub = Hub::new(NODE);
        let outbox = Arc::new(hub.outbox(session(2), LogNumber(0)));
        hub.register(outbox.clone());
        hub.deliver(NODE, vec![target(1, 1)]).unwrap();
        assert!(outbox.take().is_none());
        hub.deliver(NODE, vec![target(2, 1)]).unwrap();
        assert_eq!(outbox.take().unwrap().number, LogNumber(1));
        assert_eq!(hub.command(NODE, SESSION, Epoch(1), Command::Conflict), Err(DeliverError::Gone));
        assert_eq!(outbox.take_command(), None);
    }

    #[test]
    fn what_is_held_is_told_with_how_far_it_came() {
        let hub = Hub::new(NODE);
        hub.register(Arc::new(hub.outbox(session(2), LogNumber(4))));
        hub.deliver(NODE, vec![target(2, 5)]).unwrap();
        let held = hub.holdings();
        assert_eq!(held.len(), 1);
        assert_eq!((held[0].session, held[0].epoch, held[0].last), (SESSION, Epoch(2), LogNumber(5)));
        assert_eq!(held[0].account.as_str(), "alice@a.example");
    }

    #[test]
    fn a_former_life_of_the_node_gets_nothing() {
        let hub = Hub::new(NODE);
        let former = NodeId { incarnation: 6, ..NODE };
        assert_eq!(hub.deliver(former, vec![target(1, 1)]), Err(DeliverError::Gone));
    }

    #[test]
    fn a_session_that_is_registered_again_is_not_over_by_what_its_former_claim_hears() {
        let hub = Hub::keeping(NODE);
        let outbox = Arc::new(hub.outbox(session(1), LogNumber(0)));
        hub.register(outbox.clone());
        let hears = |standing| {
            hub.renewed(NODE, SESSION, Epoch(1), &Renewed { standing, life: Life(9), saved: None });
        };
        hears(Standing::Unknown);
        hears(Standing::Over);
        assert_eq!((outbox.is_forgotten(), outbox.take_command()), (true, None));
        let outbox = Arc::new(outbox.again(Epoch(2)));
        hub.register(outbox.clone());
        hears(Standing::Over);
        assert_eq!((outbox.is_forgotten(), outbox.take_command()), (false, None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_ends_a_session_has_time_to_say_why() {
        let hub = Hub::new(NODE);
        let enter = || {
            let outbox = Arc::new(hub.outbox(session(1), LogNumber(0)));
            hub.register(outbox.clone());
            outbox
        };
        let hears = |standing| {
            hub.renewed(NODE, SESSION, Epoch(1), &Renewed { standing, life: Life(9), saved: None });
        };
        let outbox = enter();
        for _ in 0..3 {
            hears(Standing::Over); // a link was lost, or what its client has sent meanwhile was refused: it is asked anew at once
            assert_eq!(outbox.take_command(), None);
        }
        hub.command(NODE, SESSION, Epoch(1), Command::Close("not-authorized")).unwrap();
        hears(Standing::Over);
        hub.command(NODE, SESSION, Epoch(1), Command::Fenced).unwrap();
        assert_eq!(outbox.take_command(), Some(Command::Close("not-authorized")));
        let outbox = enter();
        for standing in [Standing::Over, Standing::Held, Standing::Over] {
            hears(standing);
            assert_eq!(outbox.take_command(), None, "once in a row");
            tokio::time::advance(Duration::from_secs(5)).await; // the next renewal
        }
        hears(Standing::Over);
        assert_eq!(outbox.take_command(), Some(Command::Fenced), "nobody says why");
    }

    #[test]
    fn a_claim_that_takes_the_place_of_another_fences_it() {
        let hub = Hub::new(NODE);
        let (old, new) =
            (Arc::new(hub.outbox(session(1), LogNumber(0))), Arc::new(hub.outbox(session(2), LogNumber(0))));
        hub.register(old.clone());
        hub.register(new.clone());
        assert_eq!((old.take_command(), new.take_command()), (Some(Command::Fenced), None));
    }

    #[test]
    fn the_later_claim_stays() {
        let hub = Hub::new(NODE);
        let (old, new) =
            (Arc::new(hub.outbox(session(1), LogNumber(0))), Arc::new(hub.outbox(session(2), LogNumber(0))));
        hub.register(new.clone());
        hub.register(old.clone());
        assert_eq!(old.take_command(), Some(Command::Fenced));
        hub.unregister(&session(1));
        assert_eq!(hub.len(), 1);
        hub.unregister(&session(2));
        assert!(hub.is_empty());
    }
}
