//! An element as a tree, read by quick-xml alone.

use std::fmt;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use quick_xml::events::Event;
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// An element with its namespace resolved; attributes without namespace declarations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// Local name.
    pub name: String,
    /// Namespace.
    pub ns: String,
    /// Attributes by their written names, in order.
    pub attributes: Vec<(String, String)>,
    /// Child elements.
    pub children: Vec<Tree>,
    /// All text directly inside.
    pub text: String,
}

impl Tree {
    /// Reads one element; `default_ns` is what stands for no `xmlns`.
    pub fn parse(xml: &str, default_ns: &str) -> Result<Tree> {
        let wrapped =
            format!("<w xmlns='{default_ns}' xmlns:stream='http://etherx.jabber.org/streams'>{xml}</w>");
        let root = read(&wrapped)?;
        root.children.into_iter().next().context("no element")
    }
    /// Reads one element that must stand on its own, as each does in a frame.
    pub fn parse_alone(xml: &str) -> Result<Tree> {
        read(xml)
    }
    /// The attribute of that name.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
    /// The first child of that name, whatever its namespace.
    pub fn child(&self, name: &str) -> Option<&Tree> {
        self.children.iter().find(|child| child.name == name)
    }
    /// The base64 text of a SASL element; `=` is nothing (RFC 6120 §6.4.2).
    pub fn decoded(&self) -> Result<String> {
        let text = if self.text == "=" { "" } else { &self.text };
        Ok(String::from_utf8(BASE64_STANDARD.decode(text)?)?)
    }
    /// Walks down by names.
    pub fn find(&self, path: &[&str]) -> Option<&Tree> {
        path.iter().try_fold(self, |tree, name| tree.child(name))
    }
    /// Every element below of that name.
    pub fn all(&self, name: &str) -> Vec<&Tree> {
        let mut found: Vec<&Tree> = self.children.iter().filter(|child| child.name == name).collect();
        for child in &self.children {
            found.extend(child.all(name));
        }
        found
    }
}

fn read(xml: &str) -> Result<Tree> {
    let mut reader = NsReader::from_str(xml);
    reader.config_mut().expand_empty_elements = true;
    let mut stack: Vec<Tree> = Vec::new();
    loop {
        let (resolved, event) = reader.read_resolved_event()?;
        match event {
            Event::Start(start) => {
                let ns = match resolved {
                    ResolveResult::Bound(ns) => ns.0.to_string(),
                    ResolveResult::Unbound => String::new(),
                    ResolveResult::Unknown(prefix) => bail!("undeclared prefix {prefix:?}"),
                };
                let name = start.local_name().into_inner().to_string();
                let mut attributes = Vec::new();
                for attribute in start.attributes() {
                    let attribute = attribute?;
                    let key = attribute.key.into_inner().to_string();
                    if key != "xmlns" && !key.starts_with("xmlns:") {
                        attributes.push((
                            key,
                            attribute.normalized_value(quick_xml::XmlVersion::Explicit1_0)?.into_owned(),
                        ));
                    }
                }
                stack.push(Tree { name, ns, attributes, ..Tree::default() });
            }
            Event::End(_) => {
                let done = stack.pop().context("end without start")?;
                match stack.last_mut() {
                    Some(parent) => parent.children.push(done),
                    None => return Ok(done),
                }
            }
            Event::Text(text) => push(&mut stack, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = match reference.resolve_char_ref()? {
                    Some(character) => character,
                    None => match &*reference.xml10_content() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "apos" => '\'',
                        "quot" => '"',
                        other => bail!("entity {other}"),
                    },
                };
                push(&mut stack, &character.to_string());
            }
            Event::Eof => bail!("unexpected end"),
            other => bail!("forbidden in XMPP: {other:?}"),
        }
    }
}

fn push(stack: &mut [Tree], text: &str) {
    if let Some(top) = stack.last_mut() {
        top.text.push_str(text);
    }
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} xmlns='{}'", self.name, self.ns)?;
        for (key, value) in &self.attributes {
            write!(f, " {key}='{value}'")?;
        }
        write!(f, ">{}", self.text)?;
        for child in &self.children {
            write!(f, "{child}")?;
        }
        write!(f, "</{}>", self.name)
    }
}
