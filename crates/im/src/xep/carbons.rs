//! XEP-0280 Message Carbons: a user's other devices see what one device sends and receives.

use std::sync::Arc;

use async_trait::async_trait;
use starling_ports::delivery::Copy;
use starling_ports::sessions::View;
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
        XepInfo { numbers: &[280, 297], server: &[ns::CARBONS, RULES], account: &[ns::CARBONS, RULES] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.iq(At::Own, ns::CARBONS, "enable", self.clone());
        hooks.iq(At::Own, ns::CARBONS, "disable", self.clone());
        hooks.message(Stage::Copy, self);
    }
}

/// §6.1: the server follows the recommended rules.
const RULES: &str = "urn:xmpp:carbons:rules:0";

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
    fn concerns(&self, message: &Message) -> bool {
        is_copied(message)
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
        for session in view.sessions.iter().filter(|session| session.flags.carbons) {
            if !plan.reaches(session.id) && *message.from() != session.jid {
                plan.add(session.id, copy.clone());
            }
        }
        Verdict::Continue
    }
}

/// §6.1: what people read is copied, unless the sender asked for privacy.
pub(crate) fn is_copied(message: &Message) -> bool {
    let is_private = message.has(ns::CARBONS, "private") || !processing_hints::may_be_copied(message);
    let is_readable = match message.message_type() {
        // A private message of a room is the room's affair: each device joined by itself (§6.1).
        MessageType::Chat => !message.has(ns::MUC_USER, "x"),
        MessageType::Normal => message.has_body() || RELATED.iter().any(|ns| message.payloads().has_ns(ns)),
        MessageType::Groupchat | MessageType::Headline | MessageType::Error => false,
    };
    is_readable && !is_private && !message.payloads().has_ns(ns::CARBONS)
}

/// What belongs to a conversation without a body: receipts, markers, chat states, encrypted content.
const RELATED: [&str; 4] = [ns::RECEIPTS, ns::CHAT_MARKERS, ns::CHATSTATES, ns::OMEMO];
