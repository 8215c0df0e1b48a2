//! RFC 6120 §4, §5: streams, their headers, their ends, and what TLS has to do with them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use starling_testkit::{Connection, Received, TlsOptions, World};

use super::sasl::guest;

const STREAM: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'";

/// What the server's header says, and the features behind it.
async fn opened(connection: &mut Connection, attributes: &str) -> String {
    connection.write(&format!("<?xml version='1.0'?>{STREAM} {attributes}>")).await.unwrap();
    match connection.next(std::time::Duration::from_secs(20)).await.unwrap() {
        Received::Header(header) => header,
        other => panic!("{other:?}"),
    }
}

fn attribute<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split_once(&format!(" {name}='"))?.1.split('\'').next()
}

/// §4.7: `from`, a fresh `id`, `to` as the client named itself, `version`, `xml:lang`.
pub(crate) async fn a_stream_says_who_it_is(world: &World) {
    let mut connection = guest(world, "plain", 20).await;
    let header = opened(&mut connection, "to='localhost' from='juliet@localhost' version='1.0'").await;
    assert_eq!(attribute(&header, "from"), Some("localhost"), "{header}");
    assert_eq!(attribute(&header, "to"), Some("juliet@localhost"), "{header}");
    assert_eq!(attribute(&header, "version"), Some("1.0"), "{header}");
    assert_eq!(attribute(&header, "xml:lang"), Some("en"), "{header}");
    let id = attribute(&header, "id").unwrap().to_owned();
    assert!(id.len() >= 32, "unguessable (§4.7.3): {id}");
    let mut second = guest(world, "plain", 20).await;
    let header = opened(&mut second, "to='localhost' version='1.0'").await;
    assert!(attribute(&header, "id").is_some_and(|other| other != id), "{header}");
    assert_eq!(attribute(&header, "to"), None, "{header}");
}

/// §4.9.3.6, §4.9.3.7: an error behind a header of the server's own.
pub(crate) async fn an_unknown_host_is_refused(world: &World) {
    for (attributes, condition) in [
        ("to='elsewhere.example' version='1.0'", "host-unknown"),
        ("version='1.0'", "host-unknown"),
        ("to='alice@localhost' version='1.0'", "host-unknown"),
        ("to='local host' version='1.0'", "improper-addressing"),
    ] {
        let mut connection = guest(world, "plain", 21).await;
        let header = opened(&mut connection, attributes).await;
        assert!(attribute(&header, "id").is_some(), "{header}");
        assert_eq!(connection.stream_error().await.unwrap(), condition, "{attributes}");
    }
}

/// §4.7.5: 1.0 is spoken, what comes later is answered with it, what came before is over.
pub(crate) async fn an_old_version_is_unsupported(world: &World) {
    for version in ["", "version='0.9'", "version='one'", "version=''"] {
        let mut connection = guest(world, "plain", 22).await;
        opened(&mut connection, &format!("to='localhost' {version}")).await;
        assert_eq!(connection.stream_error().await.unwrap(), "unsupported-version", "{version}");
    }
    let mut connection = guest(world, "plain", 22).await;
    let header = opened(&mut connection, "to='localhost' version='1.7'").await;
    assert_eq!(attribute(&header, "version"), Some("1.0"), "{header}");
    connection.element("features").await.unwrap();
}

