//! One complete element: every rule of XML and of namespaces checked, and written again so that it stands on its own.

use std::borrow::Cow;

use crate::chars::{attribute_value, copy_text, is_ncname, is_space};
use crate::scan::tag_end;
use crate::scope::Scope;
use crate::spans::Spans;
use crate::writer::escape_attr;
use crate::{Attribute, Head, Limits, Name, Payloads, Raw, Word, XmlError, ns};

const NOT_CLOSED: XmlError = XmlError::NotWellFormed("tag");

/// No namespace in use is longer. One that is, and is used by many children, would cost its length for each.
const NAMESPACE_BYTES: usize = 1024;

/// A start tag as it was written.
struct Tag<'a> {
    name: &'a str,
    attributes: Vec<(&'a str, Cow<'a, str>)>,
    is_empty: bool,
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
pub(crate) fn header(text: &str, limits: &Limits) -> Result<(Head, Scope<'static>), XmlError> {
    let tag = Tag::read(text, limits)?;
    if tag.is_empty {
        return Err(XmlError::NotWellFormed("stream header closed at once"));
    }
    let mut scope = Scope::default();
    declare(&tag, &mut scope, &mut 0, limits)?;
    let head = head(&tag, &scope)?;
    Ok((head, scope.into_owned()))
}

/// Checks the complete element that `text` is, read in `scope`.
pub(crate) fn element(text: &str, scope: Scope<'_>, limits: &Limits) -> Result<Raw, XmlError> {
    let first = text.get(..tag_end(text.as_bytes()).ok_or(NOT_CLOSED)?).ok_or(NOT_CLOSED)?;
    let tag = Tag::read(first, limits)?;
    let mut writer = Writer {
        limits: *limits,
        read: scope,
        written: Scope::default(),
        out: Vec::new(),
        payloads: Payloads::default(),
        elements: 0,
        namespaces: 0,
        start_is_open: false,
    };
    declare(&tag, &mut writer.read, &mut writer.namespaces, limits)?;
    let head = head(&tag, &writer.read)?;
    writer.written.declare(Cow::Borrowed(""), Cow::Owned(head.name.ns().to_owned()));
    if !tag.is_empty {
        writer.out.reserve(text.len());
        writer.content(tag.name, text.get(first.len()..).unwrap_or_default())?;
    } else if first.len() != text.len() {
        return Err(NOT_CLOSED);
    }
    Ok(Raw { head, children: writer.out.into(), payloads: writer.payloads })
}

