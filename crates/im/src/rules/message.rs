//! RFC 6121 §8.5 for messages: to which sessions of an account one goes. The one place where that is decided.

use starling_ports::delivery::Copy;
use starling_ports::ids::SessionId;
use starling_ports::sessions::{SessionView, View};
use starling_stanza::{Condition, Message, MessageType, StanzaError};

use crate::Stage;
use crate::hooks::{Case, Hooks, OnMessage, Side, Verdict};

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To these sessions.
    To(Vec<SessionId>),
    /// Nobody is there for it: it waits, if it is of a kind that waits (XEP-0160).
    Later,
    /// Nothing is done, and nobody is told.
    Ignore,
    /// The sender is told.
    Refuse(StanzaError),
}

/// The table of §8.5.4. A session that waits for resumption counts as connected: its contacts think so too.
pub fn route(view: &View, kind: MessageType, resource: Option<&str>) -> Route {
    if !view.exists {
        return match kind {
            // §8.5.4: as where there is an account and nobody is there.
            MessageType::Headline | MessageType::Error => Route::Ignore,
            _ => unavailable(), // §8.5.1
        };
    }
    if let Some(resource) = resource {
        if let Some(session) = view.session(resource) {
            return Route::To(vec![session.id]); // §8.5.3.1: whatever its type or the priority
        }
        return match kind {
            // §8.5.3.2.1: as if it had been sent to the bare JID.
            MessageType::Chat => to_account(view, kind),
            // It must not reach another resource. Ignoring is allowed too, but the sender would not know.
            MessageType::Normal | MessageType::Groupchat => unavailable(),
            MessageType::Headline | MessageType::Error => Route::Ignore,
        };
    }
    to_account(view, kind)
}

/// §8.5.2, for the bare JID.
fn to_account(view: &View, kind: MessageType) -> Route {
    match kind {
        MessageType::Groupchat => return unavailable(),
        MessageType::Error => return Route::Ignore,
        MessageType::Normal | MessageType::Chat | MessageType::Headline => {}
    }
    // §8.5.2.1.1: every one with a priority that is not negative.
    let sessions: Vec<SessionId> =
        view.sessions.iter().filter(|session| takes(session)).map(|s| s.id).collect();
    match (sessions.is_empty(), kind) {
        (false, _) => Route::To(sessions),
        (true, MessageType::Headline) => Route::Ignore, // §8.5.2.2.1
        (true, _) => Route::Later,
    }
}

fn takes(session: &SessionView) -> bool {
    session.available.as_ref().is_some_and(|available| available.priority >= 0)
}

fn unavailable() -> Route {
    Route::Refuse(StanzaError::cancel(Condition::ServiceUnavailable))
}

/// Takes the table's place among the modules.
#[derive(Debug)]
pub struct Routing;

impl Routing {
    pub(crate) fn attach(hooks: &mut Hooks) {
        hooks.message(Stage::Route, std::sync::Arc::new(Routing));
    }
}

impl OnMessage for Routing {
    fn concerns(&self, _: &Message) -> bool {
        true
    }
    fn on_message(
        &self,
        case: &Case,
        view: &View,
        message: &Message,
        plan: &mut starling_session_router::Plan,
    ) -> Verdict {
        if case.side == Side::Sender {
            return Verdict::Continue; // it goes to nobody here; only copies are made
        }
        let resource = message.to().and_then(|to| to.resource());
        match route(view, message.message_type(), resource) {
            Route::To(sessions) => sessions.into_iter().for_each(|session| plan.add(session, Copy::Original)),
            Route::Later => {}
            Route::Ignore => return Verdict::Stop,
            Route::Refuse(error) => {
                plan.refusal = Some(error);
                return Verdict::Stop;
            }
        }
        Verdict::Continue
    }
}

#[cfg(test)]
mod tests;
