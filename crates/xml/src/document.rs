//! Reads a document that somebody made for exchange, level by level: containers are entered, what lies in them comes whole.

use crate::chars::is_space;
use crate::scan::{Found, Scan, tag_end};
use crate::scope::Declared;
use crate::{Head, Limits, Raw, XmlError, stanza};

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The start of a container.
    Enter(Head),
    /// An element, whole.
    Element(Raw),
    /// The end of the container entered last.
    Leave,
}

/// Whether an element is entered: the names of the containers that it is in, and its own start tag.
pub type IsContainer = fn(&[Head], &Head) -> bool;

/// Reads one document of any size, in the memory of its largest element. Comments and processing instructions are passed over
/// between elements; a document type declaration is refused.
#[derive(Debug)]
pub struct Document {
    limits: Limits,
    is_container: IsContainer,
    bytes: Vec<u8>,
    at: usize,
    line: usize,
    scan: Scan,
    open: Vec<Container>,
    heads: Vec<Head>,
    pending_leave: bool,
    started: bool,
}

/// A container: the name that closes it, and what holds in it.
#[derive(Debug)]
struct Container {
    name: Box<str>,
    declared: Declared,
}

/// What is at the beginning of the bytes.
enum Next {
    Skip(usize),
    Piece(Piece, usize),
    More,
}

impl Document {
    /// For one document. `limits` hold for each element that comes whole.
    pub fn new(limits: Limits, is_container: IsContainer) -> Document {
        Document {
            limits,
            is_container,
            bytes: Vec::new(),
            at: 0,
            line: 1,
            scan: Scan::default(),
            open: Vec::new(),
            heads: Vec::new(),
            pending_leave: false,
            started: false,
        }
    }

    /// More of it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The line on which what is read next begins.
    pub fn line(&self) -> usize {
        self.line
    }

    /// The containers that are open.
    pub fn path(&self) -> &[Head] {
        &self.heads
    }

