//! A tree of elements: for the few that must be looked into, and for those that the server writes itself.

use std::mem;

use bytes::Bytes;

use crate::error::Result;
use crate::name::write_attributes;
use crate::parse;
use crate::writer::{escape_attr, escape_text};
use crate::{Attribute, Head, Name, XmlError};

/// An element with all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    name: Name,
    attributes: Vec<Attribute>,
    nodes: Vec<Node>,
}

/// What an element can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// An element.
    Element(Element),
    /// Text, unescaped.
    Text(String),
}

impl Element {
    /// An empty element.
    pub fn new(ns: &str, local: &str) -> Element {
        Element::with(Name::new(ns, local), Vec::new())
    }
    pub(crate) fn with(name: Name, attributes: Vec<Attribute>) -> Element {
        Element { name, attributes, nodes: Vec::new() }
    }
    /// Reads exactly one element, standing where `default_ns` is the default namespace.
    pub fn parse(bytes: &[u8], default_ns: &str) -> Result<Element> {
        let mut elements = Vec::new();
        for node in parse::nodes(bytes, default_ns)? {
            match node {
                Node::Element(element) => elements.push(element),
                Node::Text(text) if text.trim_ascii().is_empty() => {}
                Node::Text(_) => return Err(XmlError::NotWellFormed("text beside the element")),
            }
        }
        match (elements.pop(), elements.is_empty()) {
            (Some(element), true) => Ok(element),
            _ => Err(XmlError::NotWellFormed("not exactly one element")),
        }
    }
    /// Reads what stands inside an element.
    pub fn parse_children(bytes: &[u8], default_ns: &str) -> Result<Vec<Node>> {
        parse::nodes(bytes, default_ns)
    }
    pub(crate) fn from_parts(head: &Head, children: &[u8]) -> Element {
        let mut element = Element::with(head.name.clone(), head.attributes.clone());
        element.nodes = parse::nodes(children, head.name.ns()).unwrap_or_default();
        element
    }
    /// The expanded name.
    pub fn name(&self) -> &Name {
        &self.name
    }
    /// The name without a prefix.
    pub fn local(&self) -> &str {
        self.name.local()
    }
    /// The namespace.
    pub fn ns(&self) -> &str {
        self.name.ns()
    }
    /// Whether it is `<local xmlns='ns'/>`.
    pub fn is(&self, ns: &str, local: &str) -> bool {
        self.name.is(ns, local)
    }
    /// The value of an attribute in no namespace, or of `xml:lang` and its like.
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.is_named(name)).map(Attribute::value)
    }
    /// The attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.iter()
    }
    /// Its own text, that of its children left out.
    pub fn text(&self) -> String {
        let own = |node: &Node| match node {
            Node::Text(text) => Some(text.clone()),
            Node::Element(_) => None,
        };
        self.nodes.iter().filter_map(own).collect()
    }
    /// The elements directly in it.
    pub fn children(&self) -> impl Iterator<Item = &Element> {
        self.nodes.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }
    /// The first `<local xmlns='ns'/>` directly in it.
    pub fn child(&self, ns: &str, local: &str) -> Option<&Element> {
        self.children().find(|child| child.is(ns, local))
    }
    /// Elements and text in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
    /// Elements and text, taken out.
    pub fn into_nodes(mut self) -> Vec<Node> {
        mem::take(&mut self.nodes)
    }
    /// With an attribute in no namespace, or `xml:lang` and its like.
    #[must_use]
    pub fn with_attr(mut self, name: &str, value: impl Into<String>) -> Element {
        self.set_attr(name, value);
        self
    }
    /// With text at the end.
    #[must_use]
    pub fn with_text(mut self, text: &str) -> Element {
        self.push(Node::Text(text.into()));
        self
    }
    /// With an element at the end.
    #[must_use]
    pub fn with_child(mut self, child: Element) -> Element {
        self.push(Node::Element(child));
        self
    }
    /// Sets an attribute; where there is one already, in its place.
    pub fn set_attr(&mut self, name: &str, value: impl Into<String>) {
        match self.attributes.iter_mut().find(|attribute| attribute.is_named(name)) {
            Some(attribute) => attribute.value = value.into(),
            None => self.attributes.push(Attribute::new(name, value.into())),
        }
    }
    /// Takes an attribute away.
    pub fn remove_attr(&mut self, name: &str) {
        self.attributes.retain(|attribute| !attribute.is_named(name));
    }
    /// Adds a node at the end; text joins the text before it.
    pub fn push(&mut self, node: impl Into<Node>) {
        push(&mut self.nodes, node.into());
    }
    /// Writes canonical XML; `default_ns` is what is in scope: no `xmlns` is written where it is the same.
    pub fn write(&self, out: &mut Vec<u8>, default_ns: &str) {
        out.push(b'<');
        out.extend_from_slice(self.local().as_bytes());
        if self.ns() != default_ns {
            out.extend_from_slice(b" xmlns='");
            escape_attr(out, self.ns());
            out.push(b'\'');
        }
        write_attributes(out, &self.attributes);
        if self.nodes.is_empty() {
            out.extend_from_slice(b"/>");
            return;
        }
        out.push(b'>');
        for node in &self.nodes {
            match node {
                Node::Element(child) => child.write(out, self.ns()),
                Node::Text(text) => escape_text(out, text),
            }
        }
        out.extend_from_slice(b"</");
        out.extend_from_slice(self.local().as_bytes());
        out.push(b'>');
    }
    /// The same, as bytes of their own.
    pub fn to_bytes(&self, default_ns: &str) -> Bytes {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out, default_ns);
        out.into()
    }
}

/// Adds a node; empty text is nothing, and text joins the text before it, as it would when parsed again.
pub(crate) fn push(nodes: &mut Vec<Node>, node: Node) {
    match (nodes.last_mut(), node) {
        (_, Node::Text(text)) if text.is_empty() => {}
        (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
        (_, node) => nodes.push(node),
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Node {
        Node::Element(element)
    }
}

impl From<String> for Node {
    fn from(text: String) -> Node {
        Node::Text(text)
    }
}

/// A deep tree is taken down level by level: the stack stays flat.
impl Drop for Element {
    fn drop(&mut self) {
        let is_deep = |node: &Node| matches!(node, Node::Element(child) if !child.nodes.is_empty());
        if !self.nodes.iter().any(is_deep) {
            return;
        }
        let mut waiting = mem::take(&mut self.nodes);
        while let Some(node) = waiting.pop() {
            if let Node::Element(mut element) = node {
                waiting.append(&mut element.nodes);
            }
        }
    }
}