/// §4.8: the two namespaces, and the name.
pub(crate) async fn a_header_is_of_the_right_namespaces(world: &World) {
    let stream = "xmlns:stream='http://etherx.jabber.org/streams'";
    for (header, condition) in [
        (
            format!("<stream:stream xmlns='jabber:server' {stream} to='localhost' version='1.0'>"),
            "invalid-namespace",
        ),
        (format!("<stream:stream {stream} to='localhost' version='1.0'>"), "invalid-namespace"),
        (
            "<stream:stream xmlns='jabber:client' xmlns:stream='u' to='localhost' version='1.0'>".into(),
            "invalid-namespace",
        ),
        ("<stream xmlns='jabber:client' to='localhost' version='1.0'>".into(), "invalid-namespace"),
        (format!("<stream:other xmlns='jabber:client' {stream} to='localhost' version='1.0'>"), "bad-format"),
        (
            format!("<s:stream xmlns='jabber:client' {stream} to='localhost' version='1.0'>"),
            "bad-namespace-prefix",
        ),
    ] {
        let mut connection = guest(world, "plain", 23).await;
        connection.write(&header).await.unwrap();
        assert_eq!(connection.stream_error().await.unwrap(), condition, "{header}");
    }
    let mut connection = guest(world, "plain", 23).await;
    connection
        .write("<x:stream xmlns='jabber:client' xmlns:x='http://etherx.jabber.org/streams' to='localhost' version='1.0'>")
        .await
        .unwrap();
    connection.element("features").await.unwrap(); // §4.8.5: the prefix is the client's to choose
}

/// §4.3.1: each domain has its streams and its accounts.
pub(crate) async fn domains_do_not_mix(world: &World) {
    let request = json!({"op": "user-add", "jid": "domains@other.localhost", "password": "secret"});
    world.server().await.control(request).await.unwrap();
    let mut connection = guest(world, "plain", 24).await;
    connection.login("other.localhost", "domains", "secret").await.unwrap();
    assert_eq!(connection.bind("x").await.unwrap(), "domains@other.localhost/x");

    let mut connection = guest(world, "plain", 24).await;
    assert!(connection.login("localhost", "domains", "secret").await.is_err());

    let mut connection = guest(world, "plain", 24).await;
    connection.header("other.localhost").await.unwrap();
    connection.element("features").await.unwrap();
    let answer = connection.auth("PLAIN", Some(b"\0domains\0secret")).await.unwrap();
    assert_eq!(answer.name, "success", "{answer}");
    connection.header("localhost").await.unwrap(); // who has signed in at one is nobody at another
    assert_eq!(connection.stream_error().await.unwrap(), "host-unknown");
}

/// §13.7.1.2: the certificate is that of the domain that the client names.
pub(crate) async fn each_domain_shows_its_certificate(world: &World) {
    let mut shown = Vec::new();
    for domain in ["localhost", "other.localhost"] {
        let file = world.server().await.data_dir().join(format!("tls/{domain}.crt"));
        let pem = std::fs::read_to_string(file).unwrap();
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let expected = BASE64_STANDARD.decode(body).unwrap();
        for kind in ["c2s", "direct-tls"] {
            let mut connection = guest(world, kind, 25).await;
            let options = TlsOptions::new(domain);
            let secured = match kind {
                "c2s" => connection.start_tls(&options).await.unwrap(),
                _ => connection.handshake(&options).await.unwrap(),
            };
            assert_eq!(secured.certificate, expected, "{kind} {domain}");
        }
        shown.push(expected);
    }
    assert_ne!(shown[0], shown[1]);
}

/// XEP-0368 §2: `xmpp-client` by ALPN, or none at all.
pub(crate) async fn direct_tls_speaks_alpn(world: &World) {
    for (alpn, agreed) in [(vec!["xmpp-client"], Some("xmpp-client")), (vec![], None)] {
        let mut connection = guest(world, "direct-tls", 26).await;
        let options = TlsOptions { alpn, ..TlsOptions::new("localhost") };
        let secured = connection.handshake(&options).await.unwrap();
        assert_eq!(secured.alpn.as_deref(), agreed);
        connection.header("localhost").await.unwrap();
        let features = connection.element("features").await.unwrap();
        assert!(features.child("starttls").is_none() && features.child("mechanisms").is_some(), "{features}");
    }
    let mut connection = guest(world, "direct-tls", 26).await;
    let options = TlsOptions { alpn: vec!["http/1.1"], ..TlsOptions::new("localhost") };
    assert!(connection.handshake(&options).await.is_err(), "no cross-protocol requests");
}

