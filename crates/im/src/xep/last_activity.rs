//! XEP-0012 Last Activity: when a contact went, and for how long the server has run.
//!
//! Version 2.0 of XEP-0012: complete.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use starling_jid::BareJid;
use starling_stanza::{Condition, Iq, IqType, StanzaError};
use starling_xml::{Element, ns};

use crate::Context;
use crate::hooks::{Admission, Answer, At, Hooks, OnIq, Request, Xep, XepInfo};

/// Tells it to those who may see the account's presence.
#[derive(Debug)]
pub(super) struct LastActivity {
    since: Instant,
}

impl LastActivity {
    /// The server runs from now on.
    pub(super) fn new() -> LastActivity {
        LastActivity { since: Instant::now() }
    }
}

impl Xep for LastActivity {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[12], server: &[ns::LAST], account: &[ns::LAST] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.guard(ns::LAST, &[IqType::Get, IqType::Set]);
        hooks.admit(ns::LAST, self.clone());
        for at in [At::Server, At::Own, At::Account] {
            hooks.iq(at, ns::LAST, "query", self.clone());
        }
    }
}

#[async_trait]
impl OnIq for LastActivity {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        if request.at == At::Account {
            check(cx, &request.to, &request.from().bare()).await?;
        }
        if request.is_set() {
            return Err(StanzaError::cancel(Condition::NotAllowed));
        }
        if request.at == At::Server {
            return Ok(Some(answer(self.since.elapsed().as_secs(), ""))); // §5: uptime
        }
        let unavailable = |error: starling_ports::StoreError| error.to_stanza_error();
        let view = cx.stores.sessions.view(&request.to).await.map_err(unavailable)?;
        if view.available().next().is_some() {
            return Ok(Some(answer(0, ""))); // §3
        }
        match cx.stores.last_activities.get(&request.to).await.map_err(unavailable)? {
            Some(last) => {
                let ago = cx.clock.now().since(last.at).as_secs();
                Ok(Some(answer(ago, last.status.as_deref().unwrap_or_default())))
            }
            None => Err(StanzaError::cancel(Condition::ItemNotFound)), // it was never there
        }
    }
}

#[async_trait]
impl Admission for LastActivity {
    /// §4: it is not even delivered to a session, unless the asker sees the presence of it.
    async fn admit(&self, cx: &Context, owner: &BareJid, iq: &Iq) -> Result<(), StanzaError> {
        check(cx, owner, &iq.from().bare()).await
    }
}

/// §3: who does not see the account's presence learns nothing of it.
async fn check(cx: &Context, owner: &BareJid, asker: &BareJid) -> Result<(), StanzaError> {
    let roster = cx.stores.rosters.get(owner).await.map_err(|error| error.to_stanza_error())?;
    match roster.contact(asker).is_some_and(|contact| contact.state.from) {
        true => Ok(()),
        false => Err(StanzaError::auth(Condition::Forbidden)),
    }
}

fn answer(seconds: u64, status: &str) -> Element {
    Element::new(ns::LAST, "query").with_attr("seconds", seconds.to_string()).with_text(status)
}
