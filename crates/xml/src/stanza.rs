//! One complete element: every rule of XML and of namespaces checked, and written again so that it stands on its own.

use std::borrow::Cow;

use memchr::memchr;

use crate::chars::{attribute_value, copy_text, is_ncname, is_space};
use crate::scan::tag_end;
use crate::scope::{Declared, Scope};
use crate::spans::Spans;
use crate::writer::escape_attr;
use crate::{Attribute, Head, Limits, Name, Payloads, Raw, Word, XmlError, ns};

const NOT_CLOSED: XmlError = XmlError::NotWellFormed("tag");

/// No namespace in use is longer. One that is, and is used by many children, would cost its length for each.
const NAMESPACE_BYTES: usize = 1024;

/// A start tag as it was written.
struct Tag<'a> {
    name: Written<'a>,
    attributes: Vec<(Written<'a>, Cow<'a, str>)>,
    is_empty: bool,
}

/// A name as it was written, checked and split once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Written<'a> {
    whole: &'a str,
    prefix: &'a str,
    local: &'a str,
}

/// An element whose end has not come.
struct Open<'a> {
    name: &'a str,
    read: usize,
    written: usize,
}

/// Everything that is known in the middle of an element.
struct Writer<'a> {
    limits: Limits,
    read: Scope<'a>,
    written: Scope<'a>,
    out: Vec<u8>,
    payloads: Payloads,
    elements: usize,
    namespaces: usize,
    start_is_open: bool,
}

/// A stream header: its names resolved, and what it declares for everything in the stream.
pub(crate) fn header(text: &str, limits: &Limits) -> Result<(Head, Declared), XmlError> {
    let tag = Tag::read(text, limits)?;
    if tag.is_empty {
        return Err(XmlError::NotWellFormed("stream header closed at once"));
    }
    let mut scope = Scope::default();
    declare(&tag, &mut scope, &mut 0, limits)?;
    let head = head(&tag, &scope)?;
    Ok((head, scope.into_declared()))
}

/// The start tag of an element that is entered, where `scope` holds: what holds in it, and whether it is empty.
pub(crate) fn container<'a>(
    text: &'a str,
    mut scope: Scope<'a>,
    limits: &Limits,
) -> Result<(Head, Declared, bool), XmlError> {
    let tag = Tag::read(text, limits)?;
    declare(&tag, &mut scope, &mut 0, limits)?;
    let head = head(&tag, &scope)?;
    Ok((head, scope.into_all_declared(), tag.is_empty))
}

/// A start tag inside a stream.
pub(crate) fn start<'a>(text: &'a str, mut scope: Scope<'a>, limits: &Limits) -> Result<Head, XmlError> {
    let tag = Tag::read(text, limits)?;
    declare(&tag, &mut scope, &mut 0, limits)?;
    head(&tag, &scope)
}

/// Checks the complete element that `text` is, read in `scope`.
pub(crate) fn element<'a>(text: &'a str, mut scope: Scope<'a>, limits: &Limits) -> Result<Raw, XmlError> {
    let first = text.get(..tag_end(text.as_bytes()).ok_or(NOT_CLOSED)?).ok_or(NOT_CLOSED)?;
    let tag = Tag::read(first, limits)?;
    let mut namespaces = 0;
    declare(&tag, &mut scope, &mut namespaces, limits)?;
    let head = head(&tag, &scope)?;
    if tag.is_empty {
        return if first.len() == text.len() { Ok(Raw { head, ..Raw::default() }) } else { Err(NOT_CLOSED) };
    }
    let mut writer = Writer {
        limits: *limits,
        read: scope,
        written: Scope::of(head.name.ns()),
        out: Vec::with_capacity(text.len()),
        payloads: Payloads::default(),
        elements: 0,
        namespaces,
        start_is_open: false,
    };
    writer.content(tag.name.whole, text.get(first.len()..).unwrap_or_default())?;
    let (out, payloads) = (writer.out, writer.payloads);
    Ok(Raw { head, children: out.into(), payloads })
}

