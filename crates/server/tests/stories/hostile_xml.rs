//! RFC 6120 §11, §13.12: what no client may send, before login and after it; and what passes as it was sent.

use std::fmt::Write;
use std::time::Duration;

use starling_testkit::{Connection, Received, Tree, User, World};

use super::sasl::guest;

const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";

/// A stream on which nobody has signed in.
async fn stranger(world: &World, address: u8) -> Connection {
    let mut connection = guest(world, "plain", address).await;
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    connection
}

/// A session.
async fn member(world: &World, user: &User<'_>, address: u8) -> Connection {
    let mut connection = guest(world, "plain", address).await;
    connection.login("localhost", user.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.bind("x").await.unwrap();
    connection
}

/// The error that ends the stream, before login and after it. It comes, though what was sent is not all read.
async fn refused(world: &World, user: &User<'_>, bytes: &[u8], condition: &str, address: u8) {
    for mut connection in [stranger(world, address).await, member(world, user, address).await] {
        let _ = connection.write_bytes(bytes).await; // the server may have had enough before the end
        let said = connection.stream_error().await;
        let sent: String = String::from_utf8_lossy(bytes).chars().take(80).collect();
        assert_eq!(said.unwrap_or_else(|error| panic!("{sent}: {error:#}")), condition, "{sent}");
    }
}

/// §11.1: comments, processing instructions, document types and entities, wherever they stand.
pub(crate) async fn what_xmpp_forbids_ends_the_stream(world: &World) {
    let user = world.user("alice").await;
    for sent in [
        "<!-- c -->",
        "<message><!-- c --><body>x</body></message>",
        "<?pi x?>",
        "<message><?pi x?></message>",
        "<?xml version='1.0'?>",
        "<!DOCTYPE a>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><message/>",
        "<message><body>&foo;</body></message>",
        "<message to='&foo;'/>",
    ] {
        refused(world, &user, sent.as_bytes(), "restricted-xml", 50).await;
    }
    let laughs =
        "<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>";
    let mut connection = guest(world, "plain", 50).await;
    connection.write(&format!("{laughs}{HEADER}")).await.unwrap();
    assert_eq!(connection.stream_error().await.unwrap(), "restricted-xml");
}

/// XML 1.0 and Namespaces in XML 1.0, where lenient parsers pass things on.
pub(crate) async fn what_xml_forbids_ends_the_stream(world: &World) {
    let user = world.user("alice").await;
    let cases: &[&[u8]] = &[
        b"<message><body>a & b</body></message>",
        b"<message><body>\x01</body></message>",
        b"<message><body>&#1;</body></message>",
        b"<message><body>&#xD800;</body></message>",
        b"<message><body>&#xFFFE;</body></message>",
        b"<message id='<'/>",
        b"<message><body>]]></body></message>",
        b"<message></presence>",
        b"<message id='1' id='2'/>",
        b"<message xmlns:a='u' xmlns:b='u'><x a:c='1' b:c='2'/></message>",
        b"<message xmlns:a='u'><a:b:c/></message>",
        b"<message><1a/></message>",
        b"<message id='1'to='a'/>",
        b"<message id=1/>",
        b"<message><body>\xff</body></message>",
        b"<message><body>\xc0\x80</body></message>",
        b"<message><body>\xed\xa0\x80</body></message>",
        b"<message id='\xff'/>",
        "<message><body>\u{FFFE}</body></message>".as_bytes(),
        b"<message><\x0c:a xmlns:\x0c='u'/></message>",
        b"<message><a\xff/></message>",
        b"text",
        b"<![CDATA[x]]>",
        b"</message>",
        "\u{FEFF}<message/>".as_bytes(),
    ];
    for sent in cases {
        refused(world, &user, sent, "not-well-formed", 51).await;
    }
}

/// §4.9.3.2: a prefix means what its declaration says, and without one nothing.
pub(crate) async fn prefixes_are_declared(world: &World) {
    let user = world.user("alice").await;
    for sent in [
        "<x:message/>",
        "<message><x:a/></message>",
        "<message><a x:b='1'/></message>",
        "<message><a xmlns:x=''/></message>",
        "<message><a xmlns:xmlns='u'/></message>",
        "<message><a xmlns:xml='u'/></message>",
        "<message><a xmlns='http://www.w3.org/2000/xmlns/'/></message>",
        "<message><a><b xmlns:x='u'/><x:c/></a></message>",
    ] {
        refused(world, &user, sent.as_bytes(), "bad-namespace-prefix", 52).await;
    }
}

/// §11.6: UTF-8, and no other encoding, whatever announces it.
pub(crate) async fn only_utf_8_is_spoken(world: &World) {
    let utf_16 = |big: bool| -> Vec<u8> {
        HEADER
            .encode_utf16()
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect()
    };
    for bytes in [
        utf_16(true),
        utf_16(false),
        [b"\xfe\xff".to_vec(), utf_16(true)].concat(),
        [b"\xff\xfe".to_vec(), utf_16(false)].concat(),
        format!("<?xml version='1.0' encoding='UTF-16'?>{HEADER}").into_bytes(),
        format!("<?xml version='1.0' encoding='ISO-8859-1'?>{HEADER}").into_bytes(),
    ] {
        let mut connection = guest(world, "plain", 53).await;
        connection.write_bytes(&bytes).await.unwrap();
        assert_eq!(connection.stream_error().await.unwrap(), "unsupported-encoding");
    }
    let mut connection = guest(world, "plain", 53).await;
    connection.write(&format!("<?xml version='1.0' encoding='utf-8'?>{HEADER}")).await.unwrap();
    connection.element("features").await.unwrap();
}

/// §13.12: nested, many and long things, before login and after it.
pub(crate) async fn everything_has_a_limit(world: &World) {
    let user = world.user("alice").await;
    let many = |text: &dyn Fn(usize) -> String| (0..10_000).fold(String::new(), |all, n| all + &text(n));
    for sent in [
        format!("<message>{}", "<a>".repeat(10_000)),
        format!("<message><a{}/></message>", many(&|n| format!(" b{n}=''"))),
        format!("<message><a{}/></message>", many(&|n| format!(" xmlns:b{n}='u'"))),
        format!("<message>{}</message>", many(&|n| format!("<a xmlns='u{n}'/>"))),
        format!("<message>{}</message>", "<a/>".repeat(20_000)),
        format!("<message><{}/></message>", "a".repeat(1_000_000)),
        format!("<message {}=''/>", "a".repeat(1_000_000)),
        format!("<message xmlns:a='{}'>{}</message>", "u".repeat(200_000), "<a:b/>".repeat(500)),
        format!("<message><body>{}", "x".repeat(5_000_000)),
    ] {
        refused(world, &user, sent.as_bytes(), "policy-violation", 54).await;
    }
    let mut connection = guest(world, "plain", 54).await;
    let _ = connection.write(&format!("<?xml version='1.0'?><stream:stream {}", "a".repeat(1_000_000))).await;
    assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
}

/// The largest stanza is taken, one byte more is not; before login the limit is lower (§13.12).
pub(crate) async fn the_largest_stanza_is_taken(world: &World) {
    let user = world.user("alice").await;
    let stanza = |length: usize| {
        let (start, end) =
            ("<iq type='get' id='big' to='localhost'><ping xmlns='urn:xmpp:ping'>", "</ping></iq>");
        format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
    };
    let mut connection = member(world, &user, 55).await;
    connection.write(&stanza(262_144)).await.unwrap();
    assert_eq!(connection.element("iq").await.unwrap().attr("id"), Some("big"));
    connection.write(&stanza(262_145)).await.unwrap();
    assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
    let mut connection = stranger(world, 55).await;
    connection.write(&stanza(10_001)).await.unwrap();
    assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
}

/// What one client sends and the other gets, without what the server adds.
async fn passed(world: &World, header: &str, payload: &str) -> (Vec<Tree>, usize) {
    let alice = world.user("alice").await;
    let bob = world.user("bob").await.quiet_device("desk").await;
    let mut sender = guest(world, "plain", 56).await;
    sender.header("localhost").await.unwrap();
    sender.element("features").await.unwrap();
    let plain = format!("\0{}\0secret", alice.jid().split('@').next().unwrap());
    sender.auth("PLAIN", Some(plain.as_bytes())).await.unwrap();
    sender.expect_header();
    sender.write(header).await.unwrap();
    sender.element("features").await.unwrap();
    sender.bind("x").await.unwrap();
    sender.write(&format!("<message to='{}' type='chat'>{payload}</message>", bob.jid())).await.unwrap();
    let (tree, bytes) = bob.next().await;
    assert_eq!(tree.attr("from"), Some(format!("{}/x", alice.jid()).as_str()), "{tree}");
    let own = ["urn:xmpp:sid:0", "urn:xmpp:delay"];
    (tree.children.into_iter().filter(|child| !own.contains(&child.ns.as_str())).collect(), bytes.len())
}

/// RFC 6120 §8.4: the same infoset arrives, whatever it means.
pub(crate) async fn an_unknown_payload_passes_unchanged(world: &World) {
    let payload = "<body xml:lang='de'>a &lt; b &amp; \u{1F600} &#x41;&#10;]]&gt;</body>\
        <x xmlns='urn:x' a=\"it's\" b='&quot;&#9;&#10;&lt;'><y xmlns=''><z/></y>mixed<y xmlns='urn:y'>text</y> </x>\
        <p:q xmlns:p='urn:p' xmlns:r='urn:p' r:s='1' s='2'><p:t/><t xmlns='urn:p'><![CDATA[<&>]]></t></p:q>\
        <p:q xmlns:p='urn:other'/><empty xmlns='urn:e'></empty>";
    let as_text = payload.replace("<![CDATA[<&>]]>", "&lt;&amp;&gt;"); // the test's own reader knows no CDATA
    let sent = Tree::parse(&format!("<w>{as_text}</w>"), "jabber:client").unwrap().children;
    let (came, _) = passed(world, HEADER, payload).await;
    assert_eq!(came, sent);
}

/// §4.8.5: what only the sender's stream header declares is declared where the stanza goes.
pub(crate) async fn prefixes_of_the_header_travel_along(world: &World) {
    let header = HEADER.replace(" to=", " xmlns:p='urn:p' xmlns:q='urn:q' to=");
    let (came, _) = passed(world, &header, "<p:a q:b='1'><q:c/></p:a><d p:e='2'/>").await;
    let declared = "<w xmlns:p='urn:p' xmlns:q='urn:q'><p:a q:b='1'><q:c/></p:a><d p:e='2'/></w>";
    assert_eq!(came, Tree::parse(declared, "jabber:client").unwrap().children);
}

/// A namespace declared once and used often is written each time it must be: within the limit of a stanza, or not at all.
pub(crate) async fn namespaces_are_not_amplified(world: &World) {
    let header = HEADER.replace(" to=", &format!(" xmlns:p='{}' to=", "u".repeat(1000)));
    let (came, length) = passed(world, &header, &"<p:a/>".repeat(200)).await;
    assert!(came.len() == 200 && length <= 262_144, "{length}");

    let user = world.user("carol").await;
    let mut sender = member(world, &user, 57).await;
    let mut stanza = format!("<message xmlns:p='{}'>", "u".repeat(1000));
    (0..3500).for_each(|_| stanza.push_str("<p:a/>"));
    write!(stanza, "</message>").unwrap();
    assert!(stanza.len() < 23_000);
    sender.write(&stanza).await.unwrap();
    assert_eq!(sender.stream_error().await.unwrap(), "policy-violation");
}

/// §4.9.1: whoever keeps on sending without a look at what comes still finds the error behind it.
pub(crate) async fn too_big_is_said_before_the_end(world: &World) {
    let user = world.user("alice").await;
    for mut connection in [stranger(world, 58).await, member(world, &user, 58).await] {
        connection.write("<message><body>").await.unwrap();
        for _ in 0..200 {
            if connection.write(&"x".repeat(16 * 1024)).await.is_err() {
                break;
            }
        }
        assert_eq!(connection.stream_error().await.unwrap(), "policy-violation");
    }
}

/// One client's garbage is nobody else's concern.
pub(crate) async fn others_do_not_notice(world: &World) {
    let (alice, user) = (world.user("alice").await.device("phone").await, world.user("mallory").await);
    for _ in 0..20 {
        let mut connection = member(world, &user, 59).await;
        connection.write("<message><!--").await.unwrap();
        connection.stream_error().await.unwrap();
    }
    alice.expect_silence().await;
    assert_eq!(alice.poll(Duration::ZERO).await, None::<Received>);
}
