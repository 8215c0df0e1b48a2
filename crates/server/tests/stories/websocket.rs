//! RFC 7395: XMPP over WebSocket.

use std::path::Path;

use starling_testkit::{Connection, Frame, ServerOptions, TlsOptions, Tree, User, WebSocket, World, http};

const ALLOWED: &str = "plain-http";
/// `listen.trusted-proxies` of the stories, and somebody else.
const PROXY: [u8; 4] = [127, 0, 0, 9];
const STRANGER: [u8; 4] = [127, 0, 0, 8];

/// A server of its own.
async fn server(config: &str) -> World {
    let options = ServerOptions { config: config.to_owned(), data_dir: None };
    World::start(Path::new(env!("CARGO_BIN_EXE_starling")), &options).await.unwrap()
}

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

/// Over TLS of the server's own.
async fn secured(world: &World) -> WebSocket {
    let address = world.server().await.address("https").unwrap();
    let mut connection = Connection::open(address).await.unwrap();
    connection
        .handshake(&TlsOptions { alpn: vec!["http/1.1"], ..TlsOptions::new("localhost") })
        .await
        .unwrap();
    WebSocket::upgrade(connection, "").await.unwrap()
}

/// RFC 9266, and its note on proxies: over TLS of the server's own a login can be bound to it.
pub(crate) async fn a_login_can_be_bound_to_the_servers_own_tls(world: &World) {
    let features = secured(world).await.header("localhost").await.unwrap();
    assert!(mechanisms(&features).iter().any(|one| one.ends_with("-PLUS")), "{features}");
    let binding = features.find(&["sasl-channel-binding", "channel-binding"]).unwrap();
    assert_eq!(binding.attr("type"), Some("tls-exporter"), "{features}");
}

/// What was said before TLS was closed is read, though it came at once and the server was still busy with the first of it.
pub(crate) async fn what_stands_before_the_end_of_tls_is_read(world: &World) {
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let phone = bob.device("phone").await;
    let mut page = secured(world).await;
    page.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
    let jid = page.bind("page").await.unwrap();
    let message =
        format!("<message xmlns='jabber:client' to='{}' type='chat'><body>bye</body></message>", bob.jid());
    let said = ["<inactive xmlns='urn:xmpp:csi:0'/>", &message];
    page.close_behind(&said.map(|said| WebSocket::frame(0x81, said.as_bytes())).concat()).await.unwrap();
    phone.expect(&format!("<message from='{jid}' type='chat'><body>bye</body></message>")).await;
}

/// TLS that ended at a trusted proxy is TLS, and none that a login could be bound to, however the proxy itself comes.
pub(crate) async fn tls_at_a_proxy_binds_nothing(world: &World) {
    let user = world.user("alice").await;
    let (local, _) = user.jid().split_once('@').unwrap();
    const SAYS: &str = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.7\r\n";
    let connect = async |source: [u8; 4], listener: &str| {
        let address = world.server().await.address(listener).unwrap();
        let mut connection = Connection::open_from(source.into(), address).await.unwrap();
        if listener == "https" {
            let options = TlsOptions { alpn: vec!["http/1.1"], ..TlsOptions::new("localhost") };
            connection.handshake(&options).await.unwrap();
        }
        connection
    };
    for listener in ["http", "https"] {
        let mut socket = WebSocket::upgrade(connect(PROXY, listener).await, SAYS).await.unwrap();
        let features = socket.header("localhost").await.unwrap();
        let offered = mechanisms(&features);
        assert!(
            offered.contains(&"PLAIN") && !offered.iter().any(|one| one.ends_with("-PLUS")),
            "{features}"
        );
        assert!(features.child("sasl-channel-binding").is_none(), "{listener}: {features}");
        let mut socket = WebSocket::upgrade(connect(PROXY, listener).await, SAYS).await.unwrap();
        socket.login("localhost", local, "secret").await.unwrap();
    }
    // Of anybody else it is not believed, and where the proxy says that there was none, there was none.
    for (source, says) in [(STRANGER, SAYS), (PROXY, ""), (PROXY, "X-Forwarded-Proto: http\r\n")] {
        let refused = WebSocket::upgrade(connect(source, "http").await, says).await.unwrap_err();
        assert!(refused.to_string().starts_with("http/1.1 403 "), "{refused}");
    }
}

/// What an address may cost is counted for whom the proxy names, not for the proxy.
pub(crate) async fn a_proxy_says_for_whom_it_speaks(_: &World) {
    let config = "[limits]\nunauthenticated-per-address = 2\n[listen]\ntrusted-proxies = [\"127.0.0.9\"]\n";
    let world = server(config).await;
    let address = world.server().await.address("http").unwrap();
    let from = async |client: &str| {
        let connection = Connection::open_from(PROXY.into(), address).await.unwrap();
        let says = format!("X-Forwarded-Proto: https\r\nX-Forwarded-For: 203.0.113.5, {client}\r\n");
        WebSocket::upgrade(connection, &says).await.unwrap()
    };
    let mut here = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"] {
        let mut socket = from(client).await;
        socket.header("localhost").await.unwrap();
        here.push(socket);
    }
    let mut third = from("192.0.2.1").await;
    expect_error(&mut third, "policy-violation", "the third of one address").await;
}

/// Pages of hosts that are not listed connect by no way; who is no browser names none.
pub(crate) async fn pages_that_are_not_listed_are_refused(_: &World) {
    let world = server("[http]\norigins = [\"https://chat.example\"]\n").await;
    let address = world.server().await.address(ALLOWED).unwrap();
    let status = async |request: String| {
        http(address, &request).await.unwrap().split(' ').nth(1).unwrap_or_default().to_owned()
    };
    for (origin, good) in [
        ("Origin: https://chat.example\r\n", true),
        ("", true),
        ("Origin: https://evil.example\r\n", false),
        ("Origin: null\r\n", false),
        ("Origin: https://chat.example.evil.example\r\n", false),
    ] {
        let socket = WebSocket::upgrade(Connection::open(address).await.unwrap(), origin).await;
        let refusal = socket.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(refusal.is_empty(), good, "{origin}: {refusal}");
        assert!(good || refusal.starts_with("http/1.1 403 "), "{origin}: {refusal}");
        let body =
            "<body xmlns='http://jabber.org/protocol/httpbind' rid='1' to='localhost' wait='1' hold='1'/>";
        let bosh = status(format!(
            "POST /bosh HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{origin}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(bosh.await, if good { "200" } else { "403" }, "{origin}");
    }
}

fn mechanisms(features: &Tree) -> Vec<&str> {
    features.child("mechanisms").unwrap().children.iter().map(|one| one.text.as_str()).collect()
}

async fn expect_error(socket: &mut WebSocket, condition: &str, what: &str) {
    let (elements, _) = socket.ended().await.unwrap();
    let is_error = |element: &&Tree| element.name == "error" && element.child(condition).is_some();
    assert!(elements.iter().any(|element| is_error(&element)), "{what}: {elements:?}");
    assert_eq!(elements.last().map(|element| element.name.as_str()), Some("close"), "{what}");
}
