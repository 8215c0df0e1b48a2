//! By what a stanza is known when it comes again.

use sha2::{Digest, Sha256};
use starling_jid::Jid;
use starling_ports::sessions::Origin;
use starling_stanza::{Kind, Message, Stanza};
use starling_xml::ns;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Over the client's content; a client that sends again may have added a `<delay/>` (session-log rule 3).
pub(crate) fn hash(stanza: &Stanza) -> u64 {
    match stanza {
        Stanza::Message(message) => hash_message(message),
        Stanza::Presence(_) | Stanza::Iq(_) => {
            digest(stanza.kind(), stanza.type_name(), stanza.to(), stanza.id(), stanza.children())
        }
    }
}

/// The same of a message.
pub(crate) fn hash_message(message: &Message) -> u64 {
    let stripped = message.has(ns::DELAY, "delay").then(|| without_delay(message));
    let content = stripped.as_ref().map_or(message.children(), |message| message.children());
    digest(Kind::Message, message.message_type().as_str(), message.to(), message.id(), content)
}

fn digest(kind: Kind, type_name: &str, to: Option<&Jid>, id: Option<&str>, content: &[u8]) -> u64 {
    let parts = [kind.as_str(), type_name, to.map_or("", Jid::as_str), id.unwrap_or_default()];
    let head = parts.iter().fold(0, |hash, part| xxh3_64_with_seed(part.as_bytes(), hash));
    xxh3_64_with_seed(content, head)
}

/// Digest of bare sender, receiver, origin-id and content, where there is an origin-id (rule 4).
pub(crate) fn origin(message: &Message) -> Option<Origin> {
    let id = message.payload(ns::SID, "origin-id")?;
    let id = id.attr("id")?;
    let stripped = message.has(ns::DELAY, "delay").then(|| without_delay(message));
    let content = stripped.as_ref().map_or(message.children(), |message| message.children());
    let mut digest = Sha256::new();
    for part in [message.from().bare().as_str(), message.to().map_or("", |to| to.as_str()), id] {
        digest.update(part.as_bytes());
        digest.update(b"\0");
    }
    digest.update(content);
    let digest = digest.finalize();
    let half = digest.first_chunk::<16>()?;
    Some(Origin { digest: u128::from_be_bytes(*half) })
}

fn without_delay(message: &Message) -> Message {
    message.without(|child| child.is(ns::DELAY, "delay"))
}
