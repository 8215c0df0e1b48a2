//! XEP-0280 Message Carbons: a user's other devices see what one device sends and receives.
//!
//! Version 1.0.1 of XEP-0280: partial; errors are copied where they quote what they answer, so `urn:xmpp:carbons:rules:0` is not advertised.

use std::sync::Arc;

use async_trait::async_trait;
use starling_ports::delivery::Copy;
use starling_ports::ids::SessionId;
use starling_ports::sessions::{SessionView, View};
use starling_session_router::Plan;
use starling_stanza::{Condition, Message, MessageType, StanzaError};
use starling_xml::ns;

use super::processing_hints;
use crate::hooks::{Answer, At, Case, Hooks, OnIq, OnMessage, Request, Side, Verdict, Xep, XepInfo};
use crate::{Context, Stage};

/// The switch, and the copies.
#[derive(Debug)]
pub(super) struct Carbons;

impl Xep for Carbons {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[280, 297], server: &[ns::CARBONS], account: &[ns::CARBONS] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Own, ns::CARBONS, "enable", self.clone());
        hooks.iq(At::Own, ns::CARBONS, "disable", self.clone());
        hooks.message(Stage::Copy, self);
    }
}

#[async_trait]
impl OnIq for Carbons {
    async fn on_iq(&self, cx: &Context, request: &Request<'_>) -> Answer {
        if !request.is_set() {
            return Err(StanzaError::modify(Condition::BadRequest));
        }
        let on = request.payload.local() == "enable";
        cx.flag(request.session, &|flags| flags.carbons = on).await.map_err(|e| e.to_stanza_error())?;
        Ok(None)
    }
}

impl OnMessage for Carbons {
    fn concerns(&self, _: &Message) -> bool {
        true // what a message is like matters only where there is another device
    }
    fn on_message(&self, case: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict {
        let copy = match case.side {
            Side::Receiver => Copy::CarbonReceived,
            Side::Sender => Copy::CarbonSent,
        };
        // A received copy goes out only where one device got the original (§7); what waits, waits for all.
        if case.side == Side::Receiver && plan.targets.is_empty() {
            return Verdict::Continue;
        }
        let is_other = |session: &&SessionView| {
            session.flags.carbons && !plan.reaches(session.id) && *message.from() != session.jid
        };
        let others: Vec<SessionId> = view.sessions.iter().filter(is_other).map(|one| one.id).collect();
        if !others.is_empty() && is_copied(message, case.side) {
            others.into_iter().for_each(|session| plan.add(session, copy.clone()));
        }
        Verdict::Continue
    }
}

/// §6.1: what people read is copied, unless the sender asked for privacy. `urn:xmpp:carbons:rules:0` is not advertised:
/// which message an error answers is known only where the error quotes it.
pub(crate) fn is_copied(message: &Message, side: Side) -> bool {
    let is_private = message.has(ns::CARBONS, "private") || !processing_hints::may_be_copied(message);
    if is_private || message.payloads().has_ns(ns::CARBONS) {
        return false; // nor is a copy copied
    }
    let is_related = || RELATED.iter().any(|ns| message.payloads().has_ns(ns));
    match message.message_type() {
        MessageType::Groupchat => false,
        _ if is_invitation(message) => true,
        // A private message in a room comes to each device that joined; what one device says there, the others do not see.
        _ if side == Side::Receiver && message.has(ns::MUC_USER, "x") => false,
        MessageType::Chat => true,
        MessageType::Normal | MessageType::Error => message.has_body() || is_related(),
        MessageType::Headline => is_related(),
    }
}

/// By the room (XEP-0045 §7.8.2), or directly (XEP-0249).
fn is_invitation(message: &Message) -> bool {
    let by_room =
        || message.payload(ns::MUC_USER, "x").is_some_and(|x| x.child(ns::MUC_USER, "invite").is_some());
    message.has(DIRECT_INVITATION, "x") || by_room()
}

/// XEP-0249 §2.
const DIRECT_INVITATION: &str = "jabber:x:conference";
/// What belongs to a conversation without a body: receipts, markers, chat states, encrypted content.
const RELATED: [&str; 4] = [ns::RECEIPTS, ns::CHAT_MARKERS, ns::CHATSTATES, ns::OMEMO];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xep::tests::message;

    const BODY: &str = "<body>hi</body>";
    const ROOM: &str = "<x xmlns='http://jabber.org/protocol/muc#user'/>";

    #[test]
    fn what_people_read_is_copied() {
        for (kind, content) in [
            ("chat", ""),
            ("chat", BODY),
            ("normal", BODY),
            ("normal", "<received xmlns='urn:xmpp:receipts' id='1'/>"),
            ("normal", "<active xmlns='http://jabber.org/protocol/chatstates'/>"),
            ("headline", "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"),
            ("error", "<body>hi</body><error type='cancel'/>"),
            ("normal", "<x xmlns='jabber:x:conference' jid='room@muc.example'/>"),
            ("normal", "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>"),
        ] {
            let message = message(kind, content);
            assert!(
                is_copied(&message, Side::Receiver) && is_copied(&message, Side::Sender),
                "{kind} {content}"
            );
        }
    }

    #[test]
    fn the_rest_is_not() {
        for (kind, content) in [
            ("normal", "<subject>x</subject>"),
            ("headline", BODY),
            ("groupchat", BODY),
            ("error", "<error type='cancel'/>"),
            ("chat", "<body>hi</body><private xmlns='urn:xmpp:carbons:2'/>"),
            ("chat", "<body>hi</body><no-copy xmlns='urn:xmpp:hints'/>"),
            ("chat", "<body>hi</body><received xmlns='urn:xmpp:carbons:2'/>"),
            ("chat", "<sent xmlns='urn:xmpp:carbons:2'/>"),
        ] {
            let message = message(kind, content);
            assert!(
                !is_copied(&message, Side::Receiver) && !is_copied(&message, Side::Sender),
                "{kind} {content}"
            );
        }
    }

    #[test]
    fn a_private_message_in_a_room_is_copied_on_its_way_out_only() {
        let message = message("chat", &format!("{BODY}{ROOM}"));
        assert!(is_copied(&message, Side::Sender) && !is_copied(&message, Side::Receiver));
    }
}
