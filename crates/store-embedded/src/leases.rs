//! Which sessions are held by other nodes, and when those last said so: who is silent for a lease lets go (session-log rule 9).

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use starling_jid::BareJid;
use starling_ports::ids::{Epoch, NodeId, SessionId};

/// How long a session is its node's after it was renewed.
const LEASE: Duration = Duration::from_secs(15);

/// Sessions of connection managers that are other processes. Those of this process need no lease: while there are slots, it
/// lives.
#[derive(Debug)]
pub(crate) struct Leases {
    own: NodeId,
    held: Mutex<HashMap<SessionId, Lease>>,
}

#[derive(Debug)]
struct Lease {
    account: BareJid,
    epoch: Epoch,
    /// By a clock that nobody sets.
    renewed: Instant,
}

impl Leases {
    pub(crate) fn new(own: NodeId) -> Leases {
        Leases { own, held: Mutex::default() }
    }

    /// `node` has the session by this claim.
    pub(crate) fn begin(&self, node: NodeId, session: SessionId, account: &BareJid, epoch: Epoch) {
        let mut held = self.held.lock();
        if node == self.own {
            held.remove(&session);
        } else {
            held.insert(session, Lease { account: account.clone(), epoch, renewed: Instant::now() });
        }
    }

    /// It has it still.
    pub(crate) fn renew(&self, session: SessionId, epoch: Epoch) {
        let mut held = self.held.lock();
        if let Some(lease) = held.get_mut(&session).filter(|lease| lease.epoch == epoch) {
            lease.renewed = Instant::now();
        }
    }

    /// The session is nobody's.
    pub(crate) fn end(&self, session: SessionId, epoch: Epoch) {
        let mut held = self.held.lock();
        if held.get(&session).is_some_and(|lease| lease.epoch == epoch) {
            held.remove(&session);
        }
    }

    /// Takes out those of whom nothing was heard for a lease, at most `limit`.
    pub(crate) fn take_lapsed(&self, now: Instant, limit: usize) -> Vec<(BareJid, SessionId, Epoch)> {
        let mut held = self.held.lock();
        let is_over = |lease: &Lease| now.saturating_duration_since(lease.renewed) > LEASE;
        let lapsed: Vec<_> = held
            .iter()
            .filter(|(_, lease)| is_over(lease))
            .take(limit)
            .map(|(session, lease)| (lease.account.clone(), *session, lease.epoch))
            .collect();
        for (_, session, _) in &lapsed {
            held.remove(session);
        }
        lapsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_a_lease_lets_go() {
        let (own, other) = (NodeId::default(), NodeId { name: 1, incarnation: 1 });
        let alice = BareJid::new("alice@a.example").unwrap();
        let leases = Leases::new(own);
        leases.begin(other, SessionId(1), &alice, Epoch(1));
        leases.begin(own, SessionId(2), &alice, Epoch(1));
        leases.renew(SessionId(1), Epoch(7));
        let begun = Instant::now();
        assert_eq!(leases.take_lapsed(begun + LEASE / 2, 10), []);
        assert_eq!(leases.take_lapsed(begun + LEASE * 2, 10), [(alice.clone(), SessionId(1), Epoch(1))]);
        assert_eq!(leases.take_lapsed(begun + LEASE * 2, 10), [], "once");
        leases.begin(other, SessionId(1), &alice, Epoch(2));
        leases.end(SessionId(1), Epoch(1));
        assert_eq!(leases.take_lapsed(begun + LEASE * 2, 10).len(), 1, "a later claim stays");
        leases.begin(other, SessionId(1), &alice, Epoch(3));
        leases.end(SessionId(1), Epoch(3));
        assert_eq!(leases.take_lapsed(begun + LEASE * 2, 10), []);
    }
}
