//! The reader against rxml: what that refuses is refused, and what both take means the same.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

mod compare;

use compare::{by_rxml, compare, read};
use proptest::prelude::*;
use starling_xml::{Element, Framing};

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

/// What lenient readers take, one input for each kind. We refuse whatever rxml refuses, and what is nested too deeply.
#[test]
fn what_the_oracle_refuses_is_refused() {
    let (long, deep) = ("x".repeat(1_000_000), "<b>".repeat(5000) + &"</b>".repeat(5000));
    let (long, deep) = (format!("<a b='{long}'/>"), format!("<a>{deep}</a>"));
    let inputs: &[&[u8]] = &[
        b"<a><!-- c --></a>",
        b"<a><?pi x?></a>",
        b"<!DOCTYPE a><a/>",
        b"<a>&foo;</a>",
        b"<a b='&foo;'/>",
        b"<a>x & y</a>",
        b"<a>\x01</a>",
        b"<a>&#1;</a>",
        b"<a b='<'/>",
        b"<a>]]></a>",
        b"<a></b>",
        b"<a b='1' b='2'/>",
        b"<a xmlns:x='u' xmlns:y='u' x:b='1' y:b='2'/>",
        b"<x:a/>",
        b"<a x:b='1'/>",
        b"<a:b:c xmlns:a='u'/>",
        b"<1a/>",
        b"<a b='1'c='2'/>",
        b"<a b=1/>",
        b"<a>\xff</a>",
        b"<a b='\xc0\x80'/>",
        "<a>\u{FFFE}</a>".as_bytes(),
        long.as_bytes(),
        deep.as_bytes(),
        b"<a/><a/>",
        b"<a/>text",
        b"<a>",
        b"<?xml version='1.0'?><?xml version='1.0'?><a/>",
        b"<a xmlns:p=''/>",
    ];
    for input in inputs {
        let said = String::from_utf8_lossy(&input[..input.len().min(60)]);
        let ours = read(Framing::Element, input, input.len());
        let ours = ours.is_ok_and(|(events, partial)| events.len() == 1 && !partial);
        assert!(!ours, "taken as one element: {said}");
        assert!(by_rxml(input).is_none() || *input == deep.as_bytes(), "rxml takes it: {said}");
        compare(&input[..input.len().min(20_000)]);
    }
}
