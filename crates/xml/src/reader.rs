//! Bytes in, checked elements out: incremental, without I/O, and without a buffer while nothing has begun.

use std::sync::{Arc, LazyLock};

use crate::chars::is_space;
use crate::scan::{Found, Scan, tag_end};
use crate::scope::Declared;
use crate::{Head, Limits, Raw, XmlError, ns, stanza};

/// How elements are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Children of one long `<stream:stream>` (RFC 6120 §4).
    Stream,
    /// Every element is a document of its own (RFC 7395 §3.3, XEP-0124).
    Element,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stream header. Inside a stream: the start tag of another, or of anything else in the stream's own namespace that does
    /// not end at once, for its end may never come.
    Open(Head),
    /// A complete top-level element.
    Element(Raw),
    /// `</stream:stream>`
    Close,
}

/// Reads one direction of one connection.
#[derive(Debug)]
pub struct Reader {
    framing: Framing,
    limits: Arc<Limits>,
    partial: Vec<u8>,
    scan: Scan,
    stream: Option<Arc<Stream>>,
    started: bool,  // something was read: no declaration and no byte order mark may come any more
    is_again: bool, // what the client wrote behind the last element of the former stream may still come
    closed: bool,
}

/// An open stream: what its header declared, and the name that closes it.
#[derive(Debug)]
struct Stream {
    declared: Declared,
    name: Box<str>,
}

/// What most clients write: one for all of them.
static USUAL: LazyLock<Arc<Stream>> =
    LazyLock::new(|| Arc::new(Stream { declared: Declared::usual(), name: "stream:stream".into() }));

impl Stream {
    fn of(declared: Declared, name: &str) -> Arc<Stream> {
        if *name == *USUAL.name && declared.is_same(&USUAL.declared) {
            return USUAL.clone();
        }
        Arc::new(Stream { declared, name: name.into() })
    }
}

/// How UTF-16 and UTF-32 begin (RFC 6120 §11.6).
const OTHER_ENCODINGS: [&[u8]; 4] = [b"\xfe", b"\xff", b"\0", b"<\0"];

impl Reader {
    /// For a new connection.
    pub fn new(framing: Framing, limits: impl Into<Arc<Limits>>) -> Reader {
        Reader {
            framing,
            limits: limits.into(),
            partial: Vec::new(),
            scan: Scan::default(),
            stream: None,
            started: false,
            is_again: false,
            closed: false,
        }
    }

    /// Other limits from now on.
    pub fn set_limits(&mut self, limits: impl Into<Arc<Limits>>) {
        self.limits = limits.into();
    }

    /// A new stream begins on the same connection (RFC 6120 §4.3.3): everything read so far is forgotten.
    pub fn reset(&mut self) {
        self.partial = Vec::new();
        self.scan = Scan::default();
        self.stream = None;
        self.started = false;
        self.is_again = true;
        self.closed = false;
    }

