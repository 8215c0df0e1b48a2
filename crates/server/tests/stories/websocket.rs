//! RFC 7395: XMPP over WebSocket.

use starling_testkit::{Frame, Tree, User, WebSocket, World, http};

const ALLOWED: &str = "plain-http";

async fn connect(world: &World) -> WebSocket {
    let address = world.server().await.address(ALLOWED).unwrap();
    WebSocket::open(address).await.unwrap()
}

async fn sign_in(world: &World, user: &User<'_>, resource: &str) -> (WebSocket, String) {
    let mut socket = connect(world).await;
    let name = user.jid().split('@').next().unwrap();
    socket.login("localhost", name, "secret").await.unwrap();
    let jid = socket.bind(resource).await.unwrap();
    socket.send("<presence xmlns='jabber:client'/>").await.unwrap();
    socket.element("presence").await.unwrap();
    (socket, jid)
}

/// §3: a stream opens, a user signs in, and a chat goes both ways, one element a frame.
pub(crate) async fn a_chat_goes_both_ways(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let (mut page, jid) = sign_in(world, &alice, "page").await;
    let message = format!(
        "<message xmlns='jabber:client' to='{}' type='chat' id='1'><body>hello</body></message>",
        bob.jid()
    );
    page.send(&message).await.unwrap();
    phone.expect(&format!("<message from='{jid}' type='chat'><body>hello</body></message>")).await;
    phone.send(&format!("<message to='{jid}' type='chat'><body>and you</body></message>")).await;
    let answer = page.element("message").await.unwrap();
    assert_eq!((answer.ns.as_str(), answer.attr("from")), ("jabber:client", Some(phone.jid())));
    page.send("<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>").await.unwrap();
    let (elements, code) = page.ended().await.unwrap();
    assert_eq!((elements.last().unwrap().name.as_str(), code), ("close", 1000));
}

/// XEP-0198 §5, as over TCP: the session waits for its client, and nothing is lost or told twice.
pub(crate) async fn a_cut_session_resumes(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let (mut page, jid) = sign_in(world, &alice, "page").await;
    page.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await.unwrap();
    let enabled = page.element("enabled").await.unwrap();
    let id = enabled.attr("id").unwrap().to_owned();
    page.cut();
    phone.send(&format!("<message to='{jid}' type='chat'><body>meanwhile</body></message>")).await;
    let mut again = connect(world).await;
    let name = alice.jid().split('@').next().unwrap();
    again.login("localhost", name, "secret").await.unwrap();
    again.send(&format!("<resume xmlns='urn:xmpp:sm:3' previd='{id}' h='0'/>")).await.unwrap();
    assert_eq!(again.element("resumed").await.unwrap().attr("previd"), Some(id.as_str()));
    let message = again.element("message").await.unwrap();
    assert_eq!(message.find(&["body"]).unwrap().text, "meanwhile");
}

/// RFC 6455 §5.4, §5.5: fragments are joined, and a ping between them is answered.
pub(crate) async fn fragments_are_joined(world: &World) {
    let alice = world.user("alice").await;
    let (mut page, jid) = sign_in(world, &alice, "page").await;
    let text = b"<iq xmlns='jabber:client' type='get' id='parts'><ping xmlns='urn:xmpp:ping'/></iq>";
    page.write_bytes(&WebSocket::frame(0x01, &text[..20])).await.unwrap();
    page.write_bytes(&WebSocket::frame(0x89, b"still there?")).await.unwrap();
    assert_eq!(page.next().await.unwrap(), Frame::Pong(b"still there?".to_vec()));
    page.write_bytes(&WebSocket::frame(0x00, &text[20..40])).await.unwrap();
    page.write_bytes(&WebSocket::frame(0x80, &text[40..])).await.unwrap();
    let answer = page.element("iq").await.unwrap();
    assert_eq!((answer.attr("id"), answer.attr("type")), (Some("parts"), Some("result")), "{jid}");
}

/// RFC 6455 §5.1 and §7.4, RFC 7395 §3.2: what is no text in a mask ends the connection with the code that says so.
pub(crate) async fn frames_that_may_not_be_end_the_connection(world: &World) {
    let text = "<presence xmlns='jabber:client'/>";
    let unmasked = [&[0x81, text.len() as u8], text.as_bytes()].concat();
    let cases = [
        (unmasked, 1002),
        (WebSocket::frame(0x82, text.as_bytes()), 1003),
        (WebSocket::frame(0xc1, text.as_bytes()), 1002),
        (WebSocket::frame(0x80, text.as_bytes()), 1002),
        (WebSocket::frame(0x09, b"in parts"), 1002),
        (WebSocket::frame(0x88, b"x"), 1002),
    ];
    for (bytes, expected) in cases {
        let mut socket = connect(world).await;
        socket.header("localhost").await.unwrap();
        socket.write_bytes(&bytes).await.unwrap();
        let (_, code) = socket.ended().await.unwrap();
        assert_eq!(code, expected, "{bytes:?}");
    }
}

