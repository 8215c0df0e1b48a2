//! The end of a connection: what was read is still handled, and its session hears that the socket is gone.

use starling_ports::authentication::Reply;
use starling_ports::ingress::{Answered, Handling, SessionRef};
use starling_ports::sessions::{Claimed, Detach};
use starling_stream::Input;
use tracing::debug;

use super::{Driver, Held};

impl Driver<'_> {
    /// After the end: what was read is still handled, then the session hears that its socket is gone.
    pub(crate) async fn finish(&mut self, why: Option<Detach>) {
        self.waiting = None;
        if let Some(call) = self.call.take() {
            // A session that was bound or resumed for nobody is let go at once, and so is a SASL exchange.
            let session = match (call.await, self.resuming) {
                (Input::Authenticated(Reply::Challenge(_)), _) => {
                    self.exchange.into_iter().for_each(|exchange| self.shared.authentication.abort(exchange));
                    None
                }
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
        let Some(Held { session, outbox, .. }) = self.held() else { return };
        if let Some(submit) = self.submit.take() {
            let answer = submit.await;
            self.is_unknown |= !matches!(answer, Ok(Answered { handling: Handling::Done(_), .. }));
        }
        let drafts = self.machine.take_drafts();
        // Behind stanzas that are not handled, or of which nothing is known, none may go (session-log rule 1), or an `h` would cover
        // what was not done: the client sends them all again.
        let is_unknown = self.is_unknown
            || self.again.as_ref().is_some_and(|again| again.is_under_way())
            || outbox.is_forgotten();
        if !drafts.is_empty() && !is_unknown {
            let _ = self.shared.ingress.submit(session, drafts).await;
        }
        if let Some(pull) = self.pull.take() {
            let _ = pull.await;
        }
        if let Some(upto) = self.acknowledge.take() {
            let _ = self.shared.ingress.acknowledge(session, upto).await;
        }
        self.shared.hub.unregister(session.id, outbox.epoch());
        if let Some(why) = why
            && let Err(error) = self.shared.ingress.detach(session, why).await
        {
            debug!(%error, "a session could not be told that its socket is gone");
        }
    }
}
