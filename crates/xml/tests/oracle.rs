//! The reader against rxml: what that refuses is refused, and what both take means the same.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use rxml::Parse;
use starling_xml::{Element, Event, Framing, Limits, Node, Raw, Reader, XmlError};

const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:s='urn:s'>";
const FOOTER: &str = "</stream:stream>";

/// What a document means, whoever parsed it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tree {
    name: (String, String),
    attributes: BTreeMap<(String, String), String>,
    nodes: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Tree(Tree),
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
fn by_rxml(document: &[u8]) -> Option<Tree> {
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
fn read(framing: Framing, document: &[u8], step: usize) -> Result<(Vec<Event>, bool), XmlError> {
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
    let mut reader = Reader::new(Framing::Element, Limits { bytes: usize::MAX >> 1, ..Limits::AFTER_LOGIN });
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
pub fn compare(document: &[u8]) {
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

const SEEDS: &[&str] = &[
    "<message xmlns='jabber:client' to='a@b' xml:lang=\"de\"><body>hi &amp; &#x20AC; &lt;</body><x xmlns='u'/></message>",
    "<p:a xmlns:p='urn:p' p:b='1' b='2'><p:c/><d xmlns=''>t<![CDATA[<]]&gt;]]></d><e xmlns:p='q' p:b='\t\n'/></p:a>",
    "<s:iq><a xmlns='urn:s' s:x='&#9;&apos;&quot;'>\r\n</a><s:b xmlns:s='urn:t'><s:c/></s:b></s:iq>",
    "<?xml version='1.0' encoding='utf-8'?><stream xmlns='x'>é\u{10000}</stream>",
];

fn token() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::sample::select(vec![
        "<",
        ">",
        "/",
        "</",
        "/>",
        "<a",
        "<p:a",
        "<s:a>",
        "</a>",
        "</s:a>",
        "</p:a>",
        "<a>",
        "<b/>",
        " ",
        "=",
        "'",
        "\"",
        " xmlns='u'",
        " xmlns=''",
        " xmlns:p='u'",
        " xmlns:p=''",
        " xmlns:q='u'",
        " xmlns:xml='u'",
        " xmlns:xmlns='u'",
        " p:x='1'",
        " q:x='2'",
        " x='3'",
        " xml:x='4'",
        " xmlns:p='http://www.w3.org/XML/1998/namespace'",
        " xmlns='http://www.w3.org/2000/xmlns/'",
        "&amp;",
        "&",
        ";",
        "&#x1;",
        "&#65;",
        "&#xFFFE;",
        "&#13;",
        "&foo;",
        "]]>",
        "]]",
        "<![CDATA[",
        "<!--",
        "-->",
        "<?a?>",
        "<!DOCTYPE a>",
        "\r\n",
        "\r",
        "\t",
        "\n",
        "\u{FFFE}",
        "\u{85}",
        "\u{C}",
        "text",
        "é",
        "\u{FEFF}",
        ":",
        "1",
        "-",
        "\u{300}",
        "<?xml version='1.0'?>",
        "\0",
        "\u{7f}",
    ]);
    prop_oneof![
        20 => fixed.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::sample::select(vec![vec![0xFF], vec![0xC0, 0x80], vec![0xED, 0xA0, 0x80], vec![0xC3], vec![0xF4, 0x90, 0x80, 0x80]]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tokens_in_any_order_mean_what_rxml_says(tokens in prop::collection::vec(token(), 0..12)) {
        compare(&tokens.concat());
    }

    #[test]
    fn tokens_inside_an_element_mean_what_rxml_says(tokens in prop::collection::vec(token(), 0..8)) {
        compare(&[b"<a xmlns:p='up' xmlns:q='up'>".to_vec(), tokens.concat(), b"</a>".to_vec()].concat());
    }

    #[test]
    fn tokens_inside_a_tag_mean_what_rxml_says(tokens in prop::collection::vec(token(), 0..6)) {
        compare(&[b"<r xmlns:p='v'><p:a".to_vec(), tokens.concat(), b"/></r>".to_vec()].concat());
    }

    #[test]
    fn a_changed_document_means_what_rxml_says(
        seed in prop::sample::select(SEEDS), changes in prop::collection::vec((any::<prop::sample::Index>(), 0..3usize, token()), 0..4),
    ) {
        let mut document = seed.as_bytes().to_vec();
        for (at, removed, inserted) in changes {
            let at = at.index(document.len() + 1);
            let end = (at + removed).min(document.len());
            document.splice(at..end, inserted);
        }
        compare(&document);
    }

    #[test]
    fn names_of_any_character_mean_what_rxml_says(c in any::<char>(), d in any::<char>()) {
        compare(format!("<{c}{d}/>").as_bytes());
        compare(format!("<a {c}{d}='{c}{d}'>{d}</a>").as_bytes());
        compare(format!("<a b='&#{};'>&#x{:x};</a>", u32::from(c), u32::from(d)).as_bytes());
    }

    #[test]
    fn any_text_survives_writing(text in any::<String>(), value in any::<String>()) {
        let element = Element::new("urn:x", "a").with_attr("b", value.clone()).with_text(&text);
        let again = Element::parse(&element.to_bytes("urn:y"), "urn:y").unwrap();
        let is_clean = |c: char| !matches!(c, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}');
        if text.chars().all(is_clean) && value.chars().all(is_clean) {
            prop_assert_eq!(&again, &element);
        }
        compare(&element.to_bytes(""));
    }
}

#[test]
fn the_seeds_are_taken() {
    for seed in SEEDS {
        compare(seed.as_bytes());
    }
    assert!(by_rxml(SEEDS[1].as_bytes()).is_some());
    assert_eq!(read(Framing::Element, SEEDS[1].as_bytes(), 7).unwrap().0.len(), 1);
}