/// RFC 6120 §11.1 and RFC 7395 §3.3: each frame is one whole element, and nothing that XMPP forbids.
pub(crate) async fn what_is_no_element_ends_the_stream(world: &World) {
    let cases = [
        ("<!-- c --><presence xmlns='jabber:client'/>", "restricted-xml"),
        ("<?pi x?><presence xmlns='jabber:client'/>", "restricted-xml"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><presence xmlns='jabber:client'/>", "restricted-xml"),
        ("<presence xmlns='jabber:client'", "not-well-formed"),
        ("<presence xmlns='jabber:client'/><presence xmlns='jabber:client'/>", "bad-format"),
        ("<presence xmlns='jabber:client'>&unknown;</presence>", "restricted-xml"),
        (" ", "not-well-formed"),
        ("\u{feff}<presence xmlns='jabber:client'/>", "not-well-formed"),
        ("text", "not-well-formed"),
    ];
    for (text, condition) in cases {
        let mut socket = connect(world).await;
        socket.header("localhost").await.unwrap();
        socket.send(text).await.unwrap();
        expect_error(&mut socket, condition, text).await;
    }
    let mut socket = connect(world).await;
    let utf16: Vec<u8> = "<open/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
    socket.write_bytes(&WebSocket::frame(0x81, &[&[0xff, 0xfe], &utf16[..]].concat())).await.unwrap();
    expect_error(&mut socket, "unsupported-encoding", "UTF-16").await;
}

/// RFC 7395 §3.4: a stream begins with `<open/>` and with nothing else.
pub(crate) async fn a_wrong_opening_ends_the_stream(world: &World) {
    let cases = [
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'/>",
            "bad-format",
        ),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
            "not-well-formed",
        ),
        ("<presence xmlns='jabber:client'/>", "bad-format"),
        ("<open xmlns='jabber:client' to='localhost' version='1.0'/>", "bad-format"),
        (
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='nowhere.example' version='1.0'/>",
            "host-unknown",
        ),
    ];
    for (text, condition) in cases {
        let mut socket = connect(world).await;
        socket.send(text).await.unwrap();
        expect_error(&mut socket, condition, text).await;
    }
}

/// RFC 6120 §13.12: the limits hold here too, by the head of a frame, before anything of it is kept.
pub(crate) async fn an_oversized_message_ends_the_stream(world: &World) {
    let mut socket = connect(world).await;
    socket.header("localhost").await.unwrap();
    let head = [0x81, 0xff, 0, 0, 0, 0x10, 0, 0, 0, 0, 1, 2, 3, 4]; // 64 GiB
    socket.write_bytes(&head).await.unwrap();
    let (elements, code) = socket.ended().await.unwrap();
    assert!(elements.iter().any(|element| element.child("policy-violation").is_some()), "{elements:?}");
    assert_eq!(code, 1009);
    let mut parts = connect(world).await;
    parts.header("localhost").await.unwrap();
    for first in [0x01, 0x00, 0x00] {
        parts.write_bytes(&WebSocket::frame(first, &[b'<'; 4000])).await.unwrap();
    }
    let (elements, code) = parts.ended().await.unwrap();
    assert!(elements.iter().any(|element| element.child("policy-violation").is_some()), "{elements:?}");
    assert_eq!(code, 1009);
}

/// No login without TLS but where the listener allows it; the subprotocol is required (RFC 7395 §3.1).
pub(crate) async fn a_handshake_that_may_not_be_is_refused(world: &World) {
    let ask = |protocol: &str| {
        format!(
            "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
        )
    };
    let server = world.server().await;
    let (open, allowed) = (server.address("http").unwrap(), server.address(ALLOWED).unwrap());
    let status = async |address, request: String| {
        http(address, &request).await.unwrap().split(' ').nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(status(open, ask("xmpp")).await, "403");
    assert_eq!(status(allowed, ask("chat")).await, "400");
    let bare = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(status(allowed, bare.to_owned()).await, "426");
}

async fn expect_error(socket: &mut WebSocket, condition: &str, what: &str) {
    let (elements, _) = socket.ended().await.unwrap();
    let is_error = |element: &&Tree| element.name == "error" && element.child(condition).is_some();
    assert!(elements.iter().any(|element| is_error(&element)), "{what}: {elements:?}");
    assert_eq!(elements.last().map(|element| element.name.as_str()), Some("close"), "{what}");
}