impl<'a> Writer<'a> {
    /// What lies between the start tag of `root` and its end tag, which is the end of `rest`.
    fn content(&mut self, root: &'a str, mut rest: &'a str) -> Result<(), XmlError> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let text = memchr(b'<', rest.as_bytes()).ok_or(NOT_CLOSED)?;
            if text > 0 {
                self.text(rest.get(..text).unwrap_or_default(), true)?;
                rest = rest.get(text..).unwrap_or_default();
            }
            if let Some(data) = rest.strip_prefix("<![CDATA[") {
                let end = data.find("]]>").ok_or(NOT_CLOSED)?;
                self.text(data.get(..end).unwrap_or_default(), false)?;
                rest = data.get(end + 3..).unwrap_or_default();
                continue;
            }
            let end = tag_end(rest.as_bytes()).ok_or(NOT_CLOSED)?;
            let (tag, behind) = rest.split_at_checked(end).ok_or(NOT_CLOSED)?;
            rest = behind;
            if let Some(name) = tag.strip_prefix("</") {
                let name = name.trim_end_matches('>').trim_end_matches(SPACE);
                let Some(done) = open.pop() else {
                    return if name == root && rest.is_empty() {
                        Ok(())
                    } else {
                        Err(XmlError::NotWellFormed("end tag"))
                    };
                };
                if name != done.name {
                    return Err(XmlError::NotWellFormed("end tag"));
                }
                self.end(name);
                self.read.rewind(done.read);
                self.written.rewind(done.written);
                continue;
            }
            let tag = Tag::read(tag, &self.limits)?;
            let marks = Open { name: tag.name.whole, read: self.read.mark(), written: self.written.mark() };
            if open.len() + 2 > self.limits.depth {
                return Err(XmlError::TooBig("elements are nested too deep")); // the stanza, those open in it, and this one
            }
            self.start(&tag, open.is_empty())?;
            if tag.is_empty {
                self.end(tag.name.whole);
                self.read.rewind(marks.read);
                self.written.rewind(marks.written);
            } else {
                open.push(marks);
            }
        }
    }

    fn text(&mut self, text: &str, references: bool) -> Result<(), XmlError> {
        if !text.is_empty() {
            self.close_start();
        }
        copy_text(&mut self.out, text, references)?;
        self.check_size()
    }

    fn start(&mut self, tag: &Tag<'a>, is_payload: bool) -> Result<(), XmlError> {
        self.elements += 1;
        if self.elements > self.limits.children {
            return Err(XmlError::TooBig("too many elements"));
        }
        let before = self.read.mark();
        declare(tag, &mut self.read, &mut self.namespaces, &self.limits)?;
        let Written { whole, prefix, local } = tag.name;
        let own = resolve(&self.read, prefix)?;
        if is_payload {
            self.payloads.push(&own, local);
        }
        self.close_start();
        self.out.push(b'<');
        self.out.extend_from_slice(whole.as_bytes());
        self.write_declaration("");
        if self.read.mark() > before {
            for (name, _) in &tag.attributes {
                if name.prefix == "xmlns" && name.local != "xml" {
                    self.write_declaration(name.local);
                }
            }
        }
        self.write_declaration(prefix);
        for (name, _) in tag.plain().filter(|(name, _)| !name.prefix.is_empty()) {
            self.write_declaration(name.prefix);
        }
        check_unique(tag, &self.read)?;
        for (name, value) in tag.plain() {
            self.out.push(b' ');
            self.out.extend_from_slice(name.whole.as_bytes());
            self.out.extend_from_slice(b"='");
            escape_attr(&mut self.out, value);
            self.out.push(b'\'');
        }
        self.start_is_open = true;
        self.check_size()
    }

    /// Declares what `prefix` means here, unless what is written already says the same.
    fn write_declaration(&mut self, prefix: &'a str) {
        let Some(uri) = self.read.resolve(prefix) else { return };
        if prefix == "xml" || self.written.says(prefix, &uri) {
            return;
        }
        self.out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        self.out.extend_from_slice(prefix.as_bytes());
        self.out.extend_from_slice(b"='");
        escape_attr(&mut self.out, &uri);
        self.out.push(b'\'');
        self.written.declare(Cow::Borrowed(prefix), uri);
    }

    fn end(&mut self, name: &str) {
        if self.start_is_open {
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.extend_from_slice(b"</");
            self.out.extend_from_slice(name.as_bytes());
            self.out.push(b'>');
        }
        self.start_is_open = false;
    }

    fn close_start(&mut self) {
        if self.start_is_open {
            self.out.push(b'>');
            self.start_is_open = false;
        }
    }

    fn check_size(&self) -> Result<(), XmlError> {
        if self.out.len() > self.limits.bytes {
            Err(XmlError::TooBig("the stanza is too big"))
        } else {
            Ok(())
        }
    }
}

