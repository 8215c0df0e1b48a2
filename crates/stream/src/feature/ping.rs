//! XEP-0199 pings of the server: the answer acknowledges everything written before (session-log rule 19).

use starling_jid::FullJid;
use starling_ports::ids::LogNumber;
use starling_xml::{Raw, ns};

use crate::error::attribute;

/// A ping that was sent and not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ping {
    /// The last entry written before it; names it, too.
    pub(crate) upto: LogNumber,
}

impl Ping {
    fn id(self) -> String {
        format!("ack-{:x}", self.upto.0)
    }

    /// Writes it.
    pub(crate) fn write(self, out: &mut Vec<u8>, jid: &FullJid, declared: bool) {
        out.extend_from_slice(b"<iq");
        if !declared {
            attribute(out, "xmlns", ns::CLIENT);
        }
        attribute(out, "to", jid.as_str());
        attribute(out, "from", jid.domain());
        attribute(out, "id", &self.id());
        out.extend_from_slice(b" type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
    }

    /// Whether `raw` answers it; that it cannot be answered is an answer too.
    pub(crate) fn is_answered_by(self, raw: &Raw, jid: &FullJid) -> bool {
        let head = &raw.head;
        head.name.is(ns::CLIENT, "iq")
            && matches!(head.attribute("type"), Some("result" | "error"))
            && head.attribute("to").is_none_or(|to| to == jid.domain())
            && head.attribute("id").is_some_and(|id| id == self.id())
    }
}
