//! What the server itself answers to requests (RFC 6120 §8.2.3): which module does.

use parking_lot::Mutex;
use starling_jid::Jid;
use starling_ports::ingress::SessionRef;
use starling_stanza::{Condition, Iq, StanzaError};

use super::Pipeline;
use crate::hooks::{Answer, At, Later, Request};
use crate::rules;

impl Pipeline {
    /// What the server answers to a request.
    pub(super) async fn answer(
        &self,
        session: &SessionRef,
        at: At,
        iq: &Iq,
        again: bool,
        later: &Mutex<Later>,
    ) -> Answer {
        let unavailable = || StanzaError::cancel(Condition::ServiceUnavailable);
        let payload = iq.request().ok_or_else(|| StanzaError::modify(Condition::BadRequest))?;
        let to = iq.to().map_or_else(|| session.jid.bare(), Jid::bare);
        if iq.to().is_some_and(|to| to.resource().is_some()) {
            return Err(unavailable()); // domain/resource: nothing of ours has such an address
        }
        if at == At::Account {
            // RFC 6121 §8.5.1, XEP-0191 §3.4: who does not exist and who blocks cannot be told apart.
            let view = self.cx.stores.sessions.view(&to).await.map_err(|error| error.to_stanza_error())?;
            if rules::is_blocked(&view, iq.from()) {
                return Err(self.hooks.refusal(iq));
            }
            if !view.exists {
                return self.hooks.answer_of_nobody(iq);
            }
        }
        let found = self.hooks.find(at, payload.ns(), payload.local());
        // Without `to` clients also ask what only the server answers.
        let server = || {
            iq.to().is_none().then(|| self.hooks.find(At::Server, payload.ns(), payload.local())).flatten()
        };
        let module = found.or_else(server).ok_or_else(|| self.hooks.refusal(iq))?.clone();
        module.on_iq(&self.cx, &Request { session, at, to, iq, payload, again, later }).await
    }
}
