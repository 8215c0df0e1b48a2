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

#[cfg(test)]
mod tests {
    use starling_ports::blocklist::BlockList;

    use super::*;
    use crate::xep::tests::view;

    fn asked(view: &View, resource: &str, is_request: bool) -> Plan {
        route(view, &Jid::new("alice@a.example/desk").unwrap(), resource, is_request)
    }

    /// §8.5.3.1, §8.5.3.2.3: presence and priority do not matter; a request is always answered, an answer never is.
    #[test]
    fn a_request_goes_to_its_session_or_comes_back() {
        let there = view(&[("phone", None), ("desk", Some(-1))]);
        let unavailable = Some(StanzaError::cancel(Condition::ServiceUnavailable));
        for is_request in [true, false] {
            let plan = asked(&there, "phone", is_request);
            assert!(plan.reaches(there.sessions[0].id) && plan.urgent && plan.refusal.is_none());
            assert!(asked(&there, "desk", is_request).reaches(there.sessions[1].id));
        }
        assert_eq!(asked(&there, "gone", true).refusal, unavailable);
        let nobody = asked(&there, "gone", false);
        assert!(!nobody.has_effect() && nobody.refusal.is_none());
    }

    /// XEP-0191 §3.3: who is blocked cannot tell it from nobody being there.
    #[test]
    fn who_is_blocked_hears_that_nobody_is_there() {
        let blocked = BlockList { items: vec![Jid::new("alice@a.example").unwrap()] };
        let there = View { blocked: blocked.into(), ..view(&[("phone", Some(0))]) };
        assert_eq!(asked(&there, "phone", true).refusal, asked(&there, "gone", true).refusal);
        assert!(!asked(&there, "phone", false).has_effect());
    }
}
