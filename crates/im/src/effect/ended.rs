//! What others must hear of a session that has ended.

use std::sync::Arc;

use starling_jid::{BareJid, Jid};
use starling_ports::Result;
use starling_ports::last_activity::LastActivity;
use starling_ports::sessions::{Ended, Farewell, SessionView, View};
use starling_session_router::Item;
use starling_stanza::{Condition, Iq, IqType, Stanza, StanzaError, Wire};
use starling_xml::{Element, ns};
use tokio::sync::OnceCell;

use super::seen::Allowed;
use crate::Context;

/// What sessions of one account have in common that have gone together, or the only one that has gone: it is read behind the end of all
/// of them, and only once.
#[derive(Default)]
pub(crate) struct Left {
    behind: OnceCell<Behind>,
    noted: OnceCell<()>,
}

/// The account as they have left it.
pub(super) struct Behind {
    pub(super) view: Arc<View>,
    /// Who sees it.
    pub(super) allowed: Allowed,
}

impl Context {
    /// Tells everybody. Whom it cannot tell now is told later (`Sessions::expire`). `left` is shared with the account's other sessions
    /// that have gone before anybody asked it anything.
    pub(crate) async fn finish(&self, ended: Ended, left: &Left) {
        self.router.push(&ended.jid.bare(), ended.handed);
        if let Some(farewell) = ended.farewell {
            self.take_leave(&farewell, left).await;
        }
    }

    /// The same for what is owed of one that was to be told before.
    pub(crate) async fn take_leave(&self, farewell: &Farewell, left: &Left) {
        if let Err(error) = self.say_farewell(farewell, left).await {
            tracing::warn!(%error, "not all have heard yet that a session has gone, trying again");
        }
    }

    /// Whoever asked it gets an error, and whoever believes it to be there hears `unavailable`.
    pub(super) async fn say_farewell(&self, farewell: &Farewell, left: &Left) -> Result<()> {
        self.bounce_all(&farewell.requests).await?;
        let from = Jid::from(farewell.jid.clone());
        self.say_goodbye(farewell, left, None, |to| Context::unavailable(&from, to)).await
    }

    /// What is known of the account since its sessions went: read by the first of them that needs it, for all.
    pub(super) async fn left<'a>(&self, account: &BareJid, left: &'a Left) -> Result<&'a Behind> {
        let read = || async {
            let view = self.stores.sessions.view(account).await?;
            Ok(Behind { allowed: self.allowed_in(&view).await?, view })
        };
        left.behind.get_or_try_init(read).await
    }

    /// XEP-0012: when the last available session went. Once for all that went together.
    pub(super) async fn note_last(
        &self,
        left: &Left,
        behind: &Behind,
        status: Option<Box<str>>,
    ) -> Result<()> {
        let note = || async move {
            if behind.view.exists && behind.view.available().next().is_none() {
                let last = LastActivity { at: self.clock.now(), status };
                self.stores.last_activities.put(&behind.view.account, last).await?;
            }
            Ok(())
        };
        left.noted.get_or_try_init(note).await.copied()
    }

    /// Requests that will never be answered by whom they went to (rule 18).
    async fn bounce_all(&self, requests: &[Wire]) -> Result<()> {
        for wire in requests {
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
