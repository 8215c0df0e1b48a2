//! Trees from canonical bytes, by quick-xml.

use quick_xml::XmlVersion;
use quick_xml::escape::{escape, resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::{Namespace, PrefixDeclaration, ResolveResult};
use quick_xml::reader::NsReader;

use crate::element::push;
use crate::error::Result;
use crate::name::Word;
use crate::{Attribute, Element, Name, Node, XmlError};

/// No tree is deeper, whatever was stored: writing one descends.
const DEPTH: usize = 256;

/// Declarations open at once: more than the reader lets into canonical XML.
const BINDINGS: usize = 4096;

const MALFORMED: XmlError = XmlError::NotWellFormed("not canonical XML");

/// Everything in `bytes`, standing where `default_ns` is the default namespace.
pub(crate) fn nodes(bytes: &[u8], default_ns: &str) -> Result<Vec<Node>> {
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::NotWellFormed("UTF-8"))?;
    // At the very beginning quick-xml takes it for a byte order mark; here it is text (RFC 6120 §11.6).
    let rest = text.trim_start_matches('\u{FEFF}');
    let (marks, text) = text.split_at(text.len() - rest.len());
    let mut reader = NsReader::from_str(text);
    reader
        .resolver_mut()
        .set_max_namespace_bindings(BINDINGS)
        .add(PrefixDeclaration::Default, Namespace(&escape(default_ns)))
        .map_err(|_| XmlError::BadNamespacePrefix("default namespace"))?;
    let mut top = Vec::new();
    push(&mut top, marks.to_owned().into());
    let mut open: Vec<Element> = Vec::new();
    loop {
        let event = reader.read_event().map_err(|_| MALFORMED)?;
        match event {
            Event::Start(start) => {
                if open.len() >= DEPTH {
                    return Err(XmlError::TooBig("elements are nested too deep"));
                }
                open.push(element(&reader, &start)?);
            }
            Event::Empty(start) => {
                let element = element(&reader, &start)?;
                add(&mut open, &mut top, element.into());
            }
            Event::End(_) => {
                let done = open.pop().ok_or(MALFORMED)?;
                add(&mut open, &mut top, done.into());
            }
            Event::Text(text) => add(&mut open, &mut top, text.xml10_content().into_owned().into()),
            Event::CData(text) => add(&mut open, &mut top, text.xml10_content().into_owned().into()),
            Event::GeneralRef(reference) => {
                let text = match reference.resolve_char_ref().map_err(|_| MALFORMED)? {
                    Some(character) => character.to_string(),
                    None => resolve_predefined_entity(&reference)
                        .ok_or(XmlError::Restricted("entity"))?
                        .to_string(),
                };
                add(&mut open, &mut top, text.into());
            }
            Event::Eof if open.is_empty() => return Ok(top),
            Event::Eof => return Err(XmlError::NotWellFormed("end inside an element")),
            Event::Decl(_) | Event::PI(_) | Event::DocType(_) | Event::Comment(_) => {
                return Err(XmlError::Restricted("comment, processing instruction or DTD"));
            }
        }
    }
}

fn add(open: &mut [Element], top: &mut Vec<Node>, node: Node) {
    match open.last_mut() {
        Some(parent) => parent.push(node),
        None => push(top, node),
    }
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart) -> Result<Element> {
    let (resolved, local) = reader.resolver().resolve_element(start.name());
    let ns = bound(resolved)?.unwrap_or_default();
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| MALFORMED)?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (resolved, local) = reader.resolver().resolve_attribute(attribute.key);
        let prefix =
            attribute.key.prefix().map(|prefix| Word::local(prefix.into_inner())).unwrap_or_default();
        let ns = bound(resolved)?;
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| MALFORMED)?.into_owned();
        attributes.push(Attribute { ns, prefix, local: Word::local(local.into_inner()), value });
    }
    Ok(Element::with(Name { ns, local: Word::local(local.into_inner()) }, attributes))
}

fn bound(resolved: ResolveResult) -> Result<Option<Word>> {
    match resolved {
        // quick-xml resolves to the namespace as it is written, references and all.
        ResolveResult::Bound(ns) => Ok(Some(Word::ns(&unescape(ns.0).map_err(|_| MALFORMED)?))),
        ResolveResult::Unbound => Ok(None),
        ResolveResult::Unknown(_) => Err(XmlError::BadNamespacePrefix("not declared")),
    }
}
