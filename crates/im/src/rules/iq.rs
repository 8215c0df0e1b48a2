//! RFC 6121 §8.5 for requests and answers that go to a full JID; the server answers all others itself.

use starling_jid::Jid;
use starling_ports::sessions::View;
use starling_session_router::Plan;
use starling_stanza::{Condition, StanzaError};

/// §8.5.3: to that session or to nobody. An answer that finds nobody is dropped.
pub fn route(view: &View, from: &Jid, resource: &str, is_request: bool) -> Plan {
    let session = if super::is_blocked(view, from) { None } else { view.session(resource) };
    match session {
        Some(session) => Plan { urgent: true, ..Plan::to([session.id]) },
        None if is_request => Plan::refuse(StanzaError::cancel(Condition::ServiceUnavailable)),
        None => Plan::default(),
    }
}
