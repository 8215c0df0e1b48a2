//! Messages of an archive or that wait, as rows.

use sha2::{Digest, Sha256};
use starling_jid::BareJid;
use starling_ports::archive::{Born, Direction, Row};
use starling_ports::ids::{ArchiveId, Timestamp};
use starling_stanza::{Draft, Message, MessageType, Stanza};
use starling_xml::{Element, Limits, Raw, ns};

const ARCHIVED: &str = "urn:xmpp:mam:tmp";
const OLD_DELAY: &str = "jabber:x:delay";
const FORWARDED: Limits =
    Limits { bytes: 16 << 20, depth: 64, attributes: 256, namespaces: 1024, children: 200_000 };
/// How far above its time an id of this server's own may be.
const DAY: u64 = 86_400_000_000;

/// A message, understood.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) at: Timestamp,
    message: Message,
    id: Option<String>,
    /// The same for the same message, whether it waits or is archived.
    pub(super) digest: u128,
}

impl Kept {
    /// XEP-0227 §3.5. Without a time it came when the account did, which is `created`; nothing is newer than that.
    pub(super) fn offline(owner: &BareJid, raw: Raw, created: Timestamp) -> Option<Kept> {
        let raw_element = raw.to_element();
        let at = delayed(owner, &raw_element).unwrap_or(created);
        let is_id = |child: &&Element| child.is(ns::SID, "stanza-id") && is_own(owner, child.attr("by"));
        let id = raw_element.children().find(is_id).and_then(|id| id.attr("id"));
        let id = id.filter(|id| id.parse::<ArchiveId>().is_ok()).map(str::to_owned);
        Kept::new(owner, raw, at.min(created), id)
    }

    /// XEP-0227 §3.10: as XEP-0313 hands it out.
    pub(super) fn archived(owner: &BareJid, result: &Raw, created: Timestamp) -> Option<Kept> {
        let id = result.head.attribute("id").map(str::to_owned);
        let forwarded = result
            .elements(FORWARDED)
            .ok()?
            .into_iter()
            .find(|raw| raw.head.name.is(ns::FORWARD, "forwarded"))?;
        let parts = forwarded.elements(FORWARDED).ok()?;
        let delay = parts.iter().find(|raw| raw.head.name.is(ns::DELAY, "delay"))?;
        let at = Timestamp::from_xep_0082(delay.head.attribute("stamp")?.trim_ascii())?;
        let message = parts.into_iter().find(|raw| raw.head.name.is(ns::CLIENT, "message"))?;
        Kept::new(owner, message, at.min(created), id)
    }

    fn new(owner: &BareJid, raw: Raw, at: Timestamp, id: Option<String>) -> Option<Kept> {
        let Some(Stanza::Message(message)) = Draft::read(raw).ok()?.kept_elsewhere(owner) else {
            return None;
        };
        let message = message.without(|child| is_of_server(owner, child));
        let digest = digest(&message);
        let kept = Kept { at, message, id, digest };
        Some(match kept.own_id() {
            Some(ArchiveId { number, random }) => {
                Kept { digest: u128::from(number) << 64 | u128::from(random), ..kept }
            }
            None => kept,
        })
    }

    /// An id that this server has given, for one of its exports.
    fn own_id(&self) -> Option<ArchiveId> {
        let id = self.id.as_deref()?.parse::<ArchiveId>().ok()?;
        (self.at.0..=self.at.0 + DAY).contains(&id.number).then_some(id)
    }

    pub(super) fn is_ours(&self) -> bool {
        self.own_id().is_some()
    }

    /// The row. Ids of this server's own are kept; of others, the number is the time, or else the next after `last`, and the rest is
    /// the same whenever it is imported.
    pub(super) fn row(self, owner: &BareJid, last: Option<u64>, deliverable: bool) -> Row {
        let id = self.own_id().unwrap_or_else(|| {
            let number = last.map_or(self.at.0, |last| self.at.0.max(last + 1));
            ArchiveId { number, random: random(owner, self.id.as_deref(), self.digest) }
        });
        let (from, to) = (self.message.from().bare(), self.message.to().map(|to| to.bare()));
        let to = to.unwrap_or_else(|| owner.clone());
        let is_sent = from == *owner && to != *owner;
        let is_read = matches!(self.message.message_type(), MessageType::Chat | MessageType::Normal);
        Row {
            id,
            at: self.at,
            with: if is_sent { to } else { from },
            direction: if is_sent { Direction::Sent } else { Direction::Received },
            resource: None,
            deliverable,
            copied: is_read && self.message.has_body(),
            origin: None,
            born: Born::default(),
            wire: self.message.wire(),
        }
    }
}

/// When the server of the account took it.
fn delayed(owner: &BareJid, message: &Element) -> Option<Timestamp> {
    let delays = || message.children().filter(|child| child.is(ns::DELAY, "delay"));
    let own = delays().find(|delay| is_own(owner, delay.attr("from"))).or_else(|| delays().next());
    if let Some(stamp) = own.and_then(|delay| delay.attr("stamp")) {
        return Timestamp::from_xep_0082(stamp.trim_ascii());
    }
    let stamp = message.child(OLD_DELAY, "x")?.attr("stamp")?; // XEP-0091: 20020910T23:08:25
    let (date, time) = stamp.split_once('T')?;
    let date = [date.get(..4)?, date.get(4..6)?, date.get(6..)?].join("-");
    Timestamp::from_xep_0082(&format!("{date}T{time}Z"))
}

fn is_own(owner: &BareJid, jid: Option<&str>) -> bool {
    jid.is_some_and(|jid| jid == owner.domain() || jid == owner.as_str())
}

/// What the former server has added, and this one adds anew.
fn is_of_server(owner: &BareJid, child: &Element) -> bool {
    match (child.ns(), child.local()) {
        (ns::DELAY, "delay") | (OLD_DELAY, "x") => is_own(owner, child.attr("from")),
        (ns::SID, "stanza-id") | (ARCHIVED, "archived") => is_own(owner, child.attr("by")),
        _ => false,
    }
}

fn digest(message: &Message) -> u128 {
    let bare = message.without(|child| child.is(ns::DELAY, "delay"));
    let parts = [message.from().as_str(), message.message_type().as_str(), message.id().unwrap_or_default()];
    let mut digest = Sha256::new();
    parts.iter().for_each(|part| digest.update([part.as_bytes(), b"\0"].concat()));
    digest.update(bare.children());
    first(digest)
}

fn random(owner: &BareJid, id: Option<&str>, digest: u128) -> u64 {
    let mut random = Sha256::new();
    random.update([owner.as_str().as_bytes(), b"\0"].concat());
    match id {
        Some(id) => random.update(id),
        None => random.update(digest.to_be_bytes()),
    }
    (first(random) >> 64) as u64
}

fn first(digest: Sha256) -> u128 {
    digest.finalize().first_chunk().copied().map(u128::from_be_bytes).unwrap_or_default()
}
