//! What the reader takes, what it refuses and why, and what the canonical form looks like.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use starling_xml::{Element, Event, Framing, Limits, Raw, Reader, XmlError, child, ns, without};

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' xmlns:p='urn:p' to='a' xml:lang='en'>";

fn events(reader: &mut Reader, mut input: &[u8]) -> Result<Vec<Event>, XmlError> {
    let mut found = Vec::new();
    while let Some(event) = reader.next(&mut input)? {
        found.push(event);
    }
    Ok(found)
}

fn opened(limits: Limits) -> Reader {
    let mut reader = Reader::new(Framing::Stream, limits);
    assert!(matches!(events(&mut reader, HEADER).unwrap()[..], [Event::Open(_)]));
    reader
}

fn raw(stanza: &str) -> Raw {
    match events(&mut opened(Limits::AFTER_LOGIN), stanza.as_bytes()).unwrap().pop() {
        Some(Event::Element(raw)) => raw,
        other => panic!("{other:?}"),
    }
}

fn canonical(content: &str) -> String {
    String::from_utf8(raw(&format!("<message>{content}</message>")).children.to_vec()).unwrap()
}

fn refused(stanza: &[u8]) -> XmlError {
    let whole = events(&mut opened(Limits::AFTER_LOGIN), stanza).expect_err(&String::from_utf8_lossy(stanza));
    let mut reader = opened(Limits::AFTER_LOGIN);
    let in_pieces = stanza.chunks(1).find_map(|byte| events(&mut reader, byte).err());
    assert_eq!(in_pieces, Some(whole));
    whole
}

#[test]
fn a_stream_is_header_stanzas_and_end() {
    let mut reader = Reader::new(Framing::Stream, Limits::BEFORE_LOGIN);
    let input = [HEADER, b" \n<presence/> <iq id='1'><x/></iq></stream:stream >\n"].concat();
    let found = events(&mut reader, &input).unwrap();
    let [Event::Open(head), Event::Element(presence), Event::Element(iq), Event::Close] = &found[..] else {
        panic!("{found:?}");
    };
    assert!(head.name.is(ns::STREAM, "stream"));
    assert_eq!(head.default_ns, ns::CLIENT);
    assert_eq!((head.attribute("to"), head.attribute_ns(ns::XML, "lang")), (Some("a"), Some("en")));
    assert!(presence.head.name.is(ns::CLIENT, "presence"));
    assert!(iq.payloads.has(ns::CLIENT, "x") && !iq.payloads.has("", "x"));
    assert_eq!(&iq.children[..], b"<x/>");
    assert!(events(&mut reader, b"<presence/>").is_err());
    reader.reset();
    assert_eq!(events(&mut reader, HEADER).unwrap().len(), 1);
}

/// RFC 6120 §4.9.3: what opens inside a stream and is the stream's own is told of at once, for its end may never come.
#[test]
fn a_second_header_is_told_of_at_its_start_tag() {
    for (tag, name) in [
        ("<stream:stream>", "stream"),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='>'>",
            "stream",
        ),
        ("<stream:features>", "features"),
        ("<s:stream xmlns:s='http://etherx.jabber.org/streams' to='a'>", "stream"),
        ("<stream xmlns='http://etherx.jabber.org/streams'>", "stream"),
        ("<stream xmlns='http://etherx.jabber.org&#47;streams'>", "stream"),
    ] {
        for pieces in [1, tag.len()] {
            let mut reader = opened(Limits::BEFORE_LOGIN);
            let found: Vec<Event> =
                tag.as_bytes().chunks(pieces).flat_map(|piece| events(&mut reader, piece).unwrap()).collect();
            let [Event::Open(head)] = &found[..] else { panic!("{tag}: {found:?}") };
            assert!(head.name.is(ns::STREAM, name), "{tag}");
            assert!(events(&mut reader, b"</stream:stream>").is_err(), "nothing is read behind it");
        }
    }
    for whole in ["<stream:error>", "<stream:x xmlns:stream='other'>", "<streams>"] {
        assert_eq!(events(&mut opened(Limits::BEFORE_LOGIN), whole.as_bytes()), Ok(Vec::new()), "{whole}");
    }
    let empty = events(&mut opened(Limits::BEFORE_LOGIN), b"<stream:x/>").unwrap();
    assert!(matches!(&empty[..], [Event::Element(_)]), "{empty:?}");
}

