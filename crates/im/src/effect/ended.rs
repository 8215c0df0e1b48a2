//! What others must hear of a session that has ended.

use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::last_activity::LastActivity;
use starling_ports::sessions::{Ended, SessionView};
use starling_session_router::Item;
use starling_stanza::{Condition, Iq, IqType, Kind, Stanza, StanzaError, Wire};
use starling_xml::{Element, ns};

use super::presence::Told;
use crate::Context;

impl Context {
    /// Tells everybody. `announced`: its contacts hear `unavailable`, once, unless they never knew it.
    pub(crate) async fn finish(&self, ended: Ended, announced: bool) {
        let account = ended.jid.bare();
        self.router.push(&account, ended.handed.clone());
        if let Err(error) = self.bounce_all(&ended.undelivered).await {
            tracing::warn!(%error, "requests to an ended session were not answered");
        }
        if !announced {
            return;
        }
        let from = Jid::from(ended.jid);
        let told = Told { all: ended.available.is_some(), directed: ended.directed };
        let said = self.say_goodbye(&from, told, None, |to| Context::unavailable(&from, to)).await;
        if let Err(error) = said {
            tracing::warn!(%error, "the end of a session was not announced everywhere");
        }
    }

    /// XEP-0012: when the last available session went.
    pub(crate) async fn note_last(&self, account: &BareJid, status: Option<Box<str>>) -> Result<()> {
        let view = self.stores.sessions.view(account).await?;
        if view.exists && view.available().next().is_none() {
            let last = LastActivity { at: self.clock.now(), status };
            self.stores.last_activities.put(account, last).await?;
        }
        Ok(())
    }

    /// Requests that will never be answered by whom they went to (rule 18).
    async fn bounce_all(&self, undelivered: &[Wire]) -> Result<()> {
        for wire in undelivered.iter().filter(|wire| wire.kind() == Kind::Iq) {
            let Some((asker, bounce)) = bounce(wire) else { continue };
            let item = Item::own(&Stanza::Iq(bounce));
            let takes = |session: &SessionView| asker.resource() == Some(session.jid.resource());
            self.push(&asker.bare(), &[item], &takes).await?;
        }
        Ok(())
    }
}

/// Who asked, and the error for it; `None` for what was no request.
fn bounce(wire: &Wire) -> Option<(Jid, Iq)> {
    let mut bytes = Vec::new();
    wire.write(&mut bytes, false, None, &[]);
    let iq = Element::parse(&bytes, ns::CLIENT).ok()?;
    if !matches!(iq.attr("type"), Some("get" | "set")) {
        return None;
    }
    let asker = Jid::new(iq.attr("from")?).ok()?;
    let asked = Jid::new(iq.attr("to")?).ok()?;
    let error = StanzaError::cancel(Condition::ServiceUnavailable).to_element();
    Some((asker.clone(), Iq::own(IqType::Error, asked, Some(asker), iq.attr("id")?, error)))
}
