//! XEP-0352 Client State Indication: what an inactive client gets at once; all else waits until it is active again.

use std::sync::Arc;

use starling_ports::sessions::View;
use starling_session_router::Plan;
use starling_stanza::{Message, MessageType};
use starling_xml::{Element, Ns, ns};

use crate::Stage;
use crate::hooks::{Case, Hooks, OnMessage, Verdict, Xep, XepInfo};

/// Says which messages are urgent. Presence never is; what the client asked for always is.
#[derive(Debug)]
pub(crate) struct ClientStates;

impl Xep for ClientStates {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[352], server: &[], account: &[] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.message(Stage::Urge, self);
    }
}

impl OnMessage for ClientStates {
    fn concerns(&self, _: &Message) -> bool {
        true
    }
    fn on_message(&self, _: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict {
        plan.urgent = view.sessions.iter().any(|session| session.flags.inactive) && is_urgent(view, message);
        Verdict::Continue
    }
}

/// Encrypted content, calls (XEP-0353), invitations (XEP-0249): a person is to see them.
const URGENT: [Ns; 6] = [ns::OMEMO, ns::OMEMO_2, ns::OPENPGP, ns::EME, ns::JINGLE_MESSAGE, ns::CONFERENCE];

/// Whether a person would want to be told of it at once: chat states, receipts and notifications are not of that kind.
fn is_urgent(view: &View, message: &Message) -> bool {
    let has_text = || message.has_body() || message.has(ns::CLIENT, "subject");
    match message.message_type() {
        MessageType::Error => true,
        MessageType::Groupchat => message.has(ns::CLIENT, "subject") || mentions(view, message),
        MessageType::Headline => has_text(),
        MessageType::Normal | MessageType::Chat => {
            has_text() || URGENT.iter().any(|ns| message.payloads().has_ns(ns)) || is_invitation(message)
        }
    }
}

/// XEP-0045 §7.8.2: an invitation that comes through the room.
fn is_invitation(message: &Message) -> bool {
    let room = message.payload(ns::MUC_USER, "x");
    room.is_some_and(|room| room.child(ns::MUC_USER, "invite").is_some())
}

/// In a room: whoever is called by name (XEP-0372 §3.2), or whose name stands in the text.
fn mentions(view: &View, message: &Message) -> bool {
    let uri = format!("xmpp:{}", view.account);
    let refers = |reference: &Element| {
        reference.attr("type") == Some("mention")
            && reference.attr("uri").is_some_and(|at| at.starts_with(&uri))
    };
    let name = view.account.local().unwrap_or_default();
    let body = || message.payload(ns::CLIENT, "body").map(|body| body.text().to_lowercase());
    message.payload(ns::REFERENCE, "reference").is_some_and(|reference| refers(&reference))
        || (!name.is_empty() && body().is_some_and(|text| text.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::Side;
    use crate::xep::tests::{case, message, view};

    fn urgent(kind: &str, content: &str) -> bool {
        is_urgent(&view(&[]), &message(kind, content))
    }

    #[test]
    fn what_people_read_is_urgent() {
        for content in [
            "<body>hi</body>",
            "<subject>plans</subject>",
            "<encrypted xmlns='eu.siacs.conversations.axolotl'/>",
            "<encrypted xmlns='urn:xmpp:omemo:2'/>",
            "<openpgp xmlns='urn:xmpp:openpgp:0'/>",
            "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
            "<x xmlns='jabber:x:conference' jid='room@rooms.example'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@a.example'/></x>",
        ] {
            assert!(urgent("chat", content) && urgent("normal", content), "{content}");
        }
        assert!(urgent("error", ""));
        assert!(urgent("headline", "<body>fire</body>"));
    }

    #[test]
    fn what_only_a_client_reads_can_wait() {
        for content in [
            "",
            "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
            "<received xmlns='urn:xmpp:receipts' id='1'/>",
            "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
            "<x xmlns='http://jabber.org/protocol/muc#user'><status code='104'/></x>",
            "<event xmlns='http://jabber.org/protocol/pubsub#event'/>",
        ] {
            assert!(!urgent("chat", content) && !urgent("headline", content), "{content}");
        }
    }

    #[test]
    fn in_a_room_only_what_concerns_the_user_is_urgent() {
        assert!(!urgent("groupchat", "<body>hello all</body>"));
        assert!(urgent("groupchat", "<body>Bob: are you there?</body>"));
        assert!(urgent("groupchat", "<subject>new topic</subject>"));
        let mention = "<body>you!</body><reference xmlns='urn:xmpp:reference:0' type='mention' uri='xmpp:bob@b.example'/>";
        assert!(urgent("groupchat", mention));
        assert!(!urgent("groupchat", &mention.replace("bob@", "carol@")));
    }

    #[test]
    fn nothing_is_looked_at_while_everybody_is_active() {
        let (case, mut plan) = (case(Side::Receiver), Plan::default());
        let mut view = view(&[("phone", Some(0))]);
        let hello = message("chat", "<body>hi</body>");
        ClientStates.on_message(&case, &view, &hello, &mut plan);
        assert!(!plan.urgent);
        view.sessions[0].flags.inactive = true;
        ClientStates.on_message(&case, &view, &hello, &mut plan);
        assert!(plan.urgent);
    }
}