impl<'a> Writer<'a> {
    /// What lies between the start tag of `root` and its end tag, which is the end of `rest`.
    fn content(&mut self, root: &'a str, mut rest: &'a str) -> Result<(), XmlError> {
        let mut open: Vec<Open<'a>> = Vec::new();
        loop {
            let text = rest.find('<').ok_or(NOT_CLOSED)?;
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
                let name = name.trim_end_matches('>').trim_end_matches([' ', '\t', '\r', '\n']);
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
            let marks = Open { name: tag.name, read: self.read.mark(), written: self.written.mark() };
            if open.len() + 2 > self.limits.depth {
                return Err(XmlError::TooBig("depth")); // the stanza, those open in it, and this one
            }
            self.start(&tag, open.is_empty())?;
            if tag.is_empty {
                self.end(tag.name);
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
            return Err(XmlError::TooBig("elements"));
        }
        let before = self.read.mark();
        declare(tag, &mut self.read, &mut self.namespaces, &self.limits)?;
        let (prefix, local) = split(tag.name)?;
        let own = resolve(&self.read, prefix)?;
        if is_payload {
            self.payloads.push(&own, local);
        }
        self.close_start();
        self.out.push(b'<');
        self.out.extend_from_slice(tag.name.as_bytes());
        self.write_declaration("");
        if self.read.mark() > before {
            for (name, _) in &tag.attributes {
                if let Some(prefix) = name.strip_prefix("xmlns:").filter(|prefix| *prefix != "xml") {
                    self.write_declaration(prefix);
                }
            }
        }
        self.write_declaration(prefix);
        for (name, _) in attributes(tag) {
            self.write_declaration(split(name)?.0);
        }
        check_unique(tag, &self.read)?;
        for (name, value) in attributes(tag) {
            self.out.push(b' ');
            self.out.extend_from_slice(name.as_bytes());
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
        if prefix == "xml" || self.written.resolve(prefix).as_ref() == Some(&uri) {
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
        if self.out.len() > self.limits.bytes { Err(XmlError::TooBig("stanza")) } else { Ok(()) }
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
        split(name)?;
        let mut attributes = Vec::new();
        loop {
            let trimmed = rest.trim_start_matches([' ', '\t', '\r', '\n']);
            if trimmed.is_empty() {
                return Ok(Tag { name, attributes, is_empty });
            }
            if trimmed.len() == rest.len() {
                return Err(XmlError::NotWellFormed("no space before an attribute"));
            }
            if attributes.len() >= limits.attributes {
                return Err(XmlError::TooBig("attributes"));
            }
            let (name, value) = trimmed.split_once('=').ok_or(XmlError::NotWellFormed("attribute"))?;
            let name = name.trim_end_matches([' ', '\t', '\r', '\n']);
            split(name)?;
            let value = value.trim_start_matches([' ', '\t', '\r', '\n']);
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''));
            let value = quote.and_then(|quote| value.strip_prefix(quote)?.split_once(quote));
            let (value, behind) = value.ok_or(XmlError::NotWellFormed("attribute value"))?;
            attributes.push((name, attribute_value(value)?));
            rest = behind;
        }
    }
}

/// The attributes that are no namespace declarations.
fn attributes<'t, 'a>(tag: &'t Tag<'a>) -> impl Iterator<Item = (&'a str, &'t str)> {
    let is_plain = |name: &str| name != "xmlns" && !name.starts_with("xmlns:");
    tag.attributes.iter().filter(move |(name, _)| is_plain(name)).map(|(name, value)| (*name, &**value))
}

fn declare<'a>(
    tag: &Tag<'a>,
    scope: &mut Scope<'a>,
    count: &mut usize,
    limits: &Limits,
) -> Result<(), XmlError> {
    let before = scope.mark();
    for (at, (name, uri)) in tag.attributes.iter().enumerate() {
        let prefix = match name.strip_prefix("xmlns") {
            Some("") => "",
            Some(rest) => match rest.strip_prefix(':') {
                Some(prefix) => prefix,
                None => continue,
            },
            None => continue,
        };
        if tag.attributes.iter().take(at).any(|(other, _)| other == name) {
            return Err(XmlError::NotWellFormed("attribute twice"));
        }
        check_declaration(name, prefix, uri)?;
        if uri.len() > NAMESPACE_BYTES {
            return Err(XmlError::TooBig("namespace"));
        }
        if prefix != "xml" {
            scope.declare(Cow::Borrowed(prefix), uri.clone());
        }
    }
    *count += scope.mark() - before;
    if *count > limits.namespaces { Err(XmlError::TooBig("namespaces")) } else { Ok(()) }
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
    let (prefix, local) = split(tag.name)?;
    let name = Name::new(&resolve(scope, prefix)?, local);
    let mut found = Vec::new();
    for (name, value) in attributes(tag) {
        let (prefix, local) = split(name)?;
        let ns = if prefix.is_empty() { None } else { Some(Word::ns(&resolve(scope, prefix)?)) };
        found.push(Attribute {
            ns,
            prefix: Word::local(prefix),
            local: Word::local(local),
            value: value.to_owned(),
        });
    }
    Ok(Head { name, attributes: found, default_ns: Word::ns(&resolve(scope, "")?) })
}

/// XML 1.0 §3.1 and Namespaces in XML 1.0 §6.3: no attribute twice, by its written or by its expanded name.
fn check_unique(tag: &Tag<'_>, scope: &Scope<'_>) -> Result<(), XmlError> {
    let mut seen: Vec<(Option<Cow<'_, str>>, &str)> = Vec::with_capacity(tag.attributes.len());
    for (name, _) in attributes(tag) {
        let (prefix, local) = split(name)?;
        let ns = if prefix.is_empty() { None } else { Some(resolve(scope, prefix)?) };
        if seen.iter().any(|(other_ns, other)| *other == local && *other_ns == ns) {
            return Err(XmlError::NotWellFormed("attribute twice"));
        }
        seen.push((ns, local));
    }
    Ok(())
}

/// Prefix and local name.
fn split(name: &str) -> Result<(&str, &str), XmlError> {
    let (prefix, local) = match name.split_once(':') {
        Some((prefix, local)) if is_ncname(prefix) => (prefix, local),
        Some(_) => return Err(XmlError::NotWellFormed("name")),
        None => ("", name),
    };
    if is_ncname(local) { Ok((prefix, local)) } else { Err(XmlError::NotWellFormed("name")) }
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
            let mut scope = Scope::default();
            scope.declare(Cow::Borrowed(""), Cow::Borrowed(default_ns));
            found.push(element(text, scope, &limits)?);
        } else if !text.bytes().all(is_space) {
            return Err(XmlError::NotWellFormed("text between elements"));
        }
    }
    Ok(found)
}
