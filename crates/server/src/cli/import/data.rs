//! What an account has besides messages, as the stores of this server keep it.

use std::collections::BTreeMap;

use bytes::Bytes;
use starling_jid::{BareJid, Jid};
use starling_ports::accounts::ScramKeys;
use starling_ports::documents::Document;
use starling_ports::ids::Timestamp;
use starling_ports::last_activity::LastActivity;
use starling_ports::preferences::{DefaultPreference, Preferences};
use starling_ports::roster::{Contact, Subscription};
use starling_stanza::{Presence, PresenceType};
use starling_stream::sasl;
use starling_stream::sasl::scram::Hash;
use starling_xml::{Element, Raw, ns};

use super::super::pie::{OWN, PIE, SCRAM};
use super::{card, privacy};

/// More rounds than anybody asks of a client; a server that counts them for PLAIN would stand still.
const MAX_ITERATIONS: u32 = 10_000_000;

/// What is not kept, and how often it came.
#[derive(Debug, Default)]
pub(super) struct Lost(pub(super) BTreeMap<String, usize>);

impl Lost {
    pub(super) fn note(&mut self, what: impl Into<String>, count: usize) {
        if count > 0 {
            *self.0.entry(what.into()).or_default() += count;
        }
    }
}

/// One part of an account.
#[derive(Debug, PartialEq)]
pub(super) enum Data {
    Keys(Hash, ScramKeys),
    Contacts(Vec<Contact>),
    Documents(Vec<(Document, Bytes)>),
    /// A vCard, where there is none besides.
    Card(Bytes),
    Blocked(Vec<Jid>),
    Preferences(Preferences),
    /// What the format has no place for, as `starling export` writes it.
    Own(Own),
    Nothing,
}

/// What another Starling knew besides.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Own {
    /// Nobody is to sign in.
    pub(super) suspended: bool,
    pub(super) last: Option<LastActivity>,
    /// Who may subscribe as soon as they ask, and are no contacts (RFC 6121 §3.4).
    pub(super) approved: Vec<Contact>,
}

/// Understands a child of `<user/>`; what cannot be kept is noted.
pub(super) fn read(owner: &BareJid, raw: &Raw, lost: &mut Lost) -> Data {
    let element = raw.to_element();
    match (element.ns(), element.local()) {
        (SCRAM, "scram-credentials") => match keys(&element) {
            Ok((hash, keys)) => Data::Keys(hash, keys),
            Err(why) => {
                lost.note(why, 1);
                Data::Nothing
            }
        },
        (ns::ROSTER, "query") => Data::Contacts(contacts(owner, &element, lost)),
        // Prosody's stand in the namespace of the file.
        (ns::CLIENT | PIE, "presence") => match request(owner, &element) {
            Some(request) => Data::Contacts(vec![request]),
            None => {
                lost.note("presence that is no request to subscribe", 1);
                Data::Nothing
            }
        },
        (ns::VCARD, "vCard") => Data::Documents(vec![(Document::Vcard, element.to_bytes(ns::CLIENT))]),
        (ns::PRIVATE, "query") => Data::Documents(element.children().map(private).collect()),
        (privacy::NS, "query") => Data::Blocked(privacy::blocked(&element, lost)),
        (ns::BLOCKING, "blocklist") => {
            let items: Vec<Option<Jid>> =
                element.children().map(|item| Jid::new(item.attr("jid")?).ok()).collect();
            lost.note("blocked addresses that are none", items.iter().filter(|item| item.is_none()).count());
            Data::Blocked(items.into_iter().flatten().collect())
        }
        (ns::MAM, "prefs") => Data::Preferences(preferences(&element)),
        (ns::PUBSUB, "pubsub") => {
            let card = card::of_nodes(&element);
            let kept = element.children().filter(|items| card.is_some() && card::is_read(items)).count();
            lost.note(
                "nodes of publish-subscribe (PEP), which this server does not have",
                element.children().count() - kept,
            );
            card.map_or(Data::Nothing, |card| Data::Card(card.to_bytes(ns::CLIENT)))
        }
        (OWN, "account") => Data::Own(own(&element)),
        (ns::PUBSUB_OWNER, "pubsub") => Data::Nothing, // how those nodes were configured
        (space, local) => {
            lost.note(format!("<{local} xmlns='{space}'/>"), 1);
            Data::Nothing
        }
    }
}

fn private(element: &Element) -> (Document, Bytes) {
    (Document::Private(element.ns().into(), element.local().into()), element.to_bytes(ns::CLIENT))
}

