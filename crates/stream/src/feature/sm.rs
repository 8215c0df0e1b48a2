//! XEP-0198 Stream Management: counters of both directions, acknowledgements, resumption.
//!
//! Version 1.6.3 of XEP-0198: complete; no `location` is told, for a session is resumed anywhere, and the client's `max` is not looked at (both optional).

use starling_ports::ids::{Handled, LogNumber, SessionId};
use starling_ports::sessions::SmBase;
use starling_stanza::Condition;
use starling_xml::{Raw, ns};

use crate::error::TooHigh;

/// The stream feature.
pub(crate) const FEATURE: &str = "<sm xmlns='urn:xmpp:sm:3'/>";
/// `<r/>`
pub(crate) const REQUEST: &[u8] = b"<r xmlns='urn:xmpp:sm:3'/>";

/// An element of XEP-0198.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// §3
    Enable {
        /// Whether the client wants to resume.
        resume: bool,
    },
    /// §5
    Resume {
        /// Which session; `None` if it cannot be one of ours.
        previous: Option<SessionId>,
        /// How many stanzas the client has handled.
        h: u32,
    },
    /// `<r/>`
    Request,
    /// `<a/>`
    Answer(u32),
    /// Not an element that a client sends, or without what it must have.
    Malformed,
}

/// The element, if `raw` belongs to XEP-0198.
pub(crate) fn read(raw: &Raw) -> Option<Element> {
    let head = &raw.head;
    if head.name.ns() != ns::SM {
        return None;
    }
    let h = || head.attribute("h").and_then(|h| h.parse::<u32>().ok());
    Some(match head.name.local() {
        "enable" => Element::Enable { resume: matches!(head.attribute("resume"), Some("true" | "1")) },
        "r" => Element::Request,
        "a" => h().map_or(Element::Malformed, Element::Answer),
        "resume" => match (head.attribute("previd"), h()) {
            (Some(previd), Some(h)) => Element::Resume { previous: previd.parse().ok(), h },
            _ => Element::Malformed,
        },
        _ => Element::Malformed,
    })
}

/// The counters of a stream on which XEP-0198 is on. They are kept without wrapping and told modulo 2^32 (§4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Where both begin.
    pub(crate) base: SmBase,
    /// Whether the session waits for the client if the connection is lost.
    pub(crate) resumable: bool,
}

impl Counters {
    /// `h` as the client hears it.
    pub(crate) fn h(&self, handled: Handled) -> u32 {
        handled.0.saturating_sub(self.base.handled.0) as u32
    }

    /// Which entry a client means by `h`, given that it has acknowledged `acknowledged` before and was sent `sent`.
    /// A count that falls back is an old one and says nothing new; one above `sent` is an error (§4).
    pub(crate) fn upto(
        &self,
        h: u32,
        acknowledged: LogNumber,
        sent: LogNumber,
    ) -> Result<LogNumber, TooHigh> {
        let known = acknowledged.0.saturating_sub(self.base.sent.0);
        let ahead = h.wrapping_sub(known as u32);
        let outstanding = sent.0.saturating_sub(acknowledged.0);
        if u64::from(ahead) <= outstanding {
            return Ok(LogNumber(acknowledged.0 + u64::from(ahead)));
        }
        let behind = u64::from((known as u32).wrapping_sub(h));
        if behind <= known && behind < 1 << 31 {
            return Ok(acknowledged);
        }
        Err(TooHigh { h, sent: sent.0.saturating_sub(self.base.sent.0) as u32 })
    }
}

/// `<enabled/>`
pub(crate) fn write_enabled(out: &mut Vec<u8>, session: SessionId, seconds: u32) {
    let text = match seconds {
        0 => format!("<enabled xmlns='{}'/>", ns::SM),
        _ => format!("<enabled xmlns='{}' id='{session}' resume='true' max='{seconds}'/>", ns::SM),
    };
    out.extend_from_slice(text.as_bytes());
}

/// `<resumed/>`
pub(crate) fn write_resumed(out: &mut Vec<u8>, session: SessionId, h: u32) {
    out.extend_from_slice(format!("<resumed xmlns='{}' h='{h}' previd='{session}'/>", ns::SM).as_bytes());
}

/// `<failed/>`, with the last `h` where it is known (§5).
pub(crate) fn write_failed(out: &mut Vec<u8>, condition: Condition, h: Option<u32>) {
    out.extend_from_slice(format!("<failed xmlns='{}'", ns::SM).as_bytes());
    if let Some(h) = h {
        out.extend_from_slice(format!(" h='{h}'").as_bytes());
    }
    out.extend_from_slice(format!("><{} xmlns='{}'/></failed>", condition.as_str(), ns::STANZAS).as_bytes());
}

/// `<a/>`
pub(crate) fn write_answer(out: &mut Vec<u8>, h: u32) {
    for part in ["<a xmlns='", ns::SM, "' h='", &h.to_string(), "'/>"] {
        out.extend_from_slice(part.as_bytes()); // said too often to be formatted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(sent: u64) -> Counters {
        let base = SmBase { sent: LogNumber(sent), handled: Handled(3) };
        Counters { base, resumable: true }
    }

    #[test]
    fn h_is_counted_from_the_base() {
        let counters = counters(10);
        assert_eq!(counters.h(Handled(3)), 0);
        assert_eq!(counters.h(Handled(5)), 2);
        assert_eq!(counters.h(Handled(3 + (1 << 32) + 1)), 1);
        assert_eq!(counters.upto(2, LogNumber(10), LogNumber(14)), Ok(LogNumber(12)));
        assert_eq!(counters.upto(4, LogNumber(12), LogNumber(14)), Ok(LogNumber(14)));
    }

    #[test]
    fn h_wraps_at_two_to_the_32() {
        let counters = counters(10);
        let near = LogNumber(10 + u64::from(u32::MAX));
        let sent = LogNumber(near.0 + 5);
        assert_eq!(counters.upto(u32::MAX, near, sent), Ok(near));
        assert_eq!(counters.upto(0, near, sent), Ok(LogNumber(near.0 + 1)));
        assert_eq!(counters.upto(4, near, sent), Ok(sent));
        assert_eq!(counters.upto(5, near, sent), Err(TooHigh { h: 5, sent: 4 }));
    }

    #[test]
    fn an_old_h_says_nothing_and_a_future_one_is_an_error() {
        let counters = counters(10);
        assert_eq!(counters.upto(1, LogNumber(13), LogNumber(14)), Ok(LogNumber(13)));
        assert_eq!(counters.upto(5, LogNumber(13), LogNumber(14)), Err(TooHigh { h: 5, sent: 4 }));
        assert_eq!(
            counters.upto(u32::MAX, LogNumber(10), LogNumber(10)),
            Err(TooHigh { h: u32::MAX, sent: 0 })
        );
    }
}
