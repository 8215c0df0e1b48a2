//! The leases of a manager's sessions: which are to be renewed next, and which are over.

use std::collections::HashMap;
use std::time::Duration;

use starling_ports::ids::{Epoch, SessionId};
use starling_ports::sessions::{Renewal, Standing};
use tokio::time::Instant;

use super::renew::Outcome;

/// How often sessions are renewed.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// How long the sessions of a node are its own after a router has heard of it. Later another node may have them, and this one lets go.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// How long one may be held that is not renewed itself: no store answers, or its router has no time for it (session-log rule 25).
pub(super) const OUTAGE: Duration = Duration::from_secs(60);

/// What is known of a session.
#[derive(Debug, Clone, Copy)]
struct Lease {
    epoch: Epoch,
    /// When the call began by which it was renewed last.
    renewed: Instant,
    /// When it was asked for last.
    asked: Option<Instant>,
    is_under_way: bool,
}

/// Of all sessions of this node.
#[derive(Debug)]
pub(super) struct Leases {
    of: HashMap<SessionId, Lease>,
    /// When the last call began that a router has answered. Whatever sessions it named, it has renewed the lease of the node: as long as
    /// that holds, no router takes any of its sessions for left.
    heard: Instant,
    /// When a link was lost: what was asked for before is asked for again.
    lost: Option<Instant>,
    /// When this process last looked.
    looked: Instant,
    /// Before that nothing is over: it has not looked for long, and what it has not heard says nothing.
    judges: Instant,
}

impl Leases {
    pub(super) fn new(now: Instant) -> Leases {
        Leases { of: HashMap::new(), heard: now, lost: None, looked: now, judges: now }
    }

    /// What is held now. One that is new was bound or claimed since the last look: its lease began no earlier.
    pub(super) fn look(&mut self, holdings: &[Renewal], now: Instant) {
        let lease = |held: &Renewal| {
            let known = self.of.get(&held.session).filter(|lease| lease.epoch == held.epoch).copied();
            let new = Lease { epoch: held.epoch, renewed: self.looked, asked: None, is_under_way: false };
            (held.session, known.unwrap_or(new))
        };
        self.of = holdings.iter().map(lease).collect();
        if now.duration_since(self.looked) >= 2 * EVERY {
            self.judges = now + EVERY; // it asks first
        }
        self.looked = now;
    }

    /// A link is lost: what it would have pushed is found by renewals that begin from now on (session-log rule 7).
    pub(super) fn lose(&mut self, now: Instant) {
        self.lost = Some(now);
    }

    /// Whether what a call has told that began then may have been pushed by a link that is lost since.
    pub(super) fn is_before_loss(&self, begun: Instant) -> bool {
        self.lost.is_some_and(|lost| begun <= lost)
    }

    /// Those that are to be renewed: whoever was asked for longest ago, first. So none starves where there is no time for all, and one
    /// whose call is never answered holds up no other.
    pub(super) fn due(&self, mut holdings: Vec<Renewal>, now: Instant) -> Vec<Renewal> {
        let asked = |held: &Renewal| self.of.get(&held.session).and_then(|lease| lease.asked);
        holdings.retain(|held| {
            let is_free = self.of.get(&held.session).is_some_and(|lease| !lease.is_under_way);
            let is_old = |at: Instant| now.duration_since(at) >= EVERY / 2 || self.is_before_loss(at);
            is_free && asked(held).is_none_or(is_old)
        });
        holdings.sort_by_key(asked);
        holdings
    }

    /// They are asked for.
    pub(super) fn begin(&mut self, batch: &[Renewal], now: Instant) {
        for held in batch {
            if let Some(lease) = self.of.get_mut(&held.session).filter(|lease| lease.epoch == held.epoch) {
                (lease.asked, lease.is_under_way) = (Some(now), true);
            }
        }
    }

    /// What came of a call that began then.
    pub(super) fn end(&mut self, batch: &[Renewal], outcome: &Outcome, begun: Instant) {
        if !matches!(outcome, Outcome::Silence) {
            self.heard = self.heard.max(begun);
        }
        for (at, held) in batch.iter().enumerate() {
            let Some(lease) = self.of.get_mut(&held.session).filter(|lease| lease.epoch == held.epoch) else {
                continue;
            };
            lease.is_under_way = false;
            if let Outcome::Renewed(renewed) = outcome
                && renewed.get(at).is_some_and(|renewed| renewed.standing != Standing::Away)
            {
                lease.renewed = lease.renewed.max(begun);
            }
        }
    }

    /// Those that may be another node's by now.
    pub(super) fn over(&self, now: Instant) -> Vec<(SessionId, Epoch)> {
        if now < self.judges {
            return Vec::new();
        }
        let is_over = |lease: &Lease| {
            let heard = self.heard.max(lease.renewed);
            now.duration_since(heard) > LEASE || now.duration_since(lease.renewed) > OUTAGE
        };
        let over = self.of.iter().filter(|(_, lease)| is_over(lease));
        over.map(|(session, lease)| (*session, lease.epoch)).collect()
    }
}