impl<'a> Tag<'a> {
    /// Reads `<name attribute='value' …>` or `…/>`.
    fn read(text: &'a str, limits: &Limits) -> Result<Tag<'a>, XmlError> {
        let inner = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).ok_or(NOT_CLOSED)?;
        let (inner, is_empty) = match inner.strip_suffix('/') {
            Some(inner) => (inner, true),
            None => (inner, false),
        };
        let end = inner.bytes().position(is_space).unwrap_or(inner.len());
        let (name, mut rest) = inner.split_at_checked(end).ok_or(NOT_CLOSED)?;
        let name = Written::read(name)?;
        let mut attributes = Vec::new();
        loop {
            let trimmed = skip_space(rest);
            if trimmed.is_empty() {
                return Ok(Tag { name, attributes, is_empty });
            }
            if trimmed.len() == rest.len() {
                return Err(XmlError::NotWellFormed("no space before an attribute"));
            }
            if attributes.len() >= limits.attributes {
                return Err(XmlError::TooBig("too many attributes"));
            }
            let (name, value) = cut_near(trimmed, b'=').ok_or(XmlError::NotWellFormed("attribute"))?;
            let name = Written::read(name.trim_end_matches(SPACE))?;
            let value = skip_space(value);
            let quote = value.bytes().next().filter(|quote| matches!(quote, b'"' | b'\''));
            let value = quote.and_then(|quote| cut(value.get(1..)?, quote));
            let (value, behind) = value.ok_or(XmlError::NotWellFormed("attribute value"))?;
            attributes.push((name, attribute_value(value)?));
            rest = behind;
        }
    }
}

impl<'a> Tag<'a> {
    /// The attributes that are no namespace declarations.
    fn plain(&self) -> impl Iterator<Item = (&Written<'a>, &str)> {
        let is_plain = |name: &Written<'_>| name.whole != "xmlns" && name.prefix != "xmlns";
        self.attributes.iter().filter(move |(name, _)| is_plain(name)).map(|(name, value)| (name, &**value))
    }
}

