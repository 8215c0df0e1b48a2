//! `Ingress` by way of a session router. A call whose link is lost is made again at another one: none is given up for that.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_ports::Result;
use starling_ports::ids::{LogNumber, NodeId};
use starling_ports::ingress::{
    Answered, BindError, Ingress, PulledBatch, RegisterError, Resume, SessionRef, Submitted,
};
use starling_ports::sessions::{
    Claimed, Detach, Portrait, Registered, Registration, Renewal, Renewed, SmBase,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Unanswered, Uplinks, is_small};
use crate::calls::{Method, Status};
use crate::convert::{Call, Reply};
use crate::link::limits::{CALL_WITHIN, FRAME_BYTES};
use crate::pb::up::Body;

impl Uplinks {
    /// The answer of whichever router the account has. What is unanswered when its link is lost is sent again before anything
    /// new of the same lane (session-log rule 2): a lane has one submit under way, and its caller waits here. All calls may be
    /// repeated: the slot knows a stanza by its number, a claim by its token.
    pub(super) async fn call(&self, account: &BareJid, body: impl Fn() -> Body) -> Result<Reply, Unanswered> {
        let (begun, first) = (Instant::now(), body());
        let method = Method::of(&first);
        let answered = self.repeated(account, first, body).await;
        let status = match &answered {
            Ok(Reply::Done(Err(_))) => Status::Failed,
            Ok(_) => Status::Ok,
            Err(why) => why.status(),
        };
        self.calls.took(method, status, begun.elapsed());
        answered
    }

    async fn repeated(
        &self,
        account: &BareJid,
        first: Body,
        again: impl Fn() -> Body,
    ) -> Result<Reply, Unanswered> {
        let mut first = Some(first);
        loop {
            let lane = self.routers.wait_for(account).await?;
            let body = first.take().unwrap_or_else(&again);
            if !is_small(&body) {
                return Err(Unanswered::TooBig);
            }
            match lane.call(self.call_id(), body, CALL_WITHIN).await {
                Err(Unanswered::Lost) => {
                    self.metrics.resent.increment(1);
                    self.resent.fetch_add(1, Ordering::Relaxed);
                    // Nothing of it is heard any more, so that it may be said elsewhere.
                    lane.over.cancel();
                    self.routers.remove(&lane);
                }
                answered => return answered,
            }
        }
    }

    /// What is sent again at another router says so: the former one may have answered it.
    async fn hand_over(&self, session: &SessionRef, batch: &[Submitted], again: bool) -> Result<Answered> {
        let is_again = AtomicBool::new(again);
        let body = || Call::submit(session, batch, is_again.swap(true, Ordering::Relaxed));
        self.of_session(session, body).await?.answered().map_err(Unanswered::from)?
    }

    async fn of_session(&self, session: &SessionRef, body: impl Fn() -> Body) -> Result<Reply, Unanswered> {
        self.call(&session.jid.bare(), body).await
    }
}

#[async_trait]
impl Ingress for Uplinks {
    async fn bind(
        &self,
        account: &BareJid,
        resource: Option<&str>,
        _: NodeId,
    ) -> Result<SessionRef, BindError> {
        let answered = self.call(account, || Call::bind(account, resource)).await;
        answered.and_then(|reply| Ok(reply.bound()?)).unwrap_or_else(|error| {
            debug!(%error, "no resource was bound");
            Err(BindError::Unavailable)
        })
    }

    async fn resume(&self, resume: Resume, _: NodeId) -> Result<Claimed> {
        self.call(&resume.account, || Call::resume(&resume)).await?.claimed().map_err(Unanswered::from)?
    }

    async fn submit(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.hand_over(session, &batch, false).await
    }

    async fn submit_again(&self, session: &SessionRef, batch: Vec<Submitted>) -> Result<Answered> {
        self.hand_over(session, &batch, true).await
    }

    async fn enable_sm(&self, session: &SessionRef, resume: bool, base: SmBase) -> Result<u32> {
        let reply = self.of_session(session, || Call::enable_sm(session, resume, base)).await?;
        reply.enabled().map_err(Unanswered::from)?
    }

    async fn set_inactive(&self, session: &SessionRef, inactive: bool) -> Result<()> {
        let reply = self.of_session(session, || Call::set_inactive(session, inactive)).await?;
        reply.done().map_err(Unanswered::from)?
    }

    async fn acknowledge(&self, session: &SessionRef, upto: LogNumber) -> Result<bool> {
        let reply = self.of_session(session, || Call::acknowledge(session, upto)).await?;
        reply.acknowledged().map_err(Unanswered::from)?
    }

    async fn pull(&self, session: &SessionRef, after: LogNumber, limit: usize) -> Result<PulledBatch> {
        let reply = self.of_session(session, || Call::pull(session, after, limit)).await?;
        reply.pulled().map_err(Unanswered::from)?
    }

    async fn detach(&self, session: &SessionRef, why: Detach) -> Result<bool> {
        let reply = self.of_session(session, || Call::detach(session, why)).await?;
        reply.detached().map_err(Unanswered::from)?
    }

    /// All of them by the router of the first one: any router can do it.
    async fn renew(&self, _: NodeId, sessions: Vec<Renewal>) -> Result<Vec<Renewed>> {
        let Some(first) = sessions.first() else { return Ok(Vec::new()) };
        let reply = self.call(&first.account, || Call::renew(&sessions, None)).await?;
        reply.renewed().map_err(Unanswered::from)?
    }

    async fn register(
        &self,
        domain: &BareJid,
        username: &str,
        password: &str,
        peer: std::net::IpAddr,
    ) -> Result<(), RegisterError> {
        self.register_by(domain, username, password, peer).await
    }

    fn offers_registration(&self) -> bool {
        self.announced.borrow().as_ref().is_some_and(|announced| announced.registration)
    }

    async fn portrait(&self, session: &SessionRef) -> Result<Portrait> {
        let reply = self.of_session(session, || Call::portrait(session)).await?;
        reply.portrait().map_err(Unanswered::from)?
    }

    async fn register_again(&self, registration: Registration) -> Result<Registered> {
        let account = registration.jid.bare();
        self.lost.notify_one(); // others are forgotten too, and find it out by a renewal
        let reply = match self.call(&account, || Call::register_again(&registration)).await {
            Err(Unanswered::TooBig) => {
                let (session, entries) = (registration.session, registration.entries.len());
                warn!(
                    ?session,
                    entries,
                    most = FRAME_BYTES,
                    "a client has more unacknowledged than one link carries: its session cannot be registered again, and ends"
                );
                return Ok(Registered::Over);
            }
            reply => reply?,
        };
        reply.registered().map_err(Unanswered::from)?
    }
}
