//! Direct children found in canonical content by their bytes, without a tree.

use bytes::Bytes;
use memchr::memchr;

use crate::{Element, Name};

/// One direct child, or the text between two.
pub(crate) struct Span<'a> {
    bytes: &'a [u8],
    tag: &'a [u8], // the start tag; empty for text
}

/// Walks over canonical content: there `<` only begins a tag and `>` only ends one.
pub(crate) struct Spans<'a>(&'a [u8]);

impl<'a> Spans<'a> {
    pub(crate) fn new(content: &'a [u8]) -> Spans<'a> {
        Spans(content)
    }
    pub(crate) fn elements(self) -> impl Iterator<Item = Span<'a>> {
        self.filter(|span| !span.tag.is_empty())
    }
}

impl<'a> Iterator for Spans<'a> {
    type Item = Span<'a>;

    fn next(&mut self) -> Option<Span<'a>> {
        let all = self.0;
        let text = memchr(b'<', all).unwrap_or(all.len());
        if text > 0 {
            let (bytes, rest) = all.split_at(text);
            self.0 = rest;
            return Some(Span { bytes, tag: &[] });
        }
        let (mut end, mut depth, mut first) = (0, 0usize, None);
        loop {
            let rest = all.get(end..)?;
            let start = memchr(b'<', rest)?;
            let tag = rest.get(start..)?;
            let tag = tag.get(..=memchr(b'>', tag)?)?;
            first = first.or(Some(tag));
            end += start + tag.len();
            match tag {
                [_, b'/', ..] => depth = depth.saturating_sub(1),
                [.., b'/', b'>'] => {}
                _ => depth += 1,
            }
            if depth == 0 {
                let (bytes, rest) = all.split_at(end);
                self.0 = rest;
                return Some(Span { bytes, tag: first? });
            }
        }
    }
}

impl Span<'_> {
    /// All of it.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes
    }
    /// The name of the element.
    pub(crate) fn name(&self, default_ns: &str) -> Option<Name> {
        if let Some(name) = plain(self.tag, default_ns) {
            return Some(name);
        }
        let mut tag = self.tag.strip_suffix(b">")?.to_vec();
        if tag.last() != Some(&b'/') {
            tag.push(b'/');
        }
        tag.push(b'>');
        Some(Element::parse(&tag, default_ns).ok()?.name().clone())
    }
    fn may_be(&self, local: &str) -> bool {
        let name = self.tag.get(1..).unwrap_or_default();
        let end = name.iter().position(|byte| matches!(byte, b' ' | b'/' | b'>')).unwrap_or(name.len());
        let name = name.get(..end).unwrap_or_default();
        match memchr(b':', name) {
            Some(colon) => name.get(colon + 1..) == Some(local.as_bytes()),
            None => name == local.as_bytes(),
        }
    }
}

/// The name that a start tag of the usual kind has: without a prefix, and with no attribute but its namespace. Others need a parser.
fn plain(tag: &[u8], default_ns: &str) -> Option<Name> {
    let inside = tag.strip_prefix(b"<")?.strip_suffix(b">")?;
    let inside = std::str::from_utf8(inside.strip_suffix(b"/").unwrap_or(inside)).ok()?;
    let (local, declared) = match inside.split_once(" xmlns='") {
        Some((local, rest)) => (local, rest.strip_suffix('\'')?),
        None => (inside, default_ns),
    };
    let is_simple = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_local =
        local.starts_with(|first: char| first.is_ascii_alphabetic()) && local.bytes().all(is_simple);
    // What stands for something else, and what may not be declared at all, is left to the parser.
    let is_literal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'\'');
    let is_ns = !declared.is_empty() && declared.bytes().all(is_literal) && !declared.starts_with(RESERVED);
    (is_local && is_ns).then(|| Name::new(declared, local))
}

/// Where the namespaces of XML itself are.
const RESERVED: &str = "http://www.w3.org/";

/// The first direct child `<local xmlns='ns'/>` of canonical content, as a tree.
pub fn child(children: &[u8], default_ns: &str, ns: &str, local: &str) -> Option<Element> {
    Spans::new(children)
        .elements()
        .filter(|span| span.may_be(local))
        .filter_map(|span| Element::parse(span.bytes, default_ns).ok())
        .find(|element| element.is(ns, local))
}

/// Canonical content without those direct children for which `drop` holds; the other bytes stay what they were.
/// `None` if nothing was dropped.
pub fn without(children: &Bytes, default_ns: &str, drop: impl Fn(&Element) -> bool) -> Option<Bytes> {
    let mut kept = Vec::new();
    let mut dropped = false;
    for span in Spans::new(children) {
        let is_dropped = !span.tag.is_empty()
            && Element::parse(span.bytes, default_ns).is_ok_and(|element| drop(&element));
        match is_dropped {
            true => dropped = true,
            false => kept.extend_from_slice(span.bytes),
        }
    }
    dropped.then(|| kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: &str) -> Option<Name> {
        let closed = format!("{}/>", tag.trim_end_matches('>').trim_end_matches('/'));
        Some(Element::parse(closed.as_bytes(), "jabber:client").ok()?.name().clone())
    }

    #[test]
    fn a_name_that_is_read_from_its_bytes_is_the_one_that_a_parser_finds() {
        for tag in [
            "<body>",
            "<body/>",
            "<origin-id xmlns='urn:xmpp:sid:0'>",
            "<x xmlns='http://jabber.org/protocol/muc#user'/>",
            "<x1 xmlns='urn:example:with(some)=signs,?/%20'>",
        ] {
            assert!(plain(tag.as_bytes(), "jabber:client").is_some(), "{tag}");
            assert_eq!(plain(tag.as_bytes(), "jabber:client"), read(tag), "{tag}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_a_parser() {
        for tag in [
            "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>",
            "<origin-id id='1' xmlns='urn:xmpp:sid:0'/>",
            "<p:x xmlns:p='urn:example'>",
            "<x xmlns=''>",
            "<x xmlns='a&amp;b'>",
            "<x xmlns='a b'>",
            "<x xmlns='http://www.w3.org/2000/xmlns/'>",
            "<x xmlns='a' xmlns='b'>",
            "<x xml:lang='en'>",
            "<1x>",
            "<x\u{e9}>",
            "<>",
            "</x>",
        ] {
            assert_eq!(plain(tag.as_bytes(), "jabber:client"), None, "{tag}");
        }
    }
}
