//! Finds where a top-level element ends, whatever pieces it comes in, without looking at any byte twice.

use memchr::{memchr, memchr3, memmem};

use crate::XmlError;

/// Where a scan stands: what follows a byte is known when it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// Between tags.
    #[default]
    Text,
    /// Inside a tag that begins at `start`.
    Tag { start: usize },
    /// Inside an attribute value of a tag that begins at `start`.
    Quote { start: usize, quote: u8 },
    /// Inside a CDATA section.
    Cdata,
}

/// A scan that can be interrupted anywhere.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    at: usize,
    depth: usize,
    place: Place,
    begun: bool,
}

/// What a scan has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// The end of the element's start tag, once, unless that is the end of the element too.
    Begun(usize),
    /// The end of the element.
    Whole(usize),
}

const CDATA: &[u8] = b"<![CDATA[";

impl Scan {
    /// Goes on over `bytes`, which begin where they began before and may have grown, with the element at their beginning.
    pub(crate) fn advance(&mut self, bytes: &[u8], max_depth: usize) -> Result<Option<Found>, XmlError> {
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            match self.place {
                Place::Text => {
                    let Some(open) = memchr(b'<', rest) else {
                        self.at = bytes.len();
                        return Ok(None);
                    };
                    let tag = rest.get(open..).unwrap_or_default();
                    self.at += open;
                    match tag.get(1) {
                        None => return Ok(None),
                        Some(b'?') => return Err(XmlError::Restricted("processing instruction")),
                        Some(b'!') if tag.len() < CDATA.len() && CDATA.starts_with(tag) => return Ok(None),
                        Some(b'!') if tag.starts_with(CDATA) && self.depth == 0 => {
                            return Err(XmlError::NotWellFormed("text between stanzas"));
                        }
                        Some(b'!') if tag.starts_with(CDATA) => {
                            self.place = Place::Cdata;
                            self.at += CDATA.len();
                        }
                        Some(b'!') if tag.starts_with(b"<!-") => return Err(XmlError::Restricted("comment")),
                        Some(b'!') => return Err(XmlError::Restricted("document type declaration")),
                        Some(_) => {
                            self.place = Place::Tag { start: self.at };
                            self.at += 1;
                        }
                    }
                }
                Place::Tag { start } => {
                    let Some(found) = memchr3(b'>', b'"', b'\'', rest) else {
                        self.at = bytes.len();
                        return Ok(None);
                    };
                    self.at += found + 1;
                    match rest.get(found) {
                        Some(b'>') => {
                            let tag = bytes.get(start..self.at).unwrap_or_default();
                            self.place = Place::Text;
                            if tag.get(1) == Some(&b'/') {
                                self.depth = self.depth.saturating_sub(1);
                            } else {
                                if self.depth >= max_depth {
                                    return Err(XmlError::TooBig("elements are nested too deep"));
                                }
                                self.depth += usize::from(!tag.ends_with(b"/>"));
                            }
                            if self.depth == 0 {
                                return Ok(Some(Found::Whole(self.at)));
                            }
                            if !std::mem::replace(&mut self.begun, true) {
                                return Ok(Some(Found::Begun(self.at)));
                            }
                        }
                        Some(quote) => self.place = Place::Quote { start, quote: *quote },
                        None => {}
                    }
                }
                Place::Quote { start, quote } => {
                    let Some(found) = memchr(quote, rest) else {
                        self.at = bytes.len();
                        return Ok(None);
                    };
                    self.at += found + 1;
                    self.place = Place::Tag { start };
                }
                Place::Cdata => {
                    let Some(found) = memmem::find(rest, b"]]>") else {
                        self.at = bytes.len().saturating_sub(2).max(self.at);
                        return Ok(None);
                    };
                    self.at += found + 3;
                    self.place = Place::Text;
                }
            }
        }
    }
}

/// The end of the tag that begins at the beginning of `bytes`, if it is there.
pub(crate) fn tag_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        let rest = bytes.get(at..)?;
        let found = memchr3(b'>', b'"', b'\'', rest)?;
        at += found + 1;
        match rest.get(found)? {
            b'>' => return Some(at),
            quote => at += memchr(*quote, bytes.get(at..)?)? + 1,
        }
    }
}
