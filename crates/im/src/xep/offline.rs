//! XEP-0160 Offline Messages: what waits for an account until one of its devices has acknowledged it.
//!
//! Version 1.0.1 of XEP-0160: complete.

use std::sync::Arc;

use starling_ports::archive::{Direction, Table};
use starling_ports::sessions::{Keep, View};
use starling_session_router::Plan;
use starling_stanza::{Condition, Message, MessageType, StanzaError};
use starling_xml::ns;

use super::carbons;
use super::processing_hints::{Storing, storing};
use crate::Stage;
use crate::hooks::{Case, Hooks, OnMessage, Side, Verdict, Xep, XepInfo};

/// Keeps what is readable, whether a device is there or not: a device that is there may die before it has got it.
#[derive(Debug)]
pub(crate) struct Offline;

impl Xep for Offline {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[160], server: &[FEATURE], account: &[FEATURE] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.message(Stage::Keep, self);
    }
}

/// §4.
const FEATURE: &str = "msgoffline";

impl OnMessage for Offline {
    fn concerns(&self, _: &Message) -> bool {
        true
    }
    fn on_message(&self, case: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict {
        if case.side == Side::Sender {
            return Verdict::Continue;
        }
        let nobody = plan.targets.is_empty();
        if !waits(message) {
            if nobody && !is_fleeting(message) {
                // RFC 6121 §8.5.2.2.1: what can neither be delivered nor kept is not dropped in silence.
                plan.refusal = Some(StanzaError::cancel(Condition::ServiceUnavailable));
            }
            return if nobody { Verdict::Stop } else { Verdict::Continue };
        }
        if nobody && case.quotas.has_enough_waiting(view) {
            plan.refusal = Some(StanzaError::wait(Condition::ResourceConstraint));
            return Verdict::Stop;
        }
        plan.keep.get_or_insert_with(|| keep(view, message, Table::Spool)).deliverable = true;
        if let Some(keep) = plan.keep.as_mut().filter(|keep| keep.table == Table::Spool) {
            let has_sm = |id| view.sessions.iter().any(|session| session.id == id && session.flags.sm);
            keep.only_if_nobody = !case.sender_sm && !plan.targets.iter().any(|(id, _)| has_sm(*id));
        }
        Verdict::Continue
    }
}

/// What is kept of a message at the account it is addressed to.
pub(super) fn keep(view: &View, message: &Message, table: Table) -> Keep {
    // Only where that device was there; a chat message to one that is gone is for the account (RFC 6121 §8.5.3.2.1).
    let resource =
        message.to().and_then(|to| to.resource()).filter(|resource| view.session(resource).is_some());
    Keep {
        with: message.from().bare(),
        direction: Direction::Received,
        resource: resource.map(Into::into),
        deliverable: false,
        copied: carbons::is_copied(message, Side::Receiver),
        table,
        only_if_nobody: false,
    }
}

/// §3: `normal` and `chat`, unless there is nothing in it for later, or the sender does not want it kept.
fn waits(message: &Message) -> bool {
    let is_for_later = || !is_fleeting(message);
    match (message.message_type(), storing(message)) {
        (MessageType::Groupchat | MessageType::Headline | MessageType::Error, _) | (_, Storing::Never) => {
            false
        }
        (_, Storing::Wanted) => true,
        (_, Storing::Usual | Storing::Temporary) => is_for_later(),
    }
}

/// Nothing but chat states (XEP-0085) and what goes with them.
fn is_fleeting(message: &Message) -> bool {
    message.payloads().iter().all(|payload| {
        [ns::CHATSTATES, ns::HINTS, ns::SID, ns::NICK].contains(&payload.ns())
            || payload.is(ns::CLIENT, "thread")
    })
}

#[cfg(test)]
mod tests {
    use starling_ports::delivery::Copy;
    use starling_ports::ids::SessionId;
    use starling_stanza::ErrorType;

    use super::*;
    use crate::Quotas;
    use crate::xep::tests::{case, message, stamped, view};

    const BODY: &str = "<body>hi</body>";
    const COMPOSING: &str = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";

    fn decide(case: &Case, view: &View, message: &Message, targets: &[u128]) -> Plan {
        let mut plan = Plan::default();
        targets.iter().for_each(|id| plan.add(SessionId(*id), Copy::Original));
        Offline.on_message(case, view, message, &mut plan);
        plan
    }

    fn at_home(kind: &str, content: &str) -> Plan {
        decide(&case(Side::Receiver), &view(&[("phone", Some(0))]), &message(kind, content), &[1])
    }

