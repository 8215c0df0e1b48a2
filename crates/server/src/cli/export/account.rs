//! One account, as a `<user/>` of the format.

use anyhow::Result;
use starling_im::rules::roster::item;
use starling_im::xep::write_preferences;
use starling_jid::BareJid;
use starling_ports::accounts::{Account, Accounts, Credentials, ScramKeys};
use starling_ports::blocklist::{BlockList, BlockLists};
use starling_ports::documents::Document;
use starling_ports::last_activity::{LastActivities, LastActivity};
use starling_ports::preferences::PreferenceStore;
use starling_ports::roster::{Contact, Roster, Rosters};
use starling_stanza::{Presence, PresenceType, Wire};
use starling_stream::sasl::scram::encode;
use starling_xml::{Element, ns};

use super::super::pie;
use super::file::Whole;
use super::source::Source;
use super::{Counts, messages, opened};

/// XEP-0016, as which the format has whom a user blocks.
const PRIVACY: &str = "jabber:iq:privacy";
/// What the list of those is called.
const LIST: &str = "blocked";

/// Nothing of an account that was removed meanwhile.
pub(super) async fn write(
    source: &Source,
    owner: &BareJid,
    out: &mut Whole,
    counts: &mut Counts,
) -> Result<()> {
    let stores = source.stores();
    let Some(account) = Accounts::get(stores, owner).await? else { return Ok(()) };
    out.write(&opened("user", "name", owner.local().unwrap_or_default()))?;
    counts.accounts += 1;
    counts.keyless += usize::from(account.credentials == Credentials::default());
    let keys = [("SCRAM-SHA-1", &account.credentials.sha1), ("SCRAM-SHA-256", &account.credentials.sha256)];
    for (mechanism, keys) in keys {
        line(out, keys.as_ref().map(|keys| credentials(mechanism, keys)).as_ref())?;
    }
    let roster = Rosters::get(stores, owner).await?;
    counts.contacts += roster.listed();
    line(out, contacts(&roster).as_ref())?;
    for contact in roster.contacts.iter().filter(|contact| contact.state.pending_in) {
        out.write(&request(owner, contact))?;
    }
    let blocked = BlockLists::get(stores, owner).await?;
    counts.blocked += blocked.items.len();
    line(out, denied(&blocked).as_ref())?;
    let documents = source.documents(owner).await?;
    counts.documents += documents.len();
    let mut private = Element::new(ns::PRIVATE, "query");
    for (document, xml) in &documents {
        let element = Element::parse(xml, ns::CLIENT)?;
        match document {
            Document::Vcard => line(out, Some(&element))?,
            Document::Private(..) => private.push(element),
        }
    }
    line(out, Some(&private).filter(|private| !private.nodes().is_empty()))?;
    line(out, PreferenceStore::get(stores, owner).await?.as_ref().map(write_preferences).as_ref())?;
    let last = LastActivities::get(stores, owner).await?;
    line(out, own(&account, last.as_ref(), &roster).as_ref())?;
    // The archive comes first: what waits is known there by its ids.
    counts.archived += messages::archive(stores, owner, out).await?;
    counts.waiting += messages::waiting(stores, owner, out).await?;
    out.write(b"</user>\n")
}

fn line(out: &mut Whole, element: Option<&Element>) -> Result<()> {
    let Some(element) = element else { return Ok(()) };
    let mut bytes = Vec::new();
    element.write(&mut bytes, pie::PIE);
    bytes.push(b'\n');
    out.write(&bytes)
}

fn credentials(mechanism: &str, keys: &ScramKeys) -> Element {
    let field = |name: &str, text: &str| Element::new(pie::SCRAM, name).with_text(text);
    Element::new(pie::SCRAM, "scram-credentials")
        .with_attr("mechanism", mechanism)
        .with_child(field("iter-count", &keys.iterations.to_string()))
        .with_child(field("salt", &encode(&keys.salt)))
        .with_child(field("server-key", &encode(&keys.server)))
        .with_child(field("stored-key", &encode(&keys.stored)))
}

fn contacts(roster: &Roster) -> Option<Element> {
    let listed = roster.contacts.iter().filter(|contact| contact.listed).map(item);
    let query = listed.fold(Element::new(ns::ROSTER, "query"), Element::with_child);
    (!query.nodes().is_empty()).then_some(query)
}

/// A request that waits for an answer, as it came.
fn request(owner: &BareJid, contact: &Contact) -> Vec<u8> {
    let came = contact.request.clone().and_then(Wire::from_bytes);
    let wire = came.unwrap_or_else(|| {
        let (from, to) = (contact.jid.clone().into(), owner.clone().into());
        Presence::own(PresenceType::Subscribe, from, Some(to), &[]).wire()
    });
    let mut out = Vec::new();
    wire.write(&mut out, false, None, &[]);
    out.push(b'\n');
    out
}

fn denied(blocked: &BlockList) -> Option<Element> {
    let named = |name: &str| Element::new(PRIVACY, name).with_attr("name", LIST);
    let mut list = named("list");
    for (order, jid) in blocked.items.iter().enumerate() {
        let item = Element::new(PRIVACY, "item")
            .with_attr("type", "jid")
            .with_attr("value", jid.as_str())
            .with_attr("action", "deny")
            .with_attr("order", (order + 1).to_string());
        list.push(item);
    }
    let query = Element::new(PRIVACY, "query").with_child(named("default"));
    (!blocked.items.is_empty()).then(|| query.with_child(list))
}

/// What only this server knows: that nobody may sign in, when somebody was last there, and who may subscribe before he has asked.
fn own(account: &Account, last: Option<&LastActivity>, roster: &Roster) -> Option<Element> {
    let mut own = Element::new(pie::OWN, "account");
    if account.suspended {
        own.push(Element::new(pie::OWN, "suspended"));
    }
    if let Some(LastActivity { at, status }) = last {
        let last = Element::new(pie::OWN, "last").with_attr("at", at.to_xep_0082());
        own.push(match status {
            Some(status) => last.with_text(status),
            None => last,
        });
    }
    for contact in roster.contacts.iter().filter(|contact| !contact.listed && contact.state.approved) {
        own.push(Element::new(pie::OWN, "approved").with_attr("jid", contact.jid.as_str()));
    }
    (!own.nodes().is_empty()).then_some(own)
}