impl<'a> Written<'a> {
    fn read(whole: &'a str) -> Result<Written<'a>, XmlError> {
        let (prefix, local) = match cut_near(whole, b':') {
            Some((prefix, local)) if is_ncname(prefix) => (prefix, local),
            Some(_) => return Err(XmlError::NotWellFormed("name")),
            None => ("", whole),
        };
        if is_ncname(local) {
            Ok(Written { whole, prefix, local })
        } else {
            Err(XmlError::NotWellFormed("name"))
        }
    }
}

const SPACE: [char; 4] = [' ', '\t', '\r', '\n'];

fn skip_space(text: &str) -> &str {
    let space = text.bytes().position(|byte| !is_space(byte)).unwrap_or(text.len());
    text.get(space..).unwrap_or_default()
}

/// As `cut`, where it is only a few bytes away, if it is there.
fn cut_near(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// Before and behind the first `byte`, which is ASCII.
fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

fn declare<'a>(
    tag: &Tag<'a>,
    scope: &mut Scope<'a>,
    count: &mut usize,
    limits: &Limits,
) -> Result<(), XmlError> {
    let before = scope.mark();
    for (at, (name, uri)) in tag.attributes.iter().enumerate() {
        let prefix = match (name.prefix, name.local) {
            ("", "xmlns") => "",
            ("xmlns", prefix) => prefix,
            _ => continue,
        };
        if tag.attributes.iter().take(at).any(|(other, _)| other.whole == name.whole) {
            return Err(XmlError::NotWellFormed("attribute twice"));
        }
        check_declaration(name.whole, prefix, uri)?;
        if uri.len() > NAMESPACE_BYTES {
            return Err(XmlError::TooBig("the name of a namespace is too long"));
        }
        if prefix != "xml" {
            scope.declare(Cow::Borrowed(prefix), uri.clone());
        }
    }
    *count += scope.mark() - before;
    if *count > limits.namespaces { Err(XmlError::TooBig("too many namespaces")) } else { Ok(()) }
}

/// Namespaces in XML 1.0 §2.2, §3.
fn check_declaration(name: &str, prefix: &str, uri: &str) -> Result<(), XmlError> {
    let is_default = name == "xmlns";
    if (!is_default && uri.is_empty()) || prefix == "xmlns" || uri == ns::XMLNS {
        return Err(XmlError::BadNamespacePrefix("declaration"));
    }
    if (prefix == "xml") != (uri == ns::XML) {
        return Err(XmlError::BadNamespacePrefix("xml"));
    }
    Ok(())
}

fn head(tag: &Tag<'_>, scope: &Scope<'_>) -> Result<Head, XmlError> {
    check_unique(tag, scope)?;
    let name = Name::new(&resolve(scope, tag.name.prefix)?, tag.name.local);
    let mut found = Vec::with_capacity(tag.attributes.len());
    for (name, value) in tag.plain() {
        let ns = match name.prefix {
            "" => None,
            prefix => Some(Word::ns(&resolve(scope, prefix)?)),
        };
        found.push(Attribute {
            ns,
            prefix: Word::local(name.prefix),
            local: Word::local(name.local),
            value: value.to_owned(),
        });
    }
    let default_ns = match tag.name.prefix {
        "" => name.ns.clone(),
        _ => Word::ns(&resolve(scope, "")?),
    };
    Ok(Head { name, attributes: found, default_ns })
}

/// XML 1.0 §3.1 and Namespaces in XML 1.0 §6.3: no attribute twice, by its written or by its expanded name.
fn check_unique(tag: &Tag<'_>, scope: &Scope<'_>) -> Result<(), XmlError> {
    let twice = XmlError::NotWellFormed("attribute twice");
    for (at, (name, _)) in tag.plain().enumerate() {
        if !name.prefix.is_empty() {
            resolve(scope, name.prefix)?;
        }
        for (other, _) in tag.plain().take(at).filter(|(other, _)| other.local == name.local) {
            if name.prefix.is_empty() != other.prefix.is_empty() {
                continue; // one is in no namespace
            }
            if name.prefix == other.prefix || resolve(scope, name.prefix)? == resolve(scope, other.prefix)? {
                return Err(twice);
            }
        }
    }
    Ok(())
}

fn resolve<'a>(scope: &Scope<'a>, prefix: &str) -> Result<Cow<'a, str>, XmlError> {
    if prefix == "xmlns" {
        return Err(XmlError::BadNamespacePrefix("xmlns"));
    }
    scope.resolve(prefix).ok_or(XmlError::BadNamespacePrefix("not declared"))
}

/// The elements in canonical content that stands in `default_ns`, each checked against `limits` as if it had come alone.
pub(crate) fn elements(content: &[u8], default_ns: &str, limits: Limits) -> Result<Vec<Raw>, XmlError> {
    let mut found = Vec::new();
    for span in Spans::new(content) {
        let text = std::str::from_utf8(span.bytes()).map_err(|_| XmlError::NotWellFormed("UTF-8"))?;
        if text.starts_with('<') {
            found.push(element(text, Scope::of(default_ns), &limits)?);
        } else if !text.bytes().all(is_space) {
            return Err(XmlError::NotWellFormed("text between elements"));
        }
    }
    Ok(found)
}