    fn nobody_there(kind: &str, content: &str) -> Plan {
        decide(&case(Side::Receiver), &view(&[]), &message(kind, content), &[])
    }

    #[test]
    fn what_people_write_waits() {
        for kind in ["chat", "normal"] {
            for plan in [at_home(kind, BODY), nobody_there(kind, BODY)] {
                let keep = plan.keep.unwrap();
                assert!(keep.deliverable && keep.table == Table::Spool, "{keep:?}");
                assert_eq!((keep.with.as_str(), keep.resource), ("alice@a.example", None));
            }
        }
        for content in
            ["<subject>s</subject>", "<received xmlns='urn:xmpp:receipts' id='1'/>", "<x xmlns='unknown'/>"]
        {
            assert!(nobody_there("chat", content).keep.is_some(), "{content}");
        }
    }

    #[test]
    fn chat_states_are_for_now_and_nobody_is_told() {
        for content in [COMPOSING.to_owned(), format!("{COMPOSING}<thread>t</thread>"), String::new()] {
            let plan = nobody_there("chat", &content);
            assert!(plan.keep.is_none() && plan.refusal.is_none(), "{content}");
            assert!(at_home("chat", &content).keep.is_none());
        }
        assert!(nobody_there("chat", &format!("{COMPOSING}<store xmlns='urn:xmpp:hints'/>")).keep.is_some());
    }

    #[test]
    fn other_types_do_not_wait() {
        for kind in ["headline", "groupchat", "error"] {
            assert!(at_home(kind, BODY).keep.is_none(), "{kind}");
        }
    }

    #[test]
    fn what_must_not_be_kept_and_finds_nobody_is_refused() {
        let content = format!("{BODY}<no-store xmlns='urn:xmpp:hints'/>");
        assert!(at_home("chat", &content).keep.is_none());
        let refusal = nobody_there("chat", &content).refusal.unwrap();
        assert_eq!(refusal.condition, Condition::ServiceUnavailable);
        let temporary = format!("{BODY}<no-permanent-store xmlns='urn:xmpp:hints'/>");
        assert_eq!(nobody_there("chat", &temporary).keep.unwrap().table, Table::Spool);
    }

    #[test]
    fn the_resource_is_kept_only_where_it_is_bound() {
        let to = |resource: &str| {
            stamped(&format!("<message to='bob@b.example/{resource}' type='chat'>{BODY}</message>"))
        };
        let view = view(&[("phone", Some(-1))]);
        let kept =
            |resource| decide(&case(Side::Receiver), &view, &to(resource), &[1]).keep.unwrap().resource;
        assert_eq!(kept("phone").as_deref(), Some("phone"));
        assert_eq!(kept("gone"), None);
    }

    #[test]
    fn past_the_quota_the_sender_is_told_to_wait() {
        let mut full = view(&[]);
        full.waiting = 10_000;
        let refused = decide(&case(Side::Receiver), &full, &message("chat", BODY), &[]).refusal.unwrap();
        assert_eq!((refused.kind, refused.condition), (ErrorType::Wait, Condition::ResourceConstraint));
        (full.waiting, full.waiting_bytes) = (1, 64 << 20);
        assert!(decide(&case(Side::Receiver), &full, &message("chat", BODY), &[]).refusal.is_some());
        let quotas = Quotas { offline_messages: 0, offline_bytes: 0, ..Quotas::default() };
        let unlimited = Case { quotas, ..case(Side::Receiver) };
        assert!(decide(&unlimited, &full, &message("chat", BODY), &[]).keep.is_some());
    }

    #[test]
    fn whoever_reads_slowly_is_not_over_quota() {
        let mut full = view(&[("phone", Some(0))]);
        full.waiting = 100_000;
        assert!(decide(&case(Side::Receiver), &full, &message("chat", BODY), &[1]).keep.is_some());
    }

    #[test]
    fn without_any_acknowledgement_a_row_is_written_only_for_nobody() {
        let mut there = view(&[("phone", Some(0))]);
        let only_if_nobody = |case: &Case, view: &View| {
            decide(case, view, &message("chat", BODY), &[1]).keep.unwrap().only_if_nobody
        };
        assert!(only_if_nobody(&case(Side::Receiver), &there));
        assert!(!only_if_nobody(&Case { sender_sm: true, ..case(Side::Receiver) }, &there));
        there.sessions[0].flags.sm = true;
        assert!(!only_if_nobody(&case(Side::Receiver), &there));
    }

    #[test]
    fn the_sender_keeps_nothing_for_itself() {
        assert!(decide(&case(Side::Sender), &view(&[]), &message("chat", BODY), &[]).keep.is_none());
    }
}