#[test]
fn every_split_gives_the_same_events() {
    let input = [
        HEADER,
        "<message id='é>'><body>a&amp;<![CDATA[]]>]]]</body></message> <iq/></stream:stream>".as_bytes(),
    ]
    .concat();
    let whole = events(&mut Reader::new(Framing::Stream, Limits::AFTER_LOGIN), &input).unwrap();
    assert_eq!(whole.len(), 4);
    for at in 0..input.len() {
        let mut reader = Reader::new(Framing::Stream, Limits::AFTER_LOGIN);
        let mut found = events(&mut reader, &input[..at]).unwrap();
        found.extend(events(&mut reader, &input[at..]).unwrap());
        assert_eq!(found, whole, "split at {at}");
        assert!(!reader.has_partial());
    }
}

#[test]
fn what_xmpp_forbids_is_restricted() {
    for stanza in [
        "<!-- c --><a/>",
        "<a><!-- c --></a>",
        "<a><?pi x?></a>",
        "<?pi?>",
        "<!DOCTYPE a>",
        "<a>&foo;</a>",
        "<a b='&foo;'/>",
        "<?xml version='1.0'?>",
    ] {
        assert!(matches!(refused(stanza.as_bytes()), XmlError::Restricted(_)), "{stanza}");
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    let cases: &[&[u8]] = &[
        b"<a>x & y</a>",
        b"<a>\x01</a>",
        b"<a>&#1;</a>",
        b"<a>&#xFFFF;</a>",
        b"<a b='<'/>",
        b"<a>]]></a>",
        b"<a></b>",
        b"<a b='1' b='2'/>",
        b"<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
        b"<a:b:c xmlns:a='u'/>",
        b"<1a/>",
        b"<a b='1'c='2'/>",
        b"<a b=1/>",
        b"<a>\xff</a>",
        b"<a b='\xc0\x80'/>",
        b"<a>\xed\xa0\x80</a>",
        "<a>\u{FFFE}</a>".as_bytes(),
        b"text",
        b"</a>",
        b"<a xmlns='u' xmlns='v'/>",
        b"<a/ ></a>",
        b"< a/>",
        b"<a></a b='1'>",
        b"<a>&#xD800;</a>",
        b"<a>&#+65;</a>",
        b"<a>&#;</a>",
        b"<a b/>",
        b"<a b='1' =/>",
        "\u{FEFF}<a/>".as_bytes(),
        b"<![CDATA[x]]>",
    ];
    for stanza in cases {
        assert!(matches!(refused(stanza), XmlError::NotWellFormed(_)), "{}", String::from_utf8_lossy(stanza));
    }
}

#[test]
fn prefixes_must_be_declared_and_rightly() {
    for stanza in [
        "<x:a/>",
        "<a x:b='1'/>",
        "<a xmlns:x=''/>",
        "<a xmlns:xmlns='u'/>",
        "<a xmlns:xml='u'/>",
        "<xmlns:a/>",
        "<a xmlns:x='http://www.w3.org/XML/1998/namespace'/>",
        "<a xmlns='http://www.w3.org/2000/xmlns/'/>",
        "<a><b xmlns:x='u'/><x:c/></a>",
    ] {
        assert!(matches!(refused(stanza.as_bytes()), XmlError::BadNamespacePrefix(_)), "{stanza}");
    }
}

#[test]
fn a_declaration_stands_only_at_the_very_beginning_and_names_utf_8() {
    let open = |text: &[u8]| {
        events(&mut Reader::new(Framing::Stream, Limits::BEFORE_LOGIN), text).map(|found| found.len())
    };
    assert_eq!(open(b"<?xml version=\"1.0\" encoding='UTF-8' ?>\n<stream xmlns='u'>"), Ok(1));
    assert_eq!(open(b"<?xml version='1.0' encoding='utf-16'?><stream>"), Err(XmlError::UnsupportedEncoding));
    assert_eq!(open(b"\xfe\xff\0<"), Err(XmlError::UnsupportedEncoding));
    assert_eq!(open(b"\xff"), Err(XmlError::UnsupportedEncoding));
    assert_eq!(open(b"<\0s\0"), Err(XmlError::UnsupportedEncoding));
    for text in
        [" <?xml version='1.0'?><a>", "<?xml version='1.0'?><?xml version='1.0'?><a>", "<?xml-x?><a>", "<?pi"]
    {
        assert!(matches!(open(text.as_bytes()), Err(XmlError::Restricted(_))), "{text}");
    }
    for text in ["<?xml version='1.1'?><a>", "<?xml?><a>", "<?xml encoding='utf-8'?><a>", "<a/>"] {
        assert!(open(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn the_canonical_form_is_one_of_many() {
    for (content, expected) in [
        ("<a></a>", "<a/>"),
        ("<a b=\"1'\"  c = '&quot;' ></a >", "<a b='1&apos;' c='\"'/>"),
        ("<a><![CDATA[<&>]]></a>", "<a>&lt;&amp;&gt;</a>"),
        ("<a>\r\n\r&#13;&#x41;></a>", "<a>\n\n&#13;A&gt;</a>"),
        ("<a b='\t\r\n&#9;&#10;'/>", "<a b='  &#9;&#10;'/>"),
        ("<a xmlns='jabber:client'/>", "<a/>"),
        ("<a xmlns='u'><b xmlns='u'/><c xmlns=''/></a>", "<a xmlns='u'><b/><c xmlns=''/></a>"),
        ("<p:a><p:b/></p:a><p:c/>", "<p:a xmlns:p='urn:p'><p:b/></p:a><p:c xmlns:p='urn:p'/>"),
        ("<a p:b='1'/>", "<a xmlns:p='urn:p' p:b='1'/>"),
        ("<a><![CDATA[]]></a>", "<a/>"),
    ] {
        assert_eq!(canonical(content), expected);
        assert_eq!(canonical(expected), expected, "its own canonical form");
    }
}

#[test]
fn content_stands_in_the_namespace_of_its_element() {
    let stanza = raw("<c:message xmlns:c='jabber:client' xmlns='u'><c:body>x</c:body><b/></c:message>");
    assert!(stanza.head.name.is(ns::CLIENT, "message"));
    assert!(stanza.payloads.has(ns::CLIENT, "body") && stanza.payloads.has("u", "b"));
    let mut whole = Vec::new();
    stanza.write(&mut whole);
    let tree = Element::parse(&whole, "").unwrap();
    assert_eq!(tree.child(ns::CLIENT, "body").unwrap().text(), "x");
    assert_eq!(tree, stanza.to_element());
}

#[test]
fn limits_are_hit_before_anything_is_kept() {
    let limits = Limits { bytes: 400, depth: 3, attributes: 3, namespaces: 2, children: 4 };
    let read = |stanza: &str| {
        let whole = events(&mut opened_with(limits), stanza.as_bytes()).map(|found| found.len());
        let mut reader = opened_with(limits);
        let mut count = 0;
        let in_pieces = stanza
            .bytes()
            .try_for_each(|byte| events(&mut reader, &[byte]).map(|found| count += found.len()));
        assert_eq!(whole, in_pieces.map(|()| count), "{stanza}");
        whole
    };
    assert_eq!(read("<a><b><c/></b></a>"), Ok(1));
    assert_eq!(read("<a><b><c><d/></c></b></a>"), Err(XmlError::TooBig("elements are nested too deep")));
    assert_eq!(read("<a><b><c><d>"), Err(XmlError::TooBig("elements are nested too deep")));
    assert_eq!(read("<a b='' c='' d=''/>"), Ok(1));
    assert_eq!(read("<a b='' c='' d='' e=''/>"), Err(XmlError::TooBig("too many attributes")));
    assert_eq!(read("<a xmlns='u'><b xmlns='v'/></a>"), Ok(1));
    assert_eq!(
        read("<a xmlns='u'><b xmlns='v'/><c xmlns='w'/></a>"),
        Err(XmlError::TooBig("too many namespaces"))
    );
    assert_eq!(read("<a><b/><b/><b/><b/></a>"), Ok(1));
    assert_eq!(read("<a><b/><b/><b/><b/><b/></a>"), Err(XmlError::TooBig("too many elements")));
    assert_eq!(read(&format!("<a>{}</a>", "x".repeat(393))), Ok(1));
    assert_eq!(read(&format!("<a>{}</a>", "x".repeat(394))), Err(XmlError::TooBig("the stanza is too big")));
    assert_eq!(read(&format!("<a b='{}", "x".repeat(395))), Err(XmlError::TooBig("the stanza is too big")));
    assert_eq!(read(&format!("<a>{}</a>", ">".repeat(200))), Err(XmlError::TooBig("the stanza is too big"))); // longer when written
}

fn opened_with(limits: Limits) -> Reader {
    let mut reader = opened(Limits::BEFORE_LOGIN);
    reader.set_limits(limits);
    reader
}

#[test]
fn a_long_namespace_is_not_kept_for_every_child() {
    let (uri, children) = ("u".repeat(200_000), "<b/>".repeat(500));
    let stanza = format!("<message xmlns='{uri}'>{children}</message>");
    assert_eq!(refused(stanza.as_bytes()), XmlError::TooBig("the name of a namespace is too long"));
}

#[test]
fn a_frame_is_a_document_of_its_own() {
    let mut reader = Reader::new(Framing::Element, Limits::BEFORE_LOGIN);
    let open = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='a' version='1.0'/>";
    let [Event::Element(raw)] = &events(&mut reader, open).unwrap()[..] else { panic!() };
    assert!(raw.head.name.is(ns::FRAMING, "open"));
    assert!(events(&mut reader, b"<message xmlns='jabber:client'>").unwrap().is_empty());
    assert!(reader.has_partial());
    reader.reset();
    assert!(!reader.has_partial());
    assert!(events(&mut reader, b"</stream>").is_err());
}

/// Clients that write a line break behind `<auth/>`: it belongs to the stream that is over.
#[test]
fn white_space_before_a_stream_that_begins_anew_is_no_part_of_it() {
    let header = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams' to='a' version='1.0'>";
    let mut reader = Reader::new(Framing::Stream, Limits::BEFORE_LOGIN);
    assert!(
        events(&mut reader, format!("\n{header}").as_bytes()).is_err(),
        "a document begins with its declaration"
    );
    let mut reader = Reader::new(Framing::Stream, Limits::BEFORE_LOGIN);
    assert_eq!(events(&mut reader, header.as_bytes()).unwrap().len(), 1);
    reader.reset();
    assert_eq!(events(&mut reader, format!("\n{header}").as_bytes()).unwrap().len(), 1);
}

#[test]
fn a_bosh_body_gives_its_stanzas() {
    let body = b"<body xmlns='http://jabber.org/protocol/httpbind' xmlns:c='jabber:client' rid='1'> \
        <message xmlns='jabber:client'><body>x</body></message><c:iq><c:q/></c:iq></body>";
    let mut reader = Reader::new(Framing::Element, Limits::AFTER_LOGIN);
    let [Event::Element(raw)] = &events(&mut reader, body).unwrap()[..] else { panic!() };
    let stanzas = raw.elements(Limits::AFTER_LOGIN).unwrap();
    assert_eq!(stanzas.len(), 2);
    assert!(stanzas[0].head.name.is(ns::CLIENT, "message") && stanzas[0].payloads.has(ns::CLIENT, "body"));
    assert_eq!(&stanzas[0].children[..], b"<body>x</body>");
    assert!(stanzas[1].head.name.is(ns::CLIENT, "iq") && stanzas[1].payloads.has(ns::CLIENT, "q"));
}

#[test]
fn children_are_found_and_dropped_by_name() {
    let stanza =
        raw("<message>\n<body>a</body><p:s id='1'><p:s/></p:s>mid<s xmlns='urn:p' id='2'/><s/></message>");
    assert_eq!(child(&stanza.children, ns::CLIENT, "urn:p", "s").unwrap().attr("id"), Some("1"));
    assert_eq!(child(&stanza.children, ns::CLIENT, ns::CLIENT, "body").unwrap().text(), "a");
    assert!(child(&stanza.children, ns::CLIENT, "urn:q", "s").is_none());
    let kept = without(&stanza.children, ns::CLIENT, |element| element.is("urn:p", "s")).unwrap();
    assert_eq!(&kept[..], b"\n<body>a</body>mid<s/>");
    assert!(without(&kept, ns::CLIENT, |element| element.is("urn:p", "s")).is_none());
}

#[test]
fn trees_are_bounded_and_dropped_flat() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(Element::parse(deep(256).as_bytes(), "").is_ok());
    assert_eq!(
        Element::parse(deep(257).as_bytes(), "").unwrap_err(),
        XmlError::TooBig("elements are nested too deep")
    );
    let mut tree = Element::new("", "a");
    for _ in 0..200_000 {
        tree = Element::new("", "a").with_child(tree);
    }
    drop(tree);
}

#[test]
fn a_tree_is_built_changed_and_written() {
    let mut tree = Element::new("urn:x", "a").with_attr("b", "1").with_attr("xml:lang", "de").with_text("t");
    tree.set_attr("b", "it's");
    tree.push(Element::new("urn:x", "c"));
    tree.push(Element::new("", "d"));
    assert_eq!(tree.attr("xml:lang"), Some("de"));
    assert_eq!(&tree.to_bytes("urn:x")[..], b"<a b='it&apos;s' xml:lang='de'>t<c/><d xmlns=''/></a>");
    assert_eq!(Element::parse(&tree.to_bytes(""), "").unwrap(), tree);
    tree.remove_attr("b");
    assert_eq!(tree.attr("b"), None);
    assert!(Element::parse(b"<a/><b/>", "").is_err() && Element::parse(b"", "").is_err());
}

#[test]
fn a_reader_is_small() {
    assert!(std::mem::size_of::<Reader>() < 200, "{}", std::mem::size_of::<Reader>());
}
