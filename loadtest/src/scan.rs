//! Cuts a server's byte stream into stanzas, and finds what the load needs in one: a scanner, no parser.

use memchr::{memchr, memmem};
use std::ops::Range;

/// What the scanner found next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The stream header.
    Open,
    /// One whole child of the stream.
    Stanza(&'a [u8]),
    /// The end of the stream.
    Close,
}

/// Bytes in, stanzas out. Trusts the server to send well-formed XML: it measures, it does not judge.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    bytes: Vec<u8>,
    consumed: usize,
    at: usize,
    depth: usize,
    is_framed: bool,
}

enum Found {
    Open,
    Stanza(Range<usize>),
    Close,
}

impl Scanner {
    /// For elements that come without a stream around them (RFC 7395).
    pub(crate) fn framed() -> Self {
        Self { depth: 1, is_framed: true, ..Self::default() }
    }

    /// Where a read puts its bytes. What was handed out before is dropped.
    pub(crate) fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.consumed);
        self.at -= self.consumed;
        self.consumed = 0;
        &mut self.bytes
    }

    /// Forgets the stream, as after STARTTLS and SASL (RFC 6120 §5.4.3.3, §6.4.6), and the memory it took.
    pub(crate) fn reset(&mut self) {
        *self = if self.is_framed { Self::framed() } else { Self::default() };
    }

    /// Gives unused memory back, so that an idle connection holds none.
    pub(crate) fn shrink(&mut self) {
        self.space().shrink_to_fit();
    }

    /// The next event, if it has arrived as a whole.
    pub(crate) fn next(&mut self) -> Option<Event<'_>> {
        Some(match self.find()? {
            Found::Open => Event::Open,
            Found::Close => Event::Close,
            Found::Stanza(range) => Event::Stanza(self.bytes.get(range).unwrap_or_default()),
        })
    }

    fn find(&mut self) -> Option<Found> {
        loop {
            let rest = self.bytes.get(self.at..)?;
            let start = self.at + memchr(b'<', rest)?;
            let end = start + tag_end(self.bytes.get(start..)?)?;
            let tag = self.bytes.get(start..end)?;
            self.at = end;
            if tag.starts_with(b"<?") || tag.starts_with(b"<!") {
                continue;
            }
            if self.depth <= 1 && !tag.starts_with(b"</") {
                self.consumed = start;
            }
            if tag.starts_with(b"</") {
                self.depth = self.depth.saturating_sub(1);
            } else if !tag.ends_with(b"/>") {
                self.depth += 1;
                if self.depth == 1 {
                    self.consumed = end;
                    return Some(Found::Open);
                }
                continue;
            }
            if self.depth == 1 {
                let stanza = self.consumed..end;
                self.consumed = end;
                return Some(Found::Stanza(stanza));
            }
            if self.depth == 0 {
                self.consumed = end;
                return Some(Found::Close);
            }
        }
    }
}

/// One past the `>` that ends the tag at the start of `bytes`; a `>` within quotes does not.
fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (index, &byte) in bytes.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(index + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The name of the outermost element.
pub(crate) fn name(stanza: &[u8]) -> &[u8] {
    let inner = stanza.get(1..).unwrap_or_default();
    let end = inner.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
    inner.get(..end.unwrap_or(inner.len())).unwrap_or_default()
}

/// An attribute of the outermost element, as written.
pub(crate) fn attribute<'a>(stanza: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let tag = stanza.get(..tag_end(stanza)?)?;
    let mut from = 0;
    while let Some(found) = memmem::find(tag.get(from..)?, wanted.as_bytes()) {
        let start = from + found;
        from = start + wanted.len();
        let is_whole = start.checked_sub(1).and_then(|at| tag.get(at)).is_some_and(u8::is_ascii_whitespace);
        if let (true, Some([b'=', quote @ (b'"' | b'\''), value @ ..])) = (is_whole, tag.get(from..)) {
            return value.get(..memchr(*quote, value)?);
        }
    }
    None
}

/// The text between the first `<name …>` and the next tag.
pub(crate) fn text<'a>(stanza: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut from = 0;
    while let Some(found) = memmem::find(stanza.get(from..)?, name.as_bytes()) {
        let start = from + found;
        from = start + name.len();
        let opens = start.checked_sub(1).and_then(|at| stanza.get(at)) == Some(&b'<');
        let ends = stanza.get(from).is_some_and(|byte| matches!(byte, b'>' | b' ' | b'/'));
        if opens && ends {
            let tag = stanza.get(start - 1..)?;
            let content = tag.get(tag_end(tag)?..)?;
            return content.get(..memchr(b'<', content)?);
        }
    }
    None
}

/// Each `<name …` within, from its `<` to the end of the stanza.
pub(crate) fn elements<'a>(stanza: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let (open, mut from) = (format!("<{name}"), 0);
    std::iter::from_fn(move || {
        loop {
            let start = from + memmem::find(stanza.get(from..)?, open.as_bytes())?;
            from = start + open.len();
            if stanza.get(from).is_some_and(|byte| matches!(byte, b'>' | b' ' | b'/')) {
                return stanza.get(start..);
            }
        }
    })
}

/// Whether the stanza holds `needle` anywhere.
pub(crate) fn holds(stanza: &[u8], needle: &str) -> bool {
    memmem::find(stanza, needle.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "<?xml version='1.0'?><stream:stream id='a>b'><stream:features><a/><b>x</b></stream:features>\n\
        <r xmlns='sm'/><message id='7'><body>hi &gt;</body></message></stream:stream>";

    fn all(chunk: usize) -> Vec<String> {
        let (mut scanner, mut seen) = (Scanner::default(), Vec::new());
        for part in STREAM.as_bytes().chunks(chunk) {
            scanner.space().extend_from_slice(part);
            while let Some(event) = scanner.next() {
                seen.push(match event {
                    Event::Open => "open".to_owned(),
                    Event::Close => "close".to_owned(),
                    Event::Stanza(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                });
            }
        }
        seen
    }

    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives() {
        let whole = all(STREAM.len());
        assert_eq!(
            whole,
            [
                "open",
                "<stream:features><a/><b>x</b></stream:features>",
                "<r xmlns='sm'/>",
                "<message id='7'><body>hi &gt;</body></message>",
                "close"
            ]
        );
        for chunk in 1..40 {
            assert_eq!(all(chunk), whole, "in pieces of {chunk}");
        }
    }

    #[test]
    fn only_whole_attribute_names_of_the_outer_element_are_found() {
        let stanza = b"<iq xid='1' id=\"2\" type='result'><query node='n'/></iq>";
        assert_eq!(name(stanza), b"iq");
        assert_eq!(attribute(stanza, "id"), Some(&b"2"[..]));
        assert_eq!(attribute(stanza, "node"), None);
    }

    #[test]
    fn text_is_taken_from_the_named_element_only() {
        let stanza = b"<message><bodyguard>no</bodyguard><body xml:lang='en'>12 34</body></message>";
        assert_eq!(text(stanza, "body"), Some(&b"12 34"[..]));
        assert_eq!(text(stanza, "thread"), None);
    }
}