    /// Whether it may end here.
    pub fn is_complete(&self) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.started && self.open.is_empty() && !self.pending_leave && rest.iter().all(|byte| is_space(*byte))
    }

    /// The next piece; `None` when more must be pushed.
    pub fn read(&mut self) -> Result<Option<Piece>, XmlError> {
        if std::mem::take(&mut self.pending_leave) {
            return Ok(Some(self.leave()));
        }
        loop {
            match self.look()? {
                Next::More => return Ok(None),
                Next::Skip(length) => self.advance(length),
                Next::Piece(piece, length) => {
                    self.advance(length);
                    if piece == Piece::Leave {
                        self.leave();
                    }
                    return Ok(Some(piece));
                }
            }
        }
    }

    fn leave(&mut self) -> Piece {
        self.open.pop();
        self.heads.pop();
        Piece::Leave
    }

    fn advance(&mut self, length: usize) {
        let passed = self.bytes.get(self.at..self.at + length).unwrap_or_default();
        self.line += memchr::memchr_iter(b'\n', passed).count();
        self.at += length;
        self.scan = Scan::default();
    }

    fn look(&mut self) -> Result<Next, XmlError> {
        let bytes = self.bytes.get(self.at..).unwrap_or_default();
        let space = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
        if space > 0 {
            return Ok(Next::Skip(space));
        }
        match bytes {
            [] => Ok(Next::More),
            [b'<'] => Ok(Next::More),
            [0xEF, 0xBB, 0xBF, ..] if !self.started => Ok(Next::Skip(3)), // a byte order mark
            [0xEF] | [0xEF, 0xBB] if !self.started => Ok(Next::More),
            [b'<', b'?', ..] => self.passed_over(bytes, b"?>"),
            [b'<', b'!', ..] if bytes.starts_with(b"<!--") => self.passed_over(bytes, b"-->"),
            [b'<', b'!', ..] if b"<!--".starts_with(bytes) => Ok(Next::More),
            [b'<', b'!', ..] => {
                Err(XmlError::Restricted("document type declaration or CDATA between elements"))
            }
            [b'<', b'/', ..] => self.end(bytes),
            [b'<', ..] if self.started && self.open.is_empty() => {
                Err(XmlError::NotWellFormed("something after the end"))
            }
            [b'<', ..] => self.element(self.at),
            _ => Err(XmlError::NotWellFormed("text between elements")),
        }
    }

    fn passed_over(&self, bytes: &[u8], end: &[u8]) -> Result<Next, XmlError> {
        match memchr::memmem::find(bytes, end) {
            Some(at) => Ok(Next::Skip(at + end.len())),
            None if bytes.len() > self.limits.bytes => Err(XmlError::TooBig("the comment is too big")),
            None => Ok(Next::More),
        }
    }

    fn end(&self, bytes: &[u8]) -> Result<Next, XmlError> {
        let Some(end) = tag_end(bytes) else { return self.more(bytes) };
        let name = bytes.get(2..end - 1).unwrap_or_default().trim_ascii_end();
        match self.open.last() {
            Some(open) if open.name.as_bytes() == name => Ok(Next::Piece(Piece::Leave, end)),
            _ => Err(XmlError::NotWellFormed("end tag")),
        }
    }

    fn more(&self, bytes: &[u8]) -> Result<Next, XmlError> {
        if bytes.len() > self.limits.bytes {
            Err(XmlError::TooBig("the element is too big"))
        } else {
            Ok(Next::More)
        }
    }

    /// A start tag: of a container, or of an element that is then read to its end.
    fn element(&mut self, at: usize) -> Result<Next, XmlError> {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        let Some(length) = tag_end(bytes) else { return self.more(bytes) };
        let tag = utf8(bytes.get(..length).unwrap_or_default())?;
        let scope = self.open.last().map(|open| open.declared.scope()).unwrap_or_default();
        let (head, declared, is_empty) = stanza::container(tag, scope.clone(), &self.limits)?;
        if (self.is_container)(&self.heads, &head) {
            let name = tag.trim_start_matches('<').split([' ', '\t', '\r', '\n', '>', '/']).next();
            let name = name.unwrap_or_default().into();
            self.open.push(Container { name, declared });
            self.heads.push(head.clone());
            (self.started, self.pending_leave) = (true, is_empty);
            return Ok(Next::Piece(Piece::Enter(head), length));
        }
        loop {
            match self.scan.advance(bytes, self.limits.depth)? {
                None => return self.more(bytes),
                Some(Found::Begun(_)) => {}
                Some(Found::Whole(end)) if end > self.limits.bytes => {
                    return Err(XmlError::TooBig("the element is too big"));
                }
                Some(Found::Whole(end)) => {
                    let text = utf8(bytes.get(..end).unwrap_or_default())?;
                    self.started = true;
                    return Ok(Next::Piece(Piece::Element(stanza::element(text, scope, &self.limits)?), end));
                }
            }
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, XmlError> {
    std::str::from_utf8(bytes).map_err(|_| XmlError::NotWellFormed("UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `<a>` and any `<b>` in it are entered.
    fn is_container(path: &[Head], head: &Head) -> bool {
        match path.len() {
            0 => head.name.local() == "a",
            _ => head.name.local() == "b",
        }
    }

    /// What comes of `text`, in pieces of `step` bytes.
    fn read(text: &str, step: usize) -> Result<Vec<String>, (usize, XmlError)> {
        let mut document = Document::new(Limits::AFTER_LOGIN, is_container);
        let mut found = Vec::new();
        for some in text.as_bytes().chunks(step) {
            document.push(some);
            loop {
                match document.read() {
                    Ok(Some(Piece::Enter(head))) => found.push(format!("in {}", head.name.local())),
                    Ok(Some(Piece::Leave)) => found.push("out".to_owned()),
                    Ok(Some(Piece::Element(raw))) => {
                        let mut out = Vec::new();
                        raw.write(&mut out);
                        found.push(format!("{} {}", document.line(), String::from_utf8(out).unwrap()));
                    }
                    Ok(None) => break,
                    Err(error) => return Err((document.line(), error)),
                }
            }
        }
        if document.is_complete() { Ok(found) } else { Err((0, XmlError::NotWellFormed("cut off"))) }
    }

    #[test]
    fn containers_are_entered_and_the_rest_comes_whole_whatever_pieces_it_comes_in() {
        let text = "\u{FEFF}<?xml version='1.0'?>\n<!-- > --><a xmlns='x' xmlns:p='y'>\n<b>\n<c>1<p:d/></c><!-- c --></b>\
                    <b/><p:e z='&lt;'/>\n</a >\n";
        let whole = [
            "in a",
            "in b",
            "4 <c xmlns='x'>1<p:d xmlns:p='y'/></c>",
            "out",
            "in b",
            "out",
            "4 <e xmlns='y' z='&lt;'/>",
            "out",
        ];
        for step in 1..text.len() {
            assert_eq!(read(text, step).unwrap(), whole, "{step}");
        }
    }

    #[test]
    fn what_is_broken_is_refused_with_its_line() {
        for (text, line) in [
            ("<a>\n<b></a>", 2),
            ("<a>\ntext</a>", 2),
            ("<a>\n\n<c><d></c></a>", 3),
            ("<a/>\n<a/>", 2),
            ("<!DOCTYPE a><a/>", 1),
            ("<a>\n<p:c/></a>", 2),
            ("<a>\n<c>&nbsp;</c></a>", 2),
            ("<a><b>", 0),
            ("", 0),
        ] {
            assert_eq!(read(text, 7).unwrap_err().0, line, "{text}");
        }
    }

    #[test]
    fn an_element_beyond_the_limit_is_refused_before_it_is_kept() {
        let mut document = Document::new(Limits { bytes: 1000, ..Limits::AFTER_LOGIN }, is_container);
        document.push(b"<a><c>");
        let mut kept = 0;
        let refused = loop {
            document.push(&[b'x'; 100]);
            kept += 100;
            match document.read() {
                Ok(Some(Piece::Enter(_)) | None) => assert!(kept < 2000),
                other => break other,
            }
        };
        assert_eq!(refused, Err(XmlError::TooBig("the element is too big")));
    }
}
