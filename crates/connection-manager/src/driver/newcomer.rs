//! What only a client has that has no session yet.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use starling_ports::ids::SessionId;
use starling_stream::Effect;
use tokio::sync::OwnedSemaphorePermit;

use crate::admission::{Permit, Turn};
use crate::room::{Place, Seat};
use crate::shared::Shared;
use crate::strangers::Stranger;

/// Given back when its session begins: an idle client has none.
pub(super) struct Newcomer {
    /// Until it is let in.
    pub(super) waiting: Option<(Turn, Effect)>,
    pub(super) resuming: Option<SessionId>,
    pub(super) exchange: Option<u128>,
    /// Of its address; none that is refused.
    pub(super) stranger: Option<Stranger>,
    /// That it has not been told.
    pub(super) refusal: Option<&'static str>,
    /// Among those of all addresses.
    _permit: Option<OwnedSemaphorePermit>,
}

impl Newcomer {
    /// A client of `peer`, and what it keeps of its place when it has a session.
    pub(super) fn enter(shared: &Shared, peer: IpAddr, place: Option<Place>) -> (Option<Seat>, Newcomer) {
        let stranger = shared.strangers.enter(peer, shared.limits.unauthenticated_per_address);
        let refusal = match place.as_ref().is_some_and(Place::is_refused) {
            true => Some(("resource-constraint", &shared.metrics.full)),
            false if stranger.is_none() => Some(("policy-violation", &shared.metrics.rejects)),
            false => None,
        };
        let refusal = refusal.map(|(condition, count)| {
            count.increment(1);
            condition
        });
        let (seat, permit) = place.map(Place::into_parts).unzip();
        let newcomer = Newcomer {
            waiting: None,
            resuming: None,
            exchange: None,
            stranger,
            refusal,
            _permit: permit.flatten(),
        };
        (seat, newcomer)
    }

    /// What it waits for, when its turn has come.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Option<(Effect, Permit)> {
        let (turn, _) = self.waiting.as_mut()?;
        let Poll::Ready(permit) = Pin::new(turn).poll(cx) else { return None };
        let (_, wants) = self.waiting.take()?;
        Some((wants, permit.ok()?))
    }

    /// It waits no more. What may be under way for it: a SASL exchange, a session to be resumed.
    pub(super) fn give_up(&mut self) -> (Option<u128>, Option<SessionId>) {
        self.waiting = None;
        (self.exchange, self.resuming)
    }
}
