//! One document read by us and by rxml; also what the fuzz target calls.

use std::collections::BTreeMap;

use rxml::Parse;
use starling_xml::{Element, Event, Framing, Limits, Node, Raw, Reader, XmlError};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:s='urn:s'>";
const FOOTER: &str = "</stream:stream>";

/// What a document means, whoever parsed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Namespace and local name.
    pub name: (String, String),
    /// By expanded name.
    pub attributes: BTreeMap<(String, String), String>,
    /// Elements and text, in order.
    pub nodes: Vec<Part>,
}

/// A child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// An element.
    Tree(Tree),
    /// Text between elements, in one piece.
    Text(String),
}

impl Tree {
    fn push(&mut self, text: &str) {
        match self.nodes.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.nodes.push(Part::Text(text.to_owned())),
        }
    }
    fn of(element: &Element) -> Tree {
        let own = |attribute: &starling_xml::Attribute| {
            let name = (attribute.ns().unwrap_or_default().to_owned(), attribute.local().to_owned());
            (name, attribute.value().to_owned())
        };
        let part = |node: &Node| match node {
            Node::Element(child) => Part::Tree(Tree::of(child)),
            Node::Text(text) => Part::Text(text.clone()),
        };
        Tree {
            name: (element.ns().to_owned(), element.local().to_owned()),
            attributes: element.attributes().map(own).collect(),
            nodes: element.nodes().iter().map(part).collect(),
        }
    }
}

/// The whole document as rxml sees it. Line ends come normalised to the parser, whatever they stand in (XML 1.0 §2.11);
/// rxml does so in text only, and refuses a carriage return in a tag, as it does white space before the first element.
pub(crate) fn by_rxml(document: &[u8]) -> Option<Tree> {
    let mut parser = rxml::Parser::new();
    let normalised: Vec<u8> = (document.iter().enumerate())
        .filter(|(at, byte)| **byte != b'\r' || document.get(at + 1) != Some(&b'\n'))
        .map(|(_, byte)| if *byte == b'\r' { b'\n' } else { *byte })
        .collect();
    let mut input = normalised.trim_ascii_start();
    let mut open: Vec<Tree> = Vec::new();
    let mut done = None;
    loop {
        match parser.parse(&mut input, true).ok()? {
            None => return done.filter(|_| open.is_empty()),
            Some(rxml::Event::XmlDeclaration(..)) => {}
            Some(rxml::Event::StartElement(_, (ns, local), attributes)) => {
                let own = |((ns, local), value): ((rxml::Namespace, rxml::NcName), String)| {
                    ((ns.to_string(), local.to_string()), value)
                };
                open.push(Tree {
                    name: (ns.to_string(), local.to_string()),
                    attributes: attributes.into_iter().map(own).collect(),
                    nodes: Vec::new(),
                });
            }
            Some(rxml::Event::EndElement(_)) => {
                let tree = open.pop()?;
                match open.last_mut() {
                    Some(parent) => parent.nodes.push(Part::Tree(tree)),
                    None => done = Some(tree),
                }
            }
            Some(rxml::Event::Text(_, text)) => open.last_mut()?.push(&text),
        }
    }
}

/// All events, the input fed in pieces of `step` bytes.
pub(crate) fn read(framing: Framing, document: &[u8], step: usize) -> Result<(Vec<Event>, bool), XmlError> {
    let mut reader = Reader::new(framing, Limits::AFTER_LOGIN);
    let mut events = Vec::new();
    for mut piece in document.chunks(step.max(1)) {
        while let Some(event) = reader.next(&mut piece)? {
            events.push(event);
        }
        assert!(piece.is_empty(), "what gives no event is taken");
    }
    Ok((events, reader.has_partial()))
}

/// The canonical form, checked: it stands on its own, and it is its own canonical form.
fn check(raw: &Raw) {
    let mut whole = Vec::new();
    raw.write(&mut whole);
    let mut input = &whole[..];
    // Standing on its own it declares what the stream had declared, and so may be longer.
    let mut reader = Reader::new(
        Framing::Element,
        Limits { bytes: usize::MAX >> 1, namespaces: usize::MAX, ..Limits::AFTER_LOGIN },
    );
    let Ok(Some(Event::Element(again))) = reader.next(&mut input) else {
        panic!("not its own canonical form: {}", String::from_utf8_lossy(&whole));
    };
    assert_eq!(raw.children, again.children, "{}", String::from_utf8_lossy(&whole));
    assert_eq!(raw.payloads, again.payloads);
    assert_eq!(raw.payloads, starling_xml::Payloads::of(&raw.children, raw.head.name.ns()));
    let by_quick_xml = Element::parse(&whole, "").expect("quick-xml reads it");
    let by_rxml = by_rxml(&whole).expect("rxml reads it");
    assert_eq!(Tree::of(&by_quick_xml), by_rxml);
    assert_eq!(Tree::of(&raw.to_element()), by_rxml);
    let written = by_quick_xml.to_bytes("");
    assert_eq!(Tree::of(&Element::parse(&written, "").expect("a written tree is read")), by_rxml);
}

/// One document against the oracle, alone and in a stream.
pub(crate) fn compare(document: &[u8]) {
    let ours = read(Framing::Element, document, document.len());
    assert_eq!(ours, read(Framing::Element, document, 1), "in pieces");
    if let Ok((events, false)) = &ours
        && let [Event::Element(raw)] = &events[..]
    {
        let theirs = by_rxml(document)
            .unwrap_or_else(|| panic!("rxml refuses {:?}", String::from_utf8_lossy(document)));
        assert_eq!(Tree::of(&raw.to_element()), theirs);
        check(raw);
    }
    let stream = [HEADER.as_bytes(), document, FOOTER.as_bytes()].concat();
    let ours = read(Framing::Stream, &stream, stream.len());
    assert_eq!(ours, read(Framing::Stream, &stream, 1), "a stream in pieces");
    if let Ok((events, false)) = &ours
        && let [Event::Open(_), stanzas @ .., Event::Close] = &events[..]
    {
        let theirs = by_rxml(&stream).expect("rxml refuses a stream that was taken");
        let trees: Vec<Tree> = theirs
            .nodes
            .into_iter()
            .filter_map(|part| match part {
                Part::Tree(tree) => Some(tree),
                Part::Text(text) => {
                    assert!(text.trim_ascii().is_empty());
                    None
                }
            })
            .collect();
        let of = |event: &Event| match event {
            Event::Element(raw) => {
                check(raw);
                Tree::of(&raw.to_element())
            }
            _ => panic!("a second header or end"),
        };
        assert_eq!(stanzas.iter().map(of).collect::<Vec<_>>(), trees);
    }
}
