//! By what a stanza is known when it comes again.

use sha2::{Digest, Sha256};
use starling_ports::sessions::Origin;
use starling_stanza::{Message, Stanza};
use starling_xml::ns;

/// FNV-1a over the client's content; a client that sends again may have added a `<delay/>` (session-log rule 3).
pub(crate) fn hash(stanza: &Stanza) -> u64 {
    let stripped = match stanza {
        Stanza::Message(message) if message.has(ns::DELAY, "delay") => Some(without_delay(message)),
        _ => None,
    };
    let content = stripped.as_ref().map_or(stanza.children(), |message| message.children());
    let to = stanza.to().map_or("", |to| to.as_str());
    let parts = [stanza.kind().as_str(), stanza.type_name(), to, stanza.id().unwrap_or_default()];
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        fold(&mut hash, part.as_bytes());
        fold(&mut hash, b"\0");
    }
    fold(&mut hash, content);
    hash
}

fn fold(hash: &mut u64, bytes: &[u8]) {
    for byte in bytes {
        *hash = (*hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
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