/// §5.3.1: nothing but TLS is offered, and nothing else is done.
pub(crate) async fn login_without_tls_is_not_offered_to_the_world(world: &World) {
    let mut connection = guest(world, "c2s", 27).await;
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    let names: Vec<&str> = features.children.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["starttls"], "{features}");
    assert!(features.find(&["starttls", "required"]).is_some(), "{features}");
    let register = "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>";
    connection.write(register).await.unwrap();
    assert_eq!(connection.stream_error().await.unwrap(), "not-authorized");
}

/// §5.4.3.3: what a third party put behind `<starttls/>` in the open is not taken for something said under TLS.
pub(crate) async fn what_was_said_before_tls_is_forgotten(world: &World) {
    let alice = world.user("alice").await;
    let local = alice.jid().split('@').next().unwrap();
    let secret = BASE64_STANDARD.encode(format!("\0{local}\0secret"));
    let mut connection = guest(world, "c2s", 28).await;
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    connection
        .write(&format!(
            "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>{STREAM} to='localhost' version='1.0'>\
             <auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
        ))
        .await
        .unwrap();
    connection.element("proceed").await.unwrap();
    connection.handshake(&TlsOptions::new("localhost")).await.unwrap();
    assert_eq!(connection.poll(std::time::Duration::from_millis(500)).await.unwrap(), None);
    connection.header("localhost").await.unwrap();
    let features = connection.element("features").await.unwrap();
    assert!(features.child("mechanisms").is_some(), "nobody has signed in: {features}");
}

/// §5.4.2.2: TLS once, and not where it is on already.
pub(crate) async fn tls_begins_once(world: &World) {
    for kind in ["plain", "direct-tls", "c2s"] {
        let mut connection = guest(world, kind, 29).await;
        let options = TlsOptions::new("localhost");
        match kind {
            "c2s" => drop(connection.start_tls(&options).await.unwrap()),
            "direct-tls" => drop(connection.handshake(&options).await.unwrap()),
            _ => {}
        }
        connection.header("localhost").await.unwrap();
        connection.element("features").await.unwrap();
        connection.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await.unwrap();
        let all = connection.to_the_end(std::time::Duration::from_secs(20)).await.unwrap();
        let [Received::Element(failure, _), Received::StreamEnd] = &all[..] else {
            panic!("{kind}: {all:?}")
        };
        assert_eq!(
            (failure.name.as_str(), failure.ns.as_str()),
            ("failure", "urn:ietf:params:xml:ns:xmpp-tls")
        );
    }
}

/// §4.9.3.12: nothing is done for whom nobody knows.
pub(crate) async fn a_stanza_before_login_ends_the_stream(world: &World) {
    for (stanza, condition) in [
        ("<message to='alice@localhost'/>", "not-authorized"),
        ("<presence/>", "not-authorized"),
        ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "not-authorized"),
        ("<enable xmlns='urn:xmpp:sm:3'/>", "not-authorized"),
        ("<what/>", "unsupported-stanza-type"),
    ] {
        let mut connection = guest(world, "plain", 30).await;
        connection.header("localhost").await.unwrap();
        connection.element("features").await.unwrap();
        connection.write(stanza).await.unwrap();
        assert_eq!(connection.stream_error().await.unwrap(), condition, "{stanza}");
    }
}

/// §4.3.3, §6.4.6: after `<success/>` there is no stream until the client opens one.
pub(crate) async fn a_stream_begins_anew_after_login(world: &World) {
    let alice = world.user("alice").await;
    let local = alice.jid().split('@').next().unwrap();
    let bind = "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
    let secret = BASE64_STANDARD.encode(format!("\0{local}\0secret"));
    for at_once in [false, true] {
        let mut connection = guest(world, "plain", 31).await;
        connection.header("localhost").await.unwrap();
        connection.element("features").await.unwrap();
        let auth =
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>");
        if at_once {
            connection.write(&format!("{auth}{bind}")).await.unwrap();
            assert_eq!(connection.sasl_answer().await.unwrap().name, "success");
        } else {
            connection.write(&auth).await.unwrap();
            assert_eq!(connection.sasl_answer().await.unwrap().name, "success");
            connection.write(bind).await.unwrap();
        }
        connection.expect_header();
        assert_eq!(connection.stream_error().await.unwrap(), "invalid-namespace");
    }
}