    /// Whether something has begun that is not complete.
    pub fn has_partial(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes bytes off the front of `input`. `None` when more must come.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, XmlError> {
        if self.partial.is_empty() {
            self.skip_space(input)?;
            if input.is_empty() {
                return Ok(None);
            }
            let bytes = *input;
            return match self.complete(bytes)? {
                Some((event, length)) => {
                    *input = bytes.get(length..).unwrap_or_default();
                    Ok(Some(event))
                }
                None => {
                    self.check_size(bytes.len())?;
                    self.partial = bytes.to_vec();
                    *input = &[];
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        // Not more than can belong to a stanza within the limits: what is too big is refused before it is kept.
        let room = self.limits.bytes.saturating_sub(before).saturating_add(1).min(input.len());
        let mut partial = std::mem::take(&mut self.partial);
        partial.extend_from_slice(input.get(..room).unwrap_or_default());
        match self.complete(&partial)? {
            Some((event, length)) => {
                *input = input.get(length.saturating_sub(before)..).unwrap_or_default();
                Ok(Some(event))
            }
            None => {
                self.check_size(partial.len())?;
                self.partial = partial;
                *input = input.get(room..).unwrap_or_default();
                Ok(None)
            }
        }
    }

    fn check_size(&self, length: usize) -> Result<(), XmlError> {
        if length > self.limits.bytes { Err(XmlError::TooBig("the stanza is too big")) } else { Ok(()) }
    }

    /// White space between stanzas keeps a connection alive (RFC 6120 §4.6.1).
    fn skip_space(&mut self, input: &mut &[u8]) -> Result<(), XmlError> {
        let space = input.iter().position(|byte| !is_space(*byte)).unwrap_or(input.len());
        *input = input.get(space..).unwrap_or_default();
        // Some clients end an element with a line break, and it comes when the stream has begun anew behind that element.
        self.started |= space > 0 && !std::mem::replace(&mut self.is_again, false);
        match input.first() {
            None => Ok(()),
            Some(_) if self.closed => Err(XmlError::NotWellFormed("something after the end of the stream")),
            Some(b'<') => Ok(()),
            Some(_) if !self.started && OTHER_ENCODINGS.iter().any(|mark| input.starts_with(mark)) => {
                Err(XmlError::UnsupportedEncoding)
            }
            Some(_) => Err(XmlError::NotWellFormed("text between stanzas")),
        }
    }

    /// The event at the beginning of `bytes`, and its length, if it is all there.
    fn complete(&mut self, bytes: &[u8]) -> Result<Option<(Event, usize)>, XmlError> {
        if !self.started && OTHER_ENCODINGS.iter().any(|mark| bytes.starts_with(mark)) {
            return Err(XmlError::UnsupportedEncoding);
        }
        match (&self.stream, self.framing) {
            (None, Framing::Stream) => self.header(bytes),
            (Some(stream), _) if bytes.starts_with(b"</") => {
                let Some(end) = tag_end(bytes) else { return Ok(None) };
                let name = bytes.get(2..end - 1).unwrap_or_default();
                let space = name.iter().rev().take_while(|byte| is_space(**byte)).count();
                if name.get(..name.len() - space) == Some(stream.name.as_bytes()) {
                    self.closed = true;
                    Ok(Some((Event::Close, end)))
                } else {
                    Err(XmlError::NotWellFormed("end tag"))
                }
            }
            _ => {
                if bytes.starts_with(b"</") {
                    return Err(XmlError::NotWellFormed("end tag"));
                }
                let depth = self.limits.depth;
                loop {
                    match self.scan.advance(bytes, depth)? {
                        None => return Ok(None),
                        Some(Found::Whole(end)) => return self.element(bytes, end).map(Some),
                        Some(Found::Begun(end)) => {
                            if let Some(opened) = self.opened(bytes, end)? {
                                self.closed = true; // nothing that follows can be read as if nothing had been
                                return Ok(Some(opened));
                            }
                        }
                    }
                }
            }
        }
    }

    fn element(&mut self, bytes: &[u8], end: usize) -> Result<(Event, usize), XmlError> {
        self.check_size(end)?;
        self.scan = Scan::default();
        self.started = true;
        let text = utf8(bytes.get(..end).unwrap_or_default())?;
        let scope = self.stream.as_ref().map(|stream| stream.declared.scope()).unwrap_or_default();
        Ok((Event::Element(stanza::element(text, scope, &self.limits)?), end))
    }

    /// The start tag that ends at `end`, if it is one of the stream's own namespace that opens something, under whatever prefix. An
    /// `<error/>` is read as a whole: it is what a client may say last.
    fn opened(&self, bytes: &[u8], end: usize) -> Result<Option<(Event, usize)>, XmlError> {
        let (Some(stream), Some(tag)) = (&self.stream, bytes.get(..end)) else { return Ok(None) };
        if !may_be_of_stream(tag) {
            return Ok(None);
        }
        self.check_size(end)?;
        let head = stanza::start(utf8(tag)?, stream.declared.scope(), &self.limits)?;
        let is_stream = head.name.ns() == ns::STREAM && head.name.local() != "error";
        Ok(is_stream.then_some((Event::Open(head), end)))
    }

    fn header(&mut self, bytes: &[u8]) -> Result<Option<(Event, usize)>, XmlError> {
        let mut at = 0;
        if b"<?xml".starts_with(bytes) && !(self.started && bytes.len() > 1) {
            return Ok(None);
        }
        if bytes.starts_with(b"<?") {
            let is_declaration =
                bytes.starts_with(b"<?xml") && bytes.get(5).is_none_or(|byte| is_space(*byte));
            if self.started || !is_declaration {
                return Err(XmlError::Restricted("processing instruction"));
            }
            let Some(end) = memchr::memmem::find(bytes, b"?>") else { return Ok(None) };
            declaration(utf8(bytes.get(..end).unwrap_or_default())?)?;
            let behind = bytes.get(end + 2..).unwrap_or_default();
            at = end + 2 + behind.iter().position(|byte| !is_space(*byte)).unwrap_or(behind.len());
        }
        let rest = bytes.get(at..).unwrap_or_default();
        match (rest.first(), rest.get(1)) {
            (None, _) | (Some(b'<'), None) => return Ok(None),
            (Some(b'<'), Some(b'!')) => {
                return Err(XmlError::Restricted("comment or document type declaration"));
            }
            (Some(b'<'), Some(b'?')) => return Err(XmlError::Restricted("processing instruction")),
            (Some(b'<'), Some(_)) => {}
            (Some(_), _) => return Err(XmlError::NotWellFormed("text before the stream header")),
        }
        let Some(length) = tag_end(rest) else { return Ok(None) };
        self.check_size(at + length)?;
        let tag = utf8(rest.get(..length).unwrap_or_default())?;
        let (head, declared) = stanza::header(tag, &self.limits)?;
        let name = tag
            .trim_start_matches('<')
            .split(|character: char| character.is_ascii_whitespace() || character == '>')
            .next();
        self.stream = Some(Stream::of(declared, name.unwrap_or_default()));
        self.started = true;
        Ok(Some((Event::Open(head), at + length)))
    }
}

/// Whether it is worth asking for the namespace of a start tag: stanzas have no prefix and do not speak of it.
fn may_be_of_stream(tag: &[u8]) -> bool {
    if memchr::memchr2(b':', b'&', tag).is_none() {
        return false; // neither a prefix nor a declaration
    }
    let name = tag.split(|byte| is_space(*byte) || *byte == b'>').next().unwrap_or_default();
    name.contains(&b':')
        || memchr::memchr(b'&', tag).is_some()
        || memchr::memmem::find(tag, ns::STREAM.as_bytes()).is_some()
}

fn utf8(bytes: &[u8]) -> Result<&str, XmlError> {
    std::str::from_utf8(bytes).map_err(|_| XmlError::NotWellFormed("UTF-8"))
}

/// `<?xml version='1.0' encoding='UTF-8' standalone='yes'`: in this order, the last two optional (XML 1.0 §2.8).
fn declaration(text: &str) -> Result<(), XmlError> {
    let is_white = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let wrong = XmlError::NotWellFormed("XML declaration");
    let mut rest = text.strip_prefix("<?xml").ok_or(XmlError::Restricted("processing instruction"))?;
    if !rest.starts_with(is_white) {
        return Err(XmlError::Restricted("processing instruction"));
    }
    let mut expected = ["version", "encoding", "standalone"].iter();
    let mut first = true;
    loop {
        let trimmed = rest.trim_start_matches(is_white);
        if trimmed.is_empty() {
            return if first { Err(wrong) } else { Ok(()) };
        }
        if trimmed.len() == rest.len() {
            return Err(wrong);
        }
        let (name, value) = trimmed.split_once('=').ok_or(wrong)?;
        let value = value.trim_start_matches(is_white);
        let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\'')).ok_or(wrong)?;
        let (value, behind) =
            value.strip_prefix(quote).and_then(|value| value.split_once(quote)).ok_or(wrong)?;
        let name = name.trim_end_matches(is_white);
        if first && name != "version" || !expected.any(|known| *known == name) {
            return Err(wrong);
        }
        match name {
            "version" if value != "1.0" => return Err(wrong),
            "encoding" if !value.eq_ignore_ascii_case("utf-8") => return Err(XmlError::UnsupportedEncoding),
            "standalone" if !matches!(value, "yes" | "no") => return Err(wrong),
            _ => {}
        }
        first = false;
        rest = behind;
    }
}
