//! The bytes of a stanza, open at their end: what is told to one receiver only is appended when they are written.

use bytes::{BufMut, Bytes};
use starling_jid::Jid;
use starling_xml::{escape_attr, ns, write_attr};

use crate::{Kind, Parts};

/// A stanza as canonical XML in the namespace `jabber:client`, without its end tag.
///
/// Live, carbon, archived, offline and resent copies are all written from one `Wire`, so their content is byte-equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    kind: Kind,
    open: Bytes,
}

impl Wire {
    pub(crate) fn of(parts: &Parts) -> Wire {
        let head = &*parts.head;
        let mut out = Vec::with_capacity(parts.children.len() + 160);
        out.put_u8(b'<');
        out.put_slice(head.kind.as_str().as_bytes());
        if let Some(to) = &head.to {
            write_attr(&mut out, " to='", to.as_str());
        }
        write_attr(&mut out, " from='", head.from.as_str());
        if !head.type_name.is_empty() {
            write_attr(&mut out, " type='", head.type_name);
        }
        if let Some(id) = &head.id {
            write_attr(&mut out, " id='", id);
        }
        if let Some(lang) = &head.lang {
            write_attr(&mut out, " xml:lang='", lang);
        }
        out.put_u8(b'>');
        out.put_slice(&parts.children);
        Wire { kind: head.kind, open: out.into() }
    }

    /// What `as_bytes` gave before; `None` if these are not such bytes.
    pub fn from_bytes(open: Bytes) -> Option<Wire> {
        let kind = match open.get(..3)? {
            b"<me" => Kind::Message,
            b"<pr" => Kind::Presence,
            b"<iq" => Kind::Iq,
            _ => return None,
        };
        Some(Wire { kind, open })
    }

    /// Which stanza it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The bytes, open at their end: for a store, and for the link between nodes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.open
    }

    /// How many bytes it takes, without what is appended.
    pub fn len(&self) -> usize {
        self.open.len() + self.kind.as_str().len() + 3
    }

    /// Never: a stanza has a name.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The same with more content, which must be canonical XML in `jabber:client`.
    pub fn with(&self, more: &[u8]) -> Wire {
        let mut open = Vec::with_capacity(self.open.len() + more.len());
        open.extend_from_slice(&self.open);
        open.extend_from_slice(more);
        Wire { kind: self.kind, open: open.into() }
    }

    /// Whether the stanza has the attribute `name` with this value.
    pub fn has_attribute(&self, name: &str, value: &str) -> bool {
        let mut wanted = Vec::with_capacity(value.len());
        escape_attr(&mut wanted, value);
        self.attribute(name).is_some_and(|found| found == wanted)
    }

    /// The value of the attribute `name`, escaped as it stands there. Reads no more than the start tag, in which `>` and `'`
    /// stand for nothing else: canonical XML escapes them in values.
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        // Behind every second quote the next attribute begins.
        let mut parts = self.open.split(|byte| matches!(byte, b'\'' | b'>'));
        let named = |part: &[u8]| {
            Some(part.strip_suffix(b"=")?.rsplit(|byte| *byte == b' ').next()? == name.as_bytes())
        };
        loop {
            let (before, value) = (parts.next()?, parts.next()?);
            if named(before)? {
                return Some(value);
            }
        }
    }

    /// Writes the stanza. `to` replaces nothing: it is written only where the stanza has no `to` of its own.
    /// `declared` says whether the stream header has declared `jabber:client` already (RFC 6120 yes, RFC 7395 no).
    pub fn write(&self, out: &mut Vec<u8>, declared: bool, to: Option<&Jid>, more: &[u8]) {
        let name = self.kind.as_str();
        out.reserve(self.len() + more.len() + 64);
        let (start, rest) = self.open.split_at((name.len() + 1).min(self.open.len()));
        out.put_slice(start);
        if !declared {
            write_attr(out, " xmlns='", ns::CLIENT);
        }
        if let Some(to) = to.filter(|_| !rest.starts_with(b" to='")) {
            write_attr(out, " to='", to.as_str());
        }
        out.put_slice(rest);
        out.put_slice(more);
        out.put_slice(b"</");
        out.put_slice(name.as_bytes());
        out.put_u8(b'>');
    }
}