/// §7.1: signed in is not bound; and what is no stanza at all.
pub(crate) async fn a_stanza_before_binding_ends_the_stream(world: &World) {
    let alice = world.user("alice").await;
    let local = alice.jid().split('@').next().unwrap();
    for stanza in
        ["<message to='alice@localhost'/>", "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>"]
    {
        let mut connection = guest(world, "plain", 32).await;
        connection.login("localhost", local, "secret").await.unwrap();
        connection.write(stanza).await.unwrap();
        assert_eq!(connection.stream_error().await.unwrap(), "not-authorized", "{stanza}");
    }
    for (stanza, condition) in [
        ("<what/>", "unsupported-stanza-type"),
        ("<stream:features/>", "unsupported-stanza-type"),
        ("<message xmlns='jabber:server' to='alice@localhost'/>", "invalid-namespace"),
        ("<iq xmlns='' type='get' id='1'/>", "invalid-namespace"),
    ] {
        let mut connection = guest(world, "plain", 32).await;
        connection.login("localhost", local, "secret").await.unwrap();
        connection.bind("x").await.unwrap();
        connection.write(stanza).await.unwrap();
        assert_eq!(connection.stream_error().await.unwrap(), condition, "{stanza}");
    }
}

/// §4.4: the other side closes too, after everything that came before was handled, and then the socket.
pub(crate) async fn closing_is_answered(world: &World) {
    let within = std::time::Duration::from_secs(20);
    let mut connection = guest(world, "plain", 33).await;
    connection.header("localhost").await.unwrap();
    connection.element("features").await.unwrap();
    connection.write("</stream:stream>").await.unwrap();
    assert_eq!(connection.to_the_end(within).await.unwrap(), [Received::StreamEnd]);

    let alice = world.user("alice").await;
    let mut connection = guest(world, "plain", 33).await;
    connection.login("localhost", alice.jid().split('@').next().unwrap(), "secret").await.unwrap();
    connection.bind("x").await.unwrap();
    connection
        .write("<iq type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq></stream:stream>")
        .await
        .unwrap();
    let all = connection.to_the_end(within).await.unwrap();
    assert_eq!(all.last(), Some(&Received::StreamEnd), "{all:?}");
}

/// §4.6.1: white space keeps a connection alive and says nothing.
pub(crate) async fn white_space_says_nothing(world: &World) {
    let alice = world.user("alice").await;
    let phone = alice.quiet_device("phone").await;
    phone.send(" \n\t\r\n ").await;
    phone.expect_silence().await;
}

/// §4.9.3.1, §4.9.3.24: a header inside a stream, or another element of the stream's own that may never end, is not waited for.
pub(crate) async fn a_second_header_is_answered_at_once(world: &World) {
    let user = world.user("alice").await;
    for (tag, condition) in [
        (format!("{STREAM} to='localhost' version='1.0'>"), "bad-format"),
        (format!("<?xml version='1.0'?>{STREAM} to='localhost' version='1.0'>"), "restricted-xml"),
        ("<stream:features>".to_owned(), "unsupported-stanza-type"),
        ("<s:stream xmlns:s='http://etherx.jabber.org/streams' to='localhost'>".to_owned(), "bad-format"),
        ("<stream xmlns='http://etherx.jabber.org/streams' to='localhost'>".to_owned(), "bad-format"),
        ("<features xmlns='http://etherx.jabber.org/streams'>".to_owned(), "unsupported-stanza-type"),
    ] {
        let mut stranger = guest(world, "plain", 36).await;
        opened(&mut stranger, "to='localhost' version='1.0'").await;
        stranger.element("features").await.unwrap();
        let mut member = guest(world, "plain", 36).await;
        member.login("localhost", user.jid().split('@').next().unwrap(), "secret").await.unwrap();
        member.bind("desk").await.unwrap();
        for connection in [&mut stranger, &mut member] {
            connection.write(&tag).await.unwrap();
            assert_eq!(connection.stream_error().await.unwrap(), condition, "{tag}");
        }
    }
}
