//! The end of a connection: what was read is still handled, and its session hears that the socket is gone.

use std::time::Duration;

use starling_ports::ingress::{Answered, Handling, SessionRef};
use starling_ports::sessions::{Claimed, Detach};
use starling_ports::{Result, StoreError};
use starling_stream::Input;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{Driver, LogAnswer, Newcomer, RETRY_AFTER};

/// How long a store may be away before a session is left to whoever finds it: as long as sockets wait for it (session-log rule 25).
const OUTAGE: Duration = Duration::from_secs(60);

impl Driver<'_> {
    /// After the end: what was read is still handled, then the session hears that its socket is gone. If nobody could tell it, that is
    /// the answer, and it is to be said by `insist`.
    pub(crate) async fn finish(&mut self, why: Option<Detach>) -> Option<Detach> {
        let (exchange, resuming) = self.newcomer.as_deref_mut().map_or((None, None), Newcomer::give_up);
        if let Some(call) = self.call.take() {
            // A session that was bound or resumed for nobody is let go at once.
            let session = match (call.await, resuming) {
                (Input::Bound(Ok(session)), _) => Some(session),
                (Input::Resumed(Some(Claimed::Resumed { jid, epoch, .. })), Some(id)) => {
                    Some(SessionRef { id, jid, epoch })
                }
                _ => None,
            };
            if let Some(session) = session {
                let _ = self.shared.ingress.detach(&session, Detach::Lost).await;
            }
        }
        // Nobody goes on with it, whether its next step was under way or the client's turn; one that has ended is not known any more.
        exchange.into_iter().for_each(|exchange| self.shared.authentication.abort(exchange));
        let held = self.held()?;
        let (session, outbox) = (held.session(), &held.outbox);
        if let Some(submit) = self.submit.take() {
            let answer = submit.await;
            self.is_unknown |= !self.is_done(answer);
        }
        let drafts = self.machine.take_drafts();
        // Behind stanzas that are not handled, or of which nothing is known, none may go (session-log rule 1), or an `h` would cover
        // what was not done: the client sends them all again.
        let is_unknown = self.is_unknown
            || self.again.as_ref().is_some_and(|again| again.is_under_way())
            || outbox.is_forgotten();
        if !drafts.is_empty() && !is_unknown {
            let answer = self.shared.ingress.submit(session, drafts).await;
            self.is_done(answer);
        }
        if let Some(pull) = self.pull.take()
            && let LogAnswer::Acknowledged(upto, Err(_)) = pull.await
        {
            self.acknowledge = self.acknowledge.max(Some(upto));
        }
        let unsaid = match why {
            Some(why) => self.say(why).await.inspect_err(unheard).err().map(|_| why),
            None => None,
        };
        if unsaid.is_none() {
            self.unregister();
        }
        unsaid
    }

    /// Whether a batch is handled. Should the session be registered again, that is known of it, or what comes behind would have numbers
    /// that were others' (session-log rule 9).
    fn is_done(&mut self, answer: Result<Answered>) -> bool {
        let Ok(Answered { handling: Handling::Done(handled), portrait }) = answer else { return false };
        if let Some(again) = &mut self.again {
            again.done_behind(handled, portrait);
        }
        true
    }

    /// What the client has acknowledged is heard before that its socket is gone: nobody acknowledges it later, and it would come again.
    async fn say(&mut self, why: Detach) -> Result<()> {
        if let (Some(upto), Some(held)) = (self.acknowledge, self.held()) {
            self.shared.ingress.acknowledge(held.session(), upto).await?;
            self.acknowledge = None;
        }
        self.let_go(why).await
    }

    /// Says it again, until it is heard: while a store is away, or before it knows the session again, a client that comes back would
    /// find nothing to resume. The node goes on holding the session meanwhile.
    pub(crate) async fn insist(&mut self, why: Detach) {
        let (shared, until) = (self.shared, Instant::now() + OUTAGE);
        while Instant::now() < until && shared.stop.run_until_cancelled(sleep(RETRY_AFTER)).await.is_some() {
            if self.say(why).await.inspect_err(unheard).is_ok() {
                break;
            }
        }
        self.unregister();
    }

    fn unregister(&self) {
        if let Some(held) = self.held() {
            self.shared.hub.unregister(held.session());
        }
    }
}

fn unheard(error: &StoreError) {
    debug!(%error, "a session could not be told that its socket is gone");
}
