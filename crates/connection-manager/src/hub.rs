//! The sessions whose sockets this node holds: from a session's id to its outbox.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::RwLock;
use starling_ports::delivery::{Command, DeliverError, Delivery, Target};
use starling_ports::ids::{Epoch, NodeId, SessionId};

use crate::outbox::Outbox;

/// Ids are random, so their last bits spread sessions evenly.
const SHARDS: usize = 64;

/// All outboxes of this node.
#[derive(Debug)]
pub struct Hub {
    node: NodeId,
    shards: [RwLock<HashMap<SessionId, Arc<Outbox>>>; SHARDS],
}

impl Hub {
    /// The hub of `node`, empty.
    pub fn new(node: NodeId) -> Hub {
        Hub { node, shards: std::array::from_fn(|_| RwLock::default()) }
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

    /// From now on `outbox` gets what is delivered to `session`, unless a later claim holds it already.
    pub(crate) fn register(&self, session: SessionId, outbox: Arc<Outbox>) {
        let Some(shard) = self.shard(session) else { return };
        let mut sessions = shard.write();
        match sessions.get(&session) {
            Some(present) if present.epoch() > outbox.epoch() => outbox.command(Command::Fenced),
            _ => drop(sessions.insert(session, outbox)),
        }
    }

    /// The connection has ended; a later claim of the same session stays.
    pub(crate) fn unregister(&self, session: SessionId, epoch: Epoch) {
        let Some(shard) = self.shard(session) else { return };
        let mut sessions = shard.write();
        if sessions.get(&session).is_some_and(|present| present.epoch() == epoch) {
            sessions.remove(&session);
        }
    }

    /// The outboxes of all sessions that have a socket here now.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        self.shards.iter().flat_map(|shard| shard.read().values().cloned().collect::<Vec<_>>()).collect()
    }

    fn shard(&self, session: SessionId) -> Option<&RwLock<HashMap<SessionId, Arc<Outbox>>>> {
        self.shards.get(session.0 as usize % SHARDS)
    }

    /// The outbox that holds `session` by `epoch`; what is meant for another claim has no effect (session-log rule 21).
    fn find(&self, session: SessionId, epoch: Epoch) -> Option<Arc<Outbox>> {
        self.shard(session)?.read().get(&session).filter(|outbox| outbox.epoch() == epoch).cloned()
    }
}

impl Delivery for Hub {
    fn deliver(&self, node: NodeId, targets: Vec<Target>) -> Result<(), DeliverError> {
        if node != self.node {
            return Err(DeliverError::Gone);
        }
        for target in targets {
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use starling_ports::delivery::Outgoing;
    use starling_ports::ids::LogNumber;
    use starling_stanza::Wire;

    use super::*;

    const NODE: NodeId = NodeId { name: 0, incarnation: 7 };
    const SESSION: SessionId = SessionId(5);

    fn target(epoch: u64, number: u64) -> Target {
        let wire = Wire::from_bytes(Bytes::from_static(b"<message from='a@b'>")).unwrap();
        let outgoing =
            Outgoing { number: LogNumber(number), wire, more: Bytes::new(), address: false, late: false };
        Target { session: SESSION, epoch: Epoch(epoch), outgoing }
    }

    #[test]
    fn a_push_for_another_claim_has_no_effect() {
        let hub = Hub::new(NODE);
        let outbox = Arc::new(Outbox::new(Epoch(2), LogNumber(0)));
        hub.register(SESSION, outbox.clone());
        hub.deliver(NODE, vec![target(1, 1)]).unwrap();
        assert!(outbox.take().is_none());
        hub.deliver(NODE, vec![target(2, 1)]).unwrap();
        assert_eq!(outbox.take().unwrap().number, LogNumber(1));
        assert_eq!(hub.command(NODE, SESSION, Epoch(1), Command::Conflict), Err(DeliverError::Gone));
        assert_eq!(outbox.take_command(), None);
    }

    #[test]
    fn a_former_life_of_the_node_gets_nothing() {
        let hub = Hub::new(NODE);
        let former = NodeId { incarnation: 6, ..NODE };
        assert_eq!(hub.deliver(former, vec![target(1, 1)]), Err(DeliverError::Gone));
    }

    #[test]
    fn the_later_claim_stays() {
        let hub = Hub::new(NODE);
        let (old, new) =
            (Arc::new(Outbox::new(Epoch(1), LogNumber(0))), Arc::new(Outbox::new(Epoch(2), LogNumber(0))));
        hub.register(SESSION, new.clone());
        hub.register(SESSION, old.clone());
        assert_eq!(old.take_command(), Some(Command::Fenced));
        hub.unregister(SESSION, Epoch(1));
        assert_eq!(hub.len(), 1);
        hub.unregister(SESSION, Epoch(2));
        assert!(hub.is_empty());
    }
}