/// XEP-0227 §3.3.
fn keys(element: &Element) -> Result<(Hash, ScramKeys), &'static str> {
    let (hash, length) = match element.attr("mechanism") {
        Some("SCRAM-SHA-1") => (Hash::Sha1, 20),
        Some("SCRAM-SHA-256") => (Hash::Sha256, 32),
        _ => return Err("sets of SCRAM keys for other hashes than SHA-1 and SHA-256"),
    };
    let field = |name: &str| {
        let text = element.child(SCRAM, name)?.text();
        sasl::decode(text.trim_ascii().as_bytes()).ok()
    };
    let keys = || {
        let iterations = element.child(SCRAM, "iter-count")?.text().trim_ascii().parse().ok()?;
        let keys = ScramKeys {
            iterations,
            salt: field("salt")?,
            stored: field("stored-key")?,
            server: field("server-key")?,
        };
        // ejabberd (23.01 for one) writes base64 of base64.
        let keys = if keys.stored.len() == length { keys } else { decoded_again(keys)? };
        let is_whole = keys.stored.len() == length && keys.server.len() == length && !keys.salt.is_empty();
        (is_whole && (1..=MAX_ITERATIONS).contains(&iterations)).then_some((hash, keys))
    };
    keys().ok_or("sets of SCRAM keys that are damaged")
}

fn decoded_again(keys: ScramKeys) -> Option<ScramKeys> {
    let again = |bytes: &[u8]| sasl::decode(bytes).ok();
    Some(ScramKeys {
        salt: again(&keys.salt)?,
        stored: again(&keys.stored)?,
        server: again(&keys.server)?,
        ..keys
    })
}

fn contacts(owner: &BareJid, roster: &Element, lost: &mut Lost) -> Vec<Contact> {
    let items = roster.children().filter(|item| item.is(ns::ROSTER, "item"));
    let items: Vec<Option<Contact>> = items.map(contact).collect();
    lost.note("contacts whose address is none", items.iter().filter(|item| item.is_none()).count());
    items.into_iter().flatten().filter(|contact| contact.jid != *owner).collect()
}

/// RFC 6121 §2.1.2.
fn contact(item: &Element) -> Option<Contact> {
    let subscription = item.attr("subscription").unwrap_or("none");
    let (to, from) = (matches!(subscription, "to" | "both"), matches!(subscription, "from" | "both"));
    Some(Contact {
        jid: Jid::new(item.attr("jid")?).ok()?.bare(),
        name: item.attr("name").filter(|name| !name.is_empty()).map(Into::into),
        groups: item
            .children()
            .filter(|child| child.is(ns::ROSTER, "group"))
            .map(|group| group.text().into())
            .collect(),
        state: Subscription {
            to,
            from,
            pending_out: !to && item.attr("ask") == Some("subscribe"),
            pending_in: false,
            approved: matches!(item.attr("approved"), Some("true" | "1")),
        },
        version: 0,
        request: None,
        listed: true,
    })
}

/// A request that waits for an answer (RFC 6121 §3.1.3).
fn request(owner: &BareJid, presence: &Element) -> Option<Contact> {
    let from = Jid::new(presence.attr("from")?).ok()?.bare();
    let children: Vec<Element> = presence.children().filter(|child| child.ns() != PIE).cloned().collect();
    let (jid, to) = (from.clone().into(), Some(owner.clone().into()));
    let whole = Presence::own(PresenceType::Subscribe, jid, to, &children).with_id(presence.attr("id"));
    let asks = Subscription { pending_in: true, ..Subscription::default() };
    let request = Some(whole.wire().as_bytes().clone());
    (presence.attr("type") == Some("subscribe")).then(|| Contact { request, ..stranger(from, asks) })
}

/// XEP-0441 §2.
fn preferences(prefs: &Element) -> Preferences {
    let jids = |name: &str| {
        let list = prefs.child(ns::MAM, name);
        list.map(|list| list.children().filter_map(|jid| Jid::new(&jid.text()).ok()).collect())
            .unwrap_or_default()
    };
    Preferences {
        default: match prefs.attr("default") {
            Some("never") => DefaultPreference::Never,
            Some("roster") => DefaultPreference::Roster,
            _ => DefaultPreference::Always,
        },
        always: jids("always"),
        never: jids("never"),
    }
}

fn own(element: &Element) -> Own {
    let last = element.child(OWN, "last").and_then(|last| {
        let (at, status) = (Timestamp::from_xep_0082(last.attr("at")?)?, last.text());
        Some(LastActivity { at, status: (!status.is_empty()).then(|| status.into()) })
    });
    let approved = element.children().filter(|child| child.is(OWN, "approved"));
    let approved = approved.filter_map(|one| Some(Jid::new(one.attr("jid")?).ok()?.bare()));
    Own {
        suspended: element.child(OWN, "suspended").is_some(),
        last,
        approved: approved
            .map(|jid| stranger(jid, Subscription { approved: true, ..Subscription::default() }))
            .collect(),
    }
}

/// Somebody whom the user does not see as a contact.
fn stranger(jid: BareJid, state: Subscription) -> Contact {
    Contact { jid, name: None, groups: Vec::new(), state, version: 0, request: None, listed: false }
}

/// What is known of a contact already, and what comes to it: the roster and the requests stand apart in the file.
pub(super) fn merged(known: Option<&Contact>, new: Contact) -> Contact {
    let Some(known) = known else { return new };
    let (item, request) = if new.listed { (&new, known) } else { (known, &new) };
    let pending_in = !item.state.from && (item.state.pending_in || request.state.pending_in);
    Contact {
        state: Subscription { pending_in, ..item.state },
        request: request.request.clone().or_else(|| item.request.clone()).filter(|_| pending_in),
        ..item.clone()
    }
}

#[cfg(test)]
mod tests;
