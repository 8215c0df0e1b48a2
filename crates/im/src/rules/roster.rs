//! RFC 6121 §2: roster items as clients write them and as they are written to clients.

use starling_jid::BareJid;
use starling_ports::roster::{Contact, Roster};
use starling_stanza::{Condition, StanzaError};
use starling_xml::{Element, ns};

/// One change that a client asks for (§2.1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// Add it, or give it another name and other groups.
    Put {
        /// Who.
        jid: BareJid,
        /// The user's name for it.
        name: Option<Box<str>>,
        /// Its groups.
        groups: Vec<Box<str>>,
    },
    /// Remove it.
    Remove(BareJid),
}

/// The longest name or group, in bytes (§2.3.3 leaves it to the server).
const MAX_NAME: usize = 1023;

/// §2.3.3: exactly one item, no group twice, no empty group, nothing too long.
pub fn read(query: &Element) -> Result<Wish, StanzaError> {
    let bad = || StanzaError::modify(Condition::BadRequest);
    let mut items = query.children().filter(|child| child.is(ns::ROSTER, "item"));
    let item = match (items.next(), items.next()) {
        (Some(item), None) => item,
        _ => return Err(bad()),
    };
    let jid = BareJid::new(item.attr("jid").ok_or_else(bad)?);
    let jid = jid.map_err(|_| StanzaError::modify(Condition::JidMalformed))?;
    if item.attr("subscription") == Some("remove") {
        return Ok(Wish::Remove(jid));
    }
    let name = item.attr("name").filter(|name| !name.is_empty());
    let mut groups: Vec<Box<str>> = Vec::new();
    for group in item.children().filter(|child| child.is(ns::ROSTER, "group")) {
        let group = group.text();
        if group.is_empty() || group.len() > MAX_NAME {
            return Err(StanzaError::modify(Condition::NotAcceptable));
        }
        if groups.iter().any(|known| **known == *group) {
            return Err(bad());
        }
        groups.push(group.into());
    }
    if name.is_some_and(|name| name.len() > MAX_NAME) || groups.len() > 64 {
        return Err(StanzaError::modify(Condition::NotAcceptable));
    }
    Ok(Wish::Put { jid, name: name.map(Into::into), groups })
}

/// §2.1.2.
pub fn item(contact: &Contact) -> Element {
    let mut item = Element::new(ns::ROSTER, "item")
        .with_attr("jid", contact.jid.as_str())
        .with_attr("subscription", contact.state.as_str());
    if let Some(name) = &contact.name {
        item = item.with_attr("name", &**name);
    }
    if contact.state.pending_out {
        item = item.with_attr("ask", "subscribe");
    }
    if contact.state.approved {
        item = item.with_attr("approved", "true");
    }
    contact
        .groups
        .iter()
        .fold(item, |item, group| item.with_child(Element::new(ns::ROSTER, "group").with_text(group)))
}

/// §2.1.6: what the push of a contact that is gone says.
pub fn removed(jid: &BareJid) -> Element {
    Element::new(ns::ROSTER, "item").with_attr("jid", jid.as_str()).with_attr("subscription", "remove")
}

/// A query element with items.
pub fn query(version: u64, items: impl IntoIterator<Item = Element>) -> Element {
    let query = Element::new(ns::ROSTER, "query").with_attr("ver", version.to_string());
    items.into_iter().fold(query, Element::with_child)
}

/// What changed since `version`, oldest first, as one push each (§2.6.3); `None` if the whole roster must be sent.
pub fn changes(roster: &Roster, version: u64) -> Option<Vec<(u64, Element)>> {
    if version < roster.since || version > roster.version {
        return None;
    }
    let put = roster.contacts.iter().filter(|contact| contact.version > version && contact.listed);
    let gone = roster
        .removed
        .iter()
        .filter(|(jid, at)| *at > version && roster.contact(jid).is_none_or(|contact| !contact.listed));
    let mut changes: Vec<(u64, Element)> = put.map(|contact| (contact.version, item(contact))).collect();
    changes.extend(gone.map(|(jid, at)| (*at, removed(jid))));
    changes.sort_by_key(|(version, _)| *version);
    Some(changes)
}
