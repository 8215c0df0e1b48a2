//! XEP-0313 Message Archive Management, XEP-0441 preferences: what is archived, and how its owner reads it.
//!
//! Version 1.1.3 of XEP-0313: partial; archives of accounts, since there are no rooms and no nodes.
//! Version 0.2.0 of XEP-0441: complete.

mod answer;
mod preferences;
mod query;

use std::sync::Arc;

use starling_jid::Jid;
use starling_ports::archive::{Direction, Table};
use starling_ports::preferences::{DefaultPreference, Preferences};
use starling_ports::sessions::{Keep, View};
use starling_session_router::Plan;
use starling_stanza::{Condition, IqType, Message, MessageType, StanzaError};
use starling_xml::{Ns, ns};

pub use self::preferences::write as write_preferences;
use super::processing_hints::{Storing, storing};
use super::{carbons, offline};
use crate::Stage;
use crate::hooks::{At, Case, Hooks, OnMessage, Side, Verdict, Xep, XepInfo};

/// The archive of each account.
#[derive(Debug)]
pub(crate) struct Mam;

impl Xep for Mam {
    fn info(&self) -> XepInfo {
        XepInfo { numbers: &[313, 441], server: &[], account: &[ns::MAM, ns::MAM_EXTENDED] }
    }
    fn attach(self: Arc<Self>, hooks: &mut Hooks) {
        hooks.guard(ns::MAM, &[IqType::Get, IqType::Set]); // §8: an archive is its owner's alone
        for name in ["query", "metadata", "prefs"] {
            hooks.iq(At::Own, ns::MAM, name, self.clone());
        }
        hooks.message(Stage::Keep, self);
    }
}

impl OnMessage for Mam {
    fn concerns(&self, message: &Message) -> bool {
        is_archived(message)
    }
    fn on_message(&self, case: &Case, view: &View, message: &Message, plan: &mut Plan) -> Verdict {
        let own = Jid::from(view.account.clone());
        let other = match case.side {
            Side::Receiver => message.from(),
            Side::Sender => message.to().unwrap_or(&own),
        };
        if case.archive && wants(&view.preferences, other, case.in_roster) {
            if case.side == Side::Receiver && case.quotas.is_archive_full(view) {
                plan.refusal = Some(StanzaError::wait(Condition::ResourceConstraint)); // RFC 6120 §8.3.3.18
                return Verdict::Stop;
            }
            plan.keep = Some(match case.side {
                Side::Receiver => offline::keep(view, message, Table::Archive),
                Side::Sender => sent(message, other),
            });
        }
        Verdict::Continue
    }
}

fn sent(message: &Message, to: &Jid) -> Keep {
    Keep {
        with: to.bare(),
        direction: Direction::Sent,
        resource: to.resource().map(Into::into),
        deliverable: false,
        copied: carbons::is_copied(message, Side::Sender),
        table: Table::Archive,
        only_if_nobody: false,
    }
}

/// Belongs to a conversation though it has no body: encrypted content, receipts and markers by which other devices know
/// what was read, reactions, retractions, calls, invitations.
const RELATED: [Ns; 10] = [
    ns::OMEMO,
    ns::OMEMO_2,
    ns::OPENPGP,
    ns::EME,
    ns::RECEIPTS,
    ns::CHAT_MARKERS,
    ns::REACTIONS,
    ns::RETRACT,
    ns::JINGLE_MESSAGE,
    ns::CONFERENCE,
];

/// §5.1.1: what people say to one another, and no state changes. XEP-0334 has the last word.
fn is_archived(message: &Message) -> bool {
    let is_conversation = || {
        message.has_body()
            || message.has(ns::CLIENT, "subject")
            || RELATED.iter().any(|ns| message.payloads().has_ns(ns))
    };
    match (message.message_type(), storing(message)) {
        (MessageType::Groupchat | MessageType::Headline | MessageType::Error, _) => false,
        (_, Storing::Never | Storing::Temporary) => false,
        (_, Storing::Wanted) => true,
        (_, Storing::Usual) => is_conversation(),
    }
}

/// XEP-0441 §2, "JID matching": an entry without a resource stands for all of them; `never` wins.
fn wants(preferences: &Preferences, other: &Jid, in_roster: bool) -> bool {
    let bare = other.bare();
    let lists = |list: &[Jid]| {
        list.iter().any(|entry| match entry.resource() {
            Some(_) => entry == other,
            None => entry.as_str() == bare.as_str(),
        })
    };
    if lists(&preferences.never) {
        return false;
    }
    lists(&preferences.always)
        || match preferences.default {
            DefaultPreference::Always => true,
            DefaultPreference::Never => false,
            DefaultPreference::Roster => in_roster,
        }
}

#[cfg(test)]
mod tests;
